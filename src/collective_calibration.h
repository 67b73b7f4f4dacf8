/* SPDX-License-Identifier: MIT */
/* What measurements say beyond NCCL's model: a few constants of a system, each with a physical
 * meaning, and the collectives they hold for. Reading them from files is nccl_calibration.c's
 * work, finding them nccl_fit.c's. */
#pragma once

#include "collective.h"

G_BEGIN_DECLS

/* The constants of one system, or of any; platforms/nccl/README.md has the formulas. */
struct _NcclCalibration {
    char *name;
    double launch_s;                /* the kernel's launch and end, as a stream sees them */
    double hop_frac[N_GENERATIONS]; /* of NCCL's latency of hops within nodes */
    double net_trips;  /* ways through the network that a hop between nodes takes */
    double fill_bytes; /* payload at which the pipelines of rings and trees are half full */
    double own_frac;   /* what a rank's own share, which passes no link, takes beside others' */
    double loop_s; /* a turn of NVSwitches' blocks, and the bytes a second that each moves */
    double block_bytes_per_s;
    gboolean has[N_ALGORITHMS];
    double bandwidth_frac[N_ALGORITHMS];
    double fill_s[N_ALGORITHMS];     /* filling the pipelines of rings and trees */
    double fill_loops[N_ALGORITHMS]; /* turns that filling those of NVSwitches takes */
    /* Which communicators: GPUs' names begin with one of these (NULL: any), so many nodes, NICs
     * of such rate; of platforms, if any are named. */
    char **gpus, **platforms;
    GHashTable *rows; /* id of a row that was fitted → double *, its error when held out */
    int min_nodes, max_nodes;
    double min_nic_bytes_per_s, max_nic_bytes_per_s; /* 0 and 0: any */
    gboolean forced;                                 /* asked for by name: holds for all */
};

void nccl_calibration_free(NcclCalibration *calibration);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NcclCalibration, nccl_calibration_free)

/* How well each candidate (NcclCalibration *; NULL: none) fits these members, 0: not at all. To
 * be freed. */
int *nccl_calibration_scores(const GPtrArray *candidates, const Cluster *cluster,
                             const int *members, int n_members);
/* What candidates of such scores say: the constants of the system from the one that fits best,
 * those of the algorithm from the best that has it. Their has[algorithm]: the best one has it
 * and is not of any system. FALSE: none holds. The terms own nothing. */
gboolean nccl_calibration_choose(const GPtrArray *candidates, const int *scores,
                                 Algorithm algorithm, NcclCalibration *terms);

/* Whether constants that hold for such a plan were fitted on this row. *held_out_frac: how far
 * off a fit is that hasn't seen it. */
gboolean nccl_calibration_saw(const GPtrArray *candidates, const Cluster *cluster,
                              const int *members, int n_members, Algorithm algorithm,
                              const char *row_id, double *held_out_frac);

/* The calibrated latency and time of flows. */
void nccl_calibration_apply(const NcclCalibration *calibration, const NcclPrediction *model,
                            double *latency_s, double *flow_s);

G_END_DECLS
