/* SPDX-License-Identifier: MIT */
/* From a row's free text (who ran it, strategy, precision, attention, optimizer) to an
 * experiment's keys. What the text can't say is what its trainer is known to do, never a
 * constant of a row. */
#include "error.h"
#include "validate_steps.h"

#include <math.h>
#include <string.h>

static const Trainer trainers[] = {
    /* Composer's defaults are BACKWARD_POST (composer/trainer/mosaic_fsdp.py) and
     * DecoupledAdamW, which steps parameter by parameter
     * (composer/optim/decoupled_weight_decay.py); flash-attn 1.0 is in setup.py's gpu extra;
     * the yaml files clip at 1. */
    {.word = "llm-foundry",
     .stack = "pytorch",
     .framework = "pytorch",
     .fsdp_version = "1",
     .prefetch = "post",
     .flash = "flash1",
     .optimizer_implementation = "loop",
     .gradient_clipping = 1},
    /* torchtitan/config_manager.py: reduce in fp32, clip at 1 */
    {.word = "torchtitan",
     .stack = "pytorch",
     .framework = "pytorch",
     .fsdp_version = "2",
     .reduce_dtype = "fp32",
     .gradient_clipping = 1},
    /* fms_fsdp/policies/mixed_precision.py: reduce in bf16; main_training_llama.py clips at 1
     */
    {.word = "fms-fsdp",
     .stack = "pytorch",
     .framework = "pytorch",
     .fsdp_version = "1",
     .gradient_clipping = 1},
    {.word = "llm.c",
     .stack = "llm.c",
     .framework = "paper",
     .optimizer_implementation = "fused",
     .gradient_clipping = 1,
     .stand_in = "llm.c as the ZeRO paper's schedule"},
    {.word = "jax",
     .stack = "jax-xla",
     .framework = "pytorch",
     .fsdp_version = "2",
     .optimizer_implementation = "fused",
     .gradient_clipping = 1,
     .stand_in = "XLA as PyTorch"},
    {.word = "nanogpt",
     .stack = "pytorch",
     .framework = "pytorch",
     .fsdp_version = "2",
     .optimizer_implementation = "fused",
     .gradient_clipping = 1},
    {.word = "tinyllama",
     .stack = "pytorch",
     .framework = "pytorch",
     .fsdp_version = "1",
     .optimizer_implementation = "fused",
     .gradient_clipping = 1},
    /* results/truth/truth.py: says what it ran */
    {.word = "results/truth",
     .stack = "pytorch",
     .framework = "pytorch",
     .fsdp_version = "2",
     .exact = TRUE},
    /* -- programs end here; below are libraries */
    {.word = "deepspeed zero", .stack = "deepspeed", .framework = "deepspeed"},
    {.word = "fsdp2", .stack = "pytorch", .framework = "pytorch", .fsdp_version = "2"},
    {.word = "fsdp", .stack = "pytorch", .framework = "pytorch", .fsdp_version = "1"},
    {.word = "deepspeed", .stack = "deepspeed", .framework = "deepspeed"},
    /* -- those that others are built on, so that they may be named beside them */
    {.word = "megatron-lm",
     .stack = "megatron",
     .framework = "paper",
     .optimizer_implementation = "fused",
     .gradient_clipping = 1,
     .stand_in = "Megatron-LM as the ZeRO paper's schedule"},
    {.word = "horovod",
     .stack = "horovod",
     .framework = "pytorch",
     .fsdp_version = "2",
     .stand_in = "Horovod as DDP"},
    {.word = "", .stack = "pytorch", .framework = "pytorch", .fsdp_version = "2"},
};
enum { N_PROGRAMS = 8, N_LIBRARIES = 12, N_TRAINERS = G_N_ELEMENTS(trainers) };

/* A program's name anywhere tells most; of libraries the strategy knows best, then the note,
 * the title, the file. */
static const Trainer *trainer_of(const CsvRow *row)
{
    static const char *const columns[] = {"strategy", "note", "source_title", "source_locator"};
    for (gsize t = 0; t < N_PROGRAMS; t++)
        for (gsize i = 0; i < G_N_ELEMENTS(columns); i++)
            if (step_text_has(csv_row_text(row, columns[i]), trainers[t].word))
                return &trainers[t];
    for (gsize i = 0; i < G_N_ELEMENTS(columns); i++)
        for (gsize t = N_PROGRAMS; t < N_LIBRARIES; t++)
            if (step_text_has(csv_row_text(row, columns[i]), trainers[t].word))
                return &trainers[t];
    for (gsize i = 0; i < G_N_ELEMENTS(columns); i++)
        for (gsize t = N_LIBRARIES; t < N_TRAINERS - 1; t++)
            if (step_text_has(csv_row_text(row, columns[i]), trainers[t].word))
                return &trainers[t];
    return &trainers[N_TRAINERS - 1];
}

