/* SPDX-License-Identifier: MIT */
/* Reading ds_config.json and the [deepspeed] members: defaults from DeepSpeed's
 * runtime/zero/config.py and runtime/constants.py, "auto" as Hugging Face's
 * integrations/deepspeed.py resolves it. Which members there are is in
 * training_deepspeed_members.c. */
#include "training_deepspeed.h"

#include "error.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ELEMENTS_MAX (G_GINT64_CONSTANT(1) << 40)
/* The release that changed the gradient collective of stages 1 and 2 to what is modelled. */
#define OLDEST_VERSION 1204

static const DeepspeedKnobs default_knobs = {
    .contiguous_gradients = TRUE,
    .reduce_scatter = TRUE,
    .use_multi_rank_bucket_allreduce = TRUE,
    .reduce_bucket_size = 500000000,
    .sub_group_size = 1000000000,
    .prefetch_bucket_size = 50000000,
    .param_persistence_threshold = 100000,
    .model_persistence_threshold = G_MAXINT64,
    .max_live_parameters = 1000000000,
    .max_reuse_distance = 1000000000,
    .hpz_partition_size = 1,
    .gradient_predivide_factor = 1,
};

static const DeepspeedConfig empty_config = {
    .stage = -1,
    .bf16 = -1,
    .fp16 = -1,
    .optimizer = -1,
    .adam_w_mode = -1,
    .torch_adam = -1,
    .weight_decay = -1,
    .gradient_clipping = -1,
    .overlap_comm = -1,
    .communication_data_type = -1,
    .grad_accum_dtype = -1,
};

/* One document being read; `paths` holds the paths of its sections. */
typedef struct {
    JsonIn top;
    GStringChunk *paths;
    gint64 hidden_size;
    gboolean part; /* the document is a part of one that is read later */
} Reader;

static gboolean is_auto(const JsonIn *in, const char *key)
{
    const char *text = json_string_value(in->object ? json_object_get(in->object, key) : NULL);
    return g_strcmp0(text, "auto") == 0;
}

static gboolean read_flag(const JsonIn *in, const char *key, int *flag, GError **error)
{
    gboolean value = *flag;
    if (is_auto(in, key))
        return TRUE;
    if (!json_in_bool(in, key, FALSE, &value, error))
        return FALSE;
    *flag = value;
    return TRUE;
}

static gboolean read_dtype(const JsonIn *in, const char *key, int *dtype, GError **error)
{
    const char *text = NULL;
    DType value;

    if (!json_in_string(in, key, FALSE, &text, error))
        return FALSE;
    if (!text || strcmp(text, "auto") == 0)
        return TRUE;
    if (!dtype_parse(text, &value) ||
        (value != DTYPE_FP32 && value != DTYPE_BF16 && value != DTYPE_FP16)) {
        g_autofree char *quoted = error_quote(text);
        return json_in_refuse(in, key, error, "must be fp32, bf16 or fp16, not %s", quoted);
    }
    *dtype = (int)value;
    return TRUE;
}

/* ---- batch ---- */

static gboolean read_batch(const Reader *reader, int n_ranks, Batch *batch, GError **error)
{
    Batch given = {0, 0, 0};
    const struct {
        const char *key;
        gint64 maximum;
        gint64 *value;
    } sizes[] = {
        {"train_micro_batch_size_per_gpu", BATCH_MAX, &given.micro_batch},
        {"gradient_accumulation_steps", ACCUMULATION_MAX, &given.accumulation},
        {"train_batch_size", ELEMENTS_MAX, &given.global_batch},
    };
    const BatchNames names = {reader->top.file, sizes[0].key, sizes[1].key, sizes[2].key};

    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++)
        if (!is_auto(&reader->top, sizes[i].key) &&
            !json_in_int(&reader->top, sizes[i].key, FALSE, 1, sizes[i].maximum, sizes[i].value,
                         error))
            return FALSE;
    /* DeepSpeed takes one step where only the whole is given. */
    if (given.global_batch && !given.micro_batch && !given.accumulation && !batch->micro_batch)
        given.accumulation = 1;
    if (reader->part || (!given.micro_batch && !given.accumulation && !given.global_batch))
        return TRUE;
    return batch_resolve(batch, &given, n_ranks, &names, error);
}

