/* SPDX-License-Identifier: MIT */
/* Groups a communicator's members by node and NIC, and reads from the cluster what NCCL's tuner
 * asks of it. */
#include "collective_comm.h"

#include "node_wires.h"

#include <string.h>

#define DEFAULT_COMPUTE_CAPABILITY 80

static const struct {
    const char *prefix;
    int compute_capability;
} gpu_generations[] = {{"p100", 60},  {"v100", 70},  {"a100", 80},  {"a10", 86},
                       {"l4", 89},    {"h100", 90},  {"h200", 90},  {"gh200", 90},
                       {"b200", 100}, {"b300", 103}, {"gb200", 100}};

int collective_compute_capability(const char *gpu)
{
    g_autofree char *name = gpu ? g_ascii_strdown(gpu, -1) : g_strdup("");
    for (guint i = 0; i < G_N_ELEMENTS(gpu_generations); i++)
        if (g_str_has_prefix(name, gpu_generations[i].prefix))
            return gpu_generations[i].compute_capability;
    return 0;
}

static void node_members_clear(gpointer data)
{
    g_free(((NodeMembers *)data)->nic);
    g_free(((NodeMembers *)data)->orders);
}

/* A node whose GPUs name no NIC has one, which they all share. */
static void node_nics_assign(const Cluster *cluster, const int *members, NodeMembers *node)
{
    node->nic = g_new(int, node->n);
    for (int i = 0; i < node->n; i++) {
        int nic = cluster_gpu(cluster, members[node->first + i])->nic;
        node->nic[i] = node->n_nics;
        for (int j = 0; j < i; j++)
            if (cluster_gpu(cluster, members[node->first + j])->nic == nic)
                node->nic[i] = node->nic[j];
        if (node->nic[i] == node->n_nics)
            node->n_nics++;
    }
}

static void order_append(NodeMembers *node, const NodeRing *ring, gboolean backwards)
{
    int *order = node->orders + node->n_orders++ * node->n;
    for (int i = 0; i < node->n; i++)
        order[i] = ring->gpus[backwards ? node->n - 1 - i : i];
}

static void rings_to_orders(const GPtrArray *rings, NodeMembers *node)
{
    int n_orders = 0;
    for (guint r = 0; r < rings->len; r++)
        n_orders += 2 * ((const NodeRing *)g_ptr_array_index(rings, r))->n_links;
    node->orders = g_renew(int, node->orders, (gsize)n_orders *(gsize)node->n);
    node->n_orders = 0;
    for (guint r = 0; r < rings->len; r++) {
        const NodeRing *ring = g_ptr_array_index(rings, r);
        for (int i = 0; i < 2 * ring->n_links; i++)
            order_append(node, ring, i % 2);
    }
}

/* Point-to-point NVLinks have rings of their own, which a whole node uses. */
static void node_orders_assign(const Cluster *cluster, int id, NodeMembers *node)
{
    node->n_orders = 1;
    node->orders = g_new(int, node->n);
    for (int i = 0; i < node->n; i++)
        node->orders[i] = i;
    const char *text =
        (guint)id < cluster->node_rings->len ? cluster->node_rings->pdata[id] : NULL;
    if (!text || !*text)
        return;
    g_autoptr(GPtrArray) rings = node_rings_parse(text, node->n, NULL);
    if (rings)
        rings_to_orders(rings, node);
}

static GArray *nodes_of_members(const Cluster *cluster, const int *members, int n_members)
{
    GArray *nodes = g_array_new(FALSE, TRUE, sizeof(NodeMembers));
    g_array_set_clear_func(nodes, node_members_clear);
    for (int i = 0; i < n_members;) {
        NodeMembers node = {.first = i};
        int id = cluster_gpu(cluster, members[i])->node;
        while (i < n_members && cluster_gpu(cluster, members[i])->node == id)
            i++;
        node.n = i - node.first;
        node_nics_assign(cluster, members, &node);
        node_orders_assign(cluster, id, &node);
        g_array_append_val(nodes, node);
    }
    return nodes;
}

