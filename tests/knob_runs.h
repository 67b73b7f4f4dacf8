/* SPDX-License-Identifier: MIT */
/* Experiments with a knob changed, as a user sets it: GPT-2 on a node of eight A100, and what
 * tests read of the schedule of rank 0. */
#pragma once

#include "predict.h"

#define KNOB_N_RANKS 8

typedef struct {
    Inputs *inputs;
    Job *job;
    const Schedule *schedule;
} KnobRun;

/* Keys are separated by blanks; those of `change` win. */
Inputs *knob_inputs(const char *base, const char *change);
KnobRun knob_run_open(const char *base, const char *change);
void knob_run_close(KnobRun *run);

/* Of all collectives of a kind; of the largest; of the first. */
double knob_payload_bytes(const KnobRun *run, int kind);
double knob_n_collectives(const KnobRun *run, int kind);
double knob_largest_bytes(const KnobRun *run, int kind);
double knob_first_bytes(const KnobRun *run, int kind);
/* Of all-gathers beside the world's communicator, in a phase. */
double knob_gathered_apart_bytes(const KnobRun *run, int phase);

/* The most of a category at once, with what is there between steps; what is there when forward
 * has ended. */
double knob_most_bytes(const KnobRun *run, int category);
double knob_held_bytes(const KnobRun *run, int category);
double knob_model_state_bytes(const KnobRun *run, int ignored);
/* The most outputs of all-gathers, and the most gathered units, at once in a phase. */
double knob_n_gathering(const KnobRun *run, int phase);
double knob_n_unsharded(const KnobRun *run, int phase);

double knob_n_host_waits(const KnobRun *run, int ignored);
/* Matrix products of a DType. */
double knob_n_products(const KnobRun *run, int dtype);
/* Of kernels of a KernelOp. */
double knob_n_launches(const KnobRun *run, int op_kind);