static gboolean read_counts(StepRow *s, GError **error)
{
    const struct {
        const char *column;
        gint64 *value, maximum;
    } counts[] = {
        {"year", &s->year, 9999},
        {"n_gpus", &s->n_gpus, 1 << 20},
        {"gpus_per_node", &s->gpus_per_node, 1024},
        {"micro_batch_per_gpu", &s->micro_batch, 1 << 20},
        {"grad_accum", &s->grad_accum, 4096},
        {"global_batch_tokens", &s->global_batch_tokens, G_GINT64_CONSTANT(1) << 50},
        {"seq_len", &s->sequence_length, 1 << 30},
        {"hsdp_shard_size", &s->hsdp_shard, 1 << 20},
        {"n_layer", &s->model.n_layer, 100000},
        {"d_model", &s->model.d_model, 1 << 24},
        {"n_head", &s->model.n_head, 1 << 20},
        {"n_kv_head", &s->model.n_kv_head, 1 << 20},
        {"d_ff", &s->model.d_ff, 1 << 26},
        {"vocab", &s->model.vocabulary, 1 << 26},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(counts); i++)
        if (!csv_row_int(s->row, counts[i].column, 1, counts[i].maximum, counts[i].value,
                         error))
            return FALSE;
    return TRUE;
}

static gboolean read_numbers(StepRow *s, GError **error)
{
    const struct {
        const char *column;
        double *value;
    } numbers[] = {
        {"inter_node_link_GBps_per_gpu", &s->nic_GBps},
        {"tokens_per_s_per_gpu", &s->tokens_per_s_per_gpu},
        {"step_time_s", &s->step_time_s},
        {"peak_mem_GiB", &s->peak_mem_GiB},
        {"mfu_pct", &s->mfu},
        {"hfu_pct", &s->hfu},
        {"params_B", &s->params_B},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++)
        if (!csv_row_double(s->row, numbers[i].column, 0, 1e15, numbers[i].value, error))
            return FALSE;
    return TRUE;
}

gboolean step_row_read(const CsvRow *row, StepRow *s, GError **error)
{
    *s = (StepRow){
        .row = row,
        .trainer = trainer_of(row),
        .strategy = csv_row_text(row, "strategy"),
        .precision = csv_row_text(row, "precision"),
        .checkpointing = csv_row_text(row, "act_checkpoint"),
        .attention = csv_row_text(row, "attention_impl"),
        .optimizer = csv_row_text(row, "optimizer"),
        .offload = csv_row_text(row, "cpu_offload"),
        .note = csv_row_text(row, "note"),
    };
    if (!read_counts(s, error) || !read_numbers(s, error))
        return FALSE;
    s->model.name = csv_row_text(row, "model");
    s->model.sequence_length = s->sequence_length;
    s->model.parameters = s->params_B * 1e9;
    /* A padded vocabulary is what the matrix product sees. */
    const char *padded = csv_text_find(s->note, "vocab padded to ");
    if (padded != NULL)
        s->model.vocabulary = g_ascii_strtoll(padded + strlen("vocab padded to "), NULL, 10);
    return TRUE;
}

/* ---- text → keys ---- */

/* The first word that the text contains decides. */
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

static const Word attention_words[] = {
    {"cudnn", "cudnn"}, {"sdpa", "sdpa"},   {"flash", "flash2"}, {"triton", "flash2"},
    {"eager", "eager"}, {"torch", "eager"}, {"math", "eager"}};
static const Word optimizer_words[] = {
    {"adam8", "adam8bit"},      {"8bit", "adam8bit"},   {"adamw", "adamw"},    {"lamb", "lamb"},
    {"adafactor", "adafactor"}, {"adagrad", "adagrad"}, {"lion", "lion"},      {"adam", "adam"},
    {"momentum", "momentum"},   {"sgd", "sgd"},         {"rmsprop", "rmsprop"}};

static gboolean check_parallelism(const StepRow *s, GError **error)
{
    const char *other = step_other_parallelism(s);
    if (other == NULL)
        return TRUE;
    g_autofree char *quoted = error_quote(s->strategy);
    g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED, "the strategy %s: %s is not modelled",
                quoted, other);
    return FALSE;
}

