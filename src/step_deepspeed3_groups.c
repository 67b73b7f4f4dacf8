/* SPDX-License-Identifier: MIT */
/* The groups of ranks that ZeRO-3 shards within: all of them, the groups of MiCS
 * (deepspeed/runtime/zero/mics.py); for the backward of hpZ those of the secondary partition
 * (ZeRO++, partition_parameters.py); for qgZ a node's ranks and their peers on other nodes. And
 * what DeepSpeed refuses of all that. */
#include "step_deepspeed3.h"

#include "error.h"

#include <string.h>

static gboolean size_check(const char *member, gint64 size, int n_ranks, GError **error)
{
    if (size <= n_ranks && n_ranks % size == 0)
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "deepspeed.zero_optimization.%s: %" G_GINT64_FORMAT " doesn't divide %d ranks",
                member, size, n_ranks);
    return FALSE;
}

static void neighbours_add(Job *job, const char *name, int size)
{
    g_autofree int *group = g_new(int, job->n_ranks);

    for (int rank = 0; rank < job->n_ranks; rank++)
        group[rank] = rank / size;
    job_add_communicator(job, name, group, job->n_ranks / size);
}

static void replicas_add(Job *job, int size)
{
    g_autofree int *group = g_new(int, job->n_ranks);

    for (int rank = 0; rank < job->n_ranks; rank++)
        group[rank] = rank % size;
    job_add_communicator(job, "replicate", group, size);
}

/* Ranks of equal place in their node, within each group of `size` neighbours. */
static void peers_add(Job *job, const char *name, int size, int n_local)
{
    g_autofree int *group = g_new(int, job->n_ranks);

    for (int rank = 0; rank < job->n_ranks; rank++)
        group[rank] = rank / size * n_local + rank % n_local;
    job_add_communicator(job, name, group, job->n_ranks / size * n_local);
}

static gboolean fail(GError **error, ErrorCode code, const char *what)
{
    g_set_error(error, ZEROSIM_ERROR, code, "deepspeed.zero_optimization.%s", what);
    return FALSE;
}

static gboolean combination_check(const DeepspeedKnobs *knobs, GError **error)
{
    if (knobs->mics_shard_size <= 0)
        return !knobs->mics_hierarchical_params_gather ||
               fail(error, ERROR_INPUT,
                    "mics_hierarchical_params_gather: needs mics_shard_size");
    if (knobs->hpz_partition_size > 1)
        return fail(error, ERROR_UNMODELLED,
                    "mics_shard_size: together with zero_hpz_partition_size is not modelled: "
                    "say one of them");
    if (knobs->quantized_weights || knobs->quantized_gradients)
        return fail(error, ERROR_UNMODELLED,
                    "mics_shard_size: together with quantised communication is not modelled: "
                    "say one of them");
    return TRUE;
}

/* mics_utils.py, create_mics_comm_groups. */
static gboolean mics_add(Job *job, const Training *training, GError **error)
{
    const int size = (int)training->deepspeed.mics_shard_size;
    const int n_local = training->ranks_per_node;

    if (!size_check("mics_shard_size", size, job->n_ranks, error))
        return FALSE;
    neighbours_add(job, "shard", size);
    replicas_add(job, size);
    if (!training->deepspeed.mics_hierarchical_params_gather)
        return TRUE;
    if (n_local == 0 || size <= n_local || size % n_local != 0)
        return fail(error, ERROR_INPUT,
                    "mics_hierarchical_params_gather: mics_shard_size must be the ranks of "
                    "several whole nodes of one size");
    peers_add(job, "shard_inter_node", size, n_local);
    neighbours_add(job, "shard_intra_node", n_local);
    return TRUE;
}

/* groups.py, _get_local_all_to_all_group; on one node gradients are reduce-scattered as ever.
 */
static gboolean all_to_all_add(Job *job, const Training *training, GError **error)
{
    const int n_local = training->ranks_per_node;

    if (n_local == 0)
        return fail(error, ERROR_INPUT,
                    "zero_quantized_gradients: needs nodes with equal numbers of GPUs");
    if (n_local >= job->n_ranks)
        return TRUE;
    neighbours_add(job, "local", n_local);
    peers_add(job, "global", job->n_ranks, n_local);
    return TRUE;
}

gboolean zero3_add_communicators(Job *job, const Training *training, GError **error)
{
    const DeepspeedKnobs *knobs = &training->deepspeed;

    if (!combination_check(knobs, error))
        return FALSE;
    if (knobs->mics_shard_size > 0 && !mics_add(job, training, error))
        return FALSE;
    if (knobs->hpz_partition_size > 1) {
        if (!size_check("zero_hpz_partition_size", knobs->hpz_partition_size, job->n_ranks,
                        error))
            return FALSE;
        neighbours_add(job, "secondary", (int)knobs->hpz_partition_size);
    }
    return !knobs->quantized_gradients || all_to_all_add(job, training, error);
}

/* The first step fetches each module's partitions joined, and the quantiser refuses what isn't
 * a multiple of 8 (CUDAQuantizer.quantize). */
static gboolean quantizes(const Model *model, const FetchModule *module, int n_ranks,
                          GError **error)
{
    gint64 numel = 0;

    for (guint i = 0; i < module->parameters->len; i++)
        numel += step_ceil_divide(
            model_parameter(model, g_array_index(module->parameters, int, i))->numel, n_ranks);
    if (numel % 8 == 0)
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "deepspeed.zero_optimization.zero_quantized_weights: DeepSpeed quantises "
                "multiples of 8 elements, and %s over %d ranks leaves %" G_GINT64_FORMAT,
                model_parameter(model, g_array_index(module->parameters, int, 0))->name,
                n_ranks, numel);
    return FALSE;
}

gboolean zero3_check(const Model *model, const Training *training, int n_ranks, GError **error)
{
    Coordinator coordinator = {0};
    gboolean passes = TRUE;

    if (n_ranks == 1)
        return TRUE;
    if (training->deepspeed.quantized_weights && training->precision.gather == DTYPE_FP32)
        return fail(error, ERROR_INPUT,
                    "zero_quantized_weights: DeepSpeed's quantiser reads 16-bit numbers: "
                    "enable fp16 or bf16");
    if (training->deepspeed.quantized_gradients && training->precision.reduce == DTYPE_FP32)
        return fail(error, ERROR_INPUT,
                    "zero_quantized_gradients: DeepSpeed's quantiser reads 16-bit numbers: "
                    "enable fp16 or bf16, and no fp32 communication_data_type");
    if (!training->deepspeed.quantized_weights)
        return TRUE;
    coordinator_modules_build(&coordinator, model, training);
    for (guint i = 0; i < coordinator.modules->len && passes; i++)
        passes = quantizes(model, g_ptr_array_index(coordinator.modules, i), n_ranks, error);
    coordinator_modules_clear(&coordinator);
    return passes;
}

int zero3_communicator(const Step *step, const char *name)
{
    for (int c = 0; c < (int)step->job->communicators->len; c++)
        if (strcmp(job_communicator(step->job, c)->name, name) == 0)
            return c;
    return -1;
}

int zero3_shards(const Step *step)
{
    return step->training->deepspeed.mics_shard_size > 0 ? 1 : 0;
}

int zero3_n_shards(const Step *step)
{
    return job_group_size(step->job, zero3_shards(step), step->rank);
}

gboolean zero3_has_secondary(const Step *step)
{
    return step->training->deepspeed.hpz_partition_size > 1;
}
