/* SPDX-License-Identifier: MIT */
/* Llama and its relatives as transformers runs them (models/llama/modeling_llama.py and those
 * made after it): rotary positions, RMSNorm written in Python, grouped key and value heads, a
 * gated MLP. A relative is a row: its table of modules, its defaults, and a reader of what it
 * has beyond the others. Rotary scaling changes numbers, not costs. */
#include "model_decoder.h"

#include "error.h"

#include <string.h>

typedef struct {
    const ModelFamily *family;
    const DecoderRow *rows;
    DecoderNorm norm;
    gint64 positions; /* when the file says nothing; as in configuration_*.py */
    gint64 head_dim;  /* likewise; 0: hidden_size / num_attention_heads */
    gint64 kv_heads;  /* likewise; 0: num_attention_heads */
    gboolean qkv_bias, tied;
    gboolean (*read)(ModelBuild *build, Decoder *d, GError **error);
} Relative;

#define PROJECTIONS                                                                            \
    {MODULE_Q, "self_attn.q_proj"}, {MODULE_K, "self_attn.k_proj"},                            \
        {MODULE_V, "self_attn.v_proj"},                                                        \
    {                                                                                          \
        MODULE_OUT, "self_attn.o_proj"                                                         \
    }
#define GATED_MLP                                                                              \
    {MODULE_GATE, "mlp.gate_proj"}, {MODULE_UP, "mlp.up_proj"},                                \
    {                                                                                          \
        MODULE_DOWN, "mlp.down_proj"                                                           \
    }
#define NORMS                                                                                  \
    {MODULE_ATTENTION_NORM, "input_layernorm"},                                                \
    {                                                                                          \
        MODULE_MLP_NORM, "post_attention_layernorm"                                            \
    }

static const DecoderRow llama_rows[] = {PROJECTIONS, GATED_MLP, NORMS, {0, NULL}};
static const DecoderRow qwen3_rows[] = {PROJECTIONS,
                                        {MODULE_Q_NORM, "self_attn.q_norm"},
                                        {MODULE_K_NORM, "self_attn.k_norm"},
                                        GATED_MLP,
                                        NORMS,
                                        {0, NULL}};
static const DecoderRow mixtral_rows[] = {PROJECTIONS,
                                          {MODULE_ROUTER, "block_sparse_moe.gate"},
                                          {MODULE_EXPERTS, "block_sparse_moe.experts"},
                                          NORMS,
                                          {0, NULL}};
static const DecoderRow phi3_rows[] = {{MODULE_OUT, "self_attn.o_proj"},
                                       {MODULE_QKV, "self_attn.qkv_proj"},
                                       {MODULE_GATE_UP, "mlp.gate_up_proj"},
                                       {MODULE_DOWN, "mlp.down_proj"},
                                       NORMS,
                                       {0, NULL}};
static const DecoderRow gemma2_rows[] = {
    PROJECTIONS,
    GATED_MLP,
    {MODULE_ATTENTION_NORM, "input_layernorm"},
    {MODULE_POST_ATTENTION_NORM, "post_attention_layernorm"},
    {MODULE_MLP_NORM, "pre_feedforward_layernorm"},
    {MODULE_POST_MLP_NORM, "post_feedforward_layernorm"},
    {0, NULL}};

#undef PROJECTIONS
#undef GATED_MLP
#undef NORMS

static gboolean read_llama(ModelBuild *build, Decoder *d, GError **error)
{
    gboolean attention_bias = FALSE;
    if (!json_in_bool(&build->config, "attention_bias", FALSE, &attention_bias, error) ||
        !json_in_bool(&build->config, "mlp_bias", FALSE, &d->mlp_bias, error))
        return FALSE;
    d->qkv_bias = d->out_bias = attention_bias;
    return TRUE;
}

/* Every layer sees `sliding_window` tokens back, if the member is there. */
static gboolean read_window(ModelBuild *build, Decoder *d, GError **error)
{
    d->local = "l";
    return !json_in_has(&build->config, "sliding_window") ||
           model_read_size(build, "sliding_window", &d->window, error);
}