static gboolean set_strategy(ValidateCase *c, const StepRow *s, GError **error)
{
    const char *strategy = step_strategy(s);
    const Trainer *trainer = s->trainer;
    if (!check_parallelism(s, error))
        return FALSE;
    if (strategy == NULL && s->n_gpus == 1) /* nothing to split */
        strategy = "ddp";
    if (strategy == NULL) {
        g_autofree char *quoted = error_quote(s->strategy);
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED, "the strategy %s is none of ours",
                    quoted);
        return FALSE;
    }
    if (trainer->stand_in != NULL)
        validate_case_assume(c, "%s", trainer->stand_in);
    if (!validate_case_set(c, error, "training.framework=%s", trainer->framework))
        return FALSE;
    if (strcmp(strategy, "hsdp") == 0) {
        if (strcmp(trainer->framework, "pytorch") != 0) {
            g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                        "hybrid sharding is modelled for PyTorch's FSDP only");
            return FALSE;
        }
        const gint64 group = s->hsdp_shard > 0 ? s->hsdp_shard : c->gpus_per_node;
        if (!validate_case_set(c, error, "fsdp.shard_group_size=%" G_GINT64_FORMAT, group))
            return FALSE;
        strategy = "zero3";
    }
    if (!validate_case_set(c, error, "training.strategy=%s", strategy))
        return FALSE;
    const gboolean fsdp = strcmp(trainer->framework, "pytorch") == 0 &&
                          strcmp(strategy, "ddp") != 0 && strcmp(strategy, "zero1") != 0;
    if (!fsdp)
        return TRUE;
    if (trainer->reduce_dtype != NULL &&
        !validate_case_set(c, error, "training.reduce_dtype=%s", trainer->reduce_dtype))
        return FALSE;
    if (trainer->prefetch != NULL &&
        !validate_case_set(c, error, "fsdp.backward_prefetch=%s", trainer->prefetch))
        return FALSE;
    return validate_case_set(c, error, "fsdp.version=%s", trainer->fsdp_version);
}

/* PyTorch rows say bf16 and mean 16-bit compute over fp32 parameters; elsewhere 16-bit
 * parameters have an fp32 master copy. */
static gboolean set_precision(ValidateCase *c, const StepRow *s, GError **error)
{
    const gboolean pytorch = strcmp(s->trainer->framework, "pytorch") == 0;
    const char *type = step_type(s);
    if (type != NULL && *type == '\0') {
        g_autofree char *quoted = error_quote(s->precision);
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED, "the precision %s is not modelled",
                    quoted);
        return FALSE;
    }
    if (type == NULL) {
        type =
            step_text_has(s->row ? csv_row_text(s->row, "gpu") : "", "V100") ? "fp16" : "bf16";
        validate_case_assume(c, "precision %s", type);
    }
    if (!pytorch && strcmp(type, "fp8") == 0) {
        type = "bf16";
        validate_case_assume(c, "bf16 in place of fp8");
    }
    const gboolean mixed = pytorch && strcmp(type, "fp32") != 0 && strcmp(type, "fp8") != 0 &&
                           (!s->trainer->exact || step_text_has(s->precision, "autocast"));
    g_autofree char *precision =
        g_strdup_printf("training.precision=%s%s", mixed ? "autocast-" : "", type);
    if (!validate_case_wish(c, precision, "training.precision=autocast-bf16",
                            "bf16 in place of fp8", error))
        return FALSE;
    if (!step_text_has(s->precision, "compile"))
        return TRUE;
    return validate_case_wish(c, "training.compile=true", "training.compile=false",
                              "not compiled", error);
}

static gboolean set_attention(ValidateCase *c, const StepRow *s, GError **error)
{
    const char *attention =
        word_value(attention_words, G_N_ELEMENTS(attention_words), s->attention);
    if (attention == NULL) {
        /* Flash attention needs an Ampere GPU. */
        attention = step_text_has(csv_row_text(s->row, "gpu"), "V100") ? "eager" : "sdpa";
        validate_case_assume(c, "attention %s", attention);
    }
    if (s->trainer->flash != NULL && strcmp(attention, "flash2") == 0 &&
        !step_text_has(s->attention, "2")) {
        g_autofree char *wish = g_strconcat("training.attention=", s->trainer->flash, NULL);
        return validate_case_wish(c, wish, "training.attention=flash2",
                                  "FlashAttention-2 in place of 1", error);
    }
    return validate_case_set(c, error, "training.attention=%s", attention);
}

/* Recomputing stopped early from PyTorch 2.1 on, of October 2023. */
#define EARLY_STOP_SINCE 2024

static gboolean set_early_stop(ValidateCase *c, const StepRow *s, GError **error)
{
    if (strcmp(s->trainer->framework, "pytorch") != 0 || s->year == 0)
        return TRUE;
    return validate_case_set(c, error, "training.checkpointing_early_stop=%s",
                             s->year >= EARLY_STOP_SINCE ? "true" : "false");
}

