/* SPDX-License-Identifier: MIT */
/* Reductions within a block and over columns, shared by norms, softmax and gradients of
 * biases. */
#pragma once

#include "passes.cuh"

constexpr int ROW_THREADS = 256;

struct Sum {
    __device__ float operator()(float a, float b) const
    {
        return a + b;
    }
    static constexpr float start = 0;
};

struct Maximum {
    __device__ float operator()(float a, float b) const
    {
        return fmaxf(a, b);
    }
    static constexpr float start = -3.4e38f;
};

/* Every thread gets the result. `scratch` has 32 floats. */
template <typename F> __device__ float block_reduce(float value, F f, float *scratch)
{
    for (int offset = 16; offset > 0; offset /= 2)
        value = f(value, __shfl_xor_sync(0xffffffffu, value, offset));
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    __syncthreads();
    if (lane == 0)
        scratch[warp] = value;
    __syncthreads();
    value = lane < (int)blockDim.x / 32 ? scratch[lane] : F::start;
    for (int offset = 16; offset > 0; offset /= 2)
        value = f(value, __shfl_xor_sync(0xffffffffu, value, offset));
    return value;
}

/* Sums over the rows in two kernels: each block adds up a strip of rows for 32 packs of
 * columns, then the strips are added. ATen's reduction does the same in one launch. */
constexpr int STRIP_ROWS = 16;

template <typename T>
__global__ void strip_sum_kernel(int64_t rows, int64_t width, int64_t strip, const T *in,
                                 float *partial)
{
    constexpr int N = 16 / sizeof(T);
    __shared__ float sums[STRIP_ROWS][32 * N + 1];
    const int64_t column = ((int64_t)blockIdx.x * 32 + threadIdx.x) * N;
    const int64_t first = blockIdx.y * strip, last = min(first + strip, rows);
    float sum[N] = {};
    for (int64_t row = first + threadIdx.y; row < last; row += STRIP_ROWS)
        for (int j = 0; j < N; j++)
            if (column + j < width)
                sum[j] += to_float(in[row * width + column + j]);
    for (int j = 0; j < N; j++)
        sums[threadIdx.y][threadIdx.x * N + j] = sum[j];
    __syncthreads();
    for (int i = threadIdx.y * 32 + threadIdx.x; i < 32 * N; i += STRIP_ROWS * 32) {
        const int64_t c = (int64_t)blockIdx.x * 32 * N + i;
        float total = 0;
        for (int j = 0; j < STRIP_ROWS; j++)
            total += sums[j][i];
        if (c < width)
            partial[blockIdx.y * width + c] = total;
    }
}

template <typename T>
__global__ void strip_total_kernel(int64_t strips, int64_t width, const float *partial, T *out)
{
    const int64_t column = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    float total = 0;
    if (column >= width)
        return;
    for (int64_t i = 0; i < strips; i++)
        total += partial[i * width + column];
    out[column] = from_float<T>(total);
}

/* Strips enough to fill the GPU. */
struct ColumnSum {
    int64_t rows, width, strips, strip;
    float *partial;

    ColumnSum(Bench &bench, int64_t n_rows, int64_t n_columns, int element_bytes)
        : rows(n_rows), width(n_columns)
    {
        const int64_t blocks = divide_up(width, 32 * (16 / element_bytes));
        const int64_t wanted = divide_up(4 * bench.properties.multiProcessorCount, blocks);
        strips = std::max<int64_t>(1, std::min(wanted, divide_up(rows, 4 * STRIP_ROWS)));
        strip = divide_up(rows, strips);
        partial = bench.arena.take_n<float>(strips * width);
    }

    template <typename T> void operator()(cudaStream_t stream, const T *in, T *out) const
    {
        const dim3 grid(static_cast<unsigned>(divide_up(width, 32 * (16 / (int)sizeof(T)))),
                        static_cast<unsigned>(strips));
        strip_sum_kernel<<<grid, dim3(32, STRIP_ROWS), 0, stream>>>(rows, width, strip, in,
                                                                    partial);
        strip_total_kernel<<<static_cast<unsigned>(divide_up(width, 256)), 256, 0, stream>>>(
            strips, width, partial, out);
    }
};
