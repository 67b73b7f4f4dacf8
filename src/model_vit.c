/* SPDX-License-Identifier: MIT */
/* ViT as transformers runs it (models/vit/modeling_vit.py): an image's patches and a class
 * token are the sequence, so its length follows from the sizes; pre-norm blocks without a
 * causal mask; then a classifier or a pooler over the class token. */
#include "error.h"
#include "model_family.h"

enum { CLASSIFIER, POOLED_MODEL };

typedef struct {
    gint64 hidden, layers, heads, inner, image, patch, channels, classes;
    double hidden_dropout, attention_dropout;
    gboolean qkv_bias;
    const Activation *activation;
    int architecture;
    const char *prefix; /* of the body's parameters */
} Vit;

/* num_labels, or as many as id2label names, or the two of PretrainedConfig. */
static gboolean read_classes(ModelBuild *build, Vit *v, GError **error)
{
    const json_t *labels = json_object_get(build->config.object, "id2label");
    v->classes = json_object_size(labels) > 0 ? (gint64)json_object_size(labels) : 2;
    return model_read_size(build, "num_labels", &v->classes, error);
}

static gboolean check_sequence(ModelBuild *build, const Vit *v, GError **error)
{
    const gint64 side = v->image / v->patch, n = side * side + 1;
    const gint64 wanted = build->options->sequence_length;
    if (wanted > 0 && wanted != n) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: sequence_length %" G_GINT64_FORMAT " isn't the %" G_GINT64_FORMAT
                    " tokens of image_size and patch_size; leave it out",
                    build->config.file, wanted, n);
        return FALSE;
    }
    const gint64 pixels = v->channels * v->patch * v->patch;
    return model_resolve_sequence(build, n, TRUE, v->heads,
                                  MAX(MAX(v->inner, 3 * v->hidden), pixels), error);
}

static gboolean vit_read(ModelBuild *build, Vit *v, GError **error)
{
    const char *activation = "gelu";
    *v = (Vit){.image = 224, .patch = 16, .channels = 3, .qkv_bias = TRUE};
    if (!model_read_architecture(build, &model_family_vit, &v->architecture, error) ||
        !model_read_size(build, "hidden_size", &v->hidden, error) ||
        !model_read_layers(build, "num_hidden_layers", &v->layers, error) ||
        !model_read_size(build, "num_attention_heads", &v->heads, error) ||
        !model_check_heads(build, "hidden_size", v->hidden, "num_attention_heads", v->heads,
                           error) ||
        !model_read_size(build, "intermediate_size", &v->inner, error) ||
        !model_read_size(build, "image_size", &v->image, error) ||
        !model_read_size(build, "patch_size", &v->patch, error) ||
        !model_read_size(build, "num_channels", &v->channels, error) ||
        !model_check_heads(build, "image_size", v->image, "patch_size", v->patch, error) ||
        !model_check_product(build, "image_size squared", v->image, v->image, error) ||
        !model_check_product(build, "num_channels x patch_size squared", v->channels,
                             v->patch * v->patch, error) ||
        !json_in_bool(&build->config, "qkv_bias", FALSE, &v->qkv_bias, error) ||
        !model_read_dropout(build, "hidden_dropout_prob", &v->hidden_dropout, error) ||
        !model_read_dropout(build, "attention_probs_dropout_prob", &v->attention_dropout,
                            error) ||
        !json_in_string(&build->config, "hidden_act", FALSE, &activation, error) ||
        !read_classes(build, v, error))
        return FALSE;
    v->prefix = v->architecture == CLASSIFIER ? "vit." : "";
    v->activation = activation_find(build, "hidden_act", activation, error);
    return v->activation && check_sequence(build, v, error);
}

