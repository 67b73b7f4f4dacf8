/* SPDX-License-Identifier: MIT */
/* Inside the model module: what a family of models is, and the layers that families are built
 * from. A new family is one model_<family>.c and one line of model.c's table. */
#pragma once

#include "json_in.h"
#include "model.h"

G_BEGIN_DECLS

typedef struct {
    Model *model;
    JsonIn config; /* of the whole file */
    const ModelOptions *options;
    GPtrArray *warnings;
    GHashTable *parameter_index; /* name → index + 1 */
    GStringChunk *names;
    gint64 tokens;              /* micro_batch x sequence_length */
    gint64 inactive_parameters; /* that a token's operations don't touch: experts not chosen */
    DType stream;               /* of the residual stream and the norms: fp32 under autocast */
    DType linear; /* of what linear layers read and write; 16-bit around fp8 products */
    int block;    /* given to new layers */
} ModelBuild;

/* A member that must have one value, because no other is modelled. `accepted` is JSON; absent
 * and null pass too. */
typedef struct {
    const char *member;
    const char *accepted;
} FixedMember;

typedef struct {
    const char *model_type;
    gboolean (*build)(ModelBuild *build, GError **error);
    const char *const *architectures; /* the first is meant when the file names none */
    const char *const *modelled;
    const char *const *irrelevant; /* beside those every family has */
    const char *const *unmodelled;
    const FixedMember *fixed;
} ModelFamily;

extern const ModelFamily model_family_gpt2, model_family_gpt_neo, model_family_gpt_neox,
    model_family_gptj, model_family_opt, model_family_mpt, model_family_bloom,
    model_family_falcon, model_family_llama, model_family_mistral, model_family_mixtral,
    model_family_qwen2, model_family_qwen3, model_family_phi, model_family_phi3,
    model_family_gemma2, model_family_bert, model_family_roberta, model_family_xlm_roberta,
    model_family_t5, model_family_vit;

/* -- model_members.c: the three lists of members */
gboolean model_check_members(const JsonIn *in, const ModelFamily *family, GPtrArray *warnings,
                             GError **error);

/* -- model_list.c: layers written out in a file of our own. */
gboolean model_list_named(const JsonIn *in);
gboolean model_list_build(ModelBuild *build, GError **error);

/* -- model.c: reading */

/* A size: required unless `value` is positive already. */
gboolean model_read_size(const ModelBuild *build, const char *key, gint64 *value,
                         GError **error);
/* Required, and bounded so that a typing mistake can't fill the memory with layers. */
gboolean model_read_layers(const ModelBuild *build, const char *key, gint64 *value,
                           GError **error);
/* `whole` must be a multiple of `parts`. */
gboolean model_check_heads(const ModelBuild *build, const char *whole_key, gint64 whole,
                           const char *parts_key, gint64 parts, GError **error);
/* The product must be a size itself. */
gboolean model_check_product(const ModelBuild *build, const char *what, gint64 a, gint64 b,
                             GError **error);
/* A probability of dropout: the options', else the member's, else what `value` holds. */
gboolean model_read_dropout(const ModelBuild *build, const char *key, double *value,
                            GError **error);
/* The part of a head that turns with the position: partial_rotary_factor, which transformers 5
 * writes into rope_parameters; else what `part` holds. */
gboolean model_read_rotated_part(const ModelBuild *build, double *part, GError **error);
/* The architecture as an index into the family's list. */
gboolean model_read_architecture(const ModelBuild *build, const ModelFamily *family, int *index,
                                 GError **error);
/* Resolves sequence_length and checks that the sizes of one step stay countable: `widest` is
 * the most elements a token has anywhere. `positions` bounds the sequence if `learned`, else
 * exceeding it is a warning. */
gboolean model_resolve_sequence(ModelBuild *build, gint64 positions, gboolean learned,
                                gint64 heads, gint64 widest, GError **error);
/* Attention's part of flops_per_token: 12 L H Q T for `n_layers` of heads x head_dim `width`.
 */
void model_attention_flops(ModelBuild *build, gint64 n_layers, gint64 width);
const char *model_name_printf(ModelBuild *build, const char *format, ...) G_GNUC_PRINTF(2, 3);
void model_add_parameter(ModelBuild *build, const char *name, gint64 rows, gint64 columns);
/* "name.weight" of rows x columns and, if `bias` is positive, "name.bias" of so many. */
void model_add_parameters(ModelBuild *build, const char *name, gint64 rows, gint64 columns,
                          gint64 bias);

/* -- model_layers.c: what layers are put together from. */

