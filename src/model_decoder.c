/* SPDX-License-Identifier: MIT */
/* Builds a decoder-only transformer from its description: parameters in order of registration,
 * layers in order of execution. Experts of a mixture get equally many tokens each, which is
 * what their balancing loss aims at. */
#include "model_decoder.h"

#include <string.h>

typedef struct {
    gint64 rows, columns, bias;
} Shape;

static const char *module_name(const Decoder *d, DecoderModule module)
{
    for (const DecoderRow *row = d->rows; row->name; row++)
        if (row->module == module)
            return row->name;
    return NULL;
}

static gint64 norm_bias(const Decoder *d, gint64 width)
{
    const gboolean bias =
        d->norm == NORM_LAYER || (d->norm == NORM_LOW_PRECISION && d->qkv_bias);
    return bias ? width : 0;
}

static Shape module_shape(const Decoder *d, DecoderModule module)
{
    const gint64 h = d->hidden, f = d->inner;
    const gint64 q = d->heads * d->head_dim, k = d->kv_heads * d->head_dim;
    const gint64 qkv_bias = d->qkv_bias, mlp_bias = d->mlp_bias;
    const Shape shapes[N_MODULES] = {
        [MODULE_ATTENTION_NORM] = {h, 1, norm_bias(d, h)},
        [MODULE_POST_ATTENTION_NORM] = {h, 1, norm_bias(d, h)},
        [MODULE_MLP_NORM] = {h, 1, norm_bias(d, h)},
        [MODULE_POST_MLP_NORM] = {h, 1, norm_bias(d, h)},
        [MODULE_QKV] = {q + 2 * k, h, qkv_bias * (q + 2 * k)},
        [MODULE_Q] = {q, h, qkv_bias * q},
        [MODULE_K] = {k, h, qkv_bias * k},
        [MODULE_V] = {k, h, qkv_bias * k},
        [MODULE_Q_NORM] = {d->head_dim, 1, 0},
        [MODULE_K_NORM] = {d->head_dim, 1, 0},
        [MODULE_OUT] = {h, q, d->out_bias * h},
        [MODULE_ROUTER] = {d->experts, h, 0},
        [MODULE_GATE_UP] = {2 * f, h, mlp_bias * 2 * f},
        [MODULE_GATE] = {f, h, mlp_bias * f},
        [MODULE_UP] = {f, h, mlp_bias * f},
        [MODULE_DOWN] = {h, f, mlp_bias * h},
    };
    return shapes[module];
}

static void expert_parameters(ModelBuild *build, const Decoder *d, const char *name)
{
    const gint64 h = d->hidden, f = d->inner;
    for (int i = 0; i < d->experts; i++) {
        model_add_parameters(build, model_name_printf(build, "%s.%d.w1", name, i), f, h, 0);
        model_add_parameters(build, model_name_printf(build, "%s.%d.w2", name, i), h, f, 0);
        model_add_parameters(build, model_name_printf(build, "%s.%d.w3", name, i), f, h, 0);
    }
    build->inactive_parameters += (d->experts - d->experts_per_token) * 3 * h * f;
}

static void block_parameters(ModelBuild *build, const Decoder *d, const char *block)
{
    for (const DecoderRow *row = d->rows; row->name; row++) {
        const char *name = model_name_printf(build, "%s.%s", block, row->name);
        if (row->module == MODULE_EXPERTS) {
            expert_parameters(build, d, name);
            continue;
        }
        const Shape shape = module_shape(d, row->module);
        model_add_parameters(build, name, shape.rows, shape.columns, shape.bias);
    }
}

/* A module of the body that may be missing. */
static void body_parameters(ModelBuild *build, const Decoder *d, const char *name, gint64 rows,
                            gint64 columns, gint64 bias)
{
    if (name)
        model_add_parameters(build, model_name_printf(build, "%s%s", d->prefix, name), rows,
                             columns, bias);
}

