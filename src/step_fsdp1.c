/* SPDX-License-Identifier: MIT */
/* PyTorch FSDP1 (FullyShardedDataParallel): a unit is one flat parameter, gathered straight
 * into its unsharded storage; the host doesn't issue a third all-gather before an earlier unit
 * has been freed. Sources: torch/distributed/fsdp/_runtime_utils.py, _flat_param.py,
 * _limiter_utils.py. */
#include "step_fsdp.h"

/* _FreeEventQueue's _max_num_inflight_all_gathers. */
#define MAX_INFLIGHT_ALL_GATHERS 2

static void fsdp_start(Step *step)
{
    fsdp_open(step, FSDP_PADS_FLAT);
}

/* dequeue_if_needed: the host waits until the oldest of two freed units is really free. */
static void rate_limit(Step *step)
{
    Fsdp *fsdp = step->state;

    if (step->training->fsdp.limit_all_gathers &&
        g_queue_get_length(fsdp->free_events) >= MAX_INFLIGHT_ALL_GATHERS)
        schedule_host_wait(step->schedule,
                           GPOINTER_TO_INT(g_queue_pop_head(fsdp->free_events)));
}

/* _unshard: the shard's low precision copy, then the all-gather into the flat parameter. */
static void unit_unshard(Step *step, FsdpUnit *unit)
{
    const Fsdp *fsdp = step->state;
    const Precision *precision = &step->training->precision;
    gint64 bytes = unit->gathered_bytes;
    int cast = -1;

    if (unit->unsharded >= 0 || unit->padded_numel == 0)
        return;
    rate_limit(step);
    schedule_host_parameters(step->schedule, (int)unit->parameters->len);
    if (precision->parameter != precision->gather) {
        unit->low_precision =
            step_alloc(step, STREAM_ALL_GATHER, "low precision shard", unit->name,
                       MEMORY_TEMPORARIES, bytes / fsdp_n_shards(step));
        cast = step_cast(step, STREAM_ALL_GATHER, "cast shard", unit->name,
                         unit->padded_numel / fsdp_n_shards(step), precision->parameter,
                         precision->gather);
    }
    unit->unsharded = step_alloc(step, STREAM_ALL_GATHER, "unsharded", unit->name,
                                 MEMORY_GATHERED_PARAMETERS, bytes);
    unit->gathered = step_collective_on(step, fsdp->shards, STREAM_ALL_GATHER, "all_gather",
                                        unit->name, COLLECTIVE_ALL_GATHER, bytes, 0);
    unit->gathered = MAX(unit->gathered, cast);
    unit->in_flight = TRUE;
}

static void unit_wait_for_unshard(Step *step, FsdpUnit *unit)
{
    if (!unit->in_flight)
        return;
    unit->in_flight = FALSE;
    schedule_wait(step->schedule, STREAM_COMPUTE, unit->gathered);
    step_release(step, STREAM_ALL_GATHER, &unit->low_precision);
}

/* _reshard: frees the flat parameter and records the event that the rate limiter waits for. */
static void unit_reshard(Step *step, FsdpUnit *unit)
{
    Fsdp *fsdp = step->state;

    if (unit->unsharded < 0)
        return;
    step_release(step, STREAM_COMPUTE, &unit->unsharded);
    g_queue_push_tail(fsdp->free_events,
                      GINT_TO_POINTER(step->schedule->last_op[STREAM_COMPUTE]));
}

static void fsdp_begin_micro_step(Step *step)
{
    const Fsdp *fsdp = step->state;

    step->phase = PHASE_FORWARD;
    schedule_wait_stream(step->schedule, STREAM_ALL_GATHER, STREAM_COMPUTE);
    schedule_wait_stream(step->schedule, stream_of_communicator(fsdp->shards), STREAM_COMPUTE);
    unit_unshard(step, fsdp_unit(step, 0));
    unit_wait_for_unshard(step, fsdp_unit(step, 0));
}

/* Pre-backward of a unit; BACKWARD_PRE issues the next unit's all-gather before its compute. */
static void pre_backward(Step *step, int layer)
{
    const Fsdp *fsdp = step->state;
    FsdpUnit *unit = fsdp_unit_of(step, layer);
    int index = fsdp->unit_of_layer[layer];
    gboolean first = layer == unit->last_layer || step->recomputing;

    if (unit->is_root || !first || (unit->unsharded >= 0 && !unit->in_flight))
        return;
    unit_unshard(step, unit);
    unit_wait_for_unshard(step, unit);
    if (step->training->fsdp.backward_prefetch == PREFETCH_PRE && index > 1)
        unit_unshard(step, fsdp_unit(step, index - 1));
}

static void fsdp_before_forward(Step *step, int layer)
{
    const Fsdp *fsdp = step->state;
    FsdpUnit *unit = fsdp_unit_of(step, layer);
    int index = fsdp->unit_of_layer[layer];

    if (step->recomputing) {
        pre_backward(step, layer); /* the checkpointed block sits inside the unit */
        return;
    }
    if (layer != unit->first_layer || unit->is_root)
        return;
    unit_unshard(step, unit);
    unit_wait_for_unshard(step, unit);
    if (step->training->fsdp.forward_prefetch && index + 1 < fsdp_n_units(step))
        unit_unshard(step, fsdp_unit(step, index + 1));
}

