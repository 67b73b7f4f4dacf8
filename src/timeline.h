/* SPDX-License-Identifier: MIT */
/* Start and end of every op of every rank in the steady step, as plain arrays. */
#pragma once

#include "schedule.h"

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
    int n_ranks;
    int *n_ops; /* by rank */
    gint64
        *first; /* by rank: offset of its op 0 in the arrays; ranks that ran alike share it */
    gint64 n_times, n_allocated;
    double *start_s; /* 0: the previous step's last optimizer end over all ranks */
    double *end_s;
    double step_time_s; /* from there to this step's last optimizer end */
} Timeline;

/* Arrays in shared anonymous memory, so that a forked simulation fills them; what nobody writes
 * takes none. ERROR_SIMULATION: no memory. */
Timeline *timeline_new(const Job *job, GError **error);
/* Lets ranks of one class share their times; classes are numbered by their lowest ranks. */
void timeline_share(Timeline *timeline, const int *class_of_rank);
void timeline_free(Timeline *timeline);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Timeline, timeline_free)

double timeline_start_s(const Timeline *timeline, int rank, int op);
double timeline_end_s(const Timeline *timeline, int rank, int op);
/* The rank whose last op ends last; the lowest of equals. */
int timeline_last_rank(const Timeline *timeline);

G_END_DECLS
