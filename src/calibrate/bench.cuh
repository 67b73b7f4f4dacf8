/* SPDX-License-Identifier: MIT */
/* Inside the CUDA part: memory, random operands, and the contract between the timing loop and
 * the kernels it times. A builder lays out one set of operands and returns how to launch; the
 * timing loop builds as many sets as it takes to keep the second-level cache cold. */
#pragma once

#include "bench.h"

#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#ifndef HAVE_CUDNN
#define HAVE_CUDNN 0
#endif
#ifndef HAVE_NCCL
#define HAVE_NCCL 0
#endif

/* Something this machine can't do; its message is the entry's reason. */
struct Absent : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/* A kernel whose result disagrees with the reference. */
struct Wrong : std::runtime_error {
    using std::runtime_error::runtime_error;
};

void cuda_check(cudaError_t status, const char *what);

/* One block of device memory, handed out from the bottom and taken back all at once. */
class Arena
{
  public:
    void open(size_t bytes);
    void close();
    void reset()
    {
        used_ = 0;
    }
    size_t used() const
    {
        return used_;
    }
    size_t free() const
    {
        return size_ - used_;
    }
    /* Aligned to 256 bytes; throws Absent when it doesn't fit. */
    void *take(size_t bytes);
    template <typename T> T *take_n(int64_t n)
    {
        return static_cast<T *>(take(n * sizeof(T)));
    }

  private:
    char *base_ = nullptr;
    size_t size_ = 0, used_ = 0;
};

struct Bench {
    cudaDeviceProp properties;
    char pci_bus_id[32]; /* empty: not known */
    Machine machine;
    Arena arena;
    cudaStream_t stream;
    cublasLtHandle_t cublaslt;
    void *workspace; /* of cuBLASLt */
    size_t workspace_bytes;
    void *cudnn; /* cudnnHandle_t, made when first asked for */
    uint64_t seed;
    bool checking; /* passes compare themselves with double precision while they launch */
};

using Launch = std::function<void(cudaStream_t)>;

struct Work {
    Launch launch;
    Launch check; /* after one launch; throws Wrong. Empty: launch checks itself */
    std::string implementation;
};

/* Builds one set of operands in the arena. */
using Build = Work (*)(Bench &bench, const Measurement &m);

/* The builder of an operation and type; throws Absent. */
Build build_find(const Measurement &m);

/* -- operands.cu */

/* Normal deviates times `scale`. */
template <typename T> T *random_tensor(Bench &bench, int64_t n, float scale = 1.0f);
/* Uniform in [0, bound). */
int64_t *random_ids(Bench &bench, int64_t n, int64_t bound);
uint8_t *random_mask(Bench &bench, int64_t n);

/* n elements from `first`, as doubles. */
template <typename T> std::vector<double> fetch(const T *tensor, int64_t first, int64_t n);

/* Throws Wrong unless |got - wanted| <= relative x |wanted| + absolute for all. */
void compare(const char *what, const std::vector<double> &got,
             const std::vector<double> &wanted, double relative, double absolute);

/* Of one rounding in T, with some slack. */
template <typename T> double tolerance();

/* Rows to compare: first, last and some between. */
std::vector<int64_t> sample_rows(int64_t rows);

template <typename T> __host__ __device__ inline float to_float(T value)
{
    return static_cast<float>(value);
}

template <typename T> __host__ __device__ inline T from_float(float value)
{
    return static_cast<T>(value);
}

/* Elements of 16 bytes, so that loads are as wide as the hardware has them. */
template <typename T> struct alignas(16) Vector16 {
    static constexpr int n = 16 / sizeof(T);
    T element[n];
};

inline int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* -- one builder a family; NULL where the type isn't built */
Build gemm_build(const Measurement &m);
Build attention_build(const Measurement &m);
Build elementwise_build(const Measurement &m);
Build norm_build(const Measurement &m);
Build norm_python_build(const Measurement &m);
Build softmax_build(const Measurement &m);
Build embedding_build(const Measurement &m);
Build memory_build(const Measurement &m);
Build optimizer_build(const Measurement &m);
Build cnn_build(const Measurement &m);

/* -- measurements that aren't one kernel's time */
void launch_measure(Bench &bench, const Measurement &m, Result *result);
void transfer_measure(Bench &bench, const Measurement &m, Result *result);
void interference_measure(Bench &bench, const Measurement &m, Result *result);
void chain_measure(Bench &bench, const Measurement &m, Result *result);
void collective_measure(Bench &bench, const Measurement &m, Result *result);

/* Appends to result->values. */
void result_add(Result *result, const char *name, double value);
