/* SPDX-License-Identifier: MIT */
/* The table of kernels: dimensions, floating-point operations, memory traffic and launches.
 * Traffic counts each operand once for every kernel that PyTorch really launches, so a module
 * written in Python as a chain of elementwise kernels costs what its chain moves. Caches,
 * tile shapes and times are left to the profile. */
#include "kernel.h"

#include <string.h>

typedef struct {
    const char *name;
    const char *dimensions[KERNEL_MAX_DIMENSIONS];
    double (*flops)(const gint64 *dimension); /* NULL: none that count */
    double (*bytes)(const gint64 *dimension, double e);
    int launches;
    int launches_16bit;                  /* further ones when the operands have 16 bits */
    double element_16bit, element_32bit; /* for traffic_rows: bytes moved per element */
} KernelRow;

typedef struct {
    const char *name;
    int bytes;
} DTypeRow;

static const DTypeRow dtype_rows[N_DTYPES] = {
    [DTYPE_FP32] = {"fp32", 4}, [DTYPE_TF32] = {"tf32", 4}, [DTYPE_BF16] = {"bf16", 2},
    [DTYPE_FP16] = {"fp16", 2}, [DTYPE_FP8] = {"fp8", 1},
};

static double gemm_flops(const gint64 *d)
{
    return 2.0 * d[0] * d[1] * d[2] * d[3];
}

static double gemm_bytes(const gint64 *d, double e)
{
    double m = d[1], n = d[2], k = d[3];
    double output = e < 2 ? 2 : e; /* fp8 products are written in 16 bits */
    return d[0] * (e * (m * k + k * n) + output * m * n);
}

/* Q K^T and P V over the whole square, half of it when causal. */
static double attention_forward_flops(const gint64 *d)
{
    double square = 4.0 * d[0] * d[1] * d[1] * d[2] * d[4];
    return d[5] ? square / 2 : square;
}

/* Five products to the forward's two: Dao, "FlashAttention-2" (2023), section 4. */
static double attention_backward_flops(const gint64 *d)
{
    return 2.5 * attention_forward_flops(d);
}

/* q and output of `heads`, k and v of `kv_heads`, the fp32 logsumexp. */
static double attention_forward_bytes(const gint64 *d, double e)
{
    double tokens = (double)d[0] * d[1];
    return tokens * (e * d[4] * (2.0 * d[2] + 2.0 * d[3]) + 4.0 * d[2]);
}

/* Three kernels: rowsum(dO O); the main loop, which adds dQ up in fp32; dQ to its type. */
static double attention_backward_bytes(const gint64 *d, double e)
{
    double tokens = (double)d[0] * d[1], q = d[4] * (double)d[2], k = d[4] * (double)d[3];
    double main_loop = e * (2 * q + 4 * k) + 4 * q;
    return tokens * (e * 2 * q + main_loop + (4 + e) * q + 8.0 * d[2]);
}

/* Pairs of a query and a key that it sees: triangle at the start, then a band. */
static double window_pairs(const gint64 *d)
{
    double s = d[1], w = MIN(d[1], d[5]);
    return w * s - w * (w - 1) / 2;
}

static double window_forward_flops(const gint64 *d)
{
    return 4.0 * d[0] * window_pairs(d) * d[2] * d[4];
}

static double window_backward_flops(const gint64 *d)
{
    return 2.5 * window_forward_flops(d);
}

/* The same product three ways: output, gradient of the input, gradient of the weight. */
static double convolution_flops(const gint64 *d)
{
    double pixels = (double)d[5] * d[5], taps = (double)d[3] * d[3];
    return 2.0 * d[0] * pixels * d[1] * d[2] * taps;
}

static double convolution_bytes(const gint64 *d, double e)
{
    double input = (double)d[0] * d[1] * d[4] * d[4];
    double output = (double)d[0] * d[2] * d[5] * d[5];
    double weight = (double)d[1] * d[2] * d[3] * d[3];
    return e * (input + output + weight);
}

static double pool_forward_bytes(const gint64 *d, double e)
{
    double maps = (double)d[0] * d[1];
    return e * maps * ((double)d[2] * d[2] + (double)d[3] * d[3]);
}

