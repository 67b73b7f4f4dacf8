/* SPDX-License-Identifier: MIT */
/* A neural network as one training step sees it: layers in order of execution with their
 * parameters, the kernels each runs forward and backward, and the bytes autograd keeps in
 * between. Built from a Hugging Face config.json for one micro-batch; one builder a family in
 * model_<family>.c. Knows nothing of ranks, buckets or optimizers. */
#pragma once

#include "kernel.h"

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
    ATTENTION_EAGER,
    ATTENTION_SDPA,
    ATTENTION_FLASH2,
    ATTENTION_CUDNN,
    ATTENTION_FLASH1,
    ATTENTION_SDPA_REPEAT,
    N_ATTENTIONS
} Attention;

/* What the layers' kernels and saved activations depend on beside the architecture. */
typedef struct {
    gint64 micro_batch;     /* sequences */
    gint64 sequence_length; /* tokens; 0: the model's maximum */
    DType parameter;        /* as the forward sees parameters (after FSDP's cast) */
    DType compute;          /* of linear layers and attention */
    gboolean autocast;      /* parameters stay fp32, linears cast: cached casts, fp32 norms */
    Attention attention;
    double dropout;         /* probability; negative: the model's own */
    gboolean compile;       /* torch.compile: fused elementwise kernels */
    const char *fp8_except; /* linears that stay in 16 bits: "lm_head,*.k_proj"; NULL: none */
} ModelOptions;

typedef struct {
    char *name;   /* as in the state dict: "model.layers.0.mlp.up_proj.weight" */
    gint64 rows;  /* size of dimension 0 (FSDP2 shards it) */
    gint64 numel; /* elements */
} Parameter;

/* A module of the network: what ZeRO-3 fetches and DDP's hooks see. A layer without parameters
 * (attention, residual, loss) has n_parameters 0. */
typedef struct {
    char *name;      /* "model.layers.0.self_attn.q_proj" */
    int block;       /* transformer block it is part of; -1 before the first, n_blocks after */
    int *parameters; /* indices into Model.parameters; a tied one stands in two layers */
    int n_parameters;
    GArray *forward;    /* Kernel */
    GArray *backward;   /* Kernel; recomputation isn't listed, it is the forward again */
    gboolean attention; /* the core that selective checkpointing recomputes */
    gint64 saved_bytes; /* kept from this layer's forward until its backward ends */
    gint64 recompute_saved_bytes; /* attention: what of saved_bytes selective checkpointing
                                   * keeps, the core's inputs */
    gint64 cast_bytes; /* autocast's cached copies of its parameters, same lifetime */
    gint64 forward_temporary_bytes;  /* alive only while its forward runs, over saved_bytes */
    gint64 backward_temporary_bytes; /* alive only while its backward runs, over saved_bytes */
} Layer;

typedef struct {
    char *family;       /* "llama" */
    char *name;         /* file name without .json, or what the file calls itself */
    GArray *parameters; /* Parameter, registration order (DDP's and DeepSpeed's order) */
    GPtrArray *layers;  /* Layer *, order of the forward pass; the last is the loss */
    int n_blocks;
    gint64 n_parameters; /* elements, tied ones once */
    gint64 hidden_size;
    gint64 sequence_length;   /* tokens, resolved */
    gint64 block_input_bytes; /* what full checkpointing keeps a block */
    gint64 largest_layer_parameters;
    double flops_per_token; /* PaLM appendix B: 6 N + 12 L H Q T, N with embeddings */
    gint64 buffer_bytes;    /* named_buffers of the module: DDP broadcasts them */
} Model;

/* Reads `file`. `warnings` gets a line for each member that is not known. Errors: unreadable
 * JSON, unknown model_type (lists those known), members that change the prediction and aren't
 * modelled, sizes that are missing, negative, absurd or don't divide. */
Model *model_load(const char *file, const ModelOptions *options, GPtrArray *warnings,
                  GError **error);
void model_free(Model *model);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Model, model_free)

const Parameter *model_parameter(const Model *model, int index);
const Layer *model_layer(const Model *model, int index);

/* Whether a layer's name is one of `patterns`: "lm_head,*norm;*embed*"; NULL: none. */
gboolean model_name_matches(const char *patterns, const char *name);
const char *attention_name(Attention attention);

G_END_DECLS
