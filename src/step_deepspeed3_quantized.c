/* SPDX-License-Identifier: MIT */
/* ZeRO++'s quantised communication: the groups of qwZ, and the gradients of qgZ in two stages
 * of 4-bit all-to-alls, with LoCo's error feedback. Sources: deepspeed/runtime/zero/
 * partition_parameters.py (CUDAQuantizer), deepspeed/runtime/comm/coalesced_collectives.py
 * (all_to_all_quant_reduce, all_to_all_loco_quant_reduce). */
#include "step_deepspeed3.h"

#define TARGET_GROUP_SIZE 8000 /* CUDAQuantizer.target_group_size */
#define SCALE_BYTES 4          /* fp32 */

/* CUDAQuantizer.quantize: at first as many groups as keep each below the target, then the next
 * number that splits the tensor into multiples of 8. */
gint64 zero3_quantization_groups(gint64 numel)
{
    gint64 groups = step_ceil_divide(numel, TARGET_GROUP_SIZE);

    if (numel % 8 != 0)
        return -1;
    while (groups < numel && numel % (8 * groups) != 0)
        groups++;
    return groups;
}

/* A tensor on its way through both stages: bytes of 4-bit numbers and of scales. */
typedef struct {
    const char *name;
    int local, global;     /* communicators */
    int n_local, n_global; /* their ranks */
    gint64 numel;
    gint64 payload[2], scales[2]; /* what a rank sends in each stage */
    int wide;                     /* bytes of an element outside */
} TwoStages;

static gint64 columns_of(const Parameter *parameter)
{
    return parameter->numel / parameter->rows;
}

static int n_local_of(const Step *step)
{
    return job_group_size(step->job, zero3_communicator(step, "local"), step->rank);
}

static gboolean goes_two_stages(const Step *step, int parameter)
{
    const Parameter *tensor = model_parameter(step->model, parameter);

    return columns_of(tensor) > 1 && tensor->numel % (2 * (gint64)step->n_ranks) == 0;
}

/* Groups of the first stage; a scale each. */
static gint64 stage_groups(const Step *step, int parameter)
{
    const Parameter *tensor = model_parameter(step->model, parameter);

    return MAX(MAX(tensor->rows, columns_of(tensor)), step->n_ranks);
}

static TwoStages two_stages(const Step *step, int parameter)
{
    TwoStages t = {.name = model_parameter(step->model, parameter)->name,
                   .local = zero3_communicator(step, "local"),
                   .global = zero3_communicator(step, "global"),
                   .numel = step_numel(step, parameter),
                   .wide = dtype_bytes(step->training->precision.reduce)};
    gint64 groups = stage_groups(step, parameter);

    t.n_local = job_group_size(step->job, t.local, step->rank);
    t.n_global = job_group_size(step->job, t.global, step->rank);
    t.payload[0] = t.numel / 2;
    t.payload[1] = t.payload[0] / t.n_local;
    t.scales[0] = groups * SCALE_BYTES;
    t.scales[1] = groups / t.n_local * SCALE_BYTES;
    return t;
}

/* A kernel that reads and writes so many bytes for each of `elements`. */
static void pass(Step *step, Stream stream, const char *verb, const char *name, gint64 elements,
                 gint64 read_bytes, gint64 write_bytes)
{
    Kernel kernel = {.op = KERNEL_CAST,
                     .dtype = DTYPE_FP16,
                     .dimension = {elements, read_bytes, write_bytes}};

    if (elements > 0)
        step_compute(step, stream, verb, name, &kernel, 1);
}

/* all_to_all_single of the numbers and of their scales, each waited for. */
static void exchange(Step *step, Stream stream, const TwoStages *t, int stage)
{
    static const char *const verbs[] = {"all_to_all in node", "all_to_all between nodes"};
    static const char *const scale_verbs[] = {"all_to_all in node of the scales of",
                                              "all_to_all between nodes of the scales of"};
    const int communicator = stage == 0 ? t->local : t->global;

    schedule_wait(step->schedule, stream,
                  step_collective_on(step, communicator, stream, verbs[stage], t->name,
                                     COLLECTIVE_ALL_TO_ALL, t->payload[stage], 0));
    schedule_wait(step->schedule, stream,
                  step_collective_on(step, communicator, stream, scale_verbs[stage], t->name,
                                     COLLECTIVE_ALL_TO_ALL, t->scales[stage], 0));
}

static int stage_alloc(Step *step, Stream stream, const char *verb, const TwoStages *t,
                       int stage)
{
    return step_alloc(step, stream, verb, t->name, MEMORY_COMMUNICATION_BUFFERS,
                      t->payload[stage] + t->scales[stage]);
}

/* LoCo: the error of the last step, brought back to 16 bits; elements of the stage. */
static int error_restore(Step *step, Stream stream, const TwoStages *t, gint64 elements)
{
    int error =
        step_alloc(step, stream, "error of", t->name, MEMORY_TEMPORARIES, elements * t->wide);

    pass(step, stream, "restore error of", t->name, elements, 1, t->wide);
    return error;
}