/* The same two tensors, the other way round; the index of each maximum is 8 bytes. */
static double maxpool_forward_bytes(const gint64 *d, double e)
{
    return pool_forward_bytes(d, e) + 8.0 * d[0] * d[1] * d[3] * d[3];
}

/* The input's gradient is zeroed first, then scattered into. */
static double maxpool_backward_bytes(const gint64 *d, double e)
{
    return maxpool_forward_bytes(d, e) + e * d[0] * d[1] * d[2] * d[2];
}

static double embedding_forward_bytes(const gint64 *d, double e)
{
    return d[0] * (8 + 2 * e * d[1]);
}

static double embedding_backward_bytes(const gint64 *d, double e)
{
    return e * d[2] * (double)d[1] + d[0] * (8 + 2 * e * d[1]);
}

static double column_sum_bytes(const gint64 *d, double e)
{
    return e * ((double)d[0] + 1) * d[1];
}

static double cast_bytes(const gint64 *d, double e)
{
    (void)e;
    return (double)d[0] * (d[1] + d[2]);
}

static double once(const gint64 *d, double e)
{
    (void)e;
    return d[0];
}

static double twice(const gint64 *d, double e)
{
    (void)e;
    return 2.0 * d[0];
}

static double thrice(const gint64 *d, double e)
{
    (void)e;
    return 3.0 * d[0];
}

static double optimizer_bytes(const gint64 *d, double e)
{
    (void)e;
    return (double)d[0] * d[1];
}

#define ROWS                                                                                   \
    {                                                                                          \
        "rows", "width"                                                                        \
    }
#define ATTENTION                                                                              \
    {                                                                                          \
        "batch", "sequence", "heads", "kv_heads", "head_dim", "causal"                         \
    }

#define CONVOLUTION                                                                            \
    {                                                                                          \
        "images", "in_channels", "out_channels", "kernel_size", "in_size", "out_size"          \
    }
#define WINDOW                                                                                 \
    {                                                                                          \
        "batch", "sequence", "heads", "kv_heads", "head_dim", "window"                         \
    }
#define POOL                                                                                   \
    {                                                                                          \
        "images", "channels", "in_size", "out_size"                                            \
    }

/* Rows without a bytes function move element_16bit or element_32bit bytes for each of their
 * rows x width elements. The sums follow PyTorch's kernels one by one: "r" and "w" below are a
 * read and a write of the 16-bit type, capitals of fp32.
 * softmax forward: scale rw, causal mask rw, softmax rW, cast Rw; backward: cast rW,
 *   softmax RRw, scale rw.
 * rmsnorm_python (transformers modeling_llama.py LlamaRMSNorm) forward: to fp32 rW, pow RW,
 *   mean R, times rsqrt RW, cast Rw, times weight rw; backward: weight gradient rrw r, times
 *   weight rw, cast rW, product with rsqrt RW, with x RRW R, mean W, pow RW RW RRW, sum RRW,
 *   cast Rw.
 * gelu_python (transformers activations.py NewGELUActivation) forward: pow rw, scale rw, add
 *   rrw, scale rw, tanh rw, plus one rw, half of x rw, product rrw; backward: two products rrw
 *   rrw, half rw, tanh rrw, scale rw, scale rw, pow rw rw rrw, two sums rrw rrw.
 * swiglu forward: silu rw, product rrw; backward: rrw rrw, silu rrw.
 * rope (apply_rotary_pos_emb) forward: cosine rw, negated half, cat, sine rw, sum rrw = 10;
 *   backward: rw rw, negated half, two zero-padded slices 4, two sums rrw = 15.
 * batchnorm (cuDNN, training) forward: statistics r, normalise rw; backward: sums rr, rrw.
 * dropout: rw and a byte of mask.
 * cross_entropy (loss_utils.py ForCausalLMLoss) forward: to fp32 rW, log_softmax RW, nll none;
 *   backward: nll W, log_softmax RRW, cast Rw. */
