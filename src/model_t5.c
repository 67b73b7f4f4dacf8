/* SPDX-License-Identifier: MIT */
/* T5 and its gated successors as transformers runs them (models/t5/modeling_t5.py): an encoder
 * and a decoder over as many tokens each, no biases, RMSNorm without the mean, relative
 * positions added to the scores from a table that each stack's first block owns. Encoder blocks
 * come first among the blocks; the encoder's last norm and the decoder's embedding belong to
 * the last of them. Left out: decoders shorter than the encoder. */
#include "error.h"
#include "model_family.h"

#include <string.h>

typedef struct {
    gint64 width, layers, decoder_layers, heads, head_dim, inner, vocabulary, positions,
        buckets;
    double dropout;
    gboolean gated, tied, conditional;
    const Activation *activation;
} T5;

static gboolean read_projection(ModelBuild *build, T5 *t, GError **error)
{
    const char *name = "relu";
    if (!json_in_string(&build->config, "feed_forward_proj", FALSE, &name, error))
        return FALSE;
    t->gated = g_str_has_prefix(name, "gated-");
    const char *activation = t->gated ? name + strlen("gated-") : name;
    if (strcmp(name, "gated-gelu") == 0) /* T5Config: what the checkpoints were trained with */
        activation = "gelu_new";
    t->activation = activation_find(build, "feed_forward_proj", activation, error);
    return t->activation != NULL;
}

static gboolean t5_read(ModelBuild *build, T5 *t, GError **error)
{
    int architecture;
    gboolean encoder_decoder = TRUE;
    *t = (T5){.head_dim = 64, .positions = 512, .buckets = 32, .dropout = 0.1, .tied = TRUE};
    if (!model_read_architecture(build, &model_family_t5, &architecture, error) ||
        !model_read_size(build, "d_model", &t->width, error) ||
        !model_read_layers(build, "num_layers", &t->layers, error) ||
        !model_read_size(build, "num_heads", &t->heads, error) ||
        !model_read_size(build, "d_kv", &t->head_dim, error) ||
        !model_check_product(build, "num_heads x d_kv", t->heads, t->head_dim, error) ||
        !model_read_size(build, "d_ff", &t->inner, error) ||
        !model_read_size(build, "vocab_size", &t->vocabulary, error) ||
        !model_read_size(build, "n_positions", &t->positions, error) ||
        !model_read_size(build, "relative_attention_num_buckets", &t->buckets, error) ||
        !model_read_dropout(build, "dropout_rate", &t->dropout, error) ||
        !json_in_bool(&build->config, "tie_word_embeddings", FALSE, &t->tied, error) ||
        !json_in_bool(&build->config, "is_encoder_decoder", FALSE, &encoder_decoder, error) ||
        !read_projection(build, t, error))
        return FALSE;
    if (!encoder_decoder) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                    "%s: is_encoder_decoder: only true is modelled", build->config.file);
        return FALSE;
    }
    t->conditional = architecture < 2; /* the second is the former name of the first */
    t->decoder_layers = t->layers;
    if (json_in_has(&build->config, "num_decoder_layers") &&
        !model_read_layers(build, "num_decoder_layers", &t->decoder_layers, error))
        return FALSE;
    const gint64 widest = MAX(MAX(t->vocabulary, 2 * t->inner), t->heads * t->head_dim);
    const gint64 wanted = build->options->sequence_length;
    return model_check_product(build, "sequence_length x num_heads",
                               wanted > 0 ? wanted : t->positions, t->heads, error) &&
           model_resolve_sequence(build, t->positions, FALSE, t->heads, MAX(widest, t->width),
                                  error);
}

static void attention_parameters(ModelBuild *build, const T5 *t, const char *name)
{
    const gint64 h = t->width, i = t->heads * t->head_dim;
    model_add_parameters(build, model_name_printf(build, "%s.q", name), i, h, 0);
    model_add_parameters(build, model_name_printf(build, "%s.k", name), i, h, 0);
    model_add_parameters(build, model_name_printf(build, "%s.v", name), i, h, 0);
    model_add_parameters(build, model_name_printf(build, "%s.o", name), h, i, 0);
}

static void mlp_parameters(ModelBuild *build, const T5 *t, const char *name)
{
    const gint64 h = t->width, f = t->inner;
    const char *const names[] = {t->gated ? "wi_0" : "wi", "wi_1"};
    for (int i = 0; i < (t->gated ? 2 : 1); i++)
        model_add_parameters(
            build, model_name_printf(build, "%s.DenseReluDense.%s", name, names[i]), f, h, 0);
    model_add_parameters(build, model_name_printf(build, "%s.DenseReluDense.wo", name), h, f,
                         0);
    model_add_parameters(build, model_name_printf(build, "%s.layer_norm", name), h, 1, 0);
}

