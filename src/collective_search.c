/* SPDX-License-Identifier: MIT */
/* The channels that NCCL's search finds (src/graph/search.cc, topo.h): how many, and how fast.
 * Where NCCL reads a node's topology this reads two rates: all GPUs of a node reach each other
 * at the same speed through a switch. */
#include "collective_tuner.h"

#include <math.h>

#define GB 1e9
#define MAX_SEARCH_CHANNELS 32
#define MAX_SPEEDS 24
#define MAX_NVLS_HEADS 32 /* NCCL_MAX_NVLS_ARITY */

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

Generation comm_generation(const Comm *comm)
{
    if (comm->compute_capability >= 100)
        return BLACKWELL;
    if (comm->compute_capability >= 90)
        return HOPPER;
    return comm->compute_capability >= 80 ? AMPERE : VOLTA;
}

static const double *trial_speeds(const Comm *comm, gboolean between_nodes)
{
    static const double *const table[2][N_GENERATIONS] = {
        {speeds_intra, speeds_intra, speeds_intra_sm90, speeds_intra_sm100},
        {speeds_inter, speeds_inter, speeds_inter_sm90, speeds_inter_sm100}};
    return table[between_nodes][comm_generation(comm)];
}

double tuner_gpu_bytes_per_s(const Comm *comm)
{
    Generation generation = comm_generation(comm);
    if (comm->nvlink_bytes_per_s > 0)
        return comm->nvlink_bytes_per_s * nvlink_credit_frac[generation];
    return pcie_bandwidth[generation] * GB;
}

/* Channels of `speed` that fit, as a double: a capacity may be infinite. */
static double channels_that_fit(const Comm *comm, double speed)
{
    double fit = INFINITY;
    if (comm->ranks_per_node > 1)
        fit = floor(tuner_gpu_bytes_per_s(comm) / GB / speed);
    if (comm->n_nodes > 1 && comm->nic_bytes_per_s > 0)
        fit = MIN(fit, comm->nics_per_node * floor(comm->nic_bytes_per_s / GB / speed));
    return fit;
}

/* All channels together, GB/s, when the table of speeds doesn't apply. */
static double total_capacity(const Comm *comm)
{
    double capacity = INFINITY;
    if (comm->ranks_per_node > 1)
        capacity = tuner_gpu_bytes_per_s(comm) / GB;
    if (comm->n_nodes > 1 && comm->nic_bytes_per_s > 0)
        capacity = MIN(capacity, comm->nics_per_node * comm->nic_bytes_per_s / GB);
    return capacity;
}

/* The highest speed whose channels fit, and a lower one only if more bytes fit in all: NCCL
 * looks down to half the best speed. */
static void speed_search(const Comm *comm, int *channels, double *speed)
{
    const double *trial = trial_speeds(comm, comm->n_nodes > 1);
    *channels = 0;
    *speed = 0;
    /* A cluster faster than NCCL's fastest entry (an idealised one) still uses all its rate. */
    if (channels_that_fit(comm, trial[0]) > MAX_SEARCH_CHANNELS) {
        *channels = MAX_SEARCH_CHANNELS;
        *speed = total_capacity(comm) / MAX_SEARCH_CHANNELS;
        return;
    }
    for (int i = 0; trial[i] > 0; i++) {
        if (*channels > 0 && trial[i] / *speed <= 0.49)
            return;
        int fit = (int)MIN(channels_that_fit(comm, trial[i]), MAX_SEARCH_CHANNELS);
        if (fit * trial[i] > *channels * *speed) {
            *channels = fit;
            *speed = trial[i];
        }
    }
    if (*channels == 0) {
        *channels = 1;
        *speed = total_capacity(comm);
    }
}

/* search.cc ncclTopoDupChannels: fast channels are halved, so that more SMs share the work. */
static gboolean duplicates_channels(const Comm *comm, int channels, double speed)
{
    if (speed < 25)
        return FALSE;
    return comm->compute_capability <= 80 || speed >= 50 || channels <= 4;
}

