/* SPDX-License-Identifier: MIT */
/* NCCL 2.30's cost model of the ring: src/graph/search.cc finds channels, src/graph/tuning.cc
 * predicts each protocol. Where NCCL reads a node's topology this reads two rates: all GPUs of
 * a node reach each other at the same speed through a switch. */
#include "collective_tuner.h"

#include <math.h>
#include <string.h>

typedef enum { VOLTA, AMPERE, HOPPER, BLACKWELL, N_GENERATIONS } Generation;
enum { ONE_NODE, TWO_NODES, MORE_NODES, N_NODE_CLASSES };

#define GB 1e9
#define US 1e-6
#define MAX_SEARCH_CHANNELS 32
#define MAX_SPEEDS 24

/* tuning.cc ncclTunerConstantsDefaults, microseconds; LL, LL128, Simple. */
static const double base_latency_us[N_PROTOCOLS] = {6.6, 14, 8.4};
static const double nvlink_latency_us[N_PROTOCOLS] = {0.6, 1.9, 3.4};
static const double pci_latency_us[N_PROTOCOLS] = {1.0, 2.5, 5.7};
static const double net_latency_us[N_PROTOCOLS] = {2.7, 4.0, 14};
/* Tree's, which one rank a node and unlike channels use. */
static const double tree_net_latency_us[N_PROTOCOLS] = {5.0, 8.5, 14};

/* GB/s by generation and one, two, more nodes. */
static const double ll_max_bandwidth[N_GENERATIONS][N_NODE_CLASSES] = {
    {39, 39, 20.4}, {87.7, 22.5, 19}, {141, 45, 35}, {282, 90, 70}};
static const double ll128_channel_bandwidth[N_GENERATIONS] = {20, 20, 36.7, 40};

/* What the search credits of the data sheet's NVLink rate: 20 of 25 GB/s a link, 20.6 of 25,
 * 40.1 of 50 (topo.h). */
static const double nvlink_credit_frac[N_GENERATIONS] = {20.0 / 25, 20.0 / 25, 20.6 / 25,
                                                         40.1 / 50};
/* topo.h: PCIe x16 of the generation that such GPUs have, GB/s. */
static const double pcie_bandwidth[N_GENERATIONS] = {12, 24, 48, 48};

/* search.cc: trial speeds of a channel, GB/s, 0-terminated. */
static const double speeds_intra[MAX_SPEEDS] = {40, 30, 20, 18, 15, 12, 10, 9, 7, 6, 5, 4, 3};
static const double speeds_intra_sm90[MAX_SPEEDS] = {60, 50, 40, 30, 24, 20, 15, 12, 11, 6, 3};
static const double speeds_intra_sm100[MAX_SPEEDS] = {90, 80, 70, 60, 50, 45,
                                                      40, 30, 24, 20, 19, 18};
static const double speeds_inter[MAX_SPEEDS] = {48, 30, 28, 24, 20, 18,  15,  12,  10, 9,
                                                7,  6,  5,  4,  3,  2.4, 1.2, .24, .12};
static const double speeds_inter_sm90[MAX_SPEEDS] = {48, 45, 42, 40, 30,  24,  22,  20, 17.5,
                                                     15, 12, 6,  3,  2.4, 1.2, .24, .12};
static const double speeds_inter_sm100[MAX_SPEEDS] = {
    96, 86, 80, 48, 45.1, 42, 40, 30, 24, 22, 20, 17.5, 15, 12, 6, 3, 2.4, 1.2, .24, .12};

static Generation generation_of(const RingShape *shape)
{
    if (shape->compute_capability >= 100)
        return BLACKWELL;
    if (shape->compute_capability >= 90)
        return HOPPER;
    return shape->compute_capability >= 80 ? AMPERE : VOLTA;
}

static int node_class(const RingShape *shape)
{
    return MIN(shape->n_nodes, 3) - 1;
}

