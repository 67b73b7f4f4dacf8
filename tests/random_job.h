/* SPDX-License-Identifier: MIT */
/* Jobs of random kernels, collectives, waits and host waits, the same for the same seed. */
#pragma once

#include "sim_fixture.h"

/* Random streams of work; programs of equal collectives differ in their kernels. */
static G_GNUC_UNUSED Schedule *random_schedule(guint32 collectives_seed, guint32 kernels_seed,
                                               int first_communicator, int n_communicators)
{
    g_autoptr(GRand) shared = g_rand_new_with_seed(collectives_seed);
    g_autoptr(GRand) own = g_rand_new_with_seed(kernels_seed);
    Schedule *schedule = schedule_new();
    schedule->host_collective_s = 1e-5;
    for (int i = 0; i < 30; i++) {
        int communicator = g_rand_int_range(shared, first_communicator, n_communicators);
        Stream stream = (Stream)g_rand_int_range(shared, 0, STREAM_NCCL);
        gint64 bytes = (gint64)1 << g_rand_int_range(shared, 10, 28);
        CollectiveKind kind = (CollectiveKind)g_rand_int_range(shared, 0, 3);
        compute(schedule, stream, g_rand_double_range(own, 0, 1e-3));
        if (g_rand_boolean(shared))
            schedule_wait_stream(schedule, stream_of_communicator(communicator), stream);
        int op = schedule_collective_on(schedule, communicator, PHASE_BACKWARD, "collective",
                                        kind, bytes, 0);
        if (g_rand_boolean(shared))
            schedule_wait(schedule, STREAM_COMPUTE, op);
        if (g_rand_int_range(shared, 0, 5) == 0)
            schedule_host_wait(schedule, op);
        compute(schedule, STREAM_COMPUTE, g_rand_double_range(own, 0, 1e-3));
    }
    schedule_synchronize(schedule);
    compute(schedule, STREAM_COMPUTE, 1e-3);
    return schedule;
}

/* Of communicators of which the first is the world, then nodes, then ranks across them. */
static G_GNUC_UNUSED Job *random_job(guint32 seed, int n_ranks, int first_communicator,
                                     int n_communicators)
{
    Job *job =
        job_of(random_schedule(seed, seed, first_communicator, n_communicators), n_ranks);
    g_autofree int *groups = g_new(int, n_ranks);
    g_ptr_array_add(job->programs,
                    random_schedule(seed, seed + 1, first_communicator, n_communicators));
    for (int r = 0; r < n_ranks; r++)
        job->program_of_rank[r] = seed % 2 && r % 5 == 0;
    for (int c = 1; c < n_communicators; c++) {
        for (int r = 0; r < n_ranks; r++)
            groups[r] = c == 1 ? r / 8 : r % 8;
        job_add_communicator(job, c == 1 ? "shard" : "replicate", groups,
                             c == 1 ? n_ranks / 8 : 8);
    }
    return job;
}
