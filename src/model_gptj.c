/* SPDX-License-Identifier: MIT */
/* EleutherAI's three as transformers runs them: GPT-Neo (learned positions, every other layer
 * sees a window, unscaled fp32 attention), GPT-J (rotary positions, attention and MLP in
 * parallel behind one norm) and GPT-NeoX with Pythia (in parallel behind two). */
#include "error.h"
#include "model_decoder.h"

/* -- GPT-Neo */

static const DecoderRow gpt_neo_rows[] = {{MODULE_ATTENTION_NORM, "ln_1"},
                                          {MODULE_K, "attn.attention.k_proj"},
                                          {MODULE_V, "attn.attention.v_proj"},
                                          {MODULE_Q, "attn.attention.q_proj"},
                                          {MODULE_OUT, "attn.attention.out_proj"},
                                          {MODULE_MLP_NORM, "ln_2"},
                                          {MODULE_UP, "mlp.c_fc"},
                                          {MODULE_DOWN, "mlp.c_proj"},
                                          {0, NULL}};

/* One group, [["global", "local"], 12]: its pattern so many times. FALSE: malformed. */
static gboolean append_types(const json_t *group, gsize n_layers, GString *local)
{
    const json_t *types = json_array_get(group, 0), *count = json_array_get(group, 1);
    const json_int_t n = json_is_integer(count) ? json_integer_value(count) : 0;
    for (json_int_t i = 0; i < n && local->len <= n_layers; i++) {
        for (gsize j = 0; j < json_array_size(types); j++) {
            const char *type = json_string_value(json_array_get(types, j));
            if (g_strcmp0(type, "global") != 0 && g_strcmp0(type, "local") != 0)
                return FALSE;
            g_string_append_c(local, type[0]);
        }
        if (json_array_size(types) == 0)
            return FALSE;
    }
    return n > 0;
}

static gboolean read_attention_types(ModelBuild *build, Decoder *d, GError **error)
{
    const json_t *groups = json_object_get(build->config.object, "attention_types");
    g_autoptr(GString) local = g_string_new(NULL);
    d->local = "gl";
    if (!groups || json_is_null(groups))
        return TRUE;
    gboolean right = json_is_array(groups);
    for (gsize i = 0; right && i < json_array_size(groups); i++)
        right = append_types(json_array_get(groups, i), (gsize)d->layers, local);
    if (!right || local->len != (gsize)d->layers) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: attention_types: must name global or local for each of num_layers, "
                    "like [[[\"global\", \"local\"], %d]]",
                    build->config.file, (int)(d->layers / 2));
        return FALSE;
    }
    d->local = model_name_printf(build, "%s", local->str);
    return TRUE;
}

static gboolean gpt_neo_read(ModelBuild *build, Decoder *d, GError **error)
{
    static const DecoderMembers members = {.hidden = "hidden_size",
                                           .layers = "num_layers",
                                           .heads = "num_heads",
                                           .inner = "intermediate_size",
                                           .positions = "max_position_embeddings",
                                           .embedding_dropout = "embed_dropout",
                                           .attention_dropout = "attention_dropout",
                                           .residual_dropout = "resid_dropout",
                                           .activation = "activation_function",
                                           .standard_activation = "gelu_new"};
    if (!decoder_read_members(build, &members, d, error) ||
        !model_read_size(build, "window_size", &d->window, error) ||
        !read_attention_types(build, d, error))
        return FALSE;
    d->position_rows = d->positions;
    return decoder_resolve_sequence(build, d, error);
}

static gboolean gpt_neo_build(ModelBuild *build, GError **error)
{
    Decoder d = {.rows = gpt_neo_rows,
                 .blocks = "h",
                 .attention = "attn",
                 .mlp = "mlp",
                 .embedding = "wte",
                 .position_embedding = "wpe",
                 .final_norm = "ln_f",
                 .positions = 2048,
                 .window = 256,
                 .out_bias = TRUE,
                 .mlp_bias = TRUE,
                 .tied = TRUE,
                 .softmax_fp32 = TRUE};
    if (!decoder_read_architecture(build, &model_family_gpt_neo, "transformer.", "lm_head", &d,
                                   error) ||
        !gpt_neo_read(build, &d, error))
        return FALSE;
    decoder_build(build, &d);
    return TRUE;
}

