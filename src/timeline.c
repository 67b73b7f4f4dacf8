/* SPDX-License-Identifier: MIT */
/* The arrays of a timeline, in memory that a forked simulation shares with its parent. Filling
 * them is sim_replay.c's work. */
#include "timeline.h"

#include <sys/mman.h>

static size_t times_bytes(const Timeline *timeline)
{
    return sizeof(double) * (size_t)MAX(1, timeline->first[timeline->n_ranks]);
}

static double *times_new(const Timeline *timeline)
{
    void *times = mmap(NULL, times_bytes(timeline), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (times == MAP_FAILED)
        g_error("no memory for a timeline of %zu bytes", times_bytes(timeline));
    return times;
}

Timeline *timeline_new(const Job *job)
{
    Timeline *timeline = g_new0(Timeline, 1);
    timeline->n_ranks = job->n_ranks;
    timeline->first = g_new(int, job->n_ranks + 1);
    timeline->first[0] = 0;
    for (int rank = 0; rank < job->n_ranks; rank++)
        timeline->first[rank + 1] =
            timeline->first[rank] + schedule_n_ops(job_program(job, rank));
    timeline->start_s = times_new(timeline);
    timeline->end_s = times_new(timeline);
    return timeline;
}

void timeline_free(Timeline *timeline)
{
    if (!timeline)
        return;
    munmap(timeline->start_s, times_bytes(timeline));
    munmap(timeline->end_s, times_bytes(timeline));
    g_free(timeline->first);
    g_free(timeline);
}

double timeline_start_s(const Timeline *timeline, int rank, int op)
{
    return timeline->start_s[timeline->first[rank] + op];
}

double timeline_end_s(const Timeline *timeline, int rank, int op)
{
    return timeline->end_s[timeline->first[rank] + op];
}

int timeline_last_rank(const Timeline *timeline)
{
    int last = 0;
    double last_s = -G_MAXDOUBLE;
    for (int rank = 0; rank < timeline->n_ranks; rank++)
        for (int op = timeline->first[rank]; op < timeline->first[rank + 1]; op++)
            if (timeline->end_s[op] > last_s) {
                last = rank;
                last_s = timeline->end_s[op];
            }
    return last;
}
