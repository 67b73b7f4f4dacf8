/* SPDX-License-Identifier: MIT */
/* OPT and Phi as transformers runs them: a bias in every linear layer. OPT has learned
 * positions (two rows of the table are never used), ReLU, and in its 350M size norms behind the
 * sums and narrower embeddings; Phi has rotary positions and runs attention and MLP in parallel
 * behind one norm. */
#include "model_decoder.h"

/* -- OPT */

#define OFFSET 2 /* OPTLearnedPositionalEmbedding counts from here */

static const DecoderRow opt_rows[] = {{MODULE_K, "self_attn.k_proj"},
                                      {MODULE_V, "self_attn.v_proj"},
                                      {MODULE_Q, "self_attn.q_proj"},
                                      {MODULE_OUT, "self_attn.out_proj"},
                                      {MODULE_ATTENTION_NORM, "self_attn_layer_norm"},
                                      {MODULE_UP, "fc1"},
                                      {MODULE_DOWN, "fc2"},
                                      {MODULE_MLP_NORM, "final_layer_norm"},
                                      {0, NULL}};

static gboolean opt_read_structure(ModelBuild *build, Decoder *d, GError **error)
{
    gboolean norm_before = TRUE, no_final_norm = FALSE, bias = TRUE;
    if (!json_in_bool(&build->config, "do_layer_norm_before", FALSE, &norm_before, error) ||
        !json_in_bool(&build->config, "_remove_final_layer_norm", FALSE, &no_final_norm,
                      error) ||
        !json_in_bool(&build->config, "enable_bias", FALSE, &bias, error))
        return FALSE;
    d->post_norm = !norm_before;
    d->final_norm = norm_before && !no_final_norm ? "final_layer_norm" : NULL;
    d->qkv_bias = d->out_bias = d->mlp_bias = bias;
    return TRUE;
}

static gboolean opt_read(ModelBuild *build, Decoder *d, GError **error)
{
    static const DecoderMembers members = {.hidden = "hidden_size",
                                           .layers = "num_hidden_layers",
                                           .heads = "num_attention_heads",
                                           .inner = "ffn_dim",
                                           .inner_required = TRUE,
                                           .positions = "max_position_embeddings",
                                           .attention_dropout = "attention_dropout",
                                           .residual_dropout = "dropout",
                                           .activation = "activation_function",
                                           .standard_activation = "relu"};
    if (!decoder_read_members(build, &members, d, error) ||
        !opt_read_structure(build, d, error))
        return FALSE;
    d->position_rows = d->positions + OFFSET;
    d->embedding_width = d->hidden;
    if (!model_read_size(build, "word_embed_proj_dim", &d->embedding_width, error))
        return FALSE;
    d->project_in = d->embedding_width != d->hidden ? "project_in" : NULL;
    d->project_out = d->embedding_width != d->hidden ? "project_out" : NULL;
    return decoder_resolve_sequence(build, d, error);
}

static gboolean opt_build(ModelBuild *build, GError **error)
{
    Decoder d = {.rows = opt_rows,
                 .blocks = "layers",
                 .attention = "self_attn",
                 .mlp = "mlp",
                 .embedding = "embed_tokens",
                 .position_embedding = "embed_positions",
                 .final_norm_first = TRUE,
                 .positions = 2048,
                 .tied = TRUE,
                 .residual_dropout = 0.1};
    if (!decoder_read_architecture(build, &model_family_opt, "model.decoder.", "lm_head", &d,
                                   error) ||
        !opt_read(build, &d, error))
        return FALSE;
    decoder_build(build, &d);
    return TRUE;
}

static const char *const opt_architectures[] = {"OPTForCausalLM", NULL};
static const char *const opt_modelled[] = {"hidden_size",
                                           "num_hidden_layers",
                                           "num_attention_heads",
                                           "ffn_dim",
                                           "vocab_size",
                                           "max_position_embeddings",
                                           "word_embed_proj_dim",
                                           "do_layer_norm_before",
                                           "_remove_final_layer_norm",
                                           "enable_bias",
                                           "tie_word_embeddings",
                                           "activation_function",
                                           "dropout",
                                           "attention_dropout",
                                           NULL};
