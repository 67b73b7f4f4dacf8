/* SPDX-License-Identifier: MIT */
/* GPT-2 as transformers runs it (models/gpt2/modeling_gpt2.py): learned positions, pre-norm
 * blocks, Conv1D weights of shape (in, out), the head tied to the token embedding. Left out:
 * cross attention and the scaled attention variants. */
#include "model_family.h"

enum { LM_HEAD_MODEL, BARE_MODEL };

typedef struct {
    gint64 hidden, layers, heads, inner, vocabulary, positions;
    double embedding_dropout, attention_dropout, residual_dropout;
    const Activation *activation;
    int architecture;
    const char *prefix; /* of the body's parameters */
} Gpt2;

static gboolean gpt2_read(ModelBuild *build, Gpt2 *g, GError **error)
{
    const char *activation = "gelu_new";
    *g = (Gpt2){.embedding_dropout = 0.1, .attention_dropout = 0.1, .residual_dropout = 0.1};
    if (!model_read_architecture(build, &model_family_gpt2, &g->architecture, error) ||
        !model_read_size(build, "n_embd", &g->hidden, error) ||
        !model_read_layers(build, "n_layer", &g->layers, error) ||
        !model_read_size(build, "n_head", &g->heads, error) ||
        !model_read_size(build, "vocab_size", &g->vocabulary, error) ||
        !model_read_size(build, "n_positions", &g->positions, error) ||
        !model_check_heads(build, "n_embd", g->hidden, "n_head", g->heads, error) ||
        !model_read_dropout(build, "embd_pdrop", &g->embedding_dropout, error) ||
        !model_read_dropout(build, "attn_pdrop", &g->attention_dropout, error) ||
        !model_read_dropout(build, "resid_pdrop", &g->residual_dropout, error) ||
        !json_in_string(&build->config, "activation_function", FALSE, &activation, error))
        return FALSE;
    g->inner = 4 * g->hidden;
    g->prefix = g->architecture == LM_HEAD_MODEL ? "transformer." : "";
    g->activation = activation_find(build, "activation_function", activation, error);
    return g->activation && model_read_size(build, "n_inner", &g->inner, error) &&
           model_resolve_sequence(build, g->positions, TRUE, g->heads,
                                  MAX(g->vocabulary, MAX(g->inner, 3 * g->hidden)), error);
}

static void gpt2_parameters(ModelBuild *build, const Gpt2 *g)
{
    const gint64 h = g->hidden, f = g->inner;
    model_add_parameters(build, model_name_printf(build, "%swte", g->prefix), g->vocabulary, h,
                         0);
    model_add_parameters(build, model_name_printf(build, "%swpe", g->prefix), g->positions, h,
                         0);
    for (int i = 0; i < g->layers; i++) {
        const char *block = model_name_printf(build, "%sh.%d", g->prefix, i);
        const struct {
            const char *name;
            gint64 rows, columns, bias;
        } rows[] = {{"ln_1", h, 1, h},        {"attn.c_attn", h, 3 * h, 3 * h},
                    {"attn.c_proj", h, h, h}, {"ln_2", h, 1, h},
                    {"mlp.c_fc", h, f, f},    {"mlp.c_proj", f, h, h}};
        for (gsize j = 0; j < G_N_ELEMENTS(rows); j++)
            model_add_parameters(build, model_name_printf(build, "%s.%s", block, rows[j].name),
                                 rows[j].rows, rows[j].columns, rows[j].bias);
    }
    model_add_parameters(build, model_name_printf(build, "%sln_f", g->prefix), h, 1, h);
}

