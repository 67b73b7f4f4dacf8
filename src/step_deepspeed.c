/* SPDX-License-Identifier: MIT */
/* DeepSpeed's flat 16-bit buffer: all parameters one after the other, padded and cut into a
 * partition a rank. Sources: deepspeed/runtime/zero/stage_1_and_2.py,
 * runtime/bf16_optimizer.py, runtime/utils.py (all_gather_dp_groups). All parameters are one
 * optimizer group. */
#include "step_deepspeed.h"

/* nccl_start_alignment_factor: 4 bytes of 16-bit elements. */
#define ALIGNMENT_FACTOR 2

gint64 flat_numel(const Step *step)
{
    gint64 alignment = ALIGNMENT_FACTOR * (gint64)step->n_ranks;

    return step_ceil_divide(step->model->n_parameters, alignment) * alignment;
}

gint64 flat_partition_numel(const Step *step)
{
    return flat_numel(step) / step->n_ranks;
}

/* _round_robin_reorder: every n_ranks-th parameter, from each of the first n_ranks in turn, so
 * that gradients which become ready one after the other belong to different ranks. */
gint64 *flat_offsets(const Step *step)
{
    guint n = step->model->parameters->len;
    guint stride = knobs_of(step)->round_robin_gradients ? (guint)step->n_ranks : 1;
    gint64 *offset = g_new(gint64, n + 1);
    gint64 numel = 0;

    for (guint first = 0; first < stride; first++)
        for (guint p = first; p < n; p += stride) {
            offset[p] = numel;
            numel += step_numel(step, (int)p);
        }
    return offset;
}

void flat_persistent_memory(Step *step)
{
    const Precision *precision = &step->training->precision;

    schedule_persistent(step->schedule, "flat 16-bit parameters", MEMORY_PARAMETERS,
                        flat_numel(step) * dtype_bytes(precision->parameter));
    schedule_persistent(step->schedule, "buffers", MEMORY_PARAMETERS,
                        step->model->buffer_bytes);
    schedule_persistent(step->schedule, "fp32 master partition", MEMORY_MASTER_WEIGHTS,
                        precision->master ? 4 * flat_partition_numel(step) : 0);
    schedule_persistent(step->schedule, "optimizer states", MEMORY_OPTIMIZER_STATES,
                        step_ceil_divide(step_state_bytes(step), step->n_ranks));
}

void flat_all_gather(Step *step)
{
    int gathered = step_collective(
        step, STREAM_COMPUTE, "all_gather", "updated parameters", COLLECTIVE_ALL_GATHER,
        flat_numel(step) * dtype_bytes(step->training->precision.parameter), 0);

    schedule_wait(step->schedule, STREAM_COMPUTE, gathered);
}
