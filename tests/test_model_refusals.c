/* SPDX-License-Identifier: MIT */
/* What readers of config.json refuse, family by family: members that contradict each other or
 * aren't modelled, sizes out of range; and random damage of every shipped file, which gives an
 * error of one line or a model, never a crash. */
#include "error.h"
#include "model.h"
#include "scratch.h"
#include "suite_run.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static char *file;

static const ModelOptions bf16 = {.micro_batch = 1,
                                  .parameter = DTYPE_BF16,
                                  .compute = DTYPE_BF16,
                                  .attention = ATTENTION_SDPA,
                                  .dropout = -1};

static void set_up(void)
{
    scratch_set_up();
    file = scratch_path("config.json");
}

static void tear_down(void)
{
    g_clear_pointer(&file, g_free);
    scratch_tear_down();
}

static char *models_directory(void)
{
    const char *data = g_getenv("ZEROSIM_DATA_DIR");
    return g_build_filename(data ? data : ".", "workloads", "models", NULL);
}

static char *read_shipped(const char *base)
{
    g_autofree char *models = models_directory();
    g_autofree char *path = g_build_filename(models, base, NULL);
    char *text = NULL;
    ck_assert_msg(g_file_get_contents(path, &text, NULL, NULL), "%s", path);
    return text;
}

/* A shipped file with one more member in front, or with one changed: `member` is "key": value,
 * and a key that the file has already is renamed out of the way. */
static char *changed(const char *base, const char *member)
{
    g_autofree char *text = read_shipped(base);
    g_autofree char *key = g_strndup(member, (gsize)(strchr(member, ':') - member));
    g_autofree char *former = g_strconcat(key, ":", NULL);
    char *found = strstr(text, former);
    if (found)
        found[1] = '~';
    return g_strdup_printf("{%s, %s", member, strchr(text, '{') + 1);
}

static Model *load_text(const char *text, GPtrArray *warnings, GError **error)
{
    ck_assert(g_file_set_contents(file, text, -1, NULL));
    return model_load(file, &bf16, warnings, error);
}

static const struct {
    const char *base, *member, *message;
} refused[] = {
    {"gpt-neo-125m.json", "\"attention_types\": [[[\"global\"], 5]]", "num_layers"},
    {"gpt-neo-125m.json", "\"attention_types\": [[[\"global\", \"far\"], 6]]",
     "global or local"},
    {"gpt-neo-125m.json", "\"attention_types\": [[[], 12]]", "num_layers"},
    {"gpt-neo-125m.json", "\"attention_types\": [[[\"global\"], 9223372036854775807]]",
     "num_layers"},
    {"gpt-neo-125m.json", "\"window_size\": 0", "range"},
    {"gpt-neo-125m.json", "\"num_heads\": 7", "multiple"},
    {"gpt-j-6b.json", "\"rotary_dim\": 300", "range"},
    {"gpt-j-6b.json", "\"n_layer\": 0", "range"},
    {"pythia-160m.json", "\"rotary_pct\": 2", "range"},
    {"pythia-160m.json", "\"hidden_act\": \"mish\"", "gelu"},
    {"opt-125m.json", "\"layerdrop\": 0.5", "0.0"},
    {"opt-125m.json", "\"word_embed_proj_dim\": -1", "range"},
    {"opt-125m.json", "\"do_layer_norm_before\": \"yes\"", "true or false"},
    {"mpt-7b.json", "\"norm_type\": \"rmsnorm\"", "low_precision_layernorm"},
    {"mpt-7b.json", "\"attn_config\": {\"qk_ln\": true}", "qk_ln"},
    {"mpt-7b.json", "\"attn_config\": {\"kv_n_heads\": \"x\", \"attn_type\": \"grouped\"}",
     "attn_type"},
    {"mpt-7b.json", "\"attn_config\": [1]", "object"},
    {"mpt-7b.json", "\"expansion_ratio\": 1e9", "range"},
    {"bloom-560m.json", "\"apply_residual_connection_post_layernorm\": true", "false"},
    {"falcon-40b.json", "\"num_kv_heads\": 5", "multiple"},
    {"falcon-7b.json", "\"num_ln_in_parallel_attn\": 3", "range"},
    {"mistral-7b.json", "\"sliding_window\": 0", "range"},
    {"mistral-7b.json", "\"num_local_experts\": 8", "not modelled"},
    {"mixtral-8x7b.json", "\"num_experts_per_tok\": 9", "range"},
    {"mixtral-8x7b.json", "\"num_local_experts\": 4097", "range"},
    {"mixtral-8x7b.json", "\"router_jitter_noise\": 0.5", "0.0"},
    {"qwen2-0.5b.json", "\"layer_types\": [\"full_attention\"]", "each of num_hidden_layers"},
    {"qwen3-8b.json", "\"layer_types\": 3", "each of num_hidden_layers"},
    {"phi-2.json", "\"qk_layernorm\": true", "false"},
    {"phi-3-mini.json", "\"partial_rotary_factor\": -0.5", "range"},
    {"gemma-2-2b.json", "\"hidden_activation\": \"gelu\"", "gelu_pytorch_tanh"},
    {"gemma-2-2b.json", "\"head_dim\": 268435456", "absurdly large"},
    {"roberta-base.json", "\"position_embedding_type\": \"relative_key\"", "absolute"},
    {"roberta-base.json", "\"architectures\": [\"RobertaForCausalLM\"]", "RobertaForMaskedLM"},
    {"t5-small.json", "\"is_encoder_decoder\": false", "only true"},
    {"t5-small.json", "\"feed_forward_proj\": \"gated-mish\"", "relu"},
    {"t5-small.json", "\"num_decoder_layers\": 100000", "range"},
    {"t5-small.json", "\"n_positions\": 268435456", "absurdly large"},
    {"vit-b-16.json", "\"patch_size\": 15", "multiple"},
    {"vit-b-16.json", "\"image_size\": 268435456", "absurdly large"},
    {"vit-b-16.json", "\"num_labels\": 0", "range"},
    {"phi-3-mini.json", "\"attention_bias\": true", "false"},
    {"pythia-160m.json", "\"rope_parameters\": {\"partial_rotary_factor\": 2}", "range"},
};

