/* SPDX-License-Identifier: MIT */
/* Plans a collective: what NCCL's tuner predicts to be fastest, its flows, and the ceilings
 * under which they take the predicted time when nothing else is in the way. */
#include "collective.h"

#include "collective_flows.h"
#include "collective_timing.h"

#include <stdio.h>
#include <string.h>

static const char *const collective_names[N_COLLECTIVES] = {
    [COLLECTIVE_ALL_REDUCE] = "all_reduce",
    [COLLECTIVE_ALL_GATHER] = "all_gather",
    [COLLECTIVE_REDUCE_SCATTER] = "reduce_scatter",
    [COLLECTIVE_BROADCAST] = "broadcast",
    [COLLECTIVE_REDUCE] = "reduce",
    [COLLECTIVE_ALL_TO_ALL] = "all_to_all",
    [COLLECTIVE_SEND_RECV] = "send_recv",
};

static const char *const algorithm_names[N_ALGORITHMS] = {
    [ALGORITHM_RING] = "ring",
    [ALGORITHM_TREE] = "tree",
    [ALGORITHM_COLLNET_DIRECT] = "collnet-direct",
    [ALGORITHM_COLLNET_CHAIN] = "collnet-chain",
    [ALGORITHM_NVLS] = "nvls",
    [ALGORITHM_NVLS_TREE] = "nvls-tree",
    [ALGORITHM_PAT] = "pat",
    [ALGORITHM_DIRECT] = "p2p",
};

static const char *const generation_names[N_GENERATIONS] = {
    [VOLTA] = "volta", [AMPERE] = "ampere", [HOPPER] = "hopper", [BLACKWELL] = "blackwell"};

static const char *const protocol_names[N_PROTOCOLS] = {
    [PROTOCOL_LL] = "ll", [PROTOCOL_LL128] = "ll128", [PROTOCOL_SIMPLE] = "simple"};

/* Payload over wire bytes: LL sends 4 bytes of flag with 4 of data, LL128 8 with 120. */
static const double data_fraction[N_PROTOCOLS] = {
    [PROTOCOL_LL] = 0.5, [PROTOCOL_LL128] = 15.0 / 16, [PROTOCOL_SIMPLE] = 1};

const char *collective_name(CollectiveKind kind)
{
    return collective_names[kind];
}

const char *algorithm_name(Algorithm algorithm)
{
    return algorithm_names[algorithm];
}

const char *generation_name(Generation generation)
{
    return generation_names[generation];
}

const char *protocol_name(Protocol protocol)
{
    return protocol_names[protocol];
}

int collective_nccl_version(const char *text)
{
    int major, minor, end = 0;
    gboolean digits = strspn(text, "0123456789.") == strlen(text) && strlen(text) <= 8;
    if (!digits || sscanf(text, "%d.%d%n", &major, &minor, &end) != 2 || major < 2 ||
        minor > 99 || (text[end] && text[end] != '.'))
        return 0;
    return major * 100 + minor;
}

double collective_busbw_factor(CollectiveKind kind, int n_members)
{
    double share = (double)(n_members - 1) / n_members;
    switch (kind) {
    case COLLECTIVE_ALL_REDUCE:
        return 2 * share;
    case COLLECTIVE_ALL_GATHER:
    case COLLECTIVE_REDUCE_SCATTER:
    case COLLECTIVE_ALL_TO_ALL:
        return share;
    case COLLECTIVE_BROADCAST:
    case COLLECTIVE_REDUCE:
    case COLLECTIVE_SEND_RECV:
    case N_COLLECTIVES:
        break;
    }
    return n_members > 1 ? 1 : 0;
}