static void gpt2_block(ModelBuild *build, const Gpt2 *g, const char *block)
{
    const gint64 t = build->tokens, h = g->hidden, f = g->inner;
    const AttentionShape attention = {.heads = g->heads,
                                      .kv_heads = g->heads,
                                      .head_dim = h / g->heads,
                                      .causal = TRUE,
                                      .dropout = g->attention_dropout};
    layer_layernorm(build, model_name_printf(build, "%s.ln_1", block), t, h);
    layer_linear(build,
                 &(LinearShape){.name = model_name_printf(build, "%s.attn.c_attn", block),
                                .rows = t,
                                .in = h,
                                .out = 3 * h,
                                .transposed_weight = TRUE});
    layer_attention(build, model_name_printf(build, "%s.attn", block), &attention);
    layer_linear(build,
                 &(LinearShape){.name = model_name_printf(build, "%s.attn.c_proj", block),
                                .rows = t,
                                .in = h,
                                .out = h,
                                .linear_input = TRUE,
                                .transposed_weight = TRUE});
    layer_dropout(build, model_name_printf(build, "%s.attn.resid_dropout", block), h,
                  g->residual_dropout, build->linear);
    layer_residual(build, model_name_printf(build, "%s.attn.residual", block), h);
    layer_layernorm(build, model_name_printf(build, "%s.ln_2", block), t, h);
    layer_linear(build, &(LinearShape){.name = model_name_printf(build, "%s.mlp.c_fc", block),
                                       .rows = t,
                                       .in = h,
                                       .out = f,
                                       .transposed_weight = TRUE});
    layer_activation(build, model_name_printf(build, "%s.mlp.act", block), g->activation, t, f);
    layer_linear(build, &(LinearShape){.name = model_name_printf(build, "%s.mlp.c_proj", block),
                                       .rows = t,
                                       .in = f,
                                       .out = h,
                                       .linear_input = !g->activation->python,
                                       .transposed_weight = TRUE});
    layer_dropout(build, model_name_printf(build, "%s.mlp.dropout", block), h,
                  g->residual_dropout, build->linear);
    layer_residual(build, model_name_printf(build, "%s.mlp.residual", block), h);
}

static void gpt2_layers(ModelBuild *build, const Gpt2 *g)
{
    const gint64 t = build->tokens, h = g->hidden;
    const char *wte = model_name_printf(build, "%swte", g->prefix);
    layer_embedding(build, wte, t, g->architecture == LM_HEAD_MODEL);
    layer_embedding(build, model_name_printf(build, "%swpe", g->prefix),
                    build->model->sequence_length, FALSE);
    layer_residual(build, model_name_printf(build, "%sembedding.sum", g->prefix), h);
    layer_dropout(build, model_name_printf(build, "%sdrop", g->prefix), h, g->embedding_dropout,
                  build->stream);
    for (int i = 0; i < g->layers; i++) {
        build->block = i;
        gpt2_block(build, g, model_name_printf(build, "%sh.%d", g->prefix, i));
    }
    build->block = (int)g->layers;
    layer_layernorm(build, model_name_printf(build, "%sln_f", g->prefix), t, h);
    if (g->architecture == BARE_MODEL) {
        layer_mean_loss(build, t, h);
        return;
    }
    layer_linear(build, &(LinearShape){.name = "lm_head",
                                       .rows = t,
                                       .in = h,
                                       .out = g->vocabulary,
                                       .tied_to = model_name_printf(build, "%s.weight", wte)});
    layer_cross_entropy(build, g->vocabulary);
}

static gboolean gpt2_build(ModelBuild *build, GError **error)
{
    Gpt2 g;
    if (!gpt2_read(build, &g, error))
        return FALSE;
    build->model->hidden_size = g.hidden;
    build->model->n_blocks = (int)g.layers;
    gpt2_parameters(build, &g);
    gpt2_layers(build, &g);
    model_attention_flops(build, g.layers, g.hidden);
    return TRUE;
}

static const char *const gpt2_architectures[] = {"GPT2LMHeadModel", "GPT2Model", NULL};
static const char *const gpt2_modelled[] = {"n_embd",
                                            "n_layer",
                                            "n_head",
                                            "n_inner",
                                            "vocab_size",
                                            "n_positions",
                                            "activation_function",
                                            "attn_pdrop",
                                            "embd_pdrop",
                                            "resid_pdrop",
                                            NULL};
static const char *const gpt2_irrelevant[] = {"n_ctx",
                                              "layer_norm_epsilon",
                                              "summary_activation",
                                              "summary_first_dropout",
                                              "summary_proj_to_labels",
                                              "summary_type",
                                              "summary_use_proj",
                                              "scale_attn_weights",
                                              NULL};
static const FixedMember gpt2_fixed[] = {{"tie_word_embeddings", "true"},
                                         {"scale_attn_by_inverse_layer_idx", "false"},
                                         {"reorder_and_upcast_attn", "false"},
                                         {NULL, NULL}};

const ModelFamily model_family_gpt2 = {.model_type = "gpt2",
                                       .build = gpt2_build,
                                       .architectures = gpt2_architectures,
                                       .modelled = gpt2_modelled,
                                       .irrelevant = gpt2_irrelevant,
                                       .fixed = gpt2_fixed};
