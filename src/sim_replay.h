/* SPDX-License-Identifier: MIT */
/* A job's steps replayed on SimGrid: streams are actors, and a collective is flows that all
 * ranks enter and leave together. Private to sim_*.c. */
#pragma once

#include "sim.h"
#include "sim_interference.h"
#include "sim_program.h"

#include <stdio.h>

G_BEGIN_DECLS

#define SIM_MAX_STEPS 8

typedef enum { SIM_LOADING, SIM_STARTING, SIM_ROUTING, SIM_RUNNING, SIM_ENDED } SimProgress;

/* What a replay tells its parent, in shared memory. */
typedef struct {
    SimProgress progress;
    Flow routing;                     /* whose route is being resolved */
    int stuck_rank, stuck_op;         /* first op that never ended; -1: all did */
    double step_end_s[SIM_MAX_STEPS]; /* of the last rank */
    gboolean ranks_end_together;      /* in the last step */
    gboolean hosts_are_steady;        /* the next step finds them as the last one did */
} SimOutcome;

/* Ranks that meet in the collectives of one communicator. */
typedef struct {
    int communicator;
    int *members; /* ranks, ascending */
    int n_members;
    GPtrArray *plans; /* CollectivePlan *, distinct */
    GArray *plan_of;  /* int: the plan of the k-th collective of a step */
    int first_plan;   /* of plans, among those of all groups */
} SimGroup;

typedef struct {
    const Cluster *cluster;
    const Job *job;
    SimInterference interference;
    gboolean whole; /* no short cuts */
    GHashTable
        *varying; /* names of hosts and links that change while time passes; whole: any */
    GPtrArray *programs; /* SimProgram *, one for each of the job's */
    GPtrArray *groups;   /* SimGroup *, by communicator; those with collectives */
    int n_steps;
    /* filled */
    SimOutcome *outcome; /* shared memory */
    Timeline *timeline;  /* shared memory; of the last step */
    int *class_of_rank;  /* shared memory: ranks that ran alike, as of Timeline */
    FILE *links;         /* SimLinkRecord, each followed by its name */
    int n_plans;
    double *plan_link_s; /* shared memory: by plan and link class, as of CollectiveUse */
} SimReplay;

typedef struct {
    LinkClass link_class;
    int name_length;
    double bandwidth_bytes_per_s, bytes, peak_utilisation_frac;
} SimLinkRecord;

/* The body of a child: `data` is a SimReplay. */
void sim_replay_run(void *data);

G_END_DECLS
