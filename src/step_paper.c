/* SPDX-License-Identifier: MIT */
/* The schedule of the ZeRO paper (Rajbhandari et al. 2020), idealised: no copies, no buffers,
 * no padding. Gradients are reduced block by block while backward runs; sharded parameters are
 * gathered block by block, as early as the communicator allows, before forward and again before
 * backward. Volumes a rank sends, in elements: 2, 2, 2 and 3 times the parameters. */
#include "step_walk.h"

/* Parameters whose layers belong to one block, or to the layers before or behind all blocks. */
typedef struct {
    char *name;
    GArray *parameters; /* int */
    gint64 numel;
    int first_layer, last_layer;
    int pending;  /* gradients still to come in this backward */
    int gathered; /* all-gather op; -1 */
    int storage;  /* ALLOC of the gathered parameters; -1 */
} Group;

typedef struct {
    GPtrArray *groups; /* Group *, forward order */
    int *group_of_layer;
    int *group_of_parameter;
    int gradients; /* ALLOC of the sharded gradients; -1 */
} Paper;

static Group *group_at(const Step *step, int index)
{
    const Paper *paper = step->state;

    return g_ptr_array_index(paper->groups, index);
}

static void group_free(gpointer data)
{
    Group *group = data;

    g_array_unref(group->parameters);
    g_free(group->name);
    g_free(group);
}

static char *group_name(const Model *model, int block)
{
    if (block < 0)
        return g_strdup("first layers");
    return block < model->n_blocks ? g_strdup_printf("block %d", block)
                                   : g_strdup("last layers");
}

static Group *group_new(const Model *model, int block, int layer)
{
    Group *group = g_new(Group, 1);

    *group = (Group){.name = group_name(model, block),
                     .parameters = g_array_new(FALSE, FALSE, sizeof(int)),
                     .first_layer = layer,
                     .gathered = -1,
                     .storage = -1};
    return group;
}

/* A tied parameter belongs to the group of its first use and is gathered with it alone. */
static void groups_build(Step *step)
{
    Paper *paper = step->state;
    const Model *model = step->model;
    g_autofree gboolean *owned = g_new0(gboolean, model->parameters->len + 1);

    paper->groups = g_ptr_array_new_with_free_func(group_free);
    paper->group_of_layer = g_new0(int, model->layers->len + 1);
    paper->group_of_parameter = g_new0(int, model->parameters->len + 1);
    for (int i = 0; i < (int)model->layers->len; i++) {
        const Layer *layer = model_layer(model, i);
        if (i == 0 || model_layer(model, i - 1)->block != layer->block)
            g_ptr_array_add(paper->groups, group_new(model, layer->block, i));
        int index = (int)paper->groups->len - 1;
        Group *group = group_at(step, index);
        group->last_layer = i;
        paper->group_of_layer[i] = index;
        for (int j = 0; j < layer->n_parameters; j++) {
            int p = layer->parameters[j];
            if (owned[p])
                continue;
            owned[p] = TRUE;
            paper->group_of_parameter[p] = index;
            g_array_append_val(group->parameters, p);
            group->numel += step_numel(step, p);
        }
    }
}

static void persistent_memory(Step *step)
{
    const Training *training = step->training;
    const Precision *precision = &training->precision;
    gint64 n = step->model->n_parameters, ranks = step->n_ranks;
    gint64 parameter_bytes = n * dtype_bytes(precision->parameter);
    gint64 gradient_bytes = n * dtype_bytes(precision->gradient);
    gint64 master_bytes = n * 4, state_bytes = step_state_bytes(step);
    gint64 sharded = 0, replicated = 0;

    *(training_shards_parameters(training) ? &sharded : &replicated) += parameter_bytes;
    *(training_shards_gradients(training) ? &sharded : &replicated) += gradient_bytes;
    *(training_shards_optimizer_states(training) ? &sharded : &replicated) +=
        master_bytes + state_bytes;
    step->schedule->model_state_bytes = replicated + step_ceil_divide(sharded, ranks);

    gint64 optimizer_ranks = training_shards_optimizer_states(training) ? ranks : 1;
    schedule_persistent(
        step->schedule, "parameters", MEMORY_PARAMETERS,
        step_ceil_divide(parameter_bytes, training_shards_parameters(training) ? ranks : 1));
    schedule_persistent(step->schedule, "fp32 master parameters", MEMORY_MASTER_WEIGHTS,
                        step_ceil_divide(master_bytes, optimizer_ranks));
    schedule_persistent(step->schedule, "optimizer states", MEMORY_OPTIMIZER_STATES,
                        step_ceil_divide(state_bytes, optimizer_ranks));
}

static void paper_start(Step *step)
{
    Paper *paper = g_new0(Paper, 1);

    step->state = paper;
    paper->gradients = -1;
    groups_build(step);
    persistent_memory(step);
}

static gint64 group_parameter_bytes(const Step *step, const Group *group)
{
    return group->numel * dtype_bytes(step->training->precision.gather);
}

static void group_gather(Step *step, int index)
{
    if (index < 0 || index >= (int)((Paper *)step->state)->groups->len)
        return;
    Group *group = group_at(step, index);
    if (group->storage >= 0 || group->numel == 0)
        return;
    group->storage = step_alloc(step, STREAM_COMPUTE, "gathered", group->name,
                                MEMORY_GATHERED_PARAMETERS, group_parameter_bytes(step, group));
    group->gathered =
        step_collective(step, STREAM_COMPUTE, "all_gather", group->name, COLLECTIVE_ALL_GATHER,
                        group_parameter_bytes(step, group), 0);
}

