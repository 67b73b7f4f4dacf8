/* SPDX-License-Identifier: MIT */
/* Taking times: warm-up, then events around each run of a long kernel, or around replays of a
 * graph of many short ones, over operand sets that together are larger than the second-level
 * cache. Reported are the median and the tenth and ninetieth percentile. */
#include "timing.cuh"

#include <algorithm>
#include <chrono>
#include <cmath>

#define WARM_UP_RUNS 2
#define MAX_SETS 24
#define SHORT_S 150e-6 /* below: graph replays */
#define GRAPH_S 1.5e-3 /* of one replay */
#define MAX_GRAPH_RUNS 256
#define MEASURE_S 0.03 /* of all samples */
#define MIN_SAMPLES 9
#define LONG_S 0.05
#define FEWEST_SAMPLES 5
#define MAX_SAMPLES 101

namespace
{

/* Events that are destroyed with the scope. */
struct Stopwatch {
    cudaEvent_t start, stop;
    Stopwatch()
    {
        cuda_check(cudaEventCreate(&start), "event");
        cuda_check(cudaEventCreate(&stop), "event");
    }
    ~Stopwatch()
    {
        cudaEventDestroy(start);
        cudaEventDestroy(stop);
    }
};

struct Graph {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    ~Graph()
    {
        if (executable)
            cudaGraphExecDestroy(executable);
        if (graph)
            cudaGraphDestroy(graph);
    }
};

void capture(Bench &bench, const std::vector<Work> &works, int runs, Graph *graph)
{
    cuda_check(cudaStreamBeginCapture(bench.stream, cudaStreamCaptureModeThreadLocal),
               "capture");
    try {
        for (int i = 0; i < runs; i++)
            works[i % works.size()].launch(bench.stream);
    } catch (...) {
        cudaGraph_t broken = nullptr;
        cudaStreamEndCapture(bench.stream, &broken);
        if (broken)
            cudaGraphDestroy(broken);
        throw;
    }
    cuda_check(cudaStreamEndCapture(bench.stream, &graph->graph), "capture");
    cuda_check(cudaGraphInstantiate(&graph->executable, graph->graph, 0), "graph");
}

/* A few of the longest, which vary least, or they would eat the budget. */
int sample_count(double run_s)
{
    const int fewest = run_s < LONG_S ? MIN_SAMPLES : FEWEST_SAMPLES;
    return std::clamp(static_cast<int>(MEASURE_S / run_s), fewest, MAX_SAMPLES);
}

Timing time_short(Bench &bench, const std::vector<Work> &works, double run_s)
{
    const int runs = std::clamp(static_cast<int>(GRAPH_S / run_s), 8, MAX_GRAPH_RUNS);
    std::vector<double> samples;
    Graph graph;
    capture(bench, works, runs, &graph);
    auto replay = [&](cudaStream_t stream) {
        cuda_check(cudaGraphLaunch(graph.executable, stream), "graph launch");
    };
    elapsed_s(bench.stream, replay);
    for (int i = sample_count(runs * run_s); i > 0; i--)
        samples.push_back(elapsed_s(bench.stream, replay) / runs);
    return timing_of(samples);
}

/* Where a library's launches can't be captured: so many between two events that the host is
 * ahead of the GPU. */
Timing time_bursts(Bench &bench, const std::vector<Work> &works, double run_s)
{
    const int runs = std::clamp(static_cast<int>(GRAPH_S / run_s), 8, MAX_GRAPH_RUNS);
    std::vector<double> samples;
    auto burst = [&](cudaStream_t stream) {
        for (int i = 0; i < runs; i++)
            works[i % works.size()].launch(stream);
    };
    for (int i = sample_count(runs * run_s); i > 0; i--)
        samples.push_back(elapsed_s(bench.stream, burst) / runs);
    return timing_of(samples);
}

/* All in the queue at once, behind a run that isn't counted: an idle GPU would wait for the
 * launch between the first event and the kernel, some microseconds. */
Timing time_long(Bench &bench, const std::vector<Work> &works, double run_s)
{
    std::vector<double> samples;
    const int n = sample_count(run_s);
    const std::vector<Stopwatch> watches(n);
    works[0].launch(bench.stream);
    for (int i = 0; i < n; i++) {
        cuda_check(cudaEventRecord(watches[i].start, bench.stream), "event");
        works[(i + 1) % works.size()].launch(bench.stream);
        cuda_check(cudaEventRecord(watches[i].stop, bench.stream), "event");
    }
    cuda_check(cudaGetLastError(), "launch");
    for (const Stopwatch &watch : watches) {
        float milliseconds = 0;
        cuda_check(cudaEventSynchronize(watch.stop), "kernel");
        cuda_check(cudaEventElapsedTime(&milliseconds, watch.start, watch.stop), "event");
        samples.push_back(milliseconds * 1e-3);
    }
    return timing_of(samples);
}

} // namespace

