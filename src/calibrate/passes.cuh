/* SPDX-License-Identifier: MIT */
/* Elementwise kernels as PyTorch launches them: one kernel a pass over the tensors, 16-byte
 * accesses on the widest operand, 128 threads a block (ATen's vectorized_elementwise_kernel).
 * A module written in Python is a chain of such passes. While the bench is checking, each pass
 * compares samples with its functor evaluated on the host in double precision. */
#pragma once

#include "bench.cuh"

#include <algorithm>
#include <tuple>

constexpr int PASS_THREADS = 128;

template <typename T, int N> struct alignas(sizeof(T) * N) Pack {
    T element[N];
};

template <typename... T> constexpr int pass_width()
{
    return 16 / static_cast<int>(std::max({sizeof(T)...}));
}

template <int N, typename Out, typename F, typename... In>
__global__ void pass_kernel(int64_t n, Out *out, F f, const In *...in)
{
    const int64_t i = ((int64_t)blockIdx.x * PASS_THREADS + threadIdx.x) * N;
    if (i + N <= n) {
        const std::tuple<Pack<In, N>...> packs{
            *reinterpret_cast<const Pack<In, N> *>(in + i)...};
        Pack<Out, N> result;
#pragma unroll
        for (int j = 0; j < N; j++)
            result.element[j] = std::apply(
                [&](const auto &...pack) {
                    return from_float<Out>(f(to_float(pack.element[j])...));
                },
                packs);
        *reinterpret_cast<Pack<Out, N> *>(out + i) = result;
        return;
    }
    for (int64_t j = i; j < n; j++)
        out[j] = from_float<Out>(f(to_float(in[j])...));
}

/* Where a tensor of n elements is sampled: a window at each end and one inside. */
#define PASS_SAMPLE 16

inline std::vector<int64_t> pass_windows(int64_t n)
{
    const int64_t last = n > PASS_SAMPLE ? n - PASS_SAMPLE : 0;
    return {0, last / 3, last};
}

template <typename Out, typename F, typename... In>
void pass_launch(cudaStream_t stream, int64_t n, Out *out, F f, const In *...in)
{
    constexpr int width = pass_width<Out, In...>();
    const int64_t blocks = divide_up(n, (int64_t)PASS_THREADS * width);
    pass_kernel<width>
        <<<static_cast<unsigned>(blocks), PASS_THREADS, 0, stream>>>(n, out, f, in...);
}

/* out[i] = f(in[i]...). */
template <typename Out, typename F, typename... In>
void pass(const Bench *bench, cudaStream_t stream, int64_t n, Out *out, F f, const In *...in)
{
    if (!bench->checking) {
        pass_launch(stream, n, out, f, in...);
        return;
    }
    const int64_t window = std::min<int64_t>(n, PASS_SAMPLE);
    std::vector<std::vector<double>> wanted;
    for (int64_t first : pass_windows(n)) { /* before the launch: it may be in place */
        const std::tuple inputs{fetch(in, first, window)...};
        std::vector<double> results(window);
        for (int64_t j = 0; j < window; j++)
            results[j] =
                std::apply([&](const auto &...input) { return f(input[j]...); }, inputs);
        wanted.push_back(results);
    }
    pass_launch(stream, n, out, f, in...);
    cuda_check(cudaStreamSynchronize(stream), "pass");
    for (size_t i = 0; i < wanted.size(); i++)
        compare("elementwise pass", fetch(out, pass_windows(n)[i], window), wanted[i],
                tolerance<Out>(), tolerance<Out>());
}

/* out[r, c] = f(in[r, c], by_row[r], by_column[c]): broadcasting, which PyTorch doesn't
 * vectorise. */
template <typename Out, typename F, typename In, typename Row, typename Column>
__global__ void broadcast_kernel(int64_t n, int64_t width, Out *out, F f, const In *in,
                                 const Row *by_row, const Column *by_column)
{
    const int64_t first = (int64_t)blockIdx.x * PASS_THREADS * 4 + threadIdx.x;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const int64_t i = first + j * PASS_THREADS;
        if (i < n)
            out[i] = from_float<Out>(f(to_float(in[i]), to_float(by_row[i / width]),
                                       to_float(by_column[i % width])));
    }
}

template <typename Out, typename F, typename In, typename Row, typename Column>
void broadcast_pass(const Bench *bench, cudaStream_t stream, int64_t rows, int64_t width,
                    Out *out, F f, const In *in, const Row *by_row, const Column *by_column)
{
    const int64_t n = rows * width, blocks = divide_up(n, 4 * PASS_THREADS);
    broadcast_kernel<<<static_cast<unsigned>(blocks), PASS_THREADS, 0, stream>>>(
        n, width, out, f, in, by_row, by_column);
    if (!bench->checking)
        return;
    const int64_t row = rows - 1, window = std::min<int64_t>(width, PASS_SAMPLE);
    const std::vector<double> x = fetch(in, row * width, window), r = fetch(by_row, row, 1);
    const std::vector<double> c = fetch(by_column, 0, window);
    std::vector<double> wanted(window);
    for (int64_t j = 0; j < window; j++)
        wanted[j] = f(x[j], r[0], c[j]);
    compare("broadcast pass", fetch(out, row * width, window), wanted, tolerance<Out>(),
            tolerance<Out>());
}

/* -- functors: of any real type, so that the host evaluates them in double */

struct Identity {
    template <typename R> __host__ __device__ R operator()(R a) const
    {
        return a;
    }
};
struct Add {
    template <typename R> __host__ __device__ R operator()(R a, R b) const
    {
        return a + b;
    }
};
struct Multiply {
    template <typename R> __host__ __device__ R operator()(R a, R b) const
    {
        return a * b;
    }
};
struct ScaleBy {
    float factor;
    template <typename R> __host__ __device__ R operator()(R a) const
    {
        return a * static_cast<R>(factor);
    }
};
struct AddConstant {
    float constant;
    template <typename R> __host__ __device__ R operator()(R a) const
    {
        return a + static_cast<R>(constant);
    }
};
