/* SPDX-License-Identifier: MIT */
/* BERT and RoBERTa as transformers runs them (models/bert/modeling_bert.py): post-norm blocks,
 * learned positions, an attention mask that is not causal. The bare model ends in a pooler over
 * the first token; the masked-language model has a transform and a decoder tied to the
 * embedding instead. RoBERTa names its head otherwise and counts positions from 2. */
#include "model_family.h"

#include <string.h>

enum { POOLED_MODEL, MASKED_LM };

/* What RoBERTa has otherwise. */
typedef struct {
    const ModelFamily *family;
    const char *prefix; /* of the body under a head */
    const char *head, *transform, *transform_norm;
    gint64 reserved_positions;
} Kind;

static const Kind kinds[] = {
    {&model_family_bert, "bert.", "cls.predictions", "cls.predictions.transform.dense",
     "cls.predictions.transform.LayerNorm", 0},
    {&model_family_roberta, "roberta.", "lm_head", "lm_head.dense", "lm_head.layer_norm", 2},
    {&model_family_xlm_roberta, "roberta.", "lm_head", "lm_head.dense", "lm_head.layer_norm",
     2},
};

typedef struct {
    const Kind *kind;
    gint64 hidden, layers, heads, inner, vocabulary, positions, types;
    double hidden_dropout, attention_dropout;
    const Activation *activation;
    int architecture;
    const char *prefix; /* of the body's parameters */
} Bert;

static gboolean bert_read(ModelBuild *build, Bert *b, GError **error)
{
    const char *activation = "gelu";
    const Kind *kind = kinds;
    while (strcmp(build->model->family, kind->family->model_type) != 0)
        kind++;
    *b = (Bert){.kind = kind, .types = 2, .hidden_dropout = 0.1, .attention_dropout = 0.1};
    if (!model_read_architecture(build, b->kind->family, &b->architecture, error) ||
        !model_read_size(build, "hidden_size", &b->hidden, error) ||
        !model_read_layers(build, "num_hidden_layers", &b->layers, error) ||
        !model_read_size(build, "num_attention_heads", &b->heads, error) ||
        !model_read_size(build, "intermediate_size", &b->inner, error) ||
        !model_read_size(build, "vocab_size", &b->vocabulary, error) ||
        !model_read_size(build, "max_position_embeddings", &b->positions, error) ||
        !model_read_size(build, "type_vocab_size", &b->types, error) ||
        !model_check_heads(build, "hidden_size", b->hidden, "num_attention_heads", b->heads,
                           error) ||
        !model_read_dropout(build, "hidden_dropout_prob", &b->hidden_dropout, error) ||
        !model_read_dropout(build, "attention_probs_dropout_prob", &b->attention_dropout,
                            error) ||
        !json_in_string(&build->config, "hidden_act", FALSE, &activation, error))
        return FALSE;
    b->prefix = b->architecture == MASKED_LM ? b->kind->prefix : "";
    b->activation = activation_find(build, "hidden_act", activation, error);
    return b->activation && model_resolve_sequence(
                                build, MAX(b->positions - b->kind->reserved_positions, 1), TRUE,
                                b->heads, MAX(b->vocabulary, MAX(b->inner, b->hidden)), error);
}

static void bert_parameters(ModelBuild *build, const Bert *b)
{
    const gint64 h = b->hidden, f = b->inner;
    const char *embeddings = model_name_printf(build, "%sembeddings", b->prefix);
    const struct {
        const char *name;
        gint64 rows, columns, bias;
    } tables[] = {{"word_embeddings", b->vocabulary, h, 0},
                  {"position_embeddings", b->positions, h, 0},
                  {"token_type_embeddings", b->types, h, 0},
                  {"LayerNorm", h, 1, h}},
      rows[] = {{"attention.self.query", h, h, h},
                {"attention.self.key", h, h, h},
                {"attention.self.value", h, h, h},
                {"attention.output.dense", h, h, h},
                {"attention.output.LayerNorm", h, 1, h},
                {"intermediate.dense", f, h, f},
                {"output.dense", h, f, h},
                {"output.LayerNorm", h, 1, h}};
    for (gsize j = 0; j < G_N_ELEMENTS(tables); j++)
        model_add_parameters(build,
                             model_name_printf(build, "%s.%s", embeddings, tables[j].name),
                             tables[j].rows, tables[j].columns, tables[j].bias);
    for (int i = 0; i < b->layers; i++)
        for (gsize j = 0; j < G_N_ELEMENTS(rows); j++)
            model_add_parameters(
                build,
                model_name_printf(build, "%sencoder.layer.%d.%s", b->prefix, i, rows[j].name),
                rows[j].rows, rows[j].columns, rows[j].bias);
}

