/* SPDX-License-Identifier: MIT */
/* The layers that transformer models are made of: which kernels PyTorch runs for each, and
 * which tensors autograd keeps. Every saved tensor is counted in one layer: as the input of the
 * layer that keeps it; queries, keys and values in the attention core. The few bytes a row of
 * norm statistics and random states are left out. Under autocast the residual stream and the
 * norms are fp32, and each linear layer casts its own copy of its input. Under torch.compile
 * chains of elementwise kernels become one: a model, from which memory-bound neighbours that
 * Inductor fuses (dropout, casts) vanish. */
#include "model_family.h"

#include "error.h"

#include <string.h>

/* What is left of an elementwise kernel under torch.compile: tensors read and written in place
 * of the whole chain; none when it melts into its neighbour. */
typedef struct {
    KernelOp op;
    int reads, writes;
} FusedRow;

static const FusedRow fused_rows[] = {
    {KERNEL_RMSNORM_PYTHON_FORWARD, 1, 1},
    {KERNEL_RMSNORM_PYTHON_BACKWARD, 4, 1},
    {KERNEL_LAYERNORM_FORWARD, 1, 1},
    {KERNEL_LAYERNORM_BACKWARD, 4, 1},
    {KERNEL_RELU_FORWARD, 1, 1},
    {KERNEL_RELU_BACKWARD, 2, 1},
    {KERNEL_GELU_FORWARD, 1, 1},
    {KERNEL_GELU_BACKWARD, 2, 1},
    {KERNEL_GELU_PYTHON_FORWARD, 1, 1},
    {KERNEL_GELU_PYTHON_BACKWARD, 2, 1},
    {KERNEL_SWIGLU_FORWARD, 2, 1},
    {KERNEL_SWIGLU_BACKWARD, 3, 2},
    {KERNEL_ROPE_FORWARD, 1, 1},
    {KERNEL_ROPE_BACKWARD, 1, 1},
    {KERNEL_ADD, 1, 1},
    {KERNEL_DROPOUT_FORWARD, 0, 0},
    {KERNEL_DROPOUT_BACKWARD, 0, 0},
};

#define GELU KERNEL_GELU_FORWARD, KERNEL_GELU_BACKWARD

static const Activation activations[] = {
    {"gelu", FALSE, TRUE, GELU},
    {"gelu_new", TRUE, TRUE, GELU},
    {"gelu_pytorch_tanh", FALSE, TRUE, GELU},
    {"gelu_python", TRUE, TRUE, GELU},
    {"gelu_fast", TRUE, TRUE, GELU},
    {"silu", FALSE, TRUE, GELU},
    {"relu", FALSE, FALSE, KERNEL_RELU_FORWARD, KERNEL_RELU_BACKWARD},
};

void layer_run(GArray *kernels, Kernel kernel)
{
    g_array_append_val(kernels, kernel);
}

void layer_run_cast(GArray *kernels, gint64 elements, int from_bytes, int to_bytes)
{
    layer_run(kernels, (Kernel){KERNEL_CAST, DTYPE_FP32, {elements, from_bytes, to_bytes}});
}

void layer_run_elementwise(const ModelBuild *build, GArray *kernels, KernelOp op, DType dtype,
                           gint64 rows, gint64 width)
{
    gint64 e = dtype_bytes(dtype);
    for (gsize i = 0; build->options->compile && i < G_N_ELEMENTS(fused_rows); i++) {
        const FusedRow *row = &fused_rows[i];
        if (row->op != op)
            continue;
        if (row->reads > 0)
            layer_run(
                kernels,
                (Kernel){KERNEL_FUSED, dtype, {rows * width, e * row->reads, e * row->writes}});
        return;
    }
    layer_run(kernels, (Kernel){op, dtype, {rows, width}});
}

static void attach(const ModelBuild *build, Layer *layer, const char *parameter)
{
    int index = GPOINTER_TO_INT(g_hash_table_lookup(build->parameter_index, parameter)) - 1;
    if (index < 0)
        return;
    layer->parameters[layer->n_parameters++] = index;
}

