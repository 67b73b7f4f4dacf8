/* SPDX-License-Identifier: MIT */
/* Bloom and Falcon as transformers runs them: fused query, key and value projections and tied
 * heads. Bloom has ALiBi, biases, a norm behind the embedding, and a GELU of its own that keeps
 * its input alone; Falcon shares keys and values between heads and runs attention and MLP in
 * parallel, behind one norm (7B) or two (the new decoder architecture). */
#include "model_decoder.h"

/* -- Bloom */

static const DecoderRow bloom_rows[] = {{MODULE_ATTENTION_NORM, "input_layernorm"},
                                        {MODULE_QKV, "self_attention.query_key_value"},
                                        {MODULE_OUT, "self_attention.dense"},
                                        {MODULE_MLP_NORM, "post_attention_layernorm"},
                                        {MODULE_UP, "mlp.dense_h_to_4h"},
                                        {MODULE_DOWN, "mlp.dense_4h_to_h"},
                                        {0, NULL}};

/* Older files write `former`, newer ones `key`. */
static const char *either(const ModelBuild *build, const char *key, const char *former)
{
    return json_in_has(&build->config, former) && !json_in_has(&build->config, key) ? former
                                                                                    : key;
}

static gboolean bloom_build(ModelBuild *build, GError **error)
{
    /* BloomGelu is one compiled kernel each way */
    static const Activation gelu = {"gelu", FALSE, TRUE, KERNEL_GELU_FORWARD,
                                    KERNEL_GELU_BACKWARD};
    Decoder d = {.rows = bloom_rows,
                 .blocks = "h",
                 .attention = "self_attention",
                 .mlp = "mlp",
                 .embedding = "word_embeddings",
                 .embedding_norm = "word_embeddings_layernorm",
                 .final_norm = "ln_f",
                 .positions = 2048,
                 .qkv_bias = TRUE,
                 .out_bias = TRUE,
                 .mlp_bias = TRUE,
                 .tied = TRUE,
                 .biased = TRUE,
                 .softmax_fp32 = TRUE,
                 .activation = &gelu};
    const DecoderMembers members = {.hidden = either(build, "hidden_size", "n_embed"),
                                    .layers = either(build, "n_layer", "num_hidden_layers"),
                                    .heads = either(build, "n_head", "num_attention_heads"),
                                    .positions = "seq_length",
                                    .attention_dropout = "attention_dropout",
                                    .residual_dropout = "hidden_dropout"};
    if (!decoder_read_architecture(build, &model_family_bloom, "transformer.", "lm_head", &d,
                                   error) ||
        !decoder_read_members(build, &members, &d, error) ||
        !decoder_resolve_sequence(build, &d, error))
        return FALSE;
    decoder_build(build, &d);
    return TRUE;
}

static const char *const bloom_architectures[] = {"BloomForCausalLM", "BloomModel", NULL};
static const char *const bloom_modelled[] = {
    "hidden_size",       "n_embed",        "n_layer",
    "num_hidden_layers", "n_head",         "num_attention_heads",
    "vocab_size",        "seq_length",     "tie_word_embeddings",
    "attention_dropout", "hidden_dropout", NULL};
static const char *const bloom_irrelevant[] = {"layer_norm_epsilon",
                                               "attention_softmax_in_fp32",
                                               "bias_dropout_fusion",
                                               "masked_softmax_fusion",
                                               "offset_alibi",
                                               "skip_bias_add",
                                               "skip_bias_add_qkv",
                                               "unk_token_id",
                                               "n_inner",
                                               "pretraining_tp",
                                               "slow_but_exact",
                                               NULL};
static const FixedMember bloom_fixed[] = {{"apply_residual_connection_post_layernorm", "false"},
                                          {NULL, NULL}};

const ModelFamily model_family_bloom = {.model_type = "bloom",
                                        .build = bloom_build,
                                        .architectures = bloom_architectures,
                                        .modelled = bloom_modelled,
                                        .irrelevant = bloom_irrelevant,
                                        .fixed = bloom_fixed};

/* -- Falcon */

#define PROJECTIONS                                                                            \
    {MODULE_QKV, "self_attention.query_key_value"}, {MODULE_OUT, "self_attention.dense"},      \
        {MODULE_UP, "mlp.dense_h_to_4h"},                                                      \
    {                                                                                          \
        MODULE_DOWN, "mlp.dense_4h_to_h"                                                       \
    }

static const DecoderRow one_norm_rows[] = {
    PROJECTIONS, {MODULE_ATTENTION_NORM, "input_layernorm"}, {0, NULL}};
