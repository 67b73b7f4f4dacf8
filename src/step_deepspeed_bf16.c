/* SPDX-License-Identifier: MIT */
/* DeepSpeed's BF16_Optimizer, which stands in for stage 0 (up to v0.17.5) and for stage 1 with
 * fp32 accumulation: bf16 gradients of each micro-step are added to an fp32 buffer of the whole
 * model, that is all-reduced in 16 bit behind the last backward, and each rank updates its
 * partition. Nothing overlaps, and no knob of zero_optimization has an effect. Sources:
 * deepspeed/runtime/bf16_optimizer.py, runtime/engine.py (buffered_allreduce_fallback). */
#include "step_deepspeed.h"

static gint64 wide_bytes(const Step *step)
{
    return flat_numel(step) * dtype_bytes(DTYPE_FP32);
}

static void bf16_start(Step *step)
{
    const Precision *precision = &step->training->precision;
    gint64 n = step->model->n_parameters;

    flat_persistent_memory(step);
    schedule_persistent(step->schedule, "fp32 gradients", MEMORY_GRADIENTS, wide_bytes(step));
    step->schedule->model_state_bytes =
        n * (dtype_bytes(precision->parameter) + dtype_bytes(precision->gradient) + 4) +
        step_ceil_divide(4 * n + step_state_bytes(step), step->n_ranks);
}

/* The 16-bit gradients of the last backward are there until the next one begins. */
static void bf16_begin_micro_step(Step *step)
{
    int bytes_per_element = dtype_bytes(step->training->precision.gradient);

    step->phase = PHASE_FORWARD;
    for (guint p = 0; p < step->model->parameters->len && step->micro_step == 0; p++)
        step->stored_gradient[p] = step_alloc(
            step, STREAM_COMPUTE, "last gradient", model_parameter(step->model, (int)p)->name,
            MEMORY_GRADIENTS, step_numel(step, (int)p) * bytes_per_element);
}

/* update_hp_grads: each gradient is cast to a temporary, which is added to the buffer. */
static void wide_gradients_add(Step *step)
{
    const Precision *precision = &step->training->precision;
    g_autoptr(GArray) kernels = g_array_new(FALSE, FALSE, sizeof(Kernel));
    int cast = step_alloc(step, STREAM_COMPUTE, "cast", "gradient", MEMORY_TEMPORARIES,
                          4 * step_largest_numel(step));

    for (guint p = 0; p < step->model->parameters->len; p++) {
        gint64 numel = step_numel(step, (int)p);
        const Kernel pair[] = {
            {.op = KERNEL_CAST,
             .dtype = DTYPE_FP32,
             .dimension = {numel, dtype_bytes(precision->gradient), 4}},
            {.op = KERNEL_ACCUMULATE, .dtype = DTYPE_FP32, .dimension = {4 * numel}}};
        g_array_append_vals(kernels, pair, G_N_ELEMENTS(pair));
    }
    step_compute(step, STREAM_COMPUTE, "accumulate", "fp32 gradients",
                 (const Kernel *)(void *)kernels->data, (int)kernels->len);
    step_release(step, STREAM_COMPUTE, &cast);
}

/* One flat buffer is one bucket, whatever its size: cast, all-reduced, divided, copied back. */
static void wide_gradients_reduce(Step *step)
{
    DType reduce = step->training->precision.reduce;
    gint64 numel = flat_numel(step), bytes = numel * dtype_bytes(reduce);
    gboolean casts = reduce != DTYPE_FP32;
    int cast = -1;

    if (step->n_ranks == 1)
        return;
    if (casts) {
        cast = step_alloc(step, STREAM_COMPUTE, "cast", "bucket", MEMORY_TEMPORARIES, bytes);
        step_cast(step, STREAM_COMPUTE, "cast", "bucket", numel, DTYPE_FP32, reduce);
    }
    schedule_wait(step->schedule, STREAM_COMPUTE,
                  step_collective(step, STREAM_COMPUTE, "all_reduce", "bucket",
                                  COLLECTIVE_ALL_REDUCE, bytes, 0));
    step_stream_kernel(step, STREAM_COMPUTE, "divide", "bucket", KERNEL_SCALE, bytes);
    if (casts)
        step_cast(step, STREAM_COMPUTE, "copy back", "bucket", numel, reduce, DTYPE_FP32);
    step_release(step, STREAM_COMPUTE, &cast);
}

static void bf16_end_backward(Step *step)
{
    wide_gradients_add(step);
    if (step->last_micro_step)
        wide_gradients_reduce(step);
}

/* Every rank has all gradients, so their norm needs no collective; the host reads it. */
static void bf16_update(Step *step)
{
    const Precision *precision = &step->training->precision;
    gint64 partition = flat_partition_numel(step);

    schedule_host_wait(step->schedule,
                       step_stream_kernel(step, STREAM_COMPUTE, "norm", "fp32 gradients",
                                          KERNEL_NORM, wide_bytes(step)));
    if (step->training->gradient_clipping > 0)
        step_stream_kernel(step, STREAM_COMPUTE, "clip", "fp32 gradients", KERNEL_SCALE,
                           wide_bytes(step));
    step_optimize(step, "own partition", partition, 1, DTYPE_FP32);
    step_cast(step, STREAM_COMPUTE, "copy to 16-bit", "own partition", partition, DTYPE_FP32,
              precision->parameter);
    flat_all_gather(step);
    step_stream_kernel(step, STREAM_COMPUTE, "zero", "fp32 gradients", KERNEL_MEMSET,
                       wide_bytes(step));
    step_release_gradients(step);
}

const StepHooks step_deepspeed_bf16_hooks = {
    .start = bf16_start,
    .begin_micro_step = bf16_begin_micro_step,
    .begin_backward = step_release_gradients,
    .gradient_ready = step_accumulate_gradient,
    .end_backward = bf16_end_backward,
    .update = bf16_update,
};
