/* SPDX-License-Identifier: MIT */
/* DeepSpeed ZeRO stages 1 and 2: parameters replicated in one flat 16-bit buffer, fp32 master
 * and optimizer states partitioned, gradients reduced through an "ipg" bucket of
 * reduce_bucket_size elements. Source: deepspeed/runtime/zero/stage_1_and_2.py
 * (DeepSpeedZeroOptimizer) and runtime/utils.py (all_gather_dp_groups). All parameters are one
 * optimizer group. */
#include "step_deepspeed.h"

typedef struct {
    gint64 *offset; /* parameter → its first element in the flat buffer */
    GArray *bucket; /* int: parameters in the open bucket */
    gint64 bucket_numel;
    int ipg[2];             /* ALLOC of the ipg buffers */
    int last_reduction;     /* last op of the reduction in flight; -1 */
    int own_gradients;      /* ALLOC: this micro-step's gradients of the own partition */
    int averaged_gradients; /* ALLOC: their sum over earlier micro-steps */
    int *accumulated;       /* parameter → ALLOC of param.grad_accum; NULL: .grad adds up */
} Zero12;

static gboolean overlaps(const Step *step)
{
    return knobs_of(step)->overlap_comm;
}

/* Stage 2 reduces in every micro-step, stage 1 at the accumulation boundary. */
static gboolean reduces(const Step *step)
{
    return training_shards_gradients(step->training) || step->last_micro_step;
}

/* Hooks reduce during backward with partitioned gradients or overlap_comm; otherwise the
 * gradients are reduced one after the other when backward has ended. */
static gboolean reduces_in_hooks(const Step *step)
{
    return reduces(step) && (training_shards_gradients(step->training) || overlaps(step));
}

/* use_grad_accum_attribute: stage 1 adds gradients up in a type of their own. */
static gboolean accumulates_apart(const Step *step)
{
    return !training_shards_gradients(step->training) &&
           knobs_of(step)->grad_accum_dtype != step->training->precision.gradient;
}

static Stream reduction_stream(const Step *step)
{
    return overlaps(step) ? STREAM_REDUCE : STREAM_COMPUTE;
}

static void persistent_memory(Step *step)
{
    const Precision *precision = &step->training->precision;
    gint64 n = step->model->n_parameters;
    gint64 gradient_bytes = n * dtype_bytes(knobs_of(step)->grad_accum_dtype);
    gint64 sharded_bytes = n * (precision->master ? 4 : 0) + step_state_bytes(step);

    flat_persistent_memory(step);
    if (training_shards_gradients(step->training))
        sharded_bytes += gradient_bytes;
    step->schedule->model_state_bytes =
        n * dtype_bytes(precision->parameter) + step_ceil_divide(sharded_bytes, step->n_ranks) +
        (training_shards_gradients(step->training) ? 0 : gradient_bytes);
}

static void zero12_start(Step *step)
{
    Zero12 *zero = g_new0(Zero12, 1);

    step->state = zero;
    zero->bucket = g_array_new(FALSE, FALSE, sizeof(int));
    zero->offset = flat_offsets(step);
    zero->ipg[0] = zero->ipg[1] = -1;
    zero->own_gradients = zero->averaged_gradients = zero->last_reduction = -1;
    if (accumulates_apart(step)) {
        zero->accumulated = g_new(int, step->model->parameters->len + 1);
        for (guint p = 0; p < step->model->parameters->len; p++)
            zero->accumulated[p] = -1;
    }
    persistent_memory(step);
}

static void zero12_begin_backward(Step *step)
{
    Zero12 *zero = step->state;
    gint64 bytes =
        knobs_of(step)->reduce_bucket_size * dtype_bytes(step->training->precision.gradient);

    if (!knobs_of(step)->contiguous_gradients)
        return;
    for (int i = 0; i < (overlaps(step) ? 2 : 1); i++)
        zero->ipg[i] = step_alloc(step, STREAM_COMPUTE, "buffer", "ipg",
                                  MEMORY_COMMUNICATION_BUFFERS, bytes);
}

/* reduce_scatter without multi-rank all-reduce: one reduce to each owner whose partition the
 * bucket touches, of the slices it owns. */
