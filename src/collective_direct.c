/* SPDX-License-Identifier: MIT */
/* Collectives whose ranks send to many others themselves: PAT, all-to-all, and a shift by one
 * rank. Between nodes NCCL moves data over NVLink to the GPU beside the receiver's rail first
 * (PXN), so that it stays on one leaf. */
#include "collective_flows.h"

static int node_of(const Comm *comm, int member)
{
    for (int i = 0; i < comm->n_nodes; i++) {
        const NodeMembers *node = comm_node(comm, i);
        if (member < node->first + node->n)
            return i;
    }
    g_assert_not_reached();
}

/* `to` needs `bytes` of `from`, by index among members. */
static void message_add(FlowSet *set, const Comm *comm, int from, int to, double bytes)
{
    int from_index = node_of(comm, from), to_index = node_of(comm, to);
    const NodeMembers *here = comm_node(comm, from_index), *there = comm_node(comm, to_index);
    if (from_index == to_index) {
        flow_set_add(set, comm->members[from], comm->members[to], FALSE, bytes);
        return;
    }
    int nic = there->nic[to - there->first];
    gboolean crosses = comm->nvlink_bytes_per_s > 0 && nic < here->n_nics;
    int proxy = crosses ? comm_rail_rank(comm, here, nic) : comm->members[from];
    gboolean beside = here->nic[from - here->first] == nic;
    if (!beside)
        flow_set_add(set, comm->members[from], proxy, FALSE, bytes);
    int out = crosses ? proxy : comm_nic_rank(comm, here, from - here->first);
    flow_set_add(set, out, comm_nic_rank(comm, there, to - there->first), TRUE, bytes);
}

/* Jeaugey 2025, "PAT: a new algorithm for all-gather and reduce-scatter": Bruck's exchange with
 * the far dimension first. Rank x of a chunk's tree passes it on over distance d when x is a
 * multiple of 2d. */
void flows_of_pat(FlowSet *set, const Comm *comm, gboolean gathers, double bytes)
{
    int n = comm->n_ranks;
    for (int distance = 1; distance < n; distance *= 2) {
        int n_chunks = (n - distance + 2 * distance - 1) / (2 * distance);
        for (int from = 0; from < n; from++) {
            int to = (from + (gathers ? distance : n - distance)) % n;
            message_add(set, comm, from, to, bytes / n * n_chunks);
        }
    }
}

void flows_of_all_to_all(FlowSet *set, const Comm *comm, double bytes)
{
    for (int from = 0; from < comm->n_ranks; from++)
        for (int step = 1; step < comm->n_ranks; step++)
            message_add(set, comm, from, (from + step) % comm->n_ranks, bytes / comm->n_ranks);
}

void flows_of_shift(FlowSet *set, const Comm *comm, double bytes)
{
    for (int from = 0; from < comm->n_ranks; from++)
        message_add(set, comm, from, (from + 1) % comm->n_ranks, bytes);
}
