/* SPDX-License-Identifier: MIT */
/* The GPU opened and described, and one measurement of the plan carried out: find the builder,
 * check the result, take the time. Turns exceptions into the statuses of bench.h. */
#include "timing.cuh"

#include "nvml.h"

#include <cstdio>
#include <cstring>

#if HAVE_CUDNN
#include <cudnn.h>
#endif
#if HAVE_NCCL
#include <nccl.h>
#endif

#ifndef CUDA_ARCHITECTURES
#define CUDA_ARCHITECTURES "unknown"
#endif
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

namespace
{

/* PyTorch ATen/cuda/CublasHandlePool.cpp: 32 MiB from Hopper on, 8,519,680 bytes before. */
size_t workspace_for(int compute_capability)
{
    return compute_capability >= 90 ? static_cast<size_t>(32) << 20 : 8519680;
}

/* Leaves room for the libraries' own workspaces. */
#define ARENA_FRACTION 0.85

void describe(Bench *bench, size_t memory_before)
{
    const cudaDeviceProp &p = bench->properties;
    Machine *m = &bench->machine;
    int version = 0, clock_khz = 0, memory_khz = 0;
    size_t free_bytes = 0, total_bytes = 0;
    cudaMemGetInfo(&free_bytes, &total_bytes);
    snprintf(m->name, sizeof m->name, "%s", p.name);
    m->compute_capability = 10 * p.major + p.minor;
    m->n_sms = p.multiProcessorCount;
    cudaGetDeviceCount(&m->n_gpus);
    m->memory_bytes = static_cast<int64_t>(total_bytes);
    m->l2_bytes = p.l2CacheSize;
    m->context_bytes = nvml_used_bytes(bench->pci_bus_id) - static_cast<int64_t>(memory_before);
    cudaDeviceGetAttribute(&clock_khz, cudaDevAttrClockRate, 0);
    cudaDeviceGetAttribute(&memory_khz, cudaDevAttrMemoryClockRate, 0);
    m->max_sm_clock_hz = 1e3 * clock_khz;
    m->max_memory_clock_hz = 1e3 * memory_khz;
    m->memory_bus_bits = p.memoryBusWidth;
    cudaRuntimeGetVersion(&version);
    snprintf(m->cuda, sizeof m->cuda, "%d.%d", version / 1000, version % 1000 / 10);
    const int cublaslt = static_cast<int>(cublasLtGetVersion());
    snprintf(m->cublaslt, sizeof m->cublaslt, "%d.%d.%d", cublaslt / 10000,
             cublaslt / 100 % 100, cublaslt % 100);
#if HAVE_CUDNN
    const int cudnn = static_cast<int>(cudnnGetVersion());
    snprintf(m->cudnn, sizeof m->cudnn, "%d.%d.%d", cudnn / 10000, cudnn / 100 % 100,
             cudnn % 100);
#endif
#if HAVE_NCCL
    ncclGetVersion(&version);
    snprintf(m->nccl, sizeof m->nccl, "%d.%d.%d", version / 10000, version / 100 % 100,
             version % 100);
#endif
    nvml_describe(bench->pci_bus_id, m);
}

using Special = void (*)(Bench &bench, const Measurement &m, Result *result);

Special special_for(MeasureKind kind)
{
    switch (kind) {
    case MEASURE_INTERFERENCE:
        return interference_measure;
    case MEASURE_CHAIN:
        return chain_measure;
    case MEASURE_LAUNCH:
        return launch_measure;
    case MEASURE_TRANSFER:
        return transfer_measure;
    case MEASURE_COLLECTIVE:
        return collective_measure;
    case MEASURE_KERNEL:
    case MEASURE_SUSTAINED:
    case N_MEASURE_KINDS:
        break;
    }
    return nullptr;
}

#define SUSTAINED_S 1.0

void kernel_measure(Bench &bench, const Measurement &m, Result *result)
{
    const std::vector<Work> works = work_build(bench, m, build_find(m));
    work_check(bench, works[0]);
    const Timing timing = work_time(bench, works);
    result->time_s = timing.median_s;
    result->p10_s = timing.p10_s;
    result->p90_s = timing.p90_s;
    if (m.kind == MEASURE_SUSTAINED)
        result->sustained_s = work_time_sustained(bench, works, SUSTAINED_S);
    snprintf(result->implementation, sizeof result->implementation, "%s",
             works[0].implementation.c_str());
}

void measure(Bench &bench, const Measurement &m, Result *result)
{
    const Special special = special_for(m.kind);
    if (special)
        special(bench, m, result);
    else
        kernel_measure(bench, m, result);
    cuda_check(cudaStreamSynchronize(bench.stream), "kernel");
}

void set_reason(Result *result, ResultStatus status, const char *reason)
{
    result->status = status;
    snprintf(result->reason, sizeof result->reason, "%s", reason);
}

void open(Bench *bench)
{
    if (cudaDeviceGetPCIBusId(bench->pci_bus_id, sizeof bench->pci_bus_id, 0) != cudaSuccess)
        bench->pci_bus_id[0] = '\0';
    const int64_t memory_before = nvml_used_bytes(bench->pci_bus_id);
    size_t free_bytes = 0, total_bytes = 0;
    cuda_check(cudaSetDevice(0), "device");
    cuda_check(cudaGetDeviceProperties(&bench->properties, 0), "device");
    cuda_check(cudaFree(nullptr), "context");
    describe(bench, static_cast<size_t>(memory_before));
    cuda_check(cudaStreamCreateWithFlags(&bench->stream, cudaStreamNonBlocking), "stream");
    bench->workspace_bytes = workspace_for(bench->machine.compute_capability);
    cuda_check(cudaMalloc(&bench->workspace, bench->workspace_bytes), "workspace");
    if (cublasLtCreate(&bench->cublaslt) != CUBLAS_STATUS_SUCCESS)
        throw std::runtime_error("cuBLASLt doesn't start");
    cuda_check(cudaMemGetInfo(&free_bytes, &total_bytes), "memory");
    bench->arena.open(static_cast<size_t>(ARENA_FRACTION * static_cast<double>(free_bytes)));
}

} // namespace

