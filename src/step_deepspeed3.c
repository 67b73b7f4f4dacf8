/* SPDX-License-Identifier: MIT */
/* DeepSpeed ZeRO stage 3: every parameter is partitioned alone and gathered module by module
 * (step_deepspeed3_fetch.c); gradients are reduce-scattered bucket by bucket on a stream of
 * their own. Sources: deepspeed/runtime/zero/stage3.py (DeepSpeedZeroOptimizer_Stage3),
 * parameter_offload.py, comm/coalesced_collectives.py. */
#include "step_deepspeed3.h"

/* max_param_reduce_events in stage3.py. */
#define MAX_REDUCE_EVENTS 2

typedef struct {
    Coordinator *coordinator;
    GArray *bucket; /* int: parameters in the open bucket */
    gint64 bucket_numel;
    GQueue *reduce_events;
} Zero3;

static Stream reduce_stream(const Step *step)
{
    return knobs_of(step)->overlap_comm ? STREAM_REDUCE : STREAM_COMPUTE;
}

static gint64 partition_total(const Step *step)
{
    gint64 numel = 0;

    for (guint p = 0; p < step->model->parameters->len; p++)
        numel += zero3_partition_numel(step, (int)p);
    return numel;
}

static void persistent_memory(Step *step)
{
    const Zero3 *zero = step->state;
    const Precision *precision = &step->training->precision;
    gint64 partition = partition_total(step), persistent_numel = 0;
    gint64 master_bytes = precision->master ? 4 : 0;

    for (guint p = 0; p < step->model->parameters->len; p++)
        if (zero->coordinator->persistent[p])
            persistent_numel += zero3_gathered_numel(step, (int)p);
    schedule_persistent(step->schedule, "parameter partitions", MEMORY_PARAMETERS,
                        partition * dtype_bytes(precision->parameter));
    schedule_persistent(step->schedule, "buffers", MEMORY_PARAMETERS,
                        step->model->buffer_bytes);
    schedule_persistent(step->schedule, "persistent parameters", MEMORY_GATHERED_PARAMETERS,
                        persistent_numel * dtype_bytes(precision->gather));
    schedule_persistent(step->schedule, "fp32 master partitions", MEMORY_MASTER_WEIGHTS,
                        partition * master_bytes);
    schedule_persistent(step->schedule, "optimizer states", MEMORY_OPTIMIZER_STATES,
                        step_ceil_divide(step_state_bytes(step), zero3_n_shards(step)));
    schedule_persistent(step->schedule, "gradient partitions", MEMORY_GRADIENTS,
                        partition * dtype_bytes(knobs_of(step)->grad_accum_dtype));
    if (zero3_has_secondary(step))
        schedule_persistent(
            step->schedule, "secondary partitions", MEMORY_PARAMETERS,
            step_ceil_divide(step->model->n_parameters, knobs_of(step)->hpz_partition_size) *
                dtype_bytes(precision->parameter));
    schedule_persistent(step->schedule, "LoCo's errors", MEMORY_COMMUNICATION_BUFFERS,
                        zero3_loco_bytes(step));
    if (knobs_of(step)->contiguous_gradients)
        schedule_persistent(step->schedule, "ipg buffer", MEMORY_COMMUNICATION_BUFFERS,
                            knobs_of(step)->reduce_bucket_size *
                                dtype_bytes(precision->gradient));
    step->schedule->model_state_bytes = step_ceil_divide(
        step->model->n_parameters *
                (dtype_bytes(precision->parameter) +
                 dtype_bytes(knobs_of(step)->grad_accum_dtype) + master_bytes) +
            step_state_bytes(step),
        zero3_n_shards(step));
}

static void zero3_start(Step *step)
{
    Zero3 *zero = g_new0(Zero3, 1);

    step->state = zero;
    zero->coordinator = coordinator_new(step);
    zero->bucket = g_array_new(FALSE, FALSE, sizeof(int));
    zero->reduce_events = g_queue_new();
    persistent_memory(step);
}

static void zero3_begin_micro_step(Step *step)
{
    Zero3 *zero = step->state;

    step->phase = PHASE_FORWARD;
    coordinator_reset(zero->coordinator);
}

