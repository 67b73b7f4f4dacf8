/* SPDX-License-Identifier: MIT */
/* The attention core: the kernels between the projections, and what they keep. Fused kernels
 * (FlashAttention, PyTorch's SDPA, cuDNN) or score matrices in memory. SDPA with a mask that
 * isn't plainly causal (positions added to the scores, a sliding window) computes the whole
 * square, over keys and values repeated for every head, as transformers' sdpa_attention.py
 * passes them. Before transformers 4.56 it repeated them without a mask too, and made copies
 * of queries and of the output. FlashAttention skips what a window hides and adds ALiBi on the
 * fly. Left out: padding. */
#include "model_family.h"

static gboolean window_hides(const ModelBuild *build, const AttentionShape *s)
{
    return s->window > 0 && s->window < build->model->sequence_length;
}

/* SDPA has no argument for it but a mask of a number for every pair. */
static gboolean mask_in_memory(const ModelBuild *build, const AttentionShape *s)
{
    const Attention attention = build->options->attention;
    return (attention == ATTENTION_SDPA || attention == ATTENTION_SDPA_REPEAT ||
            attention == ATTENTION_CUDNN) &&
           (s->biased || window_hides(build, s));
}

/* repeat_kv of k and v. */
static void expand_kv(ModelBuild *build, const AttentionShape *s, Layer *layer)
{
    if (s->kv_heads == s->heads)
        return;
    const gint64 e = dtype_bytes(build->linear);
    const gint64 expanded = build->tokens * s->heads * s->head_dim * e;
    for (int i = 0; i < 2; i++) {
        layer_run(layer->forward, (Kernel){KERNEL_COPY, build->linear, {expanded}});
        layer_run(layer->backward, (Kernel){KERNEL_COPY, build->linear, {expanded}});
    }
    layer->saved_bytes += 2 * expanded - 2 * build->tokens * s->kv_heads * s->head_dim * e;
}

/* .contiguous() of what isn't repeated; and since the kernel's output has the layout of the
 * contiguous queries, a transposed copy of it, which the next linear keeps. */
static void copy_layouts(ModelBuild *build, const AttentionShape *s, Layer *layer)
{
    const gint64 q = build->tokens * s->heads * s->head_dim * dtype_bytes(build->linear);
    const int n_copies = s->kv_heads == s->heads ? 4 : 2;
    for (int i = 0; i < n_copies; i++)
        layer_run(layer->forward, (Kernel){KERNEL_COPY, build->linear, {q}});
    layer->saved_bytes += q;
}

static KernelOp fused_forward(Attention attention, gboolean windowed)
{
    if (attention == ATTENTION_CUDNN)
        return KERNEL_CUDNN_ATTENTION_FORWARD;
    if (windowed)
        return KERNEL_WINDOW_ATTENTION_FORWARD;
    return attention == ATTENTION_FLASH1 ? KERNEL_FLASH1_ATTENTION_FORWARD
                                         : KERNEL_ATTENTION_FORWARD;
}

static KernelOp fused_backward(Attention attention, gboolean windowed)
{
    if (attention == ATTENTION_CUDNN)
        return KERNEL_CUDNN_ATTENTION_BACKWARD;
    if (windowed)
        return KERNEL_WINDOW_ATTENTION_BACKWARD;
    return attention == ATTENTION_FLASH1 ? KERNEL_FLASH1_ATTENTION_BACKWARD
                                         : KERNEL_ATTENTION_BACKWARD;
}

/* flash-attn's bert_padding.py, as llm-foundry's flash_attn_fn calls it whether or not there is
 * padding: queries, keys and values are gathered, the output is scattered into zeros; backward
 * is the reverse of each, and puts the three gradients side by side again. */
