/* SPDX-License-Identifier: MIT */
/* How a model is trained, fully resolved: batch, precision, optimizer, what is sharded, and the
 * framework's knobs under the framework's own names. Built from an experiment and a
 * ds_config.json (training_deepspeed.c). Strategy names end here: everything below asks the
 * three predicates. */
#pragma once

#include "experiment.h"
#include "model.h"
#include "optimizer.h"

#include <glib.h>

G_BEGIN_DECLS

typedef enum { FRAMEWORK_PYTORCH, FRAMEWORK_DEEPSPEED, FRAMEWORK_PAPER } Framework;
typedef enum {
    STRATEGY_DDP,
    STRATEGY_ZERO1,
    STRATEGY_ZERO2,
    STRATEGY_ZERO3,
    N_STRATEGIES
} Strategy;
typedef enum { CHECKPOINTING_NONE, CHECKPOINTING_SELECTIVE, CHECKPOINTING_FULL } Checkpointing;

/* What precision each tensor has. */
typedef struct {
    DType parameter; /* as stored between steps (the shard, or the replica) */
    DType gather;    /* on the wire of a parameter all-gather */
    DType forward;   /* as the layers see the parameter */
    DType compute;   /* of linear layers and attention */
    DType gradient;  /* as stored when backward has finished */
    DType reduce;    /* on the wire of a gradient reduction */
    DType state;     /* of optimizer states */
    gboolean master; /* an fp32 master copy beside the parameter */
    gboolean autocast;
} Precision;

/* PowerSGDState, once start_powerSGD_iter steps have gone by. */
typedef struct {
    gboolean enabled;
    gboolean batched; /* batched_powerSGD_hook: a bucket is one square matrix */
    gint64 matrix_approximation_rank;
    double min_compression_rate;
    gboolean use_error_feedback, warm_start;
} PowerSgdKnobs;

typedef struct {
    gint64 bucket_cap_bytes;   /* 25 MiB */
    gint64 first_bucket_bytes; /* 1 MiB when the cap is the default, else the cap */
    gboolean gradient_as_bucket_view;
    gboolean broadcast_buffers;
    gboolean no_sync; /* only the last micro-step reduces; true by default when accumulating */
    gboolean parameters_as_bucket_view; /* ZeroRedundancyOptimizer: one flat broadcast a rank */
    DType compress; /* fp16_compress_hook, bf16_compress_hook; DTYPE_FP32: none */
    PowerSgdKnobs powersgd;
    gboolean static_graph;
    gboolean find_unused_parameters; /* buckets are never rebuilt, and a bitmap is reduced */
} DdpKnobs;

/* Which modules FSDP wraps: each transformer block, or every module with at least so many
 * parameters that no inner unit holds. */
typedef enum { WRAP_BLOCK, WRAP_SIZE, WRAP_NONE } FsdpWrap;

/* FSDP1's backward_prefetch: when the next unit's all-gather is issued. */
typedef enum { PREFETCH_PRE, PREFETCH_POST, PREFETCH_NONE } BackwardPrefetch;

typedef struct {
    int version;                    /* 2: fully_shard, 1: FullyShardedDataParallel */
    gboolean reshard_after_forward; /* true for zero3, false for zero2 */
    gint64 reshard_group_size; /* FSDP2: ranks to reshard to after forward; 0: as before it */
    gboolean sync_every_micro_step;     /* reduce-scatter each micro-step (default) */
    int backward_prefetch_units;        /* FSDP2; 1 */
    int forward_prefetch_units;         /* FSDP2; 1: the host running ahead */
    BackwardPrefetch backward_prefetch; /* FSDP1 */
    gboolean forward_prefetch;          /* FSDP1: all-gather issued before this forward */
    gboolean limit_all_gathers;         /* FSDP1: at most two units are freed in flight */
    FsdpWrap wrap;
    gint64 wrap_min_numel; /* WRAP_SIZE */
    const char
        *wrap_names; /* further units: "a,b;c", each the layers whose names match; NULL */
    gint64 shard_group_size; /* hybrid sharding: ranks that share one set; 0: all of them */
    gboolean all_reduce_every_micro_step; /* hybrid sharding, FSDP2 */
    gboolean fp8_all_gather;              /* matrices of the blocks are gathered in fp8 */
} FsdpKnobs;

/* set_z3_leaf_modules: what ZeRO-3 fetches as one. */
typedef enum { LEAF_LAYER, LEAF_BLOCK } LeafModules;