Layer *layer_append(const ModelBuild *build, const char *name, const char *weight)
{
    Layer *layer = g_new0(Layer, 1);
    g_autofree char *own_weight = g_strconcat(name, ".weight", NULL);
    g_autofree char *bias = g_strconcat(name, ".bias", NULL);
    layer->name = g_strdup(name);
    layer->block = build->block;
    layer->parameters = g_new0(int, 2);
    layer->forward = g_array_new(FALSE, FALSE, sizeof(Kernel));
    layer->backward = g_array_new(FALSE, FALSE, sizeof(Kernel));
    attach(build, layer, weight ? weight : own_weight);
    attach(build, layer, bias);
    g_ptr_array_add(build->model->layers, layer);
    return layer;
}

void layer_embedding(ModelBuild *build, const char *name, gint64 rows, gboolean tied)
{
    Layer *layer = layer_append(build, name, NULL);
    const Parameter *table = model_parameter(build->model, layer->parameters[0]);
    gint64 width = table->numel / table->rows;
    gint64 e = dtype_bytes(build->stream);
    layer_run(layer->forward, (Kernel){KERNEL_EMBEDDING_FORWARD, build->stream, {rows, width}});
    if (rows < build->tokens) /* the same rows for every sequence: gradients are summed */
        layer_run(
            layer->backward,
            (Kernel){KERNEL_COLUMN_SUM, build->stream, {build->tokens / rows, rows * width}});
    layer_run(layer->backward,
              (Kernel){KERNEL_EMBEDDING_BACKWARD, build->stream, {rows, width, table->rows}});
    if (tied) /* added to the gradient that the head has left */
        layer_run(layer->backward,
                  (Kernel){KERNEL_ACCUMULATE, build->stream, {table->numel * e}});
    layer->saved_bytes = 8 * rows; /* the ids */
    layer->forward_temporary_bytes = rows * width * e;
    layer->backward_temporary_bytes = build->tokens * width * e;
}

Layer *layer_last(const ModelBuild *build)
{
    return g_ptr_array_index(build->model->layers, build->model->layers->len - 1);
}

static void norm(ModelBuild *build, const char *name, gint64 rows, gint64 width,
                 KernelOp forward, KernelOp backward, gint64 saved_bytes)
{
    Layer *layer = layer_append(build, name, NULL);
    gint64 tensor = rows * width * dtype_bytes(build->stream);
    layer_run_elementwise(build, layer->forward, forward, build->stream, rows, width);
    layer_run_elementwise(build, layer->backward, backward, build->stream, rows, width);
    layer->saved_bytes = saved_bytes;
    layer->forward_temporary_bytes = tensor;
    layer->backward_temporary_bytes = 2 * tensor;
}

void layer_layernorm(ModelBuild *build, const char *name, gint64 rows, gint64 width)
{
    norm(build, name, rows, width, KERNEL_LAYERNORM_FORWARD, KERNEL_LAYERNORM_BACKWARD,
         rows * width * dtype_bytes(build->stream));
}

void layer_layernorm_low_precision(ModelBuild *build, const char *name, gint64 rows,
                                   gint64 width)
{
    const int stream = dtype_bytes(build->stream), linear = dtype_bytes(build->linear);
    layer_layernorm(build, name, rows, width);
    if (!build->options->autocast)
        return;
    Layer *layer = layer_last(build);
    g_array_set_size(layer->forward, 0);
    g_array_set_size(layer->backward, 0);
    if (!build->options->compile)
        layer_run_cast(layer->forward, rows * width, stream, linear);
    layer_run_elementwise(build, layer->forward, KERNEL_LAYERNORM_FORWARD, build->linear, rows,
                          width);
    layer_run_elementwise(build, layer->backward, KERNEL_LAYERNORM_BACKWARD, build->linear,
                          rows, width);
    if (!build->options->compile)
        layer_run_cast(layer->backward, rows * width, linear, stream);
    layer->saved_bytes = rows * width * linear;
}

void layer_shares_input(ModelBuild *build, gint64 rows, gint64 width)
{
    Layer *layer = layer_last(build);
    layer->saved_bytes = 0;
    layer_run_elementwise(build, layer->backward, KERNEL_ADD, build->stream, rows, width);
}

/* transformers' LlamaRMSNorm is Python: it keeps its input in fp32 (a copy, unless the input is
 * fp32) and the normalised tensor; its output is the next linear layer's input. */
