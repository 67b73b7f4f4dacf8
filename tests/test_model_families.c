/* SPDX-License-Identifier: MIT */
/* The families beside GPT-2, Llama and BERT, as shipped: totals to the digit, every parameter
 * in its layer, the operations of their products, and what each family's peculiarities cost:
 * tied embeddings, parallel blocks, windows, experts, head dimensions that aren't hidden /
 * heads. */
#include "model.h"
#include "shipped_models.h"
#include "suite_run.h"

#include <check.h>
#include <string.h>

static const ModelOptions bf16 = {.micro_batch = 2,
                                  .sequence_length = 0,
                                  .parameter = DTYPE_BF16,
                                  .compute = DTYPE_BF16,
                                  .attention = ATTENTION_FLASH2,
                                  .dropout = 0};

static Model *load(const char *name, const ModelOptions *options)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    Model *model = shipped_model(name, options, warnings);
    ck_assert_msg(warnings->len == 0, "%s", (char *)g_ptr_array_index(warnings, 0));
    return model;
}

/* As Hugging Face and torchvision report them; MPT, OPT-66B and GPT by their formulas. The
 * llm-foundry models have a table of 2048 positions here. */
static const struct {
    const char *name;
    gint64 total;
} totals[] = {
    {"bert-base-mlm", G_GINT64_CONSTANT(109514298)},
    {"bloom-176b", G_GINT64_CONSTANT(176247271424)},
    {"bloom-560m", G_GINT64_CONSTANT(559214592)},
    {"bloom-7b1", G_GINT64_CONSTANT(7069016064)},
    {"falcon-40b", G_GINT64_CONSTANT(41303293952)},
    {"falcon-7b", G_GINT64_CONSTANT(6921720704)},
    {"flan-t5-base", G_GINT64_CONSTANT(247577856)},
    {"gemma-2-27b", G_GINT64_CONSTANT(27227128320)},
    {"gemma-2-2b", G_GINT64_CONSTANT(2614341888)},
    {"gemma-2-9b", G_GINT64_CONSTANT(9241705984)},
    {"gpt-10b", G_GINT64_CONSTANT(10279239680)},
    {"gpt-126m", G_GINT64_CONSTANT(125262336)},
    {"gpt-18b", G_GINT64_CONSTANT(18437959680)},
    {"gpt-1t", G_GINT64_CONSTANT(1008008038400)},
    {"gpt-j-6b", G_GINT64_CONSTANT(6050882784)},
    {"gpt-neo-1.3b", G_GINT64_CONSTANT(1315575808)},
    {"gpt-neo-125m", G_GINT64_CONSTANT(125198592)},
    {"gpt-neo-2.7b", G_GINT64_CONSTANT(2651307520)},
    {"gpt-neox-20b", G_GINT64_CONSTANT(20554567680)},
    {"gpt2-1.5b", G_GINT64_CONSTANT(1557686400)},
    {"gpt2-large", G_GINT64_CONSTANT(774030080)},
    {"gpt2-medium", G_GINT64_CONSTANT(354823168)},
    {"gpt3-175b", G_GINT64_CONSTANT(174604836864)},
    {"gpt3-5b", G_GINT64_CONSTANT(5047558144)},
    {"llama-2-34b", G_GINT64_CONSTANT(33743970304)},
    {"llama-3.1-405b", G_GINT64_CONSTANT(405853388800)},
    {"llama-3.2-1b", G_GINT64_CONSTANT(1235814400)},
    {"llama-3.2-3b", G_GINT64_CONSTANT(3212749824)},
    {"llm-foundry-mpt-125m", G_GINT64_CONSTANT(125311488)},
    {"llm-foundry-mpt-13b", G_GINT64_CONSTANT(12853954560)},
    {"llm-foundry-mpt-1b", G_GINT64_CONSTANT(1315950592)},
    {"llm-foundry-mpt-30b", G_GINT64_CONSTANT(29975214080)},
    {"llm-foundry-mpt-350m", G_GINT64_CONSTANT(355985408)},
    {"llm-foundry-mpt-3b", G_GINT64_CONSTANT(2651837440)},
    {"llm-foundry-mpt-70b", G_GINT64_CONSTANT(64862437376)},
    {"llm-foundry-mpt-760m", G_GINT64_CONSTANT(760470528)},
    {"llm-foundry-mpt-7b", G_GINT64_CONSTANT(6658859008)},
    {"mistral-7b", G_GINT64_CONSTANT(7241732096)},
    {"mixtral-8x22b", G_GINT64_CONSTANT(140620634112)},
    {"mixtral-8x7b", G_GINT64_CONSTANT(46702792704)},
    {"mpt-30b", G_GINT64_CONSTANT(29957200896)},
    {"mpt-7b", G_GINT64_CONSTANT(6649286656)},
    {"opt-1.3b", G_GINT64_CONSTANT(1315758080)},
    {"opt-125m", G_GINT64_CONSTANT(125239296)},
    {"opt-13b", G_GINT64_CONSTANT(12853473280)},
    {"opt-30b", G_GINT64_CONSTANT(29974540288)},
    {"opt-350m", G_GINT64_CONSTANT(331196416)},
    {"opt-6.7b", G_GINT64_CONSTANT(6658473984)},
    {"opt-66b", G_GINT64_CONSTANT(65719701504)},
    {"phi-1.5", G_GINT64_CONSTANT(1418270720)},
    {"phi-2", G_GINT64_CONSTANT(2779683840)},
    {"phi-3-medium", G_GINT64_CONSTANT(13960238080)},
    {"phi-3-mini", G_GINT64_CONSTANT(3821079552)},
    {"pythia-160m", G_GINT64_CONSTANT(162322944)},
    {"pythia-6.9b", G_GINT64_CONSTANT(6857302016)},
    {"qwen2-0.5b", G_GINT64_CONSTANT(494032768)},
    {"qwen2-72b", G_GINT64_CONSTANT(72706203648)},
    {"qwen2-7b", G_GINT64_CONSTANT(7615616512)},
    {"qwen2.5-32b", G_GINT64_CONSTANT(32763876352)},
    {"qwen3-0.6b", G_GINT64_CONSTANT(596049920)},
    {"qwen3-32b", G_GINT64_CONSTANT(32762123264)},
    {"qwen3-4b", G_GINT64_CONSTANT(4022468096)},
    {"qwen3-8b", G_GINT64_CONSTANT(8190735360)},
    {"resnet101", G_GINT64_CONSTANT(44549160)},
    {"resnet152", G_GINT64_CONSTANT(60192808)},
    {"resnet18", G_GINT64_CONSTANT(11689512)},
    {"resnet50", G_GINT64_CONSTANT(25557032)},
    {"roberta-base", G_GINT64_CONSTANT(124645632)},
    {"roberta-base-mlm", G_GINT64_CONSTANT(124697433)},
    {"roberta-large", G_GINT64_CONSTANT(355359744)},
    {"t5-11b", G_GINT64_CONSTANT(11307321344)},
    {"t5-3b", G_GINT64_CONSTANT(2851598336)},
    {"t5-base", G_GINT64_CONSTANT(222903552)},
    {"t5-large", G_GINT64_CONSTANT(737668096)},
    {"t5-small", G_GINT64_CONSTANT(60506624)},
    {"tinyllama-1.1b", G_GINT64_CONSTANT(1100048384)},
    {"vgg16", G_GINT64_CONSTANT(138357544)},
    {"vit-b-16", G_GINT64_CONSTANT(86389248)},
    {"vit-b-16-classifier", G_GINT64_CONSTANT(86567656)},
    {"vit-l-16-classifier", G_GINT64_CONSTANT(304326632)},
};

