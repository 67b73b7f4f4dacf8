/* SPDX-License-Identifier: MIT */
/* NCCL's tuner: the channels its search finds, the latency and bandwidth it predicts for each
 * algorithm and protocol, and which of them it takes. Private to collective*.c. */
#pragma once

#include "collective_comm.h"

G_BEGIN_DECLS

typedef struct {
    int channels; /* of the search graph, after duplication; 0: there is none */
    double intra_bytes_per_s, inter_bytes_per_s; /* of a channel, in and between nodes */
    int blocks; /* thread blocks a GPU, one SM each: what NCCL's log calls coll channels */
} ChannelGraph;

typedef struct {
    ChannelGraph ring; /* CollNet's too */
    ChannelGraph tree;
    ChannelGraph nvls;
} CommGraphs;

/* What one collective does. */
typedef struct {
    Algorithm algorithm;
    Protocol protocol;
    double latency_s;
    double node_hops_s; /* of the latency, what hops within nodes make */
    double declared_s;  /* of the latency, what the network's plug-in declares of hops */
    int n_net_hops;     /* hops between nodes, one after the other */
    double bytes_per_s; /* payload over time, latency apart */
    gint64 loop_bytes;  /* payload that all blocks of NVSwitches' algorithms move in turn */
} TunerChoice;

Generation comm_generation(const Comm *comm);
gboolean tuner_has_nvls(const Comm *comm);
CommGraphs tuner_graphs(const Comm *comm);
/* What all channels together may take of a GPU's links, one direction. */
double tuner_gpu_bytes_per_s(const Comm *comm);

const ChannelGraph *tuner_graph(const CommGraphs *graphs, Algorithm algorithm);

/* Whether NCCL can run it when it is asked for by name. */
gboolean tuner_can_run(const Comm *comm, const CollectiveCall *call, Algorithm algorithm,
                       Protocol protocol);

/* tuning.cc's prediction. */
TunerChoice tuner_predict(const Comm *comm, const CommGraphs *graphs,
                          const CollectiveCall *call, Algorithm algorithm, Protocol protocol);
/* The prediction's time, as the communicator's release of NCCL had it. */
double tuner_decision_s(const Comm *comm, const CommGraphs *graphs, const CollectiveCall *call,
                        const TunerChoice *choice);
/* The fastest by that, within the options. An algorithm or protocol that can't run this
 * call doesn't bind it. */
TunerChoice tuner_choose(const Comm *comm, const CommGraphs *graphs, const CollectiveCall *call,
                         const NcclOptions *options);

/* Payload that NVLS or NVLSTree moves in one turn of all its blocks; 0: another algorithm. */
gint64 tuner_loop_bytes(const Comm *comm, const ChannelGraph *graph, Algorithm algorithm,
                        gint64 payload_bytes);

/* Thread blocks that the call gets of the graph's: few bytes keep fewer busy. */
int tuner_blocks(const Comm *comm, const ChannelGraph *graph, const CollectiveCall *call,
                 const TunerChoice *choice);

/* Hops of the slowest chunk: 2(n-1) for all-reduce, n-1 for the two halves, n for a pipeline.
 */
int tuner_n_steps(CollectiveKind kind, int n_ranks);

G_END_DECLS
