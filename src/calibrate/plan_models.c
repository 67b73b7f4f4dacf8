/* SPDX-License-Identifier: MIT */
/* The kernels of the shipped models, listed from their sizes so that the program runs on a
 * machine that has nothing but itself: models that many study whole, of all others the linear
 * layers and attention (plan_shapes.h). A test holds this against what the simulator lists for
 * workloads/models. */
#include "plan.h"
#include "plan_shapes.h"

#include <stddef.h>

typedef enum { FAMILY_LLAMA, FAMILY_GPT2, FAMILY_BERT } Family;

typedef struct {
    const char *name;
    Family family;
    int64_t hidden, inner, heads, kv_heads, head_dim, vocabulary, sequence;
} ModelSizes;

static const ModelSizes models[] = {
    {"llama-2-7b", FAMILY_LLAMA, 4096, 11008, 32, 32, 128, 32000, 4096},
    {"llama-3-8b", FAMILY_LLAMA, 4096, 14336, 32, 8, 128, 128256, 8192},
    {"gpt2-xl", FAMILY_GPT2, 1600, 6400, 25, 25, 64, 50257, 1024},
    {"gpt2", FAMILY_GPT2, 768, 3072, 12, 12, 64, 50257, 1024},
    {"bert-large", FAMILY_BERT, 1024, 4096, 16, 16, 64, 30522, 512},
    {"bert-base", FAMILY_BERT, 768, 3072, 12, 12, 64, 30522, 512},
    {"llama-2-13b", FAMILY_LLAMA, 5120, 13824, 40, 40, 128, 32000, 4096},
    {"llama-2-70b", FAMILY_LLAMA, 8192, 28672, 64, 8, 128, 32000, 4096},
    {"llama-3-70b", FAMILY_LLAMA, 8192, 28672, 64, 8, 128, 128256, 8192},
};

#define N_MODELS (sizeof models / sizeof *models)

/* Their memory-bound kernels are measured at one token count, late. */
static const ModelSizes further_models[] = {
    {"gpt2-medium", FAMILY_GPT2, 1024, 4096, 16, 16, 64, 50257, 1024},
    {"gpt2-large", FAMILY_GPT2, 1280, 5120, 20, 20, 64, 50257, 1024},
    {"llama-3.2-1b", FAMILY_LLAMA, 2048, 8192, 32, 8, 64, 128256, 4096},
    {"llama-3.2-3b", FAMILY_LLAMA, 3072, 8192, 24, 8, 128, 128256, 4096},
    {"mistral-7b", FAMILY_LLAMA, 4096, 14336, 32, 8, 128, 32000, 4096},
    {"tinyllama-1.1b", FAMILY_LLAMA, 2048, 5632, 32, 4, 64, 32000, 2048},
    {"llama-2-34b", FAMILY_LLAMA, 8192, 22016, 64, 8, 128, 32000, 4096},
};

#define N_FURTHER (sizeof further_models / sizeof *further_models)

static const int64_t usual_tokens[] = {4096, 8192, 2048, 16384};
static const int64_t all_tokens[] = {512, 1024, 2048, 4096, 8192, 16384, 32768};

#define N_USUAL (sizeof usual_tokens / sizeof *usual_tokens)
#define N_ALL (sizeof all_tokens / sizeof *all_tokens)

/* A linear layer in -> out over `tokens` rows: forward, gradient of its input and weight. */
static void add_linear(Plan *plan, int stage, Type type, int64_t tokens, int64_t in,
                       int64_t out, bool transposed)
{
    if (transposed) { /* transformers' Conv1D: the weight is stored as in x out */
        plan_add_kernel(plan, stage, "gemm", type, (int64_t[]){1, tokens, out, in, LAYOUT_NN});
        plan_add_kernel(plan, stage, "gemm", type, (int64_t[]){1, tokens, in, out, LAYOUT_TN});
        plan_add_kernel(plan, stage, "gemm", type, (int64_t[]){1, in, out, tokens, LAYOUT_NT});
        return;
    }
    plan_add_kernel(plan, stage, "gemm", type, (int64_t[]){1, tokens, out, in, LAYOUT_TN});
    plan_add_kernel(plan, stage, "gemm", type, (int64_t[]){1, tokens, in, out, LAYOUT_NN});
    plan_add_kernel(plan, stage, "gemm", type, (int64_t[]){1, out, in, tokens, LAYOUT_NT});
}