/* ---- optimizer ---- */

static const struct {
    const char *type; /* DeepSpeed compares in lower case */
    OptimizerKind kind;
} optimizer_types[] = {
    {"adam", OPTIMIZER_ADAM},       {"adamw", OPTIMIZER_ADAMW},     {"lamb", OPTIMIZER_LAMB},
    {"lion", OPTIMIZER_LION},       {"adagrad", OPTIMIZER_ADAGRAD}, {"sgd", OPTIMIZER_SGD},
    {"rmsprop", OPTIMIZER_RMSPROP},
};

static gboolean read_optimizer(const Reader *reader, DeepspeedConfig *config, GError **error)
{
    JsonIn in, parameters;
    const char *type = NULL;

    if (!json_in_object(&reader->top, "optimizer", FALSE, reader->paths, &in, error) ||
        !json_in_string(&in, "type", FALSE, &type, error) ||
        !json_in_object(&in, "params", FALSE, reader->paths, &parameters, error) ||
        !read_flag(&parameters, "adam_w_mode", &config->adam_w_mode, error) ||
        !read_flag(&parameters, "torch_adam", &config->torch_adam, error))
        return FALSE;
    if (!is_auto(&parameters, "weight_decay") &&
        !json_in_double(&parameters, "weight_decay", FALSE, 0, 1e6, &config->weight_decay,
                        error))
        return FALSE;
    if (!type)
        return TRUE;
    g_autofree char *lower = g_ascii_strdown(type, -1);
    for (gsize i = 0; i < G_N_ELEMENTS(optimizer_types); i++)
        if (strcmp(lower, optimizer_types[i].type) == 0) {
            config->optimizer = (int)optimizer_types[i].kind;
            return TRUE;
        }
    g_autofree char *quoted = error_quote(type);
    g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                "%s: %s.type: %s is not modelled: modelled are Adam, AdamW, Lamb, Lion, "
                "Adagrad, SGD, RMSprop",
                in.file, in.path, quoted);
    return FALSE;
}

/* ---- zero_optimization ---- */

/* HF fills in reduce_bucket_size = h^2, stage3_prefetch_bucket_size = 0.9 h^2 and
 * stage3_param_persistence_threshold = 10 h (trainer_config_finalize). */