void layer_rmsnorm(ModelBuild *build, const char *name, gint64 rows, gint64 width)
{
    gint64 e = dtype_bytes(build->stream);
    gint64 saved = build->options->compile ? e : 4 + e;
    norm(build, name, rows, width, KERNEL_RMSNORM_PYTHON_FORWARD,
         KERNEL_RMSNORM_PYTHON_BACKWARD, rows * width * saved);
    Layer *layer = layer_last(build);
    if (!build->options->compile) /* squares, and gradients of the chain, in fp32 */
        layer->forward_temporary_bytes += 4 * rows * width;
    layer->backward_temporary_bytes += build->options->compile ? 0 : 8 * rows * width;
}

void layer_rmsnorm_gemma(ModelBuild *build, const char *name, gint64 rows, gint64 width)
{
    layer_rmsnorm(build, name, rows, width);
    if (!build->options->compile) /* the normalised tensor in fp32, not in the stream's type */
        layer_last(build)->saved_bytes += rows * width * (4 - dtype_bytes(build->stream));
}

/* cos and sin have the residual stream's type, and so has their product with q and k. */
void layer_rope(ModelBuild *build, const char *name, gint64 rotated, gint64 width)
{
    Layer *layer = layer_append(build, name, NULL);
    const gint64 whole = build->tokens * width * dtype_bytes(build->stream);
    layer_run_elementwise(build, layer->forward, KERNEL_ROPE_FORWARD, build->stream,
                          build->tokens, rotated);
    layer_run_elementwise(build, layer->backward, KERNEL_ROPE_BACKWARD, build->stream,
                          build->tokens, rotated);
    layer->forward_temporary_bytes = 2 * whole;
    layer->backward_temporary_bytes = 2 * whole;
    if (rotated < width && !build->options->compile) { /* slices, and cat or its gradient */
        layer_run(layer->forward, (Kernel){KERNEL_COPY, build->stream, {whole}});
        layer_run(layer->backward, (Kernel){KERNEL_COPY, build->stream, {whole}});
    }
    if (!build->options->autocast || build->options->compile)
        return;
    int stream = dtype_bytes(build->stream), linear = dtype_bytes(build->linear);
    layer_run_cast(layer->forward, build->tokens * width, stream, linear);
    layer_run_cast(layer->backward, build->tokens * width, linear, stream);
}

const Activation *activation_find(const ModelBuild *build, const char *key, const char *name,
                                  GError **error)
{
    g_autoptr(GString) known = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(activations); i++) {
        if (strcmp(activations[i].name, name) == 0)
            return &activations[i];
        g_string_append_printf(known, "%s%s", i > 0 ? ", " : "", activations[i].name);
    }
    g_autofree char *quoted = error_quote(name);
    g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED, "%s: %s: %s isn't modelled; known: %s",
                build->config.file, key, quoted, known->str);
    return NULL;
}

/* The Python formula keeps x, x / 2, tanh and 1 + tanh. Under autocast pow runs in fp32, and so
 * does all that follows but x / 2. */
void layer_activation(ModelBuild *build, const char *name, const Activation *activation,
                      gint64 rows, gint64 width)
{
    Layer *layer = layer_append(build, name, NULL);
    gboolean python = activation->python && !build->options->compile;
    gint64 e = dtype_bytes(build->linear), c = dtype_bytes(build->stream);
    DType dtype = python ? build->stream : build->linear;
    layer_run_elementwise(build, layer->forward,
                          python ? KERNEL_GELU_PYTHON_FORWARD : activation->forward, dtype,
                          rows, width);
    layer_run_elementwise(build, layer->backward,
                          python ? KERNEL_GELU_PYTHON_BACKWARD : activation->backward, dtype,
                          rows, width);
    gint64 saved = activation->saves_input ? e : 0;
    layer->saved_bytes = rows * width * (python ? e + 3 * c : saved);
    layer->forward_temporary_bytes = rows * width * (python ? 2 * c : e);
    layer->backward_temporary_bytes = rows * width * (python ? 3 * c : 2 * e);
}

/* gate, silu(gate) and up; compiled, silu is computed again. */
void layer_swiglu(ModelBuild *build, const char *name, gint64 rows, gint64 width)
{
    Layer *layer = layer_append(build, name, NULL);
    gint64 tensor = rows * width * dtype_bytes(build->linear);
    layer_run_elementwise(build, layer->forward, KERNEL_SWIGLU_FORWARD, build->linear, rows,
                          width);
    layer_run_elementwise(build, layer->backward, KERNEL_SWIGLU_BACKWARD, build->linear, rows,
                          width);
    layer->saved_bytes = (build->options->compile ? 2 : 3) * tensor;
    layer->forward_temporary_bytes = tensor;
    layer->backward_temporary_bytes = 2 * tensor;
}