START_TEST(test_totals)
{
    g_autoptr(Model) model = load(totals[_i].name, &bf16);
    ck_assert_int_eq(model->n_parameters, totals[_i].total);
    ck_assert_str_eq(model->name, totals[_i].name);
}
END_TEST

/* Every parameter is in a layer; blocks come in order and are all there; the loss is last; the
 * layers with parameters compute 2 operations a weight and token forward, but for tables. */
START_TEST(test_layers_cover_parameters)
{
    g_autoptr(Model) model = load(totals[_i].name, &bf16);
    g_autofree int *seen = g_new0(int, model->parameters->len);
    int block = -1;
    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        ck_assert_int_ge(layer->block, block);
        ck_assert_int_le(layer->block, block + 1);
        block = layer->block;
        ck_assert(layer->saved_bytes >= 0 && layer->forward_temporary_bytes >= 0 &&
                  layer->backward_temporary_bytes >= 0);
        ck_assert(layer->forward->len > 0 && layer->backward->len > 0);
        for (int j = 0; j < layer->n_parameters; j++)
            seen[layer->parameters[j]]++;
    }
    ck_assert_int_eq(block, model->n_blocks);
    for (guint i = 0; i < model->parameters->len; i++)
        ck_assert_msg(seen[i] >= 1 && seen[i] <= 3, "%s is in %d layers",
                      model_parameter(model, (int)i)->name, seen[i]);
    ck_assert_str_eq(model_layer(model, (int)model->layers->len - 1)->name, "loss");
}
END_TEST

