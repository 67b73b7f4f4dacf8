/* SPDX-License-Identifier: MIT */
/* The arrays of a timeline, in memory that a forked simulation shares with its parent. Filling
 * them is sim_replay.c's work. */
#include "timeline.h"

#include "error.h"

#include <sys/mman.h>

static size_t times_bytes(const Timeline *timeline)
{
    return sizeof(double) * (size_t)MAX(1, timeline->n_allocated);
}

/* NULL: no memory. */
static double *times_new(const Timeline *timeline)
{
    void *times = mmap(NULL, times_bytes(timeline), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return times == MAP_FAILED ? NULL : times;
}

Timeline *timeline_new(const Job *job, GError **error)
{
    g_autoptr(Timeline) timeline = g_new0(Timeline, 1);
    timeline->n_ranks = job->n_ranks;
    timeline->n_ops = g_new(int, job->n_ranks);
    timeline->first = g_new(gint64, job->n_ranks);
    for (int rank = 0; rank < job->n_ranks; rank++) {
        timeline->n_ops[rank] = schedule_n_ops(job_program(job, rank));
        timeline->first[rank] = timeline->n_times;
        timeline->n_times += timeline->n_ops[rank];
    }
    timeline->n_allocated = timeline->n_times;
    timeline->start_s = times_new(timeline);
    timeline->end_s = times_new(timeline);
    if (timeline->start_s && timeline->end_s)
        return g_steal_pointer(&timeline);
    g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION,
                "no memory for a timeline of %" G_GINT64_FORMAT " ops (%.1f GiB)",
                timeline->n_times, 2.0 * (double)times_bytes(timeline) / (1 << 30));
    return NULL;
}

void timeline_share(Timeline *timeline, const int *class_of_rank)
{
    g_autofree gint64 *first_of_class = g_new(gint64, timeline->n_ranks);
    int n_classes = 0;
    timeline->n_times = 0;
    for (int rank = 0; rank < timeline->n_ranks; rank++) {
        int class = class_of_rank[rank];
        g_assert(class <= n_classes);
        if (class == n_classes) {
            first_of_class[n_classes++] = timeline->n_times;
            timeline->n_times += timeline->n_ops[rank];
        }
        timeline->first[rank] = first_of_class[class];
    }
}

void timeline_free(Timeline *timeline)
{
    if (!timeline)
        return;
    if (timeline->start_s)
        munmap(timeline->start_s, times_bytes(timeline));
    if (timeline->end_s)
        munmap(timeline->end_s, times_bytes(timeline));
    g_free(timeline->n_ops);
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
    gint64 seen = 0; /* times of lower ranks */
    for (int rank = 0; rank < timeline->n_ranks; rank++) {
        gint64 first = timeline->first[rank];
        for (gint64 i = MAX(first, seen); i < first + timeline->n_ops[rank]; i++) {
            seen = i + 1;
            if (timeline->end_s[i] > last_s) {
                last = rank;
                last_s = timeline->end_s[i];
            }
        }
    }
    return last;
}