static void stack_parameters(ModelBuild *build, const T5 *t, const char *stack, gint64 layers)
{
    const gboolean decoder = strcmp(stack, "decoder") == 0;
    for (int i = 0; i < layers; i++) {
        const char *block = model_name_printf(build, "%s.block.%d.layer", stack, i);
        attention_parameters(build, t, model_name_printf(build, "%s.0.SelfAttention", block));
        if (i == 0)
            model_add_parameters(
                build,
                model_name_printf(build, "%s.0.SelfAttention.relative_attention_bias", block),
                t->buckets, t->heads, 0);
        model_add_parameters(build, model_name_printf(build, "%s.0.layer_norm", block),
                             t->width, 1, 0);
        if (decoder) {
            attention_parameters(build, t,
                                 model_name_printf(build, "%s.1.EncDecAttention", block));
            model_add_parameters(build, model_name_printf(build, "%s.1.layer_norm", block),
                                 t->width, 1, 0);
        }
        mlp_parameters(build, t, model_name_printf(build, "%s.%d", block, decoder ? 2 : 1));
    }
    model_add_parameters(build, model_name_printf(build, "%s.final_layer_norm", stack),
                         t->width, 1, 0);
}

static void linear(ModelBuild *build, const char *name, gint64 in, gint64 out, gboolean shared,
                   gboolean linear_input)
{
    layer_linear(build, &(LinearShape){.name = name,
                                       .rows = build->tokens,
                                       .in = in,
                                       .out = out,
                                       .shared_input = shared,
                                       .linear_input = linear_input});
}

/* The table's rows for each distance, added for every pair of a head; the sum is kept through
 * the stack, which is what a mask is to SDPA. */
static void relative_bias(ModelBuild *build, const T5 *t, const char *name)
{
    const gint64 n = build->model->sequence_length, e = dtype_bytes(build->stream);
    const gint64 pairs = n * n;
    Layer *layer = layer_append(build, name, NULL);
    layer_run(layer->forward,
              (Kernel){KERNEL_EMBEDDING_FORWARD, build->stream, {pairs, t->heads}});
    layer_run(
        layer->backward,
        (Kernel){KERNEL_EMBEDDING_BACKWARD, build->stream, {pairs, t->heads, t->buckets}});
    layer->saved_bytes = pairs * 8 + pairs * t->heads * e;
    layer->backward_temporary_bytes = pairs * t->heads * e;
}

/* `encoded`: keys and values come from the encoder's output, which the first block keeps. */
static void attention(ModelBuild *build, const T5 *t, const char *name, gboolean causal,
                      gboolean encoded, gboolean first)
{
    const gint64 h = t->width, i = t->heads * t->head_dim;
    const AttentionShape shape = {.heads = t->heads,
                                  .kv_heads = t->heads,
                                  .head_dim = t->head_dim,
                                  .causal = causal,
                                  .softmax_fp32 = TRUE,
                                  .dropout = t->dropout,
                                  .biased = !encoded};
    linear(build, model_name_printf(build, "%s.q", name), h, i, FALSE, FALSE);
    linear(build, model_name_printf(build, "%s.k", name), h, i, !encoded || !first, FALSE);
    linear(build, model_name_printf(build, "%s.v", name), h, i, TRUE, FALSE);
    if (first && !encoded)
        relative_bias(build, t, model_name_printf(build, "%s.relative_attention_bias", name));
    layer_attention(build, name, &shape);
    linear(build, model_name_printf(build, "%s.o", name), i, h, FALSE, TRUE);
}

static void mlp(ModelBuild *build, const T5 *t, const char *name)
{
    const gint64 n = build->tokens, h = t->width, f = t->inner;
    linear(build, model_name_printf(build, "%s.%s", name, t->gated ? "wi_0" : "wi"), h, f,
           FALSE, FALSE);
    if (t->gated)
        linear(build, model_name_printf(build, "%s.wi_1", name), h, f, TRUE, FALSE);
    layer_activation(build, model_name_printf(build, "%s.act", name), t->activation, n, f);
    if (t->gated)
        layer_product(build, model_name_printf(build, "%s.product", name), n, f);
    layer_dropout(build, model_name_printf(build, "%s.dropout", name), f, t->dropout,
                  build->linear);
    linear(build, model_name_printf(build, "%s.wo", name), f, h, FALSE,
           t->gated || !t->activation->python);
}

static void sublayer_end(ModelBuild *build, const T5 *t, const char *name)
{
    layer_dropout(build, model_name_printf(build, "%s.dropout", name), t->width, t->dropout,
                  build->linear);
    layer_residual(build, model_name_printf(build, "%s.residual", name), t->width);
}

static void stack_block(ModelBuild *build, const T5 *t, const char *block, gboolean decoder,
                        gboolean first)
{
    const gint64 n = build->tokens, h = t->width;
    const char *name = model_name_printf(build, "%s.0", block);
    layer_rmsnorm(build, model_name_printf(build, "%s.layer_norm", name), n, h);
    attention(build, t, model_name_printf(build, "%s.SelfAttention", name), decoder, FALSE,
              first);
    sublayer_end(build, t, name);
    if (decoder) {
        name = model_name_printf(build, "%s.1", block);
        layer_rmsnorm(build, model_name_printf(build, "%s.layer_norm", name), n, h);
        attention(build, t, model_name_printf(build, "%s.EncDecAttention", name), FALSE, TRUE,
                  first);
        sublayer_end(build, t, name);
    }
    name = model_name_printf(build, "%s.%d", block, decoder ? 2 : 1);
    layer_rmsnorm(build, model_name_printf(build, "%s.layer_norm", name), n, h);
    mlp(build, t, model_name_printf(build, "%s.DenseReluDense", name));
    sublayer_end(build, t, name);
}