static void vit_parameters(ModelBuild *build, const Vit *v)
{
    const gint64 h = v->hidden, f = v->inner, bias = v->qkv_bias ? h : 0;
    const struct {
        const char *name;
        gint64 rows, columns, bias;
    } rows[] = {{"attention.attention.query", h, h, bias},
                {"attention.attention.key", h, h, bias},
                {"attention.attention.value", h, h, bias},
                {"attention.output.dense", h, h, h},
                {"intermediate.dense", f, h, f},
                {"output.dense", h, f, h},
                {"layernorm_before", h, 1, h},
                {"layernorm_after", h, 1, h}};
    const char *embeddings = model_name_printf(build, "%sembeddings", v->prefix);
    model_add_parameter(build, model_name_printf(build, "%s.cls_token", embeddings), 1, h);
    model_add_parameter(build, model_name_printf(build, "%s.position_embeddings", embeddings),
                        1, build->model->sequence_length * h);
    model_add_parameters(build,
                         model_name_printf(build, "%s.patch_embeddings.projection", embeddings),
                         h, v->channels * v->patch * v->patch, h);
    for (int i = 0; i < v->layers; i++)
        for (gsize j = 0; j < G_N_ELEMENTS(rows); j++)
            model_add_parameters(
                build,
                model_name_printf(build, "%sencoder.layer.%d.%s", v->prefix, i, rows[j].name),
                rows[j].rows, rows[j].columns, rows[j].bias);
    model_add_parameters(build, model_name_printf(build, "%slayernorm", v->prefix), h, 1, h);
    if (v->architecture == CLASSIFIER)
        model_add_parameters(build, "classifier", v->classes, h, v->classes);
    else
        model_add_parameters(build, "pooler.dense", h, h, h);
}

/* A convolution whose filters don't overlap; images have no gradient. */
static void patches(ModelBuild *build, const Vit *v, const char *name)
{
    const gint64 n = build->options->micro_batch, side = v->image / v->patch;
    const gint64 e = dtype_bytes(build->linear), c = dtype_bytes(build->stream);
    const gint64 pixels = n * v->channels * v->image * v->image;
    const gint64 numel = v->hidden * v->channels * v->patch * v->patch;
    Layer *layer = layer_append(build, name, NULL);
    Kernel kernel = {KERNEL_CONVOLUTION_FORWARD,
                     build->linear,
                     {n, v->channels, v->hidden, v->patch, v->image, side}};
    if (build->options->autocast) {
        layer_run_cast(layer->forward, pixels + numel, (int)c, (int)e);
        layer_run_cast(layer->backward, numel, (int)e, (int)c);
        layer->cast_bytes = (numel + v->hidden) * e;
    }
    layer_run(layer->forward, kernel);
    kernel.op = KERNEL_CONVOLUTION_BACKWARD_WEIGHT;
    layer_run(layer->backward, kernel);
    layer_run(layer->backward,
              (Kernel){KERNEL_COLUMN_SUM, build->linear, {n * side * side, v->hidden}});
    layer->saved_bytes = pixels * e;
    layer->forward_temporary_bytes = build->tokens * v->hidden * e;
    layer->backward_temporary_bytes = build->tokens * v->hidden * e;
}

