/* SPDX-License-Identifier: MIT */
/* Matrix products through cuBLASLt as frameworks call it: row-major operands, the heuristic's
 * first choice, 32 MiB of workspace from Hopper on. fp8 products exist with both operands
 * transposed only, so all passes of an fp8 layer run that way, gradients in e5m2. Bias and
 * activation epilogues are left out. */
#include "bench.cuh"

#include <algorithm>
#include <cmath>
#include <memory>

namespace
{

struct GemmTypes {
    cudaDataType_t a, b, output; /* of the row-major A (activations or gradients), B, C */
    cublasComputeType_t compute;
};

const GemmTypes types_of(const Measurement &m)
{
    const bool gradient = m.dimension[4] != LAYOUT_TN;
    switch (m.type) {
    case TYPE_FP32:
        return {CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F};
    case TYPE_TF32:
        return {CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32};
    case TYPE_BF16:
        return {CUDA_R_16BF, CUDA_R_16BF, CUDA_R_16BF, CUBLAS_COMPUTE_32F};
    case TYPE_FP16:
        return {CUDA_R_16F, CUDA_R_16F, CUDA_R_16F, CUBLAS_COMPUTE_32F};
    case TYPE_FP8:
    case N_TYPES:
        break;
    }
    return {gradient ? CUDA_R_8F_E5M2 : CUDA_R_8F_E4M3, CUDA_R_8F_E4M3, CUDA_R_16BF,
            CUBLAS_COMPUTE_32F};
}

void lt_check(cublasStatus_t status, const char *what)
{
    if (status == CUBLAS_STATUS_NOT_SUPPORTED)
        throw Absent(std::string("cuBLASLt has no kernel for it: ") + what);
    if (status != CUBLAS_STATUS_SUCCESS)
        throw std::runtime_error(std::string("cuBLASLt ") + what + ": " +
                                 cublasLtGetStatusString(status));
}

/* Column-major C^T[n,m] = B^T A^T: cuBLASLt's first operand is our B. */
struct Gemm {
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t first = nullptr, second = nullptr, result = nullptr;
    cublasLtMatmulHeuristicResult_t choice = {};
    const void *a, *b;
    void *c;
    float alpha = 1, beta = 0;

    ~Gemm()
    {
        cublasLtMatrixLayoutDestroy(first);
        cublasLtMatrixLayoutDestroy(second);
        cublasLtMatrixLayoutDestroy(result);
        cublasLtMatmulDescDestroy(operation);
    }
};

cublasLtMatrixLayout_t layout(cudaDataType_t type, int64_t rows, int64_t columns, int64_t batch)
{
    cublasLtMatrixLayout_t matrix = nullptr;
    const int32_t count = static_cast<int32_t>(batch);
    const int64_t stride = rows * columns;
    lt_check(cublasLtMatrixLayoutCreate(&matrix, type, rows, columns, rows), "layout");
    cublasLtMatrixLayoutSetAttribute(matrix, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                     sizeof count);
    cublasLtMatrixLayoutSetAttribute(matrix, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                     &stride, sizeof stride);
    return matrix;
}

void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute,
         const void *value, size_t size)
{
    lt_check(cublasLtMatmulDescSetAttribute(operation, attribute, value, size), "attribute");
}

void scale_fp8(Bench &bench, Gemm *gemm)
{
    float *ones = bench.arena.take_n<float>(2);
    const float host[2] = {1, 1};
    cuda_check(cudaMemcpy(ones, host, sizeof host, cudaMemcpyHostToDevice), "scales");
    const void *scale = ones;
    set(gemm->operation, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &scale, sizeof scale);
    set(gemm->operation, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &scale, sizeof scale);
}

void choose(Bench &bench, Gemm *gemm)
{
    cublasLtMatmulPreference_t preference = nullptr;
    int found = 0;
    lt_check(cublasLtMatmulPreferenceCreate(&preference), "preference");
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                         &bench.workspace_bytes, sizeof bench.workspace_bytes);
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        bench.cublaslt, gemm->operation, gemm->first, gemm->second, gemm->result, gemm->result,
        preference, 1, &gemm->choice, &found);
    cublasLtMatmulPreferenceDestroy(preference);
    lt_check(found == 0 && status == CUBLAS_STATUS_SUCCESS ? CUBLAS_STATUS_NOT_SUPPORTED
                                                           : status,
             "heuristic");
}