/* `first_block`: where the stack's blocks begin among the model's. */
static void stack_layers(ModelBuild *build, const T5 *t, const char *stack, gint64 layers,
                         int first_block)
{
    const gint64 n = build->tokens, h = t->width;
    const gboolean decoder = strcmp(stack, "decoder") == 0;
    layer_dropout(build, model_name_printf(build, "%s.embedding.dropout", stack), h, t->dropout,
                  build->stream);
    for (int i = 0; i < layers; i++) {
        build->block = first_block + i;
        stack_block(build, t, model_name_printf(build, "%s.block.%d.layer", stack, i), decoder,
                    i == 0);
    }
    if (decoder)
        build->block = first_block + (int)layers;
    layer_rmsnorm(build, model_name_printf(build, "%s.final_layer_norm", stack), n, h);
    layer_dropout(build, model_name_printf(build, "%s.dropout", stack), h, t->dropout,
                  build->stream);
}

/* Both stacks read the one table, and so does a tied head: its gradients are summed. */
static void decoder_embedding(ModelBuild *build, const T5 *t)
{
    Layer *layer = layer_append(build, "decoder.embed_tokens", "shared.weight");
    const gint64 n = build->tokens, h = t->width, e = dtype_bytes(build->stream);
    layer_run(layer->forward, (Kernel){KERNEL_EMBEDDING_FORWARD, build->stream, {n, h}});
    layer_run(layer->backward,
              (Kernel){KERNEL_EMBEDDING_BACKWARD, build->stream, {n, h, t->vocabulary}});
    if (t->tied && t->conditional)
        layer_run(layer->backward,
                  (Kernel){KERNEL_ACCUMULATE, build->stream, {t->vocabulary * h * e}});
    layer->saved_bytes = 8 * n;
    layer->forward_temporary_bytes = n * h * e;
    layer->backward_temporary_bytes = n * h * e;
}

static void t5_head(ModelBuild *build, const T5 *t)
{
    const gint64 n = build->tokens, h = t->width;
    if (!t->conditional) {
        layer_mean_loss(build, n, h);
        return;
    }
    if (t->tied)
        layer_scale(build, "lm_head.scale", n, h);
    layer_linear(build, &(LinearShape){.name = "lm_head",
                                       .rows = n,
                                       .in = h,
                                       .out = t->vocabulary,
                                       .tied_to = t->tied ? "shared.weight" : NULL});
    layer_cross_entropy(build, t->vocabulary);
}

static gboolean t5_build(ModelBuild *build, GError **error)
{
    T5 t;
    if (!t5_read(build, &t, error))
        return FALSE;
    build->model->hidden_size = t.width;
    build->model->n_blocks = (int)(t.layers + t.decoder_layers);
    model_add_parameters(build, "shared", t.vocabulary, t.width, 0);
    stack_parameters(build, &t, "encoder", t.layers);
    stack_parameters(build, &t, "decoder", t.decoder_layers);
    if (t.conditional && !t.tied)
        model_add_parameters(build, "lm_head", t.vocabulary, t.width, 0);
    layer_embedding(build, "shared", build->tokens, TRUE);
    stack_layers(build, &t, "encoder", t.layers, 0);
    decoder_embedding(build, &t);
    stack_layers(build, &t, "decoder", t.decoder_layers, (int)t.layers);
    t5_head(build, &t);
    model_attention_flops(build, t.layers + 2 * t.decoder_layers, t.heads * t.head_dim);
    return TRUE;
}

static const char *const architectures[] = {"T5ForConditionalGeneration", "T5WithLMHeadModel",
                                            "T5Model", NULL};
static const char *const modelled[] = {"d_model",
                                       "is_encoder_decoder",
                                       "num_layers",
                                       "num_decoder_layers",
                                       "num_heads",
                                       "d_kv",
                                       "d_ff",
                                       "vocab_size",
                                       "n_positions",
                                       "relative_attention_num_buckets",
                                       "dropout_rate",
                                       "feed_forward_proj",
                                       "tie_word_embeddings",
                                       NULL};
static const char *const irrelevant[] = {"layer_norm_epsilon",
                                         "initializer_factor",
                                         "relative_attention_max_distance",
                                         "classifier_dropout",
                                         "dense_act_fn",
                                         "is_gated_act",
                                         NULL};
const ModelFamily model_family_t5 = {.model_type = "t5",
                                     .build = t5_build,
                                     .architectures = architectures,
                                     .modelled = modelled,
                                     .irrelevant = irrelevant};
