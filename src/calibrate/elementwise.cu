/* SPDX-License-Identifier: MIT */
/* Activations, rotary embedding, dropout, residual: the chains of kernels that PyTorch launches
 * for transformers' modules, pass by pass. Our own kernels: straight, vectorised ones, whose
 * time is that of the memory they move, as PyTorch's is. */
#include "passes.cuh"

#include <cstring>

namespace
{

struct Gelu { /* by erf, fused: aten/src/ATen/native/cuda/ActivationGeluKernel.cu */
    template <typename R> __host__ __device__ R operator()(R x) const
    {
        return R(0.5) * x * (R(1) + erf(x * R(0.70710678118654752)));
    }
};

struct GeluGradient {
    template <typename R> __host__ __device__ R operator()(R g, R x) const
    {
        const R cdf = R(0.5) * (R(1) + erf(x * R(0.70710678118654752)));
        return g * (cdf + x * exp(R(-0.5) * x * x) * R(0.39894228040143268));
    }
};

struct Cube {
    template <typename R> __host__ __device__ R operator()(R x) const
    {
        return x * x * x;
    }
};

struct SquareTimes {
    float factor;
    template <typename R> __host__ __device__ R operator()(R x) const
    {
        return static_cast<R>(factor) * x * x;
    }
};

struct Tanh {
    template <typename R> __host__ __device__ R operator()(R x) const
    {
        return tanh(x);
    }
};

struct TanhGradient {
    template <typename R> __host__ __device__ R operator()(R g, R y) const
    {
        return g * (R(1) - y * y);
    }
};

struct Relu {
    template <typename R> __host__ __device__ R operator()(R x) const
    {
        return x > R(0) ? x : R(0);
    }
};

struct ReluGradient {
    template <typename R> __host__ __device__ R operator()(R g, R y) const
    {
        return y > R(0) ? g : R(0);
    }
};

struct Silu {
    template <typename R> __host__ __device__ R operator()(R x) const
    {
        return x / (R(1) + exp(-x));
    }
};

struct SiluGradient {
    template <typename R> __host__ __device__ R operator()(R g, R x) const
    {
        const R s = R(1) / (R(1) + exp(-x));
        return g * s * (R(1) + x * (R(1) - s));
    }
};

struct MaskScale { /* dropout's backward: gradient, mask of bytes */
    template <typename R> __host__ __device__ R operator()(R g, R keep) const
    {
        return g * keep * R(1.1111111);
    }
};

struct Negative {
    template <typename R> __host__ __device__ R operator()(R x) const
    {
        return -x;
    }
};

/* Scratch tensors for a chain of passes. */
template <typename T> struct Tensors {
    const Bench *bench;
    int64_t n;
    std::vector<T *> t;

    Tensors(Bench &b, int64_t elements, int inputs, int results) : bench(&b), n(elements)
    {
        for (int i = 0; i < inputs; i++)
            t.push_back(random_tensor<T>(b, n));
        for (int i = 0; i < results; i++)
            t.push_back(b.arena.take_n<T>(n));
    }

    template <typename F, typename... In>
    void operator()(cudaStream_t s, int to, F f, In... from) const
    {
        pass(bench, s, n, t[to], f, static_cast<const T *>(t[from])...);
    }
};

Work ours(Launch launch)
{
    return {launch, {}, "own kernels, as PyTorch's elementwise ones"};
}

template <typename T> Work unary(Bench &bench, const Measurement &m, auto f)
{
    const Tensors<T> x(bench, m.dimension[0] * m.dimension[1], 1, 1);
    return ours([=](cudaStream_t s) { x(s, 1, f, 0); });
}

template <typename T> Work binary(Bench &bench, const Measurement &m, auto f)
{
    const Tensors<T> x(bench, m.dimension[0] * m.dimension[1], 2, 1);
    return ours([=](cudaStream_t s) { x(s, 2, f, 0, 1); });
}

template <typename T> Work add(Bench &b, const Measurement &m)
{
    return binary<T>(b, m, Add());
}
template <typename T> Work gelu_forward(Bench &b, const Measurement &m)
{
    return unary<T>(b, m, Gelu());
}
template <typename T> Work gelu_backward(Bench &b, const Measurement &m)
{
    return binary<T>(b, m, GeluGradient());
}
template <typename T> Work tanh_forward(Bench &b, const Measurement &m)
{
    return unary<T>(b, m, Tanh());
}
template <typename T> Work tanh_backward(Bench &b, const Measurement &m)
{
    return binary<T>(b, m, TanhGradient());
}

template <typename T> Work relu_forward(Bench &b, const Measurement &m)
{
    return unary<T>(b, m, Relu());
}
template <typename T> Work relu_backward(Bench &b, const Measurement &m)
{
    return binary<T>(b, m, ReluGradient());
}

/* transformers activations.py NewGELUActivation:
 * 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
template <typename T> Work gelu_python_forward(Bench &bench, const Measurement &m)
{
    const Tensors<T> x(bench, m.dimension[0] * m.dimension[1], 1, 8);
    return ours([=](cudaStream_t s) {
        x(s, 1, Cube(), 0);
        x(s, 2, ScaleBy{0.044715f}, 1);
        x(s, 3, Add(), 0, 2);
        x(s, 4, ScaleBy{0.7978846f}, 3);
        x(s, 5, Tanh(), 4);
        x(s, 6, AddConstant{1}, 5);
        x(s, 7, ScaleBy{0.5f}, 0);
        x(s, 8, Multiply(), 7, 6);
    });
}

/* Inputs: gradient, 1 + tanh, x / 2, tanh, x. */
template <typename T> Work gelu_python_backward(Bench &bench, const Measurement &m)
{
    const Tensors<T> x(bench, m.dimension[0] * m.dimension[1], 5, 11);
    return ours([=](cudaStream_t s) {
        x(s, 5, Multiply(), 0, 1);
        x(s, 6, Multiply(), 0, 2);
        x(s, 7, ScaleBy{0.5f}, 5);
        x(s, 8, TanhGradient(), 6, 3);
        x(s, 9, ScaleBy{0.7978846f}, 8);
        x(s, 10, ScaleBy{0.044715f}, 9);
        x(s, 11, SquareTimes{1}, 4);
        x(s, 12, ScaleBy{3}, 11);
        x(s, 13, Multiply(), 10, 12);
        x(s, 14, Add(), 7, 9);
        x(s, 15, Add(), 14, 13);
    });
}

/* silu(gate) * up */
template <typename T> Work swiglu_forward(Bench &bench, const Measurement &m)
{
    const Tensors<T> x(bench, m.dimension[0] * m.dimension[1], 2, 2);
    return ours([=](cudaStream_t s) {
        x(s, 2, Silu(), 0);
        x(s, 3, Multiply(), 2, 1);
    });
}

/* Inputs: gradient, up, silu(gate), gate. */
template <typename T> Work swiglu_backward(Bench &bench, const Measurement &m)
{
    const Tensors<T> x(bench, m.dimension[0] * m.dimension[1], 4, 3);
    return ours([=](cudaStream_t s) {
        x(s, 4, Multiply(), 0, 2);
        x(s, 5, Multiply(), 0, 1);
        x(s, 6, SiluGradient(), 5, 3);
    });
}

/* -- rotary embedding: apply_rotary_pos_emb over q and k, (x cos) + (rotate_half(x) sin).
 * Halves are negated and concatenated in passes of half the width; q and k are launched one by
 * one. */

void rope_launches(cudaStream_t s, const auto &x, const auto &half, int first)
{
    const int o = first;
    x(s, o + 1, ScaleBy{0.8f}, o);                 /* times cos */
    half(s, o / 8 * 2 + 1, Negative(), o / 8 * 2); /* - upper half */
    x(s, o + 2, Identity(), o);                    /* cat */
    x(s, o + 3, ScaleBy{0.6f}, o + 2);             /* times sin */
    x(s, o + 4, Add(), o + 1, o + 3);
}

template <typename T> Work rope_forward(Bench &bench, const Measurement &m)
{
    const int64_t n = m.dimension[0] * m.dimension[1] / 2;
    const Tensors<T> x(bench, n, 9, 4), half(bench, n / 2, 3, 1);
    return ours([=](cudaStream_t s) {
        rope_launches(s, x, half, 0);
        rope_launches(s, x, half, 8);
    });
}

/* For each of q and k: gradient times cos and times sin, the halves negated and put into two
 * zeroed tensors (fill and copy each), three sums. */
template <typename T> Work rope_backward(Bench &bench, const Measurement &m)
{
    const int64_t n = m.dimension[0] * m.dimension[1] / 2;
    const Tensors<T> x(bench, n, 1, 7), half(bench, n / 2, 1, 1);
    return ours([=](cudaStream_t s) {
        for (int tensor = 0; tensor < 2; tensor++) {
            x(s, 1, ScaleBy{0.8f}, 0);
            x(s, 2, ScaleBy{0.6f}, 0);
            half(s, 1, Negative(), 0);
            for (int i = 3; i < 5; i++) {
                cudaMemsetAsync(x.t[i], 0, n * sizeof(T), s);
                half(s, 1, Identity(), 0);
            }
            x(s, 5, Add(), 3, 4);
            x(s, 6, Add(), 1, 5);
        }
    });
}

/* -- dropout: aten/src/ATen/native/cuda/Dropout.cu draws Philox numbers where it uses them */

__device__ inline uint32_t philox_like(uint64_t counter)
{
    uint32_t a = (uint32_t)counter, b = (uint32_t)(counter >> 32) ^ 0x9E3779B9u;
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const uint64_t product = (uint64_t)a * 0xD256D193u;
        a = (uint32_t)(product >> 32) ^ b ^ (0xBB67AE85u * (uint32_t)round);
        b = (uint32_t)product;
    }
    return a;
}