static double flops(const Model *model, gboolean backward, gboolean products)
{
    double sum = 0;
    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        const GArray *kernels = backward ? layer->backward : layer->forward;
        for (guint j = 0; j < kernels->len; j++) {
            const Kernel *kernel = &g_array_index(kernels, Kernel, j);
            sum += (kernel->op == KERNEL_GEMM) == products ? kernel_flops(kernel) : 0;
        }
    }
    return sum;
}

/* 2 operations a token for each weight of a matrix that it is multiplied with: all but tables,
 * norms and biases; a tied head counts its table. `weights` by the families' own formulas. */
static const struct {
    const char *name;
    double weights;
} products[] = {
    {"gpt-neo-1.3b", 24 * 12 * 2048.0 * 2048 + 50257 * 2048.0},
    {"pythia-6.9b", 32 * 12 * 4096.0 * 4096 + 50432 * 4096.0},
    {"gpt-j-6b", 28 * 12 * 4096.0 * 4096 + 50400 * 4096.0},
    {"opt-350m", 24 * 12 * 1024.0 * 1024 + 50272 * 512.0 + 2 * 512 * 1024.0},
    {"mpt-7b", 32 * 12 * 4096.0 * 4096 + 50432 * 4096.0},
    {"bloom-560m", 24 * 12 * 1024.0 * 1024 + 250880 * 1024.0},
    {"mistral-7b",
     32 * (2.0 * 4096 * 4096 + 2 * 4096 * 1024 + 3.0 * 4096 * 14336) + 32000 * 4096.0},
    /* two of eight experts, and the router */
    {"mixtral-8x7b",
     32 * (2.0 * 4096 * 4096 + 2 * 4096 * 1024 + 6.0 * 4096 * 14336 + 8 * 4096) +
         32000 * 4096.0},
    {"qwen2-0.5b", 24 * (2.0 * 896 * 896 + 2 * 896 * 128 + 3 * 896 * 4864.0) + 151936 * 896.0},
    /* 16 heads of 128 are twice the width */
    {"qwen3-0.6b",
     28 * (2.0 * 1024 * 2048 + 2 * 1024 * 1024 + 3 * 1024 * 3072.0) + 151936 * 1024.0},
    {"gemma-2-9b",
     42 * (2.0 * 3584 * 4096 + 2 * 3584 * 2048 + 3.0 * 3584 * 14336) + 256000 * 3584.0},
    {"phi-2", 32 * 12 * 2560.0 * 2560 + 51200 * 2560.0},
    {"phi-3-mini", 32 * (4.0 * 3072 * 3072 + 3 * 3072 * 8192.0) + 32064 * 3072.0},
    {"falcon-7b", 32 * (4544 * 73 * 64.0 + 9 * 4544.0 * 4544) + 65024 * 4544.0},
    {"falcon-40b", 60 * (8192 * 144 * 64.0 + 9 * 8192.0 * 8192) + 65024 * 8192.0},
    {"t5-base", 12 * (3 * 4 * 768 * 768.0 + 4 * 768 * 3072.0) + 32128 * 768.0},
    {"flan-t5-base", 12 * (3 * 4 * 768 * 768.0 + 6 * 768 * 2048.0) + 32128 * 768.0},
};