static const KernelRow kernel_rows[N_KERNELS] = {
    [KERNEL_GEMM] =
        {"gemm", {"batch", "m", "n", "k", "layout"}, gemm_flops, gemm_bytes, 1, 0, 0, 0},
    [KERNEL_ATTENTION_FORWARD] = {"attention_forward", ATTENTION, attention_forward_flops,
                                  attention_forward_bytes, 1, 0, 0, 0},
    [KERNEL_ATTENTION_BACKWARD] = {"attention_backward", ATTENTION, attention_backward_flops,
                                   attention_backward_bytes, 3, 0, 0, 0},
    [KERNEL_CUDNN_ATTENTION_FORWARD] = {"cudnn_attention_forward", ATTENTION,
                                        attention_forward_flops, attention_forward_bytes, 1, 0,
                                        0, 0},
    [KERNEL_CUDNN_ATTENTION_BACKWARD] = {"cudnn_attention_backward", ATTENTION,
                                         attention_backward_flops, attention_backward_bytes, 3,
                                         0, 0, 0},
    [KERNEL_WINDOW_ATTENTION_FORWARD] = {"window_attention_forward", WINDOW,
                                         window_forward_flops, attention_forward_bytes, 1, 0, 0,
                                         0},
    [KERNEL_WINDOW_ATTENTION_BACKWARD] = {"window_attention_backward", WINDOW,
                                          window_backward_flops, attention_backward_bytes, 3, 0,
                                          0, 0},
    [KERNEL_FLASH1_ATTENTION_FORWARD] = {"flash1_attention_forward", ATTENTION,
                                         attention_forward_flops, attention_forward_bytes, 1, 0,
                                         0, 0},
    [KERNEL_FLASH1_ATTENTION_BACKWARD] = {"flash1_attention_backward", ATTENTION,
                                          attention_backward_flops, attention_backward_bytes, 3,
                                          0, 0, 0},
    [KERNEL_CONVOLUTION_FORWARD] = {"convolution_forward", CONVOLUTION, convolution_flops,
                                    convolution_bytes, 1, 0, 0, 0},
    [KERNEL_CONVOLUTION_BACKWARD_INPUT] = {"convolution_backward_input", CONVOLUTION,
                                           convolution_flops, convolution_bytes, 1, 0, 0, 0},
    [KERNEL_CONVOLUTION_BACKWARD_WEIGHT] = {"convolution_backward_weight", CONVOLUTION,
                                            convolution_flops, convolution_bytes, 1, 0, 0, 0},
    [KERNEL_SOFTMAX_FORWARD] = {"softmax_forward", ROWS, NULL, NULL, 3, 1, 20, 24},
    [KERNEL_SOFTMAX_BACKWARD] = {"softmax_backward", ROWS, NULL, NULL, 2, 1, 20, 20},
    [KERNEL_LAYERNORM_FORWARD] = {"layernorm_forward", ROWS, NULL, NULL, 1, 0, 4, 8},
    [KERNEL_LAYERNORM_BACKWARD] = {"layernorm_backward", ROWS, NULL, NULL, 2, 0, 10, 20},
    [KERNEL_RMSNORM_FORWARD] = {"rmsnorm_forward", ROWS, NULL, NULL, 1, 0, 4, 8},
    [KERNEL_RMSNORM_BACKWARD] = {"rmsnorm_backward", ROWS, NULL, NULL, 2, 0, 10, 20},
    [KERNEL_RMSNORM_PYTHON_FORWARD] = {"rmsnorm_python_forward", ROWS, NULL, NULL, 6, 2, 36,
                                       28},
    [KERNEL_RMSNORM_PYTHON_BACKWARD] = {"rmsnorm_python_backward", ROWS, NULL, NULL, 16, 2, 92,
                                        92},
    [KERNEL_BATCHNORM_FORWARD] = {"batchnorm_forward", ROWS, NULL, NULL, 1, 0, 6, 12},
    [KERNEL_BATCHNORM_BACKWARD] = {"batchnorm_backward", ROWS, NULL, NULL, 1, 0, 10, 20},
    [KERNEL_MAXPOOL_FORWARD] = {"maxpool_forward", POOL, NULL, maxpool_forward_bytes, 1, 0, 0,
                                0},
    [KERNEL_MAXPOOL_BACKWARD] = {"maxpool_backward", POOL, NULL, maxpool_backward_bytes, 2, 0,
                                 0, 0},
    [KERNEL_AVGPOOL_FORWARD] = {"avgpool_forward", POOL, NULL, pool_forward_bytes, 1, 0, 0, 0},
    [KERNEL_AVGPOOL_BACKWARD] = {"avgpool_backward", POOL, NULL, pool_forward_bytes, 1, 0, 0,
                                 0},
    [KERNEL_RELU_FORWARD] = {"relu_forward", ROWS, NULL, NULL, 1, 0, 4, 8},
    [KERNEL_RELU_BACKWARD] = {"relu_backward", ROWS, NULL, NULL, 1, 0, 6, 12},
    [KERNEL_GELU_FORWARD] = {"gelu_forward", ROWS, NULL, NULL, 1, 0, 4, 8},
    [KERNEL_GELU_BACKWARD] = {"gelu_backward", ROWS, NULL, NULL, 1, 0, 6, 12},
    [KERNEL_GELU_PYTHON_FORWARD] = {"gelu_python_forward", ROWS, NULL, NULL, 8, 0, 36, 72},
    [KERNEL_GELU_PYTHON_BACKWARD] = {"gelu_python_backward", ROWS, NULL, NULL, 11, 0, 56, 112},
    [KERNEL_SWIGLU_FORWARD] = {"swiglu_forward", ROWS, NULL, NULL, 2, 0, 10, 20},
    [KERNEL_SWIGLU_BACKWARD] = {"swiglu_backward", ROWS, NULL, NULL, 3, 0, 18, 36},
    [KERNEL_ROPE_FORWARD] = {"rope_forward", ROWS, NULL, NULL, 10, 0, 20, 40},
    [KERNEL_ROPE_BACKWARD] = {"rope_backward", ROWS, NULL, NULL, 18, 0, 30, 60},
    [KERNEL_DROPOUT_FORWARD] = {"dropout_forward", ROWS, NULL, NULL, 1, 0, 5, 9},
    [KERNEL_DROPOUT_BACKWARD] = {"dropout_backward", ROWS, NULL, NULL, 1, 0, 5, 9},
    [KERNEL_ADD] = {"add", ROWS, NULL, NULL, 1, 0, 6, 12},
    [KERNEL_COLUMN_SUM] = {"column_sum", ROWS, NULL, column_sum_bytes, 1, 0, 0, 0},
    [KERNEL_TANH_FORWARD] = {"tanh_forward", ROWS, NULL, NULL, 1, 0, 4, 8},
    [KERNEL_TANH_BACKWARD] = {"tanh_backward", ROWS, NULL, NULL, 1, 0, 6, 12},
    [KERNEL_EMBEDDING_FORWARD] = {"embedding_forward", ROWS, NULL, embedding_forward_bytes, 1,
                                  0, 0, 0},
    [KERNEL_EMBEDDING_BACKWARD] = {"embedding_backward",
                                   {"rows", "width", "vocabulary"},
                                   NULL,
                                   embedding_backward_bytes,
                                   4, /* zeros, sort of the ids, offsets, scatter */
                                   0,
                                   0,
                                   0},
    [KERNEL_CROSS_ENTROPY_FORWARD] = {"cross_entropy_forward", ROWS, NULL, NULL, 2, 1, 14, 8},
    [KERNEL_CROSS_ENTROPY_BACKWARD] = {"cross_entropy_backward", ROWS, NULL, NULL, 3, 1, 22,
                                       16},
    [KERNEL_COPY] = {"copy", {"bytes"}, NULL, twice, 1, 0, 0, 0},
    [KERNEL_CAST] =
        {"cast", {"elements", "read_bytes", "write_bytes"}, NULL, cast_bytes, 1, 0, 0, 0},
    [KERNEL_FUSED] =
        {"fused", {"elements", "read_bytes", "write_bytes"}, NULL, cast_bytes, 1, 0, 0, 0},
    [KERNEL_MEMSET] = {"memset", {"bytes"}, NULL, once, 1, 0, 0, 0},
    [KERNEL_SCALE] = {"scale", {"bytes"}, NULL, twice, 1, 0, 0, 0},
    [KERNEL_ACCUMULATE] = {"accumulate", {"bytes"}, NULL, thrice, 1, 0, 0, 0},
    [KERNEL_NORM] = {"norm", {"bytes"}, NULL, once, 1, 0, 0, 0},
    [KERNEL_OPTIMIZER_STEP] = {"optimizer_step",
                               {"elements", "traffic_bytes_per_element", "launches"},
                               NULL,
                               optimizer_bytes,
                               0, /* its third dimension */
                               0,
                               0,
                               0},
};

