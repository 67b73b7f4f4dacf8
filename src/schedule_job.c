/* SPDX-License-Identifier: MIT */
/* The job: programs, the ranks that run them, and the groups in which ranks communicate. */
#include "schedule.h"

static void communicator_free(gpointer data)
{
    Communicator *communicator = data;
    g_free(communicator->name);
    g_free(communicator->group_of_rank);
    g_free(communicator->group_size);
    g_free(communicator);
}

Job *job_new(int n_ranks)
{
    Job *job = g_new0(Job, 1);
    job->n_ranks = n_ranks;
    job->programs = g_ptr_array_new_with_free_func((GDestroyNotify)schedule_free);
    job->program_of_rank = g_new0(int, n_ranks);
    job->communicators = g_ptr_array_new_with_free_func(communicator_free);
    job_add_communicator(job, "world", job->program_of_rank, 1);
    return job;
}

void job_free(Job *job)
{
    if (!job)
        return;
    g_ptr_array_unref(job->programs);
    g_ptr_array_unref(job->communicators);
    g_free(job->program_of_rank);
    g_free(job);
}

const Schedule *job_program(const Job *job, int rank)
{
    return g_ptr_array_index(job->programs, job->program_of_rank[rank]);
}

int job_add_communicator(Job *job, const char *name, const int *group_of_rank, int n_groups)
{
    Communicator *communicator = g_new(Communicator, 1);
    g_assert((int)job->communicators->len < MAX_COMMUNICATORS);
    communicator->name = g_strdup(name);
    communicator->group_of_rank = g_new(int, job->n_ranks);
    communicator->n_groups = n_groups;
    communicator->group_size = g_new0(int, n_groups);
    for (int r = 0; r < job->n_ranks; r++) {
        int group = communicator->group_of_rank[r] = group_of_rank[r];
        g_assert(group >= 0 && group < n_groups);
        communicator->group_size[group]++;
    }
    for (int group = 0; group < n_groups; group++)
        g_assert(communicator->group_size[group] > 0);
    g_ptr_array_add(job->communicators, communicator);
    return (int)job->communicators->len - 1;
}

const Communicator *job_communicator(const Job *job, int communicator)
{
    g_assert(communicator >= 0 && communicator < (int)job->communicators->len);
    return g_ptr_array_index(job->communicators, communicator);
}

int job_group_size(const Job *job, int communicator, int rank)
{
    const Communicator *groups = job_communicator(job, communicator);
    return groups->group_size[groups->group_of_rank[rank]];
}

int *job_group_members(const Job *job, int communicator, int group, int *n_members)
{
    const Communicator *groups = job_communicator(job, communicator);
    int *members = g_new(int, groups->group_size[group]);
    *n_members = 0;
    for (int r = 0; r < job->n_ranks; r++)
        if (groups->group_of_rank[r] == group)
            members[(*n_members)++] = r;
    return members;
}