static void add_linears(Plan *plan, int stage, Type type, const ModelSizes *m, int64_t tokens)
{
    const int64_t h = m->hidden, q = m->heads * m->head_dim, k = m->kv_heads * m->head_dim;
    const bool transposed = m->family == FAMILY_GPT2;
    if (transposed) {
        add_linear(plan, stage, type, tokens, h, 3 * h, true);
    } else {
        add_linear(plan, stage, type, tokens, h, q, false);
        add_linear(plan, stage, type, tokens, h, k, false);
    }
    add_linear(plan, stage, type, tokens, q, h, transposed);
    add_linear(plan, stage, type, tokens, h, m->inner, transposed);
    add_linear(plan, stage, type, tokens, m->inner, h, transposed);
    if (m->family != FAMILY_BERT)
        add_linear(plan, stage, type, tokens, h, m->vocabulary, false);
}

#define N_SHIPPED_LINEARS (sizeof shipped_linears / sizeof *shipped_linears)
#define N_SHIPPED_ATTENTIONS (sizeof shipped_attentions / sizeof *shipped_attentions)

static void add_shipped_linears(Plan *plan, int stage, int64_t tokens)
{
    for (size_t i = 0; i < N_SHIPPED_LINEARS; i++) {
        const int64_t *shape = shipped_linears[i];
        add_linear(plan, stage, TYPE_BF16, tokens, shape[0], shape[1], shape[2] != 0);
    }
}

static void add_shipped_attention(Plan *plan, int stage, const int64_t *shape, int64_t tokens)
{
    const int64_t batch = shape[0] < tokens ? tokens / shape[0] : 1;
    const int64_t dimension[] = {batch, shape[0], shape[1], shape[2], shape[3], shape[4]};
    plan_add_kernel(plan, stage, "cudnn_attention_forward", TYPE_BF16, dimension);
    plan_add_kernel(plan, stage, "cudnn_attention_backward", TYPE_BF16, dimension);
}

/* Sequences of the model's own length, or one shorter than that. */
static int64_t sequence_for(const ModelSizes *m, int64_t tokens)
{
    return tokens < m->sequence ? tokens : m->sequence;
}

/* A model with learned positions adds the gradients of its sequences up first. */
static void add_embeddings(Plan *plan, int stage, Type type, const ModelSizes *m,
                           int64_t tokens)
{
    const int64_t h = m->hidden, s = sequence_for(m, tokens);
    plan_add_kernel(plan, stage, "embedding_forward", type, (int64_t[]){tokens, h});
    plan_add_kernel(plan, stage, "embedding_backward", type,
                    (int64_t[]){tokens, h, m->vocabulary});
    if (m->family == FAMILY_LLAMA)
        return;
    plan_add_kernel(plan, stage, "embedding_forward", type, (int64_t[]){s, h});
    plan_add_kernel(plan, stage, "embedding_backward", type, (int64_t[]){s, h, m->sequence});
    if (s < tokens)
        plan_add_kernel(plan, stage, "column_sum", type, (int64_t[]){tokens / s, s * h});
    if (m->family == FAMILY_BERT)
        plan_add_kernel(plan, stage, "embedding_backward", type, (int64_t[]){tokens, h, 2});
}

static void add_pair(Plan *plan, int stage, const char *forward, const char *backward,
                     Type type, int64_t rows, int64_t width)
{
    plan_add_kernel(plan, stage, forward, type, (int64_t[]){rows, width});
    plan_add_kernel(plan, stage, backward, type, (int64_t[]){rows, width});
}

static void add_llama_elementwise(Plan *plan, int stage, Type stream, Type linear,
                                  const ModelSizes *m, int64_t t)
{
    const int64_t rope = (m->heads + m->kv_heads) * m->head_dim;
    add_pair(plan, stage, "rmsnorm_python_forward", "rmsnorm_python_backward", stream, t,
             m->hidden);
    add_pair(plan, stage, "rope_forward", "rope_backward", stream, t, rope);
    add_pair(plan, stage, "swiglu_forward", "swiglu_backward", linear, t, m->inner);
    if (stream == linear)
        add_pair(plan, stage, "rmsnorm_forward", "rmsnorm_backward", stream, t, m->hidden);
}

static void add_gpt_elementwise(Plan *plan, int stage, Type stream, Type linear,
                                const ModelSizes *m, int64_t t)
{
    const bool python = m->family == FAMILY_GPT2;
    add_pair(plan, stage, "layernorm_forward", "layernorm_backward", stream, t, m->hidden);
    add_pair(plan, stage, python ? "gelu_python_forward" : "gelu_forward",
             python ? "gelu_python_backward" : "gelu_backward", python ? stream : linear, t,
             m->inner);
    add_pair(plan, stage, "dropout_forward", "dropout_backward", linear, t, m->hidden);
    add_pair(plan, stage, "dropout_forward", "dropout_backward", stream, t, m->hidden);
    const int64_t outputs[] = {m->hidden, m->inner, 3 * m->hidden};
    for (int i = 0; i < (python ? 3 : 2); i++)
        plan_add_kernel(plan, stage, "column_sum", linear, (int64_t[]){t, outputs[i]});
}

