/* SPDX-License-Identifier: MIT */
/* MPT as MosaicML's llm-foundry trains it (llmfoundry/models/mpt/modeling_mpt.py): LayerNorm in
 * 16 bits also under autocast, the head tied to the embedding, flash-attn's fused cross
 * entropy. The released models have ALiBi and no biases, as transformers' defaults say; the
 * throughput tables were made with learned positions and biases, as llm-foundry's say. Left
 * out: other norms, grouped heads, norms of queries and keys. */
#include "error.h"
#include "model_decoder.h"

#include <string.h>

static const DecoderRow mpt_rows[] = {{MODULE_ATTENTION_NORM, "norm_1"},
                                      {MODULE_QKV, "attn.Wqkv"},
                                      {MODULE_OUT, "attn.out_proj"},
                                      {MODULE_MLP_NORM, "norm_2"},
                                      {MODULE_UP, "ffn.up_proj"},
                                      {MODULE_DOWN, "ffn.down_proj"},
                                      {0, NULL}};

static const char *const attention_modelled[] = {"alibi", "attn_pdrop", NULL};
/* attn_impl is this program's training.attention; clipping and scaling cost next to nothing. */
static const char *const attention_irrelevant[] = {
    "attn_impl",  "alibi_bias_max", "softmax_scale", "clip_qkv", "attn_uses_sequence_id",
    "model_type", "qk_gn",          "fused_qkv",     NULL};
static const FixedMember attention_fixed[] = {{"attn_type", "\"multihead_attention\""},
                                              {"prefix_lm", "false"},
                                              {"qk_ln", "false"},
                                              {"rope", "false"},
                                              {"sliding_window_size", "-1"},
                                              {NULL, NULL}};

/* transformers' models/mpt/modeling_mpt.py has no table of positions, whatever the file says.
 */
enum { LLM_FOUNDRY, TRANSFORMERS_PORT };

static gboolean read_attention(ModelBuild *build, Decoder *d, GError **error)
{
    JsonIn in;
    d->biased = !d->position_embedding; /* unless it is told */
    if (!json_in_object(&build->config, "attn_config", FALSE, build->names, &in, error))
        return FALSE;
    if (!in.object)
        return TRUE;
    if (!json_in_bool(&in, "alibi", FALSE, &d->biased, error) ||
        !json_in_double(&in, "attn_pdrop", FALSE, 0, 1, &d->attention_dropout, error))
        return FALSE;
    if (d->biased) /* MPTConfig sets learned_pos_emb to false, as MPT-7B's own file needs */
        d->position_embedding = NULL;
    if (build->options->dropout >= 0)
        d->attention_dropout = build->options->dropout;
    static const ModelFamily members = {.modelled = attention_modelled,
                                        .irrelevant = attention_irrelevant,
                                        .fixed = attention_fixed};
    return model_check_members(&in, &members, build->warnings, error);
}

/* A max_seq_len of null is as long as the sequences are, 2048 unless told otherwise:
 * llm-foundry's files set both from one variable. */
static gboolean read_positions(ModelBuild *build, Decoder *d, GError **error)
{
    const json_t *member = json_object_get(build->config.object, "max_seq_len");
    gboolean learned = FALSE, no_bias = TRUE;
    int architecture;
    if (json_is_null(member) && build->options->sequence_length > 0)
        d->positions = build->options->sequence_length;
    if (!model_read_architecture(build, &model_family_mpt, &architecture, error) ||
        !model_read_size(build, "max_seq_len", &d->positions, error) ||
        !json_in_bool(&build->config, "learned_pos_emb", FALSE, &learned, error) ||
        !json_in_bool(&build->config, "no_bias", FALSE, &no_bias, error))
        return FALSE;
    if (learned && architecture != TRANSFORMERS_PORT)
        d->position_embedding = "wpe";
    d->position_rows = d->positions;
    d->qkv_bias = d->out_bias = d->mlp_bias = !no_bias;
    return model_check_product(build, "max_seq_len", d->positions, 1, error);
}

