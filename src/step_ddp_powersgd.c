/* SPDX-License-Identifier: MIT */
/* PowerSGD after its first start_powerSGD_iter steps: of each gradient matrix only two thin
 * factors are all-reduced, one after the other, and everything else as it is. Source:
 * torch/distributed/algorithms/ddp_comm_hooks/powerSGD_hook.py (powerSGD_hook,
 * batched_powerSGD_hook). Left out: without warm_start the random factor is made on the CPU,
 * whose time isn't counted; cuSOLVER's QR is taken for two passes a column. */
#include "step_ddp_powersgd.h"

#include <math.h>

/* The hook's callbacks run on a stream of PyTorch's pool. */
#define CALLBACK_STREAM STREAM_REDUCE
/* _orthogonalize: above this rank, and only in fp32, by torch.linalg.qr. */
#define GRAM_SCHMIDT_RANK 2

typedef struct {
    gint64 rows, columns, rank;
} Matrix;

/* A bucket as the hook divides it. */
typedef struct {
    const char *name;
    GArray *matrices;   /* Matrix: compressed */
    GArray *loose;      /* gint64: elements of each tensor that isn't */
    gint64 loose_numel; /* all of them */
    gint64 numel;       /* of the whole, with the padding to a square */
    gint64 p_numel, q_numel;
    DType dtype;
} Parts;

static const PowerSgdKnobs *knobs_of(const Step *step)
{
    return &step->training->ddp.powersgd;
}

static void tensor_add(Parts *parts, const PowerSgdKnobs *knobs, gint64 rows, gint64 columns)
{
    const gint64 numel = rows * columns;
    const Matrix matrix = {rows, columns,
                           MIN(MIN(rows, columns), knobs->matrix_approximation_rank)};
    const gint64 compressed = (rows + columns) * matrix.rank;

    parts->numel += numel;
    if (!knobs->batched && (double)compressed * knobs->min_compression_rate >= (double)numel) {
        g_array_append_val(parts->loose, numel);
        parts->loose_numel += numel;
        return;
    }
    g_array_append_val(parts->matrices, matrix);
    parts->p_numel += rows * matrix.rank;
    parts->q_numel += columns * matrix.rank;
}

static void parts_init(Parts *parts, const Step *step, const Bucket *bucket, const char *name)
{
    *parts = (Parts){.name = name, .dtype = step->training->precision.reduce};
    parts->matrices = g_array_new(FALSE, FALSE, sizeof(Matrix));
    parts->loose = g_array_new(FALSE, FALSE, sizeof(gint64));
    if (knobs_of(step)->batched) {
        const gint64 numel = bucket->bytes / dtype_bytes(parts->dtype);
        const gint64 side = (gint64)ceil(sqrt((double)numel));
        tensor_add(parts, knobs_of(step), side, side);
        return;
    }
    for (int i = 0; i < bucket->n_parameters; i++) {
        const Parameter *tensor = model_parameter(step->model, bucket->parameters[i]);
        tensor_add(parts, knobs_of(step), tensor->rows, tensor->numel / tensor->rows);
    }
}

static void parts_clear(Parts *parts)
{
    g_array_unref(parts->matrices);
    g_array_unref(parts->loose);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Parts, parts_clear)

static gint64 bytes_of(const Parts *parts, gint64 numel)
{
    return numel * dtype_bytes(parts->dtype);
}

static const Matrix *matrix_at(const Parts *parts, guint i)
{
    return &g_array_index(parts->matrices, Matrix, i);
}

void powersgd_persistent(Step *step, const GArray *buckets)
{
    gint64 errors = 0, factors = 0;

    for (guint b = 0; b < buckets->len; b++) {
        g_auto(Parts) parts;
        parts_init(&parts, step, &g_array_index(buckets, Bucket, b), "");
        errors += bytes_of(&parts, parts.numel);
        factors += bytes_of(&parts, parts.p_numel + parts.q_numel);
    }
    if (knobs_of(step)->use_error_feedback)
        schedule_persistent(step->schedule, "PowerSGD's errors", MEMORY_COMMUNICATION_BUFFERS,
                            errors);
    if (knobs_of(step)->warm_start)
        schedule_persistent(step->schedule, "PowerSGD's factors", MEMORY_COMMUNICATION_BUFFERS,
                            factors);
}

