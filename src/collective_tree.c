/* SPDX-License-Identifier: MIT */
/* The flows of NCCL's double binary tree: a chain inside each node, which starts at the GPU
 * beside the channel's NIC, and two trees over the nodes that carry half of the channel each
 * (trees.cc, connect.cc connectTrees). Sanders et al. 2009, "Two-tree algorithms for full
 * bandwidth broadcast, reduction and scan". */
#include "collective_flows.h"

/* trees.cc ncclGetBtree. */
static int btree_parent(int n, int node)
{
    int bit = 1;
    if (node == 0)
        return -1;
    while (!(bit & node))
        bit <<= 1;
    int parent = (node ^ bit) | (bit << 1);
    return parent >= n ? node ^ bit : parent;
}

/* trees.cc ncclGetDtree. */
int tree_parent(int n_nodes, int node, gboolean second)
{
    if (!second)
        return btree_parent(n_nodes, node);
    if (n_nodes % 2 == 0) {
        int parent = btree_parent(n_nodes, n_nodes - 1 - node);
        return parent < 0 ? -1 : n_nodes - 1 - parent;
    }
    int parent = btree_parent(n_nodes, (node - 1 + n_nodes) % n_nodes);
    return parent < 0 ? -1 : (parent + 1) % n_nodes;
}

/* Up the tree to be reduced and down again; `bytes` each way of the edge to the parent. */
static void edge_add(FlowSet *set, const Comm *comm, int node, int channel, gboolean second,
                     double bytes)
{
    int parent = tree_parent(comm->n_nodes, node, second);
    if (parent < 0)
        return;
    const NodeMembers *child = comm_node(comm, node), *up = comm_node(comm, parent);
    int here =
        comm_nic_rank(comm, child, comm_order(child, channel)[comm_exit(child, channel)]);
    int there = comm_nic_rank(comm, up, comm_order(up, channel)[comm_exit(up, channel)]);
    flow_set_add(set, here, there, TRUE, bytes);
    flow_set_add(set, there, here, TRUE, bytes);
}

static void chain_add(FlowSet *set, const Comm *comm, int node_index, int channel, double bytes)
{
    const NodeMembers *node = comm_node(comm, node_index);
    const int *order = comm_order(node, channel);
    int head = comm->n_nodes > 1 ? comm_exit(node, channel) : 0;
    for (int i = 0; i < node->n - 1; i++) {
        int near = comm->members[node->first + order[(head + i) % node->n]];
        int far = comm->members[node->first + order[(head + i + 1) % node->n]];
        flow_set_add(set, far, near, FALSE, bytes);
        flow_set_add(set, near, far, FALSE, bytes);
    }
}

/* The trees of all channels over the nodes. */
static void trees_add(FlowSet *set, const Comm *comm, int channels, double bytes)
{
    for (int node = 0; node < comm->n_nodes && comm->n_nodes > 1; node++)
        for (int channel = 0; channel < channels; channel++)
            for (int second = 0; second < 2; second++)
                edge_add(set, comm, node, channel, second, bytes / channels / 2);
}

void flows_of_tree(FlowSet *set, const Comm *comm, int channels, double bytes)
{
    for (int node = 0; node < comm->n_nodes; node++)
        for (int channel = 0; channel < channels; channel++)
            chain_add(set, comm, node, channel, bytes / channels);
    trees_add(set, comm, channels, bytes);
}

/* Each head's share goes up to the network's switch and comes down reduced: the same links as
 * a ring of the rail's NICs. */
static void switches_add(FlowSet *set, const Comm *comm, int heads, double bytes)
{
    for (int index = 0; index < comm->n_nodes && comm->n_nodes > 1; index++) {
        const NodeMembers *node = comm_node(comm, index);
        const NodeMembers *next = comm_node(comm, (index + 1) % comm->n_nodes);
        for (int head = 0; head < heads; head++) {
            int position = comm_order(node, head)[comm_exit(node, head)];
            flow_set_add(set, comm_nic_rank(comm, node, position),
                         comm_rail_rank(comm, next, node->nic[position]), TRUE, bytes / heads);
        }
    }
}

/* Each GPU of a node sends and receives `bytes` through the NVSwitches: where flows only meet
 * at switches, those of neighbours load the links like any others. */
static void switched_add(FlowSet *set, const Comm *comm, const NodeMembers *node, double bytes)
{
    for (int i = 0; i < node->n; i++)
        flow_set_add(set, comm->members[node->first + i],
                     comm->members[node->first + (i + 1) % node->n], FALSE, bytes);
}

/* multimem: a head's loads make the switch read all GPUs' copies and return the sum, its stores
 * are multicast. Of n segments, each GPU's goes up n times less than its whole buffer. */
static double nvls_bytes(CollectiveKind kind, int n, double bytes)
{
    return kind == COLLECTIVE_ALL_REDUCE ? bytes * (1 + 1.0 / n) : bytes;
}

void flows_of_nvls(FlowSet *set, const Comm *comm, CollectiveKind kind, gboolean trees,
                   double bytes)
{
    for (int index = 0; index < comm->n_nodes; index++) {
        const NodeMembers *node = comm_node(comm, index);
        switched_add(set, comm, node, nvls_bytes(kind, node->n, bytes));
    }
    if (trees)
        trees_add(set, comm, comm->ranks_per_node, bytes);
    else
        switches_add(set, comm, comm->ranks_per_node, bytes);
}

void flows_of_collnet(FlowSet *set, const Comm *comm, CollectiveKind kind, gboolean chain,
                      int channels, double bytes)
{
    double local = kind == COLLECTIVE_ALL_REDUCE ? 2 : 1; /* to the heads, and from them */
    for (int index = 0; index < comm->n_nodes; index++) {
        const NodeMembers *node = comm_node(comm, index);
        for (int channel = 0; chain && channel < channels; channel++)
            chain_add(set, comm, index, channel, bytes / channels);
        if (!chain)
            switched_add(set, comm, node, local * bytes * (node->n - 1) / node->n);
    }
    switches_add(set, comm, chain ? channels : comm->ranks_per_node, bytes);
}