static void parameters(ModelBuild *build, const Decoder *d)
{
    const gint64 h = d->hidden, w = d->embedding_width;
    body_parameters(build, d, d->embedding, d->vocabulary, w, 0);
    body_parameters(build, d, d->position_embedding, d->position_rows, h, 0);
    body_parameters(build, d, d->embedding_norm, h, 1, norm_bias(d, h));
    body_parameters(build, d, d->project_out, w, h, 0);
    body_parameters(build, d, d->project_in, h, w, 0);
    if (d->final_norm_first)
        body_parameters(build, d, d->final_norm, h, 1, norm_bias(d, h));
    for (int i = 0; i < d->layers; i++)
        block_parameters(build, d,
                         model_name_printf(build, "%s%s.%d", d->prefix, d->blocks, i));
    if (!d->final_norm_first)
        body_parameters(build, d, d->final_norm, h, 1, norm_bias(d, h));
    if (d->head && !d->tied)
        model_add_parameters(build, d->head, d->vocabulary, w,
                             d->head_bias ? d->vocabulary : 0);
    else if (d->head && d->head_bias)
        model_add_parameter(build, model_name_printf(build, "%s.bias", d->head), d->vocabulary,
                            1);
}

static void norm(ModelBuild *build, const Decoder *d, const char *name, gint64 rows,
                 gint64 width)
{
    switch (d->norm) {
    case NORM_LAYER:
    case NORM_LAYER_NO_BIAS:
        layer_layernorm(build, name, rows, width);
        return;
    case NORM_LOW_PRECISION:
        layer_layernorm_low_precision(build, name, rows, width);
        return;
    case NORM_RMS:
        layer_rmsnorm(build, name, rows, width);
        return;
    case NORM_RMS_GEMMA:
        layer_rmsnorm_gemma(build, name, rows, width);
        return;
    }
}

/* TRUE when the block has it. */
static gboolean block_norm(ModelBuild *build, const Decoder *d, const char *block,
                           DecoderModule module, gint64 rows, gint64 width)
{
    const char *name = module_name(d, module);
    if (name)
        norm(build, d, model_name_printf(build, "%s.%s", block, name), rows, width);
    return name != NULL;
}

static void linear(ModelBuild *build, const Decoder *d, const char *block, DecoderModule module,
                   gboolean shared, gboolean linear_input)
{
    const char *name = module_name(d, module);
    if (!name)
        return;
    const Shape shape = module_shape(d, module);
    layer_linear(build, &(LinearShape){.name = model_name_printf(build, "%s.%s", block, name),
                                       .rows = build->tokens,
                                       .in = shape.columns,
                                       .out = shape.rows,
                                       .shared_input = shared,
                                       .linear_input = linear_input});
}

static gint64 window_of(const Decoder *d, int block)
{
    if (!d->local || d->local[block % strlen(d->local)] != 'l')
        return 0;
    return d->window;
}

static void attention(ModelBuild *build, const Decoder *d, const char *block)
{
    const gint64 t = build->tokens;
    const char *name = model_name_printf(build, "%s.%s", block, d->attention);
    const gboolean low = d->norm == NORM_LOW_PRECISION;
    const AttentionShape shape = {.heads = d->heads,
                                  .kv_heads = d->kv_heads,
                                  .head_dim = d->head_dim,
                                  .causal = TRUE,
                                  .softmax_fp32 = d->softmax_fp32,
                                  .dropout = d->attention_dropout,
                                  .window = window_of(d, build->block),
                                  .biased = d->biased,
                                  .unpadded = d->unpadded,
                                  .softcap = d->attention_softcap};
    linear(build, d, block, MODULE_QKV, FALSE, low);
    linear(build, d, block, MODULE_Q, FALSE, low);
    linear(build, d, block, MODULE_K, TRUE, low);
    linear(build, d, block, MODULE_V, TRUE, low);
    block_norm(build, d, block, MODULE_Q_NORM, t * d->heads, d->head_dim);
    block_norm(build, d, block, MODULE_K_NORM, t * d->kv_heads, d->head_dim);
    if (d->rotated > 0)
        layer_rope(build, model_name_printf(build, "%s.rotary", name),
                   (d->heads + d->kv_heads) * d->rotated,
                   (d->heads + d->kv_heads) * d->head_dim);
    layer_attention(build, name, &shape);
    linear(build, d, block, MODULE_OUT, FALSE, TRUE);
}