void *operand(Bench &bench, cudaDataType_t type, int64_t n)
{
    switch (type) {
    case CUDA_R_32F:
        return random_tensor<float>(bench, n);
    case CUDA_R_16BF:
        return random_tensor<__nv_bfloat16>(bench, n);
    case CUDA_R_16F:
        return random_tensor<__half>(bench, n);
    case CUDA_R_8F_E4M3:
        return random_tensor<__nv_fp8_e4m3>(bench, n);
    default:
        return random_tensor<__nv_fp8_e5m2>(bench, n);
    }
}

void describe(Gemm *gemm, const Measurement &m, const GemmTypes &types, int64_t as_layout)
{
    const int64_t batch = m.dimension[0], rows = m.dimension[1], columns = m.dimension[2];
    const int64_t depth = m.dimension[3];
    const cublasOperation_t transposed = CUBLAS_OP_T, plain = CUBLAS_OP_N;
    const bool a_stored_transposed = as_layout == LAYOUT_NT;
    const bool b_stored_transposed = as_layout == LAYOUT_TN;
    lt_check(cublasLtMatmulDescCreate(&gemm->operation, types.compute, CUDA_R_32F),
             "operation");
    set(gemm->operation, CUBLASLT_MATMUL_DESC_TRANSA,
        b_stored_transposed ? &transposed : &plain, sizeof plain);
    set(gemm->operation, CUBLASLT_MATMUL_DESC_TRANSB,
        a_stored_transposed ? &transposed : &plain, sizeof plain);
    gemm->first = b_stored_transposed ? layout(types.b, depth, columns, batch)
                                      : layout(types.b, columns, depth, batch);
    gemm->second = a_stored_transposed ? layout(types.a, rows, depth, batch)
                                       : layout(types.a, depth, rows, batch);
    gemm->result = layout(types.output, columns, rows, batch);
}

/* -- reference: single elements in double precision, straight from the operands */

template <typename T> __device__ double element(const void *matrix, int64_t i)
{
    return static_cast<double>(to_float(static_cast<const T *>(matrix)[i]));
}

__device__ double load(const void *matrix, cudaDataType_t type, int64_t i)
{
    switch (type) {
    case CUDA_R_32F:
        return element<float>(matrix, i);
    case CUDA_R_16BF:
        return element<__nv_bfloat16>(matrix, i);
    case CUDA_R_16F:
        return element<__half>(matrix, i);
    case CUDA_R_8F_E4M3:
        return element<__nv_fp8_e4m3>(matrix, i);
    default:
        return element<__nv_fp8_e5m2>(matrix, i);
    }
}

struct Sample {
    int64_t batch, row, column;
};

struct Reference {
    const void *a, *b, *c;
    GemmTypes types;
    int64_t rows, columns, depth;
    bool a_transposed, b_transposed;
};

#define N_SAMPLES 32

#define REFERENCE_THREADS 128

/* pair[0]: what the library made, pair[1]: the double-precision sum; a block a sample. */
__global__ void reference_kernel(Reference r, const Sample *samples, double *pairs)
{
    __shared__ double share[REFERENCE_THREADS];
    const Sample s = samples[blockIdx.x];
    const int64_t a0 = s.batch * r.rows * r.depth, b0 = s.batch * r.columns * r.depth;
    double sum = 0;
    for (int64_t i = threadIdx.x; i < r.depth; i += blockDim.x) {
        const int64_t ai = r.a_transposed ? i * r.rows + s.row : s.row * r.depth + i;
        const int64_t bi = r.b_transposed ? s.column * r.depth + i : i * r.columns + s.column;
        sum += load(r.a, r.types.a, a0 + ai) * load(r.b, r.types.b, b0 + bi);
    }
    share[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x > 0)
        return;
    for (int t = 1; t < REFERENCE_THREADS; t++)
        sum += share[t];
    const int64_t ci = (s.batch * r.rows + s.row) * r.columns + s.column;
    pairs[2 * blockIdx.x] = load(r.c, r.types.output, ci);
    pairs[2 * blockIdx.x + 1] = sum;
}