static void fsdp_after_forward(Step *step, int layer)
{
    FsdpUnit *unit = fsdp_unit_of(step, layer);

    if (!step->recomputing && layer == unit->last_layer && unit->reshard_after_forward)
        unit_reshard(step, unit);
}

static void reduce_input_drop(Step *step)
{
    Fsdp *fsdp = step->state;

    step_release(step, STREAM_REDUCE, &fsdp->reduce_input);
}

/* The views' gradients are joined to one flat gradient, cast to the reduction's precision on
 * the post-backward stream and reduce-scattered; nothing bounds the reductions in flight. The
 * input is counted until the next unit's, since record_stream returns it when its stream is
 * done. */
static void unit_reduce(Step *step, FsdpUnit *unit)
{
    Fsdp *fsdp = step->state;
    const Precision *precision = &step->training->precision;
    gint64 flat_bytes = unit->padded_numel * dtype_bytes(precision->forward);
    gint64 bytes = unit->padded_numel * dtype_bytes(precision->reduce);

    int flat = step_alloc(step, STREAM_COMPUTE, "flat gradient", unit->name, MEMORY_GRADIENTS,
                          flat_bytes);
    step_stream_kernel(step, STREAM_COMPUTE, "flatten gradients", unit->name, KERNEL_COPY,
                       flat_bytes);
    fsdp_gradients_drop(step, unit);
    reduce_input_drop(step);
    schedule_wait_stream(step->schedule, STREAM_REDUCE, STREAM_COMPUTE);
    if (precision->reduce != precision->forward) {
        fsdp->reduce_input = step_alloc(step, STREAM_REDUCE, "reduce_scatter input", unit->name,
                                        MEMORY_COMMUNICATION_BUFFERS, bytes);
        step_cast(step, STREAM_REDUCE, "cast gradients", unit->name, unit->padded_numel,
                  precision->forward, precision->reduce);
        step_release(step, STREAM_COMPUTE, &flat);
    }
    int output = step_alloc(step, STREAM_REDUCE, "reduce_scatter output", unit->name,
                            MEMORY_COMMUNICATION_BUFFERS, bytes / fsdp_n_shards(step));
    schedule_wait_stream(step->schedule, stream_of_communicator(fsdp->shards), STREAM_COMPUTE);
    int scattered = step_collective_on(step, fsdp->shards, STREAM_REDUCE, "reduce_scatter",
                                       unit->name, COLLECTIVE_REDUCE_SCATTER, bytes, 0);
    schedule_wait(step->schedule, STREAM_REDUCE, fsdp_reduce_replicas(step, unit, scattered));
    fsdp_sharded_gradient_store(step, unit);
    step_release(step, STREAM_REDUCE, &output);
    if (flat >= 0)
        fsdp->reduce_input = flat;
}

/* Without synchronisation SHARD_GRAD_OP keeps the parameters for the next micro-step. */
static gboolean frees_in_backward(const Step *step, const FsdpUnit *unit)
{
    return unit->reshard_after_forward || fsdp_synchronises(step);
}

static void unit_post_backward(Step *step, FsdpUnit *unit, FsdpUnit *next)
{
    if (frees_in_backward(step, unit))
        unit_reshard(step, unit);
    if (next && step->training->fsdp.backward_prefetch == PREFETCH_POST)
        unit_unshard(step, next);
    if (fsdp_synchronises(step) && unit->padded_numel > 0)
        unit_reduce(step, unit);
}

static void fsdp_after_backward(Step *step, int layer)
{
    const Fsdp *fsdp = step->state;
    FsdpUnit *unit = fsdp_unit_of(step, layer);
    int index = fsdp->unit_of_layer[layer];

    if (layer == unit->first_layer && !unit->is_root)
        unit_post_backward(step, unit, index > 1 ? fsdp_unit(step, index - 1) : NULL);
}

static void fsdp_end_backward(Step *step)
{
    Fsdp *fsdp = step->state;

    unit_post_backward(step, fsdp_unit(step, 0), NULL);
    reduce_input_drop(step);
    schedule_wait_stream(step->schedule, STREAM_COMPUTE, STREAM_REDUCE);
    schedule_wait_stream(step->schedule, STREAM_COMPUTE, stream_of_communicator(fsdp->shards));
    if (step->last_micro_step)
        g_queue_clear(fsdp->free_events);
}

const StepHooks step_fsdp1_hooks = {
    .add_communicators = fsdp_add_communicators,
    .start = fsdp_start,
    .begin_micro_step = fsdp_begin_micro_step,
    .before_forward = fsdp_before_forward,
    .after_forward = fsdp_after_forward,
    .before_backward = pre_backward,
    .gradient_ready = step_accumulate_gradient,
    .after_backward = fsdp_after_backward,
    .end_backward = fsdp_end_backward,
    .update = fsdp_update,
    .finish = fsdp_finish,
};