static int reduce_to_owners(Step *step, Stream stream, int bytes_per_element)
{
    const Zero12 *zero = step->state;
    g_autofree gint64 *owned = g_new0(gint64, step->n_ranks);
    gint64 partition = flat_partition_numel(step);
    int last = -1;

    for (guint i = 0; i < zero->bucket->len; i++) {
        int p = g_array_index(zero->bucket, int, i);
        gint64 first = zero->offset[p], end = first + step_numel(step, p);
        for (gint64 rank = first / partition; rank * partition < end; rank++)
            owned[rank] += MIN(end, (rank + 1) * partition) - MAX(first, rank * partition);
    }
    for (int rank = 0; rank < step->n_ranks; rank++) {
        g_autofree char *name = g_strdup_printf("bucket to rank %d", rank);
        if (overlaps(step) && owned[rank] > 0)
            schedule_synchronize(step->schedule);
        int reduced = step_collective(step, stream, "reduce", name, COLLECTIVE_REDUCE,
                                      owned[rank] * bytes_per_element, rank);
        last = MAX(last, reduced);
    }
    return last;
}

/* gradient_reduction_w_predivide: divided before (prescale_gradients), after, or in two parts.
 */
static int all_reduce_in_place(Step *step, Stream stream, gint64 bytes)
{
    const DeepspeedKnobs *knobs = knobs_of(step);

    if (knobs->prescale_gradients || knobs->gradient_predivide_factor != 1)
        step_stream_kernel(step, stream, "divide", "bucket", KERNEL_SCALE, bytes);
    int reduced =
        step_collective(step, stream, "all_reduce", "bucket", COLLECTIVE_ALL_REDUCE, bytes, 0);
    if (knobs->prescale_gradients || knobs->gradient_predivide_factor == step->n_ranks)
        return reduced;
    schedule_wait(step->schedule, stream, reduced);
    step_stream_kernel(step, stream, "divide", "bucket", KERNEL_SCALE, bytes);
    return reduced;
}

/* average_tensor: by default the bucket's slices are flattened once more, divided and
 * all-reduced; reduce_scatter = false all-reduces the ipg buffer in place. */
static int average(Step *step, Stream stream, gint64 numel)
{
    const DeepspeedKnobs *knobs = knobs_of(step);
    int bytes_per_element = dtype_bytes(step->training->precision.reduce);

    if (!knobs->reduce_scatter)
        return all_reduce_in_place(step, stream, numel * bytes_per_element);
    step_stream_kernel(step, stream, "divide", "bucket", KERNEL_SCALE,
                       numel * bytes_per_element);
    if (!knobs->use_multi_rank_bucket_allreduce)
        return reduce_to_owners(step, stream, bytes_per_element);
    return step_collective(step, stream, "all_reduce", "bucket", COLLECTIVE_ALL_REDUCE,
                           numel * bytes_per_element, 0);
}

/* The copy that average_tensor works on: the flattened slices, or the upcast of
 * communication_data_type. */
static gint64 reduction_copy_bytes(const Step *step, gint64 numel)
{
    const Precision *precision = &step->training->precision;
    const DeepspeedKnobs *knobs = knobs_of(step);
    gboolean flattens = knobs->reduce_scatter && knobs->use_multi_rank_bucket_allreduce;

    if (!flattens && precision->reduce == precision->gradient)
        return 0;
    return numel * dtype_bytes(precision->reduce);
}

static void own_gradients_keep(Step *step, Stream stream, gint64 numel)
{
    Zero12 *zero = step->state;
    int bytes_per_element = dtype_bytes(step->training->precision.gradient);

    if (zero->own_gradients < 0)
        zero->own_gradients =
            step_alloc(step, stream, "own partition", "gradients", MEMORY_GRADIENTS,
                       flat_partition_numel(step) * bytes_per_element);
    step_stream_kernel(step, stream, "keep own slices", "bucket", KERNEL_COPY,
                       numel / step->n_ranks * bytes_per_element);
}

/* reduce_ipg_grads. With overlap_comm at most one bucket is in flight: compute waits for the
 * previous reduction before this one starts. */