static int lowest_capability(const Cluster *cluster, const int *members, int n_members)
{
    const char *last = NULL;
    int lowest = G_MAXINT;
    for (int i = 0; i < n_members; i++) {
        const char *gpu = cluster_gpu(cluster, members[i])->gpu;
        if (i > 0 && g_strcmp0(gpu, last) == 0)
            continue;
        int known = collective_compute_capability(gpu);
        lowest = MIN(lowest, known ? known : DEFAULT_COMPUTE_CAPABILITY);
        last = gpu;
    }
    return lowest;
}

static gboolean has_nvswitch(const Cluster *cluster)
{
    for (guint i = 0; i < cluster->node_rings->len; i++)
        if (*(const char *)cluster->node_rings->pdata[i])
            return FALSE;
    return cluster->nvlink_bytes_per_s > 0;
}

/* LL128 came with NCCL 2.5 (its release notes), and plug-ins then let LL be. A network that may
 * deliver bytes out of order, as the first EFA, lets Simple alone be safe. */
static unsigned protocols_of(const Cluster *cluster, const NcclOptions *options)
{
    const unsigned simple = 1u << PROTOCOL_SIMPLE, ll = 1u << PROTOCOL_LL;
    if (options && options->version > 0 && options->version < 205)
        return simple | ll;
    if (cluster->nccl.value[NCCL_ONLY_SIMPLE] > 0)
        return simple;
    return simple | ll | 1u << PROTOCOL_LL128;
}

Comm *comm_new(const Cluster *cluster, const int *members, int n_members,
               const NcclOptions *options)
{
    Comm *comm = g_new0(Comm, 1);
    comm->members = members;
    comm->nodes = nodes_of_members(cluster, members, n_members);
    comm->n_ranks = n_members;
    comm->n_nodes = (int)comm->nodes->len;
    comm->nics_per_node = G_MAXINT;
    comm->amd = cluster->cpu && strcmp(cluster->cpu, "amd") == 0;
    comm->nvswitch = has_nvswitch(cluster);
    comm->collnet = options && options->collnet;
    comm->version = options ? options->version : 0;
    comm->protocols = protocols_of(cluster, options);
    comm->nvlink_bytes_per_s = cluster->nvlink_bytes_per_s;
    comm->nic_bytes_per_s = cluster->nic_bytes_per_s;
    comm->nic_latency_s = cluster->nic_latency_s;
    comm->nccl = cluster->nccl;
    comm->compute_capability = lowest_capability(cluster, members, n_members);
    for (int i = 0; i < comm->n_nodes; i++) {
        const NodeMembers *node = comm_node(comm, i);
        comm->ranks_per_node = MAX(comm->ranks_per_node, node->n);
        comm->nics_per_node = MIN(comm->nics_per_node, node->n_nics);
    }
    return comm;
}

void comm_free(Comm *comm)
{
    if (!comm)
        return;
    g_array_unref(comm->nodes);
    g_free(comm);
}

const NodeMembers *comm_node(const Comm *comm, int node)
{
    return &g_array_index(comm->nodes, NodeMembers, node);
}

const int *comm_order(const NodeMembers *node, int channel)
{
    return node->orders + channel % node->n_orders * node->n;
}

int comm_exit(const NodeMembers *node, int channel)
{
    const int *order = comm_order(node, channel);
    int nic = channel % node->n_nics;
    int n_beside = 0, i = 0;
    for (int p = 0; p < node->n; p++)
        n_beside += node->nic[p] == nic;
    g_assert(n_beside > 0); /* node_nics_assign() numbers only NICs that somebody has */
    int turn = channel / node->n_nics % n_beside;
    while (node->nic[order[i]] != nic || turn-- > 0)
        i++;
    return i;
}

int comm_rail_rank(const Comm *comm, const NodeMembers *node, int nic)
{
    for (int i = 0; i < node->n; i++)
        if (node->nic[i] == nic % node->n_nics)
            return comm->members[node->first + i];
    g_assert_not_reached();
}

int comm_nic_rank(const Comm *comm, const NodeMembers *node, int position)
{
    return comm_rail_rank(comm, node, node->nic[position]);
}
