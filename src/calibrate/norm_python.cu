/* SPDX-License-Identifier: MIT */
/* The RMSNorm that transformers writes in Python (models/llama/modeling_llama.py LlamaRMSNorm):
 * x to fp32, pow, mean, rsqrt, product, back to 16 bits, product with the weight; and what
 * autograd makes of it backward. */
#include "reduce.cuh"

#include <cmath>
#include <cstring>
#include <type_traits>

namespace
{

struct Square {
    template <typename R> __host__ __device__ R operator()(R x) const
    {
        return x * x;
    }
};
struct TimesRow {
    template <typename R> __host__ __device__ R operator()(R x, R r, R) const
    {
        return x * r;
    }
};
struct TimesColumn {
    template <typename R> __host__ __device__ R operator()(R x, R, R c) const
    {
        return x * c;
    }
};
struct SpreadRow { /* the gradient of a mean: the row's value everywhere */
    template <typename R> __host__ __device__ R operator()(R, R r, R) const
    {
        return r;
    }
};
struct InverseRoot {
    template <typename R> __host__ __device__ R operator()(R x) const
    {
        return R(1) / sqrt(x);
    }
};
struct InverseRootGradient {
    template <typename R> __host__ __device__ R operator()(R g, R y) const
    {
        return R(-0.5) * g * y * y * y;
    }
};

__global__ void row_mean_kernel(int64_t width, const float *in, float *out)
{
    __shared__ float scratch[32];
    float sum = 0;
    for (int64_t i = threadIdx.x; i < width; i += ROW_THREADS)
        sum += in[blockIdx.x * width + i];
    sum = block_reduce(sum, Sum(), scratch);
    if (threadIdx.x == 0)
        out[blockIdx.x] = sum / width;
}

template <typename T> struct Tensors {
    int64_t rows, width, n;
    const Bench *bench;
    T *x, *weight, *normal, *out, *gradient, *product;
    float *x32, *a, *b, *c, *mean, *inverse, *row;
};

template <typename T> Tensors<T> tensors(Bench &bench, const Measurement &m)
{
    Tensors<T> t = {};
    t.rows = m.dimension[0];
    t.width = m.dimension[1];
    t.n = t.rows * t.width;
    t.bench = &bench;
    t.x = random_tensor<T>(bench, t.n);
    t.weight = random_tensor<T>(bench, t.width);
    t.gradient = random_tensor<T>(bench, t.n);
    t.normal = random_tensor<T>(bench, t.n);
    t.out = bench.arena.take_n<T>(t.n);
    t.product = bench.arena.take_n<T>(t.n);
    t.x32 = random_tensor<float>(bench, t.n);
    t.a = bench.arena.take_n<float>(t.n); /* in fp32 the products go there without a cast */
    if constexpr (std::is_same_v<T, float>)
        t.a = t.out;
    t.b = bench.arena.take_n<float>(t.n);
    t.c = bench.arena.take_n<float>(t.n);
    t.mean = random_tensor<float>(bench, t.rows);
    t.inverse = random_tensor<float>(bench, t.rows);
    t.row = bench.arena.take_n<float>(t.rows);
    return t;
}

template <typename T> void forward_launches(const Tensors<T> &t, cudaStream_t s)
{
    const float *x32 = t.x32;
    if constexpr (std::is_same_v<T, float>)
        x32 = t.x; /* no cast */
    else
        pass(t.bench, s, t.n, t.x32, Identity(), static_cast<const T *>(t.x));
    pass(t.bench, s, t.n, t.a, Square(), x32);
    row_mean_kernel<<<static_cast<unsigned>(t.rows), ROW_THREADS, 0, s>>>(t.width, t.a, t.mean);
    pass(t.bench, s, t.rows, t.row, AddConstant{1e-5f}, static_cast<const float *>(t.mean));
    pass(t.bench, s, t.rows, t.inverse, InverseRoot(), static_cast<const float *>(t.row));
    broadcast_pass(t.bench, s, t.rows, t.width, t.b, TimesRow(), x32,
                   static_cast<const float *>(t.inverse), x32);
    const T *normal;
    if constexpr (std::is_same_v<T, float>) {
        normal = t.b;
    } else {
        pass(t.bench, s, t.n, t.normal, Identity(), static_cast<const float *>(t.b));
        normal = t.normal;
    }
    broadcast_pass(t.bench, s, t.rows, t.width, t.out, TimesColumn(), normal,
                   static_cast<const float *>(t.inverse), static_cast<const T *>(t.weight));
}

template <typename T> Work forward(Bench &bench, const Measurement &m)
{
    const Tensors<T> t = tensors<T>(bench, m);
    Work work;
    work.implementation = "own kernels, pass by pass as PyTorch's";
    work.launch = [t](cudaStream_t s) { forward_launches(t, s); };
    work.check = [t](cudaStream_t) {
        const std::vector<double> w = fetch(t.weight, 0, t.width);
        std::vector<double> x = fetch(t.x, 0, t.width), wanted(t.width);
        double square = 0;
        for (double v : x)
            square += v * v / t.width;
        for (int64_t i = 0; i < t.width; i++)
            wanted[i] = x[i] / std::sqrt(square + 1e-5) * w[i];
        compare("RMSNorm", fetch(t.out, 0, t.width), wanted, 4 * tolerance<T>(),
                4 * tolerance<T>());
    };
    return work;
}

/* The passes are checked one by one; their inputs are random where forward would have left
 * them. */
template <typename T>
void backward_launches(const Tensors<T> &t, const ColumnSum &sum, T *weight, cudaStream_t s)
{
    const auto fp32 = [](float *p) { return static_cast<const float *>(p); };
    const T *x = t.gradient, *normal = t.normal;
    pass(t.bench, s, t.n, t.product, Multiply(), x, normal);
    sum(s, static_cast<const T *>(t.product), weight);
    broadcast_pass(t.bench, s, t.rows, t.width, t.out, TimesColumn(), x, fp32(t.inverse),
                   static_cast<const T *>(t.weight));
    if constexpr (!std::is_same_v<T, float>)
        pass(t.bench, s, t.n, t.a, Identity(), static_cast<const T *>(t.out));
    broadcast_pass(t.bench, s, t.rows, t.width, t.b, TimesRow(), fp32(t.a), fp32(t.inverse),
                   fp32(t.x32));
    pass(t.bench, s, t.n, t.c, Multiply(), fp32(t.a), fp32(t.x32));
    row_mean_kernel<<<static_cast<unsigned>(t.rows), ROW_THREADS, 0, s>>>(t.width, t.c, t.row);
    pass(t.bench, s, t.rows, t.mean, InverseRootGradient(), fp32(t.row), fp32(t.inverse));
    broadcast_pass(t.bench, s, t.rows, t.width, t.c, SpreadRow(), fp32(t.x32), fp32(t.mean),
                   fp32(t.x32));
    pass(t.bench, s, t.n, t.a, Identity(), fp32(t.x32)); /* pow(x, 1) */
    pass(t.bench, s, t.n, t.a, ScaleBy{2}, fp32(t.a));
    pass(t.bench, s, t.n, t.c, Multiply(), fp32(t.c), fp32(t.a));
    pass(t.bench, s, t.n, t.b, Add(), fp32(t.b), fp32(t.c));
    if constexpr (!std::is_same_v<T, float>)
        pass(t.bench, s, t.n, t.out, Identity(), fp32(t.b));
}

template <typename T> Work backward(Bench &bench, const Measurement &m)
{
    const Tensors<T> t = tensors<T>(bench, m);
    T *weight = bench.arena.take_n<T>(t.width);
    const ColumnSum sum(bench, t.rows, t.width, sizeof(T));
    Work work;
    work.implementation = "own kernels, pass by pass as PyTorch's";
    work.launch = [=](cudaStream_t s) { backward_launches(t, sum, weight, s); };
    return work;
}

} // namespace

Build norm_python_build(const Measurement &m)
{
    const bool is_forward = strcmp(m.op->name, "rmsnorm_python_forward") == 0;
    if (!is_forward && strcmp(m.op->name, "rmsnorm_python_backward") != 0)
        return nullptr;
    if (m.type == TYPE_BF16)
        return is_forward ? forward<__nv_bfloat16> : backward<__nv_bfloat16>;
    if (m.type == TYPE_FP16)
        return is_forward ? forward<__half> : backward<__half>;
    return is_forward ? forward<float> : backward<float>;
}
