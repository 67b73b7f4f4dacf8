/* SPDX-License-Identifier: MIT */
/* What a step communicates: totals by collective and by class of link. */
#pragma once

#include "metrics_time.h"

G_BEGIN_DECLS

/* Payload times nccl-tests' busbw factor of the collective's group, 0 for a group of one; the
 * largest sum over ranks. */
double metrics_sent_bytes(const Job *job);

/* CollectiveTotal of a rank, in order of first use; elements are freed with the array. */
GArray *metrics_collectives(const Job *job, int rank, const CollectiveTimes *times,
                            const GArray *uses);

/* Share of the time of the rank's collectives that a calibration's constants gave; 1 - that is
 * NCCL's own model. */
double metrics_fitted_frac(const Schedule *schedule, const CollectiveTimes *times,
                           const GArray *uses);

/* LinkClassTotal of the classes that carried bytes, in order of LinkClass. */
GArray *metrics_link_classes(const GArray *links, double step_time_s);

/* The class with the highest peak utilisation; NULL: none carried bytes. */
const LinkClassTotal *metrics_busiest_class(const GArray *totals);

/* One clause: what the step waits for and what carries it. */
char *metrics_reason(const Result *result);

G_END_DECLS
