/* SPDX-License-Identifier: MIT */
/* How much a kernel slows down while another holds k multiprocessors and streams memory, as a
 * collective's channels do, and how much that copy slows down in turn. A copy block takes all
 * of a multiprocessor's shared memory, so that nothing else runs beside it there; a flag in
 * pinned memory ends it. */
#include "timing.cuh"

#include <cstdio>
#include <cstring>

namespace
{

const int held_sms[] = {1, 2, 4, 8, 16, 24, 32};

#define COPY_THREADS 640 /* NCCL's most: src/include/device.h NCCL_MAX_NTHREADS */
#define STRIDE (4 * COPY_THREADS)
#define COPY_BYTES (8 << 20) /* of each block's window: larger than its share of the cache */

/* Copies its window over and over until told to stop; `done` counts 16-byte packs. */
__global__ void hold_kernel(const int4 *in, int4 *out, int64_t window, const volatile int *stop,
                            volatile int *ready, unsigned long long *done)
{
    const int4 *from = in + blockIdx.x * window;
    int4 *to = out + blockIdx.x * window;
    unsigned long long packs = 0;
    if (threadIdx.x == 0)
        atomicAdd((int *)ready, 1);
    for (bool running = true; running;) {
        for (int64_t i = threadIdx.x; i < window; i += STRIDE) {
            int4 pack[4];
            for (int j = 0; j < 4; j++)
                pack[j] = from[i + j * COPY_THREADS];
            for (int j = 0; j < 4; j++)
                to[i + j * COPY_THREADS] = pack[j];
            packs += 4;
            if ((i / STRIDE) % 64 == 0) {
                const int stopped = threadIdx.x == 0 ? *stop : 0;
                running = !__syncthreads_or(stopped);
                if (!running)
                    break;
            }
        }
    }
    atomicAdd(done, packs);
}

struct Holder {
    Bench &bench;
    cudaStream_t stream = nullptr;
    int *stop = nullptr, *ready = nullptr; /* pinned */
    unsigned long long *done = nullptr;
    int4 *in, *out;
    int64_t window;
    int shared_bytes;

    explicit Holder(Bench &b) : bench(b)
    {
        const int largest = held_sms[sizeof held_sms / sizeof *held_sms - 1];
        window = COPY_BYTES / sizeof(int4) / STRIDE * STRIDE; /* all threads take equal turns */
        in = reinterpret_cast<int4 *>(random_tensor<float>(b, window * largest * 4));
        out = b.arena.take_n<int4>(window * largest);
        shared_bytes = static_cast<int>(b.properties.sharedMemPerBlockOptin);
        cuda_check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
        cuda_check(cudaMallocHost(&stop, sizeof *stop), "pinned");
        cuda_check(cudaMallocHost(&ready, sizeof *ready), "pinned");
        cuda_check(cudaMallocHost(&done, sizeof *done), "pinned");
        cuda_check(cudaFuncSetAttribute(
                       hold_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes),
                   "shared memory");
    }
    /* After an error the copy may still run: freeing what it reads would wait for it for ever.
     */
    ~Holder()
    {
        if (stop)
            *static_cast<volatile int *>(stop) = 1;
        cudaStreamSynchronize(stream);
        cudaFreeHost(stop);
        cudaFreeHost(ready);
        cudaFreeHost(done);
        cudaStreamDestroy(stream);
    }

    void begin(int sms)
    {
        *stop = 0;
        *ready = 0;
        *done = 0;
        cuda_check(cudaStreamSynchronize(bench.stream), "kernel"); /* the GPU must be empty */
        hold_kernel<<<sms, COPY_THREADS, shared_bytes, stream>>>(in, out, window, stop, ready,
                                                                 done);
        cuda_check(cudaGetLastError(), "copy kernel");
        while (*static_cast<volatile int *>(ready) < sms) {
            const cudaError_t status = cudaStreamQuery(stream);
            if (status != cudaErrorNotReady) /* it ends when it is told to, not before */
                throw std::runtime_error(std::string("copy kernel: ") +
                                         cudaGetErrorString(status));
        }
    }

    void end()
    {
        *static_cast<volatile int *>(stop) = 1;
        cuda_check(cudaStreamSynchronize(stream), "copy kernel");
    }
};

#define BESIDE_S 0.03

/* Seconds a run; with the copy beside it. */
double run_s(Bench &bench, const std::vector<Work> &works, int runs, double *total_s)
{
    *total_s = elapsed_s(bench.stream, [&](cudaStream_t s) {
        for (int i = 0; i < runs; i++)
            works[i % works.size()].launch(s);
    });
    return *total_s / runs;
}

/* Packs a second that the copy moves in `seconds` of an otherwise idle GPU. */
double copy_rate(Bench &bench, Holder &holder, int sms, const std::vector<Work> *works,
                 int runs, double *kernel_s)
{
    cudaEvent_t start, stop;
    float milliseconds = 0;
    double total_s = 0;
    cuda_check(cudaEventCreate(&start), "event");
    cuda_check(cudaEventCreate(&stop), "event");
    cudaEventRecord(start, holder.stream);
    holder.begin(sms);
    if (works)
        *kernel_s = run_s(bench, *works, runs, &total_s);
    else
        for (const double until = BESIDE_S; total_s < until;)
            total_s += elapsed_s(bench.stream, [](cudaStream_t) {}) + 1e-4;
    cudaEventRecord(stop, holder.stream);
    holder.end();
    cudaEventElapsedTime(&milliseconds, start, stop);
    cudaEventDestroy(start);
    cudaEventDestroy(stop);
    return static_cast<double>(*holder.done) / (milliseconds * 1e-3);
}

} // namespace

void interference_measure(Bench &bench, const Measurement &m, Result *result)
{
    const std::vector<Work> works = work_build(bench, m, build_find(m));
    work_check(bench, works[0]);
    const Timing alone = work_time(bench, works);
    Holder holder(bench);
    const int runs = std::max(3, static_cast<int>(BESIDE_S / alone.median_s));
    double total_s = 0;
    const double alone_s = run_s(bench, works, runs, &total_s);
    for (int sms : held_sms) {
        char name[32];
        double beside_s = 0;
        if (sms >= bench.properties.multiProcessorCount)
            break;
        const double rate_alone = copy_rate(bench, holder, sms, nullptr, 0, nullptr);
        const double rate_beside = copy_rate(bench, holder, sms, &works, runs, &beside_s);
        snprintf(name, sizeof name, "slowdown_%d", sms);
        result_add(result, name, beside_s / alone_s);
        snprintf(name, sizeof name, "copy_slowdown_%d", sms);
        result_add(result, name, rate_alone / rate_beside);
    }
    result->time_s = alone.median_s;
    result->p10_s = alone.p10_s;
    result->p90_s = alone.p90_s;
    snprintf(result->implementation, sizeof result->implementation, "%s",
             works[0].implementation.c_str());
}