/* One line that names the file and the member, and what would be right; exit status 2. */
START_TEST(test_refused)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_autofree char *text = changed(refused[_i].base, refused[_i].member);
    g_autoptr(Model) model = load_text(text, warnings, &error);
    ck_assert_msg(model == NULL, "%s is read", refused[_i].member);
    ck_assert_int_eq(error_exit_status(error), 2);
    ck_assert_ptr_null(strchr(error->message, '\n'));
    ck_assert_ptr_nonnull(strstr(error->message, file));
    ck_assert_msg(strstr(error->message, refused[_i].message) != NULL, "no '%s' in: %s",
                  refused[_i].message, error->message);
}
END_TEST

/* What newer versions write beside, and what is read otherwise: no error, no warning. */
static const struct {
    const char *base, *member;
    gint64 total;
} read_too[] = {
    {"mistral-7b.json", "\"sliding_window\": null", G_GINT64_CONSTANT(7241732096)},
    {"gemma-2-2b.json", "\"final_logit_softcapping\": null", G_GINT64_CONSTANT(2614341888)},
    {"gpt-neo-125m.json",
     "\"attention_types\": [[[\"global\"], 4], [[\"local\", \"global\"], 4]]",
     G_GINT64_CONSTANT(125198592)},
    {"pythia-160m.json", "\"use_parallel_residual\": false", G_GINT64_CONSTANT(162322944)},
    {"t5-small.json", "\"architectures\": [\"T5WithLMHeadModel\"]",
     G_GINT64_CONSTANT(60506624)},
    {"mpt-7b.json", "\"norm_type\": \"layernorm\"", G_GINT64_CONSTANT(6649286656)},
    /* As in MPT-7B's own file: ALiBi switches the table of positions off. */
    {"mpt-7b.json", "\"learned_pos_emb\": true", G_GINT64_CONSTANT(6649286656)},
    {"llm-foundry-mpt-7b.json", "\"architectures\": [\"MptForCausalLM\"]",
     G_GINT64_CONSTANT(6658859008) - 2048 * 4096},
    {"pythia-160m.json", "\"partial_rotary_factor\": 0.25", G_GINT64_CONSTANT(162322944)},
    {"gpt-neox-20b.json", "\"attention_probs_dropout_prob\": 0",
     G_GINT64_CONSTANT(20554567680)},
    {"phi-3-mini.json", "\"attention_bias\": false", G_GINT64_CONSTANT(3821079552)},
    {"qwen2-0.5b.json", "\"use_mrope\": false", G_GINT64_CONSTANT(494032768)},
    {"gemma-2-9b.json", "\"sliding_window_size\": 4096", G_GINT64_CONSTANT(9241705984)},
    {"llama-3.2-1b.json", "\"transformers.js_config\": {\"dtype\": \"q4\"}",
     G_GINT64_CONSTANT(1235814400)},
};