void layer_product(ModelBuild *build, const char *name, gint64 rows, gint64 width)
{
    Layer *layer = layer_append(build, name, NULL);
    const gint64 tensor = rows * width * dtype_bytes(build->linear);
    layer_run_elementwise(build, layer->forward, KERNEL_ADD, build->linear, rows, width);
    for (int i = 0; i < 2; i++)
        layer_run_elementwise(build, layer->backward, KERNEL_ADD, build->linear, rows, width);
    layer->saved_bytes = 2 * tensor;
    layer->forward_temporary_bytes = tensor;
    layer->backward_temporary_bytes = 2 * tensor;
}

void layer_scale(ModelBuild *build, const char *name, gint64 rows, gint64 width)
{
    Layer *layer = layer_append(build, name, NULL);
    const gint64 tensor = rows * width * dtype_bytes(build->stream);
    layer_run(layer->forward, (Kernel){KERNEL_SCALE, build->stream, {tensor}});
    layer_run(layer->backward, (Kernel){KERNEL_SCALE, build->stream, {tensor}});
    layer->forward_temporary_bytes = tensor;
    layer->backward_temporary_bytes = tensor;
}

void layer_softcap(ModelBuild *build, const char *name, gint64 rows, gint64 width)
{
    Layer *layer = layer_append(build, name, NULL);
    const gint64 tensor = rows * width * dtype_bytes(build->linear);
    for (int i = 0; i < 2; i++) {
        layer_run(layer->forward, (Kernel){KERNEL_SCALE, build->linear, {tensor}});
        layer_run(layer->backward, (Kernel){KERNEL_SCALE, build->linear, {tensor}});
    }
    layer_run(layer->forward, (Kernel){KERNEL_TANH_FORWARD, build->linear, {rows, width}});
    layer_run(layer->backward, (Kernel){KERNEL_TANH_BACKWARD, build->linear, {rows, width}});
    layer->saved_bytes = tensor;
    layer->forward_temporary_bytes = tensor;
    layer->backward_temporary_bytes = 2 * tensor;
}

void layer_tanh(ModelBuild *build, const char *name, gint64 rows, gint64 width)
{
    Layer *layer = layer_append(build, name, NULL);
    gint64 tensor = rows * width * dtype_bytes(build->linear);
    layer_run(layer->forward, (Kernel){KERNEL_TANH_FORWARD, build->linear, {rows, width}});
    layer_run(layer->backward, (Kernel){KERNEL_TANH_BACKWARD, build->linear, {rows, width}});
    layer->saved_bytes = tensor;
    layer->backward_temporary_bytes = 2 * tensor;
}

void layer_dropout(ModelBuild *build, const char *name, gint64 width, double probability,
                   DType dtype)
{
    if (probability <= 0)
        return;
    Layer *layer = layer_append(build, name, NULL);
    gint64 elements = build->tokens * width;
    layer_run_elementwise(build, layer->forward, KERNEL_DROPOUT_FORWARD, dtype, build->tokens,
                          width);
    layer_run_elementwise(build, layer->backward, KERNEL_DROPOUT_BACKWARD, dtype, build->tokens,
                          width);
    layer->saved_bytes = elements; /* a byte of mask each */
    layer->forward_temporary_bytes = elements * dtype_bytes(dtype);
    layer->backward_temporary_bytes = 2 * elements * dtype_bytes(dtype);
}

/* Backward adds the branch's gradient to the stream's. */
void layer_residual(ModelBuild *build, const char *name, gint64 width)
{
    Layer *layer = layer_append(build, name, NULL);
    gint64 tensor = build->tokens * width * dtype_bytes(build->stream);
    layer_run_elementwise(build, layer->forward, KERNEL_ADD, build->stream, build->tokens,
                          width);
    layer_run_elementwise(build, layer->backward, KERNEL_ADD, build->stream, build->tokens,
                          width);
    if (build->options->autocast && !build->options->compile)
        layer_run_cast(layer->backward, build->tokens * width, dtype_bytes(build->stream),
                       dtype_bytes(build->linear));
    layer->forward_temporary_bytes = tensor;
    layer->backward_temporary_bytes = 2 * tensor;
}

