/* SPDX-License-Identifier: MIT */
/* Units of FSDP: a transformer block each, and the root unit that holds the rest; what is kept
 * of them between steps, and the update of their shards. */
#include "step_fsdp.h"

#include "error.h"

#include <string.h>

static gint64 shard_group_size(const Training *training, int n_ranks)
{
    return training->fsdp.shard_group_size > 0 ? training->fsdp.shard_group_size : n_ranks;
}

/* reshard_after_forward as the whole shard group is the same as true. */
static gboolean reshards_further(const Training *training, int n_ranks)
{
    gint64 size = training->fsdp.reshard_group_size;

    return size > 0 && size != shard_group_size(training, n_ranks);
}

static G_GNUC_PRINTF(3, 4) gboolean
    refuse_reshard(gint64 size, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "fsdp.reshard_after_forward: %" G_GINT64_FORMAT " %s", size, what);
    return FALSE;
}

/* The neighbours that hold a unit's parameters between forward and backward. */
static gboolean add_post_forward(Job *job, const Training *training, GError **error)
{
    gint64 size = training->fsdp.reshard_group_size;
    gint64 group = shard_group_size(training, job->n_ranks);
    g_autofree int *neighbours = g_new(int, job->n_ranks);

    if (size == 0)
        return TRUE;
    if (training->fsdp.version == 1)
        return refuse_reshard(size, error, "is FSDP2's: FSDP1 takes true or false");
    if (size > group || group % size != 0)
        return refuse_reshard(size, error,
                              "doesn't divide the %" G_GINT64_FORMAT " ranks of a shard group",
                              group);
    /* Tensors with an all-gather extension can't be resharded so: _fsdp_param.py. */
    if (training->fsdp.fp8_all_gather)
        return refuse_reshard(size, error, "can't be with fsdp.fp8_all_gather: say true");
    if (!reshards_further(training, job->n_ranks))
        return TRUE;
    for (int rank = 0; rank < job->n_ranks; rank++)
        neighbours[rank] = rank / (int)size;
    job_add_communicator(job, "post-forward", neighbours, job->n_ranks / (int)size);
    return TRUE;
}

static gboolean add_hybrid(Job *job, const Training *training, GError **error)
{
    gint64 size = training->fsdp.shard_group_size;
    g_autofree int *shard = g_new(int, job->n_ranks), *replica = g_new(int, job->n_ranks);

    if (size == 0)
        return TRUE;
    if (size > job->n_ranks || job->n_ranks % size != 0) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "fsdp.shard_group_size: %" G_GINT64_FORMAT " doesn't divide %d ranks", size,
                    job->n_ranks);
        return FALSE;
    }
    for (int rank = 0; rank < job->n_ranks; rank++) {
        shard[rank] = rank / (int)size;
        replica[rank] = rank % (int)size;
    }
    job_add_communicator(job, "shard", shard, job->n_ranks / (int)size);
    job_add_communicator(job, "replicate", replica, (int)size);
    return TRUE;
}

gboolean fsdp_add_communicators(Job *job, const Training *training, GError **error)
{
    return add_hybrid(job, training, error) && add_post_forward(job, training, error);
}

int fsdp_n_shards(const Step *step)
{
    const Fsdp *fsdp = step->state;

    return job_group_size(step->job, fsdp->shards, step->rank);
}

int fsdp_reduce_replicas(Step *step, const FsdpUnit *unit, int scattered)
{
    const Fsdp *fsdp = step->state;
    gint64 shard = unit->padded_numel / fsdp_n_shards(step);

    if (fsdp->replicas < 0 ||
        (!step->last_micro_step && !step->training->fsdp.all_reduce_every_micro_step))
        return scattered;
    schedule_wait(step->schedule, stream_of_communicator(fsdp->replicas), scattered);
    int reduced = step_collective_on(step, fsdp->replicas, STREAM_COMPUTE, "all_reduce",
                                     unit->name, COLLECTIVE_ALL_REDUCE,
                                     shard * dtype_bytes(step->training->precision.reduce), 0);
    return MAX(scattered, reduced);
}

