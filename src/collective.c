/* SPDX-License-Identifier: MIT */
/* Plans a collective: the protocol that NCCL's tuner predicts to be fastest, and the flows of
 * its rings. A ring is fluid here: each link carries its share of all steps at once, as a
 * pipeline of many chunks does. Chunks and their order are left out. */
#include "collective.h"

#include "collective_tuner.h"

#include <string.h>

static const char *const collective_names[N_COLLECTIVES] = {
    [COLLECTIVE_ALL_REDUCE] = "all_reduce",
    [COLLECTIVE_ALL_GATHER] = "all_gather",
    [COLLECTIVE_REDUCE_SCATTER] = "reduce_scatter",
    [COLLECTIVE_BROADCAST] = "broadcast",
    [COLLECTIVE_REDUCE] = "reduce",
};

static const char *const algorithm_names[N_ALGORITHMS] = {[ALGORITHM_RING] = "ring"};

static const char *const protocol_names[N_PROTOCOLS] = {
    [PROTOCOL_LL] = "ll", [PROTOCOL_LL128] = "ll128", [PROTOCOL_SIMPLE] = "simple"};

/* Payload over wire bytes: LL sends 4 bytes of flag with 4 of data, LL128 8 with 120. */
static const double data_fraction[N_PROTOCOLS] = {
    [PROTOCOL_LL] = 0.5, [PROTOCOL_LL128] = 15.0 / 16, [PROTOCOL_SIMPLE] = 1};

static const struct {
    const char *prefix;
    int compute_capability;
} gpu_generations[] = {{"p100", 60},  {"v100", 70},  {"a100", 80},  {"a10", 86},
                       {"l4", 89},    {"h100", 90},  {"h200", 90},  {"gh200", 90},
                       {"b200", 100}, {"b300", 103}, {"gb200", 100}};

#define DEFAULT_COMPUTE_CAPABILITY 80

const char *collective_name(CollectiveKind kind)
{
    return collective_names[kind];
}

const char *algorithm_name(Algorithm algorithm)
{
    return algorithm_names[algorithm];
}

const char *protocol_name(Protocol protocol)
{
    return protocol_names[protocol];
}

double collective_busbw_factor(CollectiveKind kind, int n_members)
{
    double share = (double)(n_members - 1) / n_members;
    switch (kind) {
    case COLLECTIVE_ALL_REDUCE:
        return 2 * share;
    case COLLECTIVE_ALL_GATHER:
    case COLLECTIVE_REDUCE_SCATTER:
        return share;
    case COLLECTIVE_BROADCAST:
    case COLLECTIVE_REDUCE:
    case N_COLLECTIVES:
        break;
    }
    return n_members > 1 ? 1 : 0;
}

int collective_compute_capability(const char *gpu)
{
    g_autofree char *name = gpu ? g_ascii_strdown(gpu, -1) : g_strdup("");
    for (guint i = 0; i < G_N_ELEMENTS(gpu_generations); i++)
        if (g_str_has_prefix(name, gpu_generations[i].prefix))
            return gpu_generations[i].compute_capability;
    return 0;
}

/* The members on one node: a slice of the members, and which of the node's NICs is beside
 * each (0 … n_nics-1, in order of appearance). */
typedef struct {
    int first, n;
    int n_nics;
    int *nic; /* by position in the slice */
} NodeMembers;

static void node_members_clear(gpointer data)
{
    g_free(((NodeMembers *)data)->nic);
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
        g_array_append_val(nodes, node);
    }
    return nodes;
}

static RingShape shape_of(const Cluster *cluster, const int *members, int n_members,
                          const GArray *nodes)
{
    RingShape shape = {
        .n_ranks = n_members,
        .n_nodes = (int)nodes->len,
        .nics_per_node = G_MAXINT,
        .amd = cluster->cpu && strcmp(cluster->cpu, "amd") == 0,
        .nvlink_bytes_per_s = cluster->nvlink_bytes_per_s,
        .nic_bytes_per_s = cluster->nic_bytes_per_s,
        .compute_capability = G_MAXINT,
    };
    for (guint i = 0; i < nodes->len; i++) {
        const NodeMembers *node = &g_array_index(nodes, NodeMembers, i);
        shape.ranks_per_node = MAX(shape.ranks_per_node, node->n);
        shape.nics_per_node = MIN(shape.nics_per_node, node->n_nics);
    }
    const char *last = NULL;
    for (int i = 0; i < n_members; i++) {
        const char *gpu = cluster_gpu(cluster, members[i])->gpu;
        if (i > 0 && g_strcmp0(gpu, last) == 0)
            continue;
        int known = collective_compute_capability(gpu);
        shape.compute_capability =
            MIN(shape.compute_capability, known ? known : DEFAULT_COMPUTE_CAPABILITY);
        last = gpu;
    }
    return shape;
}