static const char *const gpt_neo_architectures[] = {"GPTNeoForCausalLM", "GPTNeoModel", NULL};
static const char *const gpt_neo_modelled[] = {"hidden_size",         "num_layers",
                                               "num_heads",           "intermediate_size",
                                               "vocab_size",          "window_size",
                                               "attention_types",     "max_position_embeddings",
                                               "activation_function", "tie_word_embeddings",
                                               "embed_dropout",       "attention_dropout",
                                               "resid_dropout",       NULL};
/* attention_layers repeats attention_types. */
static const char *const gpt_neo_irrelevant[] = {
    "attention_layers",       "layer_norm_epsilon",
    "classifier_dropout",     "summary_activation",
    "summary_type",           "summary_first_dropout",
    "summary_proj_to_labels", "summary_use_proj",
    "gradient_checkpointing", NULL};

const ModelFamily model_family_gpt_neo = {.model_type = "gpt_neo",
                                          .build = gpt_neo_build,
                                          .architectures = gpt_neo_architectures,
                                          .modelled = gpt_neo_modelled,
                                          .irrelevant = gpt_neo_irrelevant};

/* -- GPT-J */

static const DecoderRow gptj_rows[] = {
    {MODULE_ATTENTION_NORM, "ln_1"}, {MODULE_K, "attn.k_proj"},
    {MODULE_V, "attn.v_proj"},       {MODULE_Q, "attn.q_proj"},
    {MODULE_OUT, "attn.out_proj"},   {MODULE_UP, "mlp.fc_in"},
    {MODULE_DOWN, "mlp.fc_out"},     {0, NULL}};

static gboolean gptj_read(ModelBuild *build, Decoder *d, GError **error)
{
    static const DecoderMembers members = {.hidden = "n_embd",
                                           .layers = "n_layer",
                                           .heads = "n_head",
                                           .inner = "n_inner",
                                           .positions = "n_positions",
                                           .embedding_dropout = "embd_pdrop",
                                           .attention_dropout = "attn_pdrop",
                                           .residual_dropout = "resid_pdrop",
                                           .activation = "activation_function",
                                           .standard_activation = "gelu_new"};
    if (!decoder_read_members(build, &members, d, error))
        return FALSE;
    d->rotated = MIN(64, d->head_dim);
    return json_in_int(&build->config, "rotary_dim", FALSE, 1, d->head_dim, &d->rotated,
                       error) &&
           decoder_resolve_sequence(build, d, error);
}

static gboolean gptj_build(ModelBuild *build, GError **error)
{
    Decoder d = {.rows = gptj_rows,
                 .blocks = "h",
                 .attention = "attn",
                 .mlp = "mlp",
                 .embedding = "wte",
                 .final_norm = "ln_f",
                 .positions = 2048,
                 .parallel = TRUE,
                 .mlp_bias = TRUE,
                 .head_bias = TRUE,
                 .softmax_fp32 = TRUE};
    if (!decoder_read_architecture(build, &model_family_gptj, "transformer.", "lm_head", &d,
                                   error) ||
        !gptj_read(build, &d, error))
        return FALSE;
    decoder_build(build, &d);
    return TRUE;
}

static const char *const gptj_architectures[] = {"GPTJForCausalLM", "GPTJModel", NULL};
static const char *const gptj_modelled[] = {"n_embd",
                                            "n_layer",
                                            "n_head",
                                            "n_inner",
                                            "vocab_size",
                                            "n_positions",
                                            "rotary_dim",
                                            "embd_pdrop",
                                            "attn_pdrop",
                                            "resid_pdrop",
                                            "activation_function",
                                            "tie_word_embeddings",
                                            NULL};
static const char *const gptj_irrelevant[] = {"n_ctx",
                                              "layer_norm_epsilon",
                                              "rotary",
                                              "summary_activation",
                                              "summary_type",
                                              "scale_attn_weights",
                                              "summary_use_proj",
                                              "summary_first_dropout",
                                              "summary_proj_to_labels",
                                              "gradient_checkpointing",
                                              NULL};