template <typename T>
__global__ void dropout_kernel(int64_t n, const T *in, T *out, uint8_t *mask)
{
    constexpr int N = 16 / sizeof(T);
    const int64_t i = ((int64_t)blockIdx.x * PASS_THREADS + threadIdx.x) * N;
    if (i + N > n) {
        for (int64_t j = i; j < n; j++) {
            mask[j] = philox_like(j) >= 429496729u;
            out[j] = from_float<T>(to_float(in[j]) * mask[j] * 1.1111111f);
        }
        return;
    }
    const Pack<T, N> x = *reinterpret_cast<const Pack<T, N> *>(in + i);
    Pack<T, N> y;
    Pack<uint8_t, N> keep;
#pragma unroll
    for (int j = 0; j < N; j++) {
        keep.element[j] = philox_like(i + j) >= 429496729u;
        y.element[j] = from_float<T>(to_float(x.element[j]) * keep.element[j] * 1.1111111f);
    }
    *reinterpret_cast<Pack<T, N> *>(out + i) = y;
    *reinterpret_cast<Pack<uint8_t, N> *>(mask + i) = keep;
}

template <typename T> Work dropout_forward(Bench &bench, const Measurement &m)
{
    const int64_t n = m.dimension[0] * m.dimension[1];
    const T *in = random_tensor<T>(bench, n);
    T *out = bench.arena.take_n<T>(n);
    uint8_t *mask = bench.arena.take_n<uint8_t>(n);
    Work work = ours([=](cudaStream_t s) {
        const int64_t blocks = divide_up(n, (int64_t)PASS_THREADS * (16 / sizeof(T)));
        dropout_kernel<<<static_cast<unsigned>(blocks), PASS_THREADS, 0, s>>>(n, in, out, mask);
    });
    work.check = [=](cudaStream_t) {
        const int64_t window = std::min<int64_t>(n, 64);
        std::vector<double> wanted = fetch(in, n - window, window);
        const std::vector<double> keep = fetch(mask, n - window, window);
        for (int64_t i = 0; i < window; i++)
            wanted[i] *= keep[i] * 1.1111111;
        compare("dropout", fetch(out, n - window, window), wanted, tolerance<T>(), 0);
    };
    return work;
}

