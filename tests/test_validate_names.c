/* SPDX-License-Identifier: MIT */
/* What rows call their models, GPUs and strategies, and what that is here. */
#include "scratch.h"
#include "suite_run.h"
#include "validate_case.h"
#include "validate_inputs.h"

#include <math.h>
#include <string.h>

/* Names that everybody knows stand for whole models; a point tells 1.3B from 13B, and a shape
 * that contradicts the name counts more than it. */
static const struct {
    const char *model, *params_B, *n_layer, *d_model, *shipped; /* NULL: none */
} known[] = {
    {"ResNet-50", "", "", "", "resnet50"},
    {"OPT-1.3B", "", "", "", "opt-1.3b"},
    {"Llama2 13B", "13.0", "", "", "llama-2-13b"},
    {"GPT2-124M", "0.124", "", "", "gpt2"},
    {"Falcon-7B", "7.2", "32", "4544", "falcon-7b"},
    {"T5-3B", "2.85", "24", "1024", "t5-3b"},
    {"Mixtral-8x7B", "46.7", "32", "4096", "mixtral-8x7b"},
    {"Falcon-7B", "7.2", "31", "4544", NULL},
    {"GPT2-124M", "0.124", "12", "768", NULL}, /* its dimensions say all */
    {"meta-llama/Llama-2-7b-hf", "", "", "", "llama-2-7b"},
    {"Meta-Llama-3.1-8B", "", "", "", "llama-3-8b"},
    {"ViT-L/16", "", "", "", "vit-l-16-classifier"},
    {"Gulliver-7B", "7", "", "", NULL},
};

START_TEST(a_known_name_is_a_shipped_model)
{
    g_autofree char *text = g_strdup_printf(
        STEP_HEADER "a-1,x,%s,%s,%s,%s,12,12,,,,A100-80GB,8,1,,bf16,,1,1,,none,sdpa,adamw,"
                    "none,,1,,A,\n",
        known[_i].model, known[_i].params_B, known[_i].n_layer, known[_i].d_model);
    g_autoptr(GPtrArray) outcomes = outcomes_of(text);
    const Outcome *outcome = outcome_at(outcomes, 0);
    const char *assumed = strstr(outcome->assumed, "the shipped model ");
    ck_assert_int_eq(assumed != NULL, known[_i].shipped != NULL);
    if (known[_i].shipped == NULL)
        return;
    g_autofree char *note = g_strconcat("the shipped model ", known[_i].shipped, NULL);
    const gsize length = strlen(note);
    ck_assert_msg(strncmp(assumed, note, length) == 0 &&
                      (assumed[length] == ';' || assumed[length] == '\0'),
                  "%s", assumed);
    ck_assert_msg(isfinite(outcome->predicted), "%s", outcome->reason);
}
END_TEST

/* Ways of splitting a model that aren't ours are named, whatever stands beside them. */
START_TEST(other_parallelism_is_refused)
{
    static const char *const strategies[] = {"fsdp + TP8", "zero1-PP4", "tensor parallel",
                                             "Horovod"};
    for (gsize i = 0; i < G_N_ELEMENTS(strategies); i++) {
        g_autofree char *text = g_strdup_printf(
            STEP_HEADER "a-1,x," GPT
                        ",A100-80GB,8,2,,bf16,%s,4,1,1024,none,flash,adamw,none,,1,"
                        ",A,\n",
            strategies[i]);
        g_autoptr(GPtrArray) outcomes = outcomes_of(text);
        ck_assert_ptr_nonnull(strstr(outcome_at(outcomes, 0)->reason, "is not modelled"));
    }
}
END_TEST

/* The same thing in other words: the second has the same prediction as the first, or a reason
 * with the third. */
static const struct {
    const char *column, *text, *same;
} synonyms[] = {
    {"strategy", "ZeRO Stage 2", "zero2"},
    {"strategy", "zero-1", "zero 1"},
    {"strategy", "fully_shard", "zero3"},
    {"strategy", "NO_SHARD", "ddp"},
    {"strategy", "data parallel", "ddp"},
    {"strategy", "2D parallel", NULL},
    {"strategy", "MiCS", NULL},
    {"strategy", "ZeRO-Infinity", NULL},
    {"precision", "bf16+float8", "fp8"},
    {"precision", "float32", "fp32"},
    {"precision", "nvfp4", NULL},
    {"act_checkpoint", "off", "none"},
    {"act_checkpoint", "no activation checkpointing", "none"},
    {"act_checkpoint", "True", "full"},
    {"act_checkpoint", "recompute: selective", "selective"},
    {"act_checkpoint", "1/2", "selective"},
    {"cpu_offload", "False", "none"},
    {"cpu_offload", "optimizer", NULL},
    {"global_batch_tokens", "1,048,576", "1048576"},
    {"params_B", "n/a", ""},
    {"params_B", "~0.001", "0.001"},
    {"micro_batch_per_gpu", "", "8"}, /* by the step's tokens */
};

static const struct {
    const char *column, *text;
} usual[] = {
    {"id", "a-1"},           {"model", "GPT2"},
    {"n_layer", "2"},        {"d_model", "128"},
    {"n_head", "2"},         {"d_ff", "512"},
    {"vocab", "1000"},       {"seq_len", "128"},
    {"gpu", "H100-80GB"},    {"n_gpus", "8"},
    {"precision", "bf16"},   {"strategy", "zero3"},
    {"params_B", ""},        {"micro_batch_per_gpu", "8"},
    {"step_time_s", "1"},    {"global_batch_tokens", "8192"},
    {"cpu_offload", "none"}, {"act_checkpoint", "none"},
};