Build build_find(const Measurement &m)
{
    static const struct {
        const char *library;
        Build (*find)(const Measurement &m);
    } families[] = {
        {"own", elementwise_build}, {"own", norm_build},      {"own", norm_python_build},
        {"own", softmax_build},     {"own", embedding_build}, {"own", memory_build},
    };
    if (strcmp(m.op->name, "gemm") == 0)
        return gemm_build(m);
    if (strcmp(m.op->name, "optimizer_step") == 0)
        return optimizer_build(m);
    if (strncmp(m.op->name, "cudnn_attention", 15) == 0)
        return attention_build(m);
    if (m.op->library && strcmp(m.op->library, "cuDNN") == 0)
        return cnn_build(m);
    for (const auto &family : families) {
        if (const Build build = family.find(m))
            return build;
    }
    throw Absent("no kernel of this program");
}

extern "C" BuildFacts bench_build_facts(void)
{
    BuildFacts facts = {};
    facts.cuda = TEXT(__CUDACC_VER_MAJOR__) "." TEXT(__CUDACC_VER_MINOR__);
    facts.cublaslt = TEXT(CUBLAS_VER_MAJOR) "." TEXT(CUBLAS_VER_MINOR);
#if HAVE_CUDNN
    facts.cudnn = TEXT(CUDNN_MAJOR) "." TEXT(CUDNN_MINOR) "." TEXT(CUDNN_PATCHLEVEL);
#endif
#if HAVE_NCCL
    facts.nccl = TEXT(NCCL_MAJOR) "." TEXT(NCCL_MINOR) "." TEXT(NCCL_PATCH);
#endif
    facts.architectures = CUDA_ARCHITECTURES;
    return facts;
}

extern "C" int bench_count_gpus(char *reason, size_t size)
{
    int n = 0;
    const cudaError_t status = cudaGetDeviceCount(&n);
    if (status == cudaSuccess && n > 0)
        return n;
    cudaGetLastError();
    snprintf(reason, size, "%s",
             status == cudaSuccess ? "no CUDA-capable device is detected"
                                   : cudaGetErrorString(status));
    return 0;
}

extern "C" Bench *bench_open(char *reason, size_t size)
{
    Bench *bench = new Bench();
    try {
        open(bench);
        return bench;
    } catch (const std::exception &error) {
        snprintf(reason, size, "%s", error.what());
        delete bench;
        return nullptr;
    }
}

extern "C" void bench_close(Bench *bench)
{
    bench->arena.close();
    cublasLtDestroy(bench->cublaslt);
    cudaFree(bench->workspace);
    cudaStreamDestroy(bench->stream);
    delete bench;
}

extern "C" void bench_describe(const Bench *bench, Machine *machine)
{
    *machine = bench->machine;
    nvml_describe(bench->pci_bus_id, machine);
}

extern "C" void bench_measure(Bench *bench, const Measurement *m, Result *result)
{
    memset(result, 0, sizeof *result);
    try {
        measure(*bench, *m, result);
    } catch (const Absent &error) {
        set_reason(result, RESULT_ABSENT, error.what());
    } catch (const Wrong &error) {
        set_reason(result, RESULT_WRONG, error.what());
    } catch (const std::exception &error) {
        set_reason(result, RESULT_ABSENT, error.what());
    }
    cudaGetLastError();
    const cudaError_t status = cudaStreamSynchronize(bench->stream);
    if (status == cudaSuccess)
        return;
    if (result->reason[0] == '\0')
        set_reason(result, RESULT_BROKEN, cudaGetErrorString(status));
    result->status = RESULT_BROKEN;
}
