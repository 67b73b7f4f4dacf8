/* SPDX-License-Identifier: MIT */
/* The collectives of a replay: one actor that conducts them, and one on each host that a ring
 * passes. Private to sim_*.c. */
#pragma once

#include "sim_network.h"
#include "sim_replay.h"

#include <simgrid/barrier.h>
#include <simgrid/mailbox.h>
#include <simgrid/semaphore.h>

G_BEGIN_DECLS

typedef struct _SimConductor SimConductor;

/* Two hosts that rings join, in one direction: one flow in each collective that uses it. */
typedef struct {
    Flow flow; /* ranks and whether between nodes */
    SimRoute route;
    double *wire_bytes; /* by plan */
    sg_mailbox_t mailbox;
    void *received; /* SimGrid delivers a pointer; nobody reads it */
} SimHop;

/* A host that rings pass: its actor sends what leaves it and receives what comes. */
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

struct _SimConductor {
    const SimReplay *replay;
    SimNetwork *network;
    GPtrArray *hops;         /* SimHop * */
    GPtrArray *player_order; /* SimPlayer * */
    GHashTable *players;     /* sg_host_t → SimPlayer * */
    int n_rounds;            /* collectives with flows, all steps */
    int plan;                /* that of the running collective */
    int n_flowing;
    double gpu_limit_bytes_per_s, nic_limit_bytes_per_s; /* as the engine links are set */
    sg_bar_t start;
    sg_sem_t flowed;
    SimPlanUse *uses; /* by plan */
};

/* Creates the players' actors. */
SimConductor *sim_conductor_new(const SimReplay *replay, SimNetwork *network);

/* In an actor, before the first collective. */
void sim_conductor_route(SimConductor *conductor);

/* In an actor: runs the k-th collective of a step, from the moment that all ranks are there. */
void sim_conductor_run(SimConductor *conductor, int k, gboolean is_last_step);

/* Adds what the collectives of the last step carried to the network's links. */
void sim_conductor_account(const SimConductor *conductor);

G_END_DECLS
