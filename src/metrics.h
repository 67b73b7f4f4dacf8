/* SPDX-License-Identifier: MIT */
/* What a simulated step means: step time and where it goes, communication, memory, MFU. All of
 * it is read from schedule, timeline and memory; report_json.c says how it is called outside.
 */
#pragma once

#include "explain.h"
#include "memory.h"
#include "metrics_expected.h"
#include "sim.h"
#include "training.h"

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
    CollectiveKind kind;
    Phase phase;
    char *group; /* "world" */
    int count;
    gint64 payload_bytes;       /* all of them together, a rank */
    double sent_bytes_per_rank; /* payload times busbw factor, whatever the algorithm */
    double busy_s, exposed_s;   /* on the rank that finishes last */
    char *algorithm;            /* "Ring Simple"; several: joined by "," */
} CollectiveTotal;

typedef struct {
    LinkClass link_class;
    double bytes;
    char *busiest_link;
    double peak_utilisation_frac, mean_utilisation_frac; /* of the busiest; over the step */
} LinkClassTotal;

typedef struct {
    double forward, backward, update, exposed_comm, idle;
} TimeSplit;

/* One experiment and its outcome. */
typedef struct {
    json_t *inputs; /* resolved experiment, SHA-256 of files, versions */
    char *label;    /* what a person calls the row: "ZeRO-2" */
    char *model_name, *cluster_name, *gpu_name;
    Training training;
    int n_ranks;
    gint64 n_parameters;
    GPtrArray *warnings;
    double step_time_s, tokens_per_s_per_gpu, model_flops_per_step, mfu_frac, hfu_frac;
    TimeSplit time_split_s;
    double sent_bytes_per_rank;
    GArray *collectives;  /* CollectiveTotal */
    GArray *link_classes; /* LinkClassTotal */
    Memory memory;
    double peak_at_s;
    char *peak_label;
    gint64 model_state_bytes;
    double kernel_source_frac[N_TIME_SOURCES];
    double kernel_class_s[N_KERNEL_CLASSES]; /* of the first program: alone, without gaps */
    double comm_fitted_frac, comm_modelled_frac;
    SimOverlap overlap;
    ExpectedError expected_error;
    double usd_per_gpu_hour;  /* 0: unknown; left to the caller */
    char *reason;             /* one clause: what the step waits for, on which link class */
    char *path_summary;       /* of a comparison, one clause: the critical path; else NULL */
    Explanation *explanation; /* NULL: nobody asked */
} Result;

/* Leaves inputs and warnings empty: they are the caller's to fill. */
Result *metrics_compute(const Model *model, const Training *training, const Profile *profile,
                        const Cluster *cluster, const Job *job, const SimResult *sim);

/* Memory of the rank with the highest peak, which goes to *rank. `fits` is of all ranks. */
Memory metrics_memory(const Job *job, const Cluster *cluster, const Profile *profile,
                      int *rank);

void result_free(Result *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Result, result_free)

G_END_DECLS
