/* SPDX-License-Identifier: MIT */
/* NCCL 2.30's cost model (src/graph/tuning.cc): latency and bandwidth of each algorithm and
 * protocol from the search graphs' rates. */
#include "collective_tuner.h"

#include <math.h>

enum { ONE_NODE, TWO_NODES, MORE_NODES, N_NODE_CLASSES };
typedef enum { HW_NVLINK, HW_PCI, HW_NET, N_HARDWARE } Hardware;

#define GB 1e9
#define US 1e-6
#define N_CORRECTIONS 24

/* ncclTunerConstantsDefaults, microseconds; LL, LL128, Simple. */
static const double base_latency_us[N_ALGORITHMS][N_PROTOCOLS] = {
    [ALGORITHM_RING] = {6.6, 14, 8.4},
    [ALGORITHM_TREE] = {6.8, 14, 8.4},
    [ALGORITHM_PAT] = {8, 8, 8},
};
static const double hardware_latency_us[N_HARDWARE][N_ALGORITHMS][N_PROTOCOLS] = {
    [HW_NVLINK] = {[ALGORITHM_RING] = {0.6, 1.9, 3.4},
                   [ALGORITHM_TREE] = {0.6, 1.25, 4.0},
                   [ALGORITHM_COLLNET_DIRECT] = {0, 0, 3.7},
                   [ALGORITHM_COLLNET_CHAIN] = {0, 0, 2.8},
                   [ALGORITHM_NVLS] = {0, 0, 25},
                   [ALGORITHM_NVLS_TREE] = {0, 0, 25},
                   [ALGORITHM_PAT] = {0, 0, 4.0}},
    [HW_PCI] = {[ALGORITHM_RING] = {1.0, 2.5, 5.7},
                [ALGORITHM_TREE] = {1.0, 1.9, 4.0},
                [ALGORITHM_COLLNET_DIRECT] = {0, 0, 3.7},
                [ALGORITHM_COLLNET_CHAIN] = {0, 0, 2.8},
                [ALGORITHM_PAT] = {0, 0, 4.0}},
    [HW_NET] = {[ALGORITHM_RING] = {2.7, 4.0, 14},
                [ALGORITHM_TREE] = {5.0, 8.5, 14},
                [ALGORITHM_COLLNET_DIRECT] = {0, 0, 31},
                [ALGORITHM_COLLNET_CHAIN] = {0, 0, 30},
                [ALGORITHM_NVLS] = {0, 0, 18},
                [ALGORITHM_NVLS_TREE] = {0, 0, 20.9},
                [ALGORITHM_PAT] = {0, 0, 14}},
};

/* GB/s by generation and one, two, more nodes. */
typedef double NodeTable[N_GENERATIONS][N_NODE_CLASSES];
static const NodeTable ll_max = {
    {39, 39, 20.4}, {87.7, 22.5, 19}, {141, 45, 35}, {282, 90, 70}};
static const NodeTable ring_ll128_max = {
    {20, 20, 20}, {20, 20, 20}, {36.7, 36.7, 36.7}, {40, 40, 40}};
static const NodeTable tree_ll128_max = {
    {20, 20, 20}, {20, 20, 20}, {36.7, 36.7, 29}, {55.6, 31.67, 20}};
static const NodeTable tree_max = {
    {26.5, 18.5, 10}, {24, 23.6, 17.8}, {38.7, 41.4, 36}, {70, 42.8, 24}};
static const NodeTable nvls_tree_max = {
    {26.5, 18.5, 10}, {24, 23.6, 17.8}, {0, 57.7, 45.5}, {0, 96, 80}};
static const double nvls_efficiency[N_GENERATIONS] = {[HOPPER] = 0.85, [BLACKWELL] = 0.74};

/* treeCorrectionFactor: 64 B, 128 B … 512 MiB. */
static const double tree_correction[N_PROTOCOLS][N_CORRECTIONS] = {
    {1, 1, 1, 1, .9, .8, .7, .7, .7, .7, .6, .5, .4, .4, .5, .6, .7, .8, .9, 1, 1, 1, 1, 1},
    {1, 1, 1, 1, 1, .9, .8, .8, .8, .7, .6, .6, .6, .6, .6, .6, .8, .9, .9, .9, .9, 1, 1, 1},
    {.9, .9, .9, .9, .9, .9, .9, .8, .7, .6, .6, .5,
     .5, .5, .5, .6, .7, .8, .7, .7, .8, .9, .9, .9}};

static int node_class(const Comm *comm)
{
    return MIN(comm->n_nodes, 3) - 1;
}

static double of_table(const NodeTable table, const Comm *comm)
{
    return table[comm_generation(comm)][node_class(comm)] * GB;
}

