/* SPDX-License-Identifier: MIT */
/* Llama as transformers runs it (models/llama/modeling_llama.py): rotary positions, RMSNorm
 * written in Python, grouped key and value heads, a gated MLP. Rotary scaling changes numbers,
 * not costs. */
#include "model_family.h"

enum { CAUSAL_LM, BARE_MODEL };

typedef struct {
    gint64 hidden, layers, heads, kv_heads, head_dim, inner, vocabulary, positions;
    gboolean tied, attention_bias, mlp_bias;
    double attention_dropout;
    int architecture;
    const char *prefix; /* of the body's parameters */
} Llama;

static gboolean llama_read_heads(ModelBuild *build, Llama *l, GError **error)
{
    l->kv_heads = l->heads;
    if (!model_read_size(build, "num_key_value_heads", &l->kv_heads, error))
        return FALSE;
    if (!json_in_has(&build->config, "head_dim") &&
        !model_check_heads(build, "hidden_size", l->hidden, "num_attention_heads", l->heads,
                           error))
        return FALSE;
    l->head_dim = MAX(l->hidden / l->heads, 1);
    return model_read_size(build, "head_dim", &l->head_dim, error) &&
           model_check_heads(build, "num_attention_heads", l->heads, "num_key_value_heads",
                             l->kv_heads, error) &&
           model_check_product(build, "num_attention_heads x head_dim", l->heads, l->head_dim,
                               error);
}

static gboolean llama_read(ModelBuild *build, Llama *l, GError **error)
{
    const JsonIn *in = &build->config;
    *l = (Llama){.positions = 2048};
    if (!model_read_architecture(build, &model_family_llama, &l->architecture, error) ||
        !model_read_size(build, "hidden_size", &l->hidden, error) ||
        !model_read_layers(build, "num_hidden_layers", &l->layers, error) ||
        !model_read_size(build, "num_attention_heads", &l->heads, error) ||
        !model_read_size(build, "intermediate_size", &l->inner, error) ||
        !model_read_size(build, "vocab_size", &l->vocabulary, error) ||
        !model_read_size(build, "max_position_embeddings", &l->positions, error) ||
        !llama_read_heads(build, l, error) ||
        !json_in_bool(in, "tie_word_embeddings", FALSE, &l->tied, error) ||
        !json_in_bool(in, "attention_bias", FALSE, &l->attention_bias, error) ||
        !json_in_bool(in, "mlp_bias", FALSE, &l->mlp_bias, error) ||
        !model_read_dropout(build, "attention_dropout", &l->attention_dropout, error))
        return FALSE;
    l->prefix = l->architecture == CAUSAL_LM ? "model." : "";
    const gint64 qkv = (l->heads + 2 * l->kv_heads) * l->head_dim;
    return model_resolve_sequence(build, l->positions, FALSE, l->heads,
                                  MAX(MAX(l->vocabulary, l->inner), MAX(qkv, l->hidden)),
                                  error);
}

static void llama_parameters(ModelBuild *build, const Llama *l)
{
    const gint64 h = l->hidden, f = l->inner;
    const gint64 q = l->heads * l->head_dim, k = l->kv_heads * l->head_dim;
    const gint64 attention = l->attention_bias, mlp = l->mlp_bias;
    model_add_parameters(build, model_name_printf(build, "%sembed_tokens", l->prefix),
                         l->vocabulary, h, 0);
    for (int i = 0; i < l->layers; i++) {
        const char *block = model_name_printf(build, "%slayers.%d", l->prefix, i);
        const struct {
            const char *name;
            gint64 rows, columns, bias;
        } rows[] = {{"self_attn.q_proj", q, h, attention * q},
                    {"self_attn.k_proj", k, h, attention * k},
                    {"self_attn.v_proj", k, h, attention * k},
                    {"self_attn.o_proj", h, q, attention * h},
                    {"mlp.gate_proj", f, h, mlp * f},
                    {"mlp.up_proj", f, h, mlp * f},
                    {"mlp.down_proj", h, f, mlp * h},
                    {"input_layernorm", h, 1, 0},
                    {"post_attention_layernorm", h, 1, 0}};
        for (gsize j = 0; j < G_N_ELEMENTS(rows); j++)
            model_add_parameters(build, model_name_printf(build, "%s.%s", block, rows[j].name),
                                 rows[j].rows, rows[j].columns, rows[j].bias);
    }
    model_add_parameters(build, model_name_printf(build, "%snorm", l->prefix), h, 1, 0);
    if (l->architecture == CAUSAL_LM && !l->tied)
        model_add_parameters(build, "lm_head", l->vocabulary, h, 0);
}