double elapsed_s(cudaStream_t stream, const Launch &body)
{
    Stopwatch watch;
    float milliseconds = 0;
    cuda_check(cudaEventRecord(watch.start, stream), "event");
    body(stream);
    cuda_check(cudaGetLastError(), "launch");
    cuda_check(cudaEventRecord(watch.stop, stream), "event");
    cuda_check(cudaEventSynchronize(watch.stop), "kernel");
    cuda_check(cudaEventElapsedTime(&milliseconds, watch.start, watch.stop), "event");
    return milliseconds * 1e-3;
}

Timing timing_of(std::vector<double> samples_s)
{
    std::sort(samples_s.begin(), samples_s.end());
    auto at = [&](double part) {
        return samples_s[static_cast<size_t>(std::lround(part * (samples_s.size() - 1)))];
    };
    return {at(0.5), at(0.1), at(0.9)};
}

std::vector<Work> work_build(Bench &bench, const Measurement &m, Build build)
{
    std::vector<Work> works;
    bench.arena.reset();
    works.push_back(build(bench, m));
    const size_t one = std::max<size_t>(bench.arena.used(), 1);
    const size_t cold = 3 * static_cast<size_t>(bench.machine.l2_bytes);
    const size_t wanted = std::min<size_t>(cold / one + 1, MAX_SETS);
    try {
        while (works.size() < wanted && bench.arena.free() > one + (one >> 3))
            works.push_back(build(bench, m));
    } catch (const Absent &) {
        /* those that fitted have to do */
    }
    return works;
}

void work_check(Bench &bench, const Work &work)
{
    bench.checking = true;
    try {
        work.launch(bench.stream);
        bench.checking = false;
    } catch (...) {
        bench.checking = false;
        throw;
    }
    cuda_check(cudaGetLastError(), "launch");
    cuda_check(cudaStreamSynchronize(bench.stream), "kernel");
    if (work.check)
        work.check(bench.stream);
}

Timing work_time(Bench &bench, const std::vector<Work> &works)
{
    double run_s = 0;
    for (int i = 0; i < WARM_UP_RUNS; i++)
        run_s = elapsed_s(bench.stream, works[i % works.size()].launch);
    run_s = std::max(run_s, 1e-6);
    if (run_s >= SHORT_S)
        return time_long(bench, works, run_s);
    try {
        return time_short(bench, works, run_s);
    } catch (const std::exception &) {
        cudaGetLastError();
        return time_bursts(bench, works, run_s);
    }
}

/* Enough runs are queued at once that the host never limits the GPU. */
double work_time_sustained(Bench &bench, const std::vector<Work> &works, double seconds)
{
    const double run_s = std::max(elapsed_s(bench.stream, works[0].launch), 1e-6);
    const int runs = std::max(1, static_cast<int>(0.05 / run_s));
    auto burst = [&](cudaStream_t stream) {
        for (int i = 0; i < runs; i++)
            works[i % works.size()].launch(stream);
    };
    double total_s = 0, late_s = 0;
    int n_late = 0;
    while (total_s < seconds) {
        const double burst_s = elapsed_s(bench.stream, burst);
        if (total_s >= seconds / 2) {
            late_s += burst_s;
            n_late += runs;
        }
        total_s += burst_s;
    }
    return late_s / n_late;
}
