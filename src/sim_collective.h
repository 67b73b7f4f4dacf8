/* SPDX-License-Identifier: MIT */
/* The collectives of a replay: for each group of ranks, one actor that conducts them, and one
 * on each host that they pass. Private to sim_*.c. */
#pragma once

#include "sim_network.h"
#include "sim_replay.h"

#include <simgrid/barrier.h>
#include <simgrid/mailbox.h>
#include <simgrid/semaphore.h>

G_BEGIN_DECLS

typedef struct _SimConductor SimConductor;

/* Two hosts that a group's collectives join, in one direction: one flow in each that uses it.
 */
typedef struct {
    Flow flow; /* ranks and whether between nodes */
    SimRoute route;
    int *links;         /* the route's, as indices of SimConductor.links */
    double *wire_bytes; /* by plan */
    sg_mailbox_t mailbox;
    void *received; /* SimGrid delivers a pointer; nobody reads it */
} SimHop;

/* A host that they pass: its actor sends what leaves it and receives what comes. */
typedef struct {
    SimConductor *conductor;
    sg_host_t host;
    GPtrArray *in, *out; /* SimHop * */
    sg_comm_t *comms;    /* scratch */
} SimPlayer;

/* A plan's use in the last step. */
typedef struct {
    int n_runs;
    double shortest_s;
} SimPlanUse;

/* An engine link that the group's flows cross. */
typedef struct {
    int link;  /* index in SimNetwork.links */
    int index; /* in SimConductor.links */
    gboolean of_nic;
} SimEngine;

struct _SimConductor {
    const SimReplay *replay;
    const SimGroup *group;
    SimNetwork *network;
    GPtrArray *hops;         /* SimHop * */
    GArray *links;           /* int: indices in SimNetwork.links that flows cross */
    GArray *engines;         /* SimEngine */
    GPtrArray *player_order; /* SimPlayer * */
    GHashTable *players;     /* sg_host_t → SimPlayer * */
    gboolean is_alone;  /* no other group's flows cross its links: they needn't be simulated */
    double *flow_s;     /* by plan: how long its flows take alone */
    double *channels_s; /* by plan: the least that its channels allow; -1: not yet computed */
    int *n_flows;       /* by plan: hops that it uses */
    gboolean is_over;
    int plan; /* that of the running collective */
    int n_flowing;
    sg_bar_t start;
    sg_sem_t flowed;
    SimPlanUse *uses; /* by plan; those of the conductor that it imitates */
};

SimConductor *sim_conductor_new(const SimReplay *replay, const SimGroup *group,
                                SimNetwork *network);

/* In an actor, before the first collective; all of a replay. */
void sim_conductors_route(GPtrArray *conductors);

/* All that its collectives' times depend on but the arrival of ranks: conductors of one
 * behaviour take the same times. NULL: it behaves like no other. Owned. */
char *sim_conductor_behaviour(const SimConductor *conductor);

/* Its group isn't simulated, since it does what the other does. */
void sim_conductor_imitate(SimConductor *conductor, const SimConductor *other);

/* In an actor: creates the players' actors. */
void sim_conductor_start(SimConductor *conductor);

/* In an actor, after the last collective. */
void sim_conductor_end(SimConductor *conductor);

/* What the k-th collective of a step takes from kernels beside it. */
double sim_conductor_interference_frac(const SimConductor *conductor, int k);

/* Whether kernels run on a member's GPU now. */
typedef gboolean (*SimBeside)(const void *data);

/* In an actor: runs the k-th collective of a step, from the moment that all ranks are there. */
void sim_conductor_run(SimConductor *conductor, int k, SimBeside beside, const void *data,
                       gboolean is_last_step);

/* Adds what the collectives of the last step carried to the network's links; conductors of one
 * communicator together, since their groups run at once. */
void sim_conductors_account(GPtrArray *conductors);

G_END_DECLS
