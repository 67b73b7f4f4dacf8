/* SPDX-License-Identifier: MIT */
/* PyTorch FSDP2 (fully_shard): a unit is a transformer block; the root unit holds the rest.
 * Parameters are gathered before use and, with reshard_after_forward, again in backward;
 * gradients are reduce-scattered unit by unit. Sources: torch/distributed/fsdp/_fully_shard/
 * (_fsdp_state.py, _fsdp_param_group.py, _fsdp_collectives.py). Shards are padded to equal
 * rows, so every rank runs the same program. */
#include "step_walk.h"

typedef struct {
    char *name;
    GArray *parameters; /* int */
    int first_layer, last_layer;
    gint64 padded_numel; /* every parameter's dimension 0 padded to a multiple of n_ranks */
    gboolean reshard_after_forward;
    int gather_buffer;    /* ALLOC of the all-gather's output; -1 */
    int gathered;         /* its all-gather; -1 */
    int unsharded;        /* ALLOC of the parameters as layers see them; -1: sharded */
    int sharded_gradient; /* ALLOC; -1 */
    int copied_out;       /* the copy-out's op; -1 */
    gboolean in_flight;   /* gathered or being gathered, not yet waited for */
} Unit;

typedef struct {
    GPtrArray *units;      /* Unit *; 0 is the root, then the blocks in forward order */
    int *unit_of_layer;    /* layer → unit; -1: nothing to gather */
    Unit *previous_gather; /* whose buffer lives until the next unit's copy-out (forward) */
    int reduce_input;      /* ALLOC of the reduce-scatter in flight; -1 */
    int reduced;           /* op that ends it; -1 */
} Fsdp;

static gint64 padded_numel(const Step *step, int parameter)
{
    const Parameter *p = model_parameter(step->model, parameter);

    return step_ceil_divide(p->rows, step->n_ranks) * step->n_ranks * (p->numel / p->rows);
}

static void unit_free(gpointer data)
{
    Unit *unit = data;

    g_array_unref(unit->parameters);
    g_free(unit->name);
    g_free(unit);
}

static Unit *unit_new(const char *name, gboolean reshard_after_forward)
{
    Unit *unit = g_new(Unit, 1);

    *unit = (Unit){.name = g_strdup(name),
                   .parameters = g_array_new(FALSE, FALSE, sizeof(int)),
                   .first_layer = -1,
                   .reshard_after_forward = reshard_after_forward,
                   .gather_buffer = -1,
                   .gathered = -1,
                   .unsharded = -1,
                   .sharded_gradient = -1,
                   .copied_out = -1};
    return unit;
}

static Unit *unit_at(const Step *step, int index)
{
    const Fsdp *fsdp = step->state;

    return g_ptr_array_index(fsdp->units, index);
}

static Unit *unit_of(const Step *step, int layer)
{
    const Fsdp *fsdp = step->state;

    return unit_at(step, fsdp->unit_of_layer[layer]);
}

static gboolean is_root(const Step *step, const Unit *unit)
{
    return unit == unit_at(step, 0);
}

/* Adds the layer's parameters that no unit holds yet, and the layer to the unit's span. */
static void unit_add_layer(Step *step, Unit *unit, int index, gboolean *owned)
{
    const Layer *layer = model_layer(step->model, index);

    if (unit->first_layer < 0)
        unit->first_layer = index;
    unit->last_layer = index;
    for (int i = 0; i < layer->n_parameters; i++) {
        int p = layer->parameters[i];
        if (owned[p])
            continue;
        owned[p] = TRUE;
        g_array_append_val(unit->parameters, p);
        unit->padded_numel += padded_numel(step, p);
    }
}

static void units_build(Step *step)
{
    Fsdp *fsdp = step->state;
    gboolean reshard = step->training->fsdp.reshard_after_forward;
    g_autofree gboolean *owned = g_new0(gboolean, step->model->parameters->len + 1);

    fsdp->units = g_ptr_array_new_with_free_func(unit_free);
    fsdp->unit_of_layer = g_new0(int, step->model->layers->len + 1);
    g_ptr_array_add(fsdp->units, unit_new("root", FALSE));
    for (int block = 0; block < step->model->n_blocks; block++) {
        g_autofree char *name = g_strdup_printf("block %d", block);
        g_ptr_array_add(fsdp->units, unit_new(name, reshard));
    }
    for (int i = 0; i < (int)step->model->layers->len; i++) {
        int block = model_layer(step->model, i)->block;
        gboolean inside = block >= 0 && block < step->model->n_blocks;
        fsdp->unit_of_layer[i] = inside ? block + 1 : 0;
        unit_add_layer(step, unit_of(step, i), i, owned);
    }
}

static gint64 sharded_numel(const Step *step)
{
    const Fsdp *fsdp = step->state;
    gint64 numel = 0;

    for (guint u = 0; u < fsdp->units->len; u++)
        numel += unit_at(step, (int)u)->padded_numel / step->n_ranks;
    return numel;
}