/* Numbers count elements where DeepSpeed counts elements, with its defaults
 * (deepspeed/runtime/zero/config.py). */
typedef struct {
    gboolean contiguous_gradients, reduce_scatter, use_multi_rank_bucket_allreduce;
    gboolean overlap_comm, round_robin_gradients, prescale_gradients;
    gint64 reduce_bucket_size, sub_group_size;
    gint64 prefetch_bucket_size, param_persistence_threshold, model_persistence_threshold;
    gint64 max_live_parameters, max_reuse_distance;
    DType communication_data_type; /* default: the model's */
    DType grad_accum_dtype;        /* of accumulated gradients; default: the model's */
    gboolean bf16_optimizer;       /* BF16_Optimizer in the place of stage 0 or 1 */
    double gradient_predivide_factor;
    gboolean loss_scaling; /* fp16: an overflow all-reduce before the step */
    LeafModules leaf_modules;
    gint64 hpz_partition_size;  /* ZeRO++ hpZ: ranks of a secondary partition; 1: none */
    gint64 mics_shard_size;     /* MiCS: ranks that share one set of shards; 0 or -1: all */
    gboolean quantized_weights; /* ZeRO++ qwZ: parameters are gathered in 8 bits */
    gboolean
        quantized_gradients; /* ZeRO++ qgZ: gradients are reduced in 4 bits, in two stages */
    gboolean loco;           /* LoCo: qgZ's errors are kept and fed back */
    gboolean mics_hierarchical_params_gather; /* between nodes, then inside them */
    gint64 module_granularity_threshold; /* modules at or below are fetched whole; 0: none */
    gboolean use_all_reduce_for_fetch_params; /* in place of coalesced all-gathers */
    int version; /* major * 10000 + minor * 100 + patch: 0.17.5 is 1705 */
} DeepspeedKnobs;

typedef struct {
    Framework framework;
    Strategy strategy;
    gint64 micro_batch; /* sequences a rank and micro-step; never "auto" once resolved */
    gint64 gradient_accumulation;
    gint64 global_batch;         /* = micro_batch * gradient_accumulation * n_ranks */
    gboolean global_batch_fixed; /* the user gave it: accumulation follows the micro-batch */
    gboolean micro_batch_auto;   /* the user wrote auto: micro_batch is a trial value */
    Precision precision;
    gboolean compile;
    Optimizer optimizer;
    Checkpointing checkpointing;
    gboolean checkpointing_early_stop; /* torch.utils.checkpoint, use_reentrant=False */
    const char *fp8_except; /* linears that precision fp8 leaves in 16 bits: "a,b"; NULL */
    Attention attention;
    double gradient_clipping; /* 0: none */
    double dropout;           /* negative: the model's own */
    gint64 sequence_length;   /* 0: the model's maximum */
    int ranks_per_node;       /* of the cluster; 0: nodes differ, or nobody asked */
    DdpKnobs ddp;
    FsdpKnobs fsdp;
    DeepspeedKnobs deepspeed;
} Training;

/* Resolves everything for n_ranks ranks. With `comparing`, the strategy may differ from the
 * ds_config's stage, and ddp under deepspeed is PyTorch DDP under autocast of the same type.
 * `hidden_size` is for DeepSpeed's "auto" values as HF resolves them. `warnings` gets a line
 * for each ds_config member that is not known. Errors: batch sizes that disagree or leave a
 * remainder, a strategy that contradicts the ds_config's stage, what isn't modelled. */
Training *training_build(const Experiment *experiment, int n_ranks, gint64 hidden_size,
                         gboolean comparing, GPtrArray *warnings, GError **error);
void training_free(Training *training);

/* Tries another micro-batch: accumulation follows where the user fixed the global batch, which
 * must then divide; else the global batch follows. On an error the training is as before. */
gboolean training_set_micro_batch(Training *training, int n_ranks, gint64 micro_batch,
                                  GError **error);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Training, training_free)

/* The three questions that ZeRO stages answer differently. */
gboolean training_shards_optimizer_states(const Training *training); /* stages 1, 2, 3 */
gboolean training_shards_gradients(const Training *training);        /* stages 2, 3 */
gboolean training_shards_parameters(const Training *training);       /* stage 3; FSDP: also 2 */

const char *framework_name(Framework framework);
const char *strategy_name(Strategy strategy);
gboolean strategy_parse(const char *name, Strategy *strategy);
const char *checkpointing_name(Checkpointing checkpointing);

/* The options a model is built with under this training. */
ModelOptions training_model_options(const Training *training);

G_END_DECLS