static void zero3_fetch(Step *step, int layer)
{
    Zero3 *zero = step->state;

    schedule_host_parameters(step->schedule, model_layer(step->model, layer)->n_parameters);
    coordinator_fetch(step, zero->coordinator, layer);
}

static void zero3_release(Step *step, int layer)
{
    Zero3 *zero = step->state;

    coordinator_release(step, zero->coordinator, layer);
}

static gint64 bucket_gathered_numel(const Step *step, const GArray *bucket)
{
    gint64 numel = 0;

    for (guint i = 0; i < bucket->len; i++)
        numel += zero3_gathered_numel(step, g_array_index(bucket, int, i));
    return numel;
}

/* MiCS, allreduce_mics_shard_grads: at the accumulation boundary the replicas of a shard add up
 * the bucket's partitions, in place. */
static void replicas_reduce(Step *step, Stream stream)
{
    const Zero3 *zero = step->state;
    const int wide = dtype_bytes(knobs_of(step)->grad_accum_dtype);
    g_autoptr(GArray) kernels = g_array_new(FALSE, FALSE, sizeof(Kernel));
    gint64 bytes = 0;

    if (knobs_of(step)->mics_shard_size <= 0 || !step->last_micro_step ||
        job_group_size(step->job, zero3_communicator(step, "replicate"), step->rank) == 1)
        return;
    for (guint i = 0; i < zero->bucket->len; i++) {
        gint64 numel = zero3_partition_numel(step, g_array_index(zero->bucket, int, i));
        const Kernel scale = {KERNEL_SCALE, DTYPE_FP32, {numel * wide}};
        bytes += numel * wide;
        g_array_append_val(kernels, scale);
    }
    step_compute(step, stream, "divide", "gradient partitions",
                 (const Kernel *)(void *)kernels->data, (int)kernels->len);
    schedule_wait(step->schedule, stream,
                  step_collective_on(step, zero3_communicator(step, "replicate"), stream,
                                     "all_reduce", "gradient partitions", COLLECTIVE_ALL_REDUCE,
                                     bytes, 0));
}

/* partition_grads: each reduced partition is written to the gradient buffer, or added to
 * earlier micro-steps', in the buffer's type. */
static void partitions_store(Step *step, Stream stream)
{
    const Zero3 *zero = step->state;
    const DType from = step->training->precision.gradient,
                to = knobs_of(step)->grad_accum_dtype;
    const gboolean adds = step->micro_step > 0, casts = from != to;
    g_autoptr(GArray) kernels = g_array_new(FALSE, FALSE, sizeof(Kernel));
    gint64 total = 0;

    for (guint i = 0; i < zero->bucket->len; i++) {
        gint64 numel = zero3_partition_numel(step, g_array_index(zero->bucket, int, i));
        const Kernel cast = {KERNEL_CAST, to, {numel, dtype_bytes(from), dtype_bytes(to)}};
        const Kernel store = {
            adds ? KERNEL_ACCUMULATE : KERNEL_COPY, DTYPE_FP32, {numel * dtype_bytes(to)}};
        total += numel;
        if (casts)
            g_array_append_val(kernels, cast);
        if (adds || !casts)
            g_array_append_val(kernels, store);
    }
    int cast = step_alloc(step, stream, "cast", "gradient partitions", MEMORY_TEMPORARIES,
                          casts && adds ? total * dtype_bytes(to) : 0);
    step_compute(step, stream, adds ? "accumulate" : "keep", "gradient partitions",
                 (const Kernel *)(void *)kernels->data, (int)kernels->len);
    step_release(step, stream, &cast);
    replicas_reduce(step, stream);
}

/* reduce_scatter_coalesced: pieces are interleaved by owner into a temporary, divided, and
 * reduce-scattered; a single gradient that divides evenly is where it should be. */