int tuner_n_steps(CollectiveKind kind, int n_ranks)
{
    switch (kind) {
    case COLLECTIVE_ALL_REDUCE:
        return 2 * (n_ranks - 1);
    case COLLECTIVE_ALL_GATHER:
    case COLLECTIVE_REDUCE_SCATTER:
        return n_ranks - 1;
    case COLLECTIVE_BROADCAST:
    case COLLECTIVE_REDUCE:
    case COLLECTIVE_ALL_TO_ALL:
    case COLLECTIVE_SEND_RECV:
    case N_COLLECTIVES:
        break;
    }
    return n_ranks;
}

const ChannelGraph *tuner_graph(const CommGraphs *graphs, Algorithm algorithm)
{
    gboolean nvls = algorithm == ALGORITHM_NVLS || algorithm == ALGORITHM_NVLS_TREE;
    if (nvls)
        return &graphs->nvls;
    return algorithm == ALGORITHM_TREE ? &graphs->tree : &graphs->ring;
}

/* ---- latency ---- */

static Hardware intra_hardware(const Comm *comm)
{
    return comm->nvlink_bytes_per_s > 0 ? HW_NVLINK : HW_PCI;
}

/* Hops of a call, microseconds. */
typedef struct {
    double node_us; /* all hops within nodes */
    int n_net;      /* hops between nodes, and what NCCL gives all of them */
    double net_us;
} Hops;

static Hops ring_hops(const Comm *comm, CollectiveKind kind, Protocol protocol)
{
    const double(*net)[N_PROTOCOLS] = hardware_latency_us[HW_NET];
    double intra = hardware_latency_us[intra_hardware(comm)][ALGORITHM_RING][protocol];
    int n_steps = tuner_n_steps(kind, comm->n_ranks);
    if (kind == COLLECTIVE_BROADCAST || kind == COLLECTIVE_REDUCE) {
        /* On one node every channel visits the GPUs in the same order: NCCL counts one hop. */
        if (comm->n_nodes == 1)
            return (Hops){.node_us = intra};
        Algorithm like = protocol == PROTOCOL_SIMPLE ? ALGORITHM_TREE : ALGORITHM_RING;
        return (Hops){.n_net = comm->n_nodes - 1, .net_us = n_steps * net[like][protocol]};
    }
    int n_between = (kind == COLLECTIVE_ALL_REDUCE ? 2 : 1) * (comm->n_nodes - 1);
    double overhead = comm->n_nodes == 1 ? 0 : comm->amd ? 2.0 : 1.0;
    if (protocol == PROTOCOL_SIMPLE)
        overhead *= 3;
    double inter = net[comm->ranks_per_node == 1 ? ALGORITHM_TREE : ALGORITHM_RING][protocol];
    return (Hops){.node_us = (n_steps - n_between) * MAX(intra, overhead),
                  .n_net = n_between,
                  .net_us = n_between * inter};
}

/* What a collective's latency is made of beside the base that its algorithm has. NVLS' counts
 * are of whole collectives and not of hops. */
static Hops hops_of(const Comm *comm, CollectiveKind kind, Algorithm algorithm,
                    Protocol protocol)
{
    double intra = hardware_latency_us[intra_hardware(comm)][algorithm][protocol];
    double inter = hardware_latency_us[HW_NET][algorithm][protocol];
    int n_levels = (int)floor(log2(comm->n_nodes)), n_others = comm->ranks_per_node - 1;
    gboolean several = comm->n_nodes > 1;
    switch (algorithm) {
    case ALGORITHM_RING:
        return ring_hops(comm, kind, protocol);
    case ALGORITHM_TREE:
        return (Hops){2 * n_others * intra, 2 * n_levels, 2 * n_levels * inter};
    case ALGORITHM_COLLNET_DIRECT:
        return (Hops){2 * (MIN(1, n_others) * intra + 0.4 * n_others), several, inter};
    case ALGORITHM_COLLNET_CHAIN:
        return (Hops){2 * n_others * intra, several, inter};
    case ALGORITHM_NVLS:
        return (Hops){0, several, several ? inter : 0};
    case ALGORITHM_NVLS_TREE:
        return (Hops){0, 2 * n_levels, 2 * n_levels * inter};
    case ALGORITHM_PAT:
        return (Hops){2.8 * comm->n_ranks, n_levels, n_levels * inter / 3.5};
    case ALGORITHM_DIRECT:
    case N_ALGORITHMS:
        break;
    }
    /* Point-to-point: one hop. */
    if (several)
        return (Hops){0, 1, hardware_latency_us[HW_NET][ALGORITHM_RING][protocol]};
    return (Hops){.node_us =
                      hardware_latency_us[intra_hardware(comm)][ALGORITHM_RING][protocol]};
}