/* ---- kernels ---- */

static void kernel_add(GArray *kernels, KernelOp op, gint64 bytes)
{
    const Kernel kernel = {.op = op, .dtype = DTYPE_FP32, .dimension = {bytes}};

    if (bytes > 0)
        g_array_append_val(kernels, kernel);
}

static int run(Step *step, Stream stream, const char *verb, const Parts *parts,
               const GArray *kernels)
{
    return step_compute(step, stream, verb, parts->name,
                        (const Kernel *)(const void *)kernels->data, (int)kernels->len);
}

/* A column is normalised, then taken out of those behind it: its products with them, their
 * sums, the outer product, the difference. */
static void gram_schmidt(GArray *kernels, gint64 rows, gint64 rank, int wide)
{
    for (gint64 column = 0; column < rank; column++) {
        const gint64 bytes = rows * wide, rest = bytes * (rank - column - 1);
        kernel_add(kernels, KERNEL_NORM, bytes);
        kernel_add(kernels, KERNEL_SCALE, bytes);
        kernel_add(kernels, KERNEL_COPY, rest);
        kernel_add(kernels, KERNEL_NORM, rest);
        kernel_add(kernels, KERNEL_COPY, rest);
        kernel_add(kernels, KERNEL_ACCUMULATE, rest);
    }
}

/* `of_p`: the factor with the matrix's rows, else that with its columns. */
static void orthogonalize(Step *step, Stream stream, const Parts *parts, gboolean of_p)
{
    g_autoptr(GArray) kernels = g_array_new(FALSE, FALSE, sizeof(Kernel));
    const int wide = dtype_bytes(parts->dtype);

    for (guint i = 0; i < parts->matrices->len; i++) {
        const Matrix *m = matrix_at(parts, i);
        const gint64 rows = of_p ? m->rows : m->columns;
        if (m->rank <= GRAM_SCHMIDT_RANK || wide == 2)
            gram_schmidt(kernels, rows, m->rank, wide);
        else
            for (gint64 k = 0; k < 2 * m->rank; k++)
                kernel_add(kernels, KERNEL_SCALE, rows * m->rank * wide);
    }
    run(step, stream, of_p ? "orthogonalize P of" : "orthogonalize Q of", parts, kernels);
}

typedef enum { PRODUCT_P, PRODUCT_Q, PRODUCT_MATRIX } Product;

/* P = M Q, Q = transposed M times P, M = P times transposed Q. */
static int multiply(Step *step, Stream stream, const Parts *parts, Product product)
{
    static const char *const verbs[] = {"P of", "Q of", "decompress"};
    g_autoptr(GArray) kernels = g_array_new(FALSE, FALSE, sizeof(Kernel));

    for (guint i = 0; i < parts->matrices->len; i++) {
        const Matrix *m = matrix_at(parts, i);
        const Kernel of_product[] = {
            [PRODUCT_P] = {KERNEL_GEMM,
                           parts->dtype,
                           {1, m->rows, m->rank, m->columns, GEMM_NN}},
            [PRODUCT_Q] = {KERNEL_GEMM,
                           parts->dtype,
                           {1, m->columns, m->rank, m->rows, GEMM_NT}},
            [PRODUCT_MATRIX] = {KERNEL_GEMM,
                                parts->dtype,
                                {1, m->rows, m->columns, m->rank, GEMM_TN}},
        };
        g_array_append_val(kernels, of_product[product]);
    }
    return run(step, stream, verbs[product], parts, kernels);
}

/* Each tensor to its place in the joined buffer is one torch.cat; back it is a copy each. */
static void loose_unpack(Step *step, const Parts *parts)
{
    g_autoptr(GArray) kernels = g_array_new(FALSE, FALSE, sizeof(Kernel));

    kernel_add(kernels, KERNEL_SCALE, bytes_of(parts, parts->loose_numel));
    for (guint i = 0; i < parts->loose->len; i++)
        kernel_add(kernels, KERNEL_COPY,
                   bytes_of(parts, g_array_index(parts->loose, gint64, i)));
    run(step, CALLBACK_STREAM, "unpack uncompressed of", parts, kernels);
}