static void error_keep(Step *step, Stream stream, const TwoStages *t, gint64 elements,
                       int *error)
{
    pass(step, stream, "keep error of", t->name, elements, t->wide, 1);
    step_release(step, stream, error);
}

/* Dequantised, and the nodes' parts added up one after the other, then divided. */
static void average(Step *step, Stream stream, const TwoStages *t, int *received)
{
    const gint64 numel = t->numel / t->n_local, part = numel / t->n_global;
    int output =
        step_alloc(step, stream, "dequantized", t->name, MEMORY_TEMPORARIES, numel * t->wide);

    pass(step, stream, "dequantize", t->name, numel / 2, 1, 2 * (gint64)t->wide);
    step_release(step, stream, received);
    g_autoptr(GArray) kernels = g_array_new(FALSE, FALSE, sizeof(Kernel));
    Kernel add = {.op = KERNEL_ACCUMULATE, .dtype = DTYPE_FP32, .dimension = {part * t->wide}};
    for (int node = 0; node < t->n_global; node++)
        g_array_append_val(kernels, add);
    add.op = KERNEL_SCALE;
    g_array_append_val(kernels, add);
    step_compute(step, stream, "average", t->name, (const Kernel *)(void *)kernels->data,
                 (int)kernels->len);
    step_release(step, stream, &output);
}

static void reduce_in_two_stages(Step *step, Stream stream, int parameter)
{
    const TwoStages t = two_stages(step, parameter);
    const gboolean loco = step->training->deepspeed.loco;
    const gint64 wide = t.wide, reduced = t.numel / t.n_local;
    const gint64 with_error = loco ? wide : 0; /* read and written beside the numbers */
    int errors[2] = {-1, -1};

    for (int stage = 0; stage < 2 && loco; stage++)
        errors[stage] = error_restore(step, stream, &t, stage == 0 ? t.numel : reduced);
    int sent = stage_alloc(step, stream, "quantized", &t, 0);
    pass(step, stream, "quantize", t.name, t.numel / 2, 2 * (wide + with_error),
         1 + 2 * with_error);
    int received = stage_alloc(step, stream, "received in node", &t, 0);
    exchange(step, stream, &t, 0);
    if (loco)
        error_keep(step, stream, &t, t.numel, &errors[0]);
    int reduced_sent = stage_alloc(step, stream, "reduced in node", &t, 1);
    pass(step, stream, "reduce and quantize", t.name, reduced / 2, t.n_local + 2 * with_error,
         1 + 2 * with_error);
    int reduced_received = stage_alloc(step, stream, "received between nodes", &t, 1);
    exchange(step, stream, &t, 1);
    if (loco)
        error_keep(step, stream, &t, reduced, &errors[1]);
    step_release(step, stream, &sent);
    step_release(step, stream, &received);
    step_release(step, stream, &reduced_sent);
    average(step, stream, &t, &reduced_received);
}

/* reduce_scatter_coalesced of one tensor: in place where it divides. */
static void reduce_alone(Step *step, Stream stream, int parameter)
{
    const char *name = model_parameter(step->model, parameter)->name;
    const gint64 bytes =
        zero3_gathered_numel(step, parameter) * dtype_bytes(step->training->precision.reduce);
    int padded = -1;

    if (step_numel(step, parameter) % step->n_ranks != 0) {
        padded = step_alloc(step, stream, "padded", name, MEMORY_TEMPORARIES, bytes);
        step_stream_kernel(step, stream, "pad", name, KERNEL_COPY, bytes);
    }
    step_stream_kernel(step, stream, "divide", name, KERNEL_SCALE, bytes);
    schedule_wait(step->schedule, stream,
                  step_collective(step, stream, "reduce_scatter", name,
                                  COLLECTIVE_REDUCE_SCATTER, bytes, 0));
    step_release(step, stream, &padded);
}

gboolean zero3_reduces_quantized(const Step *step)
{
    return zero3_communicator(step, "global") >= 0;
}

void zero3_reduce_quantized(Step *step, Stream stream, int parameter)
{
    if (goes_two_stages(step, parameter))
        reduce_in_two_stages(step, stream, parameter);
    else
        reduce_alone(step, stream, parameter);
}

gint64 zero3_loco_bytes(const Step *step)
{
    gint64 bytes = 0;

    if (!step->training->deepspeed.loco || !zero3_reduces_quantized(step))
        return 0;
    for (int p = 0; p < (int)step->model->parameters->len; p++) {
        const gint64 groups = stage_groups(step, p);
        if (!goes_two_stages(step, p))
            continue;
        bytes += step_numel(step, p) + groups * SCALE_BYTES;
        bytes +=
            step_numel(step, p) / n_local_of(step) + groups / n_local_of(step) * SCALE_BYTES;
    }
    return bytes;
}