/* Uses the group's parameters from here on, and gathers the next group's beside the compute. */
static void group_use(Step *step, int index, int next)
{
    if (!training_shards_parameters(step->training))
        return;
    group_gather(step, index);
    schedule_wait(step->schedule, STREAM_COMPUTE, group_at(step, index)->gathered);
    group_gather(step, next);
}

static void group_drop(Step *step, int index)
{
    step_release(step, STREAM_COMPUTE, &group_at(step, index)->storage);
}

static void paper_begin_micro_step(Step *step)
{
    step->phase = PHASE_FORWARD;
    schedule_wait_stream(step->schedule, STREAM_NCCL, STREAM_COMPUTE);
}

static void paper_before_forward(Step *step, int layer)
{
    const Paper *paper = step->state;
    int index = paper->group_of_layer[layer];

    if (step->recomputing)
        group_use(step, index, index - 1);
    else if (layer == group_at(step, index)->first_layer)
        group_use(step, index, index + 1);
}

static void paper_after_forward(Step *step, int layer)
{
    const Paper *paper = step->state;
    int index = paper->group_of_layer[layer];

    if (!step->recomputing && layer == group_at(step, index)->last_layer)
        group_drop(step, index);
}

static gboolean reduces(const Step *step)
{
    return step->last_micro_step || training_shards_gradients(step->training);
}

static void paper_begin_backward(Step *step)
{
    const Paper *paper = step->state;

    for (guint i = 0; i < paper->groups->len; i++)
        group_at(step, (int)i)->pending = (int)group_at(step, (int)i)->parameters->len;
    if (training_shards_gradients(step->training) && paper->gradients < 0)
        ((Paper *)step->state)->gradients =
            step_alloc(step, STREAM_COMPUTE, "shard", "gradients", MEMORY_GRADIENTS,
                       step_ceil_divide(step->model->n_parameters *
                                            dtype_bytes(step->training->precision.gradient),
                                        step->n_ranks));
}

static void paper_before_backward(Step *step, int layer)
{
    const Paper *paper = step->state;
    int index = paper->group_of_layer[layer];

    group_use(step, index, index - 1);
}

/* Stages that shard optimizer states reduce-scatter; stage 0 all-reduces. */
static void group_reduce(Step *step, const Group *group)
{
    gboolean scatter = training_shards_optimizer_states(step->training);

    step_collective(step, STREAM_COMPUTE, scatter ? "reduce_scatter" : "all_reduce",
                    group->name, scatter ? COLLECTIVE_REDUCE_SCATTER : COLLECTIVE_ALL_REDUCE,
                    group->numel * dtype_bytes(step->training->precision.reduce), 0);
    if (!training_shards_gradients(step->training))
        return;
    for (guint i = 0; i < group->parameters->len; i++)
        step_release(step, STREAM_COMPUTE,
                     &step->gradient[g_array_index(group->parameters, int, i)]);
}

static void paper_gradient_ready(Step *step, int parameter)
{
    const Paper *paper = step->state;
    Group *group = group_at(step, paper->group_of_parameter[parameter]);

    if (!training_shards_gradients(step->training))
        step_accumulate_gradient(step, parameter);
    if (--group->pending == 0 && reduces(step))
        group_reduce(step, group);
}

static void paper_after_backward(Step *step, int layer)
{
    const Paper *paper = step->state;
    int index = paper->group_of_layer[layer];

    if (layer == group_at(step, index)->first_layer)
        group_drop(step, index);
}

static void paper_end_backward(Step *step)
{
    schedule_wait_stream(step->schedule, STREAM_COMPUTE, STREAM_NCCL);
}

static void paper_update(Step *step)
{
    Paper *paper = step->state;
    const Training *training = step->training;
    gboolean sharded = training_shards_optimizer_states(training);
    gint64 share = step_ceil_divide(step->model->n_parameters, sharded ? step->n_ranks : 1);

    step_optimize(step, "own share", share, 1, DTYPE_FP32);
    if (sharded && !training_shards_parameters(training))
        for (guint i = 0; i < paper->groups->len; i++)
            step_collective(step, STREAM_COMPUTE, "all_gather", group_at(step, (int)i)->name,
                            COLLECTIVE_ALL_GATHER,
                            group_parameter_bytes(step, group_at(step, (int)i)), 0);
    schedule_wait_stream(step->schedule, STREAM_COMPUTE, STREAM_NCCL);
    step_release_gradients(step);
    step_release(step, STREAM_COMPUTE, &paper->gradients);
}

static void paper_finish(Step *step)
{
    Paper *paper = step->state;

    g_ptr_array_unref(paper->groups);
    g_free(paper->group_of_layer);
    g_free(paper->group_of_parameter);
    g_free(paper);
}

const StepHooks step_paper_hooks = {
    .start = paper_start,
    .begin_micro_step = paper_begin_micro_step,
    .before_forward = paper_before_forward,
    .after_forward = paper_after_forward,
    .begin_backward = paper_begin_backward,
    .before_backward = paper_before_backward,
    .gradient_ready = paper_gradient_ready,
    .after_backward = paper_after_backward,
    .end_backward = paper_end_backward,
    .update = paper_update,
    .finish = paper_finish,
};
