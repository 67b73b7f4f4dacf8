/* SPDX-License-Identifier: MIT */
/* Models from config.json: totals to the digit, order and shape of parameters, layers in
 * execution order, the bytes autograd keeps, and what a malformed file is told. */
#include "model.h"

#include "error.h"
#include "scratch.h"
#include "shipped_models.h"
#include "suite_run.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static char *file;
static GPtrArray *warnings;

static const ModelOptions bf16 = {.micro_batch = 1,
                                  .parameter = DTYPE_BF16,
                                  .compute = DTYPE_BF16,
                                  .attention = ATTENTION_SDPA,
                                  .dropout = -1};

static void set_up(void)
{
    scratch_set_up();
    file = scratch_path("config.json");
    warnings = g_ptr_array_new_with_free_func(g_free);
}

static void tear_down(void)
{
    g_clear_pointer(&file, g_free);
    g_clear_pointer(&warnings, g_ptr_array_unref);
    scratch_tear_down();
}

static Model *load_shipped(const char *name, const ModelOptions *options)
{
    return shipped_model(name, options, warnings);
}

static Model *load_text(const char *text, const ModelOptions *options, GError **error)
{
    ck_assert(g_file_set_contents(file, text, -1, NULL));
    return model_load(file, options, warnings, error);
}

/* Totals as Hugging Face reports them (num_parameters). */
static const struct {
    const char *name;
    gint64 total;
    int n_tensors;
} shipped[] = {
    {"gpt2", 124439808, 148},          {"gpt2-xl", 1557611200, 580},
    {"llama-2-7b", 6738415616, 291},   {"llama-2-13b", 13015864320, 363},
    {"llama-2-70b", 68976648192, 723}, {"llama-3-8b", 8030261248, 291},
    {"llama-3-70b", 70553706496, 723}, {"bert-base", 109482240, 199},
    {"bert-large", 335141888, 391},
};

START_TEST(test_shipped_totals)
{
    g_autoptr(Model) model = load_shipped(shipped[_i].name, &bf16);
    ck_assert_int_eq(model->n_parameters, shipped[_i].total);
    ck_assert_int_eq(model->parameters->len, shipped[_i].n_tensors);
    ck_assert_str_eq(model->name, shipped[_i].name);
    ck_assert_int_eq(warnings->len, 0);
}
END_TEST

/* Families' other totals, from sizes alone. */
static const struct {
    const char *text;
    gint64 total;
} configs[] = {
    {"{\"model_type\":\"gpt2\",\"n_embd\":1024,\"n_layer\":24,\"n_head\":16,"
     "\"vocab_size\":50257,\"n_positions\":1024,\"n_inner\":null}",
     354823168},
    {"{\"model_type\":\"gpt2\",\"n_embd\":1280,\"n_layer\":36,\"n_head\":20,"
     "\"vocab_size\":50257,\"n_positions\":1024}",
     774030080},
    {"{\"model_type\":\"llama\",\"hidden_size\":16384,\"num_hidden_layers\":126,"
     "\"num_attention_heads\":128,\"num_key_value_heads\":8,\"intermediate_size\":53248,"
     "\"vocab_size\":128256,\"max_position_embeddings\":8192}",
     405853388800},
    {"{\"model_type\":\"llama\",\"hidden_size\":2048,\"num_hidden_layers\":16,"
     "\"num_attention_heads\":32,\"num_key_value_heads\":8,\"intermediate_size\":8192,"
     "\"vocab_size\":128256,\"tie_word_embeddings\":true,\"head_dim\":64}",
     1235814400},
    {"{\"model_type\":\"bert\",\"hidden_size\":768,\"num_hidden_layers\":12,"
     "\"num_attention_heads\":12,\"intermediate_size\":3072,\"vocab_size\":30522,"
     "\"max_position_embeddings\":512,\"architectures\":[\"BertForMaskedLM\"]}",
     109514298},
};

START_TEST(test_totals_of_other_sizes)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Model) model = load_text(configs[_i].text, &bf16, &error);
    ck_assert_msg(model != NULL, "%s", error ? error->message : "");
    ck_assert_int_eq(model->n_parameters, configs[_i].total);
}
END_TEST

