/* SPDX-License-Identifier: MIT */
/* A schedule made ready to replay: each stream's timed ops in segments, each of which starts
 * when other streams have ended so many of theirs. Read by sim_*.c, and by explain_path.c,
 * which walks it backwards. */
#pragma once

#include "schedule.h"

G_BEGIN_DECLS

/* Consecutive ops of a stream, with no synchronisation inside: a collective, or a run of
 * compute ops that is one execution. */
typedef struct {
    int first_op, n_ops;   /* slice of SimStream.ops */
    double work_s;         /* COMPUTE: the sum */
    int epoch;             /* of the host, in which it issues the ops */
    double lag_s;          /* the segment starts no earlier than this after its epoch began */
    int needed[N_STREAMS]; /* segments of each stream that end before this one starts */
} SimSegment;

typedef struct {
    GArray *ops;      /* int: the stream's timed ops */
    GArray *segments; /* SimSegment */
} SimStream;

/* Between two points at which the host waits: it issues ops one after the other. */
typedef struct {
    double host_s;         /* to issue all ops of the epoch */
    int needed[N_STREAMS]; /* segments of each stream that end before the epoch begins */
} SimEpoch;

typedef struct {
    const Schedule *schedule;
    SimStream streams[N_STREAMS];
    GArray *epochs; /* SimEpoch; the first begins when the step before has been issued */
} SimProgram;

SimProgram *sim_program_new(const Schedule *schedule);
void sim_program_free(SimProgram *program);

int sim_program_n_segments(const SimProgram *program, Stream stream);
const SimSegment *sim_program_segment(const SimProgram *program, Stream stream, int index);
/* Op of the schedule at which a segment starts. */
int sim_program_op(const SimProgram *program, Stream stream, const SimSegment *segment,
                   int index);

const SimEpoch *sim_program_epoch(const SimProgram *program, int index);
/* Whether issuing its ops takes any time. */
gboolean sim_program_has_host_time(const SimProgram *program);

/* The k-th collective of a step on a communicator. */
const Op *sim_program_collective(const SimProgram *program, int communicator, int k);

/* Times of all ops from those of the segments: [stream][segment]. Ops inside a segment share
 * its time by their work; ALLOC and FREE happen when the ops before them on their stream have
 * ended, the first ones at begin_s. */
void sim_program_spread(const SimProgram *program, double *const segment_start_s[N_STREAMS],
                        double *const segment_end_s[N_STREAMS], double begin_s,
                        double *op_start_s, double *op_end_s);

G_END_DECLS