/* What the members' rings look like, and what each link of them carries. */
typedef struct {
    const int *members;
    const GArray *nodes;
    int channels;
    int root;              /* index among members; -1: every link carries the same */
    gboolean towards_root; /* reduce: nothing leaves the root; broadcast: nothing enters it */
    double *local_weight;  /* channels from a member to the next of its node */
    double **nic_weight;   /* by node and NIC: channels to the next node */
    int **exit;            /* a member that sends through the NIC */
} Rings;

/* The member beside NIC (channel mod NICs) through which the channel leaves the node; channels
 * take turns where GPUs share a NIC. */
static int channel_exit(const NodeMembers *node, int channel)
{
    int nic = channel % node->n_nics;
    int n_beside = 0;
    for (int i = 0; i < node->n; i++)
        n_beside += node->nic[i] == nic;
    g_assert(n_beside > 0); /* node_nics_assign() numbers only NICs that somebody has */
    int turn = channel / node->n_nics % n_beside;
    int i = 0;
    while (node->nic[i] != nic || turn-- > 0)
        i++;
    return i;
}

/* A broadcast's pipeline ends before the root, a reduction's starts behind it. */
static gboolean link_is_cut(const Rings *rings, int from, int to)
{
    return rings->root >= 0 && (rings->towards_root ? from : to) == rings->root;
}

/* One channel on one node: it enters behind the member it leaves by, and visits all. */
static void channel_walk_node(Rings *rings, int node_index, int channel)
{
    const NodeMembers *node = &g_array_index(rings->nodes, NodeMembers, node_index);
    guint next_index = ((guint)node_index + 1) % rings->nodes->len;
    const NodeMembers *next = &g_array_index(rings->nodes, NodeMembers, next_index);
    gboolean alone = rings->nodes->len == 1;
    int exit = alone ? -1 : channel_exit(node, channel);

    for (int i = 0; i < node->n; i++) {
        int to = (i + 1) % node->n;
        if (i != exit && node->n > 1 && !link_is_cut(rings, node->first + i, node->first + to))
            rings->local_weight[node->first + i]++;
    }
    if (alone)
        return;
    int nic = node->nic[exit];
    g_assert(nic < node->n_nics);
    int entry = (channel_exit(next, channel) + 1) % next->n;
    if (rings->exit[node_index][nic] < 0)
        rings->exit[node_index][nic] = node->first + exit;
    if (!link_is_cut(rings, node->first + exit, next->first + entry))
        rings->nic_weight[node_index][nic]++;
}

static void rings_walk(Rings *rings, int n_members)
{
    guint n_nodes = rings->nodes->len;
    rings->local_weight = g_new0(double, n_members);
    rings->nic_weight = g_new0(double *, n_nodes);
    rings->exit = g_new0(int *, n_nodes);
    for (guint i = 0; i < n_nodes; i++) {
        int n_nics = g_array_index(rings->nodes, NodeMembers, i).n_nics;
        rings->nic_weight[i] = g_new0(double, n_nics);
        rings->exit[i] = g_new(int, n_nics);
        for (int nic = 0; nic < n_nics; nic++)
            rings->exit[i][nic] = -1;
        for (int channel = 0; channel < rings->channels; channel++)
            channel_walk_node(rings, (int)i, channel);
    }
}

static void rings_clear(Rings *rings)
{
    for (guint i = 0; i < rings->nodes->len; i++) {
        g_free(rings->nic_weight[i]);
        g_free(rings->exit[i]);
    }
    g_free(rings->nic_weight);
    g_free(rings->exit);
    g_free(rings->local_weight);
}

/* Where a rail ends on the next node: the NIC of the same index, if it has that many. */
static int rail_end(const NodeMembers *node, int nic)
{
    for (int i = 0; i < node->n; i++)
        if (node->nic[i] == nic % node->n_nics)
            return node->first + i;
    g_assert_not_reached();
}

static void flow_append(CollectivePlan *plan, int from, int to, gboolean between_nodes,
                        double wire_bytes)
{
    Flow flow = {.from_rank = from,
                 .to_rank = to,
                 .between_nodes = between_nodes,
                 .wire_bytes = wire_bytes};
    if (wire_bytes > 0)
        g_array_append_val(plan->flows, flow);
}

static void local_flows_append(const Rings *rings, CollectivePlan *plan,
                               const NodeMembers *node, double link_bytes, double *most)
{
    for (int i = 0; i < node->n; i++) {
        int from = node->first + i, to = node->first + (i + 1) % node->n;
        double share = rings->local_weight[from] / rings->channels;
        flow_append(plan, rings->members[from], rings->members[to], FALSE, share * link_bytes);
        *most = MAX(*most, share);
    }
}

static void nic_flows_append(const Rings *rings, CollectivePlan *plan, guint index,
                             double link_bytes, double *most)
{
    const NodeMembers *node = &g_array_index(rings->nodes, NodeMembers, index);
    const NodeMembers *next =
        &g_array_index(rings->nodes, NodeMembers, (index + 1) % rings->nodes->len);
    for (int nic = 0; nic < node->n_nics; nic++) {
        if (rings->exit[index][nic] < 0)
            continue;
        double share = rings->nic_weight[index][nic] / rings->channels;
        flow_append(plan, rings->members[rings->exit[index][nic]],
                    rings->members[rail_end(next, nic)], TRUE, share * link_bytes);
        *most = MAX(*most, share);
    }
}