/* transformers' loss_utils.py: logits to fp32 (a local copy), log-softmax kept in fp32; the
 * logits themselves live on as the model's output. Backward, nll_loss and log_softmax each make
 * an fp32 gradient. */
void layer_cross_entropy(ModelBuild *build, gint64 vocabulary)
{
    Layer *head = layer_last(build);
    Layer *layer = layer_append(build, "loss", NULL);
    gint64 logits = build->tokens * vocabulary;
    gint64 e = dtype_bytes(build->linear);
    head->saved_bytes += e * logits;
    head->forward_temporary_bytes -= e * logits;
    layer_run(
        layer->forward,
        (Kernel){KERNEL_CROSS_ENTROPY_FORWARD, build->linear, {build->tokens, vocabulary}});
    layer_run(
        layer->backward,
        (Kernel){KERNEL_CROSS_ENTROPY_BACKWARD, build->linear, {build->tokens, vocabulary}});
    layer->saved_bytes = 4 * logits;
    layer->forward_temporary_bytes = e < 4 ? 4 * logits : 0;
    layer->backward_temporary_bytes = 8 * logits;
}

/* flash-attn's cross_entropy.py: one pass over the 16-bit logits each way, and their gradient.
 */
void layer_fused_cross_entropy(ModelBuild *build, gint64 vocabulary)
{
    Layer *head = layer_last(build);
    Layer *layer = layer_append(build, "loss", NULL);
    const gint64 logits = build->tokens * vocabulary, e = dtype_bytes(build->linear);
    head->saved_bytes += e * logits;
    head->forward_temporary_bytes -= e * logits;
    layer_run(layer->forward, (Kernel){KERNEL_FUSED, build->linear, {logits, e, 0}});
    layer_run(layer->backward, (Kernel){KERNEL_FUSED, build->linear, {logits, e, e}});
    layer->saved_bytes = 4 * build->tokens;
    layer->backward_temporary_bytes = e * logits;
}

/* Composer's trainer (_train_microbatch): after backward, from the logits, which it keeps as
 * the model's output until then, by cross entropies that autocast computes in fp32. The first
 * layer's backward is the last. */
void layer_loss_metrics(ModelBuild *build, gint64 vocabulary, int n)
{
    if (n == 0)
        return;
    const guint head = build->model->layers->len - 2;
    Layer *logits = g_ptr_array_index(build->model->layers, head);
    Layer *last = g_ptr_array_index(build->model->layers, 0);
    const gint64 numel = build->tokens * vocabulary, e = dtype_bytes(build->linear);
    for (int i = 0; i < n; i++)
        layer_run(
            last->backward,
            (Kernel){KERNEL_CROSS_ENTROPY_FORWARD, build->linear, {build->tokens, vocabulary}});
    logits->saved_bytes -= e * numel;
    last->saved_bytes += e * numel;
    last->backward_temporary_bytes = MAX(last->backward_temporary_bytes, 8 * numel);
}

/* Autograd keeps the log-softmax; autocast computes it in fp32. */
void layer_class_cross_entropy(ModelBuild *build, gint64 rows, gint64 width)
{
    Layer *layer = layer_append(build, "loss", NULL);
    const gint64 tensor = rows * width * dtype_bytes(build->stream);
    layer_run(layer->forward, (Kernel){KERNEL_SOFTMAX_FORWARD, build->stream, {rows, width}});
    layer_run(layer->backward, (Kernel){KERNEL_SOFTMAX_BACKWARD, build->stream, {rows, width}});
    layer->saved_bytes = tensor;
    layer->backward_temporary_bytes = 2 * tensor;
}

void layer_mean_loss(ModelBuild *build, gint64 rows, gint64 width)
{
    Layer *layer = layer_append(build, "loss", NULL);
    gint64 tensor = rows * width * dtype_bytes(build->stream);
    layer_run(layer->forward, (Kernel){KERNEL_NORM, build->stream, {tensor}});
    layer_run(layer->backward, (Kernel){KERNEL_MEMSET, build->stream, {tensor}});
    layer->backward_temporary_bytes = tensor;
}
