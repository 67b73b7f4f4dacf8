/* SPDX-License-Identifier: MIT */
/* What a row's words mean: strategy, way of splitting, type, checkpointing. In each table the
 * first word that the text contains decides. */
#include "validate_steps.h"

#include <string.h>

typedef struct {
    const char *word, *value;
} Word;

static const char *word_value(const Word *words, gsize n_words, const char *text)
{
    for (gsize i = 0; i < n_words; i++)
        if (step_text_has(text, words[i].word))
            return words[i].value;
    return NULL;
}

gboolean step_text_has(const char *text, const char *word)
{
    return csv_text_find(text, word) != NULL;
}

/* Lower case without what separates words: "ZeRO Stage-2" is "zerostage2". */
static char *squash(const char *text)
{
    GString *squashed = g_string_new(NULL);
    for (; *text != '\0'; text++)
        if (g_ascii_isalnum(*text) || *text == '+')
            g_string_append_c(squashed, g_ascii_tolower(*text));
    return g_string_free(squashed, FALSE);
}

/* Squashed. "": a schedule that is none of ours, whatever else the text says. */
static const Word strategy_words[] = {
    {"infinity", ""},
    {"zerooffload", ""},
    {"mics", ""},
    {"parameterserver", ""},
    {"expertparallel", ""},
    {"2d", ""},
    {"3d", ""},
    {"4d", ""},
    {"hsdp", "hsdp"},
    {"hybrid", "hsdp"},
    {"gradop", "zero2"},
    {"noshard", "ddp"},
    {"zerostage0", "ddp"},
    {"zero0", "ddp"},
    {"stage0", "ddp"},
    {"stage1", "zero1"},
    {"zero1", "zero1"},
    {"zeroredundancy", "zero1"},
    {"distributedoptimizer", "zero1"},
    {"stage2", "zero2"},
    {"zero2", "zero2"},
    {"stage3", "zero3"},
    {"zero3", "zero3"},
    {"zero++", "zero3"},
    {"fsdp", "zero3"},
    {"fullshard", "zero3"},
    {"fullyshard", "zero3"},
    {"ddp", "ddp"},
    {"dp", "ddp"},
    {"dataparallel", "ddp"},
    {"allreduce", "ddp"},
};

const char *step_strategy(const StepRow *s)
{
    g_autofree char *squashed = squash(s->strategy);
    const char *value = word_value(strategy_words, G_N_ELEMENTS(strategy_words), squashed);
    return value == NULL || *value == '\0' ? NULL : value;
}

/* Words for ways of splitting a model that are none of ours, without the degree behind them:
 * "FSDP + TP8". */
static const char *const other_parallelisms[] = {
    "tp", "pp", "cp", "sp", "ep", "tensor", "pipeline", "context", "sequence", "horovod", NULL};

const char *step_other_parallelism(const StepRow *s)
{
    g_autofree char *lower = g_ascii_strdown(s->strategy, -1);
    g_auto(GStrv) words =
        g_strsplit(g_strcanon(lower, "abcdefghijklmnopqrstuvwxyz", ' '), " ", -1);
    for (int i = 0; other_parallelisms[i] != NULL; i++)
        if (g_strv_contains((const char *const *)words, other_parallelisms[i]))
            return other_parallelisms[i];
    return NULL;
}

/* "": a type that isn't modelled. "bfloat16" has "float16" in it; Apex' levels are of fp16. */
static const Word type_words[] = {
    {"mxfp", ""},        {"nvfp", ""},     {"fp4", ""},        {"int8", ""},
    {"int4", ""},        {"qlora", ""},    {"fp64", ""},       {"fp8", "fp8"},
    {"float8", "fp8"},   {"bf16", "bf16"}, {"bfloat", "bf16"}, {"fp16", "fp16"},
    {"float16", "fp16"}, {"half", "fp16"}, {"apex", "fp16"},   {"fp32", "fp32"},
    {"float32", "fp32"}, {"tf32", "fp32"},
};

const char *step_type(const StepRow *s)
{
    return word_value(type_words, G_N_ELEMENTS(type_words), s->precision);
}

/* Squashed, with "=" at the ends, so that "=no=" is a whole text. */
static const Word checkpointing_words[] = {
    {"none", "none"},      {"=no=", "none"},         {"=off=", "none"},
    {"=false=", "none"},   {"=0=", "none"},          {"=n=", "none"},
    {"disabled", "none"},  {"notused", "none"},      {"noact", "none"},
    {"nograd", "none"},    {"norecomp", "none"},     {"nocheckpoint", "none"},
    {"without", "none"},   {"full", "full"},         {"selective", "selective"},
    {"sac", "selective"},  {"partial", "selective"}, {"every", "selective"},
    {"half", "selective"}, {"=12=", "selective"},    {"=13=", "selective"},
    {"=14=", "selective"}, {"=yes=", "full"},        {"=true=", "full"},
    {"=on=", "full"},      {"=1=", "full"},          {"enabled", "full"},
    {"recomp", "full"},    {"checkpoint", "full"},   {"all", "full"},
    {"block", "full"},     {"perlayer", "full"},
};

const char *step_checkpointing(const StepRow *s)
{
    g_autofree char *squashed = squash(s->checkpointing);
    g_autofree char *whole = g_strconcat("=", squashed, "=", NULL);
    return word_value(checkpointing_words, G_N_ELEMENTS(checkpointing_words), whole);
}

gboolean step_offloads(const StepRow *s)
{
    static const char *const no[] = {"none", "no", "n", "0", "false", "off", NULL};
    g_autofree char *lower = g_ascii_strdown(s->offload, -1);
    return !csv_text_unsaid(lower) && !g_strv_contains(no, lower);
}