static void fsdp_start(Step *step)
{
    Fsdp *fsdp = g_new0(Fsdp, 1);
    const Precision *precision = &step->training->precision;

    step->state = fsdp;
    fsdp->reduce_input = fsdp->reduced = -1;
    units_build(step);
    schedule_persistent(step->schedule, "parameter shards", MEMORY_PARAMETERS,
                        sharded_numel(step) * dtype_bytes(precision->parameter));
    schedule_persistent(step->schedule, "buffers", MEMORY_PARAMETERS,
                        step->model->buffer_bytes);
    schedule_persistent(step->schedule, "optimizer states", MEMORY_OPTIMIZER_STATES,
                        step_ceil_divide(step_state_bytes(step), step->n_ranks));
    step->schedule->model_state_bytes =
        step_ceil_divide(step->model->n_parameters * (dtype_bytes(precision->parameter) +
                                                      dtype_bytes(precision->gradient)) +
                             step_state_bytes(step),
                         step->n_ranks);
}

/* unshard: copy-in of the own shards with their cast, then the all-gather. */
static void unit_unshard(Step *step, Unit *unit)
{
    const Precision *precision = &step->training->precision;
    gint64 bytes = unit->padded_numel * dtype_bytes(precision->gather);

    if (unit->unsharded >= 0 || unit->in_flight || unit->padded_numel == 0)
        return;
    unit->in_flight = TRUE;
    unit->gather_buffer = step_alloc(step, STREAM_ALL_GATHER, "all_gather output", unit->name,
                                     MEMORY_COMMUNICATION_BUFFERS, bytes);
    int copied_in =
        step_cast(step, STREAM_ALL_GATHER, "copy in", unit->name,
                  unit->padded_numel / step->n_ranks, precision->parameter, precision->gather);
    unit->gathered = step_collective(step, STREAM_ALL_GATHER, "all_gather", unit->name,
                                     COLLECTIVE_ALL_GATHER, bytes, 0);
    unit->gathered = MAX(unit->gathered, copied_in);
}

static void gather_buffer_release(Step *step, Unit *unit)
{
    /* Both all-gather streams wait for the copy-out before the buffer is reused. */
    schedule_wait(step->schedule, STREAM_ALL_GATHER, unit->copied_out);
    schedule_wait(step->schedule, STREAM_NCCL, unit->copied_out);
    step_release(step, STREAM_ALL_GATHER, &unit->gather_buffer);
}

/* wait_for_unshard: copy-out on the compute stream. In forward the buffer stays until the next
 * unit's copy-out, in backward it goes at once. */
static void unit_wait_for_unshard(Step *step, Unit *unit)
{
    Fsdp *fsdp = step->state;
    gint64 bytes = unit->padded_numel * dtype_bytes(step->training->precision.gather);

    if (!unit->in_flight)
        return;
    unit->in_flight = FALSE;
    schedule_wait(step->schedule, STREAM_COMPUTE, unit->gathered);
    unit->unsharded = step_alloc(step, STREAM_COMPUTE, "unsharded", unit->name,
                                 MEMORY_GATHERED_PARAMETERS, bytes);
    unit->copied_out =
        step_stream_kernel(step, STREAM_COMPUTE, "copy out", unit->name, KERNEL_COPY, bytes);
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
    unit_unshard(step, unit_at(step, 0));
    unit_wait_for_unshard(step, unit_at(step, 0));
}

/* Explicit forward prefetch: the next units' all-gathers are issued before this one's compute.
 * With 1 the host running ahead has the same effect, since it enqueues the next unit's
 * all-gather while this one computes. */
static void prefetch_forward(Step *step, int unit)
{
    const Fsdp *fsdp = step->state;
    int last = MIN(unit + step->training->fsdp.forward_prefetch - 1, (int)fsdp->units->len - 1);

    for (int next = unit + 1; next <= last; next++)
        unit_unshard(step, unit_at(step, next));
}

/* The unit before this one in reverse post-forward order. */
static void prefetch_backward(Step *step, int unit)
{
    for (int k = 1; k <= step->training->fsdp.backward_prefetch && unit - k >= 1; k++)
        unit_unshard(step, unit_at(step, unit - k));
}

static void pre_backward(Step *step, int layer)
{
    const Fsdp *fsdp = step->state;
    Unit *unit = unit_of(step, layer);

    if (is_root(step, unit) || unit->unsharded >= 0)
        return;
    unit_unshard(step, unit);
    unit_wait_for_unshard(step, unit);
    prefetch_backward(step, fsdp->unit_of_layer[layer]);
}

static void fsdp_before_forward(Step *step, int layer)
{
    const Fsdp *fsdp = step->state;
    Unit *unit = unit_of(step, layer);

    if (step->recomputing) {
        pre_backward(step, layer); /* the checkpointed block sits inside the unit */
        return;
    }
    if (layer != unit->first_layer || is_root(step, unit))
        return;
    unit_unshard(step, unit);
    unit_wait_for_unshard(step, unit);
    prefetch_forward(step, fsdp->unit_of_layer[layer]);
}

static void fsdp_after_forward(Step *step, int layer)
{
    Unit *unit = unit_of(step, layer);

    if (!step->recomputing && layer == unit->last_layer && unit->reshard_after_forward)
        step_release(step, STREAM_COMPUTE, &unit->unsharded);
}