/* DDP's buckets in reverse registration order, limits 1 MiB then 25 MiB: known sizes pin the
 * order and the shapes of the parameters. */
static const struct {
    const char *name;
    int element_bytes, n_buckets;
    gint64 first, second, last;
} bucketings[] = {
    {"gpt2", 4, 13, 9446400, 28351488, 176446464},
    {"gpt2-xl", 4, 145, 40979200, 40985600, 328211200},
    {"bert-base", 4, 14, 2362368, 28351488, 95348736},
    {"llama-3-8b", 2, 162, 1050673152, 117465088, 1050673152},
};

START_TEST(test_registration_order_makes_ddp_buckets)
{
    g_autoptr(Model) model = load_shipped(bucketings[_i].name, &bf16);
    gint64 sizes[200] = {0}, bytes = 0, limit = 1 << 20;
    int n = 0;
    for (int i = (int)model->parameters->len - 1; i >= 0; i--) {
        bytes += model_parameter(model, i)->numel * bucketings[_i].element_bytes;
        if (bytes < limit && i > 0)
            continue;
        sizes[n++] = bytes;
        bytes = 0;
        limit = 25 << 20;
    }
    ck_assert_int_eq(n, bucketings[_i].n_buckets);
    ck_assert_int_eq(sizes[0], bucketings[_i].first);
    ck_assert_int_eq(sizes[1], bucketings[_i].second);
    ck_assert_int_eq(sizes[n - 1], bucketings[_i].last);
}
END_TEST

static const Parameter *find(const Model *model, const char *name)
{
    for (guint i = 0; i < model->parameters->len; i++)
        if (strcmp(model_parameter(model, (int)i)->name, name) == 0)
            return model_parameter(model, (int)i);
    ck_abort_msg("no parameter %s", name);
}

/* Conv1D of GPT-2 is (in, out), Linear is (out, in): dimension 0 is what FSDP2 shards. */
START_TEST(test_shape_of_dimension_0)
{
    g_autoptr(Model) gpt2 = load_shipped("gpt2", &bf16);
    ck_assert_int_eq(find(gpt2, "transformer.h.0.attn.c_attn.weight")->rows, 768);
    g_autoptr(Model) llama = load_shipped("llama-3-8b", &bf16);
    ck_assert_int_eq(find(llama, "model.layers.0.self_attn.k_proj.weight")->rows, 1024);
    ck_assert_int_eq(find(llama, "lm_head.weight")->rows, 128256);
}
END_TEST

static const char *const model_names[] = {"gpt2", "llama-2-7b", "bert-base"};

/* Every parameter is in one layer, a tied one in two; blocks come in order; the loss is last.
 */
START_TEST(test_layers_cover_parameters)
{
    g_autoptr(Model) model = load_shipped(model_names[_i], &bf16);
    g_autofree int *seen = g_new0(int, model->parameters->len);
    int block = -1;
    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        ck_assert_int_ge(layer->block, block);
        block = layer->block;
        ck_assert(layer->saved_bytes >= 0 && layer->forward_temporary_bytes >= 0);
        ck_assert(layer->forward->len > 0 && layer->backward->len > 0);
        for (int j = 0; j < layer->n_parameters; j++)
            seen[layer->parameters[j]]++;
    }
    ck_assert_int_eq(block, model->n_blocks);
    const gboolean tied = strcmp(model_names[_i], "gpt2") == 0;
    for (guint i = 0; i < model->parameters->len; i++)
        ck_assert_int_eq(seen[i], tied && i == 0 ? 2 : 1);
    ck_assert_str_eq(model_layer(model, (int)model->layers->len - 1)->name, "loss");
}
END_TEST

