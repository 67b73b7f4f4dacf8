/* SPDX-License-Identifier: MIT */
/* The members of a communicator as NCCL sees them: nodes, NICs, and the order in which a
 * channel visits a node's GPUs. Private to collective*.c. */
#pragma once

#include "collective.h"

G_BEGIN_DECLS

/* The members on one node: a slice of the members, and which of the node's NICs is beside
 * each (0 … n_nics-1, in order of appearance). */
typedef struct {
    int first, n;
    int n_nics;
    int *nic;     /* by position in the slice */
    int n_orders; /* ways through the node that channels take in turn */
    int *orders;  /* positions, n to an order */
} NodeMembers;

typedef struct {
    const int *members;
    GArray *nodes; /* NodeMembers */
    int n_ranks, n_nodes;
    int ranks_per_node;                         /* most members on one node */
    int nics_per_node;                          /* fewest NICs beside the members of one node */
    int compute_capability;                     /* 80: sm_80 */
    gboolean amd;                               /* host CPUs are AMD's */
    gboolean nvswitch;                          /* all GPUs of a node meet at switches */
    gboolean collnet;                           /* network switches reduce */
    int version;                                /* of NCCL; 0: the newest */
    unsigned protocols;                         /* a bit each: those that NCCL may choose */
    double nvlink_bytes_per_s, nic_bytes_per_s; /* one direction; 0: none */
    double nic_latency_s;                       /* NIC to leaf */
    NcclPlugin nccl;
} Comm;

Comm *comm_new(const Cluster *cluster, const int *members, int n_members,
               const NcclOptions *options);
void comm_free(Comm *comm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Comm, comm_free)

const NodeMembers *comm_node(const Comm *comm, int node);
/* The order in which `channel` visits the node, n positions. */
const int *comm_order(const NodeMembers *node, int channel);
/* Index in that order of the member through whose NIC (channel mod NICs) the channel leaves the
 * node; channels take turns where GPUs share a NIC. */
int comm_exit(const NodeMembers *node, int channel);
/* The rank that stands for the NIC beside a position: the node's first that has it. */
int comm_nic_rank(const Comm *comm, const NodeMembers *node, int position);
/* Where a rail from another node's NIC ends on this one: the NIC of the same index, if it has
 * that many. */
int comm_rail_rank(const Comm *comm, const NodeMembers *node, int nic);

G_END_DECLS
