/* SPDX-License-Identifier: MIT */
/* PyTorch FSDP2 (fully_shard): a unit is a transformer block; the root unit holds the rest.
 * Parameters are gathered before use and, with reshard_after_forward, again in backward;
 * gradients are reduce-scattered unit by unit. Sources: torch/distributed/fsdp/_fully_shard/
 * (_fsdp_state.py, _fsdp_param_group.py, _fsdp_collectives.py). Shards are padded to equal
 * rows, so every rank runs the same program. */
#include "step_fsdp.h"

static void fsdp_start(Step *step)
{
    fsdp_open(step, FSDP_PADS_ROWS);
}

/* unshard: copy-in of the own shards with their cast, then the all-gather; among the smaller
 * group where forward has left a larger shard, in the gathered type already. */
static void unit_unshard(Step *step, FsdpUnit *unit)
{
    const Fsdp *fsdp = step->state;
    const Precision *precision = &step->training->precision;
    gint64 bytes = unit->gathered_bytes;
    gboolean resharded = unit->post_forward >= 0;
    int group = resharded ? fsdp->post_forward : fsdp->shards;

    if (unit->unsharded >= 0 || unit->in_flight || unit->padded_numel == 0)
        return;
    unit->in_flight = TRUE;
    if (resharded)
        schedule_wait(step->schedule, STREAM_ALL_GATHER, unit->resharded);
    schedule_host_parameters(step->schedule, (int)unit->parameters->len);
    unit->gather_buffer = step_alloc(step, STREAM_ALL_GATHER, "all_gather output", unit->name,
                                     MEMORY_COMMUNICATION_BUFFERS, bytes);
    int copied_in =
        step_cast(step, STREAM_ALL_GATHER, "copy in", unit->name,
                  unit->padded_numel / job_group_size(step->job, group, step->rank),
                  resharded ? precision->gather : precision->parameter, precision->gather);
    unit->gathered = step_collective_on(step, group, STREAM_ALL_GATHER, "all_gather",
                                        unit->name, COLLECTIVE_ALL_GATHER, bytes, 0);
    unit->gathered = MAX(unit->gathered, copied_in);
}

static void gather_buffer_release(Step *step, FsdpUnit *unit)
{
    const Fsdp *fsdp = step->state;

    /* Both all-gather streams wait for the copy-out before the buffer is reused. */
    schedule_wait(step->schedule, STREAM_ALL_GATHER, unit->copied_out);
    schedule_wait(step->schedule, stream_of_communicator(fsdp->shards), unit->copied_out);
    if (fsdp->post_forward >= 0)
        schedule_wait(step->schedule, stream_of_communicator(fsdp->post_forward),
                      unit->copied_out);
    step_release(step, STREAM_ALL_GATHER, &unit->gather_buffer);
}

/* wait_for_unshard: copy-out on the compute stream. In forward the buffer stays until the next
 * unit's copy-out, in backward it goes at once. */
static void unit_wait_for_unshard(Step *step, FsdpUnit *unit)
{
    Fsdp *fsdp = step->state;
    gint64 bytes = unit->gathered_bytes;

    if (!unit->in_flight)
        return;
    unit->in_flight = FALSE;
    schedule_wait(step->schedule, STREAM_COMPUTE, unit->gathered);
    unit->unsharded = step_alloc(step, STREAM_COMPUTE, "unsharded", unit->name,
                                 MEMORY_GATHERED_PARAMETERS, bytes);
    unit->copied_out =
        step_stream_kernel(step, STREAM_COMPUTE, "copy out", unit->name, KERNEL_COPY, bytes);
    step_release(step, STREAM_COMPUTE, &unit->post_forward);
    if (fsdp->previous_gather)
        gather_buffer_release(step, fsdp->previous_gather);
    fsdp->previous_gather = NULL;
    if (step->phase == PHASE_FORWARD)
        fsdp->previous_gather = unit;
    else
        gather_buffer_release(step, unit);
}

static void fsdp_begin_micro_step(Step *step)
{
    /* Root pre-forward: the all-gather streams wait for the optimizer or the last backward. */
    step->phase = PHASE_FORWARD;
    schedule_wait_stream(step->schedule, STREAM_ALL_GATHER, STREAM_COMPUTE);
    unit_unshard(step, fsdp_unit(step, 0));
    unit_wait_for_unshard(step, fsdp_unit(step, 0));
}

/* Explicit forward prefetch: the next units' all-gathers are issued before this one's compute.
 * With 1 the host running ahead has the same effect, since it enqueues the next unit's
 * all-gather while this one computes. */
static void prefetch_forward(Step *step, int unit)
{
    int last =
        MIN(unit + step->training->fsdp.forward_prefetch_units - 1, fsdp_n_units(step) - 1);

    for (int next = unit + 1; next <= last; next++)
        unit_unshard(step, fsdp_unit(step, next));
}

/* The unit before this one in reverse post-forward order. */
static void prefetch_backward(Step *step, int unit)
{
    for (int k = 1; k <= step->training->fsdp.backward_prefetch_units && unit - k >= 1; k++)
        unit_unshard(step, fsdp_unit(step, unit - k));
}

static void pre_backward(Step *step, int layer)
{
    const Fsdp *fsdp = step->state;
    FsdpUnit *unit = fsdp_unit_of(step, layer);

    if (unit->is_root || unit->unsharded >= 0)
        return;
    unit_unshard(step, unit);
    unit_wait_for_unshard(step, unit);
    prefetch_backward(step, fsdp->unit_of_layer[layer]);
}