static gint64 pad(const Step *step, gint64 n)
{
    return step_ceil_divide(n, fsdp_n_shards(step)) * fsdp_n_shards(step);
}

static void unit_pad(const Step *step, FsdpUnit *unit, FsdpPadding padding)
{
    gint64 numel = 0, padded_rows = 0, fp8_numel = 0;
    int gather_bytes = dtype_bytes(step->training->precision.gather);

    for (guint i = 0; i < unit->parameters->len; i++) {
        const Parameter *p =
            model_parameter(step->model, g_array_index(unit->parameters, int, i));
        gboolean fp8 = step->training->fsdp.fp8_all_gather && !unit->is_root &&
                       p->numel > p->rows; /* linear layers' weights; norms stay as they are */
        numel += p->numel;
        fp8_numel += fp8 ? pad(step, p->rows) * (p->numel / p->rows) : 0;
        padded_rows += pad(step, p->rows) * (p->numel / p->rows);
    }
    unit->padded_numel = padding == FSDP_PADS_ROWS ? padded_rows : pad(step, numel);
    unit->gathered_bytes = unit->padded_numel * gather_bytes - fp8_numel * (gather_bytes - 1);
}

static void unit_free(gpointer data)
{
    FsdpUnit *unit = data;

    g_array_unref(unit->parameters);
    g_free(unit->name);
    g_free(unit);
}

static FsdpUnit *unit_new(const char *name, gboolean reshard_after_forward)
{
    FsdpUnit *unit = g_new(FsdpUnit, 1);

    *unit = (FsdpUnit){.name = g_strdup(name),
                       .parameters = g_array_new(FALSE, FALSE, sizeof(int)),
                       .first_layer = -1,
                       .reshard_after_forward = reshard_after_forward,
                       .gather_buffer = -1,
                       .gathered = -1,
                       .unsharded = -1,
                       .sharded_gradient = -1,
                       .copied_out = -1,
                       .post_forward = -1,
                       .low_precision = -1};
    return unit;
}

FsdpUnit *fsdp_unit(const Step *step, int index)
{
    const Fsdp *fsdp = step->state;

    return g_ptr_array_index(fsdp->units, index);
}

FsdpUnit *fsdp_unit_of(const Step *step, int layer)
{
    const Fsdp *fsdp = step->state;

    return fsdp_unit(step, fsdp->unit_of_layer[layer]);
}

/* Adds the layer's parameters that no unit holds yet, and the layer to the unit's span. */
static void unit_add_layer(Step *step, FsdpUnit *unit, int index, gboolean *owned)
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
    }
}

static gint post_forward_order(gconstpointer a, gconstpointer b)
{
    const FsdpUnit *x = *(FsdpUnit *const *)a, *y = *(FsdpUnit *const *)b;

    if (x->is_root != y->is_root)
        return x->is_root ? -1 : 1;
    return x->last_layer - y->last_layer;
}

/* The root first, then the units in the order in which their forward ends. */
static void units_collect(Step *step, char **names)
{
    Fsdp *fsdp = step->state;
    g_autoptr(GHashTable) by_name = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree gboolean *owned = g_new0(gboolean, step->model->parameters->len + 1);
    FsdpUnit *root = unit_new("root", FALSE);

    root->is_root = TRUE;
    g_ptr_array_add(fsdp->units, root);
    g_hash_table_insert(by_name, root->name, root);
    for (int i = 0; i < (int)step->model->layers->len; i++) {
        FsdpUnit *unit = g_hash_table_lookup(by_name, names[i]);
        if (!unit) {
            unit = unit_new(names[i], step->training->fsdp.reshard_after_forward);
            g_ptr_array_add(fsdp->units, unit);
            g_hash_table_insert(by_name, unit->name, unit);
        }
        unit_add_layer(step, unit, i, owned);
    }
    g_ptr_array_sort(fsdp->units, post_forward_order);
}