static void unpadding(const ModelBuild *build, const AttentionShape *s, Layer *layer)
{
    const gint64 e = dtype_bytes(build->linear);
    const gint64 q = build->tokens * s->heads * s->head_dim * e;
    const gint64 k = build->tokens * s->kv_heads * s->head_dim * e;
    const gint64 parts[] = {q, k, k};
    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++) {
        layer_run(layer->forward, (Kernel){KERNEL_COPY, build->linear, {parts[i]}});
        layer_run(layer->backward, (Kernel){KERNEL_MEMSET, build->linear, {parts[i]}});
        layer_run(layer->backward, (Kernel){KERNEL_COPY, build->linear, {parts[i]}});
    }
    layer_run(layer->forward, (Kernel){KERNEL_MEMSET, build->linear, {q}});
    layer_run(layer->forward, (Kernel){KERNEL_COPY, build->linear, {q}});
    layer_run(layer->backward, (Kernel){KERNEL_COPY, build->linear, {q}});
    layer_run(layer->backward, (Kernel){KERNEL_COPY, build->linear, {q + 2 * k}});
    layer->saved_bytes += q; /* the output before it is scattered */
}

static void attention_fused(ModelBuild *build, const AttentionShape *s, Layer *layer)
{
    const Attention attention = build->options->attention;
    const gboolean masked = mask_in_memory(build, s);
    const gboolean windowed = !masked && window_hides(build, s);
    const gint64 seen = windowed ? s->window : s->causal && !masked;
    const gboolean repeated = attention == ATTENTION_SDPA_REPEAT;
    const gint64 kv_heads = masked || repeated ? s->heads : s->kv_heads;
    Kernel kernel = {fused_forward(attention, windowed),
                     build->linear,
                     {build->options->micro_batch, build->model->sequence_length, s->heads,
                      kv_heads, s->head_dim, seen}};
    layer_run(layer->forward, kernel);
    kernel.op = fused_backward(attention, windowed);
    layer_run(layer->backward, kernel);
    layer->saved_bytes += 4 * build->tokens * s->heads; /* fp32 logsumexp */
    /* dQ is summed up in fp32. */
    layer->backward_temporary_bytes += 4 * build->tokens * s->heads * s->head_dim;
    if (masked || repeated)
        expand_kv(build, s, layer);
    if (repeated)
        copy_layouts(build, s, layer);
    if (s->unpadded && (attention == ATTENTION_FLASH1 || attention == ATTENTION_FLASH2))
        unpadding(build, s, layer);
}

/* Softmax over the score matrix with its scaling and mask. */
static void eager_softmax(ModelBuild *build, gboolean in_fp32, gint64 rows, gint64 width,
                          Layer *layer)
{
    gint64 e = dtype_bytes(build->linear), bytes = rows * width * e;
    if (in_fp32) {
        layer_run(layer->forward,
                  (Kernel){KERNEL_SOFTMAX_FORWARD, build->linear, {rows, width}});
        layer_run(layer->backward,
                  (Kernel){KERNEL_SOFTMAX_BACKWARD, build->linear, {rows, width}});
        return;
    }
    for (int i = 0; i < 3; i++) /* scale, mask, softmax: each reads and writes the scores */
        layer_run(layer->forward, (Kernel){KERNEL_SCALE, build->linear, {bytes}});
    layer_run(layer->backward, (Kernel){KERNEL_ACCUMULATE, build->linear, {bytes}});
    layer_run(layer->backward, (Kernel){KERNEL_SCALE, build->linear, {bytes}});
}