template <typename T> Work dropout_backward(Bench &bench, const Measurement &m)
{
    const int64_t n = m.dimension[0] * m.dimension[1];
    const T *gradient = random_tensor<T>(bench, n);
    const uint8_t *mask = random_mask(bench, n);
    T *out = bench.arena.take_n<T>(n);
    const Bench *b = &bench;
    return ours([=](cudaStream_t s) { pass(b, s, n, out, MaskScale(), gradient, mask); });
}

struct Row {
    const char *op;
    Build fp32, bf16, fp16;
};

#define BUILDS(f) f<float>, f<__nv_bfloat16>, f<__half>

const Row rows[] = {
    {"add", BUILDS(add)},
    {"gelu_forward", BUILDS(gelu_forward)},
    {"gelu_backward", BUILDS(gelu_backward)},
    {"relu_forward", BUILDS(relu_forward)},
    {"relu_backward", BUILDS(relu_backward)},
    {"tanh_forward", BUILDS(tanh_forward)},
    {"tanh_backward", BUILDS(tanh_backward)},
    {"gelu_python_forward", BUILDS(gelu_python_forward)},
    {"gelu_python_backward", BUILDS(gelu_python_backward)},
    {"swiglu_forward", BUILDS(swiglu_forward)},
    {"swiglu_backward", BUILDS(swiglu_backward)},
    {"rope_forward", BUILDS(rope_forward)},
    {"rope_backward", BUILDS(rope_backward)},
    {"dropout_forward", BUILDS(dropout_forward)},
    {"dropout_backward", BUILDS(dropout_backward)},
};

} // namespace

Build elementwise_build(const Measurement &m)
{
    for (const Row &row : rows) {
        if (strcmp(row.op, m.op->name) != 0)
            continue;
        return m.type == TYPE_BF16 ? row.bf16 : m.type == TYPE_FP16 ? row.fp16 : row.fp32;
    }
    return nullptr;
}
