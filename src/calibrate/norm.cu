/* SPDX-License-Identifier: MIT */
/* LayerNorm and RMSNorm, a block a row with the row held in registers; gradients of weight and
 * bias by a second kernel that adds up columns, as ATen's layer_norm_kernel.cu; the RMSNorm
 * that transformers writes in Python, pass by pass; and sums over columns alone. */
#include "reduce.cuh"

#include <cmath>
#include <cstring>

namespace
{

constexpr float EPSILON = 1e-5f;

/* With `centred` a LayerNorm, without an RMSNorm (no mean, no bias). */
template <typename T, bool centred>
__global__ void norm_forward_kernel(int64_t width, const T *in, const T *weight, const T *bias,
                                    T *out, float2 *statistics)
{
    constexpr int N = 16 / sizeof(T);
    __shared__ float scratch[32];
    const T *x = in + blockIdx.x * width;
    float sum = 0, square = 0;
    for (int64_t i = threadIdx.x * N; i < width; i += ROW_THREADS * N) {
        const Pack<T, N> pack = *reinterpret_cast<const Pack<T, N> *>(x + i);
        for (int j = 0; j < N; j++) {
            const float v = to_float(pack.element[j]);
            sum += v;
            square += v * v;
        }
    }
    const float mean = centred ? block_reduce(sum, Sum(), scratch) / width : 0;
    const float second = block_reduce(square, Sum(), scratch) / width;
    const float inverse = rsqrtf(second - mean * mean + EPSILON);
    for (int64_t i = threadIdx.x * N; i < width; i += ROW_THREADS * N) {
        const Pack<T, N> pack = *reinterpret_cast<const Pack<T, N> *>(x + i);
        const Pack<T, N> w = *reinterpret_cast<const Pack<T, N> *>(weight + i);
        Pack<T, N> result;
        for (int j = 0; j < N; j++) {
            const float b = centred ? to_float(bias[i + j]) : 0;
            result.element[j] = from_float<T>(
                (to_float(pack.element[j]) - mean) * inverse * to_float(w.element[j]) + b);
        }
        *reinterpret_cast<Pack<T, N> *>(out + blockIdx.x * width + i) = result;
    }
    if (threadIdx.x == 0)
        statistics[blockIdx.x] = make_float2(mean, inverse);
}

/* dx = inverse (g w - mean(g w) - xhat mean(g w xhat)) */
template <typename T, bool centred>
__global__ void norm_backward_kernel(int64_t width, const T *gradient, const T *in,
                                     const T *weight, const float2 *statistics, T *out)
{
    constexpr int N = 16 / sizeof(T);
    __shared__ float scratch[32];
    const int64_t first = blockIdx.x * width;
    const float2 s = statistics[blockIdx.x];
    float sum = 0, product = 0;
    for (int64_t i = threadIdx.x * N; i < width; i += ROW_THREADS * N) {
        const Pack<T, N> g = *reinterpret_cast<const Pack<T, N> *>(gradient + first + i);
        const Pack<T, N> x = *reinterpret_cast<const Pack<T, N> *>(in + first + i);
        const Pack<T, N> w = *reinterpret_cast<const Pack<T, N> *>(weight + i);
        for (int j = 0; j < N; j++) {
            const float gw = to_float(g.element[j]) * to_float(w.element[j]);
            sum += gw;
            product += gw * (to_float(x.element[j]) - s.x) * s.y;
        }
    }
    const float mean = centred ? block_reduce(sum, Sum(), scratch) / width : 0;
    const float slope = block_reduce(product, Sum(), scratch) / width;
    for (int64_t i = threadIdx.x * N; i < width; i += ROW_THREADS * N) {
        const Pack<T, N> g = *reinterpret_cast<const Pack<T, N> *>(gradient + first + i);
        const Pack<T, N> x = *reinterpret_cast<const Pack<T, N> *>(in + first + i);
        const Pack<T, N> w = *reinterpret_cast<const Pack<T, N> *>(weight + i);
        Pack<T, N> result;
        for (int j = 0; j < N; j++) {
            const float normal = (to_float(x.element[j]) - s.x) * s.y;
            const float gw = to_float(g.element[j]) * to_float(w.element[j]);
            result.element[j] = from_float<T>(s.y * (gw - mean - normal * slope));
        }
        *reinterpret_cast<Pack<T, N> *>(out + first + i) = result;
    }
}

/* Strips of gradient x normalised (and of the gradient, for the bias); then ColumnSum's end. */
template <typename T, bool centred>
__global__ void norm_weight_kernel(int64_t rows, int64_t width, int64_t strip,
                                   const T *gradient, const T *in, const float2 *statistics,
                                   float *weight_partial, float *bias_partial)
{
    const int64_t column = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int64_t first = blockIdx.y * strip, last = min(first + strip, rows);
    float weight = 0, bias = 0;
    if (column >= width)
        return;
    for (int64_t row = first; row < last; row++) {
        const float2 s = statistics[row];
        const float g = to_float(gradient[row * width + column]);
        weight += g * (to_float(in[row * width + column]) - s.x) * s.y;
        bias += g;
    }
    weight_partial[blockIdx.y * width + column] = weight;
    if (centred)
        bias_partial[blockIdx.y * width + column] = bias;
}

template <typename T> struct NormTensors {
    int64_t rows, width;
    T *in, *weight, *bias, *out;
    float2 *statistics;
};

template <typename T> NormTensors<T> norm_tensors(Bench &bench, const Measurement &m)
{
    const int64_t rows = m.dimension[0], width = m.dimension[1];
    if (width % (16 / sizeof(T)) != 0)
        throw Absent("rows that aren't whole packs of 16 bytes");
    return {rows,
            width,
            random_tensor<T>(bench, rows * width),
            random_tensor<T>(bench, width),
            random_tensor<T>(bench, width),
            bench.arena.take_n<T>(rows * width),
            bench.arena.take_n<float2>(rows)};
}

template <typename T, bool centred> void check_forward(const NormTensors<T> &t)
{
    const std::vector<double> w = fetch(t.weight, 0, t.width), b = fetch(t.bias, 0, t.width);
    for (int64_t row : sample_rows(t.rows)) {
        const std::vector<double> x = fetch(t.in, row * t.width, t.width);
        double mean = 0, variance = 0;
        for (double v : x)
            mean += centred ? v / t.width : 0;
        for (double v : x)
            variance += (v - mean) * (v - mean) / t.width;
        std::vector<double> wanted(t.width);
        for (int64_t i = 0; i < t.width; i++)
            wanted[i] =
                (x[i] - mean) / std::sqrt(variance + EPSILON) * w[i] + (centred ? b[i] : 0);
        compare("norm", fetch(t.out, row * t.width, t.width), wanted, 4 * tolerance<T>(),
                4 * tolerance<T>());
    }
}

template <typename T, bool centred> Work norm_forward(Bench &bench, const Measurement &m)
{
    const NormTensors<T> t = norm_tensors<T>(bench, m);
    Work work;
    work.implementation = "own kernel, a block a row, as ATen's";
    work.launch = [t](cudaStream_t s) {
        norm_forward_kernel<T, centred><<<static_cast<unsigned>(t.rows), ROW_THREADS, 0, s>>>(
            t.width, t.in, t.weight, t.bias, t.out, t.statistics);
    };
    work.check = [t](cudaStream_t) { check_forward<T, centred>(t); };
    return work;
}

template <typename T, bool centred>
void check_backward(const NormTensors<T> &t, const T *gradient, const T *result)
{
    const std::vector<double> w = fetch(t.weight, 0, t.width);
    for (int64_t row : sample_rows(t.rows)) {
        const std::vector<double> x = fetch(t.in, row * t.width, t.width);
        const std::vector<double> g = fetch(gradient, row * t.width, t.width);
        double mean = 0, variance = 0, sum = 0, product = 0;
        for (double v : x)
            mean += centred ? v / t.width : 0;
        for (double v : x)
            variance += (v - mean) * (v - mean) / t.width;
        const double inverse = 1 / std::sqrt(variance + EPSILON);
        for (int64_t i = 0; i < t.width; i++) {
            sum += centred ? g[i] * w[i] / t.width : 0;
            product += g[i] * w[i] * (x[i] - mean) * inverse / t.width;
        }
        std::vector<double> wanted(t.width);
        for (int64_t i = 0; i < t.width; i++)
            wanted[i] = inverse * (g[i] * w[i] - sum - (x[i] - mean) * inverse * product);
        compare("gradient of a norm", fetch(result, row * t.width, t.width), wanted,
                4 * tolerance<T>(), 4 * tolerance<T>());
    }
}

template <typename T, bool centred> Work norm_backward(Bench &bench, const Measurement &m)
{
    const NormTensors<T> t = norm_tensors<T>(bench, m);
    const T *gradient = random_tensor<T>(bench, t.rows * t.width);
    T *result = bench.arena.take_n<T>(t.rows * t.width);
    T *weight = bench.arena.take_n<T>(t.width), *bias = bench.arena.take_n<T>(t.width);
    const ColumnSum sum(bench, t.rows, t.width, sizeof(T));
    float *bias_partial = bench.arena.take_n<float>(sum.strips * t.width);
    const auto forward =
        [t](cudaStream_t s) { /* for its statistics */
                              norm_forward_kernel<T, centred>
                                  <<<static_cast<unsigned>(t.rows), ROW_THREADS, 0, s>>>(
                                      t.width, t.in, t.weight, t.bias, t.out, t.statistics);
        };
    forward(bench.stream);
    Work work;
    work.implementation = "own kernels, a block a row and strips of columns, as ATen's";
    work.launch = [=](cudaStream_t s) {
        const unsigned columns = static_cast<unsigned>(divide_up(t.width, 256));
        norm_backward_kernel<T, centred><<<static_cast<unsigned>(t.rows), ROW_THREADS, 0, s>>>(
            t.width, gradient, t.in, t.weight, t.statistics, result);
        norm_weight_kernel<T, centred>
            <<<dim3(columns, static_cast<unsigned>(sum.strips)), 256, 0, s>>>(
                t.rows, t.width, sum.strip, gradient, t.in, t.statistics, sum.partial,
                bias_partial);
        strip_total_kernel<<<columns, 256, 0, s>>>(sum.strips, t.width, sum.partial, weight);
        if (centred)
            strip_total_kernel<<<columns, 256, 0, s>>>(sum.strips, t.width, bias_partial, bias);
    };
    work.check = [=](cudaStream_t) { check_backward<T, centred>(t, gradient, result); };
    return work;
}

template <typename T> Work column_sum(Bench &bench, const Measurement &m)
{
    const int64_t rows = m.dimension[0], width = m.dimension[1];
    const T *in = random_tensor<T>(bench, rows * width);
    T *out = bench.arena.take_n<T>(width);
    const ColumnSum sum(bench, rows, width, sizeof(T));
    Work work;
    work.implementation = "own kernels, strips of rows";
    work.launch = [=](cudaStream_t s) { sum(s, in, out); };
    work.check = [=](cudaStream_t) {
        const int64_t n = std::min<int64_t>(width, 8);
        std::vector<double> wanted(n);
        for (int64_t row = 0; row < rows; row++) {
            if (rows > 4096 && row == 1)
                return; /* too many small copies: the small shapes stand for it */
            const std::vector<double> x = fetch(in, row * width, n);
            for (int64_t i = 0; i < n; i++)
                wanted[i] += x[i];
        }
        compare("column sum", fetch(out, 0, n), wanted, tolerance<T>(),
                tolerance<T>() * std::sqrt(static_cast<double>(rows)));
    };
    return work;
}

struct Row {
    const char *op;
    Build fp32, bf16, fp16;
};

#define NORM(f, centred) f<float, centred>, f<__nv_bfloat16, centred>, f<__half, centred>

const Row rows[] = {
    {"layernorm_forward", NORM(norm_forward, true)},
    {"layernorm_backward", NORM(norm_backward, true)},
    {"rmsnorm_forward", NORM(norm_forward, false)},
    {"rmsnorm_backward", NORM(norm_backward, false)},
    {"column_sum", column_sum<float>, column_sum<__nv_bfloat16>, column_sum<__half>},
};

} // namespace

Build norm_build(const Measurement &m)
{
    for (const Row &row : rows) {
        if (strcmp(row.op, m.op->name) != 0)
            continue;
        return m.type == TYPE_BF16 ? row.bf16 : m.type == TYPE_FP16 ? row.fp16 : row.fp32;
    }
    return nullptr;
}
