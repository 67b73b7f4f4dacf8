/* SPDX-License-Identifier: MIT */
/* What launching costs: empty kernels back to back, with the host doing as much between two as
 * an eager framework does, and as nodes of a replayed graph; and copies between host and
 * device. */
#include "timing.cuh"

#include <chrono>
#include <cstring>

namespace
{

#define LAUNCHES 1000
#define REPETITIONS 21

__global__ void empty_kernel(float *out)
{
    if (out)
        *out = 1;
}

double host_s()
{
    using clock = std::chrono::steady_clock;
    return std::chrono::duration<double>(clock::now().time_since_epoch()).count();
}

/* PyTorch's dispatcher takes some 4 us an operation on a fast core; here the host waits that
 * long, so that what is measured is the rest of a launch. */
void host_work(double seconds)
{
    for (const double start = host_s(); host_s() - start < seconds;)
        ;
}

Timing repeat(Bench &bench, const Launch &body, double per)
{
    std::vector<double> samples;
    elapsed_s(bench.stream, body);
    for (int i = 0; i < REPETITIONS; i++)
        samples.push_back(elapsed_s(bench.stream, body) / per);
    return timing_of(samples);
}

Timing graph_gap(Bench &bench, const Launch &body)
{
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    cuda_check(cudaStreamBeginCapture(bench.stream, cudaStreamCaptureModeThreadLocal),
               "capture");
    body(bench.stream);
    cuda_check(cudaStreamEndCapture(bench.stream, &graph), "capture");
    cuda_check(cudaGraphInstantiate(&executable, graph, 0), "graph");
    const Timing timing = repeat(
        bench, [&](cudaStream_t s) { cudaGraphLaunch(executable, s); }, LAUNCHES);
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
    return timing;
}

void set_timing(Result *result, const Timing &timing)
{
    result->time_s = timing.median_s;
    result->p10_s = timing.p10_s;
    result->p90_s = timing.p90_s;
}

#define HOST_WORK_S 4e-6

/* Pinned memory, each way alone or both at once on two streams. */
struct Transfer {
    void *host_in = nullptr, *host_out = nullptr;
    cudaStream_t second = nullptr;
    cudaEvent_t begun, ended;

    explicit Transfer(size_t bytes)
    {
        if (cudaMallocHost(&host_in, bytes) != cudaSuccess ||
            cudaMallocHost(&host_out, bytes) != cudaSuccess) {
            cudaGetLastError();
            cudaFreeHost(host_in);
            throw Absent("so much pinned host memory can't be had");
        }
        memset(host_in, 1, bytes);
        memset(host_out, 2, bytes);
        cuda_check(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking), "stream");
        cuda_check(cudaEventCreateWithFlags(&begun, cudaEventDisableTiming), "event");
        cuda_check(cudaEventCreateWithFlags(&ended, cudaEventDisableTiming), "event");
    }
    ~Transfer()
    {
        cudaFreeHost(host_in);
        cudaFreeHost(host_out);
        cudaStreamDestroy(second);
        cudaEventDestroy(begun);
        cudaEventDestroy(ended);
    }
};

} // namespace

void launch_measure(Bench &bench, const Measurement &m, Result *result)
{
    const bool eager = strcmp(m.op->name, "launch_eager") == 0;
    const Launch body = [&](cudaStream_t s) {
        for (int i = 0; i < LAUNCHES; i++) {
            empty_kernel<<<1, 32, 0, s>>>(nullptr);
            if (eager)
                host_work(HOST_WORK_S);
        }
    };
    const bool graph = strcmp(m.op->name, "graph_replay_gap") == 0;
    set_timing(result, graph ? graph_gap(bench, body) : repeat(bench, body, LAUNCHES));
    if (eager)
        result_add(result, "host_work_s", HOST_WORK_S);
    snprintf(result->implementation, sizeof result->implementation, "empty kernel");
}

void transfer_measure(Bench &bench, const Measurement &m, Result *result)
{
    const size_t bytes = static_cast<size_t>(m.dimension[0]);
    bench.arena.reset();
    void *in = bench.arena.take(bytes), *out = bench.arena.take(bytes);
    const Transfer t(bytes);
    const bool to_device = strcmp(m.op->name, "device_to_host") != 0;
    const bool to_host = strcmp(m.op->name, "host_to_device") != 0;
    const Launch body = [&](cudaStream_t s) {
        const bool both = to_device && to_host;
        if (both) {
            cudaEventRecord(t.begun, s);
            cudaStreamWaitEvent(t.second, t.begun, 0);
        }
        if (to_device)
            cudaMemcpyAsync(in, t.host_in, bytes, cudaMemcpyHostToDevice, s);
        if (to_host)
            cudaMemcpyAsync(t.host_out, out, bytes, cudaMemcpyDeviceToHost,
                            both ? t.second : s);
        if (both) {
            cudaEventRecord(t.ended, t.second);
            cudaStreamWaitEvent(s, t.ended, 0);
        }
    };
    set_timing(result, repeat(bench, body, 1));
    snprintf(result->implementation, sizeof result->implementation, "cudaMemcpyAsync, pinned");
}