static const double *trial_speeds(const RingShape *shape)
{
    static const double *const table[2][N_GENERATIONS] = {
        {speeds_intra, speeds_intra, speeds_intra_sm90, speeds_intra_sm100},
        {speeds_inter, speeds_inter, speeds_inter_sm90, speeds_inter_sm100}};
    return table[shape->n_nodes > 1][generation_of(shape)];
}

/* All channels together through one GPU, GB/s. */
static double gpu_capacity(const RingShape *shape)
{
    Generation generation = generation_of(shape);
    if (shape->nvlink_bytes_per_s > 0)
        return shape->nvlink_bytes_per_s / GB * nvlink_credit_frac[generation];
    return pcie_bandwidth[generation];
}

/* Channels of `speed` that fit, as a double: a capacity may be infinite. */
static double channels_that_fit(const RingShape *shape, double speed)
{
    double fit = INFINITY;
    if (shape->ranks_per_node > 1)
        fit = floor(gpu_capacity(shape) / speed);
    if (shape->n_nodes > 1 && shape->nic_bytes_per_s > 0)
        fit = MIN(fit, shape->nics_per_node * floor(shape->nic_bytes_per_s / GB / speed));
    return fit;
}

/* All channels together, GB/s, when the table of speeds doesn't apply. */
static double total_capacity(const RingShape *shape)
{
    double capacity = INFINITY;
    if (shape->ranks_per_node > 1)
        capacity = gpu_capacity(shape);
    if (shape->n_nodes > 1 && shape->nic_bytes_per_s > 0)
        capacity = MIN(capacity, shape->nics_per_node * shape->nic_bytes_per_s / GB);
    return capacity;
}

/* The highest speed whose channels fit, and a lower one only if more bytes fit in all: NCCL
 * looks down to half the best speed. */
static void speed_search(const RingShape *shape, int *channels, double *speed)
{
    const double *trial = trial_speeds(shape);
    *channels = 0;
    *speed = 0;
    /* A cluster faster than NCCL's fastest entry (an idealised one) still uses all its rate. */
    if (channels_that_fit(shape, trial[0]) > MAX_SEARCH_CHANNELS) {
        *channels = MAX_SEARCH_CHANNELS;
        *speed = total_capacity(shape) / MAX_SEARCH_CHANNELS;
        return;
    }
    for (int i = 0; trial[i] > 0; i++) {
        if (*channels > 0 && trial[i] / *speed <= 0.49)
            return;
        int fit = (int)MIN(channels_that_fit(shape, trial[i]), MAX_SEARCH_CHANNELS);
        if (fit * trial[i] > *channels * *speed) {
            *channels = fit;
            *speed = trial[i];
        }
    }
    if (*channels == 0) {
        *channels = 1;
        *speed = total_capacity(shape);
    }
}

/* search.cc ncclTopoDupChannels: fast channels are halved, so that more SMs share the work. */
static gboolean duplicates_channels(const RingShape *shape, int channels, double speed)
{
    if (speed < 25)
        return FALSE;
    return shape->compute_capability <= 80 || speed >= 50 || channels <= 4;
}

RingGraph ring_graph_search(const RingShape *shape)
{
    int channels;
    double speed;
    speed_search(shape, &channels, &speed);
    if (duplicates_channels(shape, channels, speed)) {
        int doubled = MIN(2 * channels, MAX_SEARCH_CHANNELS);
        speed *= (double)channels / doubled;
        channels = doubled;
    }
    int blocks = 2 * channels; /* connect.cc ncclTopoPostset */
    if (shape->compute_capability >= 90 && shape->n_nodes > 1 && speed > 45 && blocks < 16)
        blocks *= 2;
    return (RingGraph){
        .channels = channels, .channel_bytes_per_s = speed * GB, .blocks = blocks};
}

