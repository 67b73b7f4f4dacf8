/* SPDX-License-Identifier: MIT */
/* What a step communicates: totals by collective and by class of link. */
#pragma once

#include "metrics_time.h"

G_BEGIN_DECLS

/* Payload times nccl-tests' busbw factor; 0 for one rank. */
double metrics_sent_bytes(const Schedule *schedule, int n_ranks);

/* CollectiveTotal, in order of first use; elements are freed with the array. */
GArray *metrics_collectives(const Schedule *schedule, int n_ranks, const CollectiveTimes *times,
                            const GArray *uses);

/* LinkClassTotal of the classes that carried bytes, in order of LinkClass. */
GArray *metrics_link_classes(const GArray *links, double step_time_s);

/* The class with the highest peak utilisation; NULL: none carried bytes. */
const LinkClassTotal *metrics_busiest_class(const GArray *totals);

/* One clause: what the step waits for and what carries it. */
char *metrics_reason(const Result *result);

G_END_DECLS