static gboolean read_sizes(const JsonIn *in, gint64 hidden_size, DeepspeedKnobs *knobs,
                           GError **error)
{
    const gint64 square = hidden_size * hidden_size;
    const gint64 ahead = (gint64)floor(0.9 * (double)square);
    const struct {
        const char *key;
        gint64 minimum, maximum;
        gint64 automatic; /* -1: "auto" is not a value */
        gint64 *value;
    } sizes[] = {
        {"reduce_bucket_size", 1, ELEMENTS_MAX, square, &knobs->reduce_bucket_size},
        {"sub_group_size", 1, G_MAXINT64, -1, &knobs->sub_group_size},
        {"prefetch_bucket_size", 0, G_MAXINT64, ahead, &knobs->prefetch_bucket_size},
        {"stage3_prefetch_bucket_size", 0, G_MAXINT64, ahead, &knobs->prefetch_bucket_size},
        {"param_persistence_threshold", 0, G_MAXINT64, 10 * hidden_size,
         &knobs->param_persistence_threshold},
        {"stage3_param_persistence_threshold", 0, G_MAXINT64, 10 * hidden_size,
         &knobs->param_persistence_threshold},
        {"model_persistence_threshold", 0, G_MAXINT64, -1, &knobs->model_persistence_threshold},
        {"stage3_model_persistence_threshold", 0, G_MAXINT64, -1,
         &knobs->model_persistence_threshold},
        {"max_live_parameters", 0, G_MAXINT64, -1, &knobs->max_live_parameters},
        {"stage3_max_live_parameters", 0, G_MAXINT64, -1, &knobs->max_live_parameters},
        {"max_reuse_distance", 0, G_MAXINT64, -1, &knobs->max_reuse_distance},
        {"stage3_max_reuse_distance", 0, G_MAXINT64, -1, &knobs->max_reuse_distance},
        {"zero_hpz_partition_size", 1, G_MAXINT, -1, &knobs->hpz_partition_size},
        {"mics_shard_size", -1, G_MAXINT, -1, &knobs->mics_shard_size},
        {"module_granularity_threshold", 0, G_MAXINT64, -1,
         &knobs->module_granularity_threshold},
        {"stage3_module_granularity_threshold", 0, G_MAXINT64, -1,
         &knobs->module_granularity_threshold},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        if (sizes[i].automatic >= 0 && is_auto(in, sizes[i].key) && hidden_size == 0)
            return json_in_refuse(
                in, sizes[i].key, error,
                "\"auto\" comes from the model's hidden size, and it has none");
        if (sizes[i].automatic >= 0 && is_auto(in, sizes[i].key))
            *sizes[i].value = sizes[i].automatic;
        else if (!json_in_int(in, sizes[i].key, FALSE, sizes[i].minimum, sizes[i].maximum,
                              sizes[i].value, error))
            return FALSE;
    }
    return TRUE;
}

/* The section's presence switches it on; what it holds changes numbers, not the work, but for
 * one step in reset_T that begins with errors of zero. */
static gboolean read_loco(const Reader *reader, const JsonIn *zero, DeepspeedKnobs *knobs,
                          GError **error)
{
    JsonIn in;
    double err_beta;
    gint64 reset_t;

    if (!json_in_object(zero, "zeropp_loco_param", FALSE, reader->paths, &in, error) ||
        !json_in_double(&in, "err_beta", FALSE, 0, 1, &err_beta, error) ||
        !json_in_int(&in, "reset_T", FALSE, 1, G_MAXINT64, &reset_t, error))
        return FALSE;
    knobs->loco = knobs->loco || in.object != NULL;
    return TRUE;
}

static gboolean read_zero(const Reader *reader, DeepspeedConfig *config, GError **error)
{
    JsonIn in;
    DeepspeedKnobs *knobs = &config->knobs;
    gint64 stage = config->stage;
    const struct {
        const char *key;
        gboolean *value;
    } flags[] = {
        {"contiguous_gradients", &knobs->contiguous_gradients},
        {"reduce_scatter", &knobs->reduce_scatter},
        {"use_multi_rank_bucket_allreduce", &knobs->use_multi_rank_bucket_allreduce},
        {"round_robin_gradients", &knobs->round_robin_gradients},
        {"zero_quantized_weights", &knobs->quantized_weights},
        {"zero_quantized_gradients", &knobs->quantized_gradients},
        {"mics_hierarchical_params_gather", &knobs->mics_hierarchical_params_gather},
        {"use_all_reduce_for_fetch_params", &knobs->use_all_reduce_for_fetch_params},
        {"stage3_use_all_reduce_for_fetch_params", &knobs->use_all_reduce_for_fetch_params},
    };

    if (!json_in_object(&reader->top, "zero_optimization", FALSE, reader->paths, &in, error))
        return FALSE;
    if (!json_in_int(&in, "stage", FALSE, 0, 3, &stage, error))
        return FALSE;
    config->stage = (int)stage;
    for (gsize i = 0; i < G_N_ELEMENTS(flags); i++)
        if (!json_in_bool(&in, flags[i].key, FALSE, flags[i].value, error))
            return FALSE;
    return read_flag(&in, "overlap_comm", &config->overlap_comm, error) &&
           read_sizes(&in, reader->hidden_size, knobs, error) &&
           read_loco(reader, &in, knobs, error);
}