START_TEST(test_products_are_those_of_the_weights)
{
    g_autoptr(Model) model = load(products[_i].name, &bf16);
    const double tokens = 2.0 * (double)model->sequence_length;
    const double expected = 2 * tokens * products[_i].weights;
    ck_assert_double_eq_tol(flops(model, FALSE, TRUE) / expected, 1, 1e-9);
    ck_assert_double_eq_tol(flops(model, TRUE, TRUE) / expected, 2, 1e-9);
}
END_TEST

static const Layer *find_layer(const Model *model, const char *name)
{
    for (guint i = 0; i < model->layers->len; i++)
        if (strcmp(model_layer(model, (int)i)->name, name) == 0)
            return model_layer(model, (int)i);
    ck_abort_msg("no layer %s", name);
}

static const Kernel *first_kernel(const Layer *layer)
{
    return &g_array_index(layer->forward, Kernel, 0);
}

/* Beyond its window a layer's attention costs less under FlashAttention, and all of the square
 * under SDPA, which gets a mask; within the window it is the plain causal kernel. */
START_TEST(test_sliding_window)
{
    ModelOptions options = bf16;
    options.sequence_length = 8192;
    g_autoptr(Model) mistral = load("mistral-7b", &options);
    const Layer *core = find_layer(mistral, "model.layers.0.self_attn");
    ck_assert_int_eq(first_kernel(core)->op, KERNEL_WINDOW_ATTENTION_FORWARD);
    ck_assert_int_eq(first_kernel(core)->dimension[5], 4096);
    const double pairs = 4096.0 * 8192 - 4096.0 * 4095 / 2;
    ck_assert_double_eq(kernel_flops(first_kernel(core)), 4 * 2 * pairs * 32 * 128);
    ck_assert_int_eq(core->recompute_saved_bytes, 2 * 8192 * 2 * (4096 + 2 * 1024));

    options.attention = ATTENTION_SDPA;
    g_autoptr(Model) masked = load("mistral-7b", &options);
    core = find_layer(masked, "model.layers.0.self_attn");
    ck_assert_double_eq(kernel_flops(first_kernel(core)), 4.0 * 2 * 8192 * 8192 * 32 * 128);
    ck_assert_int_eq(core->saved_bytes, 2 * 8192 * (2 * 3 * 4096 + 4 * 32));

    options.sequence_length = 4096;
    g_autoptr(Model) within = load("mistral-7b", &options);
    core = find_layer(within, "model.layers.0.self_attn");
    ck_assert_int_eq(first_kernel(core)->op, KERNEL_ATTENTION_FORWARD);
    ck_assert_int_eq(first_kernel(core)->dimension[5], 1);
}
END_TEST

/* Gemma 2 and GPT-Neo alternate: even layers of the one and odd of the other are local. */
START_TEST(test_alternating_windows)
{
    ModelOptions options = bf16;
    options.sequence_length = 8192;
    g_autoptr(Model) gemma = load("gemma-2-2b", &options);
    ck_assert_int_eq(first_kernel(find_layer(gemma, "model.layers.0.self_attn"))->op,
                     KERNEL_WINDOW_ATTENTION_FORWARD);
    ck_assert_int_eq(first_kernel(find_layer(gemma, "model.layers.1.self_attn"))->op,
                     KERNEL_ATTENTION_FORWARD);
    options.sequence_length = 2048;
    g_autoptr(Model) neo = load("gpt-neo-125m", &options);
    ck_assert_int_eq(first_kernel(find_layer(neo, "transformer.h.0.attn"))->op,
                     KERNEL_ATTENTION_FORWARD);
    ck_assert_int_eq(first_kernel(find_layer(neo, "transformer.h.1.attn"))->dimension[5], 256);
}
END_TEST

