/* SPDX-License-Identifier: MIT */
/* Collects a collective's flows, one for each pair of ends, and finds the ceilings under which
 * they end in time. And the patterns of each algorithm. Private to collective*.c. */
#pragma once

#include "collective_comm.h"

G_BEGIN_DECLS

typedef struct {
    GArray *flows;     /* Flow, in order of first use */
    GHashTable *index; /* Flow * (owned) → index + 1 */
} FlowSet;

FlowSet *flow_set_new(void);
/* Leaves the flows to the caller. */
GArray *flow_set_free(FlowSet *set);
/* Adds bytes between two ranks; none are added to self or for 0 bytes. */
void flow_set_add(FlowSet *set, int from, int to, gboolean between_nodes, double wire_bytes);

/* Seconds until the last flow of the kind has ended when each host passes one byte a second in
 * each direction and flows share hosts by max-min fairness; 0: there is none. */
double flows_makespan(const GArray *flows, gboolean between_nodes);

/* The patterns. `bytes` is the payload on the wire, `channels` the search graph's. */
void flows_of_ring(FlowSet *set, const Comm *comm, const CollectiveCall *call, int channels,
                   double bytes);
void flows_of_tree(FlowSet *set, const Comm *comm, int channels, double bytes);
/* NVLS inside the nodes; between them, double trees of the heads or, with switches that
 * reduce, each head's share up and down. */
void flows_of_nvls(FlowSet *set, const Comm *comm, CollectiveKind kind, gboolean trees,
                   double bytes);
void flows_of_collnet(FlowSet *set, const Comm *comm, CollectiveKind kind, gboolean chain,
                      int channels, double bytes);
void flows_of_pat(FlowSet *set, const Comm *comm, gboolean gathers, double bytes);
void flows_of_all_to_all(FlowSet *set, const Comm *comm, double bytes);
/* Each member to the next, the last to the first. */
void flows_of_shift(FlowSet *set, const Comm *comm, double bytes);

/* The parent of `node` in NCCL's trees over nodes (trees.cc), -1: the root. The second tree
 * mirrors the first, or shifts it where the number of nodes is odd. */
int tree_parent(int n_nodes, int node, gboolean second);

G_END_DECLS
