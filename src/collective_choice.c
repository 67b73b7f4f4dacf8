/* SPDX-License-Identifier: MIT */
/* Which algorithm and protocol NCCL takes (src/graph/tuning.cc, src/enqueue.cc
 * ncclGetAlgoInfo): the one with the least predicted time of those that are enabled. */
#include "collective_tuner.h"

#define BIT(x) (1u << (x))
#define HALVES (BIT(COLLECTIVE_ALL_GATHER) | BIT(COLLECTIVE_REDUCE_SCATTER))
#define ALL_REDUCE BIT(COLLECTIVE_ALL_REDUCE)

/* The collectives that an algorithm has kernels for. */
static const unsigned runs[N_ALGORITHMS] = {
    [ALGORITHM_RING] = ALL_REDUCE | HALVES | BIT(COLLECTIVE_BROADCAST) | BIT(COLLECTIVE_REDUCE),
    [ALGORITHM_TREE] = ALL_REDUCE,
    [ALGORITHM_COLLNET_DIRECT] = ALL_REDUCE | HALVES,
    [ALGORITHM_COLLNET_CHAIN] = ALL_REDUCE,
    [ALGORITHM_NVLS] = ALL_REDUCE | HALVES,
    [ALGORITHM_NVLS_TREE] = ALL_REDUCE,
    [ALGORITHM_PAT] = HALVES,
    [ALGORITHM_DIRECT] = BIT(COLLECTIVE_ALL_TO_ALL) | BIT(COLLECTIVE_SEND_RECV),
};

/* LL128 relies on 128-byte stores arriving whole: NVLink, and Volta or newer. */
static gboolean stores_arrive_whole(const Comm *comm)
{
    return comm->compute_capability >= 70 &&
           (comm->ranks_per_node == 1 || comm->nvlink_bytes_per_s > 0);
}

static gboolean has_hardware(const Comm *comm, const CollectiveCall *call, Algorithm algorithm)
{
    switch (algorithm) {
    case ALGORITHM_COLLNET_DIRECT:
    case ALGORITHM_COLLNET_CHAIN:
        return comm->n_nodes > 1 && comm->collnet && !call->averages;
    case ALGORITHM_NVLS:
        return tuner_has_nvls(comm) && !call->averages && (comm->n_nodes == 1 || comm->collnet);
    case ALGORITHM_NVLS_TREE:
        return tuner_has_nvls(comm) && !call->averages && comm->n_nodes > 1;
    case ALGORITHM_PAT:
        return comm->n_nodes == comm->n_ranks && !call->averages;
    case ALGORITHM_RING:
    case ALGORITHM_TREE:
    case ALGORITHM_DIRECT:
    case N_ALGORITHMS:
        break;
    }
    return TRUE;
}

gboolean tuner_can_run(const Comm *comm, const CollectiveCall *call, Algorithm algorithm,
                       Protocol protocol)
{
    gboolean any_protocol = algorithm == ALGORITHM_RING || algorithm == ALGORITHM_TREE;
    return (runs[algorithm] & BIT(call->kind)) && has_hardware(comm, call, algorithm) &&
           (any_protocol || protocol == PROTOCOL_SIMPLE);
}

/* What NCCL leaves out though it can run it, unless it is asked for by name. */
static gboolean considers_algorithm(const Comm *comm, const CollectiveCall *call,
                                    Algorithm algorithm)
{
    /* One node's gathering through switches needs registered buffers. */
    return algorithm != ALGORITHM_NVLS || comm->n_nodes > 1 ||
           call->kind == COLLECTIVE_ALL_REDUCE;
}

static gboolean considers_protocol(const Comm *comm, Protocol protocol)
{
    return (comm->protocols & BIT(protocol)) &&
           (protocol != PROTOCOL_LL128 || stores_arrive_whole(comm));
}

/* What the prediction was in the release that chooses. Before 2.30 a hop of NVLSTree had 14 us
 * (src/graph/tuning.cc of 2.28.3), before 2.28 NVLS and NVLSTree another bandwidth (the same of
 * 2.2x). What else has changed is left out: Blackwell's ceilings of LL128 and Tree. */