int dtype_bytes(DType dtype)
{
    return dtype_rows[dtype].bytes;
}

const char *dtype_name(DType dtype)
{
    return dtype_rows[dtype].name;
}

gboolean dtype_parse(const char *name, DType *dtype)
{
    for (int i = 0; i < N_DTYPES; i++) {
        if (strcmp(dtype_rows[i].name, name) == 0) {
            *dtype = i;
            return TRUE;
        }
    }
    return FALSE;
}

const char *kernel_op_name(KernelOp op)
{
    return kernel_rows[op].name;
}

gboolean kernel_op_parse(const char *name, KernelOp *op)
{
    for (int i = 0; i < N_KERNELS; i++) {
        if (strcmp(kernel_rows[i].name, name) == 0) {
            *op = i;
            return TRUE;
        }
    }
    return FALSE;
}

const char *const *kernel_dimension_names(KernelOp op)
{
    return kernel_rows[op].dimensions;
}

gboolean kernel_dimension_is_optional(const char *name)
{
    return strcmp(name, "layout") == 0;
}

gboolean kernel_is_of_bytes(KernelOp op)
{
    double (*bytes)(const gint64 *, double) = kernel_rows[op].bytes;
    return bytes == once || bytes == twice || bytes == thrice || bytes == cast_bytes;
}