static void fsdp_begin_backward(Step *step)
{
    Fsdp *fsdp = step->state;

    if (fsdp->previous_gather)
        gather_buffer_release(step, fsdp->previous_gather);
    fsdp->previous_gather = NULL;
    prefetch_backward(step, (int)fsdp->units->len); /* the root's own pre-backward */
}

static gboolean synchronises(const Step *step)
{
    return step->last_micro_step || step->training->fsdp.sync_every_micro_step;
}

static void gradients_drop(Step *step, const Unit *unit)
{
    for (guint i = 0; i < unit->parameters->len; i++)
        step_release(step, STREAM_COMPUTE,
                     &step->stored_gradient[g_array_index(unit->parameters, int, i)]);
}

/* What becomes of the reduce-scatter's output, on its stream: cast to the shard's precision,
 * added to what earlier micro-steps left. Returns the last op. */
static int sharded_gradient_store(Step *step, Unit *unit)
{
    const Precision *precision = &step->training->precision;
    gint64 shard = unit->padded_numel / step->n_ranks;
    gint64 bytes = shard * dtype_bytes(precision->gradient);
    int stored = -1;

    if (precision->reduce != precision->gradient)
        stored = step_cast(step, STREAM_REDUCE, "cast gradient", unit->name, shard,
                           precision->reduce, precision->gradient);
    if (unit->sharded_gradient >= 0)
        return step_stream_kernel(step, STREAM_REDUCE, "accumulate", unit->name,
                                  KERNEL_ACCUMULATE, bytes);
    unit->sharded_gradient = step_alloc(step, STREAM_REDUCE, "sharded gradient", unit->name,
                                        MEMORY_GRADIENTS, bytes);
    return stored;
}

static void reduce_input_drop(Step *step)
{
    Fsdp *fsdp = step->state;

    schedule_wait(step->schedule, STREAM_COMPUTE, fsdp->reduced);
    step_release(step, STREAM_COMPUTE, &fsdp->reduce_input);
}

/* foreach_reduce: at most one reduce-scatter is in flight. */
static void unit_reduce(Step *step, Unit *unit)
{
    Fsdp *fsdp = step->state;
    const Precision *precision = &step->training->precision;
    gint64 bytes = unit->padded_numel * dtype_bytes(precision->reduce);

    reduce_input_drop(step);
    fsdp->reduce_input = step_alloc(step, STREAM_COMPUTE, "reduce_scatter input", unit->name,
                                    MEMORY_COMMUNICATION_BUFFERS, bytes);
    step_cast(step, STREAM_COMPUTE, "copy in gradients", unit->name, unit->padded_numel,
              precision->forward, precision->reduce);
    gradients_drop(step, unit);
    schedule_wait_stream(step->schedule, STREAM_REDUCE, STREAM_COMPUTE);
    int output = step_alloc(step, STREAM_REDUCE, "reduce_scatter output", unit->name,
                            MEMORY_COMMUNICATION_BUFFERS, bytes / step->n_ranks);
    int scattered = step_collective(step, STREAM_COMPUTE, "reduce_scatter", unit->name,
                                    COLLECTIVE_REDUCE_SCATTER, bytes, 0);
    schedule_wait(step->schedule, STREAM_REDUCE, scattered);
    int stored = sharded_gradient_store(step, unit);
    fsdp->reduced = stored >= 0 ? stored : scattered;
    step_release(step, STREAM_REDUCE, &output);
}

/* post_backward, when all gradients of the unit are there. */
static void unit_post_backward(Step *step, Unit *unit)
{
    step_release(step, STREAM_COMPUTE, &unit->unsharded);
    if (synchronises(step) && unit->padded_numel > 0)
        unit_reduce(step, unit);
}

static void fsdp_after_backward(Step *step, int layer)
{
    Unit *unit = unit_of(step, layer);

    if (layer == unit->first_layer && !is_root(step, unit))
        unit_post_backward(step, unit);
}

static void fsdp_end_backward(Step *step)
{
    Fsdp *fsdp = step->state;

    unit_post_backward(step, unit_at(step, 0));
    reduce_input_drop(step);
    schedule_wait_stream(step->schedule, STREAM_COMPUTE, STREAM_REDUCE);
    fsdp->reduced = -1;
}

static void fsdp_update(Step *step)
{
    const Fsdp *fsdp = step->state;
    const Precision *precision = &step->training->precision;
    gint64 numel = sharded_numel(step);

    step_clip(step, numel * dtype_bytes(precision->gradient), TRUE);
    step_optimize(step, "parameter shards", numel, step->model->parameters->len,
                  precision->parameter);
    for (guint u = 0; u < fsdp->units->len; u++)
        step_release(step, STREAM_COMPUTE, &unit_at(step, (int)u)->sharded_gradient);
}

static void fsdp_finish(Step *step)
{
    Fsdp *fsdp = step->state;

    g_ptr_array_unref(fsdp->units);
    g_free(fsdp->unit_of_layer);
    g_free(fsdp);
}

const StepHooks step_fsdp_hooks = {
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