/* "sliding_attention" or "full_attention" for each layer: newer files say so outright. */
static gboolean read_layer_types(ModelBuild *build, Decoder *d, GError **error)
{
    const json_t *list = json_object_get(build->config.object, "layer_types");
    if (!list || json_is_null(list))
        return TRUE;
    g_autofree char *local = g_strnfill((gsize)d->layers, 'g');
    gboolean right = json_array_size(list) == (gsize)d->layers;
    for (gsize i = 0; right && i < (gsize)d->layers; i++) {
        const char *type = json_string_value(json_array_get(list, i));
        local[i] = g_strcmp0(type, "sliding_attention") == 0 ? 'l' : 'g';
        right = local[i] == 'l' || g_strcmp0(type, "full_attention") == 0;
    }
    if (!right) {
        g_set_error(
            error, ZEROSIM_ERROR, ERROR_INPUT,
            "%s: layer_types: must have \"full_attention\" or \"sliding_attention\" for "
            "each of num_hidden_layers",
            build->config.file);
        return FALSE;
    }
    d->local = model_name_printf(build, "%s", local);
    return TRUE;
}

/* With use_sliding_window, layers from max_window_layers on. */
static gboolean read_qwen2(ModelBuild *build, Decoder *d, GError **error)
{
    gboolean windows = FALSE;
    gint64 first = 28;
    if (!json_in_bool(&build->config, "use_sliding_window", FALSE, &windows, error) ||
        !json_in_int(&build->config, "max_window_layers", FALSE, 0, G_MAXINT, &first, error))
        return FALSE;
    if (!windows) /* layer_types may be there, and says nothing then */
        return read_layer_types(build, d, error);
    g_autofree char *local = g_strnfill((gsize)d->layers, 'l');
    memset(local, 'g', (gsize)MIN(first, d->layers));
    d->window = 4096;
    d->local = model_name_printf(build, "%s", local);
    return model_read_size(build, "sliding_window", &d->window, error) &&
           read_layer_types(build, d, error);
}

static gboolean read_qwen3(ModelBuild *build, Decoder *d, GError **error)
{
    return read_llama(build, d, error) && read_qwen2(build, d, error);
}

static gboolean read_mixtral(ModelBuild *build, Decoder *d, GError **error)
{
    d->experts = 8;
    d->experts_per_token = 2;
    if (!read_window(build, d, error) ||
        !json_in_int(&build->config, "num_local_experts", FALSE, 1, 4096, &d->experts, error) ||
        !json_in_int(&build->config, "num_experts_per_tok", FALSE, 1, d->experts,
                     &d->experts_per_token, error))
        return FALSE;
    return model_check_product(build, "num_local_experts x intermediate_size", d->experts,
                               d->inner, error);
}

/* A head turns partial_rotary_factor of its elements. */
static gboolean read_phi3(ModelBuild *build, Decoder *d, GError **error)
{
    double part = 1;
    if (!model_read_rotated_part(build, &part, error) ||
        !model_read_dropout(build, "embd_pdrop", &d->embedding_dropout, error) ||
        !model_read_dropout(build, "resid_pdrop", &d->residual_dropout, error))
        return FALSE;
    d->rotated = (gint64)((double)d->head_dim * part);
    return read_window(build, d, error);
}

/* Every other layer is local; scores and logits are capped unless the member is null. */
static gboolean read_gemma2(ModelBuild *build, Decoder *d, GError **error)
{
    gboolean attention_bias = FALSE;
    d->local = "lg";
    d->window = 4096;
    d->scaled_embedding = TRUE;
    d->attention_softcap = json_in_has(&build->config, "attn_logit_softcapping") ||
                           !json_object_get(build->config.object, "attn_logit_softcapping");
    d->logit_softcap = json_in_has(&build->config, "final_logit_softcapping") ||
                       !json_object_get(build->config.object, "final_logit_softcapping");
    if (!json_in_bool(&build->config, "attention_bias", FALSE, &attention_bias, error))
        return FALSE;
    d->qkv_bias = d->out_bias = attention_bias;
    return model_read_size(build, "sliding_window", &d->window, error) &&
           read_layer_types(build, d, error);
}

