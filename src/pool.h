/* SPDX-License-Identifier: MIT */
/* Jobs in forked children, several at a time: a process can simulate once, and a crash must
 * cost one result alone. */
#pragma once

#include <glib.h>
#include <stdio.h>

G_BEGIN_DECLS

typedef struct {
    /* In a child: writes the job's outcome to `out`. */
    gboolean (*run)(int job, FILE *out, void *data, GError **error);
    /* In the parent, in the order in which jobs end: `text` is what was written, NULL when the
     * job failed for the reason in `failure`. FALSE stops the pool. */
    gboolean (*ended)(int job, const char *text, const GError *failure, void *data,
                      GError **error);
    void *data;
} PoolWork;

/* Runs jobs 0 to n_jobs - 1, at most n_workers at a time. Errors are those of `ended`; children
 * that still run are then killed. Call before anything starts threads. */
gboolean pool_run(int n_jobs, int n_workers, const PoolWork *work, GError **error);

G_END_DECLS