/* `stream` is the residual stream's type, fp32 under autocast. */
static void add_elementwise(Plan *plan, int stage, Type stream, Type linear,
                            const ModelSizes *m, int64_t t)
{
    plan_add_kernel(plan, stage, "add", stream, (int64_t[]){t, m->hidden});
    if (m->family == FAMILY_LLAMA)
        add_llama_elementwise(plan, stage, stream, linear, m, t);
    else
        add_gpt_elementwise(plan, stage, stream, linear, m, t);
    if (m->family != FAMILY_BERT)
        add_pair(plan, stage, "cross_entropy_forward", "cross_entropy_backward", linear, t,
                 m->vocabulary);
    add_embeddings(plan, stage, stream, m, t);
}

/* Of one tensor, each way; autocast's casts have their own names for what they read and write.
 */
static void add_cast(Plan *plan, int stage, int64_t elements)
{
    plan_add_kernel(plan, stage, "cast", TYPE_FP32, (int64_t[]){elements, 4, 2});
    plan_add_kernel(plan, stage, "cast", TYPE_FP32, (int64_t[]){elements, 2, 4});
}

static void add_casts(Plan *plan, int stage, const ModelSizes *m, int64_t t)
{
    const int64_t q = m->heads * m->head_dim, k = m->kv_heads * m->head_dim;
    const int64_t elements[] = {t * m->hidden,
                                t * m->inner,
                                m->hidden * q,
                                m->hidden * k,
                                t * (q + k),
                                m->hidden * m->inner,
                                3 * m->hidden * m->hidden};
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++)
        add_cast(plan, stage, elements[i]);
    if (m->family != FAMILY_BERT)
        add_cast(plan, stage, m->hidden * m->vocabulary);
}

void plan_models_usual(Plan *plan, int stage)
{
    for (size_t t = 0; t < N_USUAL; t++)
        for (size_t i = 0; i < N_MODELS; i++)
            add_linears(plan, stage, TYPE_BF16, &models[i], usual_tokens[t]);
}

static void add_attention(Plan *plan, int stage, const ModelSizes *m, int64_t tokens)
{
    const int64_t s = sequence_for(m, tokens);
    const int64_t shape[] = {tokens / s,  s,           m->heads,
                             m->kv_heads, m->head_dim, m->family != FAMILY_BERT};
    plan_add_kernel(plan, stage, "cudnn_attention_forward", TYPE_BF16, shape);
    plan_add_kernel(plan, stage, "cudnn_attention_backward", TYPE_BF16, shape);
}

void plan_models_attention(Plan *plan, int stage)
{
    for (size_t t = 0; t < N_USUAL; t++)
        for (size_t i = 0; i < N_MODELS; i++)
            add_attention(plan, stage, &models[i], usual_tokens[t]);
}

void plan_models_further(Plan *plan, int stage)
{
    add_shipped_linears(plan, stage, 4096);
    for (size_t i = 0; i < N_SHIPPED_ATTENTIONS; i++)
        add_shipped_attention(plan, stage, shipped_attentions[i], 4096);
    for (size_t i = 0; i < N_FURTHER; i++)
        add_elementwise(plan, stage, TYPE_BF16, TYPE_BF16, &further_models[i], 4096);
}

/* By use again at each count, from the most usual counts to the rarest. */
void plan_models_shipped(Plan *plan, int stage)
{
    static const int64_t tokens[] = {8192, 2048, 16384, 1024, 512, 32768};
    for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++)
        add_shipped_linears(plan, stage, tokens[t]);
}

void plan_models_elementwise(Plan *plan, int stage)
{
    for (size_t t = 0; t < N_USUAL; t++)
        for (size_t i = 0; i < N_MODELS; i++)
            add_elementwise(plan, stage, TYPE_BF16, TYPE_BF16, &models[i], usual_tokens[t]);
}

void plan_models_all_tokens(Plan *plan, int stage)
{
    for (size_t t = 0; t < N_ALL; t++)
        for (size_t i = 0; i < N_MODELS; i++) {
            add_linears(plan, stage, TYPE_BF16, &models[i], all_tokens[t]);
            add_elementwise(plan, stage, TYPE_BF16, TYPE_BF16, &models[i], all_tokens[t]);
        }
}