guint kernel_hash(gconstpointer kernel)
{
    const Kernel *k = kernel;
    guint64 hash = (guint64)k->op * N_DTYPES + k->dtype;
    for (int i = 0; i < KERNEL_MAX_DIMENSIONS; i++)
        hash = (hash ^ (guint64)k->dimension[i]) * G_GUINT64_CONSTANT(1099511628211);
    return (guint)(hash ^ (hash >> 32));
}

gboolean kernel_equal(gconstpointer a, gconstpointer b)
{
    const Kernel *x = a, *y = b;
    return x->op == y->op && x->dtype == y->dtype &&
           memcmp(x->dimension, y->dimension, sizeof x->dimension) == 0;
}

double kernel_flops(const Kernel *kernel)
{
    const KernelRow *row = &kernel_rows[kernel->op];
    return row->flops ? row->flops(kernel->dimension) : 0;
}

double kernel_bytes(const Kernel *kernel)
{
    const KernelRow *row = &kernel_rows[kernel->op];
    int e = dtype_bytes(kernel->dtype);
    if (row->bytes)
        return row->bytes(kernel->dimension, e);
    double per_element = e == 4 ? row->element_32bit : row->element_16bit;
    return per_element * kernel->dimension[0] * kernel->dimension[1];
}

int kernel_n_launches(const Kernel *kernel)
{
    const KernelRow *row = &kernel_rows[kernel->op];
    if (kernel->op == KERNEL_OPTIMIZER_STEP)
        return (int)kernel->dimension[2];
    return row->launches + (dtype_bytes(kernel->dtype) < 4 ? row->launches_16bit : 0);
}

/* Each filter tap of each input channel is one step of k; the input's gradient has a row for
 * each of its pixels and as many products as the forward. */
gboolean kernel_as_gemm(const Kernel *kernel, Kernel *gemm)
{
    const gint64 *d = kernel->dimension;
    *gemm = *kernel;
    if (kernel->op == KERNEL_GEMM)
        return TRUE;
    if (kernel_rows[kernel->op].flops != convolution_flops)
        return FALSE;
    const gint64 taps = d[3] * d[3], in = d[0] * d[4] * d[4], out = d[0] * d[5] * d[5];
    if (kernel->op == KERNEL_CONVOLUTION_FORWARD) {
        *gemm = (Kernel){KERNEL_GEMM, kernel->dtype, {1, out, d[2], d[1] * taps}};
        return TRUE;
    }
    if (kernel->op == KERNEL_CONVOLUTION_BACKWARD_INPUT) {
        const gint64 depth = (gint64)((double)(d[2] * taps) * (double)out / (double)in);
        *gemm = (Kernel){KERNEL_GEMM, kernel->dtype, {1, in, d[1], MAX(depth, 1)}};
        return TRUE;
    }
    *gemm = (Kernel){KERNEL_GEMM, kernel->dtype, {1, d[2], d[1] * taps, out}};
    return TRUE;
}