static void bucket_reduce(Step *step)
{
    Zero12 *zero = step->state;
    Stream stream = reduction_stream(step);
    gint64 numel = zero->bucket_numel;

    if (zero->bucket->len == 0)
        return;
    if (overlaps(step)) {
        schedule_wait(step->schedule, STREAM_COMPUTE, zero->last_reduction);
        schedule_wait_stream(step->schedule, STREAM_REDUCE, STREAM_COMPUTE);
    }
    gint64 copy_bytes = reduction_copy_bytes(step, numel);
    int copy = step_alloc(step, stream, "flattened", "bucket", MEMORY_TEMPORARIES, copy_bytes);
    step_stream_kernel(step, stream, "flatten", "bucket", KERNEL_COPY, copy_bytes);
    schedule_wait(step->schedule, stream, average(step, stream, numel));
    own_gradients_keep(step, stream, numel);
    step_release(step, stream, &copy);
    zero->last_reduction = step->schedule->last_op[stream];
    for (guint i = 0; i < zero->bucket->len; i++)
        step_release(step, STREAM_COMPUTE,
                     &step->stored_gradient[g_array_index(zero->bucket, int, i)]);
    g_array_set_size(zero->bucket, 0);
    zero->bucket_numel = 0;
}

/* reduce_independent_p_g_buckets_and_remove_grads: buckets never pass reduce_bucket_size. A
 * gradient that fits is copied to the ipg buffer and its own storage goes; a larger one is
 * reduced alone where it is. */
static void bucket_add(Step *step, int parameter)
{
    Zero12 *zero = step->state;
    gint64 numel = step_numel(step, parameter);
    gint64 limit = knobs_of(step)->reduce_bucket_size;

    if (zero->bucket_numel + numel > limit)
        bucket_reduce(step);
    g_array_append_val(zero->bucket, parameter);
    zero->bucket_numel += numel;
    if (!knobs_of(step)->contiguous_gradients || numel > limit)
        return;
    step_stream_kernel(step, STREAM_COMPUTE, "copy to ipg",
                       model_parameter(step->model, parameter)->name, KERNEL_COPY,
                       numel * dtype_bytes(step->training->precision.gradient));
    step_release(step, STREAM_COMPUTE, &step->stored_gradient[parameter]);
}

static void zero12_gradient_ready(Step *step, int parameter)
{
    step_accumulate_gradient(step, parameter);
    if (!reduces_in_hooks(step))
        return;
    schedule_host_parameters(step->schedule, 1);
    bucket_add(step, parameter);
}

/* independent_gradient_partition_epilogue: the own gradients are added to earlier micro-steps'.
 */
static void averaged_gradients_add(Step *step)
{
    Zero12 *zero = step->state;

    if (zero->averaged_gradients < 0) {
        zero->averaged_gradients = zero->own_gradients;
        zero->own_gradients = -1;
        return;
    }
    step_stream_kernel(step, STREAM_COMPUTE, "add", "own gradients", KERNEL_ACCUMULATE,
                       flat_partition_numel(step) *
                           dtype_bytes(step->training->precision.gradient));
    step_release(step, STREAM_COMPUTE, &zero->own_gradients);
}

/* fill_grad_accum_attribute: .grad becomes param.grad_accum, or is added to it, and goes. */
static void accumulate_apart(Step *step, int parameter)
{
    const Zero12 *zero = step->state;
    DType from = step->training->precision.gradient, to = knobs_of(step)->grad_accum_dtype;
    const char *name = model_parameter(step->model, parameter)->name;
    gint64 numel = step_numel(step, parameter), bytes = numel * dtype_bytes(to);
    gboolean first = zero->accumulated[parameter] < 0;
    int wide = step_alloc(step, STREAM_COMPUTE, "accumulated", name,
                          first ? MEMORY_GRADIENTS : MEMORY_TEMPORARIES, bytes);

    step_cast(step, STREAM_COMPUTE, "cast gradient", name, numel, from, to);
    if (first) {
        zero->accumulated[parameter] = wide;
    } else {
        step_stream_kernel(step, STREAM_COMPUTE, "accumulate", name, KERNEL_ACCUMULATE, bytes);
        step_release(step, STREAM_COMPUTE, &wide);
    }
    step_release(step, STREAM_COMPUTE, &step->stored_gradient[parameter]);
}