static void expert(ModelBuild *build, const Decoder *d, const char *name, gint64 rows)
{
    const gint64 h = d->hidden, f = d->inner;
    layer_linear(build, &(LinearShape){.name = model_name_printf(build, "%s.w1", name),
                                       .rows = rows,
                                       .in = h,
                                       .out = f});
    layer_linear(build, &(LinearShape){.name = model_name_printf(build, "%s.w3", name),
                                       .rows = rows,
                                       .in = h,
                                       .out = f,
                                       .shared_input = TRUE});
    layer_swiglu(build, model_name_printf(build, "%s.act_fn", name), rows, f);
    layer_linear(build, &(LinearShape){.name = model_name_printf(build, "%s.w2", name),
                                       .rows = rows,
                                       .in = f,
                                       .out = h,
                                       .linear_input = TRUE});
}

/* transformers' MixtralSparseMoeBlock: the router's softmax, then for each expert its tokens
 * are gathered, run, weighed (their unweighed output is kept) and added to the sum. */
static void mixture(ModelBuild *build, const Decoder *d, const char *block)
{
    const gint64 t = build->tokens, h = d->hidden, n = d->experts;
    const gint64 chosen = t * d->experts_per_token, e = dtype_bytes(build->linear);
    const char *name = model_name_printf(build, "%s.%s", block, module_name(d, MODULE_EXPERTS));
    linear(build, d, block, MODULE_ROUTER, FALSE, FALSE);
    Layer *routing = layer_append(build, model_name_printf(build, "%s.routing", block), NULL);
    layer_run(routing->forward, (Kernel){KERNEL_SOFTMAX_FORWARD, build->linear, {t, n}});
    layer_run(routing->forward, (Kernel){KERNEL_COPY, build->linear, {chosen * h * e}});
    layer_run(routing->backward, (Kernel){KERNEL_ADD, build->linear, {chosen, h}});
    layer_run(routing->backward, (Kernel){KERNEL_SOFTMAX_BACKWARD, build->linear, {t, n}});
    routing->saved_bytes = t * n * 4 + chosen * (8 + 4); /* scores; indices and weights */
    for (int i = 0; i < n; i++)
        expert(build, d, model_name_printf(build, "%s.%d", name, i), (chosen + n - 1) / n);
    Layer *sum = layer_append(build, model_name_printf(build, "%s.sum", name), NULL);
    layer_run_elementwise(build, sum->forward, KERNEL_ADD, build->linear, chosen, h);
    layer_run_elementwise(build, sum->forward, KERNEL_ADD, build->linear, chosen, h);
    layer_run_elementwise(build, sum->backward, KERNEL_ADD, build->linear, chosen, h);
    layer_run_elementwise(build, sum->backward, KERNEL_ADD, build->linear, chosen, h);
    sum->saved_bytes = chosen * h * e;
    sum->forward_temporary_bytes = t * h * e;
    sum->backward_temporary_bytes = chosen * h * e;
}

/* `shared`: its input is attention's. */
static void mlp(ModelBuild *build, const Decoder *d, const char *block, gboolean shared)
{
    const gint64 t = build->tokens, f = d->inner;
    const char *activation = model_name_printf(build, "%s.%s.act_fn", block, d->mlp);
    const gboolean gated = module_name(d, MODULE_GATE) || module_name(d, MODULE_GATE_UP);
    const gboolean low = d->norm == NORM_LOW_PRECISION;
    if (module_name(d, MODULE_EXPERTS)) {
        mixture(build, d, block);
        return;
    }
    linear(build, d, block, MODULE_GATE_UP, shared, low);
    linear(build, d, block, MODULE_GATE, shared, low);
    linear(build, d, block, MODULE_UP, shared || gated, low);
    if (gated)
        layer_swiglu(build, activation, t, f);
    else
        layer_activation(build, activation, d->activation, t, f);
    linear(build, d, block, MODULE_DOWN, FALSE, gated || !d->activation->python);
}

