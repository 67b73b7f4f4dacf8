/* SPDX-License-Identifier: MIT */
/* The arithmetic of batch sizes: global = micro-batch x accumulation x ranks. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define BATCH_MAX 1048576
/* Every micro-step is simulated, so this bounds time and memory. */
#define ACCUMULATION_MAX 4096

/* 0: not given. */
typedef struct {
    gint64 micro_batch, accumulation, global_batch;
} Batch;

/* How the place that gives the sizes calls them; messages start with `place`. */
typedef struct {
    const char *place, *micro_batch, *accumulation, *global_batch;
} BatchNames;

/* Completes `given` into `batch`, which holds what was resolved before (or zeros): what is
 * given stands, the rest is derived or stays. Errors: sizes that disagree or leave a remainder;
 * the message states the arithmetic. */
gboolean batch_resolve(Batch *batch, const Batch *given, int n_ranks, const BatchNames *names,
                       GError **error);

G_END_DECLS