/* ---- the whole document ---- */

static gboolean read_precision(const Reader *reader, DeepspeedConfig *config, GError **error)
{
    const struct {
        const char *section;
        int *flag;
    } switches[] = {
        {"bf16", &config->bf16}, {"bfloat16", &config->bf16}, {"fp16", &config->fp16}};
    JsonIn in, types;

    for (gsize i = 0; i < G_N_ELEMENTS(switches); i++)
        if (!json_in_object(&reader->top, switches[i].section, FALSE, reader->paths, &in,
                            error) ||
            !read_flag(&in, "enabled", switches[i].flag, error))
            return FALSE;
    if (config->bf16 > 0 && config->fp16 > 0)
        return json_in_refuse(&reader->top, "fp16.enabled", error,
                              "bf16 and fp16 cannot both be enabled");
    return json_in_object(&reader->top, "data_types", FALSE, reader->paths, &types, error) &&
           read_dtype(&types, "grad_accum_dtype", &config->grad_accum_dtype, error) &&
           read_dtype(&reader->top, "communication_data_type", &config->communication_data_type,
                      error);
}

static gboolean read_document(const Reader *reader, int n_ranks, DeepspeedConfig *config,
                              GError **error)
{
    /* HF's max_grad_norm. */
    if (is_auto(&reader->top, "gradient_clipping"))
        config->gradient_clipping = 1;
    else if (!json_in_double(&reader->top, "gradient_clipping", FALSE, 0, 1e9,
                             &config->gradient_clipping, error))
        return FALSE;
    return read_batch(reader, n_ranks, &config->batch, error) &&
           json_in_bool(&reader->top, "prescale_gradients", FALSE,
                        &config->knobs.prescale_gradients, error) &&
           json_in_double(&reader->top, "gradient_predivide_factor", FALSE, 1e-9, 1e9,
                          &config->knobs.gradient_predivide_factor, error) &&
           read_precision(reader, config, error) && read_optimizer(reader, config, error) &&
           read_zero(reader, config, error);
}

/* What a launcher makes of its own file, below ds_config.json. */
static gboolean read_imported(const Experiment *experiment, Reader *reader, int n_ranks,
                              DeepspeedConfig *config, GError **error)
{
    if (!experiment->imported_deepspeed)
        return TRUE;
    reader->top = (JsonIn){experiment->imported_deepspeed,
                           experiment_string(experiment, "training.accelerate_config"),
                           "deepspeed_config"};
    config->given = TRUE;
    return read_document(reader, n_ranks, config, error);
}

static gboolean read_config_file(const Experiment *experiment, Reader *reader, int n_ranks,
                                 GPtrArray *warnings, DeepspeedConfig *config, GError **error)
{
    const char *file = experiment_string(experiment, "training.deepspeed_config");
    if (!file)
        return TRUE;
    g_autoptr(json_t) document = json_in_load(file, error);
    if (!document)
        return FALSE;
    reader->top = (JsonIn){document, file, ""};
    config->given = TRUE;
    config->stage = 0;
    return deepspeed_members_check(&reader->top, FALSE, warnings, error) &&
           read_document(reader, n_ranks, config, error);
}

/* The experiment's own members; overrides are read alone first, so that their mistakes aren't
 * blamed on the file. */