static void bucket_scatter(Step *step, Stream stream)
{
    const Zero3 *zero = step->state;
    gint64 numel = bucket_gathered_numel(step, zero->bucket);
    gint64 bytes = numel * dtype_bytes(step->training->precision.reduce);
    gint64 moved = zero->bucket->len == 1 && numel == zero->bucket_numel ? 0 : bytes;
    int interleaved =
        step_alloc(step, stream, "interleaved", "bucket", MEMORY_TEMPORARIES, moved);

    step_stream_kernel(step, stream, "interleave", "bucket", KERNEL_COPY, moved);
    step_stream_kernel(step, stream, "divide", "bucket", KERNEL_SCALE, bytes);
    schedule_wait(step->schedule, stream,
                  step_collective_on(step, zero3_shards(step), stream, "reduce_scatter",
                                     "bucket", COLLECTIVE_REDUCE_SCATTER, bytes, 0));
    partitions_store(step, stream);
    step_release(step, stream, &interleaved);
}

/* __avg_scatter_contiguous_grads, with reduce_scatter = false: the ipg buffer itself. */
static void bucket_all_reduce(Step *step, Stream stream)
{
    const Zero3 *zero = step->state;
    gint64 bytes = zero->bucket_numel * dtype_bytes(step->training->precision.reduce);

    step_stream_kernel(step, stream, "divide", "bucket", KERNEL_SCALE, bytes);
    schedule_wait(step->schedule, stream,
                  step_collective_on(step, zero3_shards(step), stream, "all_reduce", "bucket",
                                     COLLECTIVE_ALL_REDUCE, bytes, 0));
    partitions_store(step, stream);
}

/* all_to_all_quant_reduce: tensor by tensor, smaller ds_id first. */
static void bucket_reduce_quantized(Step *step, Stream stream)
{
    const Zero3 *zero = step->state;

    for (guint i = zero->bucket->len; i > 0; i--)
        zero3_reduce_quantized(step, stream, g_array_index(zero->bucket, int, i - 1));
    partitions_store(step, stream);
}

/* A bucket that isn't in the ipg buffer is never all-reduced. */
static gboolean all_reduces(const Step *step)
{
    const Zero3 *zero = step->state;

    return !knobs_of(step)->reduce_scatter && knobs_of(step)->contiguous_gradients &&
           zero->bucket_numel <= knobs_of(step)->reduce_bucket_size;
}

static void bucket_reduce(Step *step)
{
    Zero3 *zero = step->state;
    Stream stream = reduce_stream(step);

    if (zero->bucket->len == 0)
        return;
    while (g_queue_get_length(zero->reduce_events) > MAX_REDUCE_EVENTS)
        schedule_host_wait(step->schedule,
                           GPOINTER_TO_INT(g_queue_pop_head(zero->reduce_events)));
    if (all_reduces(step))
        bucket_all_reduce(step, stream);
    else if (zero3_reduces_quantized(step))
        bucket_reduce_quantized(step, stream);
    else
        bucket_scatter(step, stream);
    g_queue_push_tail(zero->reduce_events, GINT_TO_POINTER(step->schedule->last_op[stream]));
    for (guint i = 0; i < zero->bucket->len; i++)
        step_release(step, stream, &step->gradient[g_array_index(zero->bucket, int, i)]);
    g_array_set_size(zero->bucket, 0);
    zero->bucket_numel = 0;
}

/* A gradient that fits is copied to the ipg buffer, on the reduction stream, and its own
 * storage goes; a larger one is reduced from where it is. The stream waits for the gradient
 * here, so that a full bucket isn't held back by the one that comes next. */
static void zero3_gradient_ready(Step *step, int parameter)
{
    Zero3 *zero = step->state;
    gint64 numel = step_numel(step, parameter), limit = knobs_of(step)->reduce_bucket_size;
    Stream stream = reduce_stream(step);

    schedule_host_parameters(step->schedule, 1);
    if (zero->bucket_numel + numel > limit)
        bucket_reduce(step);
    g_array_append_val(zero->bucket, parameter);
    zero->bucket_numel += numel;
    if (stream != STREAM_COMPUTE)
        schedule_wait_stream(step->schedule, stream, STREAM_COMPUTE);
    if (!knobs_of(step)->contiguous_gradients || numel > limit)
        return;
    step_stream_kernel(step, stream, "copy to ipg",
                       model_parameter(step->model, parameter)->name, KERNEL_COPY,
                       numel * dtype_bytes(step->training->precision.gradient));
    step_release(step, stream, &step->gradient[parameter]);
}

