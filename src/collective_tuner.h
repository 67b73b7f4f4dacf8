/* SPDX-License-Identifier: MIT */
/* NCCL's tuner for the ring: the channels its search finds, and the latency and bandwidth it
 * predicts for each protocol. Private to collective*.c. */
#pragma once

#include "collective.h"

G_BEGIN_DECLS

/* The members as NCCL sees them. */
typedef struct {
    int n_ranks, n_nodes;
    int ranks_per_node;                         /* most members on one node */
    int nics_per_node;                          /* fewest NICs beside the members of one node */
    int compute_capability;                     /* 80: sm_80 */
    gboolean amd;                               /* host CPUs are AMD's */
    double nvlink_bytes_per_s, nic_bytes_per_s; /* one direction; 0: none */
} RingShape;

typedef struct {
    int channels; /* of the search graph, after duplication */
    double channel_bytes_per_s;
    int blocks; /* thread blocks a GPU, one SM each: what NCCL's log calls coll channels */
} RingGraph;

RingGraph ring_graph_search(const RingShape *shape);

/* Seconds; `payload_bytes` decides whether NCCL's plateau correction applies. */
double ring_latency_s(const RingShape *shape, const RingGraph *graph, CollectiveKind kind,
                      Protocol protocol, gint64 payload_bytes);

/* Payload that each ring link carries a second: nccl-tests' bus bandwidth. */
double ring_bus_bytes_per_s(const RingShape *shape, const RingGraph *graph, Protocol protocol);

/* Hops of the slowest chunk: 2(n-1) for all-reduce, n-1 for the two halves, n for a pipeline.
 */
int ring_n_steps(CollectiveKind kind, int n_ranks);

/* LL128 relies on 128-byte stores arriving whole: NVLink, and Volta or newer. */
gboolean ring_allows_protocol(const RingShape *shape, Protocol protocol);

G_END_DECLS
