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

/* How a gather brings parameters to their own storage. */
typedef enum {
    GATHER_DIRECT,    /* straight there: one parameter, or MiCS's coalescing manager */
    GATHER_COPIED,    /* through a flat buffer */
    GATHER_QUANTIZED, /* as 8-bit numbers and the scales of their groups (qwZ) */
    GATHER_REDUCED,   /* all-reduce of a flat buffer that parameters stay views of */
    GATHER_LOCAL,     /* one rank: the partition is the parameter */
} GatherKind;

/* The fetch of some parameters together. */
typedef struct {
    GatherKind kind;
    GArray *parameters; /* int */
    gboolean secondary; /* of hpZ's secondary partitions */
    int flat_buffer;    /* ALLOC of the 16-bit output before it is copied out; -1 */
    int quantized;      /* ALLOC of the 8-bit output with its scales; -1 */
    int quantized_part; /* ALLOC of what this rank contributes to that; -1 */
    int gathered;       /* op; -1: one rank */
    int ready;          /* op after which the parameters can be used; -1 */
    gboolean complete;  /* waited for */
    guint n_unclaimed;  /* parameters whose modules haven't come yet: buffers live until then */
    guint n_views;      /* GATHER_REDUCED: parameters that aren't released yet */
} Gather;

/* A use of a parameter in the trace. */
typedef struct {
    int parameter;
    int visit;
} TraceUse;

/* What is fetched and released together: a layer, or a leaf module of several. */
typedef struct {
    int first_layer, last_layer;
    gboolean fast;      /* stage3_module_granularity_threshold: the host isn't held back */
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
    gboolean *secondary;  /* parameters whose secondary partition holds this step's weights */
    Gather **gather;      /* parameter → its gather until a module claims it; borrowed */
    Gather **view_of;     /* parameter → GATHER_REDUCED that it is a view of; borrowed */
    int *storage;         /* parameter → ALLOC of the gathered parameter */
    int *fetched_for;     /* parameter → last visit that a fetch or prefetch was made for */
    gint64 available_numel;
    GPtrArray *gathers;   /* Gather *, owned */
    GQueue *fetch_events; /* ops the host may still have to wait for */
} Coordinator;

void coordinator_modules_build(Coordinator *coordinator, const Model *model,
                               const Training *training);
void coordinator_modules_clear(Coordinator *coordinator);
/* Whether a forward that runs inside backward enters and leaves the module: it lies within one
 * block. */
gboolean fetch_module_recomputed(const FetchModule *module, const Model *model);
void coordinator_trace_record(Coordinator *coordinator, const Step *step);
/* Key of the leaf module that each layer is in, -1: none: stage3_module_granularity_threshold
 * (parameter_offload.py, _set_z3_leaf_modules_by_threshold). */
int *zero3_leaf_modules(const Model *model, gint64 threshold);

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
/* The weights changed: secondary partitions are stale. */
void coordinator_invalidate_secondary(Step *step, Coordinator *coordinator);

/* Fetches `parameters` (taken over): in one gather, or two where hpZ has the secondary
 * partitions of some. */
void gather_issue(Step *step, Coordinator *coordinator, GArray *parameters);
/* The module that needs the parameter waits for its gather. */
void gather_claim(Step *step, Coordinator *coordinator, int parameter);
void gather_free(gpointer data);
/* The parameter's storage goes. */
void gather_release(Step *step, Coordinator *coordinator, int parameter);

/* Adds "secondary" for hpZ, "shard" and "replicate" for MiCS, "shard_inter_node" and
 * "shard_intra_node" for its hierarchical gather, "local" and "global" for qgZ. Errors: groups
 * that don't divide the ranks. */
gboolean zero3_add_communicators(Job *job, const Training *training, GError **error);
/* What DeepSpeed would refuse once it sees the model. */
gboolean zero3_check(const Model *model, const Training *training, int n_ranks, GError **error);
/* Index of a communicator by name; -1: there is none. */
int zero3_communicator(const Step *step, const char *name);
/* MiCS shares partitions within a group of ranks; else all ranks do. */
int zero3_shards(const Step *step);
int zero3_n_shards(const Step *step);
gboolean zero3_has_secondary(const Step *step);

/* Elements of a parameter's partition, and of the gathered parameter with its padding. */
gint64 zero3_partition_numel(const Step *step, int parameter);
gint64 zero3_gathered_numel(const Step *step, int parameter);

/* qwZ's groups of a tensor, each with an fp32 scale (partition_parameters.py, CUDAQuantizer);
 * -1: DeepSpeed's quantiser refuses the size. */
gint64 zero3_quantization_groups(gint64 numel);

/* qgZ reduces tensor by tensor: in two stages of 4-bit all-to-alls, or what can't be split that
 * way by a reduce-scatter of its own (all_to_all_quant_reduce). The reduced partitions are left
 * in *partitions (ALLOC). */
gboolean zero3_reduces_quantized(const Step *step);
void zero3_reduce_quantized(Step *step, Stream stream, int parameter);
/* LoCo keeps the errors of both stages in 8 bits. */
gint64 zero3_loco_bytes(const Step *step);

G_END_DECLS
