/* SPDX-License-Identifier: MIT */
/* One simulated step as a timeline for viewers: which ranks to show, and what both formats
 * (Chrome's JSON, Paje) read of it. */
#pragma once

#include "sim.h"

#include <stdio.h>

G_BEGIN_DECLS

/* A rank that is shown, also for those that behave alike. */
typedef struct {
    int rank;
    int n_alike; /* itself included */
    char *label; /* "rank 0", "rank 0 and 7 alike" */
} TraceRank;

typedef struct {
    const char *title;
    const Cluster *cluster;
    const Job *job;
    const SimResult *sim;
    const NcclOptions *nccl;
    const Profile *profile;
    DType dtype;   /* of the matrix products */
    GArray *ranks; /* TraceRank */
} Trace;

/* What a rank's links carry while a collective runs, as parts of what they can. */
typedef struct {
    double nvlink_frac, nic_frac;
} TraceLinkUse;

/* Ranks to show. `list` is "0,8..15"; NULL: all, equal ones once. */
GArray *trace_ranks(const char *list, const Job *job, const Timeline *timeline, GError **error);
/* Whether the list can be read at all, before anything is simulated. */
gboolean trace_ranks_check(const char *list, GError **error);

/* [collective of the step * trace->ranks->len + shown rank]; owned by the caller. */
TraceLinkUse *trace_link_use(const Trace *trace);

/* The shown rank behind (step 1) or before (step -1) the shown-th one that takes part in the
 * op's collective with it; -1: none. */
int trace_partner(const Trace *trace, const Op *op, guint shown, int step);

/* "gemm bf16 batch=1 m=4096 n=4096 k=4096" */
char *trace_kernel_text(const Kernel *kernel);

/* Chrome's trace event format, which Perfetto reads too. */
void report_trace_write(const Trace *trace, FILE *out);
/* Paje, as ViTE and pajeng read it. */
void report_paje_write(const Trace *trace, FILE *out);

G_END_DECLS
