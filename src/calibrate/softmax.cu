/* SPDX-License-Identifier: MIT */
/* Softmax of eager attention (scale, mask, fp32 softmax, cast back) and the cross entropy of a
 * language model on fp32 logits (cast, log-softmax, loss), as transformers and ATen run them: a
 * block a row, the row read once for its maximum and sum and once more to write. */
#include "reduce.cuh"

#include <cmath>
#include <cstring>
#include <type_traits>

namespace
{

/* aten/src/ATen/native/cuda/SoftMax.cu uses up to 1,024 threads for long rows. */
constexpr int SOFTMAX_THREADS = 1024;

template <typename T, bool logarithm>
__global__ void softmax_kernel(int64_t width, const T *in, float *out)
{
    __shared__ float scratch[32];
    const T *x = in + blockIdx.x * width;
    float *y = out + blockIdx.x * width;
    float highest = Maximum::start, sum = 0;
    for (int64_t i = threadIdx.x; i < width; i += blockDim.x)
        highest = fmaxf(highest, to_float(x[i]));
    highest = block_reduce(highest, Maximum(), scratch);
    for (int64_t i = threadIdx.x; i < width; i += blockDim.x)
        sum += __expf(to_float(x[i]) - highest);
    sum = block_reduce(sum, Sum(), scratch);
    const float log_sum = __logf(sum), inverse = 1 / sum;
    for (int64_t i = threadIdx.x; i < width; i += blockDim.x) {
        const float shifted = to_float(x[i]) - highest;
        y[i] = logarithm ? shifted - log_sum : __expf(shifted) * inverse;
    }
}

/* softmax: y (g - sum(g y)); log-softmax: g - exp(y) sum(g). */
template <bool logarithm>
__global__ void softmax_backward_kernel(int64_t width, const float *gradient,
                                        const float *output, float *out)
{
    __shared__ float scratch[32];
    const int64_t first = blockIdx.x * width;
    float sum = 0;
    for (int64_t i = threadIdx.x; i < width; i += blockDim.x)
        sum += gradient[first + i] * (logarithm ? 1 : output[first + i]);
    sum = block_reduce(sum, Sum(), scratch);
    for (int64_t i = threadIdx.x; i < width; i += blockDim.x) {
        const float g = gradient[first + i], y = output[first + i];
        out[first + i] = logarithm ? g - __expf(y) * sum : y * (g - sum);
    }
}

unsigned threads_for(int64_t width)
{
    int64_t threads = 64;
    while (threads < SOFTMAX_THREADS && threads * 4 < width)
        threads *= 2;
    return static_cast<unsigned>(threads);
}

template <bool logarithm, typename T>
void check_softmax(int64_t rows, int64_t width, const T *in, const float *out)
{
    for (int64_t row : sample_rows(rows)) {
        std::vector<double> x = fetch(in, row * width, width);
        double highest = -1e300, sum = 0;
        for (double v : x)
            highest = std::max(highest, v);
        for (double v : x)
            sum += std::exp(v - highest);
        for (double &v : x)
            v = logarithm ? v - highest - std::log(sum) : std::exp(v - highest) / sum;
        compare("softmax", fetch(out, row * width, width), x, 1e-4, 1e-5);
    }
}

template <bool logarithm>
void check_backward(int64_t rows, int64_t width, const float *gradient, const float *output,
                    const float *out)
{
    for (int64_t row : sample_rows(rows)) {
        const std::vector<double> g = fetch(gradient, row * width, width);
        const std::vector<double> y = fetch(output, row * width, width);
        std::vector<double> wanted(width);
        double sum = 0;
        for (int64_t i = 0; i < width; i++)
            sum += logarithm ? g[i] : g[i] * y[i];
        for (int64_t i = 0; i < width; i++)
            wanted[i] = logarithm ? g[i] - std::exp(y[i]) * sum : y[i] * (g[i] - sum);
        compare("gradient of softmax", fetch(out, row * width, width), wanted, 1e-3,
                1e-4 * std::sqrt(static_cast<double>(width)));
    }
}

Work ours(Launch launch, Launch check)
{
    return {launch, check, "own kernels, a block a row, as ATen's"};
}

struct AddColumn {
    template <typename R> __host__ __device__ R operator()(R x, R, R c) const
    {
        return x + c;
    }
};

/* Scale and mask in the scores' type, softmax in fp32, cast back. */
template <typename T> Work softmax_forward(Bench &bench, const Measurement &m)
{
    const int64_t rows = m.dimension[0], width = m.dimension[1], n = rows * width;
    const T *scores = random_tensor<T>(bench, n);
    T *scaled = bench.arena.take_n<T>(n), *masked = bench.arena.take_n<T>(n);
    const T *mask = random_tensor<T>(bench, width);
    const T *ones = random_tensor<T>(bench, rows);
    float *probability = bench.arena.take_n<float>(n);
    T *result = bench.arena.take_n<T>(n);
    const Bench *b = &bench;
    return ours(
        [=](cudaStream_t s) {
            pass(b, s, n, scaled, ScaleBy{0.125f}, scores);
            broadcast_pass(b, s, rows, width, masked, AddColumn(),
                           static_cast<const T *>(scaled), ones, mask);
            softmax_kernel<T, false><<<static_cast<unsigned>(rows), threads_for(width), 0, s>>>(
                width, masked, probability);
            if constexpr (!std::is_same_v<T, float>)
                pass(b, s, n, result, Identity(), static_cast<const float *>(probability));
        },
        [=](cudaStream_t) { check_softmax<false>(rows, width, masked, probability); });
}

template <typename T> Work softmax_backward(Bench &bench, const Measurement &m)
{
    const int64_t rows = m.dimension[0], width = m.dimension[1], n = rows * width;
    const T *gradient = random_tensor<T>(bench, n);
    const float *probability = random_tensor<float>(bench, n, 0.01f);
    float *gradient32 = random_tensor<float>(bench, n),
          *scores32 = bench.arena.take_n<float>(n);
    T *scores = bench.arena.take_n<T>(n), *result = bench.arena.take_n<T>(n);
    const Bench *b = &bench;
    return ours(
        [=](cudaStream_t s) {
            if constexpr (!std::is_same_v<T, float>)
                pass(b, s, n, gradient32, Identity(), gradient);
            softmax_backward_kernel<false>
                <<<static_cast<unsigned>(rows), threads_for(width), 0, s>>>(
                    width, gradient32, probability, scores32);
            if constexpr (!std::is_same_v<T, float>)
                pass(b, s, n, scores, Identity(), static_cast<const float *>(scores32));
            pass(b, s, n, result, ScaleBy{0.125f}, static_cast<const T *>(scores));
        },
        [=](cudaStream_t) {
            check_backward<false>(rows, width, gradient32, probability, scores32);
        });
}

__global__ void loss_kernel(int64_t rows, int64_t width, const float *logarithms,
                            const int64_t *target, float *loss)
{
    __shared__ float scratch[32];
    float sum = 0;
    for (int64_t i = threadIdx.x; i < rows; i += blockDim.x)
        sum -= logarithms[i * width + target[i]];
    sum = block_reduce(sum, Sum(), scratch);
    if (threadIdx.x == 0)
        *loss = sum / rows;
}

__global__ void loss_gradient_kernel(int64_t rows, int64_t width, const int64_t *target,
                                     float *gradient)
{
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < rows)
        gradient[i * width + target[i]] = -1.0f / rows;
}

