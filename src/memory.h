/* SPDX-License-Identifier: MIT */
/* Memory of a rank: a walk over the schedule in issue order, as PyTorch's caching allocator
 * sees it, so that it needs no simulated time. memory_allocator.c models the allocator's
 * segments for `reserved_bytes`. */
#pragma once

#include "schedule.h"
#include "timeline.h"

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
    gint64 peak_bytes;
    int peak_op; /* index of the op that reached it; -1: before the first */
    gint64 by_category_at_peak[N_MEMORY_CATEGORIES]; /* sums to peak_bytes */
    gint64 reserved_bytes; /* the allocator's segments, context and library buffers */
    gint64 capacity_bytes;
    gboolean fits;                 /* the allocator never ran out */
    gint64 start_bytes, end_bytes; /* equal in a steady step */
} Memory;

/* Blocks of MEMORY_FRAMEWORK bypass the caching allocator but count in reserved_bytes. The
 * schedule must be valid. */
Memory memory_compute(const Schedule *schedule, gint64 capacity_bytes);

/* When op `op` takes or gives back its memory: the end of the op issued last on its stream, in
 * issue order (never earlier than for the ops before it). -1: 0. */
double memory_time_s(const Schedule *schedule, const Timeline *timeline, int rank, int op);

/* Called at the start of the step (op NULL), then for each op that takes or gives back memory,
 * with what a category holds after it; times never decrease. */
typedef void (*MemoryVisit)(double time_s, const Op *op, const gint64 *by_category, void *data);
void memory_over_time(const Schedule *schedule, const Timeline *timeline, int rank,
                      MemoryVisit visit, void *data);

/* Memory over time as CSV (time_s, op, one column a category, total_bytes): the start of the
 * step, then a row for each op that takes or gives back memory; times never decrease. */
void memory_csv_write(const Schedule *schedule, const Timeline *timeline, int rank, FILE *out);

G_END_DECLS