static gboolean read_members(const Experiment *experiment, Reader *reader, int n_ranks,
                             DeepspeedConfig *config, GError **error)
{
    const struct {
        const json_t *object;
        const char *file;
    } documents[] = {{experiment->deepspeed_overrides, "-s"},
                     {experiment->deepspeed, experiment->file ? experiment->file : "-s"}};

    for (gsize i = 0; i < G_N_ELEMENTS(documents); i++) {
        reader->top = (JsonIn){documents[i].object, documents[i].file, "deepspeed"};
        if (!deepspeed_members_check(&reader->top, TRUE, NULL, error))
            return FALSE;
    }
    if (json_object_size(experiment->deepspeed) == 0)
        return TRUE;
    config->given = TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(documents); i++) {
        DeepspeedConfig trial = *config;
        reader->top = (JsonIn){documents[i].object, documents[i].file, "deepspeed"};
        reader->part = documents[i].object == experiment->deepspeed_overrides;
        if (!read_document(reader, n_ranks, &trial, error))
            return FALSE;
        if (!reader->part)
            *config = trial;
    }
    return TRUE;
}

/* "0.17.5" is 1705. */
static gboolean read_version(const Experiment *experiment, int *version, GError **error)
{
    const char *text = experiment_string(experiment, "deepspeed.version");
    g_autofree char *where = experiment_where(experiment, "deepspeed.version");
    g_autofree char *quoted = error_quote(text);
    int major, minor, patch, end = 0;

    if (strspn(text, "0123456789.") != strlen(text) || strlen(text) > 8 ||
        sscanf(text, "%d.%d.%d%n", &major, &minor, &patch, &end) != 3 || text[end] ||
        major > 99 || minor > 99 || patch > 99) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: must be a release such as 0.17.5, not %s", where, quoted);
        return FALSE;
    }
    *version = major * 10000 + minor * 100 + patch;
    if (*version < OLDEST_VERSION) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                    "%s: releases before 0.12.4 reduced gradients otherwise, which is not "
                    "modelled: %s",
                    where, quoted);
        return FALSE;
    }
    return TRUE;
}

void deepspeed_config_init(DeepspeedConfig *config)
{
    *config = empty_config;
    config->knobs = default_knobs;
}

gboolean deepspeed_config_read(const Experiment *experiment, int n_ranks, gint64 hidden_size,
                               GPtrArray *warnings, DeepspeedConfig *config, GError **error)
{
    g_autoptr(GStringChunk) paths = g_string_chunk_new(256);
    Reader reader = {.paths = paths, .hidden_size = hidden_size};

    deepspeed_config_init(config);
    return read_version(experiment, &config->knobs.version, error) &&
           read_imported(experiment, &reader, n_ranks, config, error) &&
           read_config_file(experiment, &reader, n_ranks, warnings, config, error) &&
           read_members(experiment, &reader, n_ranks, config, error);
}

void deepspeed_warn_without_effect(const Training *training, GPtrArray *warnings)
{
    const DeepspeedKnobs *knobs = &training->deepspeed;
    const gboolean stage3 = training->strategy == STRATEGY_ZERO3;
    const struct {
        const char *member;
        gboolean without_effect;
        const char *why;
    } rows[] = {
        {"zero_quantized_weights", knobs->quantized_weights && !stage3, "below stage 3"},
        {"zero_quantized_gradients", knobs->quantized_gradients && !stage3, "below stage 3"},
        {"zero_hpz_partition_size", knobs->hpz_partition_size > 1 && !stage3, "below stage 3"},
        {"mics_shard_size", knobs->mics_shard_size > 0 && !stage3, "below stage 3"},
        {"stage3_module_granularity_threshold",
         knobs->module_granularity_threshold > 0 && !stage3, "below stage 3"},
        {"stage3_use_all_reduce_for_fetch_params",
         knobs->use_all_reduce_for_fetch_params && !stage3, "below stage 3"},
        {"zeropp_loco_param", knobs->loco && !(knobs->quantized_gradients && stage3),
         "without zero_quantized_gradients"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        if (rows[i].without_effect)
            g_ptr_array_add(warnings, g_strdup_printf("deepspeed.zero_optimization.%s: no "
                                                      "effect %s",
                                                      rows[i].member, rows[i].why));
}