static void fsdp_before_forward(Step *step, int layer)
{
    const Fsdp *fsdp = step->state;
    FsdpUnit *unit = fsdp_unit_of(step, layer);

    if (step->recomputing) {
        pre_backward(step, layer); /* the checkpointed block sits inside the unit */
        return;
    }
    if (layer != unit->first_layer || unit->is_root)
        return;
    unit_unshard(step, unit);
    unit_wait_for_unshard(step, unit);
    prefetch_forward(step, fsdp->unit_of_layer[layer]);
}

/* reshard in forward; to a smaller group (to_sharded_post_forward) the own part is cloned. */
static void unit_reshard_after_forward(Step *step, FsdpUnit *unit)
{
    const Fsdp *fsdp = step->state;

    if (fsdp->post_forward >= 0 && unit->unsharded >= 0) {
        gint64 bytes =
            unit->gathered_bytes / job_group_size(step->job, fsdp->post_forward, step->rank);
        unit->post_forward = step_alloc(step, STREAM_COMPUTE, "post-forward shard", unit->name,
                                        MEMORY_GATHERED_PARAMETERS, bytes);
        unit->resharded =
            step_stream_kernel(step, STREAM_COMPUTE, "reshard", unit->name, KERNEL_COPY, bytes);
    }
    step_release(step, STREAM_COMPUTE, &unit->unsharded);
}

static void fsdp_after_forward(Step *step, int layer)
{
    FsdpUnit *unit = fsdp_unit_of(step, layer);

    if (!step->recomputing && layer == unit->last_layer && unit->reshard_after_forward)
        unit_reshard_after_forward(step, unit);
}

static void fsdp_begin_backward(Step *step)
{
    Fsdp *fsdp = step->state;

    if (fsdp->previous_gather)
        gather_buffer_release(step, fsdp->previous_gather);
    fsdp->previous_gather = NULL;
    prefetch_backward(step, fsdp_n_units(step)); /* the root's own pre-backward */
}

static void reduce_input_drop(Step *step)
{
    Fsdp *fsdp = step->state;

    schedule_wait(step->schedule, STREAM_COMPUTE, fsdp->reduced);
    step_release(step, STREAM_COMPUTE, &fsdp->reduce_input);
}

/* foreach_reduce: at most one reduce-scatter is in flight. */
static void unit_reduce(Step *step, FsdpUnit *unit)
{
    Fsdp *fsdp = step->state;
    const Precision *precision = &step->training->precision;
    gint64 bytes = unit->padded_numel * dtype_bytes(precision->reduce);

    reduce_input_drop(step);
    fsdp->reduce_input = step_alloc(step, STREAM_COMPUTE, "reduce_scatter input", unit->name,
                                    MEMORY_COMMUNICATION_BUFFERS, bytes);
    step_cast(step, STREAM_COMPUTE, "copy in gradients", unit->name, unit->padded_numel,
              precision->forward, precision->reduce);
    fsdp_gradients_drop(step, unit);
    schedule_wait_stream(step->schedule, STREAM_REDUCE, STREAM_COMPUTE);
    int output = step_alloc(step, STREAM_REDUCE, "reduce_scatter output", unit->name,
                            MEMORY_COMMUNICATION_BUFFERS, bytes / fsdp_n_shards(step));
    int scattered = step_collective_on(step, fsdp->shards, STREAM_COMPUTE, "reduce_scatter",
                                       unit->name, COLLECTIVE_REDUCE_SCATTER, bytes, 0);
    /* _get_gradient_divide_factors: NCCL averages, but for fp16, which is divided apart. */
    if (scattered >= 0)
        g_array_index(step->schedule->ops, Op, scattered).averages =
            precision->reduce != DTYPE_FP16;
    schedule_wait(step->schedule, STREAM_REDUCE, fsdp_reduce_replicas(step, unit, scattered));
    int stored = fsdp_sharded_gradient_store(step, unit);
    fsdp->reduced = stored >= 0 && fsdp->replicas < 0 ? stored : scattered;
    step_release(step, STREAM_REDUCE, &output);
}

/* post_backward, when all gradients of the unit are there. */
static void unit_post_backward(Step *step, FsdpUnit *unit)
{
    step_release(step, STREAM_COMPUTE, &unit->unsharded);
    if (fsdp_synchronises(step) && unit->padded_numel > 0)
        unit_reduce(step, unit);
}

static void fsdp_after_backward(Step *step, int layer)
{
    FsdpUnit *unit = fsdp_unit_of(step, layer);

    if (layer == unit->first_layer && !unit->is_root)
        unit_post_backward(step, unit);
}

static void fsdp_end_backward(Step *step)
{
    Fsdp *fsdp = step->state;

    unit_post_backward(step, fsdp_unit(step, 0));
    reduce_input_drop(step);
    schedule_wait_stream(step->schedule, STREAM_COMPUTE, STREAM_REDUCE);
    fsdp->reduced = -1;
}

const StepHooks step_fsdp2_hooks = {
    .add_communicators = fsdp_add_communicators,
    .start = fsdp_start,
    .begin_micro_step = fsdp_begin_micro_step,
    .before_forward = fsdp_before_forward,
    .after_forward = fsdp_after_forward,
    .begin_backward = fsdp_begin_backward,
    .before_backward = pre_backward,
    .gradient_ready = step_accumulate_gradient,
    .after_backward = fsdp_after_backward,
    .end_backward = fsdp_end_backward,
    .update = fsdp_update,
    .finish = fsdp_finish,
};