const ModelFamily model_family_gptj = {.model_type = "gptj",
                                       .build = gptj_build,
                                       .architectures = gptj_architectures,
                                       .modelled = gptj_modelled,
                                       .irrelevant = gptj_irrelevant};

/* -- GPT-NeoX */

static const DecoderRow gpt_neox_rows[] = {{MODULE_ATTENTION_NORM, "input_layernorm"},
                                           {MODULE_MLP_NORM, "post_attention_layernorm"},
                                           {MODULE_QKV, "attention.query_key_value"},
                                           {MODULE_OUT, "attention.dense"},
                                           {MODULE_UP, "mlp.dense_h_to_4h"},
                                           {MODULE_DOWN, "mlp.dense_4h_to_h"},
                                           {0, NULL}};

static gboolean gpt_neox_read(ModelBuild *build, Decoder *d, GError **error)
{
    static const DecoderMembers members = {.hidden = "hidden_size",
                                           .layers = "num_hidden_layers",
                                           .heads = "num_attention_heads",
                                           .inner = "intermediate_size",
                                           .inner_required = TRUE,
                                           .positions = "max_position_embeddings",
                                           .attention_dropout = "attention_dropout",
                                           .residual_dropout = "hidden_dropout",
                                           .activation = "hidden_act",
                                           .standard_activation = "gelu"};
    const JsonIn *in = &build->config;
    double part = 0.25;
    if (!decoder_read_members(build, &members, d, error) ||
        !json_in_double(in, "rotary_pct", FALSE, 0, 1, &part, error) ||
        !model_read_rotated_part(build, &part, error) ||
        !json_in_bool(in, "use_parallel_residual", FALSE, &d->parallel, error) ||
        !json_in_bool(in, "attention_bias", FALSE, &d->qkv_bias, error))
        return FALSE;
    d->out_bias = d->qkv_bias;
    d->embedding_dropout = d->residual_dropout;
    d->rotated = (gint64)((double)d->head_dim * part);
    return decoder_resolve_sequence(build, d, error);
}

static gboolean gpt_neox_build(ModelBuild *build, GError **error)
{
    Decoder d = {.rows = gpt_neox_rows,
                 .blocks = "layers",
                 .attention = "attention",
                 .mlp = "mlp",
                 .embedding = "embed_in",
                 .final_norm = "final_layer_norm",
                 .positions = 2048,
                 .parallel = TRUE,
                 .qkv_bias = TRUE,
                 .mlp_bias = TRUE};
    if (!decoder_read_architecture(build, &model_family_gpt_neox, "gpt_neox.", "embed_out", &d,
                                   error) ||
        !gpt_neox_read(build, &d, error))
        return FALSE;
    build->model->buffer_bytes = 4 * (d.rotated / 2); /* inv_freq */
    decoder_build(build, &d);
    return TRUE;
}

static const char *const gpt_neox_architectures[] = {"GPTNeoXForCausalLM", "GPTNeoXModel",
                                                     NULL};
static const char *const gpt_neox_modelled[] = {"hidden_size",
                                                "num_hidden_layers",
                                                "num_attention_heads",
                                                "intermediate_size",
                                                "vocab_size",
                                                "max_position_embeddings",
                                                "rotary_pct",
                                                "partial_rotary_factor",
                                                "use_parallel_residual",
                                                "attention_bias",
                                                "tie_word_embeddings",
                                                "attention_dropout",
                                                "hidden_dropout",
                                                "hidden_act",
                                                NULL};
static const char *const gpt_neox_irrelevant[] = {"layer_norm_eps",
                                                  "rotary_emb_base",
                                                  "rope_theta",
                                                  "rope_scaling",
                                                  "rope_parameters",
                                                  "attention_probs_dropout_prob",
                                                  "hidden_dropout_prob",
                                                  "classifier_dropout",
                                                  "gradient_checkpointing",
                                                  NULL};

const ModelFamily model_family_gpt_neox = {.model_type = "gpt_neox",
                                           .build = gpt_neox_build,
                                           .architectures = gpt_neox_architectures,
                                           .modelled = gpt_neox_modelled,
                                           .irrelevant = gpt_neox_irrelevant};
