/* SPDX-License-Identifier: MIT */
/* The `inputs` of a result: what a reader needs to run it again, and to know that it is the
 * same. Every key of the experiment as resolved, the files by name and checksum (never by
 * path), versions; no time stamps. */
#include "error.h"
#include "predict.h"
#include "sim_version.h"

#include <string.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

static json_t *bool_json(gboolean value)
{
    return json_boolean(value);
}

static json_t *precision_record(const Precision *precision)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "parameter",
                     dtype_name(precision->parameter), "gather", dtype_name(precision->gather),
                     "forward", dtype_name(precision->forward), "compute",
                     dtype_name(precision->compute), "gradient",
                     dtype_name(precision->gradient), "reduce", dtype_name(precision->reduce),
                     "state", dtype_name(precision->state), "master",
                     bool_json(precision->master), "autocast", bool_json(precision->autocast));
}

static json_t *training_record(const Training *training)
{
    const Optimizer *optimizer = &training->optimizer;
    return json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:o, s:s, s:s, s:f, s:s, s:o, s:s, s:f, s:s}", "framework",
        framework_name(training->framework), "strategy", strategy_name(training->strategy),
        "micro_batch", (json_int_t)training->micro_batch, "gradient_accumulation",
        (json_int_t)training->gradient_accumulation, "global_batch",
        (json_int_t)training->global_batch, "compile", bool_json(training->compile),
        "optimizer", optimizer_name(optimizer->kind), "optimizer_implementation",
        implementation_name(optimizer->implementation), "weight_decay", optimizer->weight_decay,
        "activation_checkpointing", checkpointing_name(training->checkpointing),
        "checkpointing_early_stop", bool_json(training->checkpointing_early_stop), "attention",
        attention_name(training->attention), "gradient_clipping", training->gradient_clipping,
        "reduce_dtype", dtype_name(training->precision.reduce));
}

static json_t *ddp_record(const DdpKnobs *ddp)
{
    return json_pack("{s:f, s:I, s:o, s:o, s:o, s:o}", "bucket_cap_mb",
                     (double)ddp->bucket_cap_bytes / 0x1p20, "first_bucket_bytes",
                     (json_int_t)ddp->first_bucket_bytes, "gradient_as_bucket_view",
                     bool_json(ddp->gradient_as_bucket_view), "broadcast_buffers",
                     bool_json(ddp->broadcast_buffers), "no_sync", bool_json(ddp->no_sync),
                     "parameters_as_bucket_view", bool_json(ddp->parameters_as_bucket_view));
}

static json_t *fsdp_record(const FsdpKnobs *fsdp)
{
    return json_pack("{s:o}", "reshard_after_forward",
                     fsdp->reshard_group_size > 0 ? json_integer(fsdp->reshard_group_size)
                                                  : bool_json(fsdp->reshard_after_forward));
}

/* Under DeepSpeed's own names, as resolved from ds_config.json, overrides and defaults. */
static json_t *zero_optimization_record(const DeepspeedKnobs *knobs)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "contiguous_gradients",
        bool_json(knobs->contiguous_gradients), "reduce_scatter",
        bool_json(knobs->reduce_scatter), "use_multi_rank_bucket_allreduce",
        bool_json(knobs->use_multi_rank_bucket_allreduce), "overlap_comm",
        bool_json(knobs->overlap_comm), "round_robin_gradients",
        bool_json(knobs->round_robin_gradients), "reduce_bucket_size",
        (json_int_t)knobs->reduce_bucket_size, "sub_group_size",
        (json_int_t)knobs->sub_group_size, "stage3_prefetch_bucket_size",
        (json_int_t)knobs->prefetch_bucket_size, "stage3_param_persistence_threshold",
        (json_int_t)knobs->param_persistence_threshold, "stage3_model_persistence_threshold",
        (json_int_t)knobs->model_persistence_threshold, "stage3_max_live_parameters",
        (json_int_t)knobs->max_live_parameters, "stage3_max_reuse_distance",
        (json_int_t)knobs->max_reuse_distance);
}

static json_t *deepspeed_record(const DeepspeedKnobs *knobs)
{
    return json_pack("{s:o, s:o, s:f, s:s, s:s}", "zero_optimization",
                     zero_optimization_record(knobs), "prescale_gradients",
                     bool_json(knobs->prescale_gradients), "gradient_predivide_factor",
                     knobs->gradient_predivide_factor, "communication_data_type",
                     dtype_name(knobs->communication_data_type), "grad_accum_dtype",
                     dtype_name(knobs->grad_accum_dtype));
}

/* A key as the user wrote it or by default, where no layer below resolves it further. */
static json_t *key_value(const Experiment *experiment, const ExperimentKey *key)
{
    g_autofree char *name = g_strconcat(key->section, ".", key->key, NULL);
    const char *text = experiment_string(experiment, name);
    if (text == NULL)
        return json_null();
    switch (key->type) {
    case KEY_INT:
        return json_integer(experiment_int(experiment, name));
    case KEY_DOUBLE:
        return json_real(experiment_double(experiment, name));
    case KEY_BOOL:
        return json_boolean(experiment_bool(experiment, name));
    case KEY_PATH:
    case KEY_NAME_OR_PATH: {
        g_autofree char *base = g_path_get_basename(text);
        return json_string(base);
    }
    case KEY_INT_OR_AUTO:
        if (strcmp(text, "auto") != 0)
            return json_integer(experiment_int(experiment, name));
        return json_string(text);
    case KEY_INT_OR_BOOL:
        if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
            return json_boolean(experiment_bool(experiment, name));
        return json_integer(experiment_int(experiment, name));
    case KEY_STRING:
    case KEY_CHOICE:
        return json_string(text);
    }
    g_assert_not_reached();
}

