/* SPDX-License-Identifier: MIT */
/* The flows of NCCL's rings (connect.cc connectRings). A ring is fluid here: each link carries
 * its share of all steps at once, as a pipeline of many chunks does. */
#include "collective_flows.h"

typedef struct {
    FlowSet *set;
    const Comm *comm;
    int root;              /* index among members; -1: every link carries the same */
    gboolean towards_root; /* reduce: nothing leaves the root; broadcast: nothing enters it */
    double link_bytes;     /* of one channel */
} Rings;

/* A broadcast's pipeline ends before the root, a reduction's starts behind it. */
static gboolean link_is_cut(const Rings *rings, int from, int to)
{
    return rings->root >= 0 && (rings->towards_root ? from : to) == rings->root;
}

/* One channel on one node: it enters behind the member it leaves by, and visits all. */
static void channel_walk_node(const Rings *rings, int index, int channel)
{
    const Comm *comm = rings->comm;
    const NodeMembers *node = comm_node(comm, index);
    const int *order = comm_order(node, channel);
    gboolean alone = comm->n_nodes == 1;
    int exit = alone ? -1 : comm_exit(node, channel);
    for (int i = 0; i < node->n; i++) {
        int from = node->first + order[i], to = node->first + order[(i + 1) % node->n];
        if (i != exit && !link_is_cut(rings, from, to))
            flow_set_add(rings->set, comm->members[from], comm->members[to], FALSE,
                         rings->link_bytes);
    }
    if (alone)
        return;
    const NodeMembers *next = comm_node(comm, (index + 1) % comm->n_nodes);
    int entry = comm_order(next, channel)[(comm_exit(next, channel) + 1) % next->n];
    if (!link_is_cut(rings, node->first + order[exit], next->first + entry))
        flow_set_add(rings->set, comm_nic_rank(comm, node, order[exit]),
                     comm_rail_rank(comm, next, node->nic[order[exit]]), TRUE,
                     rings->link_bytes);
}

static int member_index(const Comm *comm, int rank)
{
    for (int i = 0; i < comm->n_ranks; i++)
        if (comm->members[i] == rank)
            return i;
    g_assert_not_reached();
}

void flows_of_ring(FlowSet *set, const Comm *comm, const CollectiveCall *call, int channels,
                   double bytes)
{
    gboolean rooted = call->kind == COLLECTIVE_BROADCAST || call->kind == COLLECTIVE_REDUCE;
    const Rings rings = {
        .set = set,
        .comm = comm,
        .root = rooted ? member_index(comm, call->root) : -1,
        .towards_root = call->kind == COLLECTIVE_REDUCE,
        .link_bytes = bytes * collective_busbw_factor(call->kind, comm->n_ranks) / channels,
    };
    for (int node = 0; node < comm->n_nodes; node++)
        for (int channel = 0; channel < channels; channel++)
            channel_walk_node(&rings, node, channel);
}