double tuner_decision_s(const Comm *comm, const CommGraphs *graphs, const CollectiveCall *call,
                        const TunerChoice *choice)
{
    const double hop_s = 14e-6, hop_now_s = 20.9e-6;
    gboolean tree = choice->algorithm == ALGORITHM_NVLS_TREE;
    double latency_s = choice->latency_s, bytes_per_s = choice->bytes_per_s;
    int version = comm->version > 0 ? comm->version : G_MAXINT;
    if (tree && version < 230)
        latency_s -= choice->n_net_hops * (hop_now_s - hop_s);
    if ((tree || choice->algorithm == ALGORITHM_NVLS) && version < 228 &&
        call->kind == COLLECTIVE_ALL_REDUCE) {
        const ChannelGraph *graph = tuner_graph(graphs, choice->algorithm);
        double inter = graph->inter_bytes_per_s / (tree && comm->n_nodes > 2 ? 2 : 1);
        bytes_per_s = graph->channels * MIN(graph->intra_bytes_per_s, inter) * 5 / 6;
    }
    return latency_s + (double)call->payload_bytes / bytes_per_s;
}

/* The fastest of those allowed; -1: any. FALSE: there is none. */
static gboolean choose_among(const Comm *comm, const CommGraphs *graphs,
                             const CollectiveCall *call, int only_algorithm, int only_protocol,
                             TunerChoice *best)
{
    double best_s = G_MAXDOUBLE;
    for (int a = 0; a < N_ALGORITHMS; a++)
        for (int p = 0; p < N_PROTOCOLS; p++) {
            Algorithm algorithm = (Algorithm)a;
            Protocol protocol = (Protocol)p;
            if ((only_algorithm >= 0 && a != only_algorithm) ||
                (only_protocol >= 0 && p != only_protocol) ||
                (only_algorithm < 0 && !considers_algorithm(comm, call, algorithm)) ||
                (only_protocol < 0 && !considers_protocol(comm, protocol)) ||
                !tuner_can_run(comm, call, algorithm, protocol))
                continue;
            TunerChoice one = tuner_predict(comm, graphs, call, algorithm, protocol);
            if (one.bytes_per_s <= 0)
                continue;
            double time_s = tuner_decision_s(comm, graphs, call, &one);
            if (time_s >= best_s)
                continue;
            best_s = time_s;
            *best = one;
        }
    return best_s < G_MAXDOUBLE;
}

TunerChoice tuner_choose(const Comm *comm, const CommGraphs *graphs, const CollectiveCall *call,
                         const NcclOptions *options)
{
    TunerChoice best = {0};
    int algorithm = options ? options->algorithm : -1;
    int protocol = options ? options->protocol : -1;
    if (choose_among(comm, graphs, call, algorithm, protocol, &best) ||
        choose_among(comm, graphs, call, -1, protocol, &best))
        return best;
    gboolean found = choose_among(comm, graphs, call, -1, -1, &best);
    g_assert(found); /* every collective has an algorithm that needs nothing */
    return best;
}

/* Threads of a block, and bytes that keep one busy (enqueue.cc, device.h); LL's by ranks of a
 * ring. */
static const int threads[N_PROTOCOLS] = {512, 640, 512};
static const int thread_bytes[N_PROTOCOLS] = {8, 8, 64};

int tuner_blocks(const Comm *comm, const ChannelGraph *graph, const CollectiveCall *call,
                 const TunerChoice *choice)
{
    gboolean ring = choice->algorithm == ALGORITHM_RING;
    int n_blocks = MAX(graph->blocks, 1);
    if (!ring && choice->algorithm != ALGORITHM_TREE)
        return n_blocks;
    gint64 busy = (gint64)threads[choice->protocol] * thread_bytes[choice->protocol];
    if (ring && choice->protocol == PROTOCOL_LL)
        busy *= comm->n_ranks;
    return (int)CLAMP(call->payload_bytes / busy, 1, n_blocks);
}