static void units_build(Step *step, FsdpPadding padding)
{
    Fsdp *fsdp = step->state;
    g_auto(GStrv) names = fsdp_wrap(step->model, &step->training->fsdp);

    fsdp->units = g_ptr_array_new_with_free_func(unit_free);
    fsdp->unit_of_layer = g_new0(int, step->model->layers->len + 1);
    units_collect(step, names);
    for (guint u = 0; u < fsdp->units->len; u++) {
        unit_pad(step, fsdp_unit(step, (int)u), padding);
        for (guint i = 0; i < step->model->layers->len; i++)
            if (strcmp(names[i], fsdp_unit(step, (int)u)->name) == 0)
                fsdp->unit_of_layer[i] = (int)u;
    }
}

static gint64 sharded_numel(const Step *step)
{
    const Fsdp *fsdp = step->state;
    gint64 numel = 0;

    for (guint u = 0; u < fsdp->units->len; u++)
        numel += fsdp_unit(step, (int)u)->padded_numel / fsdp_n_shards(step);
    return numel;
}

static void persistent_memory(Step *step)
{
    const Precision *precision = &step->training->precision;

    schedule_persistent(step->schedule, "parameter shards", MEMORY_PARAMETERS,
                        sharded_numel(step) * dtype_bytes(precision->parameter));
    schedule_persistent(step->schedule, "buffers", MEMORY_PARAMETERS,
                        step->model->buffer_bytes);
    schedule_persistent(step->schedule, "optimizer states", MEMORY_OPTIMIZER_STATES,
                        step_ceil_divide(step_state_bytes(step), fsdp_n_shards(step)));
    step->schedule->model_state_bytes =
        step_ceil_divide(step->model->n_parameters * (dtype_bytes(precision->parameter) +
                                                      dtype_bytes(precision->gradient)) +
                             step_state_bytes(step),
                         fsdp_n_shards(step));
}

void fsdp_open(Step *step, FsdpPadding padding)
{
    Fsdp *fsdp = g_new0(Fsdp, 1);
    gboolean hybrid = step->training->fsdp.shard_group_size > 0;

    step->state = fsdp;
    fsdp->shards = hybrid ? 1 : 0;
    fsdp->replicas = hybrid ? 2 : -1;
    fsdp->post_forward =
        reshards_further(step->training, step->n_ranks) ? (hybrid ? 3 : 1) : -1;
    fsdp->reduce_input = fsdp->reduced = -1;
    fsdp->free_events = g_queue_new();
    units_build(step, padding);
    persistent_memory(step);
}

int fsdp_n_units(const Step *step)
{
    return (int)((const Fsdp *)step->state)->units->len;
}

gboolean fsdp_synchronises(const Step *step)
{
    return step->last_micro_step || step->training->fsdp.sync_every_micro_step;
}

void fsdp_gradients_drop(Step *step, const FsdpUnit *unit)
{
    for (guint i = 0; i < unit->parameters->len; i++)
        step_release(step, STREAM_COMPUTE,
                     &step->stored_gradient[g_array_index(unit->parameters, int, i)]);
}

int fsdp_sharded_gradient_store(Step *step, FsdpUnit *unit)
{
    const Precision *precision = &step->training->precision;
    gint64 shard = unit->padded_numel / fsdp_n_shards(step);
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

void fsdp_update(Step *step)
{
    const Fsdp *fsdp = step->state;
    const Precision *precision = &step->training->precision;
    gint64 numel = sharded_numel(step);

    step_clip(step, numel * dtype_bytes(precision->gradient), fsdp->shards);
    step_optimize(step, "parameter shards", numel, step->model->parameters->len,
                  precision->parameter);
    for (guint u = 0; u < fsdp->units->len; u++)
        step_release(step, STREAM_COMPUTE, &fsdp_unit(step, (int)u)->sharded_gradient);
}

void fsdp_finish(Step *step)
{
    Fsdp *fsdp = step->state;

    g_ptr_array_unref(fsdp->units);
    g_free(fsdp->unit_of_layer);
    g_queue_free(fsdp->free_events);
    g_free(fsdp);
}