static gboolean read_heads(ModelBuild *build, const Relative *r, Decoder *d, GError **error)
{
    d->kv_heads = r->kv_heads > 0 ? r->kv_heads : d->heads;
    if (!model_read_size(build, "num_key_value_heads", &d->kv_heads, error))
        return FALSE;
    if (r->head_dim == 0 && !json_in_has(&build->config, "head_dim") &&
        !model_check_heads(build, "hidden_size", d->hidden, "num_attention_heads", d->heads,
                           error))
        return FALSE;
    d->head_dim = r->head_dim > 0 ? r->head_dim : MAX(d->hidden / d->heads, 1);
    if (!model_read_size(build, "head_dim", &d->head_dim, error))
        return FALSE;
    d->rotated = d->head_dim;
    return model_check_heads(build, "num_attention_heads", d->heads, "num_key_value_heads",
                             d->kv_heads, error) &&
           model_check_product(build, "num_attention_heads x head_dim", d->heads, d->head_dim,
                               error);
}

static gboolean read_all(ModelBuild *build, const Relative *r, Decoder *d, GError **error)
{
    if (!decoder_read_architecture(build, r->family, "model.", "lm_head", d, error) ||
        !model_read_size(build, "hidden_size", &d->hidden, error) ||
        !model_read_layers(build, "num_hidden_layers", &d->layers, error) ||
        !model_read_size(build, "num_attention_heads", &d->heads, error) ||
        !model_read_size(build, "intermediate_size", &d->inner, error) ||
        !model_read_size(build, "vocab_size", &d->vocabulary, error) ||
        !model_read_size(build, "max_position_embeddings", &d->positions, error) ||
        !read_heads(build, r, d, error) ||
        !json_in_bool(&build->config, "tie_word_embeddings", FALSE, &d->tied, error) ||
        !model_read_dropout(build, "attention_dropout", &d->attention_dropout, error) ||
        !r->read(build, d, error))
        return FALSE;
    return decoder_resolve_sequence(build, d, error);
}

static const Relative relatives[] = {
    {&model_family_llama, llama_rows, NORM_RMS, 2048, 0, 0, FALSE, FALSE, read_llama},
    {&model_family_mistral, llama_rows, NORM_RMS, 131072, 0, 8, FALSE, FALSE, read_window},
    {&model_family_mixtral, mixtral_rows, NORM_RMS, 131072, 0, 8, FALSE, FALSE, read_mixtral},
    {&model_family_qwen2, llama_rows, NORM_RMS, 32768, 0, 0, TRUE, FALSE, read_qwen2},
    {&model_family_qwen3, qwen3_rows, NORM_RMS, 32768, 128, 0, FALSE, FALSE, read_qwen3},
    {&model_family_phi3, phi3_rows, NORM_RMS, 4096, 0, 0, FALSE, FALSE, read_phi3},
    {&model_family_gemma2, gemma2_rows, NORM_RMS_GEMMA, 8192, 256, 4, FALSE, TRUE, read_gemma2},
};

static const Relative *relative_of(const ModelBuild *build)
{
    for (gsize i = 0; i < G_N_ELEMENTS(relatives); i++)
        if (strcmp(relatives[i].family->model_type, build->model->family) == 0)
            return &relatives[i];
    g_assert_not_reached();
}

static gboolean relative_build(ModelBuild *build, GError **error)
{
    const Relative *r = relative_of(build);
    Decoder d = {.rows = r->rows,
                 .blocks = "layers",
                 .attention = "self_attn",
                 .mlp = "mlp",
                 .embedding = "embed_tokens",
                 .final_norm = "norm",
                 .norm = r->norm,
                 .positions = r->positions,
                 .qkv_bias = r->qkv_bias,
                 .tied = r->tied,
                 .softmax_fp32 = TRUE};
    if (!read_all(build, r, &d, error))
        return FALSE;
    build->model->buffer_bytes = 4 * (d.rotated / 2); /* inv_freq */
    decoder_build(build, &d);
    return TRUE;
}

#define SIZES                                                                                  \
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",          \
        "head_dim", "intermediate_size", "vocab_size", "max_position_embeddings",              \
        "tie_word_embeddings", "attention_dropout"

#define OF_ALL .build = relative_build, .irrelevant = irrelevant

static const char *const irrelevant[] = {"rms_norm_eps",
                                         "rope_theta",
                                         "rope_scaling",
                                         "rope_parameters",
                                         "original_max_position_embeddings",
                                         "query_pre_attn_scalar",
                                         "cache_implementation",
                                         "router_aux_loss_coef",
                                         "embedding_dropout",
                                         "is_llama_config",
                                         "rope_interleaved",
                                         "sliding_window_size",
                                         "full_attn_mod",
                                         "interpolate_factor",
                                         NULL};