/* graph.latencyInter: once for each hop between nodes, twice where a flush follows. NCCL leaves
 * it out of pipelines. */
static double declared_s(const Comm *comm, CollectiveKind kind, Algorithm algorithm,
                         Protocol protocol, int n_net_hops)
{
    if (kind == COLLECTIVE_BROADCAST || kind == COLLECTIVE_REDUCE)
        return 0;
    double per_hop =
        comm->nccl.value[NCCL_NET_LATENCY_S] * (protocol == PROTOCOL_SIMPLE ? 2 : 1);
    return per_hop * n_net_hops / (algorithm == ALGORITHM_PAT ? 3.5 : 1);
}

static void latency_fill(const Comm *comm, CollectiveKind kind, TunerChoice *choice)
{
    Algorithm a = choice->algorithm;
    Protocol p = choice->protocol;
    Hops hops = hops_of(comm, kind, a, p);
    g_assert(a < N_ALGORITHMS);
    double base = base_latency_us[a == ALGORITHM_DIRECT ? ALGORITHM_RING : a][p];
    if (a == ALGORITHM_NVLS || a == ALGORITHM_NVLS_TREE)
        base += hardware_latency_us[intra_hardware(comm)][a][p];
    choice->node_hops_s = hops.node_us * US;
    choice->n_net_hops = hops.n_net;
    choice->declared_s = a == ALGORITHM_DIRECT ? 0 : declared_s(comm, kind, a, p, hops.n_net);
    choice->latency_s = (base + hops.node_us + hops.net_us) * US + choice->declared_s;
}

/* ---- bandwidth ---- */

static double ll_ceiling(const Comm *comm)
{
    /* Between nodes the limit is the host's, and NCCL keeps it in these two rows. */
    Generation row = comm->n_nodes == 1 ? comm_generation(comm) : comm->amd ? AMPERE : VOLTA;
    return ll_max[row][node_class(comm)] * GB;
}

static double ring_bus(const Comm *comm, const ChannelGraph *graph, Protocol protocol)
{
    double bus = graph->channels * graph->intra_bytes_per_s;
    if (protocol == PROTOCOL_LL)
        return MIN(ll_ceiling(comm), bus / 2);
    if (protocol == PROTOCOL_LL128)
        return MIN(0.92 * bus, graph->channels * of_table(ring_ll128_max, comm));
    return bus;
}

static double tree_bus(const Comm *comm, const ChannelGraph *graph, Protocol protocol)
{
    double bus = MIN(0.92 * graph->channels * graph->intra_bytes_per_s,
                     graph->channels * of_table(tree_max, comm));
    if (protocol == PROTOCOL_LL)
        return MIN(bus / 3.8, ll_ceiling(comm));
    if (protocol == PROTOCOL_LL128)
        return MIN(bus * (comm->n_nodes == 1 ? 7.0 / 9 : 120.0 / 128),
                   graph->channels * of_table(tree_ll128_max, comm));
    return bus;
}

static double nvls_bus(const Comm *comm, const ChannelGraph *graph, CollectiveKind kind,
                       Algorithm algorithm)
{
    double n_channels = graph->channels, ppn = comm->ranks_per_node;
    double intra = graph->intra_bytes_per_s * nvls_efficiency[comm_generation(comm)] *
                   (n_channels - 1) / n_channels;
    double inter = graph->inter_bytes_per_s;
    intra *= kind == COLLECTIVE_ALL_REDUCE ? 2 : (ppn - 1) / ppn;
    if (algorithm == ALGORITHM_NVLS_TREE) {
        inter *= comm->n_nodes <= 2 ? 2 : 1;
        inter = MIN(inter, of_table(nvls_tree_max, comm));
    }
    return n_channels * MIN(intra, inter);
}

static double collnet_direct_bus(const Comm *comm, const ChannelGraph *graph,
                                 CollectiveKind kind)
{
    double ppn = comm->ranks_per_node;
    if (kind != COLLECTIVE_ALL_REDUCE)
        return ppn * MIN(graph->intra_bytes_per_s, 0.9 * graph->inter_bytes_per_s);
    double factor = ppn / graph->channels;
    factor -= (factor - 1) / 2;
    double bus = graph->channels * graph->intra_bytes_per_s / factor;
    return comm->compute_capability >= 90 ? 0.85 * bus : bus;
}

