/* SPDX-License-Identifier: MIT */
/* NCCL's collectives over all GPUs of this machine, from one process, with nccl-tests'
 * definitions of payload and bus bandwidth (its doc/PERFORMANCE.md). Untested until someone
 * with several GPUs has run it. */
#include "timing.cuh"

#if HAVE_NCCL

#include <nccl.h>

#include <chrono>
#include <cstring>

namespace
{

#define WARM_UPS 3
#define SAMPLES 15

void nccl_check(ncclResult_t status, const char *what)
{
    if (status != ncclSuccess)
        throw Absent(std::string("NCCL ") + what + ": " + ncclGetErrorString(status));
}

struct Ranks {
    int n = 0;
    std::vector<ncclComm_t> communicators;
    std::vector<cudaStream_t> streams;
    std::vector<void *> send, receive;

    Ranks(Bench &bench, size_t bytes)
    {
        cuda_check(cudaGetDeviceCount(&n), "devices");
        communicators.resize(n);
        streams.resize(n);
        send.resize(n);
        receive.resize(n);
        nccl_check(ncclCommInitAll(communicators.data(), n, nullptr), "start");
        for (int i = 0; i < n; i++) {
            cuda_check(cudaSetDevice(i), "device");
            cuda_check(cudaStreamCreateWithFlags(&streams[i], cudaStreamNonBlocking), "stream");
            if (i == 0) { /* nearly all of the first GPU's memory is the arena's */
                send[i] = bench.arena.take(bytes);
                receive[i] = bench.arena.take(bytes);
            } else if (cudaMalloc(&send[i], bytes) != cudaSuccess ||
                       cudaMalloc(&receive[i], bytes) != cudaSuccess) {
                throw Absent("its buffers don't fit in the GPUs' memory");
            }
            cuda_check(cudaMemset(send[i], i + 1, bytes), "memset");
        }
    }
    ~Ranks()
    {
        for (int i = 0; i < n; i++) {
            cudaSetDevice(i);
            if (i > 0) {
                cudaFree(send[i]);
                cudaFree(receive[i]);
            }
            if (streams[i])
                cudaStreamDestroy(streams[i]);
            ncclCommDestroy(communicators[i]);
        }
        cudaGetLastError();
        cudaSetDevice(0);
    }
};

/* `bytes` is the larger of what goes in and comes out, as nccl-tests prints it. */
void run(const char *op, Ranks &r, size_t bytes)
{
    const size_t all = bytes / sizeof(float), share = all / r.n;
    nccl_check(ncclGroupStart(), "group");
    for (int i = 0; i < r.n; i++) {
        const float *send = static_cast<const float *>(r.send[i]);
        float *receive = static_cast<float *>(r.receive[i]);
        if (strcmp(op, "all_reduce") == 0)
            ncclAllReduce(send, receive, all, ncclFloat, ncclSum, r.communicators[i],
                          r.streams[i]);
        else if (strcmp(op, "all_gather") == 0)
            ncclAllGather(send, receive, share, ncclFloat, r.communicators[i], r.streams[i]);
        else if (strcmp(op, "reduce_scatter") == 0)
            ncclReduceScatter(send, receive, share, ncclFloat, ncclSum, r.communicators[i],
                              r.streams[i]);
        else
            ncclBroadcast(send, receive, all, ncclFloat, 0, r.communicators[i], r.streams[i]);
    }
    nccl_check(ncclGroupEnd(), "group");
}

void wait(const Ranks &r)
{
    for (int i = 0; i < r.n; i++) {
        cuda_check(cudaSetDevice(i), "device");
        cuda_check(cudaStreamSynchronize(r.streams[i]), "collective");
    }
}

double bus_factor(const char *op, int n)
{
    if (strcmp(op, "all_reduce") == 0)
        return 2.0 * (n - 1) / n;
    return strcmp(op, "broadcast") == 0 ? 1 : (n - 1.0) / n;
}

double host_s()
{
    using clock = std::chrono::steady_clock;
    return std::chrono::duration<double>(clock::now().time_since_epoch()).count();
}

} // namespace

void collective_measure(Bench &bench, const Measurement &m, Result *result)
{
    const size_t bytes = static_cast<size_t>(m.dimension[1]);
    const int runs = bytes < (1 << 24) ? 50 : 5;
    std::vector<double> samples;
    bench.arena.reset();
    Ranks ranks(bench, bytes);
    if (ranks.n < 2)
        throw Absent("a collective needs several GPUs");
    for (int i = 0; i < WARM_UPS; i++)
        run(m.op->name, ranks, bytes);
    wait(ranks);
    for (int i = 0; i < SAMPLES; i++) {
        const double start = host_s();
        for (int j = 0; j < runs; j++)
            run(m.op->name, ranks, bytes);
        wait(ranks);
        samples.push_back((host_s() - start) / runs);
    }
    const Timing timing = timing_of(samples);
    result->time_s = timing.median_s;
    result->p10_s = timing.p10_s;
    result->p90_s = timing.p90_s;
    result_add(result, "n_gpus", ranks.n);
    result_add(result, "bus_bytes_per_s",
               static_cast<double>(bytes) * bus_factor(m.op->name, ranks.n) / timing.median_s);
    snprintf(result->implementation, sizeof result->implementation, "NCCL %s",
             bench.machine.nccl);
}

#else

void collective_measure(Bench &, const Measurement &, Result *)
{
    throw Absent("this program was built without NCCL");
}

#endif
