/* SPDX-License-Identifier: MIT */
/* Device memory, operands of random numbers (zeros run faster than training does: they flip
 * fewer bits), and comparison of results on the host in double precision. */
#include "bench.cuh"

#include <cmath>
#include <cstdio>

void cuda_check(cudaError_t status, const char *what)
{
    if (status != cudaSuccess)
        throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

void Arena::open(size_t bytes)
{
    void *memory = nullptr;
    cuda_check(cudaMalloc(&memory, bytes), "device memory");
    base_ = static_cast<char *>(memory);
    size_ = bytes;
}

void Arena::close()
{
    cudaFree(base_);
    base_ = nullptr;
}

void *Arena::take(size_t bytes)
{
    const size_t rounded = (bytes + 255) & ~static_cast<size_t>(255);
    if (rounded > size_ - used_)
        throw Absent("its operands don't fit in this GPU's memory");
    void *memory = base_ + used_;
    used_ += rounded;
    return memory;
}

namespace
{

/* splitmix64: a good hash of a counter is a random number. */
__device__ inline uint64_t random_bits(uint64_t seed, uint64_t i)
{
    uint64_t z = seed + i * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

/* The sum of four uniform 16-bit numbers is normal enough, and cheap. */
__device__ inline float random_normal(uint64_t bits)
{
    const float sum = static_cast<float>((bits & 0xffff) + (bits >> 16 & 0xffff) +
                                         (bits >> 32 & 0xffff) + (bits >> 48));
    return (sum - 2 * 65535.0f) * (1.7320508f / 65536.0f);
}

template <typename T>
__global__ void fill_normal(T *tensor, int64_t n, float scale, uint64_t seed)
{
    const int64_t stride = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride)
        tensor[i] = from_float<T>(scale * random_normal(random_bits(seed, i)));
}

__global__ void fill_ids(int64_t *ids, int64_t n, int64_t bound, uint64_t seed)
{
    const int64_t stride = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride)
        ids[i] = (int64_t)(random_bits(seed, i) % (uint64_t)bound);
}

__global__ void fill_mask(uint8_t *mask, int64_t n, uint64_t seed)
{
    const int64_t stride = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride)
        mask[i] = random_bits(seed, i) % 10 != 0;
}

int fill_blocks(const Bench &bench)
{
    return 8 * bench.properties.multiProcessorCount;
}

} // namespace

template <typename T> T *random_tensor(Bench &bench, int64_t n, float scale)
{
    T *tensor = bench.arena.take_n<T>(n);
    fill_normal<<<fill_blocks(bench), 256, 0, bench.stream>>>(tensor, n, scale, ++bench.seed);
    cuda_check(cudaGetLastError(), "fill");
    return tensor;
}

template float *random_tensor<float>(Bench &, int64_t, float);
template __half *random_tensor<__half>(Bench &, int64_t, float);
template __nv_bfloat16 *random_tensor<__nv_bfloat16>(Bench &, int64_t, float);
template __nv_fp8_e4m3 *random_tensor<__nv_fp8_e4m3>(Bench &, int64_t, float);
template __nv_fp8_e5m2 *random_tensor<__nv_fp8_e5m2>(Bench &, int64_t, float);

int64_t *random_ids(Bench &bench, int64_t n, int64_t bound)
{
    int64_t *ids = bench.arena.take_n<int64_t>(n);
    fill_ids<<<fill_blocks(bench), 256, 0, bench.stream>>>(ids, n, bound, ++bench.seed);
    cuda_check(cudaGetLastError(), "fill");
    return ids;
}

uint8_t *random_mask(Bench &bench, int64_t n)
{
    uint8_t *mask = bench.arena.take_n<uint8_t>(n);
    fill_mask<<<fill_blocks(bench), 256, 0, bench.stream>>>(mask, n, ++bench.seed);
    cuda_check(cudaGetLastError(), "fill");
    return mask;
}

template <typename T> std::vector<double> fetch(const T *tensor, int64_t first, int64_t n)
{
    std::vector<T> host(n);
    cuda_check(cudaDeviceSynchronize(), "kernel");
    cuda_check(cudaMemcpy(host.data(), tensor + first, n * sizeof(T), cudaMemcpyDeviceToHost),
               "copy to host");
    std::vector<double> values(n);
    for (int64_t i = 0; i < n; i++)
        values[i] = to_float(host[i]);
    return values;
}

template std::vector<double> fetch<float>(const float *, int64_t, int64_t);
template std::vector<double> fetch<__half>(const __half *, int64_t, int64_t);
template std::vector<double> fetch<__nv_bfloat16>(const __nv_bfloat16 *, int64_t, int64_t);
template std::vector<double> fetch<__nv_fp8_e4m3>(const __nv_fp8_e4m3 *, int64_t, int64_t);
template std::vector<double> fetch<__nv_fp8_e5m2>(const __nv_fp8_e5m2 *, int64_t, int64_t);
template std::vector<double> fetch<int64_t>(const int64_t *, int64_t, int64_t);
template std::vector<double> fetch<uint8_t>(const uint8_t *, int64_t, int64_t);

void compare(const char *what, const std::vector<double> &got,
             const std::vector<double> &wanted, double relative, double absolute)
{
    for (size_t i = 0; i < got.size(); i++) {
        const double error = std::fabs(got[i] - wanted[i]);
        if (error <= relative * std::fabs(wanted[i]) + absolute)
            continue; /* NaN gets past neither this nor the message */
        char text[160];
        snprintf(text, sizeof text, "%s: element %zu of the sample is %g, the reference %g",
                 what, i, got[i], wanted[i]);
        throw Wrong(text);
    }
}

template <> double tolerance<float>()
{
    return 1e-5;
}
template <> double tolerance<__half>()
{
    return 2e-3;
}
template <> double tolerance<__nv_bfloat16>()
{
    return 1.6e-2;
}

std::vector<int64_t> sample_rows(int64_t rows)
{
    std::vector<int64_t> sample = {0, rows / 3, rows / 2 + 1, rows - 1};
    for (int64_t &row : sample)
        row = row < rows ? row : rows - 1;
    return sample;
}

void result_add(Result *result, const char *name, double value)
{
    if (result->n_values == RESULT_MAX_VALUES)
        return;
    ResultValue *slot = &result->values[result->n_values++];
    snprintf(slot->name, sizeof slot->name, "%s", name);
    slot->value = value;
}
