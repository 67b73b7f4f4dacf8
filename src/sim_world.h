/* SPDX-License-Identifier: MIT */
/* What moves in a replay: classes of equal ranks, whose streams with compute ops are an actor
 * each, and groups of ranks, whose collectives one actor conducts. Private to sim_*.c. */
#pragma once

#include "sim_collective.h"
#include "sim_fold.h"
#include "sim_host.h"

#include <simgrid/exec.h>

G_BEGIN_DECLS

typedef struct _SimWorld SimWorld;
typedef struct _SimWorldGroup SimWorldGroup;

/* A class of equal ranks on its way through the steps. Arrays by stream, then by segment of the
 * step. */
typedef struct {
    SimWorld *world;
    const SimProgram *program;
    sg_host_t host;
    int ended[N_STREAMS]; /* segments, over all steps */
    int n_segments[N_STREAMS];
    double *start_s[N_STREAMS], *end_s[N_STREAMS];
    double step_end_s[SIM_MAX_STEPS];
    int n_computing; /* streams that run kernels */
    SimHost *sim_host;
    gboolean is_blocked[N_STREAMS];
    sg_sem_t wake[N_STREAMS];                /* made when first needed */
    SimWorldGroup *group[MAX_COMMUNICATORS]; /* NULL: no collectives */
    gboolean is_at_collective[MAX_COMMUNICATORS];
    sg_exec_t
        occupation[MAX_COMMUNICATORS]; /* what NCCL's kernel holds of the GPU; NULL: none */
} SimRank;

/* Ranks that meet in the collectives of a communicator, and the groups that are like this one.
 */
struct _SimWorldGroup {
    SimWorld *world;
    const SimGroup *group;
    const GArray *classes; /* int: of the members */
    SimConductor *conductor;
    Stream stream;
    int n_at_collective;
    double issued_s; /* when the last host has issued the next collective */
    gboolean conductor_is_blocked;
    sg_sem_t all_at_collective;
};

struct _SimWorld {
    const SimReplay *replay;
    SimNetwork *network;
    SimFold *fold;         /* once the routes are known */
    GPtrArray *conductors; /* SimConductor *, by group */
    GPtrArray *groups;     /* SimWorldGroup *: those that are simulated */
    SimRank *ranks;        /* by class */
    int n_stream_actors, n_at_work;
    sg_sem_t ended; /* raised for each when the last one has done its work */
};

/* In an actor: all of the world's, once its fold, ranks and conductors are there. */
void sim_world_start(SimWorld *world);

gboolean sim_rank_stream_has_ended(const SimRank *rank, Stream stream);

G_END_DECLS
