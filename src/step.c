/* SPDX-License-Identifier: MIT */
/* The walk over a model that every framework shares: forward and backward of each micro-step
 * with activations saved, recomputed and freed, gradients as autograd makes them, then the
 * update. Which parameters are present and what happens to a gradient is left to the
 * framework's hooks. */
#include "step_walk.h"

#include "constants.h"
#include "error.h"

#include <string.h>

#define HOOK(step, hook, ...)                                                                  \
    do {                                                                                       \
        if ((step)->hooks->hook)                                                               \
            (step)->hooks->hook(step, ##__VA_ARGS__);                                          \
    } while (0)

/* Channels of NCCL's rings, each with a receive and a send peer whose buffers hold 4 MiB
 * (Simple), 0.5 MiB (LL) and 4.69 MiB (LL128): NCCL src/transport, src/graph/connect.cc. */
#define NCCL_RING_CHANNELS 24
#define NCCL_CONNECTION_BYTES ((gint64)(4194304 + 524288 + 4915200))

static gboolean block_checkpointed(const Step *step, const Layer *layer)
{
    return step->training->checkpointing == CHECKPOINTING_FULL && layer->block >= 0 &&
           layer->block < step->model->n_blocks;
}

static gboolean layer_recomputed(const Step *step, const Layer *layer)
{
    return step->training->checkpointing == CHECKPOINTING_SELECTIVE && layer->attention;
}

static const Layer *layer_at(const Step *step, int index)
{
    if (index < 0 || index >= (int)step->model->layers->len)
        return NULL;
    return model_layer(step->model, index);
}

static gboolean block_begins(const Step *step, int index)
{
    const Layer *before = layer_at(step, index - 1);

    return !before || before->block != layer_at(step, index)->block;
}

static gboolean block_ends(const Step *step, int index)
{
    const Layer *behind = layer_at(step, index + 1);

    return !behind || behind->block != layer_at(step, index)->block;
}

static const char *forward_verb(const Step *step)
{
    return step->recomputing ? "recompute" : "forward";
}

/* What autograd keeps of a layer's forward; selective checkpointing keeps the attention core's
 * inputs only. */
static gint64 saved_bytes(const Step *step, const Layer *layer)
{
    return layer_recomputed(step, layer) ? layer->recompute_saved_bytes : layer->saved_bytes;
}

/* torch/utils/checkpoint.py, _StopRecomputationError: recomputing ends as soon as the block's
 * last tensor that backward needs is saved; for a layer with parameters that is its input. */
static gboolean early_stop(const Step *step, int index)
{
    const Layer *layer = layer_at(step, index);

    if (!step->recomputing || !step->training->checkpointing_early_stop ||
        (saved_bytes(step, layer) > 0 && layer->n_parameters == 0))
        return FALSE;
    while (!block_ends(step, index))
        if (saved_bytes(step, layer_at(step, ++index)) > 0)
            return FALSE;
    return TRUE;
}

static void forward_layer(Step *step, int index)
{
    const Layer *layer = layer_at(step, index);

    HOOK(step, before_forward, index);
    if (step->casts[index] < 0)
        step->casts[index] = step_alloc(step, STREAM_COMPUTE, "casts", layer->name,
                                        MEMORY_TEMPORARIES, layer->cast_bytes);
    step->saved[index] = step_alloc(step, STREAM_COMPUTE, "saved", layer->name,
                                    MEMORY_ACTIVATIONS, saved_bytes(step, layer));
    int temporary = step_alloc(step, STREAM_COMPUTE, forward_verb(step), layer->name,
                               MEMORY_TEMPORARIES, layer->forward_temporary_bytes);
    if (!early_stop(step, index))
        step_compute(step, STREAM_COMPUTE, forward_verb(step), layer->name,
                     (const Kernel *)(void *)layer->forward->data, (int)layer->forward->len);
    step_release(step, STREAM_COMPUTE, &temporary);
    HOOK(step, after_forward, index);
}

/* Under full checkpointing a block's forward keeps its input alone: a layer's activations live
 * until the next layer has used them. */
static void forward_checkpointed_layer(Step *step, int index)
{
    const Layer *layer = layer_at(step, index);

    if (block_begins(step, index))
        step->block_input[layer->block] =
            step_alloc(step, STREAM_COMPUTE, "block input", layer->name, MEMORY_ACTIVATIONS,
                       step->model->block_input_bytes);
    forward_layer(step, index);
    step_release(step, STREAM_COMPUTE, &step->casts[index]);
    if (!block_begins(step, index))
        step_release(step, STREAM_COMPUTE, &step->saved[index - 1]);
    if (block_ends(step, index))
        step_release(step, STREAM_COMPUTE, &step->saved[index]);
}

static void forward(Step *step)
{
    step->phase = PHASE_FORWARD;
    for (int i = 0; i < (int)step->model->layers->len; i++) {
        if (block_checkpointed(step, layer_at(step, i)))
            forward_checkpointed_layer(step, i);
        else
            forward_layer(step, i);
    }
}

static void recompute_block(Step *step, int last)
{
    int first = last;

    while (!block_begins(step, first))
        first--;
    step->recomputing = TRUE;
    for (int i = first; i <= last; i++)
        forward_layer(step, i);
    step->recomputing = FALSE;
}

/* Autograd writes a parameter's gradient in the precision of the forward; a tied parameter's
 * second contribution is added to the first. */
static void gradients_alloc(Step *step, const Layer *layer)
{
    for (int i = 0; i < layer->n_parameters; i++) {
        int p = layer->parameters[i];
        gint64 bytes = step_numel(step, p) * dtype_bytes(step->training->precision.forward);
        const char *name = model_parameter(step->model, p)->name;
        if (step->gradient[p] < 0) {
            step->gradient[p] =
                step_alloc(step, STREAM_COMPUTE, "gradient", name, MEMORY_GRADIENTS, bytes);
            continue;
        }
        int second =
            step_alloc(step, STREAM_COMPUTE, "second gradient", name, MEMORY_GRADIENTS, bytes);
        step_stream_kernel(step, STREAM_COMPUTE, "add second gradient", name, KERNEL_ACCUMULATE,
                           bytes);
        step_release(step, STREAM_COMPUTE, &second);
    }
}

static void gradients_announce(Step *step, const Layer *layer)
{
    for (int i = 0; i < layer->n_parameters; i++) {
        int p = layer->parameters[i];
        if (--step->uses_left[p] == 0)
            HOOK(step, gradient_ready, p);
    }
}

static void backward_layer(Step *step, int index)
{
    const Layer *layer = layer_at(step, index);

    HOOK(step, before_backward, index);
    int recomputed = -1;
    if (layer_recomputed(step, layer)) {
        recomputed =
            step_alloc(step, STREAM_COMPUTE, "recomputed", layer->name, MEMORY_ACTIVATIONS,
                       layer->saved_bytes - layer->recompute_saved_bytes);
        step_compute(step, STREAM_COMPUTE, "recompute", layer->name,
                     (const Kernel *)(void *)layer->forward->data, (int)layer->forward->len);
    }
    /* The gradients of the layer's output and input are tensors of their own. */
    int output = step_alloc(step, STREAM_COMPUTE, "output gradient", layer->name,
                            MEMORY_TEMPORARIES, layer->backward_temporary_bytes / 2);
    int input =
        step_alloc(step, STREAM_COMPUTE, "input gradient", layer->name, MEMORY_TEMPORARIES,
                   layer->backward_temporary_bytes - layer->backward_temporary_bytes / 2);
    gradients_alloc(step, layer);
    step_compute(step, STREAM_COMPUTE, "backward", layer->name,
                 (const Kernel *)(void *)layer->backward->data, (int)layer->backward->len);
    step_release(step, STREAM_COMPUTE, &output);
    step_release(step, STREAM_COMPUTE, &input);
    step_release(step, STREAM_COMPUTE, &recomputed);
    step_release(step, STREAM_COMPUTE, &step->saved[index]);
    step_release(step, STREAM_COMPUTE, &step->casts[index]);
    gradients_announce(step, layer);
    HOOK(step, after_backward, index);
}

static void uses_count(Step *step)
{
    memset(step->uses_left, 0, sizeof(int) * step->model->parameters->len);
    for (guint i = 0; i < step->model->layers->len; i++) {
        const Layer *layer = model_layer(step->model, (int)i);
        for (int j = 0; j < layer->n_parameters; j++)
            step->uses_left[layer->parameters[j]]++;
    }
}

static void backward(Step *step)
{
    step->phase = PHASE_BACKWARD;
    uses_count(step);
    HOOK(step, begin_backward);
    for (int i = (int)step->model->layers->len - 1; i >= 0; i--) {
        const Layer *layer = layer_at(step, i);
        gboolean checkpointed = block_checkpointed(step, layer);
        if (checkpointed && block_ends(step, i))
            recompute_block(step, i);
        backward_layer(step, i);
        if (checkpointed && block_begins(step, i))
            step_release(step, STREAM_COMPUTE, &step->block_input[layer->block]);
    }
    HOOK(step, end_backward);
}

static void library_memory(Step *step)
{
    Schedule *schedule = step->schedule;

    schedule_persistent(schedule, "CUDA context", MEMORY_FRAMEWORK,
                        step->profile->context_bytes);
    schedule_persistent(schedule, "cuBLAS workspace", MEMORY_FRAMEWORK,
                        step->profile->cublas_workspace_bytes);
}

/* NCCL connects, and takes its buffers, with the first collective of a communicator. */
static void communicator_memory(Step *step)
{
    gboolean used[MAX_COMMUNICATORS] = {FALSE};

    for (int i = 0; i < schedule_n_ops(step->schedule); i++)
        if (schedule_op(step->schedule, i)->kind == OP_COLLECTIVE)
            used[schedule_op(step->schedule, i)->communicator] = TRUE;
    for (int c = 0; c < (int)step->job->communicators->len; c++)
        if (used[c])
            schedule_persistent(step->schedule, "NCCL buffers", MEMORY_FRAMEWORK,
                                NCCL_RING_CHANNELS * NCCL_CONNECTION_BYTES);
}

static int *indices_new(guint n)
{
    int *indices = g_new(int, n + 1);

    memset(indices, -1, sizeof(int) * (n + 1));
    return indices;
}

static void step_init(Step *step)
{
    guint n_layers = step->model->layers->len, n_parameters = step->model->parameters->len;

    step->saved = indices_new(n_layers);
    step->casts = indices_new(n_layers);
    step->block_input = indices_new((guint)step->model->n_blocks);
    step->gradient = indices_new(n_parameters);
    step->stored_gradient = indices_new(n_parameters);
    step->uses_left = indices_new(n_parameters);
}

static void step_clear(Step *step)
{
    HOOK(step, finish);
    g_free(step->saved);
    g_free(step->casts);
    g_free(step->block_input);
    g_free(step->gradient);
    g_free(step->stored_gradient);
    g_free(step->uses_left);
}

/* The paper's idealised step knows no host, and compiled graphs leave no launch gaps. */
static void host_costs(Step *step)
{
    if (step->training->framework == FRAMEWORK_PAPER)
        return;
    step->schedule->host_launch_s = step->training->compile ? 0 : step->profile->host_launch_s;
    step->schedule->host_collective_s = constant(CONSTANT_HOST_COLLECTIVE_S);
    step->schedule->host_parameter_s = constant(CONSTANT_HOST_PARAMETER_S);
}

static Schedule *program_build(Step *step)
{
    gint64 n_micro_steps = step->training->gradient_accumulation;

    step->schedule = schedule_new();
    step->schedule->n_micro_steps = (int)n_micro_steps;
    host_costs(step);
    step_init(step);
    library_memory(step);
    HOOK(step, start);
    for (gint64 i = 0; i < n_micro_steps; i++) {
        step->micro_step = (int)i;
        step->last_micro_step = i == n_micro_steps - 1;
        HOOK(step, begin_micro_step);
        forward(step);
        backward(step);
    }
    step->phase = PHASE_UPDATE;
    HOOK(step, update);
    communicator_memory(step);
    step_clear(step);
    return step->schedule;
}

static const StepHooks *hooks_of(const Training *training)
{
    switch (training->framework) {
    case FRAMEWORK_PYTORCH:
        if (!training_shards_parameters(training))
            return &step_ddp_hooks;
        return training->fsdp.version == 1 ? &step_fsdp1_hooks : &step_fsdp2_hooks;
    case FRAMEWORK_DEEPSPEED:
        if (training->deepspeed.bf16_optimizer)
            return &step_deepspeed_bf16_hooks;
        if (!training_shards_optimizer_states(training))
            return &step_deepspeed0_hooks;
        return training_shards_parameters(training) ? &step_deepspeed3_hooks
                                                    : &step_deepspeed12_hooks;
    case FRAMEWORK_PAPER:
        return &step_paper_hooks;
    }
    g_assert_not_reached();
}

typedef struct {
    gint64 numel;
    int n_tensors;
} Share;

/* By rank: what it owns of the optimizer. */
static Share *shares_new(const Model *model, const int *owners, int n_ranks)
{
    Share *shares = g_new0(Share, n_ranks);

    for (guint p = 0; owners && p < model->parameters->len; p++) {
        shares[owners[p]].numel += model_parameter(model, (int)p)->numel;
        shares[owners[p]].n_tensors++;
    }
    return shares;
}

/* Which program a rank runs: ranks with equal shares of the optimizer, on GPUs of one kind, run
 * the same one. */
static char *program_key(const Share *share, const Profile *profile)
{
    return g_strdup_printf("%" G_GINT64_FORMAT " in %d on %s", share->numel, share->n_tensors,
                           profile->name);
}

Job *step_build(const Model *model, const Training *training, const Profile *profile,
                int n_ranks, GError **error)
{
    g_autofree const Profile **profile_of_rank = g_new(const Profile *, n_ranks);

    for (int rank = 0; rank < n_ranks; rank++)
        profile_of_rank[rank] = profile;
    return step_build_on(model, training, profile_of_rank, n_ranks, error);
}

/* FALSE: the model can't be trained like this. Takes the program in either case. */
static gboolean program_add(Job *job, const Step *step, Schedule *schedule, GError **error)
{
    g_ptr_array_add(job->programs, schedule);
    if (!step->refusal)
        return schedule_validate(schedule, error);
    g_set_error_literal(error, ZEROSIM_ERROR, ERROR_INPUT, step->refusal);
    g_free(step->refusal);
    return FALSE;
}

Job *step_build_on(const Model *model, const Training *training,
                   const Profile *const *profile_of_rank, int n_ranks, GError **error)
{
    g_autoptr(Job) job = job_new(n_ranks);
    g_autofree int *owners =
        step_gives_whole_tensors(training) ? step_ddp_owners(model, n_ranks) : NULL;
    g_autofree Share *shares = shares_new(model, owners, n_ranks);
    g_autoptr(GHashTable) programs =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    const StepHooks *hooks = hooks_of(training);

    if ((hooks->add_communicators && !hooks->add_communicators(job, training, error)) ||
        (hooks->check && !hooks->check(model, training, n_ranks, error)))
        return NULL;
    for (int rank = 0; rank < n_ranks; rank++) {
        g_autofree char *key = program_key(&shares[rank], profile_of_rank[rank]);
        gpointer found;
        if (g_hash_table_lookup_extended(programs, key, NULL, &found)) {
            job->program_of_rank[rank] = GPOINTER_TO_INT(found);
            continue;
        }
        job->program_of_rank[rank] = (int)job->programs->len;
        g_hash_table_insert(programs, g_steal_pointer(&key),
                            GUINT_TO_POINTER(job->programs->len));
        Step step = {.model = model,
                     .training = training,
                     .profile = profile_of_rank[rank],
                     .n_ranks = n_ranks,
                     .rank = rank,
                     .job = job,
                     .owners = owners,
                     .hooks = hooks};
        if (!program_add(job, &step, program_build(&step), error))
            return NULL;
    }
    return g_steal_pointer(&job);
}
