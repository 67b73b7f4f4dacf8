/* SPDX-License-Identifier: MIT */
/* How long a collective takes by itself: NCCL's choice and prediction, what a calibration makes
 * of it, and that neither fewer bytes nor fewer nodes take longer. Private to collective*.c. */
#pragma once

#include "collective_tuner.h"

G_BEGIN_DECLS

/* What plans of one communicator are made from; borrows all. */
typedef struct {
    const Cluster *cluster;
    const Comm *comm;
    CommGraphs graphs;
    const NcclOptions *options; /* NULL: none */
    const int *scores;          /* of the options' calibrations */
} Planner;

/* To be freed. */
int *timing_scores(const Cluster *cluster, const Comm *comm, const NcclOptions *options);

typedef struct {
    TunerChoice choice;
    NcclPrediction model;
    double latency_s, flow_s;
    gboolean fitted;
} Timing;

Timing timing_compute(const Planner *planner, const CollectiveCall *call);

/* The longest that fewer bytes or fewer nodes take, where a calibration holds; 0: none does. */
double timing_least_s(const Planner *planner, const CollectiveCall *call);

G_END_DECLS