void plan_models_autocast(Plan *plan, int stage)
{
    for (size_t t = 0; t < N_USUAL; t++)
        for (size_t i = 0; i < N_MODELS; i++) {
            add_elementwise(plan, stage, TYPE_FP32, TYPE_BF16, &models[i], usual_tokens[t]);
            add_casts(plan, stage, &models[i], usual_tokens[t]);
        }
}

/* Products of scores and values, forward and backward, and the softmax between them. */
void plan_models_eager(Plan *plan, int stage)
{
    for (size_t i = 0; i < N_MODELS; i++) {
        const ModelSizes *m = &models[i];
        const int64_t s = sequence_for(m, 2048), n = 4096 / s * m->heads, d = m->head_dim;
        plan_add_kernel(plan, stage, "gemm", TYPE_BF16, (int64_t[]){n, s, s, d, LAYOUT_TN});
        plan_add_kernel(plan, stage, "gemm", TYPE_BF16, (int64_t[]){n, s, d, s, LAYOUT_NN});
        plan_add_kernel(plan, stage, "gemm", TYPE_BF16, (int64_t[]){n, s, d, s, LAYOUT_NT});
        add_pair(plan, stage, "softmax_forward", "softmax_backward", TYPE_BF16, n * s, s);
        if (m->family != FAMILY_LLAMA)
            add_pair(plan, stage, "dropout_forward", "dropout_backward", TYPE_BF16, n * s, s);
    }
}

void plan_models_types(Plan *plan, int stage)
{
    static const Type types[] = {TYPE_FP8, TYPE_TF32, TYPE_FP16, TYPE_FP32};
    for (size_t j = 0; j < sizeof types / sizeof *types; j++)
        for (size_t i = 0; i < N_MODELS; i++)
            add_linears(plan, stage, types[j], &models[i], 4096);
}

/* The loop itself takes a second; the rest is filling and settling. */
#define SUSTAINED_ESTIMATE_S 1.4

static void add_sustained(Plan *plan, int stage, const char *op, Type type,
                          const int64_t *dimension)
{
    Measurement m = {.kind = MEASURE_SUSTAINED,
                     .op = plan_op_find(op),
                     .type = type,
                     .stage = stage,
                     .estimate_s = SUSTAINED_ESTIMATE_S};
    for (size_t i = 0; i < plan_n_dimensions(m.op); i++)
        m.dimension[i] = dimension[i];
    plan_add(plan, &m);
}

/* One model a size class: forward of its widest and of its square layer, and the gradients of
 * the widest; the other shapes take the ratio of these to their bursts. */
void plan_models_sustained(Plan *plan, int stage)
{
    for (size_t i = 0; i < N_MODELS; i++) {
        const ModelSizes *m = &models[i];
        const int64_t t = 8192, h = m->hidden, f = m->inner, s = sequence_for(m, t);
        const int64_t shape[] = {t / s,       s,           m->heads,
                                 m->kv_heads, m->head_dim, m->family != FAMILY_BERT};
        const bool transposed = m->family == FAMILY_GPT2;
        const int64_t forward = transposed ? LAYOUT_NN : LAYOUT_TN;
        const int64_t input = transposed ? LAYOUT_TN : LAYOUT_NN;
        const int64_t rows = transposed ? h : f, columns = transposed ? f : h;
        add_sustained(plan, stage, "gemm", TYPE_BF16, (int64_t[]){1, t, f, h, forward});
        add_sustained(plan, stage, "gemm", TYPE_BF16, (int64_t[]){1, t, h, f, input});
        add_sustained(plan, stage, "gemm", TYPE_BF16,
                      (int64_t[]){1, rows, columns, t, LAYOUT_NT});
        add_sustained(plan, stage, "cudnn_attention_forward", TYPE_BF16, shape);
        add_sustained(plan, stage, "cudnn_attention_backward", TYPE_BF16, shape);
    }
}

/* Forward of a whole layer, to be compared with the sum of its kernels. */
void plan_models_chains(Plan *plan, int stage)
{
    for (size_t i = 0; i < N_MODELS; i++) {
        const ModelSizes *m = &models[i];
        const Measurement chain = {
            .kind = MEASURE_CHAIN,
            .op = plan_op_find("layer_forward"),
            .type = TYPE_BF16,
            .dimension = {4096, m->hidden, m->inner, m->heads * m->head_dim,
                          m->kv_heads * m->head_dim, m->family == FAMILY_LLAMA},
            .stage = stage,
            .estimate_s = 0.4,
        };
        plan_add(plan, &chain);
    }
}