static json_t *resolved_record(const Inputs *inputs)
{
    const Training *training = inputs->training;
    json_t *record =
        json_pack("{s:{s:I}, s:o, s:{s:s}, s:o, s:o}", "model", "sequence_length",
                  (json_int_t)inputs->model->sequence_length, "training",
                  training_record(training), "gpu", "profile", inputs->profile->name, "ddp",
                  ddp_record(&training->ddp), "fsdp", fsdp_record(&training->fsdp));
    g_assert(record != NULL);
    return record;
}

/* Every key in the order of the table, by section. */
static json_t *experiment_record(const Inputs *inputs)
{
    g_autoptr(json_t) resolved = resolved_record(inputs);
    json_t *record = json_object();
    for (int i = 0; i < experiment_n_keys; i++) {
        const ExperimentKey *key = &experiment_keys[i];
        json_t *section = json_object_get(record, key->section);
        if (section == NULL) {
            section = json_object();
            json_object_set_new(record, key->section, section);
        }
        json_t *value = json_object_get(json_object_get(resolved, key->section), key->key);
        json_object_set_new(section, key->key,
                            value != NULL ? json_incref(value)
                                          : key_value(inputs->experiment, key));
    }
    json_object_set_new(json_object_get(record, "training"), "dtypes",
                        precision_record(&inputs->training->precision));
    if (inputs->training->framework == FRAMEWORK_DEEPSPEED) {
        g_autoptr(json_t) knobs = deepspeed_record(&inputs->training->deepspeed);
        json_object_update(json_object_get(record, "deepspeed"), knobs);
    }
    return record;
}

/* {"name", "sha256"} of a file, NULL where there is none. */
static gboolean add_file(json_t *files, const char *what, const char *file, const char *name,
                         GError **error)
{
    g_autofree char *contents = NULL;
    g_autoptr(GError) cause = NULL;
    gsize length;
    if (file == NULL)
        return TRUE;
    if (!g_file_get_contents(file, &contents, &length, &cause)) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s", file, cause->message);
        return FALSE;
    }
    g_autofree char *sum =
        g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)contents, length);
    g_autofree char *base = g_path_get_basename(name);
    json_object_set_new(files, what, json_pack("{s:s, s:s}", "name", base, "sha256", sum));
    return TRUE;
}

static json_t *files_record(const Inputs *inputs, GError **error)
{
    const Experiment *experiment = inputs->experiment;
    const char *model = experiment_string(experiment, "model.config");
    const char *deepspeed = experiment_string(experiment, "training.deepspeed_config");
    const char *accelerate = experiment_string(experiment, "training.accelerate_config");
    const char *torchtitan = experiment_string(experiment, "training.torchtitan_config");
    const char *overlay = experiment_string(experiment, "gpu.overlay");
    const Cluster *cluster = inputs->cluster;
    g_autoptr(json_t) files = json_object();
    if (!add_file(files, "experiment", experiment->file, experiment->file, error) ||
        !add_file(files, "model", model, model, error) ||
        !add_file(files, "deepspeed_config", deepspeed, deepspeed, error) ||
        !add_file(files, "accelerate_config", accelerate, accelerate, error) ||
        !add_file(files, "torchtitan_config", torchtitan, torchtitan, error) ||
        !add_file(files, "platform", cluster->xml_file, cluster->name, error) ||
        !add_file(files, "gpu_overlay", overlay, overlay, error))
        return NULL;
    for (guint i = 0; i < inputs->profiles->len; i++) {
        const Profile *profile = inputs->profiles->pdata[i];
        g_autofree char *name =
            i == 0 ? g_strdup("gpu_profile") : g_strdup_printf("gpu_profile_%u", i + 1);
        json_object_set_new(
            files, name,
            json_pack("{s:s, s:s}", "name", profile->name, "sha256", profile->sha256));
    }
    return g_steal_pointer(&files);
}

/* What was measured beside the kernels, and so replaces what is assumed. */
static json_t *gpu_record(const Profile *profile)
{
    const ProfileFactors *factors = &profile->factors;
    const gboolean host_is_measured = factors->framework_launch_s > 0;
    return json_pack("{s:s, s:{s:f, s:i}, s:f, s:{s:f, s:s}}", "interference",
                     profile_has_interference(profile) ? "measured" : "assumed",
                     "layer_forward", "ratio", factors->chain_ratio, "chains",
                     factors->n_chains, "launch_s", profile->launch_s, "host_launch", "value_s",
                     profile->host_launch_s, "source",
                     host_is_measured ? "measured" : "assumed");
}

json_t *inputs_record(const Inputs *inputs, GError **error)
{
    g_autofree char *simgrid = sim_version();
    json_t *files = files_record(inputs, error);
    if (files == NULL)
        return NULL;
    json_t *record =
        json_pack("{s:o, s:o, s:o, s:{s:s, s:s}}", "experiment", experiment_record(inputs),
                  "files", files, "gpu_factors", gpu_record(inputs->profile), "versions",
                  "zerosim", PACKAGE_VERSION, "simgrid", simgrid);
    g_assert(record != NULL);
    return record;
}
