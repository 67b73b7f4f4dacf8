/* SPDX-License-Identifier: MIT */
/* Inside the model module: what decoder-only transformers differ in, as data. A family reads
 * its config.json into a Decoder; the table of a block's modules, in order of registration,
 * says which projections are fused, whether the MLP is gated, and where norms stand. */
#pragma once

#include "model_family.h"

G_BEGIN_DECLS

/* The modules that a block may have. What a table doesn't list isn't there. */
typedef enum {
    MODULE_ATTENTION_NORM,
    MODULE_POST_ATTENTION_NORM, /* of what attention gives, before it is added */
    MODULE_MLP_NORM,
    MODULE_POST_MLP_NORM,
    MODULE_QKV,
    MODULE_Q,
    MODULE_K,
    MODULE_V,
    MODULE_Q_NORM, /* of every head */
    MODULE_K_NORM,
    MODULE_OUT,
    MODULE_ROUTER,  /* scores the experts for each token */
    MODULE_EXPERTS, /* each w1 (gate), w2 (down), w3 (up) */
    MODULE_GATE_UP,
    MODULE_GATE,
    MODULE_UP,
    MODULE_DOWN,
    N_MODULES
} DecoderModule;

typedef struct {
    DecoderModule module;
    const char *name; /* inside the block; NULL ends the table */
} DecoderRow;

typedef enum {
    NORM_LAYER,
    NORM_LAYER_NO_BIAS,
    NORM_LOW_PRECISION, /* a bias where projections have one */
    NORM_RMS,
    NORM_RMS_GEMMA
} DecoderNorm;

typedef struct {
    /* -- names */
    const DecoderRow *rows;
    const char *prefix;          /* of the body's parameters: "model." */
    const char *blocks;          /* "layers" */
    const char *attention, *mlp; /* inside a block: "self_attn", "mlp" */
    const char *embedding;
    const char *position_embedding;       /* NULL: none is learned */
    const char *embedding_norm;           /* NULL: none */
    const char *project_in, *project_out; /* NULL: embeddings are as wide as the blocks */
    const char *final_norm;               /* NULL: none */
    const char *head;                     /* "lm_head"; NULL: the model ends with the blocks */
    gboolean final_norm_first;            /* registered before the blocks */

    /* -- sizes */
    gint64 hidden, layers, heads, kv_heads, head_dim, inner, vocabulary, positions;
    gint64 position_rows;   /* of the table of learned positions */
    gint64 embedding_width; /* 0: hidden */
    gint64 rotated;         /* elements of a head that turn with the position */
    gint64 experts, experts_per_token;
    gint64 window;     /* tokens that a local layer sees; 0: all */
    const char *local; /* 'l' local, 'g' global, one letter a layer, repeated; NULL: 'g' */

    /* -- structure */
    DecoderNorm norm;
    gboolean post_norm; /* norms follow the residual sums */
    gboolean parallel;  /* attention and MLP both start from the block's input */
    gboolean qkv_bias, out_bias, mlp_bias, head_bias, tied;
    gboolean biased;           /* ALiBi */
    gboolean unpadded;         /* flash-attn takes padding out, and puts it back */
    gboolean softmax_fp32;     /* in the family's own eager attention */
    gboolean scaled_embedding; /* embeddings are multiplied by the root of the width */
    gboolean attention_softcap, logit_softcap;
    gboolean fused_loss;
    int n_loss_metrics; /* cross entropies beside the loss, without gradient */
    double embedding_dropout, attention_dropout, residual_dropout;
    const Activation *activation; /* NULL: silu, gated */
} Decoder;

/* What a family's config.json calls the members that most decoders have; NULL: it has none. */
typedef struct {
    const char *hidden, *layers, *heads; /* required, as is vocab_size */
    const char *inner, *positions;
    gboolean inner_required; /* else it is 4 x hidden when the file says nothing */
    const char *embedding_dropout, *attention_dropout, *residual_dropout;
    const char *activation, *standard_activation;
} DecoderMembers;

/* Parameters, layers and facts of the whole. `d` is complete, the sequence resolved. */
void decoder_build(ModelBuild *build, const Decoder *d);
/* Those members and tie_word_embeddings; `d` holds what counts where the file says nothing.
 * Each head has keys and values of its own, until the family says otherwise. */
gboolean decoder_read_members(ModelBuild *build, const DecoderMembers *members, Decoder *d,
                              GError **error);
/* A class named …ForCausalLM has the prefix and the head, any other neither. */
gboolean decoder_read_architecture(ModelBuild *build, const ModelFamily *family,
                                   const char *prefix, const char *head, Decoder *d,
                                   GError **error);
/* The sequence, bounded by the widest tensor a token has. */
gboolean decoder_resolve_sequence(ModelBuild *build, const Decoder *d, GError **error);

G_END_DECLS