static const DecoderRow two_norms_rows[] = {
    PROJECTIONS, {MODULE_ATTENTION_NORM, "ln_attn"}, {MODULE_MLP_NORM, "ln_mlp"}, {0, NULL}};
static const DecoderRow sequential_rows[] = {PROJECTIONS,
                                             {MODULE_ATTENTION_NORM, "input_layernorm"},
                                             {MODULE_MLP_NORM, "post_attention_layernorm"},
                                             {0, NULL}};

#undef PROJECTIONS

/* FalconDecoderLayer: the new architecture has two norms unless told otherwise. */
static gboolean falcon_read_structure(ModelBuild *build, Decoder *d, GError **error)
{
    const JsonIn *in = &build->config;
    const char *kv_key = either(build, "num_kv_heads", "n_head_kv");
    gboolean new_decoder = FALSE, multi_query = TRUE, bias = FALSE;
    d->parallel = TRUE;
    if (!json_in_bool(in, "new_decoder_architecture", FALSE, &new_decoder, error) ||
        !json_in_bool(in, "multi_query", FALSE, &multi_query, error) ||
        !json_in_bool(in, "parallel_attn", FALSE, &d->parallel, error) ||
        !json_in_bool(in, "bias", FALSE, &bias, error) ||
        !json_in_bool(in, "alibi", FALSE, &d->biased, error))
        return FALSE;
    d->qkv_bias = d->out_bias = d->mlp_bias = bias;
    d->parallel = d->parallel || new_decoder;
    gint64 norms = new_decoder ? 2 : 1;
    if (!json_in_int(in, "num_ln_in_parallel_attn", FALSE, 1, 2, &norms, error))
        return FALSE;
    d->rows = !d->parallel                ? sequential_rows
              : new_decoder && norms == 2 ? two_norms_rows
                                          : one_norm_rows;
    if (new_decoder && !model_read_size(build, kv_key, &d->kv_heads, error))
        return FALSE;
    if (!new_decoder && multi_query)
        d->kv_heads = 1;
    d->rotated = d->biased ? 0 : d->head_dim;
    return model_check_heads(build, "num_attention_heads", d->heads, kv_key, d->kv_heads,
                             error);
}

static gboolean falcon_build(ModelBuild *build, GError **error)
{
    Decoder d = {.blocks = "h",
                 .attention = "self_attention",
                 .mlp = "mlp",
                 .embedding = "word_embeddings",
                 .final_norm = "ln_f",
                 .positions = 2048,
                 .tied = TRUE,
                 .softmax_fp32 = TRUE};
    const DecoderMembers members = {.hidden = "hidden_size",
                                    .layers = either(build, "num_hidden_layers", "n_layer"),
                                    .heads = either(build, "num_attention_heads", "n_head"),
                                    .inner = "ffn_hidden_size",
                                    .positions = "max_position_embeddings",
                                    .attention_dropout = "attention_dropout",
                                    .residual_dropout = "hidden_dropout",
                                    .activation = "activation",
                                    .standard_activation = "gelu"};
    if (!decoder_read_architecture(build, &model_family_falcon, "transformer.", "lm_head", &d,
                                   error) ||
        !decoder_read_members(build, &members, &d, error) ||
        !falcon_read_structure(build, &d, error) || !decoder_resolve_sequence(build, &d, error))
        return FALSE;
    build->model->buffer_bytes = 4 * (d.rotated / 2); /* inv_freq */
    decoder_build(build, &d);
    return TRUE;
}

static const char *const falcon_architectures[] = {"FalconForCausalLM", "RWForCausalLM",
                                                   "FalconModel", NULL};
static const char *const falcon_modelled[] = {"hidden_size",
                                              "num_hidden_layers",
                                              "n_layer",
                                              "num_attention_heads",
                                              "n_head",
                                              "num_kv_heads",
                                              "n_head_kv",
                                              "ffn_hidden_size",
                                              "vocab_size",
                                              "max_position_embeddings",
                                              "new_decoder_architecture",
                                              "multi_query",
                                              "parallel_attn",
                                              "num_ln_in_parallel_attn",
                                              "bias",
                                              "alibi",
                                              "activation",
                                              "tie_word_embeddings",
                                              "attention_dropout",
                                              "hidden_dropout",
                                              NULL};
static const char *const falcon_irrelevant[] = {"layer_norm_epsilon",
                                                "apply_residual_connection_post_layernorm",
                                                "rope_theta",
                                                "rope_scaling",
                                                "rope_parameters",
                                                "ff_factor",
                                                NULL};

const ModelFamily model_family_falcon = {.model_type = "falcon",
                                         .build = falcon_build,
                                         .architectures = falcon_architectures,
                                         .modelled = falcon_modelled,
                                         .irrelevant = falcon_irrelevant};