START_TEST(test_order_of_a_llama_block)
{
    static const char *const expected[] = {
        "input_layernorm",  "self_attn.q_proj",   "self_attn.k_proj",
        "self_attn.v_proj", "self_attn.rotary",   "self_attn",
        "self_attn.o_proj", "self_attn.residual", "post_attention_layernorm",
        "mlp.gate_proj",    "mlp.up_proj",        "mlp.act_fn",
        "mlp.down_proj",    "mlp.residual"};
    g_autoptr(Model) model = load_shipped("llama-2-7b", &bf16);
    for (int i = 0; i < (int)G_N_ELEMENTS(expected); i++) {
        g_autofree char *name = g_strdup_printf("model.layers.0.%s", expected[i]);
        ck_assert_str_eq(model_layer(model, 1 + i)->name, name);
    }
    ck_assert_str_eq(model_layer(model, 1 + (int)G_N_ELEMENTS(expected))->name,
                     "model.layers.1.input_layernorm");
}
END_TEST

/* Products only: forward 2 N' T and attention, backward twice that and 2.5 times. */
START_TEST(test_flops_are_those_of_the_parameters)
{
    g_autoptr(Model) model = load_shipped("llama-2-7b", &bf16);
    double forward = 0, backward = 0;
    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        for (guint j = 0; j < layer->forward->len; j++)
            forward += kernel_flops(&g_array_index(layer->forward, Kernel, j));
        for (guint j = 0; j < layer->backward->len; j++)
            backward += kernel_flops(&g_array_index(layer->backward, Kernel, j));
    }
    const double t = 4096, h = 4096, norms = 65 * h, embedding = 32000 * h;
    const double products = 2 * t * (6738415616.0 - norms - embedding);
    const double attention = 32 * 4 * t * t * h / 2;
    ck_assert_double_eq_tol(forward / (products + attention), 1, 1e-12);
    ck_assert_double_eq_tol(backward / (2 * products + 2.5 * attention), 1, 1e-12);
    ck_assert_double_eq(model->flops_per_token, 6 * 6738415616.0 + 12 * 32 * h * t);
}
END_TEST

static gint64 block_saved(const Model *model)
{
    gint64 sum = 0;
    for (guint i = 0; i < model->layers->len; i++)
        if (model_layer(model, (int)i)->block == 1)
            sum += model_layer(model, (int)i)->saved_bytes;
    return sum;
}

typedef struct {
    const char *name, *what;
    DType parameter, compute;
    gboolean autocast, compile;
    Attention attention;
    double dropout;
    /* bytes a token and block: h for hidden, k for kv_heads x head_dim, f, a, and a s */
    double h, k, f, a, as;
} Saved;

/* Sums over a block, per token. Sources: Korthikanti et al. 2022 (34 h, and 5 a s eager in 16
 * bits with dropout), transformers' modelling code (python RMSNorm, gelu_new, fp32 softmax). */
static const Saved saved[] = {
    {"llama-2-7b", "sdpa", DTYPE_BF16, DTYPE_BF16, 0, 0, ATTENTION_SDPA, -1, 20, 4, 8, 4, 0},
    {"llama-3-8b", "gqa", DTYPE_BF16, DTYPE_BF16, 0, 0, ATTENTION_FLASH2, -1, 20, 4, 8, 4, 0},
    {"llama-2-7b", "compiled", DTYPE_BF16, DTYPE_BF16, 0, 1, ATTENTION_SDPA, -1, 12, 4, 6, 4,
     0},
    {"llama-3-8b", "eager", DTYPE_BF16, DTYPE_BF16, 0, 0, ATTENTION_EAGER, -1, 24, 0, 8, 0, 6},
    {"llama-2-7b", "fp32", DTYPE_FP32, DTYPE_FP32, 0, 0, ATTENTION_SDPA, -1, 32, 8, 16, 4, 0},
    {"llama-3-8b", "autocast: norms 2 x 8 h, casts 3 + 2 of 2 h", DTYPE_FP32, DTYPE_BF16, 1, 0,
     ATTENTION_SDPA, -1, 30, 4, 8, 4, 0},
    {"gpt2", "gelu_new", DTYPE_BF16, DTYPE_BF16, 0, 0, ATTENTION_SDPA, -1, 58, 0, 0, 4, 0},
    {"gpt2", "no dropout", DTYPE_BF16, DTYPE_BF16, 0, 0, ATTENTION_SDPA, 0, 56, 0, 0, 4, 0},
    {"gpt2", "compiled", DTYPE_BF16, DTYPE_BF16, 0, 1, ATTENTION_SDPA, -1, 34, 0, 0, 4, 0},
    {"gpt2", "eager", DTYPE_BF16, DTYPE_BF16, 0, 0, ATTENTION_EAGER, -1, 58, 0, 0, 0, 5},
    {"gpt2", "autocast", DTYPE_FP32, DTYPE_BF16, 1, 0, ATTENTION_SDPA, -1, 86, 0, 0, 4, 0},
    {"bert-base", "sdpa", DTYPE_BF16, DTYPE_BF16, 0, 0, ATTENTION_SDPA, -1, 34, 0, 0, 4, 0},
    {"bert-large", "eager", DTYPE_FP16, DTYPE_FP16, 0, 0, ATTENTION_EAGER, -1, 34, 0, 0, 0, 5},
};