static ChannelGraph ring_search(const Comm *comm)
{
    int channels;
    double speed;
    speed_search(comm, &channels, &speed);
    if (duplicates_channels(comm, channels, speed)) {
        int doubled = MIN(2 * channels, MAX_SEARCH_CHANNELS);
        speed *= (double)channels / doubled;
        channels = doubled;
    }
    int blocks = 2 * channels; /* connect.cc ncclTopoPostset */
    if (comm->compute_capability >= 90 && comm->n_nodes > 1 && speed > 45 && blocks < 16)
        blocks *= 2;
    return (ChannelGraph){.channels = channels,
                          .intra_bytes_per_s = speed * GB,
                          .inter_bytes_per_s = speed * GB,
                          .blocks = blocks};
}

static int nvls_heads(const Comm *comm)
{
    return MIN(comm->ranks_per_node, MAX_NVLS_HEADS);
}

/* Whether a head's channel of this speed fits: it passes its own GPU twice and any other once,
 * and heads that share a NIC share its rate. */
static gboolean nvls_fits(const Comm *comm, double intra, double inter)
{
    int n = nvls_heads(comm);
    int heads_a_nic = (n + comm->nics_per_node - 1) / comm->nics_per_node;
    if ((n + 1) * intra > tuner_gpu_bytes_per_s(comm) / GB)
        return FALSE;
    return comm->n_nodes == 1 || comm->nic_bytes_per_s <= 0 ||
           heads_a_nic * inter <= comm->nic_bytes_per_s / GB;
}

/* One channel a head; then the rate between nodes is raised alone. */
static ChannelGraph nvls_search(const Comm *comm)
{
    const double *trial = trial_speeds(comm, comm->n_nodes > 1);
    static const int blocks[N_GENERATIONS] = {[HOPPER] = 16, [BLACKWELL] = 24};
    int i = 0, n_blocks = blocks[comm_generation(comm)];
    while (trial[i] > 0 && !nvls_fits(comm, trial[i], trial[i]))
        i++;
    if (trial[i] == 0)
        return (ChannelGraph){0};
    int raised = i;
    while (raised > 0 && trial[raised] < 2 * trial[i] &&
           nvls_fits(comm, trial[i], trial[raised - 1]))
        raised--;
    if (comm_generation(comm) == BLACKWELL && comm->n_nodes > 1)
        n_blocks = 32;
    return (ChannelGraph){.channels = nvls_heads(comm),
                          .intra_bytes_per_s = trial[i] * GB,
                          .inter_bytes_per_s = trial[raised] * GB,
                          .blocks = n_blocks};
}

/* Between two nodes each byte of a tree passes a NIC once where a ring's does twice: NCCL
 * raises the rate inside the nodes alone, up to twice that of the NICs ("See if we can increase
 * bwIntra for trees"). */
static ChannelGraph tree_search(const Comm *comm, const ChannelGraph *ring)
{
    ChannelGraph tree = *ring;
    const double *trial = trial_speeds(comm, TRUE);
    if (comm->n_nodes != 2 || comm->ranks_per_node == 1)
        return tree;
    int i = 0;
    while (trial[i] * GB > 2 * ring->inter_bytes_per_s ||
           ring->channels * trial[i] * GB > tuner_gpu_bytes_per_s(comm))
        i++;
    tree.intra_bytes_per_s = MAX(tree.intra_bytes_per_s, trial[i] * GB);
    return tree;
}

gboolean tuner_has_nvls(const Comm *comm)
{
    return comm->compute_capability >= 90 && comm->nvswitch && comm->ranks_per_node > 1;
}

CommGraphs tuner_graphs(const Comm *comm)
{
    CommGraphs graphs = {.ring = ring_search(comm)};
    graphs.tree = tree_search(comm, &graphs.ring);
    if (tuner_has_nvls(comm))
        graphs.nvls = nvls_search(comm);
    return graphs;
}