static void zero3_end_backward(Step *step)
{
    Zero3 *zero = step->state;

    bucket_reduce(step);
    g_queue_clear(zero->reduce_events);
    schedule_host_wait(step->schedule, step->schedule->last_op[reduce_stream(step)]);
}

static void sub_group_update(Step *step, gint64 numel)
{
    const Precision *precision = &step->training->precision;
    DType accumulated = knobs_of(step)->grad_accum_dtype;
    int flat = -1;

    /* The partitions are flattened, so fp32 ones are copied too. */
    if (precision->gradient != DTYPE_FP32) {
        flat = step_alloc(step, STREAM_COMPUTE, "fp32", "gradients", MEMORY_TEMPORARIES,
                          numel * 4);
        step_cast(step, STREAM_COMPUTE, "cast", "gradients", numel, accumulated, DTYPE_FP32);
    }
    if (knobs_of(step)->loss_scaling || step->training->gradient_clipping > 0)
        step_stream_kernel(step, STREAM_COMPUTE, "unscale and clip", "gradients", KERNEL_SCALE,
                           numel * 4);
    step_optimize(step, "sub-group", numel, 1, DTYPE_FP32);
    step_release(step, STREAM_COMPUTE, &flat);
    if (precision->master)
        step_cast(step, STREAM_COMPUTE, "copy to 16-bit", "sub-group", numel, DTYPE_FP32,
                  precision->parameter);
}

/* _post_step: small parameters are gathered again, one all-gather each, then the device is
 * synchronised. */
static void persistent_gather(Step *step)
{
    Zero3 *zero = step->state;

    coordinator_invalidate_secondary(step, zero->coordinator);
    for (guint p = 0; p < step->model->parameters->len; p++)
        if (zero->coordinator->persistent[p])
            step_collective_on(step, zero3_shards(step), STREAM_COMPUTE, "all_gather",
                               model_parameter(step->model, (int)p)->name,
                               COLLECTIVE_ALL_GATHER,
                               zero3_gathered_numel(step, (int)p) *
                                   dtype_bytes(step->training->precision.gather),
                               0);
    schedule_synchronize(step->schedule);
}

/* _create_fp16_sub_groups: whole parameters in order, until the partitions reach
 * sub_group_size elements. Elements are gint64: the sub-groups' sizes. */
static GArray *sub_groups_build(const Step *step)
{
    GArray *sub_groups = g_array_new(FALSE, FALSE, sizeof(gint64));
    gint64 numel = 0;

    for (guint p = 0; p < step->model->parameters->len; p++) {
        numel += zero3_partition_numel(step, (int)p);
        if (numel < knobs_of(step)->sub_group_size && p + 1 < step->model->parameters->len)
            continue;
        g_array_append_val(sub_groups, numel);
        numel = 0;
    }
    return sub_groups;
}

static void zero3_update(Step *step)
{
    g_autoptr(GArray) sub_groups = sub_groups_build(step);

    if (knobs_of(step)->loss_scaling)
        step_scalar_all_reduce(step, "overflow flag", 1);
    for (guint i = 0; i < sub_groups->len; i++) {
        step_stream_kernel(step, STREAM_COMPUTE, "norm", "gradients", KERNEL_NORM,
                           g_array_index(sub_groups, gint64, i) *
                               dtype_bytes(knobs_of(step)->grad_accum_dtype));
        step_scalar_all_reduce(step, "gradient norm", 8);
    }
    for (guint i = 0; i < sub_groups->len; i++)
        sub_group_update(step, g_array_index(sub_groups, gint64, i));
    persistent_gather(step);
}

static void zero3_finish(Step *step)
{
    Zero3 *zero = step->state;

    coordinator_free(zero->coordinator);
    g_array_unref(zero->bucket);
    g_queue_free(zero->reduce_events);
    g_free(zero);
}

const StepHooks step_deepspeed3_hooks = {
    .add_communicators = zero3_add_communicators,
    .check = zero3_check,
    .start = zero3_start,
    .begin_micro_step = zero3_begin_micro_step,
    .before_forward = zero3_fetch,
    .after_forward = zero3_release,
    .before_backward = zero3_fetch,
    .gradient_ready = zero3_gradient_ready,
    .after_backward = zero3_release,
    .end_backward = zero3_end_backward,
    .update = zero3_update,
    .finish = zero3_finish,
};
