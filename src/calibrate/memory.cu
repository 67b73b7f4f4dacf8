/* SPDX-License-Identifier: MIT */
/* Kernels that only move memory: copies in and out of buckets, casts, fills, scaling,
 * accumulation, sums of squares. */
#include "reduce.cuh"

#include <cmath>
#include <cstring>

namespace
{

Work ours(Launch launch)
{
    return {launch, {}, "own kernel, as PyTorch's elementwise ones"};
}

Work copy(Bench &bench, const Measurement &m)
{
    const int64_t n = divide_up(m.dimension[0], 4);
    const float *in = random_tensor<float>(bench, n);
    float *out = bench.arena.take_n<float>(n);
    Work work;
    work.implementation = "cudaMemcpyAsync, device to device";
    work.launch = [=](cudaStream_t s) {
        cudaMemcpyAsync(out, in, n * sizeof(float), cudaMemcpyDeviceToDevice, s);
    };
    work.check = [=](cudaStream_t) {
        const int64_t window = std::min<int64_t>(n, 64);
        compare("copy", fetch(out, n - window, window), fetch(in, n - window, window), 0, 0);
    };
    return work;
}

Work fill(Bench &bench, const Measurement &m)
{
    const int64_t n = divide_up(m.dimension[0], 4);
    float *out = bench.arena.take_n<float>(n);
    Work work;
    work.implementation = "cudaMemsetAsync";
    work.launch = [=](cudaStream_t s) { cudaMemsetAsync(out, 0, n * sizeof(float), s); };
    work.check = [=](cudaStream_t) {
        compare("memset", fetch(out, n - 1, 1), std::vector<double>(1), 0, 0);
    };
    return work;
}

template <typename To, typename From> Work cast(Bench &bench, int64_t n)
{
    const From *in = random_tensor<From>(bench, n);
    To *out = bench.arena.take_n<To>(n);
    const Bench *b = &bench;
    return ours([=](cudaStream_t s) { pass(b, s, n, out, Identity(), in); });
}

/* By the bytes read and written: 4 is fp32, 2 bf16. */
Work cast_build(Bench &bench, const Measurement &m)
{
    const int64_t n = m.dimension[0], from = m.dimension[1], to = m.dimension[2];
    if (from == 4 && to == 2)
        return cast<__nv_bfloat16, float>(bench, n);
    if (from == 2 && to == 4)
        return cast<float, __nv_bfloat16>(bench, n);
    if (from == 4 && to == 4)
        return cast<float, float>(bench, n);
    if (from == 2 && to == 2)
        return cast<__half, __nv_bfloat16>(bench, n);
    throw Absent("a cast between these sizes");
}

Work scale(Bench &bench, const Measurement &m)
{
    const int64_t n = divide_up(m.dimension[0], 4);
    float *x = random_tensor<float>(bench, n);
    const Bench *b = &bench;
    return ours([=](cudaStream_t s) {
        pass(b, s, n, x, ScaleBy{0.9999f}, static_cast<const float *>(x));
    });
}

Work accumulate(Bench &bench, const Measurement &m)
{
    const int64_t n = divide_up(m.dimension[0], 4);
    float *x = random_tensor<float>(bench, n);
    const float *y = random_tensor<float>(bench, n, 1e-3f);
    const Bench *b = &bench;
    return ours(
        [=](cudaStream_t s) { pass(b, s, n, x, Add(), static_cast<const float *>(x), y); });
}

/* Each block's share to `partial`, then one block for the rest, as ATen's multi-tensor norm. */
__global__ void square_sum_kernel(int64_t n, const float *in, float *partial)
{
    __shared__ float scratch[32];
    const int64_t stride = (int64_t)gridDim.x * blockDim.x * 4;
    float sum = 0;
    for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * 4; i + 4 <= n;
         i += stride) {
        const Pack<float, 4> x = *reinterpret_cast<const Pack<float, 4> *>(in + i);
        for (int j = 0; j < 4; j++)
            sum += x.element[j] * x.element[j];
    }
    sum = block_reduce(sum, Sum(), scratch);
    if (threadIdx.x == 0)
        partial[blockIdx.x] = sum;
}

__global__ void total_kernel(int n, const float *partial, float *out)
{
    __shared__ float scratch[32];
    float sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        sum += partial[i];
    sum = block_reduce(sum, Sum(), scratch);
    if (threadIdx.x == 0)
        *out = sqrtf(sum);
}

Work norm(Bench &bench, const Measurement &m)
{
    const int64_t n = divide_up(m.dimension[0], 16) * 4;
    const unsigned blocks = static_cast<unsigned>(
        std::min<int64_t>(8 * bench.properties.multiProcessorCount, divide_up(n, 4096)));
    const float *in = random_tensor<float>(bench, n);
    float *partial = bench.arena.take_n<float>(blocks), *out = bench.arena.take_n<float>(1);
    Work work;
    work.implementation = "own kernels, two stages";
    work.launch = [=](cudaStream_t s) {
        square_sum_kernel<<<blocks, 512, 0, s>>>(n, in, partial);
        total_kernel<<<1, 512, 0, s>>>(static_cast<int>(blocks), partial, out);
    };
    work.check = [=](cudaStream_t) {
        if (n > 1 << 20)
            return;
        double sum = 0;
        for (double v : fetch(in, 0, n))
            sum += v * v;
        compare("norm", fetch(out, 0, 1), {std::sqrt(sum)}, 1e-4, 0);
    };
    return work;
}

struct Row {
    const char *op;
    Build build;
};

const Row rows[] = {
    {"copy", copy},   {"memset", fill},           {"cast", cast_build},
    {"scale", scale}, {"accumulate", accumulate}, {"norm", norm},
};

} // namespace

Build memory_build(const Measurement &m)
{
    for (const Row &row : rows) {
        if (strcmp(row.op, m.op->name) == 0)
            return row.build;
    }
    return nullptr;
}