START_TEST(test_read_too)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_autofree char *text = changed(read_too[_i].base, read_too[_i].member);
    g_autoptr(Model) model = load_text(text, warnings, &error);
    ck_assert_msg(model != NULL, "%s", error ? error->message : "");
    ck_assert_int_eq(model->n_parameters, read_too[_i].total);
    for (guint i = 0; i < warnings->len; i++) /* the member that was renamed */
        ck_assert_ptr_nonnull(strchr(g_ptr_array_index(warnings, i), '~'));
}
END_TEST

/* RoBERTa's layers under another name and with another vocabulary: a row of the embedding and a
 * bias for each word more. */
START_TEST(test_xlm_roberta)
{
    static const char *const changes[][2] = {{"\"roberta\"", "\"xlm-roberta\""},
                                             {"RobertaFor", "XLMRobertaFor"},
                                             {"50265", "250002"}};
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_autofree char *text = read_shipped("roberta-base-mlm.json");
    for (gsize i = 0; i < G_N_ELEMENTS(changes); i++) {
        g_auto(GStrv) parts = g_strsplit(text, changes[i][0], -1);
        g_free(text);
        text = g_strjoinv(changes[i][1], parts);
    }
    g_autoptr(Model) model = load_text(text, warnings, &error);
    ck_assert_msg(model != NULL, "%s", error ? error->message : "");
    ck_assert_int_eq(model->n_parameters, G_GINT64_CONSTANT(124697433) + 199737 * 769);
    ck_assert_int_eq(warnings->len, 0);
}
END_TEST

/* A few bytes changed, seeded by the file's name. */
static void damage(const char *base)
{
    static const char bytes[] = "0123456789-.e{}[]\",:ntf \\";
    g_autofree char *text = read_shipped(base);
    g_autoptr(GRand) random = g_rand_new_with_seed(g_str_hash(base));
    const gint32 length = (gint32)strlen(text);
    for (int round = 0; round < 60; round++) {
        g_autofree char *damaged = g_strdup(text);
        for (int i = g_rand_int_range(random, 1, 4); i > 0; i--)
            damaged[g_rand_int_range(random, 0, length)] =
                bytes[g_rand_int_range(random, 0, sizeof bytes - 1)];
        g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GError) error = NULL;
        g_autoptr(Model) model = load_text(damaged, warnings, &error);
        ck_assert((model == NULL) == (error != NULL));
        ck_assert(!error || !strchr(error->message, '\n'));
    }
}

START_TEST(test_random_damage)
{
    static const char *const bases[] = {
        "bert-base-mlm.json", "bloom-560m.json", "falcon-7b.json",    "flan-t5-base.json",
        "gemma-2-2b.json",    "gpt-j-6b.json",   "gpt-neo-125m.json", "gpt2.json",
        "llama-3.2-1b.json",  "mistral-7b.json", "mixtral-8x7b.json", "mpt-7b.json",
        "opt-350m.json",      "phi-2.json",      "phi-3-mini.json",   "pythia-160m.json",
        "qwen2-0.5b.json",    "qwen3-0.6b.json", "roberta-base.json", "vit-b-16.json"};
    damage(bases[_i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_refusals");
    TCase *tcase = tcase_create("model_refusals");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_refused, 0, G_N_ELEMENTS(refused));
    tcase_add_test(tcase, test_xlm_roberta);
    tcase_add_loop_test(tcase, test_read_too, 0, G_N_ELEMENTS(read_too));
    tcase_add_loop_test(tcase, test_random_damage, 0, 20);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
