/* SPDX-License-Identifier: MIT */
/* DeepSpeed's stage 0: 16-bit parameters and gradients, fp32 master and optimizer states on
 * every rank; behind backward the gradients are all-reduced in flattened buckets, nothing
 * overlaps. Sources: deepspeed/runtime/engine.py (buffered_allreduce_fallback), runtime/fp16/
 * fused_optimizer.py. From v0.17.6 on bf16 trains this way too. */
#include "step_walk.h"

/* numel_per_bucket of engine.py's allreduce_no_retain; the tensor that passes it is in. */
#define BUCKET_NUMEL G_GINT64_CONSTANT(500000000)

static void stage0_start(Step *step)
{
    const Precision *precision = &step->training->precision;
    gint64 n = step->model->n_parameters;
    gint64 master_bytes = precision->master ? 4 * n : 0;
    gint64 state_bytes = step_state_bytes(step);

    schedule_persistent(step->schedule, "parameters", MEMORY_PARAMETERS,
                        n * dtype_bytes(precision->parameter));
    schedule_persistent(step->schedule, "buffers", MEMORY_PARAMETERS,
                        step->model->buffer_bytes);
    schedule_persistent(step->schedule, "fp32 master", MEMORY_MASTER_WEIGHTS, master_bytes);
    schedule_persistent(step->schedule, "optimizer states", MEMORY_OPTIMIZER_STATES,
                        state_bytes);
    step->schedule->model_state_bytes =
        n * (dtype_bytes(precision->parameter) + dtype_bytes(precision->gradient)) +
        master_bytes + state_bytes;
}

/* allreduce_and_copy: flatten, all-reduce, divide, copy back. */
static void bucket_reduce(Step *step, gint64 numel)
{
    gint64 bytes = numel * dtype_bytes(step->training->precision.reduce);

    if (step->n_ranks == 1)
        return;
    int flat =
        step_alloc(step, STREAM_COMPUTE, "flattened", "bucket", MEMORY_TEMPORARIES, bytes);
    step_stream_kernel(step, STREAM_COMPUTE, "flatten", "bucket", KERNEL_COPY, bytes);
    schedule_wait(step->schedule, STREAM_COMPUTE,
                  step_collective(step, STREAM_COMPUTE, "all_reduce", "bucket",
                                  COLLECTIVE_ALL_REDUCE, bytes, 0));
    step_stream_kernel(step, STREAM_COMPUTE, "divide", "bucket", KERNEL_SCALE, bytes);
    step_stream_kernel(step, STREAM_COMPUTE, "copy back", "bucket", KERNEL_COPY, bytes);
    step_release(step, STREAM_COMPUTE, &flat);
}

static void stage0_end_backward(Step *step)
{
    gint64 numel = 0;

    if (!step->last_micro_step)
        return;
    for (guint p = 0; p < step->model->parameters->len; p++) {
        numel += step_numel(step, (int)p);
        if (numel <= BUCKET_NUMEL && p + 1 < step->model->parameters->len)
            continue;
        bucket_reduce(step, numel);
        numel = 0;
    }
}

static void stage0_update(Step *step)
{
    const Precision *precision = &step->training->precision;
    gint64 n = step->model->n_parameters;
    int flat = -1;

    if (step->training->deepspeed.loss_scaling)
        step_scalar_all_reduce(step, "overflow flag", 1);
    if (precision->gradient != DTYPE_FP32) {
        flat = step_alloc(step, STREAM_COMPUTE, "fp32", "gradients", MEMORY_TEMPORARIES, 4 * n);
        step_cast(step, STREAM_COMPUTE, "cast", "gradients", n, precision->gradient,
                  DTYPE_FP32);
        step_release_gradients(step);
    }
    step_stream_kernel(step, STREAM_COMPUTE, "norm", "gradients", KERNEL_NORM, 4 * n);
    if (step->training->deepspeed.loss_scaling || step->training->gradient_clipping > 0)
        step_stream_kernel(step, STREAM_COMPUTE, "unscale and clip", "gradients", KERNEL_SCALE,
                           4 * n);
    step_optimize(step, "parameters", n, 1, DTYPE_FP32);
    step_release(step, STREAM_COMPUTE, &flat);
    step_release_gradients(step);
    if (precision->master)
        step_cast(step, STREAM_COMPUTE, "copy to 16-bit", "parameters", n, DTYPE_FP32,
                  precision->parameter);
}

const StepHooks step_deepspeed0_hooks = {
    .start = stage0_start,
    .gradient_ready = step_accumulate_gradient,
    .end_backward = stage0_end_backward,
    .update = stage0_update,
};