static void eager_products(ModelBuild *build, const AttentionShape *s, Layer *layer)
{
    DType compute = build->linear;
    gint64 batch = build->options->micro_batch * s->heads, d = s->head_dim;
    gint64 n = build->model->sequence_length;
    const Kernel scores = {KERNEL_GEMM, compute, {batch, n, n, d, GEMM_TN}};
    const Kernel values = {KERNEL_GEMM, compute, {batch, n, d, n, GEMM_NN}};
    const Kernel keys = {KERNEL_GEMM, compute, {batch, n, d, n, GEMM_NT}};
    layer_run(layer->forward, scores);
    layer_run(layer->forward, values);
    layer_run(layer->backward, keys); /* of V */
    layer_run(layer->backward, scores);
    layer_run(layer->backward, values); /* of Q */
    layer_run(layer->backward, keys);
    gint64 output = build->tokens * s->heads * d * dtype_bytes(build->linear);
    layer_run(layer->forward,
              (Kernel){KERNEL_COPY, compute, {output}}); /* heads to the last axis */
    layer_run(layer->backward, (Kernel){KERNEL_COPY, compute, {output}});
}

/* Position biases are added to the scores; a soft cap divides, takes tanh, which is kept, and
 * multiplies. */
static void eager_scores(ModelBuild *build, const AttentionShape *s, gint64 rows, Layer *layer)
{
    const gint64 n = build->model->sequence_length, e = dtype_bytes(build->linear);
    if (s->biased)
        layer_run_elementwise(build, layer->forward, KERNEL_ADD, build->linear, rows, n);
    if (!s->softcap)
        return;
    for (int i = 0; i < 2; i++) {
        layer_run(layer->forward, (Kernel){KERNEL_SCALE, build->linear, {rows * n * e}});
        layer_run(layer->backward, (Kernel){KERNEL_SCALE, build->linear, {rows * n * e}});
    }
    layer_run_elementwise(build, layer->forward, KERNEL_TANH_FORWARD, build->linear, rows, n);
    layer_run_elementwise(build, layer->backward, KERNEL_TANH_BACKWARD, build->linear, rows, n);
    layer->saved_bytes += rows * n * e;
}

/* Score matrices in memory. Saved: the softmax's output, in fp32 plus the cast that enters the
 * product where softmax is computed in fp32; with dropout its output in place of that, and its
 * mask (Korthikanti et al. 2022: 2 + 2 + 1 bytes in 16 bits). */
static void attention_eager(ModelBuild *build, const AttentionShape *s, Layer *layer)
{
    gint64 e = dtype_bytes(build->linear), n = build->model->sequence_length;
    gint64 rows = build->tokens * s->heads, scores = rows * n;
    gboolean in_fp32 = s->softmax_fp32 || build->options->autocast;
    eager_products(build, s, layer);
    eager_scores(build, s, rows, layer);
    eager_softmax(build, in_fp32, rows, n, layer);
    gint64 saved = in_fp32 ? 4 + (e < 4 ? e : 0) : e;
    if (s->dropout > 0) {
        layer_run_elementwise(build, layer->forward, KERNEL_DROPOUT_FORWARD, build->linear,
                              rows, n);
        layer_run_elementwise(build, layer->backward, KERNEL_DROPOUT_BACKWARD, build->linear,
                              rows, n);
        saved = (in_fp32 ? 4 : e) + e + 1;
    }
    layer->saved_bytes += saved * scores;
    layer->forward_temporary_bytes += (in_fp32 ? e + 4 : e) * scores;
    layer->backward_temporary_bytes += (in_fp32 ? e + 4 : 2 * e) * scores;
    expand_kv(build, s, layer);
}

void layer_attention(ModelBuild *build, const char *name, const AttentionShape *s)
{
    Layer *layer = layer_append(build, name, NULL);
    gint64 e = dtype_bytes(build->linear);
    gint64 q = build->tokens * s->heads * s->head_dim * e;
    gint64 k = build->tokens * s->kv_heads * s->head_dim * e;
    layer->attention = TRUE;
    layer->saved_bytes = layer->recompute_saved_bytes = q + 2 * k;
    layer->forward_temporary_bytes = q;
    layer->backward_temporary_bytes = 2 * q + 2 * k;
    if (build->options->attention == ATTENTION_EAGER)
        attention_eager(build, s, layer);
    else
        attention_fused(build, s, layer);
}