/* The decoder's bias is registered by the head, before the head's modules. */
static void bert_head_parameters(ModelBuild *build, const Bert *b)
{
    const gint64 h = b->hidden;
    if (b->architecture == POOLED_MODEL) {
        model_add_parameters(build, "pooler.dense", h, h, h);
        return;
    }
    model_add_parameter(build, model_name_printf(build, "%s.bias", b->kind->head),
                        b->vocabulary, 1);
    model_add_parameters(build, b->kind->transform, h, h, h);
    model_add_parameters(build, b->kind->transform_norm, h, 1, h);
}

/* LayerNorm(dropout(dense(x)) + residual): BertSelfOutput and BertOutput. */
static void bert_output(ModelBuild *build, const Bert *b, const char *name, gint64 in,
                        gboolean linear_input)
{
    const gint64 t = build->tokens, h = b->hidden;
    layer_linear(build, &(LinearShape){.name = model_name_printf(build, "%s.dense", name),
                                       .rows = t,
                                       .in = in,
                                       .out = h,
                                       .linear_input = linear_input});
    layer_dropout(build, model_name_printf(build, "%s.dropout", name), h, b->hidden_dropout,
                  build->linear);
    layer_residual(build, model_name_printf(build, "%s.residual", name), h);
    layer_layernorm(build, model_name_printf(build, "%s.LayerNorm", name), t, h);
}

static void bert_block(ModelBuild *build, const Bert *b, const char *block)
{
    static const char *const projections[] = {"query", "key", "value"};
    const gint64 t = build->tokens, h = b->hidden, f = b->inner;
    const AttentionShape attention = {.heads = b->heads,
                                      .kv_heads = b->heads,
                                      .head_dim = h / b->heads,
                                      .dropout = b->attention_dropout};
    for (gsize i = 0; i < G_N_ELEMENTS(projections); i++)
        layer_linear(build,
                     &(LinearShape){.name = model_name_printf(build, "%s.attention.self.%s",
                                                              block, projections[i]),
                                    .rows = t,
                                    .in = h,
                                    .out = h,
                                    .shared_input = i > 0});
    layer_attention(build, model_name_printf(build, "%s.attention.self", block), &attention);
    bert_output(build, b, model_name_printf(build, "%s.attention.output", block), h, TRUE);
    layer_linear(
        build, &(LinearShape){.name = model_name_printf(build, "%s.intermediate.dense", block),
                              .rows = t,
                              .in = h,
                              .out = f});
    layer_activation(build, model_name_printf(build, "%s.intermediate.act", block),
                     b->activation, t, f);
    bert_output(build, b, model_name_printf(build, "%s.output", block), f,
                !b->activation->python);
}

static void bert_embeddings(ModelBuild *build, const Bert *b)
{
    const gint64 t = build->tokens, h = b->hidden;
    const char *name = model_name_printf(build, "%sembeddings", b->prefix);
    layer_embedding(build, model_name_printf(build, "%s.word_embeddings", name), t,
                    b->architecture == MASKED_LM);
    layer_embedding(build, model_name_printf(build, "%s.token_type_embeddings", name), t,
                    FALSE);
    layer_residual(build, model_name_printf(build, "%s.token_type_sum", name), h);
    layer_embedding(build, model_name_printf(build, "%s.position_embeddings", name),
                    build->model->sequence_length, FALSE);
    layer_residual(build, model_name_printf(build, "%s.position_sum", name), h);
    layer_layernorm(build, model_name_printf(build, "%s.LayerNorm", name), t, h);
    layer_dropout(build, model_name_printf(build, "%s.dropout", name), h, b->hidden_dropout,
                  build->stream);
}

