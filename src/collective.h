/* SPDX-License-Identifier: MIT */
/* NCCL's collectives: which algorithm and protocol runs, its latency terms, and who sends how
 * many bytes to whom. Pure functions of the cluster's shape; time passes in sim_*.c. */
#pragma once

#include "cluster.h"
#include "kernel.h"

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
    COLLECTIVE_ALL_REDUCE,
    COLLECTIVE_ALL_GATHER,
    COLLECTIVE_REDUCE_SCATTER,
    COLLECTIVE_BROADCAST,
    COLLECTIVE_REDUCE,
    COLLECTIVE_ALL_TO_ALL,
    COLLECTIVE_SEND_RECV, /* each member to the next, as nccl-tests' sendrecv */
    N_COLLECTIVES
} CollectiveKind;

typedef enum {
    ALGORITHM_RING,
    ALGORITHM_TREE,
    ALGORITHM_COLLNET_DIRECT,
    ALGORITHM_COLLNET_CHAIN,
    ALGORITHM_NVLS,
    ALGORITHM_NVLS_TREE,
    ALGORITHM_PAT,
    ALGORITHM_DIRECT, /* point-to-point; nobody chooses it */
    N_ALGORITHMS
} Algorithm;
/* Of GPUs, as NCCL's tables have them; older ones count as Volta. */
typedef enum { VOLTA, AMPERE, HOPPER, BLACKWELL, N_GENERATIONS } Generation;
typedef enum { PROTOCOL_LL, PROTOCOL_LL128, PROTOCOL_SIMPLE, N_PROTOCOLS } Protocol;

typedef struct _NcclCalibration NcclCalibration; /* collective_calibration.h */

/* Overrides of [nccl]; -1 / 0: NCCL's own choice. An algorithm or protocol binds the
 * collectives that it can run. */
typedef struct {
    int algorithm, protocol, channels;
    gboolean collnet; /* the network's switches reduce (SHARP), and NCCL has the plug-in */
    const GPtrArray *calibrations; /* NcclCalibration *; each plan takes the best; NULL: none */
    int version;      /* 226: 2.26, whose choice it is; 0: the newest that is known */
    gboolean instant; /* collectives keep their order but take no time: what would a step be? */
} NcclOptions;

/* What a rank asks NCCL for. payload_bytes as nccl-tests counts: the buffer of all-reduce,
 * broadcast and reduce, the gathered total of all-gather, the input of reduce-scatter, a rank's
 * whole send buffer of the others. */
typedef struct {
    CollectiveKind kind;
    gint64 payload_bytes;
    int root;          /* rank; of broadcast and reduce only */
    gboolean averages; /* reduces by ncclAvg, which NVSwitches can't, and not by ncclSum */
} CollectiveCall;

/* A fluid flow of a collective. Ends are ranks: GPU to GPU inside a node, the NICs of those
 * GPUs between nodes. */
typedef struct {
    int from_rank, to_rank;
    gboolean between_nodes;
    double wire_bytes; /* payload over the protocol's data fraction */
} Flow;

/* Of flows with the same ends, for hash tables. */
guint flow_ends_hash(gconstpointer flow);
gboolean flow_ends_equal(gconstpointer one, gconstpointer other);

/* What NCCL's cost model says of a call, in the parts that a calibration corrects. */
typedef struct {
    Algorithm algorithm;
    Generation generation;
    gboolean one_node;
    int n_ranks;
    double payload_bytes;
    double loop_bytes;       /* payload that NVSwitches' blocks move in turn; 0: they don't */
    int n_blocks;            /* thread blocks that share it */
    double latency_s;        /* all of it but what a network's plug-in declares */
    double node_hops_s;      /* its part that hops within nodes make */
    int n_net_hops;          /* hops between nodes, one after the other */
    double network_excess_s; /* what a way through this network takes beyond InfiniBand's */
    double flow_s;
    gboolean in_shares; /* each rank has a share of the payload, and works on it too */
} NcclPrediction;

typedef struct {
    Algorithm algorithm;
    Protocol protocol;
    int channels;                  /* thread blocks a GPU, as NCCL's log counts them */
    double latency_s;              /* slept once, by all members together, before the flows */
    double engine_bytes_per_s;     /* wire-byte ceiling of a GPU's channels, one direction */
    double nic_engine_bytes_per_s; /* the same of a NIC */
    double time_s;        /* latency included, where these ceilings are the bottleneck */
    gboolean fitted;      /* by constants of a calibration; else NCCL's own model */
    GArray *flows;        /* Flow */
    NcclPrediction model; /* before any calibration */
} CollectivePlan;

/* `members` are ranks, ascending. */
CollectivePlan *collective_plan(const Cluster *cluster, const int *members, int n_members,
                                const CollectiveCall *call, const NcclOptions *options);
void collective_plan_free(CollectivePlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CollectivePlan, collective_plan_free)

/* Whether any collective of these members can run by the algorithm and protocol; -1: any. */
gboolean collective_can_run(const Cluster *cluster, const int *members, int n_members,
                            const NcclOptions *options);

/* 80 for sm_80, from a profile's name ("a100-sxm-80gb"); 0: not a GPU that is known here, which
 * collective_plan() takes for an A100's generation. */
int collective_compute_capability(const char *gpu);

/* 226 of "2.26" or "2.26.2", from 2.0 on; 0: no release. */
int collective_nccl_version(const char *text);

/* nccl-tests' bus bandwidth factor: bytes each rank sends for a byte of payload on average. */
double collective_busbw_factor(CollectiveKind kind, int n_members);

const char *collective_name(CollectiveKind kind);
const char *algorithm_name(Algorithm algorithm);
const char *generation_name(Generation generation);
const char *protocol_name(Protocol protocol);

G_END_DECLS