static void flows_add(FlowSet *set, const Comm *comm, const CollectiveCall *call,
                      const TunerChoice *choice, int channels)
{
    double bytes = (double)call->payload_bytes / data_fraction[choice->protocol];
    switch (choice->algorithm) {
    case ALGORITHM_RING:
        flows_of_ring(set, comm, call, channels, bytes);
        break;
    case ALGORITHM_TREE:
        flows_of_tree(set, comm, channels, bytes);
        break;
    case ALGORITHM_COLLNET_DIRECT:
    case ALGORITHM_COLLNET_CHAIN:
        flows_of_collnet(set, comm, call->kind, choice->algorithm == ALGORITHM_COLLNET_CHAIN,
                         channels, bytes);
        break;
    case ALGORITHM_NVLS:
    case ALGORITHM_NVLS_TREE:
        flows_of_nvls(set, comm, call->kind, choice->algorithm == ALGORITHM_NVLS_TREE, bytes);
        break;
    case ALGORITHM_PAT:
        flows_of_pat(set, comm, call->kind == COLLECTIVE_ALL_GATHER, bytes);
        break;
    case ALGORITHM_DIRECT:
        if (call->kind == COLLECTIVE_ALL_TO_ALL)
            flows_of_all_to_all(set, comm, bytes);
        else
            flows_of_shift(set, comm, bytes);
        break;
    case N_ALGORITHMS:
        g_assert_not_reached();
    }
}

static void plan_fill(CollectivePlan *plan, const Planner *planner, const CollectiveCall *call)
{
    const NcclOptions *options = planner->options;
    Timing timing = timing_compute(planner, call);
    const TunerChoice *choice = &timing.choice;
    const ChannelGraph *graph = tuner_graph(&planner->graphs, choice->algorithm);
    plan->algorithm = choice->algorithm;
    plan->protocol = choice->protocol;
    plan->channels = options && options->channels > 0
                         ? options->channels
                         : tuner_blocks(planner->comm, graph, call, choice);
    plan->model = timing.model;
    plan->fitted = timing.fitted;
    double least = timing_least_s(planner, call);
    plan->latency_s = MAX(timing.latency_s, least - timing.flow_s);
    plan->time_s = plan->latency_s + timing.flow_s;
    FlowSet *set = flow_set_new();
    flows_add(set, planner->comm, call, choice, graph->channels);
    plan->flows = flow_set_free(set);
    plan->engine_bytes_per_s = flows_makespan(plan->flows, FALSE) / timing.flow_s;
    plan->nic_engine_bytes_per_s = flows_makespan(plan->flows, TRUE) / timing.flow_s;
}

CollectivePlan *collective_plan(const Cluster *cluster, const int *members, int n_members,
                                const CollectiveCall *call, const NcclOptions *options)
{
    CollectivePlan *plan = g_new0(CollectivePlan, 1);
    plan->algorithm = ALGORITHM_RING;
    plan->protocol = PROTOCOL_SIMPLE;
    /* NCCL returns at once from a collective of nothing or with itself. */
    if (n_members < 2 || call->payload_bytes == 0 || (options && options->instant)) {
        plan->flows = g_array_new(FALSE, FALSE, sizeof(Flow));
        return plan;
    }
    g_autoptr(Comm) comm = comm_new(cluster, members, n_members, options);
    g_autofree int *scores = timing_scores(cluster, comm, options);
    const Planner planner = {cluster, comm, tuner_graphs(comm), options, scores};
    plan_fill(plan, &planner, call);
    return plan;
}

gboolean collective_can_run(const Cluster *cluster, const int *members, int n_members,
                            const NcclOptions *options)
{
    g_autoptr(Comm) comm = comm_new(cluster, members, n_members, options);
    for (int kind = 0; kind < N_COLLECTIVES; kind++)
        for (int a = 0; a < N_ALGORITHMS; a++)
            for (int p = 0; p < N_PROTOCOLS; p++) {
                const CollectiveCall call = {.kind = (CollectiveKind)kind};
                gboolean asked = (options->algorithm < 0 || a == options->algorithm) &&
                                 (options->protocol < 0 || p == options->protocol);
                if (asked && tuner_can_run(comm, &call, (Algorithm)a, (Protocol)p))
                    return TRUE;
            }
    return FALSE;
}

void collective_plan_free(CollectivePlan *plan)
{
    if (!plan)
        return;
    g_array_unref(plan->flows);
    g_free(plan);
}