/* ---- the hook ---- */

static void reduce(Step *step, Stream after, const char *verb, const Parts *parts, gint64 numel)
{
    int reduced = step_collective(step, after, verb, parts->name, COLLECTIVE_ALL_REDUCE,
                                  bytes_of(parts, numel), 0);

    if (after != CALLBACK_STREAM)
        schedule_wait_stream(step->schedule, CALLBACK_STREAM, after);
    schedule_wait(step->schedule, CALLBACK_STREAM, reduced);
}

/* The bucket with the last step's error, and a copy to find this step's from. */
static int error_add(Step *step, const Parts *parts)
{
    const gint64 bytes = bytes_of(parts, parts->numel);

    if (!knobs_of(step)->use_error_feedback)
        return -1;
    step_stream_kernel(step, STREAM_COMPUTE, "add error to", parts->name, KERNEL_ACCUMULATE,
                       bytes);
    int copy =
        step_alloc(step, STREAM_COMPUTE, "copy of", parts->name, MEMORY_TEMPORARIES, bytes);
    step_stream_kernel(step, STREAM_COMPUTE, "copy", parts->name, KERNEL_COPY, bytes);
    return copy;
}

/* The new error exists before the old one goes. */
static void error_keep(Step *step, const Parts *parts, int *copy)
{
    const gint64 bytes = bytes_of(parts, parts->numel);

    if (*copy < 0)
        return;
    int error = step_alloc(step, CALLBACK_STREAM, "new error of", parts->name,
                           MEMORY_TEMPORARIES, bytes);
    step_stream_kernel(step, CALLBACK_STREAM, "keep error of", parts->name, KERNEL_ACCUMULATE,
                       bytes);
    step_release(step, CALLBACK_STREAM, &error);
    step_release(step, CALLBACK_STREAM, copy);
}

static int factors_alloc(Step *step, const Parts *parts)
{
    if (knobs_of(step)->warm_start)
        return -1;
    int factors =
        step_alloc(step, STREAM_COMPUTE, "factors of", parts->name, MEMORY_TEMPORARIES,
                   bytes_of(parts, parts->p_numel + parts->q_numel));
    step_stream_kernel(step, STREAM_COMPUTE, "random Q of", parts->name, KERNEL_COPY,
                       bytes_of(parts, parts->q_numel));
    return factors;
}

int powersgd_reduce(Step *step, const Bucket *bucket, const char *name)
{
    g_auto(Parts) parts;

    parts_init(&parts, step, bucket, name);
    int copy = error_add(step, &parts);
    int loose = step_alloc(step, STREAM_COMPUTE, "uncompressed of", name, MEMORY_TEMPORARIES,
                           bytes_of(&parts, parts.loose_numel));
    step_stream_kernel(step, STREAM_COMPUTE, "join uncompressed of", name, KERNEL_COPY,
                       bytes_of(&parts, parts.loose_numel));
    int factors = factors_alloc(step, &parts);
    orthogonalize(step, STREAM_COMPUTE, &parts, FALSE);
    multiply(step, STREAM_COMPUTE, &parts, PRODUCT_P);
    reduce(step, STREAM_COMPUTE, "all_reduce uncompressed of", &parts, parts.loose_numel);
    loose_unpack(step, &parts);
    reduce(step, CALLBACK_STREAM, "all_reduce P of", &parts, parts.p_numel);
    orthogonalize(step, CALLBACK_STREAM, &parts, TRUE);
    multiply(step, CALLBACK_STREAM, &parts, PRODUCT_Q);
    reduce(step, CALLBACK_STREAM, "all_reduce Q of", &parts, parts.q_numel);
    step_stream_kernel(step, CALLBACK_STREAM, "divide Q of", name, KERNEL_SCALE,
                       bytes_of(&parts, parts.q_numel));
    multiply(step, CALLBACK_STREAM, &parts, PRODUCT_MATRIX);
    schedule_synchronize(step->schedule);
    error_keep(step, &parts, &copy);
    step_release(step, CALLBACK_STREAM, &loose);
    step_release(step, CALLBACK_STREAM, &factors);
    return step->schedule->last_op[CALLBACK_STREAM];
}