/* PaLM's 6 N counts the experts that a token goes through. */
START_TEST(test_experts_not_chosen_do_not_compute)
{
    ModelOptions options = bf16;
    options.sequence_length = 4096;
    g_autoptr(Model) model = load("mixtral-8x7b", &options);
    const double idle = 32 * 6 * 3.0 * 4096 * 14336;
    ck_assert_double_eq(model->flops_per_token,
                        6 * (46702792704.0 - idle) + 12 * 32 * 4096.0 * 4096);
    const Layer *up = find_layer(model, "model.layers.0.block_sparse_moe.experts.7.w3");
    ck_assert_int_eq(first_kernel(up)->dimension[1], 2 * 4096 * 2 / 8);
}
END_TEST

/* Bytes a token and block, dropout off, FlashAttention, bf16: h for hidden, k for kv_heads x
 * head_dim, q for heads x head_dim, f, a. From transformers' and llm-foundry's modelling code:
 * a native norm keeps 2 h and gives the linear's 2 h; LlamaRMSNorm 8 h, Gemma's 10 h; q and
 * output of attention 2 q each, k and v 2 k each; 4 a of logsumexp. */
static const struct {
    const char *name;
    double h, q, k, f, a;
} saved[] = {
    /* two norms, both linears' inputs 4 h, q k v out, gelu input and output */
    {"mpt-7b", 8, 6, 4, 4, 4}, /* attention's output also before padding is put back */
    {"bloom-560m", 8, 4, 4, 4, 4},
    {"opt-125m", 8, 4, 4, 2, 4},      /* relu keeps its output, fc2's input */
    {"gpt-neo-1.3b", 8, 4, 4, 10, 4}, /* gelu_new in Python: 8 f and the output */
    {"pythia-6.9b", 6, 4, 4, 4, 4},   /* two norms keep one input */
    {"gpt-j-6b", 4, 4, 4, 10, 4},     /* one norm, one input */
    {"phi-2", 4, 4, 4, 10, 4},
    {"falcon-7b", 4, 4, 4, 4, 4},
    {"falcon-40b", 6, 4, 4, 4, 4},
    {"mistral-7b", 16, 4, 4, 8, 4},
    {"phi-3-mini", 16, 4, 4, 8, 4},
    {"qwen2-7b", 16, 4, 4, 8, 4},
    {"qwen3-8b", 16, 10, 10, 8, 4}, /* norms of q and k: 6 q and 6 k */
    /* post norms' outputs go into the sum: 8 h each without the next linear's input */
    {"gemma-2-9b", 36, 4, 4, 8, 4},
};

START_TEST(test_saved_bytes_of_a_block)
{
    ModelOptions options = bf16;
    options.sequence_length = 256;
    g_autoptr(Model) model = load(saved[_i].name, &options);
    double bytes = 0, q = 0, k = 0, a = 0, f = 0;
    const double h = (double)model->hidden_size;
    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        const Kernel *kernel = first_kernel(layer);
        if (layer->block != 1)
            continue;
        bytes += (double)layer->saved_bytes;
        if (layer->attention) {
            a = (double)kernel->dimension[2];
            q = a * (double)kernel->dimension[4];
            k = (double)(kernel->dimension[3] * kernel->dimension[4]);
        }
        if (g_str_has_suffix(layer->name, "act_fn"))
            f = (double)kernel->dimension[1];
    }
    const double expected = 512 * (saved[_i].h * h + saved[_i].q * q + saved[_i].k * k +
                                   saved[_i].f * f + saved[_i].a * a);
    ck_assert_msg(bytes == expected, "%s: %.0f bytes a block, not %.0f: %g h more",
                  saved[_i].name, bytes, expected, (bytes - expected) / 512 / h);
}
END_TEST

/* What a block's forward keeps with its own output, in units of hidden states in 16 bits, as
 * measured with transformers 4.5x (Stas Bekman, Machine Learning Engineering, July 2025):
 * keys and values repeated, the output twice. */
static const struct {
    const char *name;
    double states;
} measured[] = {
    {"llama-3-8b", 28.0}, {"mistral-7b", 28.0}, {"qwen3-8b", 29.8}, {"qwen3-4b", 38.0}};

static double saved_states_of_a_block(const char *name, Attention attention)
{
    ModelOptions options = bf16;
    options.sequence_length = 256;
    options.attention = attention;
    g_autoptr(Model) model = load(name, &options);
    gint64 bytes = 0;
    for (guint i = 0; i < model->layers->len; i++)
        bytes += model_layer(model, (int)i)->block == 1
                     ? model_layer(model, (int)i)->saved_bytes
                     : 0;
    return (double)bytes / (2 * 256) / (2 * (double)model->hidden_size);
}