START_TEST(test_saved_bytes_of_a_block)
{
    const Saved *row = &saved[_i];
    ModelOptions options = {.micro_batch = 2,
                            .sequence_length = 512,
                            .parameter = row->parameter,
                            .compute = row->compute,
                            .autocast = row->autocast,
                            .compile = row->compile,
                            .attention = row->attention,
                            .dropout = row->dropout};
    g_autoptr(Model) model = load_shipped(row->name, &options);
    double h = (double)model->hidden_size, k = h, f = 0, a = 0;
    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        const Kernel *kernel = &g_array_index(layer->forward, Kernel, layer->forward->len - 1);
        if (g_str_has_suffix(layer->name, "mlp.up_proj"))
            f = (double)kernel->dimension[2];
        if (g_str_has_suffix(layer->name, "k_proj"))
            k = (double)kernel->dimension[2];
    }
    a = h / (strncmp(row->name, "llama", 5) == 0 ? 128 : 64);
    const double expected =
        2 * 512 * (row->h * h + row->k * k + row->f * f + row->a * a + row->as * a * 512);
    ck_assert_msg((double)block_saved(model) == expected,
                  "%s %s: %" G_GINT64_FORMAT " bytes a block, not %.0f", row->name, row->what,
                  block_saved(model), expected);
}
END_TEST

/* transformers' loss: 16-bit logits 2, kept log-softmax 4, a local fp32 copy 4, two fp32
 * gradients 8; fp32: 4 + 4, 16 at the peak of backward. */
START_TEST(test_logits_memory)
{
    static const struct {
        DType dtype;
        int after, inside, backward;
    } rows[] = {{DTYPE_BF16, 6, 10, 14}, {DTYPE_FP32, 8, 8, 16}};
    ModelOptions options = bf16;
    options.parameter = options.compute = rows[_i].dtype;
    g_autoptr(Model) model = load_shipped("llama-3-8b", &options);
    const Layer *head = model_layer(model, (int)model->layers->len - 2);
    const Layer *loss = model_layer(model, (int)model->layers->len - 1);
    const gint64 logits = 8192 * G_GINT64_CONSTANT(128256);
    const gint64 input = 8192 * 4096 * dtype_bytes(rows[_i].dtype);
    const gint64 after = head->saved_bytes - input + loss->saved_bytes;
    ck_assert_int_eq(after, rows[_i].after * logits);
    ck_assert_int_eq(after + loss->forward_temporary_bytes, rows[_i].inside * logits);
    ck_assert_int_eq(after + loss->backward_temporary_bytes, rows[_i].backward * logits);
    ck_assert_int_eq(head->forward_temporary_bytes, 0);
}
END_TEST

START_TEST(test_facts_of_the_whole)
{
    ModelOptions options = bf16;
    options.micro_batch = 3;
    g_autoptr(Model) llama = load_shipped("llama-2-7b", &options);
    ck_assert_int_eq(llama->sequence_length, 4096);
    ck_assert_int_eq(llama->block_input_bytes, G_GINT64_CONSTANT(2) * 3 * 4096 * 4096);
    ck_assert_int_eq(llama->buffer_bytes, 4 * 64);
    ck_assert_int_eq(llama->largest_layer_parameters, 32000 * 4096);
    options.autocast = TRUE;
    options.parameter = DTYPE_FP32;
    g_autoptr(Model) bert = load_shipped("bert-base", &options);
    ck_assert_int_eq(bert->block_input_bytes, 4 * 3 * 512 * 768);
    ck_assert_int_eq(bert->buffer_bytes, 2 * 8 * 512);
    gint64 casts = 0;
    for (guint i = 0; i < bert->layers->len; i++)
        casts += model_layer(bert, (int)i)->cast_bytes;
    /* all but embeddings and norms is a linear layer, cast to 2 bytes */
    const gint64 rest = (30522 + 512 + 2) * 768 + 25 * 2 * 768;
    ck_assert_int_eq(casts, 2 * (109482240 - rest));
}
END_TEST