int ring_n_steps(CollectiveKind kind, int n_ranks)
{
    switch (kind) {
    case COLLECTIVE_ALL_REDUCE:
        return 2 * (n_ranks - 1);
    case COLLECTIVE_ALL_GATHER:
    case COLLECTIVE_REDUCE_SCATTER:
        return n_ranks - 1;
    case COLLECTIVE_BROADCAST:
    case COLLECTIVE_REDUCE:
    case N_COLLECTIVES:
        break;
    }
    return n_ranks;
}

static double intra_latency_us(const RingShape *shape, Protocol protocol)
{
    return shape->nvlink_bytes_per_s > 0 ? nvlink_latency_us[protocol]
                                         : pci_latency_us[protocol];
}

static double pipeline_latency_us(const RingShape *shape, Protocol protocol, int n_steps)
{
    /* On one node every channel visits the GPUs in the same order, and NCCL counts one hop. */
    if (shape->n_nodes == 1)
        return intra_latency_us(shape, protocol);
    return n_steps *
           (protocol == PROTOCOL_SIMPLE ? tree_net_latency_us : net_latency_us)[protocol];
}

static double ring_hops_latency_us(const RingShape *shape, CollectiveKind kind,
                                   Protocol protocol, int n_steps)
{
    int n_between = (kind == COLLECTIVE_ALL_REDUCE ? 2 : 1) * (shape->n_nodes - 1);
    double overhead = shape->n_nodes == 1 ? 0 : shape->amd ? 2.0 : 1.0;
    if (protocol == PROTOCOL_SIMPLE)
        overhead *= 3;
    const double *net = shape->ranks_per_node == 1 ? tree_net_latency_us : net_latency_us;
    return (n_steps - n_between) * MAX(intra_latency_us(shape, protocol), overhead) +
           n_between * net[protocol];
}

double ring_latency_s(const RingShape *shape, const RingGraph *graph, CollectiveKind kind,
                      Protocol protocol, gint64 payload_bytes)
{
    int n_steps = ring_n_steps(kind, shape->n_ranks);
    gboolean pipeline = kind == COLLECTIVE_BROADCAST || kind == COLLECTIVE_REDUCE;
    double latency_us = base_latency_us[protocol] +
                        (pipeline ? pipeline_latency_us(shape, protocol, n_steps)
                                  : ring_hops_latency_us(shape, kind, protocol, n_steps));
    /* tuning.cc ncclTopoGetAlgoTime: "Plateau effect of ring". */
    if (kind == COLLECTIVE_ALL_REDUCE && protocol == PROTOCOL_SIMPLE && shape->n_nodes > 1 &&
        payload_bytes / ((gint64)graph->blocks * shape->n_ranks) >= 64)
        latency_us *= shape->compute_capability >= 80 ? 1.4 : 1.9;
    return latency_us * US;
}

double ring_bus_bytes_per_s(const RingShape *shape, const RingGraph *graph, Protocol protocol)
{
    double bus = graph->channels * graph->channel_bytes_per_s;
    switch (protocol) {
    case PROTOCOL_LL: {
        /* Between nodes the limit is the host's, and NCCL keeps it in these two rows. */
        Generation row = shape->n_nodes == 1 ? generation_of(shape)
                         : shape->amd        ? AMPERE
                                             : VOLTA;
        return MIN(ll_max_bandwidth[row][node_class(shape)] * GB, bus / 2);
    }
    case PROTOCOL_LL128:
        return MIN(0.92 * bus,
                   graph->channels * ll128_channel_bandwidth[generation_of(shape)] * GB);
    case PROTOCOL_SIMPLE:
    case N_PROTOCOLS:
        break;
    }
    return bus;
}

gboolean ring_allows_protocol(const RingShape *shape, Protocol protocol)
{
    if (protocol != PROTOCOL_LL128)
        return TRUE;
    return shape->compute_capability >= 70 &&
           (shape->ranks_per_node == 1 || shape->nvlink_bytes_per_s > 0);
}