/* A parameter of `rows` x hidden that every image gets: put before its tokens, or added. */
static void shared_rows(ModelBuild *build, const Vit *v, const char *name, gint64 rows,
                        gboolean added)
{
    const gint64 h = v->hidden, e = dtype_bytes(build->stream);
    Layer *layer = layer_append(build, name, name);
    if (added)
        layer_run_elementwise(build, layer->forward, KERNEL_ADD, build->stream, build->tokens,
                              h);
    else
        layer_run(layer->forward,
                  (Kernel){KERNEL_COPY, build->stream, {build->tokens * h * e}});
    layer_run(
        layer->backward,
        (Kernel){KERNEL_COLUMN_SUM, build->stream, {build->options->micro_batch, rows * h}});
    layer->forward_temporary_bytes = build->tokens * h * e;
    layer->backward_temporary_bytes = build->tokens * h * e;
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

static void vit_attention(ModelBuild *build, const Vit *v, const char *block)
{
    static const char *const projections[] = {"query", "key", "value"};
    const AttentionShape shape = {.heads = v->heads,
                                  .kv_heads = v->heads,
                                  .head_dim = v->hidden / v->heads,
                                  .softmax_fp32 = TRUE,
                                  .dropout = v->attention_dropout};
    for (gsize i = 0; i < G_N_ELEMENTS(projections); i++)
        linear(build,
               model_name_printf(build, "%s.attention.attention.%s", block, projections[i]),
               v->hidden, v->hidden, i > 0, FALSE);
    layer_attention(build, model_name_printf(build, "%s.attention.attention", block), &shape);
    linear(build, model_name_printf(build, "%s.attention.output.dense", block), v->hidden,
           v->hidden, FALSE, TRUE);
}

static void branch_end(ModelBuild *build, const Vit *v, const char *block, const char *branch)
{
    layer_dropout(build, model_name_printf(build, "%s.%s.dropout", block, branch), v->hidden,
                  v->hidden_dropout, build->linear);
    layer_residual(build, model_name_printf(build, "%s.%s.residual", block, branch), v->hidden);
}

static void vit_block(ModelBuild *build, const Vit *v, const char *block)
{
    const gint64 t = build->tokens, h = v->hidden, f = v->inner;
    layer_layernorm(build, model_name_printf(build, "%s.layernorm_before", block), t, h);
    vit_attention(build, v, block);
    branch_end(build, v, block, "attention");
    layer_layernorm(build, model_name_printf(build, "%s.layernorm_after", block), t, h);
    linear(build, model_name_printf(build, "%s.intermediate.dense", block), h, f, FALSE, FALSE);
    layer_activation(build, model_name_printf(build, "%s.intermediate.act", block),
                     v->activation, t, f);
    linear(build, model_name_printf(build, "%s.output.dense", block), f, h, FALSE,
           !v->activation->python);
    branch_end(build, v, block, "output");
}

static void vit_head(ModelBuild *build, const Vit *v)
{
    const gint64 n = build->options->micro_batch, h = v->hidden;
    const gint64 out = v->architecture == CLASSIFIER ? v->classes : h;
    layer_layernorm(build, model_name_printf(build, "%slayernorm", v->prefix), build->tokens,
                    h);
    layer_linear(build, &(LinearShape){.name = v->architecture == CLASSIFIER ? "classifier"
                                                                             : "pooler.dense",
                                       .rows = n,
                                       .in = h,
                                       .out = out});
    if (v->architecture == CLASSIFIER) {
        layer_class_cross_entropy(build, n, out);
        return;
    }
    layer_tanh(build, "pooler.activation", n, h);
    layer_mean_loss(build, n, h);
}

static gboolean vit_build(ModelBuild *build, GError **error)
{
    Vit v;
    if (!vit_read(build, &v, error))
        return FALSE;
    build->model->hidden_size = v.hidden;
    build->model->n_blocks = (int)v.layers;
    vit_parameters(build, &v);
    const char *embeddings = model_name_printf(build, "%sembeddings", v.prefix);
    patches(build, &v, model_name_printf(build, "%s.patch_embeddings.projection", embeddings));
    shared_rows(build, &v, model_name_printf(build, "%s.cls_token", embeddings), 1, FALSE);
    shared_rows(build, &v, model_name_printf(build, "%s.position_embeddings", embeddings),
                build->model->sequence_length, TRUE);
    layer_dropout(build, model_name_printf(build, "%s.dropout", embeddings), v.hidden,
                  v.hidden_dropout, build->stream);
    for (int i = 0; i < v.layers; i++) {
        build->block = i;
        vit_block(build, &v, model_name_printf(build, "%sencoder.layer.%d", v.prefix, i));
    }
    build->block = (int)v.layers;
    vit_head(build, &v);
    model_attention_flops(build, v.layers, v.hidden);
    return TRUE;
}

static const char *const architectures[] = {"ViTForImageClassification", "ViTModel", NULL};
static const char *const modelled[] = {"hidden_size",
                                       "num_hidden_layers",
                                       "num_attention_heads",
                                       "intermediate_size",
                                       "image_size",
                                       "patch_size",
                                       "num_channels",
                                       "num_labels",
                                       "id2label",
                                       "qkv_bias",
                                       "hidden_dropout_prob",
                                       "attention_probs_dropout_prob",
                                       "hidden_act",
                                       NULL};
static const char *const irrelevant[] = {"layer_norm_eps", "encoder_stride", "pooler_act",
                                         "pooler_output_size", NULL};

const ModelFamily model_family_vit = {.model_type = "vit",
                                      .build = vit_build,
                                      .architectures = architectures,
                                      .modelled = modelled,
                                      .irrelevant = irrelevant};