template <typename T> Work cross_entropy_forward(Bench &bench, const Measurement &m)
{
    const int64_t rows = m.dimension[0], width = m.dimension[1], n = rows * width;
    const T *logits = random_tensor<T>(bench, n);
    float *logits32 = bench.arena.take_n<float>(std::is_same_v<T, float> ? 1 : n);
    float *logarithms = bench.arena.take_n<float>(n), *loss = bench.arena.take_n<float>(1);
    const int64_t *target = random_ids(bench, rows, width);
    const Bench *b = &bench;
    return ours(
        [=](cudaStream_t s) {
            const float *in = logits32;
            if constexpr (std::is_same_v<T, float>)
                in = logits;
            else
                pass(b, s, n, logits32, Identity(), logits);
            softmax_kernel<float, true>
                <<<static_cast<unsigned>(rows), threads_for(width), 0, s>>>(width, in,
                                                                            logarithms);
            loss_kernel<<<1, 1024, 0, s>>>(rows, width, logarithms, target, loss);
        },
        [=](cudaStream_t) { check_softmax<true>(rows, width, logits, logarithms); });
}

template <typename T> Work cross_entropy_backward(Bench &bench, const Measurement &m)
{
    const int64_t rows = m.dimension[0], width = m.dimension[1], n = rows * width;
    const float *logarithms = random_tensor<float>(bench, n, 0.1f);
    float *gradient = bench.arena.take_n<float>(n), *result32 = bench.arena.take_n<float>(n);
    T *result = bench.arena.take_n<T>(std::is_same_v<T, float> ? 1 : n);
    const int64_t *target = random_ids(bench, rows, width);
    const Bench *b = &bench;
    return ours(
        [=](cudaStream_t s) {
            cudaMemsetAsync(gradient, 0, n * sizeof(float), s);
            loss_gradient_kernel<<<static_cast<unsigned>(divide_up(rows, 256)), 256, 0, s>>>(
                rows, width, target, gradient);
            softmax_backward_kernel<true>
                <<<static_cast<unsigned>(rows), threads_for(width), 0, s>>>(
                    width, gradient, logarithms, result32);
            if constexpr (!std::is_same_v<T, float>)
                pass(b, s, n, result, Identity(), static_cast<const float *>(result32));
        },
        [=](cudaStream_t) {
            check_backward<true>(rows, width, gradient, logarithms, result32);
        });
}

struct Row {
    const char *op;
    Build fp32, bf16, fp16;
};

#define BUILDS(f) f<float>, f<__nv_bfloat16>, f<__half>

const Row rows[] = {
    {"softmax_forward", BUILDS(softmax_forward)},
    {"softmax_backward", BUILDS(softmax_backward)},
    {"cross_entropy_forward", BUILDS(cross_entropy_forward)},
    {"cross_entropy_backward", BUILDS(cross_entropy_backward)},
};

} // namespace

Build softmax_build(const Measurement &m)
{
    for (const Row &row : rows) {
        if (strcmp(row.op, m.op->name) != 0)
            continue;
        return m.type == TYPE_BF16 ? row.bf16 : m.type == TYPE_FP16 ? row.fp16 : row.fp32;
    }
    return nullptr;
}