/* get_gradient_for_reduction: a copy in the model's type is what is reduced. */
static void accumulated_narrow(Step *step, int parameter)
{
    DType from = knobs_of(step)->grad_accum_dtype, to = step->training->precision.gradient;
    const char *name = model_parameter(step->model, parameter)->name;
    gint64 numel = step_numel(step, parameter);

    step->stored_gradient[parameter] =
        step_alloc(step, STREAM_COMPUTE, "accumulated, narrow", name, MEMORY_TEMPORARIES,
                   numel * dtype_bytes(to));
    step_cast(step, STREAM_COMPUTE, "narrow gradient", name, numel, from, to);
}

static void reduce_after_backward(Step *step)
{
    const Zero12 *zero = step->state;

    for (guint p = 0; p < step->model->parameters->len; p++) {
        if (zero->accumulated)
            accumulated_narrow(step, (int)p);
        bucket_add(step, (int)p);
    }
}

static void zero12_end_backward(Step *step)
{
    Zero12 *zero = step->state;

    for (guint p = 0; p < step->model->parameters->len && zero->accumulated; p++)
        accumulate_apart(step, (int)p);
    if (reduces(step) && !reduces_in_hooks(step))
        reduce_after_backward(step);
    bucket_reduce(step);
    if (overlaps(step))
        schedule_synchronize(step->schedule);
    zero->last_reduction = -1;
    if (reduces(step))
        averaged_gradients_add(step);
    for (guint p = 0; p < step->model->parameters->len && zero->accumulated && reduces(step);
         p++)
        step_release(step, STREAM_COMPUTE, &zero->accumulated[p]);
    for (int i = 0; i < 2; i++)
        step_release(step, STREAM_COMPUTE, &zero->ipg[i]);
}

static void partition_update(Step *step)
{
    Zero12 *zero = step->state;
    const Precision *precision = &step->training->precision;
    gint64 partition = flat_partition_numel(step);
    int flat = -1;

    if (precision->gradient != DTYPE_FP32) {
        flat = step_alloc(step, STREAM_COMPUTE, "fp32", "own gradients", MEMORY_TEMPORARIES,
                          partition * 4);
        step_cast(step, STREAM_COMPUTE, "cast", "own gradients", partition, precision->gradient,
                  DTYPE_FP32);
        step_release(step, STREAM_COMPUTE, &zero->averaged_gradients);
    }
    if (knobs_of(step)->loss_scaling || step->training->gradient_clipping > 0)
        step_stream_kernel(step, STREAM_COMPUTE, "unscale and clip", "own gradients",
                           KERNEL_SCALE, partition * 4);
    step_optimize(step, "own partition", partition, 1, DTYPE_FP32);
    step_release(step, STREAM_COMPUTE, &flat);
    step_release(step, STREAM_COMPUTE, &zero->averaged_gradients);
    if (precision->master)
        step_cast(step, STREAM_COMPUTE, "copy to 16-bit", "own partition", partition,
                  DTYPE_FP32, precision->parameter);
}

static void zero12_update(Step *step)
{
    const Precision *precision = &step->training->precision;

    if (knobs_of(step)->loss_scaling)
        step_scalar_all_reduce(step, "overflow flag", 1);
    step_stream_kernel(step, STREAM_COMPUTE, "norm", "own gradients", KERNEL_NORM,
                       flat_partition_numel(step) * dtype_bytes(precision->gradient));
    step_scalar_all_reduce(step, "gradient norm", 4);
    partition_update(step);
    flat_all_gather(step);
}

static void zero12_finish(Step *step)
{
    Zero12 *zero = step->state;

    g_array_unref(zero->bucket);
    g_free(zero->offset);
    g_free(zero->accumulated);
    g_free(zero);
}

const StepHooks step_deepspeed12_hooks = {
    .start = zero12_start,
    .begin_backward = zero12_begin_backward,
    .gradient_ready = zero12_gradient_ready,
    .end_backward = zero12_end_backward,
    .update = zero12_update,
    .finish = zero12_finish,
};
