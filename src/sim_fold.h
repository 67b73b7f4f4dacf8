/* SPDX-License-Identifier: MIT */
/* Ranks and groups that provably behave alike, of which one is simulated. Private to sim_*.c.
 */
#pragma once

#include "sim_replay.h"

G_BEGIN_DECLS

typedef struct {
    int n_classes;
    int *class_of_rank;          /* classes are numbered by their lowest rank */
    int *leader;                 /* by class: that rank */
    guint *like;                 /* by group: the first one that behaves as it does */
    GPtrArray *classes_of_group; /* GArray of int, by group: its members', each once */
} SimFold;

/* Two groups are alike that take the same times for their collectives and have members of the
 * same classes; two ranks are that run one program at one speed in groups that are alike. The
 * coarsest such partition: by induction over their ops all of a class do the same at the same
 * time, since a collective begins when the last of its members' classes is there. behaviours:
 * by group of the replay, what its times depend on (NULL: like no other). */
SimFold *sim_fold_new(const SimReplay *replay, const GPtrArray *behaviours);
void sim_fold_free(SimFold *fold);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SimFold, sim_fold_free)

/* Names of the hosts and links whose speed or bandwidth changes while time passes, by profiles
 * that SimGrid reads: what depends on them doesn't repeat itself. NULL: it may be any. An error
 * where latencies change or something fails. */
gboolean sim_fold_varying(const Cluster *cluster, GHashTable **found, GError **error);

G_END_DECLS