static GPtrArray *outcomes_with(const char *column, const char *text)
{
    g_autoptr(GString) csv = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(usual); i++)
        g_string_append_printf(csv, "%s%s", i > 0 ? "," : "", usual[i].column);
    for (gsize i = 0; i < G_N_ELEMENTS(usual); i++)
        g_string_append_printf(csv, "%s\"%s\"", i > 0 ? "," : "\n",
                               strcmp(usual[i].column, column) == 0 ? text : usual[i].text);
    g_string_append_c(csv, '\n');
    return outcomes_of(csv->str);
}

START_TEST(words_mean_the_same)
{
    g_autoptr(GPtrArray) outcomes = outcomes_with(synonyms[_i].column, synonyms[_i].text);
    const Outcome *outcome = outcome_at(outcomes, 0);
    if (synonyms[_i].same == NULL) {
        ck_assert(isnan(outcome->predicted));
        ck_assert_msg(strstr(outcome->reason, "none of ours") != NULL ||
                          strstr(outcome->reason, "not modelled") != NULL,
                      "%s", outcome->reason);
        return;
    }
    g_autoptr(GPtrArray) same = outcomes_with(synonyms[_i].column, synonyms[_i].same);
    ck_assert_msg(isfinite(outcome->predicted), "%s", outcome->reason);
    ck_assert_double_eq(outcome->predicted, outcome_at(same, 0)->predicted);
}
END_TEST

/* A row with a size and no shape; experts don't all run. */
START_TEST(a_size_stands_for_a_language_model_only)
{
    static const struct {
        const char *model;
        gboolean predicted;
    } models[] = {{"OPT-175B", TRUE},
                  {"Gulliver-7B", TRUE},
                  {"DeepSeek-V3 671B", FALSE},
                  {"Swin-1B", FALSE}};
    for (gsize i = 0; i < G_N_ELEMENTS(models); i++) {
        g_autofree char *text =
            g_strdup_printf(STEP_HEADER "a-1,x,%s,,,,,,,,,A100-80GB,8,8,,bf16,zero3,1,1,,full,"
                                        "sdpa,adamw,none,,1,,A,\n",
                            models[i].model);
        g_autoptr(GPtrArray) outcomes = outcomes_of(text);
        const Outcome *outcome = outcome_at(outcomes, 0);
        ck_assert_int_eq(isfinite(outcome->predicted), models[i].predicted);
        ck_assert_ptr_nonnull(strstr(models[i].predicted ? outcome->assumed : outcome->reason,
                                     models[i].predicted ? "a GPT-2 of about as many"
                                                         : "the row has no n_layer"));
    }
}
END_TEST

/* Makers and spaces in a GPU's name don't matter, a board in a PCIe slot is another one. */
static const struct {
    const char *gpu, *profile;
    gboolean exact;
} gpus[] = {
    {"NVIDIA GeForce RTX 4090", "rtx4090", TRUE},
    {"Tesla V100-SXM2-16GB", "v100-sxm2-16gb", TRUE},
    {"H100 PCIe", "h100-pcie-80gb", FALSE},
    {"A100", "a100-sxm4-40gb", FALSE},
    {"A100-PCIE-40GB", "a100-pcie-40gb", TRUE},
    {"H100 80GB HBM3", "h100-sxm5-80gb", TRUE},
    {"GH200", "gh200", TRUE},
    {"L4", "l4", TRUE},
};

START_TEST(gpus_are_found_by_name)
{
    gboolean exact = FALSE;
    g_autofree char *profile = validate_profile_find(gpus[_i].gpu, &exact, NULL);
    ck_assert_str_eq(profile, gpus[_i].profile);
    ck_assert_int_eq(exact, gpus[_i].exact);
}
END_TEST

/* A note's words for batch, length, checkpointing and GPU, whichever a source uses: more of
 * either is more memory, and checkpointing less. */
START_TEST(memory_notes_are_read)
{
    static const char *const notes[] = {
        "H100; micro-batch 1; seq len 1024; full recompute",
        "H100; bs=1; seq 1024; no activation checkpointing",
        "H100, batch size 2; sequence length 1024",
    };
    double last = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(notes); i++) {
        g_autofree char *text = g_strdup_printf(
            "id,source,model,params,stage,dp,offload,quantity,value_GB,unit_def,note,kind,"
            "quality\nm-1,x,GPT2-XL,1557611200,zero3,8,none,peak "
            "FSDP2,20,2^30,\"%s\",measured,A"
            "\n",
            notes[i]);
        g_autoptr(GPtrArray) outcomes = outcomes_of(text);
        const Outcome *outcome = outcome_at(outcomes, 0);
        ck_assert_msg(outcome->predicted > last, "%s: %g %s", notes[i], outcome->predicted,
                      outcome->reason);
        ck_assert_ptr_nonnull(strstr(outcome->assumed, "GPU h100"));
        ck_assert_ptr_nonnull(strstr(outcome->assumed, "the shipped model gpt2-xl"));
        last = outcome->predicted;
    }
}
END_TEST

static Suite *names_suite(void)
{
    Suite *suite = suite_create("validate_names");
    TCase *tcase = tcase_create("names");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, scratch_set_up, scratch_tear_down);
    tcase_add_loop_test(tcase, a_known_name_is_a_shipped_model, 0, G_N_ELEMENTS(known));
    tcase_add_test(tcase, other_parallelism_is_refused);
    tcase_add_loop_test(tcase, words_mean_the_same, 0, G_N_ELEMENTS(synonyms));
    tcase_add_test(tcase, a_size_stands_for_a_language_model_only);
    tcase_add_loop_test(tcase, gpus_are_found_by_name, 0, G_N_ELEMENTS(gpus));
    tcase_add_test(tcase, memory_notes_are_read);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return suite_run(names_suite());
}