/* Selective checkpointing keeps queries, keys and values, and runs the core again. */
START_TEST(test_attention_core)
{
    g_autoptr(Model) model = load_shipped("llama-3-8b", &bf16);
    int n = 0;
    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        if (!layer->attention)
            continue;
        n++;
        ck_assert_int_eq(layer->recompute_saved_bytes, 8192 * 2 * (4096 + 2 * 1024));
        ck_assert_int_eq(layer->saved_bytes - layer->recompute_saved_bytes, 8192 * 4 * 32);
    }
    ck_assert_int_eq(n, 32);
}
END_TEST

#define LLAMA                                                                                  \
    "\"model_type\":\"llama\",\"num_hidden_layers\":2,\"intermediate_size\":512,"              \
    "\"vocab_size\":1000"
#define SIZES "\"hidden_size\":128,\"num_attention_heads\":4"

static const struct {
    const char *text, *key, *message;
} malformed[] = {
    {"{", "", "not valid JSON"},
    {"{}", "model_type", "missing"},
    {"{\"model_type\":\"mamba\"}", "model_type", "gpt2, llama, bert, gpt_neo"},
    {"{" LLAMA "," SIZES ",\"num_key_value_heads\":3}", "num_attention_heads", "multiple"},
    {"{" LLAMA ",\"hidden_size\":128}", "num_attention_heads", "missing"},
    {"{" LLAMA ",\"hidden_size\":130,\"num_attention_heads\":4}", "hidden_size", "multiple"},
    {"{" LLAMA ",\"hidden_size\":-128,\"num_attention_heads\":4}", "hidden_size", ""},
    {"{" LLAMA ",\"hidden_size\":99999999999,\"num_attention_heads\":4}", "hidden_size", ""},
    {"{" LLAMA ",\"hidden_size\":99999999999999999999,\"num_attention_heads\":4}", "", ""},
    {"{\"model_type\":\"llama\",\"num_hidden_layers\":10000,\"intermediate_size\":268435456,"
     "\"vocab_size\":268435456,\"hidden_size\":268435456,\"num_attention_heads\":1}",
     "", "absurdly large"},
    {"{" LLAMA "," SIZES ",\"head_dim\":268435456}", "head_dim", "absurdly large"},
    {"{\"model_type\":\"llama\",\"num_hidden_layers\":2000000000,\"intermediate_size\":8,"
     "\"vocab_size\":8," SIZES "}",
     "num_hidden_layers", ""},
    {"{" LLAMA "," SIZES ",\"quantization_config\":{\"bits\":4}}", "quantization_config", ""},
    {"{" LLAMA "," SIZES ",\"num_local_experts\":8}", "num_local_experts", ""},
    {"{" LLAMA "," SIZES ",\"hidden_act\":\"gelu\"}", "hidden_act", "silu"},
    {"{" LLAMA "," SIZES ",\"tie_word_embeddings\":1}", "tie_word_embeddings", ""},
    {"{" LLAMA "," SIZES ",\"architectures\":[\"LlamaForSequenceClassification\"]}",
     "architectures", "LlamaForCausalLM"},
    {"{" LLAMA "," SIZES ",\"architectures\":\"LlamaForCausalLM\"}", "architectures", "array"},
    {"{\"model_type\":\"gpt2\",\"n_embd\":64,\"n_layer\":1,\"n_head\":4,\"vocab_size\":10,"
     "\"n_positions\":16,\"activation_function\":\"swish\"}",
     "activation_function", "gelu_new"},
    {"{\"model_type\":\"gpt2\",\"n_embd\":64,\"n_layer\":1,\"n_head\":4,\"vocab_size\":10,"
     "\"n_positions\":16,\"resid_pdrop\":1.5}",
     "resid_pdrop", ""},
};