static void branch_end(ModelBuild *build, const Decoder *d, const char *block,
                       const char *branch, DecoderModule post_norm)
{
    const gint64 t = build->tokens, h = d->hidden;
    block_norm(build, d, block, post_norm, t, h);
    layer_dropout(build, model_name_printf(build, "%s.%s.dropout", block, branch), h,
                  d->residual_dropout, build->linear);
    layer_residual(build, model_name_printf(build, "%s.%s.residual", block, branch), h);
}

static void sequential_block(ModelBuild *build, const Decoder *d, const char *block)
{
    const gint64 t = build->tokens, h = d->hidden;
    if (!d->post_norm)
        block_norm(build, d, block, MODULE_ATTENTION_NORM, t, h);
    attention(build, d, block);
    branch_end(build, d, block, d->attention, MODULE_POST_ATTENTION_NORM);
    block_norm(build, d, block, d->post_norm ? MODULE_ATTENTION_NORM : MODULE_MLP_NORM, t, h);
    mlp(build, d, block, FALSE);
    branch_end(build, d, block, d->mlp, MODULE_POST_MLP_NORM);
    if (d->post_norm)
        block_norm(build, d, block, MODULE_MLP_NORM, t, h);
}

/* One norm for both branches, or one each that keep the same input. */
static void parallel_block(ModelBuild *build, const Decoder *d, const char *block)
{
    const gint64 t = build->tokens, h = d->hidden;
    block_norm(build, d, block, MODULE_ATTENTION_NORM, t, h);
    attention(build, d, block);
    branch_end(build, d, block, d->attention, MODULE_POST_ATTENTION_NORM);
    const gboolean own = block_norm(build, d, block, MODULE_MLP_NORM, t, h);
    if (own)
        layer_shares_input(build, t, h);
    mlp(build, d, block, !own);
    branch_end(build, d, block, d->mlp, MODULE_POST_MLP_NORM);
}

static const char *body_name(ModelBuild *build, const Decoder *d, const char *name)
{
    return model_name_printf(build, "%s%s", d->prefix, name);
}

static void projection(ModelBuild *build, const Decoder *d, const char *name, gint64 in,
                       gint64 out)
{
    if (name)
        layer_linear(build, &(LinearShape){.name = body_name(build, d, name),
                                           .rows = build->tokens,
                                           .in = in,
                                           .out = out});
}

static void embeddings(ModelBuild *build, const Decoder *d)
{
    const gint64 t = build->tokens, h = d->hidden;
    layer_embedding(build, body_name(build, d, d->embedding), t, d->tied && d->head);
    if (d->scaled_embedding)
        layer_scale(build, body_name(build, d, "embedding.scale"), t, h);
    projection(build, d, d->project_in, d->embedding_width, h);
    if (d->position_embedding) {
        layer_embedding(build, body_name(build, d, d->position_embedding),
                        build->model->sequence_length, FALSE);
        layer_residual(build, body_name(build, d, "embedding.sum"), h);
    }
    if (d->embedding_norm)
        norm(build, d, body_name(build, d, d->embedding_norm), t, h);
    layer_dropout(build, body_name(build, d, "embedding.dropout"), h, d->embedding_dropout,
                  build->stream);
}

static void head(ModelBuild *build, const Decoder *d)
{
    const gint64 t = build->tokens, w = d->embedding_width;
    if (d->final_norm)
        norm(build, d, body_name(build, d, d->final_norm), t, d->hidden);
    projection(build, d, d->project_out, d->hidden, w);
    if (!d->head) {
        layer_mean_loss(build, t, w);
        return;
    }
    const char *table = model_name_printf(build, "%s%s.weight", d->prefix, d->embedding);
    layer_linear(build, &(LinearShape){.name = d->head,
                                       .rows = t,
                                       .in = w,
                                       .out = d->vocabulary,
                                       .linear_input = d->norm == NORM_LOW_PRECISION,
                                       .tied_to = d->tied ? table : NULL});
    if (d->logit_softcap)
        layer_softcap(build, model_name_printf(build, "%s.softcap", d->head), t, d->vocabulary);
    if (d->fused_loss)
        layer_fused_cross_entropy(build, d->vocabulary);
    else
        layer_cross_entropy(build, d->vocabulary);
    layer_loss_metrics(build, d->vocabulary, d->n_loss_metrics);
}