static const char *const opt_irrelevant[] = {"init_std", "activation_dropout", NULL};
static const FixedMember opt_fixed[] = {
    {"layerdrop", "0.0"}, {"layer_norm_elementwise_affine", "true"}, {NULL, NULL}};

const ModelFamily model_family_opt = {.model_type = "opt",
                                      .build = opt_build,
                                      .architectures = opt_architectures,
                                      .modelled = opt_modelled,
                                      .irrelevant = opt_irrelevant,
                                      .fixed = opt_fixed};

/* -- Phi */

static const DecoderRow phi_rows[] = {{MODULE_Q, "self_attn.q_proj"},
                                      {MODULE_K, "self_attn.k_proj"},
                                      {MODULE_V, "self_attn.v_proj"},
                                      {MODULE_OUT, "self_attn.dense"},
                                      {MODULE_UP, "mlp.fc1"},
                                      {MODULE_DOWN, "mlp.fc2"},
                                      {MODULE_ATTENTION_NORM, "input_layernorm"},
                                      {0, NULL}};

static gboolean phi_read(ModelBuild *build, Decoder *d, GError **error)
{
    static const DecoderMembers members = {.hidden = "hidden_size",
                                           .layers = "num_hidden_layers",
                                           .heads = "num_attention_heads",
                                           .inner = "intermediate_size",
                                           .inner_required = TRUE,
                                           .positions = "max_position_embeddings",
                                           .embedding_dropout = "embd_pdrop",
                                           .attention_dropout = "attention_dropout",
                                           .residual_dropout = "resid_pdrop",
                                           .activation = "hidden_act",
                                           .standard_activation = "gelu_new"};
    double part = 0.5;
    if (!decoder_read_members(build, &members, d, error) ||
        !model_read_rotated_part(build, &part, error))
        return FALSE;
    d->rotated = (gint64)((double)d->head_dim * part);
    return model_read_size(build, "num_key_value_heads", &d->kv_heads, error) &&
           model_check_heads(build, "num_attention_heads", d->heads, "num_key_value_heads",
                             d->kv_heads, error) &&
           decoder_resolve_sequence(build, d, error);
}

static gboolean phi_build(ModelBuild *build, GError **error)
{
    Decoder d = {.rows = phi_rows,
                 .blocks = "layers",
                 .attention = "self_attn",
                 .mlp = "mlp",
                 .embedding = "embed_tokens",
                 .final_norm = "final_layernorm",
                 .positions = 2048,
                 .parallel = TRUE,
                 .qkv_bias = TRUE,
                 .out_bias = TRUE,
                 .mlp_bias = TRUE,
                 .head_bias = TRUE};
    if (!decoder_read_architecture(build, &model_family_phi, "model.", "lm_head", &d, error) ||
        !phi_read(build, &d, error))
        return FALSE;
    build->model->buffer_bytes = 4 * (d.rotated / 2); /* inv_freq */
    decoder_build(build, &d);
    return TRUE;
}

static const char *const phi_architectures[] = {"PhiForCausalLM", "PhiModel", NULL};
static const char *const phi_modelled[] = {"hidden_size",
                                           "num_hidden_layers",
                                           "num_attention_heads",
                                           "num_key_value_heads",
                                           "intermediate_size",
                                           "vocab_size",
                                           "max_position_embeddings",
                                           "partial_rotary_factor",
                                           "tie_word_embeddings",
                                           "embd_pdrop",
                                           "resid_pdrop",
                                           "attention_dropout",
                                           "hidden_act",
                                           NULL};
static const char *const phi_irrelevant[] = {"layer_norm_eps", "rope_theta", "rope_scaling",
                                             "rope_parameters", NULL};
static const FixedMember phi_fixed[] = {{"qk_layernorm", "false"}, {NULL, NULL}};

const ModelFamily model_family_phi = {.model_type = "phi",
                                      .build = phi_build,
                                      .architectures = phi_architectures,
                                      .modelled = phi_modelled,
                                      .irrelevant = phi_irrelevant,
                                      .fixed = phi_fixed};