/* Fills flows and ceilings: `link_bytes` on the wire of each whole ring link, at
 * `bytes_per_s`. */
static void flows_build(CollectivePlan *plan, Rings *rings, double link_bytes,
                        double bytes_per_s)
{
    double most_local = 0, most_nic = 0;
    for (guint i = 0; i < rings->nodes->len; i++)
        local_flows_append(rings, plan, &g_array_index(rings->nodes, NodeMembers, i),
                           link_bytes, &most_local);
    if (rings->nodes->len > 1)
        for (guint i = 0; i < rings->nodes->len; i++)
            nic_flows_append(rings, plan, i, link_bytes, &most_nic);
    plan->engine_bytes_per_s = most_local * bytes_per_s;
    plan->nic_engine_bytes_per_s = most_nic * bytes_per_s;
}

/* What `protocol` takes; *link_s is the part during which bytes flow. */
static double predict_s(const RingShape *shape, const RingGraph *graph, CollectiveKind kind,
                        Protocol protocol, gint64 payload_bytes, double *link_s)
{
    double link_bytes = collective_busbw_factor(kind, shape->n_ranks) * (double)payload_bytes;
    *link_s = link_bytes / ring_bus_bytes_per_s(shape, graph, protocol);
    return ring_latency_s(shape, graph, kind, protocol, payload_bytes) + *link_s;
}

/* NCCL's choice, or the one that is set. */
static Protocol protocol_choose(const RingShape *shape, const RingGraph *graph,
                                CollectiveKind kind, gint64 payload_bytes,
                                const NcclOptions *options)
{
    Protocol best = PROTOCOL_SIMPLE;
    double best_s = G_MAXDOUBLE, link_s;
    if (options && options->protocol >= 0)
        return (Protocol)options->protocol;
    for (int i = 0; i < N_PROTOCOLS; i++) {
        Protocol protocol = (Protocol)i;
        double time_s = predict_s(shape, graph, kind, protocol, payload_bytes, &link_s);
        if (ring_allows_protocol(shape, protocol) && time_s < best_s) {
            best = protocol;
            best_s = time_s;
        }
    }
    return best;
}

static int member_index(const int *members, int n_members, int rank)
{
    for (int i = 0; i < n_members; i++)
        if (members[i] == rank)
            return i;
    g_assert_not_reached();
}

static void plan_fill(CollectivePlan *plan, const RingShape *shape, Rings *rings,
                      CollectiveKind kind, gint64 payload_bytes, const NcclOptions *options)
{
    RingGraph graph = ring_graph_search(shape);
    double link_s;
    plan->protocol = protocol_choose(shape, &graph, kind, payload_bytes, options);
    plan->channels = graph.blocks;
    predict_s(shape, &graph, kind, plan->protocol, payload_bytes, &link_s);
    /* Fewer thread blocks than the rings want move fewer bytes; more find no more links. */
    if (options && options->channels > 0) {
        plan->channels = options->channels;
        link_s *= MAX(1, (double)graph.blocks / plan->channels);
    }
    plan->latency_s = ring_latency_s(shape, &graph, kind, plan->protocol, payload_bytes);
    plan->time_s = plan->latency_s + link_s;
    rings->channels = graph.channels;
    rings_walk(rings, shape->n_ranks);
    double wire_bytes = collective_busbw_factor(kind, shape->n_ranks) * (double)payload_bytes /
                        data_fraction[plan->protocol];
    flows_build(plan, rings, wire_bytes, wire_bytes / link_s);
    rings_clear(rings);
}

CollectivePlan *collective_plan(const Cluster *cluster, const int *members, int n_members,
                                const CollectiveCall *call, const NcclOptions *options)
{
    CollectivePlan *plan = g_new0(CollectivePlan, 1);
    plan->flows = g_array_new(FALSE, FALSE, sizeof(Flow));
    plan->algorithm = ALGORITHM_RING;
    plan->protocol = PROTOCOL_SIMPLE;
    /* NCCL returns at once from a collective of nothing or with itself. */
    if (n_members < 2 || call->payload_bytes == 0)
        return plan;
    g_autoptr(GArray) nodes = nodes_of_members(cluster, members, n_members);
    RingShape shape = shape_of(cluster, members, n_members, nodes);
    gboolean rooted = call->kind == COLLECTIVE_BROADCAST || call->kind == COLLECTIVE_REDUCE;
    Rings rings = {
        .members = members,
        .nodes = nodes,
        .root = rooted ? member_index(members, n_members, call->root) : -1,
        .towards_root = call->kind == COLLECTIVE_REDUCE,
    };
    plan_fill(plan, &shape, &rings, call->kind, call->payload_bytes, options);
    return plan;
}

void collective_plan_free(CollectivePlan *plan)
{
    if (!plan)
        return;
    g_array_unref(plan->flows);
    g_free(plan);
}