static gboolean read_sizes(ModelBuild *build, const DecoderMembers *members, Decoder *d,
                           GError **error)
{
    if (!model_read_size(build, members->hidden, &d->hidden, error) ||
        !model_read_layers(build, members->layers, &d->layers, error) ||
        !model_read_size(build, members->heads, &d->heads, error) ||
        !model_check_heads(build, members->hidden, d->hidden, members->heads, d->heads, error))
        return FALSE;
    d->kv_heads = d->heads;
    d->head_dim = d->hidden / d->heads;
    if (!members->inner_required)
        d->inner = 4 * d->hidden;
    return (!members->inner || model_read_size(build, members->inner, &d->inner, error)) &&
           model_read_size(build, "vocab_size", &d->vocabulary, error) &&
           (!members->positions ||
            model_read_size(build, members->positions, &d->positions, error));
}

static gboolean read_dropout(ModelBuild *build, const char *key, double *value, GError **error)
{
    return !key || model_read_dropout(build, key, value, error);
}

gboolean decoder_read_members(ModelBuild *build, const DecoderMembers *members, Decoder *d,
                              GError **error)
{
    const char *name = members->standard_activation;
    if (!read_sizes(build, members, d, error) ||
        !read_dropout(build, members->embedding_dropout, &d->embedding_dropout, error) ||
        !read_dropout(build, members->attention_dropout, &d->attention_dropout, error) ||
        !read_dropout(build, members->residual_dropout, &d->residual_dropout, error) ||
        !json_in_bool(&build->config, "tie_word_embeddings", FALSE, &d->tied, error))
        return FALSE;
    if (!members->activation)
        return TRUE;
    if (!json_in_string(&build->config, members->activation, FALSE, &name, error))
        return FALSE;
    d->activation = activation_find(build, members->activation, name, error);
    return d->activation != NULL;
}

gboolean decoder_read_architecture(ModelBuild *build, const ModelFamily *family,
                                   const char *prefix, const char *head, Decoder *d,
                                   GError **error)
{
    int architecture;
    if (!model_read_architecture(build, family, &architecture, error))
        return FALSE;
    const gboolean causal =
        g_str_has_suffix(family->architectures[architecture], "ForCausalLM");
    d->prefix = causal ? prefix : "";
    d->head = causal ? head : NULL;
    return TRUE;
}

gboolean decoder_resolve_sequence(ModelBuild *build, const Decoder *d, GError **error)
{
    const gint64 qkv = (d->heads + 2 * d->kv_heads) * d->head_dim;
    const gint64 experts = MAX(d->experts_per_token, 1);
    const gint64 widest =
        MAX(MAX(d->vocabulary, 2 * experts * d->inner), MAX(qkv, experts * d->hidden));
    return model_resolve_sequence(build, d->positions, d->position_embedding != NULL, d->heads,
                                  widest, error);
}

static void attention_flops(ModelBuild *build, const Decoder *d)
{
    double flops = 0;
    const gint64 s = build->model->sequence_length;
    for (int i = 0; i < d->layers; i++) {
        const gint64 window = window_of(d, i);
        flops +=
            12.0 * (double)(d->heads * d->head_dim) * (double)(window > 0 ? MIN(window, s) : s);
    }
    build->model->flops_per_token = flops;
}

void decoder_build(ModelBuild *build, const Decoder *d)
{
    Decoder complete = *d;
    if (complete.embedding_width == 0)
        complete.embedding_width = d->hidden;
    build->model->hidden_size = d->hidden;
    build->model->n_blocks = (int)d->layers;
    parameters(build, &complete);
    embeddings(build, &complete);
    for (int i = 0; i < d->layers; i++) {
        build->block = i;
        const char *block = model_name_printf(build, "%s%s.%d", d->prefix, d->blocks, i);
        if (d->parallel)
            parallel_block(build, &complete, block);
        else
            sequential_block(build, &complete, block);
    }
    build->block = (int)d->layers;
    head(build, &complete);
    attention_flops(build, &complete);
}
