/* SPDX-License-Identifier: MIT */
/* The groups of ranks that ZeRO-3 shards within: all of them, the groups of MiCS
 * (deepspeed/runtime/zero/mics.py), or for the backward of hpZ those of the secondary partition
 * (ZeRO++, partition_parameters.py). */
#include "step_deepspeed3.h"

#include "error.h"

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

gboolean zero3_add_communicators(Job *job, const Training *training, GError **error)
{
    const DeepspeedKnobs *knobs = &training->deepspeed;

    if (knobs->mics_shard_size > 0 && knobs->hpz_partition_size > 1) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                    "deepspeed.zero_optimization: mics_shard_size together with "
                    "zero_hpz_partition_size is not modelled: say one of them");
        return FALSE;
    }
    if (knobs->mics_shard_size > 0) {
        if (!size_check("mics_shard_size", knobs->mics_shard_size, job->n_ranks, error))
            return FALSE;
        neighbours_add(job, "shard", (int)knobs->mics_shard_size);
        replicas_add(job, (int)knobs->mics_shard_size);
    }
    if (knobs->hpz_partition_size > 1) {
        if (!size_check("zero_hpz_partition_size", knobs->hpz_partition_size, job->n_ranks,
                        error))
            return FALSE;
        neighbours_add(job, "secondary", (int)knobs->hpz_partition_size);
    }
    return TRUE;
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