/* From bus to payload: not done to the one-way collectives of other algorithms than Ring. */
static double algorithm_bytes_per_s(const Comm *comm, const ChannelGraph *graph,
                                    CollectiveKind kind, Algorithm algorithm, Protocol protocol)
{
    double per_step = (double)comm->n_ranks / tuner_n_steps(kind, comm->n_ranks);
    double nvls_step = kind == COLLECTIVE_ALL_REDUCE ? per_step : 1;
    double halves = kind == COLLECTIVE_ALL_REDUCE ? 0.5 : 1;
    switch (algorithm) {
    case ALGORITHM_RING:
        return ring_bus(comm, graph, protocol) * per_step;
    case ALGORITHM_TREE:
        return tree_bus(comm, graph, protocol) * halves;
    case ALGORITHM_COLLNET_DIRECT:
        return collnet_direct_bus(comm, graph, kind) * halves;
    case ALGORITHM_COLLNET_CHAIN:
        return graph->channels * graph->intra_bytes_per_s * halves;
    case ALGORITHM_NVLS:
    case ALGORITHM_NVLS_TREE:
        return nvls_bus(comm, graph, kind, algorithm) * nvls_step;
    case ALGORITHM_PAT:
        return 0.75 * graph->channels * graph->intra_bytes_per_s;
    case ALGORITHM_DIRECT:
    case N_ALGORITHMS:
        break;
    }
    g_assert_not_reached();
}

/* What NCCL divides the tree's bandwidth by at sizes of a power of two; the bytes' worth is a
 * straight line between them, since NCCL's steps would make more bytes take less time. */
static double tree_slowdown(Protocol protocol, gint64 bytes, int n_sizes)
{
    if (bytes < 64)
        return 1;
    int size = (int)g_bit_storage((gulong)bytes) - 7;
    g_assert(size >= 0 && size < 56);
    double here = size < n_sizes ? 1 / tree_correction[protocol][size] : 1;
    double next = size + 1 < n_sizes ? 1 / tree_correction[protocol][size + 1] : 1;
    double low = (double)((gint64)64 << size), bytes_here = (double)bytes;
    double worth = low * here + (bytes_here - low) / low * (2 * low * next - low * here);
    return worth / bytes_here;
}

/* ncclTopoGetAlgoTime's corrections by size. */
static void correct(const Comm *comm, const ChannelGraph *graph, const CollectiveCall *call,
                    TunerChoice *choice)
{
    gboolean nvls_tree =
        choice->algorithm == ALGORITHM_NVLS_TREE && comm_generation(comm) == BLACKWELL;
    if (call->kind != COLLECTIVE_ALL_REDUCE)
        return;
    if (choice->algorithm == ALGORITHM_TREE)
        choice->bytes_per_s /= tree_slowdown(choice->protocol, call->payload_bytes, 23);
    if (nvls_tree)
        choice->bytes_per_s /= tree_slowdown(choice->protocol, call->payload_bytes, 24);
    /* "Plateau effect of ring" */
    if (choice->algorithm == ALGORITHM_RING && choice->protocol == PROTOCOL_SIMPLE &&
        comm->n_nodes > 1 &&
        call->payload_bytes / ((gint64)graph->blocks * comm->n_ranks) >= 64) {
        double plateau = comm->compute_capability >= 80 ? 1.4 : 1.9;
        choice->latency_s *= plateau;
        choice->node_hops_s *= plateau;
        choice->declared_s *= plateau;
    }
}

/* Point-to-point isn't tuned: what a GPU's or NIC's links give to what passes them. */
static double direct_bytes_per_s(const Comm *comm, CollectiveKind kind)
{
    double n = comm->n_ranks, ppn = comm->ranks_per_node;
    gboolean all = kind == COLLECTIVE_ALL_TO_ALL;
    double away = comm->n_nodes == 1 ? 0 : all ? ppn * (n - ppn) / n : 1;
    double local = all ? (ppn - 1) / ppn : 1;
    int n_nics = all ? comm->nics_per_node : 1;
    double rate = local > 0 ? tuner_gpu_bytes_per_s(comm) / local : G_MAXDOUBLE;
    if (away > 0 && comm->nic_bytes_per_s > 0)
        rate = MIN(rate, n_nics * comm->nic_bytes_per_s / away);
    return rate;
}

TunerChoice tuner_predict(const Comm *comm, const CommGraphs *graphs,
                          const CollectiveCall *call, Algorithm algorithm, Protocol protocol)
{
    TunerChoice choice = {.algorithm = algorithm, .protocol = protocol};
    const ChannelGraph *graph = tuner_graph(graphs, algorithm);
    latency_fill(comm, call->kind, &choice);
    if (algorithm == ALGORITHM_DIRECT) {
        choice.bytes_per_s = direct_bytes_per_s(comm, call->kind);
        return choice;
    }
    choice.bytes_per_s = algorithm_bytes_per_s(comm, graph, call->kind, algorithm, protocol);
    correct(comm, graph, call, &choice);
    choice.loop_bytes = tuner_loop_bytes(comm, graph, algorithm, call->payload_bytes);
    return choice;
}