static void bert_head(ModelBuild *build, const Bert *b)
{
    const gint64 t = build->tokens, h = b->hidden, sequences = build->options->micro_batch;
    if (b->architecture == POOLED_MODEL) {
        layer_linear(build, &(LinearShape){
                                .name = "pooler.dense", .rows = sequences, .in = h, .out = h});
        layer_tanh(build, "pooler.activation", sequences, h);
        layer_mean_loss(build, sequences, h);
        return;
    }
    layer_linear(build,
                 &(LinearShape){.name = b->kind->transform, .rows = t, .in = h, .out = h});
    layer_activation(build, model_name_printf(build, "%s.act", b->kind->head), b->activation, t,
                     h);
    layer_layernorm(build, b->kind->transform_norm, t, h);
    layer_linear(build,
                 &(LinearShape){.name = b->kind->head,
                                .rows = t,
                                .in = h,
                                .out = b->vocabulary,
                                .tied_to = model_name_printf(
                                    build, "%sembeddings.word_embeddings.weight", b->prefix)});
    layer_cross_entropy(build, b->vocabulary);
}

static gboolean bert_build(ModelBuild *build, GError **error)
{
    Bert b;
    if (!bert_read(build, &b, error))
        return FALSE;
    build->model->hidden_size = b.hidden;
    build->model->n_blocks = (int)b.layers;
    build->model->buffer_bytes = 2 * 8 * b.positions; /* position_ids and token_type_ids */
    bert_parameters(build, &b);
    bert_head_parameters(build, &b);
    bert_embeddings(build, &b);
    for (int i = 0; i < b.layers; i++) {
        build->block = i;
        bert_block(build, &b, model_name_printf(build, "%sencoder.layer.%d", b.prefix, i));
    }
    build->block = (int)b.layers;
    bert_head(build, &b);
    model_attention_flops(build, b.layers, b.hidden);
    return TRUE;
}

static const char *const bert_architectures[] = {"BertModel", "BertForMaskedLM", NULL};
static const char *const bert_modelled[] = {"hidden_size",
                                            "num_hidden_layers",
                                            "num_attention_heads",
                                            "intermediate_size",
                                            "vocab_size",
                                            "max_position_embeddings",
                                            "type_vocab_size",
                                            "hidden_dropout_prob",
                                            "attention_probs_dropout_prob",
                                            "hidden_act",
                                            NULL};
static const char *const bert_irrelevant[] = {"layer_norm_eps",
                                              "classifier_dropout",
                                              "directionality",
                                              "pooler_fc_size",
                                              "pooler_num_attention_heads",
                                              "pooler_num_fc_layers",
                                              "pooler_size_per_head",
                                              "pooler_type",
                                              NULL};
static const FixedMember bert_fixed[] = {
    {"position_embedding_type", "\"absolute\""}, {"tie_word_embeddings", "true"}, {NULL, NULL}};

const ModelFamily model_family_bert = {.model_type = "bert",
                                       .build = bert_build,
                                       .architectures = bert_architectures,
                                       .modelled = bert_modelled,
                                       .irrelevant = bert_irrelevant,
                                       .fixed = bert_fixed};

static const char *const roberta_architectures[] = {"RobertaModel", "RobertaForMaskedLM", NULL};

const ModelFamily model_family_roberta = {.model_type = "roberta",
                                          .build = bert_build,
                                          .architectures = roberta_architectures,
                                          .modelled = bert_modelled,
                                          .irrelevant = bert_irrelevant,
                                          .fixed = bert_fixed};

/* RoBERTa with another vocabulary. */
static const char *const xlm_roberta_architectures[] = {"XLMRobertaModel",
                                                        "XLMRobertaForMaskedLM", NULL};

const ModelFamily model_family_xlm_roberta = {.model_type = "xlm-roberta",
                                              .build = bert_build,
                                              .architectures = xlm_roberta_architectures,
                                              .modelled = bert_modelled,
                                              .irrelevant = bert_irrelevant,
                                              .fixed = bert_fixed};