static gboolean read_norm(ModelBuild *build, Decoder *d, GError **error)
{
    const char *name = "low_precision_layernorm";
    if (!json_in_string(&build->config, "norm_type", FALSE, &name, error))
        return FALSE;
    d->norm = NORM_LOW_PRECISION;
    if (strcmp(name, "low_precision_layernorm") == 0)
        return TRUE;
    d->norm = d->qkv_bias ? NORM_LAYER : NORM_LAYER_NO_BIAS;
    if (strcmp(name, "layernorm") == 0)
        return TRUE;
    g_autofree char *quoted = error_quote(name);
    g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                "%s: norm_type: %s isn't modelled; known: low_precision_layernorm, layernorm",
                build->config.file, quoted);
    return FALSE;
}

static gboolean mpt_read(ModelBuild *build, Decoder *d, GError **error)
{
    static const DecoderMembers members = {.hidden = "d_model",
                                           .layers = "n_layers",
                                           .heads = "n_heads",
                                           .embedding_dropout = "emb_pdrop",
                                           .residual_dropout = "resid_pdrop"};
    double ratio = 4;
    if (!decoder_read_members(build, &members, d, error) ||
        !json_in_double(&build->config, "expansion_ratio", FALSE, 1.0 / 64, 64, &ratio,
                        error) ||
        !read_positions(build, d, error) || !read_norm(build, d, error) ||
        !read_attention(build, d, error))
        return FALSE;
    d->inner = MAX((gint64)(ratio * (double)d->hidden), 1);
    d->activation = activation_find(build, "ffn_config", "gelu", error);
    return d->activation && decoder_resolve_sequence(build, d, error);
}

static gboolean mpt_build(ModelBuild *build, GError **error)
{
    Decoder d = {.rows = mpt_rows,
                 .blocks = "blocks",
                 .attention = "attn",
                 .mlp = "ffn",
                 .embedding = "wte",
                 .final_norm = "norm_f",
                 .positions = 2048,
                 .tied = TRUE,
                 .softmax_fp32 = TRUE,
                 .unpadded = TRUE,
                 .fused_loss = TRUE,
                 /* Composer's LanguageCrossEntropy and LanguagePerplexity, of each micro-batch:
                  * use_train_metrics is on by default. */
                 .n_loss_metrics = 2};
    if (!decoder_read_architecture(build, &model_family_mpt, "transformer.", "lm_head", &d,
                                   error) ||
        !mpt_read(build, &d, error))
        return FALSE;
    decoder_build(build, &d);
    return TRUE;
}

static const char *const architectures[] = {
    [LLM_FOUNDRY] = "MPTForCausalLM", [TRANSFORMERS_PORT] = "MptForCausalLM", NULL};
static const char *const modelled[] = {"d_model",
                                       "n_layers",
                                       "n_heads",
                                       "expansion_ratio",
                                       "vocab_size",
                                       "max_seq_len",
                                       "no_bias",
                                       "learned_pos_emb",
                                       "emb_pdrop",
                                       "resid_pdrop",
                                       "tie_word_embeddings",
                                       "norm_type",
                                       "attn_config",
                                       NULL};
static const char *const irrelevant[] = {"init_device",    "init_config", "layer_norm_epsilon",
                                         "norm_eps",       "verbose",     "embedding_fraction",
                                         "tokenizer_name", "logit_scale", NULL};
static const FixedMember fixed[] = {
    {"ffn_config", "{\"ffn_type\": \"mptmlp\"}"}, {"use_norm_in_ffn", "false"}, {NULL, NULL}};

const ModelFamily model_family_mpt = {.model_type = "mpt",
                                      .build = mpt_build,
                                      .architectures = architectures,
                                      .modelled = modelled,
                                      .irrelevant = irrelevant,
                                      .fixed = fixed};