static gboolean set_optimizer(ValidateCase *c, const StepRow *s, GError **error)
{
    const char *optimizer =
        word_value(optimizer_words, G_N_ELEMENTS(optimizer_words), s->optimizer);
    if (optimizer == NULL) {
        optimizer = "adamw";
        validate_case_assume(c, "optimizer adamw");
    }
    const char *implementation = s->trainer->optimizer_implementation;
    if (s->trainer->exact)
        implementation = step_text_has(s->note, "foreach") ? "foreach" : "fused";
    if (implementation != NULL &&
        !validate_case_set(c, error, "training.optimizer_implementation=%s", implementation))
        return FALSE;
    return validate_case_set(c, error, "training.optimizer=%s", optimizer) &&
           validate_case_set(c, error, "training.gradient_clipping=%g",
                             s->trainer->gradient_clipping);
}

/* ZeRO++ and offload: DeepSpeed's own members, so that DeepSpeed's reader judges them. */
static gboolean set_extras(ValidateCase *c, const StepRow *s, GError **error)
{
    const gboolean deepspeed = strcmp(s->trainer->framework, "deepspeed") == 0;
    const char *const zeropp[] = {"deepspeed.zero_optimization.zero_quantized_weights=true",
                                  "deepspeed.zero_optimization.zero_quantized_gradients=true",
                                  NULL};
    if (step_offloads(s)) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                    "offload of the %s to the CPU is not modelled yet", s->offload);
        return FALSE;
    }
    if (!deepspeed ||
        (!step_text_has(s->note, "ZeRO++") && !step_text_has(s->strategy, "ZeRO++")))
        return TRUE;
    for (int i = 0; zeropp[i] != NULL; i++)
        if (!validate_case_set(c, error, "%s", zeropp[i]))
            return FALSE;
    return validate_case_set(c, error, "deepspeed.zero_optimization.zero_hpz_partition_size=%d",
                             MAX(c->gpus_per_node, 1));
}

/* A row without a micro-batch may say it by its step's tokens. */
static void micro_batch_from_tokens(ValidateCase *c, StepRow *s)
{
    const gint64 tokens = s->sequence_length * s->n_gpus * MAX(s->grad_accum, 1);
    if (tokens == 0 || s->global_batch_tokens < tokens)
        return;
    s->micro_batch = s->global_batch_tokens / tokens;
    validate_case_assume(c, "micro-batch %" G_GINT64_FORMAT " from the step's tokens",
                         s->micro_batch);
}

/* A batch that isn't whole micro-batches on every GPU runs a last, smaller micro-step: its time
 * is taken in proportion. */
static gboolean set_batch(ValidateCase *c, StepRow *s, double *scale, GError **error)
{
    *scale = 1;
    if (s->micro_batch == 0)
        micro_batch_from_tokens(c, s);
    if (s->micro_batch == 0) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED, "the row has no micro-batch");
        return FALSE;
    }
    const gint64 tokens = s->micro_batch * s->sequence_length * s->n_gpus; /* a micro-step */
    if (tokens > 0 && s->global_batch_tokens > 0) {
        const double micro_steps = (double)s->global_batch_tokens / (double)tokens;
        if (s->grad_accum == 0)
            s->grad_accum = MAX((gint64)ceil(micro_steps - 1e-9), 1);
        *scale = micro_steps / (double)s->grad_accum;
        if (fabs(*scale - 1) > 1e-9)
            validate_case_assume(c, "the last micro-step in proportion");
    }
    if (s->grad_accum == 0) {
        s->grad_accum = 1;
        validate_case_assume(c, "no gradient accumulation");
    }
    return validate_case_set(c, error, "training.micro_batch=%d", (int)s->micro_batch) &&
           validate_case_set(c, error, "training.gradient_accumulation=%d", (int)s->grad_accum);
}

gboolean step_case_build(ValidateCase *c, StepRow *s, double *scale, GError **error)
{
    const PlatformFacts platform = {csv_row_text(s->row, "gpu"),
                                    (int)s->gpus_per_node,
                                    (int)s->n_gpus,
                                    s->nic_GBps * 1e9,
                                    csv_row_text(s->row, "intra_node_link"),
                                    csv_row_text(s->row, "source_locator")};
    if (s->n_gpus == 0) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED, "the row has no n_gpus");
        return FALSE;
    }
    g_autofree char *name = validate_model_name(s->model.name);
    ModelFacts model = s->model;
    model.name = name;
    return validate_case_platform(c, &platform, error) &&
           validate_case_model(c, &model, error) && set_strategy(c, s, error) &&
           set_precision(c, s, error) && set_attention(c, s, error) &&
           set_early_stop(c, s, error) && set_optimizer(c, s, error) &&
           set_extras(c, s, error) && set_batch(c, s, scale, error) &&
           validate_case_set(c, error, "training.dropout=0");
}
