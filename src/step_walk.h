/* SPDX-License-Identifier: MIT */
/* Private to step*.c: the state of one walk over the model and the hooks through which a
 * framework adds its communication. The walk knows layers, activations and autograd's
 * gradients; buckets, shards and collectives are the hooks'. */
#pragma once

#include "step.h"

G_BEGIN_DECLS

typedef struct Step Step;

/* Called in the order in which the host would. Any may be NULL. */
typedef struct {
    /* Communicators beside the world; errors: groups that don't fit the ranks. */
    gboolean (*add_communicators)(Job *job, const Training *training, GError **error);
    /* What the framework would refuse once it sees the model. */
    gboolean (*check)(const Model *model, const Training *training, int n_ranks,
                      GError **error);
    void (*start)(Step *step); /* persistent memory, the framework's own state */
    void (*begin_micro_step)(Step *step);
    void (*before_forward)(Step *step, int layer); /* also while recomputing */
    void (*after_forward)(Step *step, int layer);  /* also while recomputing */
    void (*begin_backward)(Step *step);
    void (*before_backward)(Step *step, int layer);
    /* The parameter's gradient of this micro-step is final: step->gradient[parameter]. The hook
     * takes the block over: keeps it, or releases it. */
    void (*gradient_ready)(Step *step, int parameter);
    void (*after_backward)(Step *step, int layer);
    void (*end_backward)(Step *step);
    void (*update)(Step *step);
    void (*finish)(Step *step); /* frees step->state */
} StepHooks;

struct Step {
    const Model *model;
    const Training *training;
    const Profile *profile;
    int n_ranks;
    int rank;          /* whose program this is */
    const int *owners; /* parameter → rank that updates it; NULL: all of them do, or shards */
    const Job *job;    /* its communicators are complete, its programs aren't */
    Schedule *schedule;
    const StepHooks *hooks;
    void *state; /* the framework's */
    int micro_step;
    gboolean last_micro_step;
    gboolean recomputing; /* a forward that runs inside backward */
    Phase phase;
    char *refusal;        /* what the framework would fail with on the way; NULL: nothing */
    int *saved;           /* layer → ALLOC of its saved activations; -1: none alive */
    int *casts;           /* layer → ALLOC of autocast's cached casts */
    int *block_input;     /* block → ALLOC of what full checkpointing keeps */
    int *gradient;        /* parameter → ALLOC of autograd's gradient, forward precision */
    int *stored_gradient; /* parameter → ALLOC of .grad */
    int *uses_left;       /* parameter → layers of this backward that still contribute */
};

extern const StepHooks step_ddp_hooks;
extern const StepHooks step_fsdp1_hooks;
extern const StepHooks step_fsdp2_hooks;
extern const StepHooks step_deepspeed0_hooks;
extern const StepHooks step_deepspeed_bf16_hooks;
extern const StepHooks step_deepspeed12_hooks;
extern const StepHooks step_deepspeed3_hooks;
extern const StepHooks step_paper_hooks;

/* Whether the optimizer's work is shared out in whole tensors (ZeroRedundancyOptimizer). */
gboolean step_gives_whole_tensors(const Training *training);
/* parameter → rank: by size, largest first, each to the rank with the least so far
 * (torch/distributed/optim/zero_redundancy_optimizer.py). */
int *step_ddp_owners(const Model *model, int n_ranks);

/* Sizes. */
gint64 step_numel(const Step *step, int parameter);
gint64 step_ceil_divide(gint64 dividend, gint64 divisor);
/* Bytes of optimizer state for the whole model. */
gint64 step_state_bytes(const Step *step);
gint64 step_largest_numel(const Step *step);

/* Ops, on the compute stream and in the current phase unless said. */
int step_compute(Step *step, Stream stream, const char *verb, const char *name,
                 const Kernel *kernels, int n_kernels);
int step_stream_kernel(Step *step, Stream stream, const char *verb, const char *name,
                       KernelOp op, gint64 bytes);
int step_cast(Step *step, Stream stream, const char *verb, const char *name, gint64 elements,
              DType from, DType to);
int step_alloc(Step *step, Stream stream, const char *verb, const char *name,
               MemoryCategory category, gint64 bytes);
void step_release(Step *step, Stream stream, int *alloc);
/* A collective that waits for what `after` was given so far. With one rank nothing is sent and
 * the result is -1. */
int step_collective(Step *step, Stream after, const char *verb, const char *name,
                    CollectiveKind kind, gint64 payload_bytes, int root);

/* The same among the rank's group of a communicator of the job. */
int step_collective_on(Step *step, int communicator, Stream after, const char *verb,
                       const char *name, CollectiveKind kind, gint64 payload_bytes, int root);

/* An all-reduce of a flag or a norm whose result the host reads before it goes on. */
void step_scalar_all_reduce(Step *step, const char *name, gint64 bytes);

/* AccumulateGrad: .grad becomes the gradient, or the gradient is added to it. */
void step_accumulate_gradient(Step *step, int parameter);
void step_release_gradients(Step *step);

/* The optimizer's kernel and temporaries over numel elements. */
void step_optimize(Step *step, const char *name, gint64 numel, gint64 n_tensors, DType dtype);
/* Sum of squares over local gradients, its all-reduce over the communicator that holds the
 * shards (-1: gradients are whole), and the scaling pass of clipping. */
void step_clip(Step *step, gint64 gradient_bytes, int shards);

G_END_DECLS