static const FixedMember fixed[] = {{"hidden_act", "\"silu\""},
                                    {"pretraining_tp", "1"},
                                    {"router_jitter_noise", "0.0"},
                                    {"output_router_logits", "false"},
                                    {"attention_bias", "false"},
                                    {"mlp_bias", "false"},
                                    {"lm_head_bias", "false"},
                                    {"use_mrope", "false"},
                                    {NULL, NULL}};
static const FixedMember gemma2_fixed[] = {{"hidden_activation", "\"gelu_pytorch_tanh\""},
                                           {"hidden_act", "\"gelu_pytorch_tanh\""},
                                           {"use_bidirectional_attention", "false"},
                                           {NULL, NULL}};

static const char *const llama_architectures[] = {"LlamaForCausalLM", "LlamaModel", NULL};
static const char *const llama_modelled[] = {SIZES, "attention_bias", "mlp_bias", NULL};
const ModelFamily model_family_llama = {.model_type = "llama",
                                        OF_ALL,
                                        .architectures = llama_architectures,
                                        .modelled = llama_modelled,
                                        .fixed = fixed};

static const char *const mistral_architectures[] = {"MistralForCausalLM", "MistralModel", NULL};
static const char *const mistral_modelled[] = {SIZES, "sliding_window", NULL};
const ModelFamily model_family_mistral = {.model_type = "mistral",
                                          OF_ALL,
                                          .architectures = mistral_architectures,
                                          .modelled = mistral_modelled,
                                          .fixed = fixed};

static const char *const mixtral_architectures[] = {"MixtralForCausalLM", "MixtralModel", NULL};
static const char *const mixtral_modelled[] = {SIZES, "sliding_window", "num_local_experts",
                                               "num_experts_per_tok", NULL};
const ModelFamily model_family_mixtral = {.model_type = "mixtral",
                                          OF_ALL,
                                          .architectures = mixtral_architectures,
                                          .modelled = mixtral_modelled,
                                          .fixed = fixed};

static const char *const qwen2_architectures[] = {"Qwen2ForCausalLM", "Qwen2Model", NULL};
static const char *const qwen2_modelled[] = {
    SIZES, "sliding_window", "use_sliding_window", "max_window_layers", "layer_types", NULL};
const ModelFamily model_family_qwen2 = {.model_type = "qwen2",
                                        OF_ALL,
                                        .architectures = qwen2_architectures,
                                        .modelled = qwen2_modelled,
                                        .fixed = fixed};

static const char *const qwen3_architectures[] = {"Qwen3ForCausalLM", "Qwen3Model", NULL};
static const char *const qwen3_modelled[] = {SIZES,
                                             "attention_bias",
                                             "mlp_bias",
                                             "sliding_window",
                                             "use_sliding_window",
                                             "max_window_layers",
                                             "layer_types",
                                             NULL};
const ModelFamily model_family_qwen3 = {.model_type = "qwen3",
                                        OF_ALL,
                                        .architectures = qwen3_architectures,
                                        .modelled = qwen3_modelled,
                                        .fixed = fixed};

static const char *const phi3_architectures[] = {"Phi3ForCausalLM", "Phi3Model", NULL};
static const char *const phi3_modelled[] = {
    SIZES, "sliding_window", "partial_rotary_factor", "embd_pdrop", "resid_pdrop", NULL};
const ModelFamily model_family_phi3 = {.model_type = "phi3",
                                       OF_ALL,
                                       .architectures = phi3_architectures,
                                       .modelled = phi3_modelled,
                                       .fixed = fixed};

static const char *const gemma2_architectures[] = {"Gemma2ForCausalLM", "Gemma2Model", NULL};
static const char *const gemma2_modelled[] = {SIZES,
                                              "attention_bias",
                                              "sliding_window",
                                              "attn_logit_softcapping",
                                              "final_logit_softcapping",
                                              "layer_types",
                                              NULL};
const ModelFamily model_family_gemma2 = {.model_type = "gemma2",
                                         OF_ALL,
                                         .architectures = gemma2_architectures,
                                         .modelled = gemma2_modelled,
                                         .fixed = gemma2_fixed};
