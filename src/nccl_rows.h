/* SPDX-License-Identifier: MIT */
/* Measured collectives, from nccl-tests' output or a CSV table. */
#pragma once

#include "cluster.h"
#include "collective.h"

G_BEGIN_DECLS

#define NCCL_ROWS_MAX 1000000

typedef struct {
    char *id;     /* in its table; NULL: none */
    char *group;  /* rows of one run: what fits leave out together */
    char *source; /* who measured; of a log, its file */
    char *gpu;    /* as a log names it: "NVIDIA H100 80GB HBM3"; NULL or "": not said */
    CollectiveKind kind;
    gint64 bytes; /* as CollectiveCall.payload_bytes */
    double time_s;
    int n_gpus, gpus_per_node; /* 0: not said */
    double nic_bytes_per_s;    /* a GPU's share of its node's NICs; 0: not said */
    int algorithm;             /* -1: NCCL's choice */
    int version;               /* of NCCL, as NcclOptions.version */
    gboolean averages;
    char *platform;       /* node type; NULL: as the others' */
    double program_s;     /* of time_s, what the program takes that measured it */
    NcclPrediction model; /* by nccl_rows_plan() */
} NcclRow;

/* An empty list of rows, freed with what they own. */
GArray *nccl_rows_new(void);

/* Appends what the file holds: nccl-tests' output as printed (both in-place columns), or a
 * table whose first line names its columns. The kind of a log's collective is `kind`, or with
 * N_COLLECTIVES what the log says of itself. */
gboolean nccl_log_read(const char *file, CollectiveKind kind, GArray *rows, GError **error);
gboolean nccl_csv_read(const char *file, GArray *rows, GError **error);

/* Fills in NCCL's prediction on nodes of this type; of rows that name their own, on those. */
gboolean nccl_rows_plan(GArray *rows, const NodeType *node, GError **error);

/* A cluster of a node type for the tuner alone: it has no platform file. nic_bytes_per_s 0: the
 * type's. */
Cluster *nccl_rows_cluster(const NodeType *node, int n_nodes, int gpus_per_node,
                           double nic_bytes_per_s);

G_END_DECLS
