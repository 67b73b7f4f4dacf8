/* SPDX-License-Identifier: MIT */
/* Ranks that provably behave alike, of which one is simulated. Private to sim_*.c. */
#pragma once

#include "schedule.h"

G_BEGIN_DECLS

typedef struct {
    int n_classes;
    int *class_of_rank; /* classes are numbered by their lowest rank */
    int *leader;        /* by class: that rank */
} SimFold;

/* Ranks that run one program at one speed in the same groups see every collective begin and end
 * together, so that by induction over their ops they do the same at the same time. `whole`:
 * each rank is a class of its own. */
SimFold *sim_fold_new(const Cluster *cluster, const Job *job, gboolean whole);
void sim_fold_free(SimFold *fold);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SimFold, sim_fold_free)

/* Whether the platform's file lets speeds or bandwidths change while time passes, by profiles
 * that SimGrid reads: then nothing repeats itself. */
gboolean sim_fold_platform_varies(const Cluster *cluster);

G_END_DECLS
