/* SPDX-License-Identifier: MIT */
/* Private to step_deepspeed3*.c: which parameters of a ZeRO-3 rank are gathered, and the
 * recorded trace of module visits that prefetch and release follow. */
#pragma once

#include "step_deepspeed.h"

G_BEGIN_DECLS

typedef enum {
    PARAMETER_NOT_AVAILABLE,
    PARAMETER_IN_FLIGHT,
    PARAMETER_AVAILABLE
} ParameterStatus;

/* One coalesced all-gather. */
typedef struct {
    GArray *parameters; /* int */
    int flat_buffer;    /* ALLOC of its output; -1: the only parameter's own storage */
    int gathered;       /* op; -1: one rank */
} Gather;

/* A use of a parameter in the trace. */
typedef struct {
    int parameter;
    int visit;
} TraceUse;

/* What is fetched and released together: a layer, or with leaf modules a whole block. */
typedef struct {
    int first_layer, last_layer;
    GArray *parameters; /* int, each once */
} FetchModule;

typedef struct {
    GPtrArray *modules;   /* FetchModule * */
    int *module_of_layer; /* -1: no parameters */
    GArray *visits;       /* int: modules in the order of their visits in a micro-step */
    GArray *queue;        /* TraceUse, in order: what prefetch scans */
    guint next_use;       /* head of the queue */
    int visit;            /* the current one */
    ParameterStatus *status;
    gboolean *persistent; /* small parameters that stay gathered */
    Gather **gather;      /* parameter → its all-gather in flight; borrowed */
    int *storage;         /* parameter → ALLOC of the gathered parameter */
    int *fetched_for;     /* parameter → last visit that a fetch or prefetch was made for */
    gint64 available_numel;
    GPtrArray *gathers;   /* Gather *, owned */
    GQueue *fetch_events; /* ops the host may still have to wait for */
} Coordinator;

void coordinator_modules_build(Coordinator *coordinator, const Step *step);
void coordinator_trace_record(Coordinator *coordinator, const Step *step);
/* The steady state: the trace is recorded. */
Coordinator *coordinator_new(const Step *step);
void coordinator_free(Coordinator *coordinator);
/* reset_step: every micro-step starts at the head of the trace. */
void coordinator_reset(Coordinator *coordinator);
/* fetch_sub_module at the layer where its module is entered: gather what the module needs, wait
 * for it, prefetch what follows. Elsewhere nothing. */
void coordinator_fetch(Step *step, Coordinator *coordinator, int layer);
/* release_sub_module at the layer where its module is left. */
void coordinator_release(Step *step, Coordinator *coordinator, int layer);

/* Adds "secondary" for hpZ, "shard" and "replicate" for MiCS. Errors: groups that don't divide
 * the ranks. */
gboolean zero3_add_communicators(Job *job, const Training *training, GError **error);
/* MiCS shares partitions within a group of ranks; else all ranks do. */
int zero3_shards(const Step *step);
int zero3_n_shards(const Step *step);
gboolean zero3_has_secondary(const Step *step);

/* Elements of a parameter's partition, and of the gathered parameter with its padding. */
gint64 zero3_partition_numel(const Step *step, int parameter);
gint64 zero3_gathered_numel(const Step *step, int parameter);

G_END_DECLS
