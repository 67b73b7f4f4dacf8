/* SPDX-License-Identifier: MIT */
/* Where the time of one rank's step goes: each instant belongs to one class. */
#pragma once

#include "metrics.h"

G_BEGIN_DECLS

/* Time of each collective op, 0 for other ops; n_ops entries. */
typedef struct {
    double *busy_s;    /* in flight on this rank */
    double *exposed_s; /* of that, while no kernel ran on the compute stream */
} CollectiveTimes;

/* Classes sum to the step. Fills `times`, whose arrays the caller frees. */
TimeSplit metrics_time_split(const Schedule *schedule, const Timeline *timeline, int rank,
                             CollectiveTimes *times);

G_END_DECLS