static void llama_attention(ModelBuild *build, const Llama *l, const char *block)
{
    const gint64 t = build->tokens, h = l->hidden;
    const gint64 q = l->heads * l->head_dim, k = l->kv_heads * l->head_dim;
    const AttentionShape attention = {l->heads, l->kv_heads, l->head_dim,
                                      TRUE,     TRUE,        l->attention_dropout};
    const struct {
        const char *name;
        gint64 out;
        gboolean shared;
    } projections[] = {{"q_proj", q, FALSE}, {"k_proj", k, TRUE}, {"v_proj", k, TRUE}};
    for (gsize i = 0; i < G_N_ELEMENTS(projections); i++)
        layer_linear(build,
                     &(LinearShape){.name = model_name_printf(build, "%s.self_attn.%s", block,
                                                              projections[i].name),
                                    .rows = t,
                                    .in = h,
                                    .out = projections[i].out,
                                    .shared_input = projections[i].shared});
    layer_rope(build, model_name_printf(build, "%s.self_attn.rotary", block), q + k);
    layer_attention(build, model_name_printf(build, "%s.self_attn", block), &attention);
    layer_linear(build,
                 &(LinearShape){.name = model_name_printf(build, "%s.self_attn.o_proj", block),
                                .rows = t,
                                .in = q,
                                .out = h,
                                .linear_input = TRUE});
}

static void llama_block(ModelBuild *build, const Llama *l, const char *block)
{
    const gint64 t = build->tokens, h = l->hidden, f = l->inner;
    layer_rmsnorm(build, model_name_printf(build, "%s.input_layernorm", block), t, h);
    llama_attention(build, l, block);
    layer_residual(build, model_name_printf(build, "%s.self_attn.residual", block), h);
    layer_rmsnorm(build, model_name_printf(build, "%s.post_attention_layernorm", block), t, h);
    layer_linear(build,
                 &(LinearShape){.name = model_name_printf(build, "%s.mlp.gate_proj", block),
                                .rows = t,
                                .in = h,
                                .out = f});
    layer_linear(build,
                 &(LinearShape){.name = model_name_printf(build, "%s.mlp.up_proj", block),
                                .rows = t,
                                .in = h,
                                .out = f,
                                .shared_input = TRUE});
    layer_swiglu(build, model_name_printf(build, "%s.mlp.act_fn", block), f);
    layer_linear(build,
                 &(LinearShape){.name = model_name_printf(build, "%s.mlp.down_proj", block),
                                .rows = t,
                                .in = f,
                                .out = h,
                                .linear_input = TRUE});
    layer_residual(build, model_name_printf(build, "%s.mlp.residual", block), h);
}

static void llama_layers(ModelBuild *build, const Llama *l)
{
    const gint64 t = build->tokens, h = l->hidden;
    const char *embedding = model_name_printf(build, "%sembed_tokens", l->prefix);
    const gboolean tied = l->tied && l->architecture == CAUSAL_LM;
    layer_embedding(build, embedding, t, tied);
    for (int i = 0; i < l->layers; i++) {
        build->block = i;
        llama_block(build, l, model_name_printf(build, "%slayers.%d", l->prefix, i));
    }
    build->block = (int)l->layers;
    layer_rmsnorm(build, model_name_printf(build, "%snorm", l->prefix), t, h);
    if (l->architecture == BARE_MODEL) {
        layer_mean_loss(build, t, h);
        return;
    }
    layer_linear(
        build, &(LinearShape){.name = "lm_head",
                              .rows = t,
                              .in = h,
                              .out = l->vocabulary,
                              .tied_to = tied ? model_name_printf(build, "%s.weight", embedding)
                                              : NULL});
    layer_cross_entropy(build, l->vocabulary);
}

static gboolean llama_build(ModelBuild *build, GError **error)
{
    Llama l;
    if (!llama_read(build, &l, error))
        return FALSE;
    build->model->hidden_size = l.hidden;
    build->model->n_blocks = (int)l.layers;
    build->model->buffer_bytes = 4 * (l.head_dim / 2); /* inv_freq */
    llama_parameters(build, &l);
    llama_layers(build, &l);
    model_attention_flops(build, l.layers, l.heads * l.head_dim);
    return TRUE;
}

static const char *const llama_architectures[] = {"LlamaForCausalLM", "LlamaModel", NULL};
static const char *const llama_modelled[] = {"hidden_size",
                                             "num_hidden_layers",
                                             "num_attention_heads",
                                             "num_key_value_heads",
                                             "head_dim",
                                             "intermediate_size",
                                             "vocab_size",
                                             "max_position_embeddings",
                                             "tie_word_embeddings",
                                             "attention_bias",
                                             "mlp_bias",
                                             "attention_dropout",
                                             NULL};
static const char *const llama_irrelevant[] = {"rms_norm_eps", "rope_theta", "rope_scaling",
                                               "rope_parameters", NULL};
static const FixedMember llama_fixed[] = {
    {"hidden_act", "\"silu\""}, {"pretraining_tp", "1"}, {NULL, NULL}};

const ModelFamily model_family_llama = {.model_type = "llama",
                                        .build = llama_build,
                                        .architectures = llama_architectures,
                                        .modelled = llama_modelled,
                                        .irrelevant = llama_irrelevant,
                                        .fixed = llama_fixed};