/* One line that names the file, the member, and what would be right; exit status 2. */
START_TEST(test_malformed_config)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Model) model = load_text(malformed[_i].text, &bf16, &error);
    ck_assert_ptr_null(model);
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(error_exit_status(error), 2);
    ck_assert_ptr_null(strchr(error->message, '\n'));
    ck_assert_msg(strstr(error->message, file) != NULL, "no file in: %s", error->message);
    ck_assert_msg(strstr(error->message, malformed[_i].key) != NULL, "no %s in: %s",
                  malformed[_i].key, error->message);
    ck_assert_msg(strstr(error->message, malformed[_i].message) != NULL, "no '%s' in: %s",
                  malformed[_i].message, error->message);
}
END_TEST

START_TEST(test_unknown_member_warns)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Model) model = load_text(
        "{" LLAMA "," SIZES ",\"sliding_window\":null,\"frobnicate\":1}", &bf16, &error);
    ck_assert_ptr_nonnull(model);
    ck_assert_int_eq(warnings->len, 1);
    ck_assert_ptr_nonnull(strstr(g_ptr_array_index(warnings, 0), "frobnicate"));
}
END_TEST

/* Learned positions end; rotary ones are only warned about. */
START_TEST(test_sequence_beyond_positions)
{
    ModelOptions options = bf16;
    options.sequence_length = 5000;
    g_autoptr(Model) llama = load_shipped("llama-2-7b", &options);
    ck_assert_int_eq(llama->sequence_length, 5000);
    ck_assert_int_eq(warnings->len, 1);
    g_autoptr(GError) error = NULL;
    const char *text = "{\"model_type\":\"gpt2\",\"n_embd\":64,\"n_layer\":1,\"n_head\":4,"
                       "\"vocab_size\":10,\"n_positions\":1024}";
    ck_assert_ptr_null(load_text(text, &options, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "5000"));
    g_clear_error(&error);
    options = (ModelOptions){
        .micro_batch = G_GINT64_CONSTANT(1) << 50, .attention = ATTENTION_SDPA, .dropout = -1};
    ck_assert_ptr_null(load_text(text, &options, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "absurdly large"));
}
END_TEST

/* Flash and cuDNN attention have no 32-bit kernels. */
START_TEST(test_attention_needs_16_bits)
{
    g_autoptr(GError) error = NULL;
    ModelOptions options = bf16;
    options.parameter = options.compute = DTYPE_FP32;
    options.attention = ATTENTION_FLASH2;
    ck_assert_ptr_null(load_text("{" LLAMA "," SIZES "}", &options, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "flash2"));
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_shipped_totals, 0, G_N_ELEMENTS(shipped));
    tcase_add_loop_test(tcase, test_totals_of_other_sizes, 0, G_N_ELEMENTS(configs));
    tcase_add_loop_test(tcase, test_registration_order_makes_ddp_buckets, 0,
                        G_N_ELEMENTS(bucketings));
    tcase_add_test(tcase, test_shape_of_dimension_0);
    tcase_add_loop_test(tcase, test_layers_cover_parameters, 0, G_N_ELEMENTS(model_names));
    tcase_add_test(tcase, test_order_of_a_llama_block);
    tcase_add_test(tcase, test_flops_are_those_of_the_parameters);
    tcase_add_loop_test(tcase, test_saved_bytes_of_a_block, 0, G_N_ELEMENTS(saved));
    tcase_add_loop_test(tcase, test_logits_memory, 0, 2);
    tcase_add_test(tcase, test_facts_of_the_whole);
    tcase_add_test(tcase, test_attention_core);
    tcase_add_loop_test(tcase, test_malformed_config, 0, G_N_ELEMENTS(malformed));
    tcase_add_test(tcase, test_unknown_member_warns);
    tcase_add_test(tcase, test_sequence_beyond_positions);
    tcase_add_test(tcase, test_attention_needs_16_bits);
}

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *tcase = tcase_create("model");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
