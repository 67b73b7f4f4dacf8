/* SPDX-License-Identifier: MIT */
/* Timings of collectives, and the floor under them where calibrations hold. */
#include "collective_timing.h"

#include "collective_calibration.h"

/* NCCL's constants of the network are InfiniBand's, with ways of about 1.5 us. */
#define INFINIBAND_WAY_S 1.5e-6

static NcclPrediction prediction_of(const Comm *comm, const ChannelGraph *graph,
                                    const CollectiveCall *call, const TunerChoice *choice,
                                    double flow_s)
{
    return (NcclPrediction){
        .algorithm = choice->algorithm,
        .generation = comm_generation(comm),
        .one_node = comm->n_nodes == 1,
        .n_ranks = comm->n_ranks,
        .payload_bytes = (double)call->payload_bytes,
        .loop_bytes = (double)choice->loop_bytes,
        .n_blocks = graph->blocks,
        .latency_s = choice->latency_s - choice->declared_s,
        .node_hops_s = choice->node_hops_s,
        .n_net_hops = choice->n_net_hops,
        .network_excess_s = MAX(0, 2 * comm->nic_latency_s - INFINIBAND_WAY_S),
        .flow_s = flow_s,
        .in_shares = call->kind != COLLECTIVE_BROADCAST && call->kind != COLLECTIVE_REDUCE,
    };
}

int *timing_scores(const Cluster *cluster, const Comm *comm, const NcclOptions *options)
{
    return nccl_calibration_scores(options ? options->calibrations : NULL, cluster,
                                   comm->members, comm->n_ranks);
}

Timing timing_compute(const Planner *planner, const CollectiveCall *call)
{
    const NcclOptions *options = planner->options;
    Timing timing = {.choice = tuner_choose(planner->comm, &planner->graphs, call, options)};
    const TunerChoice *choice = &timing.choice;
    const ChannelGraph *graph = tuner_graph(&planner->graphs, choice->algorithm);
    timing.latency_s = choice->latency_s;
    timing.flow_s = (double)call->payload_bytes / choice->bytes_per_s;
    /* Fewer thread blocks than the channels want move fewer bytes; more find no more links. */
    if (options && options->channels > 0)
        timing.flow_s *= MAX(1, (double)graph->blocks / options->channels);
    timing.model = prediction_of(planner->comm, graph, call, choice, timing.flow_s);
    NcclCalibration terms;
    if (nccl_calibration_choose(options ? options->calibrations : NULL, planner->scores,
                                choice->algorithm, &terms)) {
        timing.fitted = terms.has[choice->algorithm];
        nccl_calibration_apply(&terms, &timing.model, &timing.latency_s, &timing.flow_s);
    }
    return timing;
}

static gboolean same_choice(const Timing *a, const Timing *b)
{
    return a->choice.algorithm == b->choice.algorithm &&
           a->choice.protocol == b->choice.protocol &&
           a->choice.loop_bytes == b->choice.loop_bytes;
}

/* The largest payload below `above` that NCCL moves in another way, and its timing; at `below`
 * it does. */
static gint64 switch_find(const Planner *planner, CollectiveCall call, gint64 below,
                          gint64 above, const Timing *timing, Timing *other)
{
    call.payload_bytes = below;
    *other = timing_compute(planner, &call);
    while (above - below > 1) {
        call.payload_bytes = below + (above - below) / 2;
        Timing middle = timing_compute(planner, &call);
        if (same_choice(&middle, timing)) {
            above = call.payload_bytes;
        } else {
            below = call.payload_bytes;
            *other = middle;
        }
    }
    return below;
}

/* The longest that fewer bytes take. */
static double least_of_bytes_s(const Planner *planner, CollectiveCall call, Timing timing)
{
    double least = 0;
    gint64 above = call.payload_bytes;
    while (above > 1) {
        gint64 below = (gint64)1 << (g_bit_storage((gulong)(above - 1)) - 1);
        call.payload_bytes = below;
        Timing other = timing_compute(planner, &call);
        if (!same_choice(&other, &timing)) {
            below = switch_find(planner, call, below, above, &timing, &other);
            least = MAX(least, other.latency_s + other.flow_s);
        }
        timing = other;
        above = below;
    }
    return least;
}

/* 1, 2, 3, 4, 6, 8, 12 and so on. */
static int next_count(int n_nodes)
{
    if (n_nodes < 2)
        return n_nodes + 1;
    gboolean power_of_two = (n_nodes & (n_nodes - 1)) == 0;
    return power_of_two ? n_nodes + n_nodes / 2 : n_nodes / 3 * 4;
}

static gboolean nodes_are_equal(const Comm *comm)
{
    for (int i = 1; i < comm->n_nodes; i++)
        if (comm_node(comm, i)->n != comm_node(comm, 0)->n)
            return FALSE;
    return TRUE;
}

/* The first so many nodes: the same, fewer. */
static double first_nodes_s(const Planner *planner, const CollectiveCall *call, int n_nodes)
{
    const Comm *whole = planner->comm;
    int n_members = n_nodes * comm_node(whole, 0)->n;
    if (n_members < 2)
        return 0;
    g_autoptr(Comm) comm =
        comm_new(planner->cluster, whole->members, n_members, planner->options);
    g_autofree int *scores = timing_scores(planner->cluster, comm, planner->options);
    const Planner fewer = {planner->cluster, comm, tuner_graphs(comm), planner->options,
                           scores};
    Timing timing = timing_compute(&fewer, call);
    double least = least_of_bytes_s(&fewer, *call, timing);
    return MAX(least, timing.latency_s + timing.flow_s);
}

/* NCCL's choice doesn't know what a calibration knows: where it leaves one algorithm or
 * protocol for another, the calibrated time would fall. Measured times don't, but for noise.
 * Counts of nodes between those of the series can fall a little still. */
double timing_least_s(const Planner *planner, const CollectiveCall *call)
{
    if (!planner->options || !planner->options->calibrations)
        return 0;
    Timing timing = timing_compute(planner, call);
    double least = least_of_bytes_s(planner, *call, timing);
    if (!nodes_are_equal(planner->comm))
        return least;
    for (int n = 1; n < planner->comm->n_nodes; n = next_count(n)) {
        double fewer_s = first_nodes_s(planner, call, n);
        least = MAX(least, fewer_s);
    }
    return least;
}