/* `weight` NULL: "name.weight". */
Layer *layer_append(const ModelBuild *build, const char *name, const char *weight);
/* The one appended last. */
Layer *layer_last(const ModelBuild *build);
void layer_run(GArray *kernels, Kernel kernel);
void layer_run_cast(GArray *kernels, gint64 elements, int from_bytes, int to_bytes);
/* An elementwise kernel over rows x width, or what compiling makes of it. */
void layer_run_elementwise(const ModelBuild *build, GArray *kernels, KernelOp op, DType dtype,
                           gint64 rows, gint64 width);

/* -- model_layers.c, model_attention.c: one function a kind of layer; each appends it to the
 * model. A layer owns the parameters "name.weight" and "name.bias" where they were added
 * before. */

typedef struct {
    const char *name;
    gint64 rows, in, out;
    gboolean linear_input; /* the input has the linears' type already: nothing to cast */
    gboolean
        shared_input; /* an earlier layer reads it too: saved there, gradients are summed */
    gboolean transposed_weight; /* stored as in x out: transformers' Conv1D */
    const char *tied_to;        /* the parameter that is its weight; NULL: its own */
} LinearShape;

typedef struct {
    gint64 heads, kv_heads, head_dim;
    gboolean causal;
    gboolean softmax_fp32; /* eager: the family's own code softmaxes in fp32 */
    double dropout;
    gint64 window;    /* tokens back that are seen, this one included; 0: all */
    gboolean biased;  /* positions are added to the scores: ALiBi, relative positions */
    gboolean softcap; /* eager: scores are capped by tanh, which fused kernels do unseen */
    /* flash-attn: rows of padding are taken out before and put back after */
    gboolean unpadded;
} AttentionShape;

typedef struct {
    const char *name; /* as hidden_act spells it */
    gboolean python;  /* a chain of elementwise kernels instead of one */
    gboolean saves_input;
    KernelOp forward, backward; /* of one kernel */
} Activation;

void layer_embedding(ModelBuild *build, const char *name, gint64 rows, gboolean tied);
void layer_linear(ModelBuild *build, const LinearShape *shape);
void layer_layernorm(ModelBuild *build, const char *name, gint64 rows, gint64 width);
/* llm-foundry's LPLayerNorm: in 16 bits under autocast too, so what follows casts nothing. */
void layer_layernorm_low_precision(ModelBuild *build, const char *name, gint64 rows,
                                   gint64 width);
void layer_rmsnorm(ModelBuild *build, const char *name, gint64 rows, gint64 width);
/* GemmaRMSNorm: 1 + weight, multiplied in fp32, so one more tensor is kept. */
void layer_rmsnorm_gemma(ModelBuild *build, const char *name, gint64 rows, gint64 width);
/* The layer just appended reads what an earlier one keeps: nothing more is saved, and its
 * input's gradient is added to the other's. */
void layer_shares_input(ModelBuild *build, gint64 rows, gint64 width);
/* `rotated` elements a token of queries and keys; if not all `width`, both parts are put
 * together again. */
void layer_rope(ModelBuild *build, const char *name, gint64 rotated, gint64 width);
void layer_attention(ModelBuild *build, const char *name, const AttentionShape *shape);
/* NULL and an ERROR_UNMODELLED that lists those known. */
const Activation *activation_find(const ModelBuild *build, const char *key, const char *name,
                                  GError **error);
void layer_activation(ModelBuild *build, const char *name, const Activation *activation,
                      gint64 rows, gint64 width);
void layer_swiglu(ModelBuild *build, const char *name, gint64 rows, gint64 width);
/* The elementwise product of two tensors; both are kept. */
void layer_product(ModelBuild *build, const char *name, gint64 rows, gint64 width);
/* tanh(x / cap) cap. */
void layer_softcap(ModelBuild *build, const char *name, gint64 rows, gint64 width);
void layer_scale(ModelBuild *build, const char *name, gint64 rows, gint64 width);
void layer_tanh(ModelBuild *build, const char *name, gint64 rows, gint64 width);
/* Nothing when the probability is 0. `dtype` is that of its input. */
void layer_dropout(ModelBuild *build, const char *name, gint64 width, double probability,
                   DType dtype);
void layer_residual(ModelBuild *build, const char *name, gint64 width);
/* Cross entropy over the logits of every token. */
void layer_cross_entropy(ModelBuild *build, gint64 vocabulary);
/* The same in one kernel that keeps the logits alone (flash-attn's). */
void layer_fused_cross_entropy(ModelBuild *build, gint64 vocabulary);
/* The loss just appended is computed `n` times more, after backward and without gradient:
 * metrics of training. */
void layer_loss_metrics(ModelBuild *build, gint64 vocabulary, int n);
/* Of `rows` tokens or sequences with `width` classes, without a copy of the logits in fp32. */
void layer_class_cross_entropy(ModelBuild *build, gint64 rows, gint64 width);
/* The stand-in for a loss where the model ends without a head: a mean. */
void layer_mean_loss(ModelBuild *build, gint64 rows, gint64 width);

G_END_DECLS
