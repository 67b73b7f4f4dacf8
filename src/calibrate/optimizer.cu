/* SPDX-License-Identifier: MIT */
/* Optimizer steps over many elements: launches of up to 320 blocks of 65,536 elements, as
 * ATen's and Apex's multi_tensor_apply make them. A step is described as the simulator does:
 * bytes an element, and passes over everything. Fused Adam is written out; the others are
 * passes that read and write as many tensors as PyTorch's foreach kernels do. */
#include "passes.cuh"

#include <cmath>

namespace
{

constexpr int64_t CHUNK = 65536;
constexpr int64_t CHUNKS_A_LAUNCH = 320;
constexpr int OPTIMIZER_THREADS = 512;

/* One launch for each 320 chunks: body(first, elements, blocks). */
template <typename F> void in_launches(int64_t n, F body)
{
    for (int64_t first = 0; first < n; first += CHUNK * CHUNKS_A_LAUNCH) {
        const int64_t elements = std::min(n - first, CHUNK * CHUNKS_A_LAUNCH);
        body(first, elements, static_cast<unsigned>(divide_up(elements, CHUNK)));
    }
}

struct AdamStep {
    float rate, beta1, beta2, epsilon, decay, correction1, correction2;
};

/* torch/_fused_adamw_: p, g, m, v in; p, m, v out. */
template <typename T>
__global__ void adamw_kernel(int64_t n, T *parameter, const T *gradient, T *momentum,
                             T *variance, AdamStep a)
{
    constexpr int N = 16 / sizeof(T);
    const int64_t first = blockIdx.x * CHUNK, last = min(first + CHUNK, n);
    for (int64_t i = first + threadIdx.x * N; i + N <= last; i += OPTIMIZER_THREADS * N) {
        Pack<T, N> p = *reinterpret_cast<Pack<T, N> *>(parameter + i);
        const Pack<T, N> g = *reinterpret_cast<const Pack<T, N> *>(gradient + i);
        Pack<T, N> m = *reinterpret_cast<Pack<T, N> *>(momentum + i);
        Pack<T, N> v = *reinterpret_cast<Pack<T, N> *>(variance + i);
#pragma unroll
        for (int j = 0; j < N; j++) {
            const float grad = to_float(g.element[j]);
            const float m1 = a.beta1 * to_float(m.element[j]) + (1 - a.beta1) * grad;
            const float v1 = a.beta2 * to_float(v.element[j]) + (1 - a.beta2) * grad * grad;
            const float decayed = to_float(p.element[j]) * (1 - a.rate * a.decay);
            const float step = m1 / a.correction1 / (sqrtf(v1 / a.correction2) + a.epsilon);
            m.element[j] = from_float<T>(m1);
            v.element[j] = from_float<T>(v1);
            p.element[j] = from_float<T>(decayed - a.rate * step);
        }
        *reinterpret_cast<Pack<T, N> *>(parameter + i) = p;
        *reinterpret_cast<Pack<T, N> *>(momentum + i) = m;
        *reinterpret_cast<Pack<T, N> *>(variance + i) = v;
    }
}

template <typename T> Work adamw(Bench &bench, const Measurement &m)
{
    const int64_t n = divide_up(m.dimension[0], 8) * 8;
    T *p = random_tensor<T>(bench, n), *momentum = random_tensor<T>(bench, n, 1e-2f);
    T *variance = bench.arena.take_n<T>(n);
    cuda_check(cudaMemset(variance, 0, static_cast<size_t>(n) * sizeof(T)), "variance");
    const T *gradient = random_tensor<T>(bench, n, 1e-2f);
    /* Variances begin at 0; the smallest rate keeps a thousand steps harmless. */
    const AdamStep step = {1e-6f, 0.9f, 0.999f, 1e-3f, 0.01f, 0.1f, 1.0f};
    const int64_t window = std::min<int64_t>(n, 16);
    const std::vector<double> p0 = fetch(p, 0, window), g0 = fetch(gradient, 0, window);
    Work work;
    work.implementation = "own kernel, as PyTorch's fused one";
    work.launch = [=](cudaStream_t s) {
        in_launches(n, [&](int64_t first, int64_t elements, unsigned blocks) {
            adamw_kernel<<<blocks, OPTIMIZER_THREADS, 0, s>>>(
                elements, p + first, gradient + first, momentum + first, variance + first,
                step);
        });
    };
    work.check = [=](cudaStream_t) { /* a tiny step: the parameter all but stays */
                                     const double moved = 10 * step.rate / step.epsilon;
                                     compare("AdamW", fetch(p, 0, window), p0, tolerance<T>(),
                                             tolerance<T>() + moved);
    };
    return work;
}

/* A pass that reads `reads` tensors and writes one. */
template <typename T, int reads>
__global__ void foreach_kernel(int64_t n, const T *a, const T *b, const T *c, T *out)
{
    constexpr int N = 16 / sizeof(T);
    const int64_t first = blockIdx.x * CHUNK, last = min(first + CHUNK, n);
    for (int64_t i = first + threadIdx.x * N; i + N <= last; i += OPTIMIZER_THREADS * N) {
        const Pack<T, N> x = *reinterpret_cast<const Pack<T, N> *>(a + i);
        Pack<T, N> y = x, z = x;
        if (reads > 1)
            y = *reinterpret_cast<const Pack<T, N> *>(b + i);
        if (reads > 2)
            z = *reinterpret_cast<const Pack<T, N> *>(c + i);
        Pack<T, N> result;
#pragma unroll
        for (int j = 0; j < N; j++)
            result.element[j] = from_float<T>(to_float(x.element[j]) * 0.999f +
                                              to_float(y.element[j]) * 1e-3f *
                                                  (reads > 2 ? to_float(z.element[j]) : 1.0f));
        *reinterpret_cast<Pack<T, N> *>(out + i) = result;
    }
}

/* Accesses of each of `passes` kernels so that they sum to `accesses`: 2, 3 or 4 each. */
std::vector<int> spread(int64_t accesses, int64_t passes)
{
    std::vector<int> each(static_cast<size_t>(passes), static_cast<int>(accesses / passes));
    for (int64_t i = 0; i < accesses % passes; i++)
        each[static_cast<size_t>(i)]++;
    return each;
}

template <typename T> Work foreach (Bench &bench, const Measurement &m)
{
    const int64_t n = divide_up(m.dimension[0], 8) * 8;
    const int64_t chunks = divide_up(m.dimension[0], CHUNK * CHUNKS_A_LAUNCH);
    const std::vector<int> accesses =
        spread(m.dimension[1] / static_cast<int64_t>(sizeof(T)), m.dimension[2] / chunks);
    for (int a : accesses) {
        if (a < 2 || a > 5)
            throw Absent("passes over so many tensors");
    }
    const T *x = random_tensor<T>(bench, n), *y = random_tensor<T>(bench, n);
    const T *z = random_tensor<T>(bench, n);
    T *out = bench.arena.take_n<T>(n);
    Work work;
    work.implementation = "own kernels, as PyTorch's foreach passes";
    work.launch = [=](cudaStream_t s) {
        for (int a : accesses)
            in_launches(n, [&](int64_t first, int64_t elements, unsigned blocks) {
                const auto kernel = a == 2   ? foreach_kernel<T, 1>
                                    : a == 3 ? foreach_kernel<T, 2>
                                             : foreach_kernel<T, 3>;
                kernel<<<blocks, OPTIMIZER_THREADS, 0, s>>>(elements, x + first, y + first,
                                                            z + first, out + first);
            });
    };
    const int last = accesses.back();
    work.check = [=](cudaStream_t) {
        const int64_t window = std::min<int64_t>(n, 64);
        std::vector<double> wanted = fetch(x, n - window, window);
        const std::vector<double> b = fetch(last > 2 ? y : x, n - window, window);
        const std::vector<double> c = fetch(z, n - window, window);
        for (int64_t i = 0; i < window; i++)
            wanted[i] = wanted[i] * 0.999 + b[i] * 1e-3 * (last > 3 ? c[i] : 1);
        compare("foreach pass", fetch(out, n - window, window), wanted, tolerance<T>(),
                tolerance<T>());
    };
    return work;
}

} // namespace

/* 7 accesses in one pass are fused Adam's. */
Build optimizer_build(const Measurement &m)
{
    const int64_t chunks = divide_up(m.dimension[0], CHUNK * CHUNKS_A_LAUNCH);
    const bool fused =
        m.dimension[1] == 7 * plan_type_bytes(m.type) && m.dimension[2] == chunks;
    if (m.type == TYPE_BF16)
        return fused ? adamw<__nv_bfloat16> : foreach<__nv_bfloat16>;
    return fused ? adamw<float> : foreach<float>;
}