double relative_error(const Measurement &m)
{
    switch (m.type) {
    case TYPE_FP32:
        return 1e-4;
    case TYPE_TF32:
    case TYPE_FP16:
        return 4e-3;
    default:
        return 1.6e-2;
    }
}

/* Sums of `depth` products of unit normals are of the order of its root: the errors' scale. */
void check(const Measurement &m, const Reference &reference, cudaStream_t stream)
{
    Sample host[N_SAMPLES];
    double pairs[2 * N_SAMPLES];
    void *memory = nullptr;
    for (int i = 0; i < N_SAMPLES; i++)
        host[i] = {(i * 7) % m.dimension[0], (i * 7919 + i * i) % m.dimension[1],
                   (i * 104729 + 31 * i) % m.dimension[2]};
    cuda_check(cudaMalloc(&memory, sizeof host + sizeof pairs), "samples");
    double *device_pairs =
        reinterpret_cast<double *>(static_cast<char *>(memory) + sizeof host);
    cudaMemcpyAsync(memory, host, sizeof host, cudaMemcpyHostToDevice, stream);
    reference_kernel<<<N_SAMPLES, REFERENCE_THREADS, 0, stream>>>(
        reference, static_cast<Sample *>(memory), device_pairs);
    cudaMemcpyAsync(pairs, device_pairs, sizeof pairs, cudaMemcpyDeviceToHost, stream);
    const cudaError_t status = cudaStreamSynchronize(stream);
    cudaFree(memory);
    cuda_check(status, "reference");
    std::vector<double> got, wanted;
    for (int i = 0; i < N_SAMPLES; i++) {
        got.push_back(pairs[2 * i]);
        wanted.push_back(pairs[2 * i + 1]);
    }
    const double error = relative_error(m);
    compare("matrix product", got, wanted, error,
            error * std::sqrt(static_cast<double>(m.dimension[3])));
}

Work build(Bench &bench, const Measurement &m)
{
    const GemmTypes types = types_of(m);
    const int64_t batch = m.dimension[0], rows = m.dimension[1], columns = m.dimension[2];
    const int64_t depth = m.dimension[3];
    const int64_t as_layout =
        m.type == TYPE_FP8 ? static_cast<int64_t>(LAYOUT_TN) : m.dimension[4];
    const size_t output = types.output == CUDA_R_32F ? 4 : 2;
    auto gemm = std::make_shared<Gemm>();
    describe(gemm.get(), m, types, as_layout);
    gemm->a = operand(bench, types.a, batch * rows * depth);
    gemm->b = operand(bench, types.b, batch * columns * depth);
    gemm->c = bench.arena.take(batch * rows * columns * output);
    if (m.type == TYPE_FP8)
        scale_fp8(bench, gemm.get());
    choose(bench, gemm.get());

    const Reference reference = {gemm->a,
                                 gemm->b,
                                 gemm->c,
                                 types,
                                 rows,
                                 columns,
                                 depth,
                                 as_layout == LAYOUT_NT,
                                 as_layout == LAYOUT_TN};
    Bench *shared = &bench;
    Work work;
    work.implementation = "cuBLASLt";
    work.launch = [gemm, shared](cudaStream_t stream) {
        lt_check(cublasLtMatmul(shared->cublaslt, gemm->operation, &gemm->alpha, gemm->b,
                                gemm->first, gemm->a, gemm->second, &gemm->beta, gemm->c,
                                gemm->result, gemm->c, gemm->result, &gemm->choice.algo,
                                shared->workspace, shared->workspace_bytes, stream),
                 "matmul");
    };
    work.check = [m, reference](cudaStream_t stream) { check(m, reference, stream); };
    return work;
}

} // namespace

Build gemm_build(const Measurement &)
{
    return build;
}
