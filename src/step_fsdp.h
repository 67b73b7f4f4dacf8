/* SPDX-License-Identifier: MIT */
/* Private to step_fsdp*.c: units, their shards and what both versions of FSDP do alike. */
#pragma once

#include "step_walk.h"

G_BEGIN_DECLS

typedef struct {
    char *name;
    GArray *parameters; /* int */
    int first_layer, last_layer;
    gboolean is_root;
    gint64 padded_numel;   /* a multiple of n_ranks */
    gint64 gathered_bytes; /* of the all-gather's output */
    gboolean reshard_after_forward;
    gboolean in_flight; /* gathered or being gathered, not yet waited for */
    int gathered;       /* op that ends its all-gather; -1 */
    int gather_buffer;  /* FSDP2: ALLOC of the all-gather's output; -1 */
    int copied_out;     /* FSDP2: the copy-out's op; -1 */
    int post_forward;   /* ALLOC of the shard of a smaller group between forward and backward */
    int resharded;      /* the op that made it */
    int low_precision;  /* FSDP1: ALLOC of the shard's cast; -1 */
    int unsharded;      /* ALLOC of the parameters as layers see them; -1: sharded */
    int sharded_gradient; /* ALLOC; -1 */
} FsdpUnit;

typedef struct {
    int shards;         /* communicator of the ranks that share one set of shards */
    int replicas;       /* communicator of the ranks that hold the same shard; -1: none */
    int post_forward;   /* FSDP2: the smaller one that parameters are resharded to; -1: none */
    GPtrArray *units;   /* FsdpUnit *; 0 is the root, then the blocks in forward order */
    int *unit_of_layer; /* layer → unit */
    FsdpUnit *previous_gather; /* FSDP2: its buffer lives until the next copy-out (forward) */
    int reduce_input;          /* ALLOC of the reduce-scatter in flight; -1 */
    int reduced;               /* op that ends it; -1 */
    GQueue *free_events;       /* FSDP1: ops behind which parameters were freed */
} Fsdp;

/* How a unit is padded: FSDP2 pads each parameter's rows, FSDP1 the flat parameter. */
typedef enum { FSDP_PADS_ROWS, FSDP_PADS_FLAT } FsdpPadding;

/* The name of each layer's unit, NULL-terminated. */
char **fsdp_wrap(const Model *model, const FsdpKnobs *knobs);

/* Builds units and persistent memory as step->state. */
void fsdp_open(Step *step, FsdpPadding padding);
void fsdp_finish(Step *step);

/* Hybrid sharding: adds the communicators "shard" and "replicate". Errors: groups that don't
 * divide the ranks. */
gboolean fsdp_add_communicators(Job *job, const Training *training, GError **error);
int fsdp_n_shards(const Step *step);
/* The reduce-scattered shard is all-reduced among its replicas; returns the op that ends the
 * reduction, `scattered` where there is none. */
int fsdp_reduce_replicas(Step *step, const FsdpUnit *unit, int scattered);

FsdpUnit *fsdp_unit(const Step *step, int index);
FsdpUnit *fsdp_unit_of(const Step *step, int layer);
int fsdp_n_units(const Step *step);
gboolean fsdp_synchronises(const Step *step);

/* Releases the unit's unsharded gradients. */
void fsdp_gradients_drop(Step *step, const FsdpUnit *unit);
/* What becomes of the reduce-scatter's output, on its stream: cast to the shard's precision,
 * added to what earlier micro-steps left. Returns the last op; -1. */
int fsdp_sharded_gradient_store(Step *step, FsdpUnit *unit);
/* The optimizer on the shards. */
void fsdp_update(Step *step);

G_END_DECLS
