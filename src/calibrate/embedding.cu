/* SPDX-License-Identifier: MIT */
/* Embedding: rows gathered by token, and the dense gradient, which is zeroed and then added up.
 * ATen sorts the tokens (thrust, cub) so that equal ones are added without atomics; here cub's
 * radix sort of the same keys stands for that. */
#include "passes.cuh"

#include <cub/device/device_radix_sort.cuh>

#include <cstring>

namespace
{

template <typename T>
__global__ void gather_kernel(int64_t width, const T *table, const int64_t *ids, T *out)
{
    constexpr int N = 16 / sizeof(T);
    const T *from = table + ids[blockIdx.x] * width;
    T *to = out + blockIdx.x * width;
    for (int64_t i = threadIdx.x * N; i < width; i += blockDim.x * N)
        *reinterpret_cast<Pack<T, N> *>(to + i) =
            *reinterpret_cast<const Pack<T, N> *>(from + i);
}

/* One block adds all rows of one token, found where a run of equal sorted ids begins
 * (aten/src/ATen/native/cuda/Embedding.cu, embedding_backward_kernel). */
template <typename T>
__global__ void scatter_kernel(int64_t rows, int64_t width, const int64_t *sorted_ids,
                               const int64_t *order, const T *gradient, T *table)
{
    const int64_t first = blockIdx.x;
    if (first > 0 && sorted_ids[first] == sorted_ids[first - 1])
        return;
    for (int64_t column = threadIdx.x; column < width; column += blockDim.x) {
        float sum = 0;
        for (int64_t i = first; i < rows && sorted_ids[i] == sorted_ids[first]; i++)
            sum += to_float(gradient[order[i] * width + column]);
        table[sorted_ids[first] * width + column] = from_float<T>(sum);
    }
}

__global__ void count_kernel(int64_t n, int64_t *order)
{
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        order[i] = i;
}

unsigned gather_threads(int64_t width)
{
    return static_cast<unsigned>(
        std::min<int64_t>(256, divide_up(divide_up(width, 8), 32) * 32));
}

template <typename T> Work forward(Bench &bench, const Measurement &m)
{
    const int64_t rows = m.dimension[0], width = m.dimension[1], vocabulary = 32000;
    if (width % (16 / sizeof(T)) != 0)
        throw Absent("rows that aren't whole packs of 16 bytes");
    const T *table = random_tensor<T>(bench, vocabulary * width);
    const int64_t *ids = random_ids(bench, rows, vocabulary);
    T *out = bench.arena.take_n<T>(rows * width);
    Work work;
    work.implementation = "own kernel, a block a row";
    work.launch = [=](cudaStream_t s) {
        gather_kernel<<<static_cast<unsigned>(rows), gather_threads(width), 0, s>>>(
            width, table, ids, out);
    };
    work.check = [=](cudaStream_t) {
        for (int64_t row : sample_rows(rows)) {
            const int64_t id = static_cast<int64_t>(fetch(ids, row, 1)[0]);
            compare("embedding", fetch(out, row * width, width),
                    fetch(table, id * width, width), 0, 0);
        }
    };
    return work;
}

struct Sort {
    int64_t rows;
    int64_t *ids, *order, *sorted_ids, *sorted_order;
    void *scratch;
    size_t scratch_bytes;

    Sort(Bench &bench, int64_t n, int64_t vocabulary)
        : rows(n), scratch(nullptr), scratch_bytes(0)
    {
        ids = random_ids(bench, n, vocabulary);
        order = bench.arena.take_n<int64_t>(n);
        sorted_ids = bench.arena.take_n<int64_t>(n);
        sorted_order = bench.arena.take_n<int64_t>(n);
        cub::DeviceRadixSort::SortPairs(nullptr, scratch_bytes, ids, sorted_ids, order,
                                        sorted_order, n, 0, 20);
        scratch = bench.arena.take(scratch_bytes);
    }

    void operator()(cudaStream_t s) const
    {
        size_t bytes = scratch_bytes;
        count_kernel<<<static_cast<unsigned>(divide_up(rows, 256)), 256, 0, s>>>(rows, order);
        cuda_check(cub::DeviceRadixSort::SortPairs(scratch, bytes, ids, sorted_ids, order,
                                                   sorted_order, rows, 0, 20, s),
                   "sort");
    }
};

template <typename T>
void check_backward(const Sort &sort, int64_t width, const T *gradient, const T *table)
{
    const std::vector<double> ids = fetch(sort.ids, 0, sort.rows);
    const double id = ids[sort.rows / 2];
    const int64_t n = std::min<int64_t>(width, 16);
    std::vector<double> wanted(n);
    for (int64_t row = 0, found = 0; row < sort.rows && found < 256; row++) {
        if (ids[row] != id)
            continue;
        const std::vector<double> g = fetch(gradient, row * width, n);
        for (int64_t i = 0; i < n; i++)
            wanted[i] += g[i];
        if (++found == 256)
            return; /* a vocabulary of two: too many to add up here */
    }
    compare("gradient of an embedding", fetch(table, static_cast<int64_t>(id) * width, n),
            wanted, 4 * tolerance<T>(), 4 * tolerance<T>());
}

template <typename T> Work backward(Bench &bench, const Measurement &m)
{
    const int64_t rows = m.dimension[0], width = m.dimension[1], vocabulary = m.dimension[2];
    const Sort sort(bench, rows, vocabulary);
    const T *gradient = random_tensor<T>(bench, rows * width);
    T *table = bench.arena.take_n<T>(vocabulary * width);
    Work work;
    work.implementation = "own kernels and cub's sort, as ATen's";
    work.launch = [=](cudaStream_t s) {
        cudaMemsetAsync(table, 0, vocabulary * width * sizeof(T), s);
        sort(s);
        scatter_kernel<<<static_cast<unsigned>(rows), 256, 0, s>>>(
            rows, width, sort.sorted_ids, sort.sorted_order, gradient, table);
    };
    work.check = [=](cudaStream_t) { check_backward(sort, width, gradient, table); };
    return work;
}

} // namespace

Build embedding_build(const Measurement &m)
{
    const bool is_forward = strcmp(m.op->name, "embedding_forward") == 0;
    if (!is_forward && strcmp(m.op->name, "embedding_backward") != 0)
        return nullptr;
    if (m.type == TYPE_BF16)
        return is_forward ? forward<__nv_bfloat16> : backward<__nv_bfloat16>;
    if (m.type == TYPE_FP16)
        return is_forward ? forward<__half> : backward<__half>;
    return is_forward ? forward<float> : backward<float>;
}