START_TEST(test_repeated_keys_and_values)
{
    const double states = saved_states_of_a_block(measured[_i].name, ATTENTION_SDPA_REPEAT) + 1;
    ck_assert_msg(ABS(states / measured[_i].states - 1) < 0.01, "%s: %g, not %g",
                  measured[_i].name, states, measured[_i].states);
    ck_assert_double_gt(states - 2, saved_states_of_a_block(measured[_i].name, ATTENTION_SDPA));
}
END_TEST

/* A null max_seq_len follows the sequences, and with it the table of positions. */
START_TEST(test_positions_follow_the_sequence)
{
    ModelOptions options = bf16;
    options.sequence_length = 512;
    g_autoptr(Model) model = load("llm-foundry-mpt-7b", &options);
    ck_assert_int_eq(model->n_parameters, G_GINT64_CONSTANT(6652567552));
    options.sequence_length = 8192;
    g_autoptr(Model) longer = load("llm-foundry-mpt-7b", &options);
    ck_assert_int_eq(longer->n_parameters, G_GINT64_CONSTANT(6652567552) + (8192 - 512) * 4096);
}
END_TEST

/* LPLayerNorm gives 16 bits under autocast too: what follows casts no input of its own. */
START_TEST(test_low_precision_norm_under_autocast)
{
    ModelOptions options = bf16;
    options.autocast = TRUE;
    options.parameter = DTYPE_FP32;
    g_autoptr(Model) mpt = load("mpt-7b", &options);
    g_autoptr(Model) bloom = load("bloom-560m", &options);
    const Layer *low = find_layer(mpt, "transformer.blocks.0.norm_1");
    const Layer *native = find_layer(bloom, "transformer.h.0.input_layernorm");
    ck_assert_int_eq(low->saved_bytes, 2 * 2 * 2048 * 4096);
    ck_assert_int_eq(native->saved_bytes, 4 * 2 * 2048 * 1024);
    const Layer *linear = find_layer(mpt, "transformer.blocks.0.attn.Wqkv");
    ck_assert_int_eq(linear->forward->len, 2); /* the weight's cast, the product */
}
END_TEST

/* Sequences and classes of images; a length asked for must be theirs. */
START_TEST(test_vit_sequence)
{
    g_autoptr(Model) model = load("vit-b-16-classifier", &bf16);
    ck_assert_int_eq(model->sequence_length, 197);
    const double body = 12 * 12 * 768.0 * 768, patches = 196 * 768.0 * 768;
    ck_assert_double_eq_tol(flops(model, FALSE, TRUE), 2 * 2 * (197 * body + 768.0 * 1000),
                            1e6);
    ck_assert_double_eq_tol(flops(model, FALSE, FALSE) - 4.0 * 2 * 12 * 197 * 197 * 768,
                            2 * 2 * patches, 1e6);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_totals, 0, G_N_ELEMENTS(totals));
    tcase_add_loop_test(tcase, test_layers_cover_parameters, 0, G_N_ELEMENTS(totals));
    tcase_add_loop_test(tcase, test_products_are_those_of_the_weights, 0,
                        G_N_ELEMENTS(products));
    tcase_add_test(tcase, test_sliding_window);
    tcase_add_test(tcase, test_alternating_windows);
    tcase_add_test(tcase, test_experts_not_chosen_do_not_compute);
    tcase_add_loop_test(tcase, test_saved_bytes_of_a_block, 0, G_N_ELEMENTS(saved));
    tcase_add_loop_test(tcase, test_repeated_keys_and_values, 0, G_N_ELEMENTS(measured));
    tcase_add_test(tcase, test_positions_follow_the_sequence);
    tcase_add_test(tcase, test_low_precision_norm_under_autocast);
    tcase_add_test(tcase, test_vit_sequence);
}

int main(void)
{
    Suite *suite = suite_create("model_families");
    TCase *tcase = tcase_create("model_families");
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
