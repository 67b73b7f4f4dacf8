/* SPDX-License-Identifier: MIT */
/* Inputs and readings that the tests of the step builders share. Tests expect the shipped H100
 * profile in step_profile. */
#pragma once

#include "memory.h"
#include "step.h"

#include <check.h>

typedef struct {
    Framework framework;
    Strategy strategy;
    int fsdp_version; /* 0: the default */
} StepSetup;

#define N_STEP_SETUPS 14
extern const StepSetup step_setups[N_STEP_SETUPS];
#define N_STEP_MODELS 3
extern const char *const step_models[N_STEP_MODELS];
#define N_STEP_WORLDS 4
extern const int step_worlds[N_STEP_WORLDS];

extern Profile *step_profile;
void step_profile_open(void);
void step_profile_close(void);

/* The framework's defaults: fp32 autocast under DDP, fp32 shards under FSDP, bf16 elsewhere. */
Training step_training(Framework framework, Strategy strategy);
/* The same for step_setups[setup]. */
Training step_setup_training(int setup);
Model *step_model(const char *name, const Training *training);
Job *step_job(const Model *model, const Training *training, int n_ranks);

/* Payload bytes of all collectives of a kind, and their number. */
gint64 step_payload(const Schedule *schedule, CollectiveKind kind, int *count);
gboolean step_label_begins(const Schedule *schedule, const Op *op, const char *verb);
/* The same of those whose label begins with `verb`. */
gint64 step_payload_of(const Schedule *schedule, CollectiveKind kind, const char *verb);
/* Bytes of the persistent block called so; 0: there is none. */
gint64 step_persistent_of(const Schedule *schedule, const char *label);
double step_sent_bytes(const Schedule *schedule, int n_ranks);
/* Time of the compute ops whose label starts with `verb`. */
double step_work_s(const Schedule *schedule, const char *verb);
gint64 step_test_ceil_divide(gint64 a, gint64 b);
/* Runs a suite of one case; the exit status of main(). */
int step_suite_run(const char *name, void (*add)(TCase *));
