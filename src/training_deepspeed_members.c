/* SPDX-License-Identifier: MIT */
/* Which members of ds_config.json are modelled, which don't change a step's time, memory or
 * volume, and which do and aren't modelled: those pass only at the value that switches them
 * off. Names from DeepSpeed's runtime/config.py, runtime/zero/config.py and docs. */
#include "training_deepspeed.h"

#include "error.h"

#include <string.h>

#define ZERO "zero_optimization."

static const char *const modelled[] = {
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
    "gradient_clipping",
    "prescale_gradients",
    "gradient_predivide_factor",
    "communication_data_type",
    "data_types.grad_accum_dtype",
    "bf16.enabled",
    "bfloat16.enabled",
    "fp16.enabled",
    "optimizer.type",
    "optimizer.params.weight_decay",
    "optimizer.params.adam_w_mode",
    "optimizer.params.torch_adam",
    ZERO "stage",
    ZERO "contiguous_gradients",
    ZERO "reduce_scatter",
    ZERO "reduce_bucket_size",
    ZERO "use_multi_rank_bucket_allreduce",
    ZERO "overlap_comm",
    ZERO "round_robin_gradients",
    ZERO "sub_group_size",
    ZERO "prefetch_bucket_size",
    ZERO "stage3_prefetch_bucket_size",
    ZERO "param_persistence_threshold",
    ZERO "stage3_param_persistence_threshold",
    ZERO "model_persistence_threshold",
    ZERO "stage3_model_persistence_threshold",
    ZERO "max_live_parameters",
    ZERO "stage3_max_live_parameters",
    ZERO "zero_hpz_partition_size",
    ZERO "mics_shard_size",
    ZERO "mics_hierarchical_params_gather",
    ZERO "module_granularity_threshold",
    ZERO "stage3_module_granularity_threshold",
    ZERO "use_all_reduce_for_fetch_params",
    ZERO "stage3_use_all_reduce_for_fetch_params",
    ZERO "zero_quantized_weights",
    ZERO "zero_quantized_gradients",
    ZERO "zeropp_loco_param.err_beta",
    ZERO "zeropp_loco_param.reset_T",
    ZERO "max_reuse_distance",
    ZERO "stage3_max_reuse_distance",
    NULL,
};

/* An object named here is not looked into. allgather_partitions and allgather_bucket_size have
 * no effect with NCCL: utils.py all_gather_dp_groups gathers the whole flat buffer;
 * zero_quantized_nontrainable_weights has none since every parameter here is trained. */
static const char *const irrelevant[] = {
    "steps_per_print",
    "dump_state",
    "memory_breakdown",
    "scheduler",
    "disable_allgather",
    "dataloader_drop_last",
    "zero_allow_untested_optimizer",
    "zero_force_ds_cpu_optimizer",
    "seq_parallel_communication_data_type",
    "use_node_local_storage",
    "checkpoint",
    "load_universal_checkpoint",
    "aio",
    "flops_profiler",
    "tensorboard",
    "wandb",
    "comet",
    "csv_monitor",
    "monitor_config",
    "nebula",
    "seed",
    "bf16.immediate_grad_update",
    "bf16.check_grad_overflow",
    "fp16.auto_cast",
    "fp16.loss_scale",
    "fp16.initial_scale_power",
    "fp16.loss_scale_window",
    "fp16.hysteresis",
    "fp16.consecutive_hysteresis",
    "fp16.min_loss_scale",
    "optimizer.params.lr",
    "optimizer.params.betas",
    "optimizer.params.eps",
    "optimizer.params.momentum",
    "optimizer.params.bias_correction",
    "optimizer.params.max_coeff",
    "optimizer.params.min_coeff",
    "optimizer.legacy_fusion",
    "activation_checkpointing.number_checkpoints",
    "activation_checkpointing.profile",
    ZERO "allgather_partitions",
    ZERO "allgather_bucket_size",
    ZERO "load_from_fp32_weights",
    ZERO "elastic_checkpoint",
    ZERO "gather_16bit_weights_on_model_save",
    ZERO "stage3_gather_16bit_weights_on_model_save",
    ZERO "stage3_gather_fp16_weights_on_model_save",
    ZERO "ignore_unused_parameters",
    ZERO "pipeline_loading_checkpoint",
    ZERO "override_module_apply",
    ZERO "log_trace_cache_warnings",
    ZERO "zero_quantized_nontrainable_weights",
    ZERO "cpu_offload_use_pin_memory",
    ZERO "offload_param.pin_memory",
    ZERO "offload_param.nvme_path",
    ZERO "offload_param.buffer_count",
    ZERO "offload_param.buffer_size",
    ZERO "offload_param.max_in_cpu",
    ZERO "offload_optimizer.pin_memory",
    ZERO "offload_optimizer.nvme_path",
    ZERO "offload_optimizer.buffer_count",
    ZERO "offload_optimizer.pipeline_read",
    ZERO "offload_optimizer.pipeline_write",
    ZERO "offload_optimizer.fast_init",
    ZERO "offload_optimizer.ratio",
    NULL,
};

/* `off`: the values without effect, "a|b"; "{}" is a section whose "enabled" is false or
 * absent. */
static const struct {
    const char *path, *off;
} unmodelled[] = {
    {"wall_clock_breakdown", "false"},
    {"sparse_gradients", "false"},
    {"fp32_allreduce", "false"},
    {"sequence_parallel_size", "1"},
    {"amp", "{}"},
    {"torch_autocast", "{}"},
    {"compile", "{}"},
    {"comms_logger", "{}"},
    {"autotuning", "{}"},
    {"elasticity", "{}"},
    {"eigenvalue", "{}"},
    {"quantize_training", "{}"},
    {"progressive_layer_drop", "{}"},
    {"curriculum_learning", "{}"},
    {"data_efficiency", "{}"},
    {"compression_training", "{}"},
    {"hybrid_engine", "{}"},
    {"sparse_attention", "{}"},
    {"weight_quantization", "{}"},
    {"tensor_parallel", "{}"},
    {"fp16.fp16_master_weights_and_gradients", "false"},
    {"fp16.fp16_master_weights_and_grads", "false"},
    {"bf16.bf16_master_weights_and_grads", "false"},
    {"bf16.bf16_optimizer_states", "false"},
    {"activation_checkpointing.partition_activations", "false"},
    {"activation_checkpointing.cpu_checkpointing", "false"},
    {"activation_checkpointing.contiguous_memory_optimization", "false"},
    {"activation_checkpointing.synchronize_checkpoint_boundary", "false"},
    {ZERO "offload_param.device", "\"none\""},
    {ZERO "offload_optimizer.device", "\"none\""},
    {ZERO "cpu_offload", "false"},
    {ZERO "cpu_offload_params", "false"},
    {ZERO "zenflow", "{}"},
    {ZERO "legacy_stage1", "false"},
    {ZERO "memory_efficient_linear", "true"},
    {ZERO "leaf_module", "{}"},
    {ZERO "enable_sanity_checks", "false"},
};

typedef struct {
    const JsonIn *in;
    gboolean strict;
    GPtrArray *warnings;
} Check;

static const char *off_values(const char *path)
{
    for (gsize i = 0; i < G_N_ELEMENTS(unmodelled); i++)
        if (strcmp(unmodelled[i].path, path) == 0)
            return unmodelled[i].off;
    return NULL;
}

static gboolean is_section(const char *path)
{
    g_autofree char *prefix = g_strconcat(path, ".", NULL);
    const char *const *const lists[] = {modelled, irrelevant};

    for (gsize l = 0; l < G_N_ELEMENTS(lists); l++)
        for (const char *const *name = lists[l]; *name; name++)
            if (g_str_has_prefix(*name, prefix))
                return TRUE;
    return FALSE;
}

static gboolean is_off(const json_t *value, const char *off)
{
    if (json_is_null(value))
        return TRUE;
    if (strcmp(off, "{}") == 0) {
        const json_t *enabled = json_object_get(value, "enabled");
        return json_is_object(value) &&
               (json_is_false(enabled) || (!enabled && json_object_size(value) == 0));
    }
    g_auto(GStrv) values = g_strsplit(off, "|", -1);
    for (char **text = values; *text; text++) {
        g_autoptr(json_t) neutral = json_loads(*text, JSON_DECODE_ANY, NULL);
        const gboolean numbers = json_is_number(neutral) && json_is_number(value);
        if (json_equal(neutral, value) ||
            (numbers && json_number_value(neutral) == json_number_value(value)))
            return TRUE;
    }
    return FALSE;
}

/* Where the member stands in the user's words. */
static char *place(const Check *check, const char *path)
{
    g_autofree char *full =
        check->in->path[0] ? g_strconcat(check->in->path, ".", path, NULL) : g_strdup(path);
    for (const char *p = full; *p; p++)
        if (!g_ascii_isgraph(*p) || p - full > 120) {
            g_autofree char *quoted = error_quote(full);
            return g_strconcat(check->in->file, ": ", quoted, NULL);
        }
    return g_strconcat(check->in->file, ": ", full, NULL);
}

static const char *nearest(const char *path)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    for (const char *const *name = modelled; *name; name++)
        g_ptr_array_add(all, (void *)*name);
    for (const char *const *name = irrelevant; *name; name++)
        g_ptr_array_add(all, (void *)*name);
    g_ptr_array_add(all, NULL);
    return error_nearest(path, (const char *const *)all->pdata);
}

static gboolean report_unknown(const Check *check, const char *path, GError **error)
{
    g_autofree char *where = place(check, path);

    if (!check->strict) {
        if (check->warnings)
            g_ptr_array_add(check->warnings, g_strdup_printf("%s: not known, ignored", where));
        return TRUE;
    }
    const char *near = nearest(path);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "%s: no such key, and no member of ds_config.json that is known%s%s%s", where,
                near ? ": did you mean deepspeed." : "", near ? near : "", near ? "?" : "");
    return FALSE;
}

static gboolean report_unmodelled(const Check *check, const char *path, const char *off,
                                  GError **error)
{
    g_autofree char *where = place(check, path);
    g_autofree char *values = strcmp(off, "{}") == 0 ? g_strdup("\"enabled\": false")
                                                     : g_strdelimit(g_strdup(off), "|", ' ');

    g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                "%s: changes the prediction and is not modelled (without effect: %s)", where,
                values);
    return FALSE;
}

/* Recursion is bounded: only sections of the lists are entered. */
static gboolean check_object(const Check *check, const json_t *object, const char *prefix,
                             GError **error)
{
    void *iterator = json_object_iter((json_t *)object);

    for (; iterator; iterator = json_object_iter_next((json_t *)object, iterator)) {
        g_autofree char *path = g_strconcat(prefix, json_object_iter_key(iterator), NULL);
        const json_t *value = json_object_iter_value(iterator);
        const char *off = off_values(path);

        if (g_strv_contains(modelled, path) || g_strv_contains(irrelevant, path))
            continue;
        if (off) {
            if (!is_off(value, off))
                return report_unmodelled(check, path, off, error);
        } else if (is_section(path) && json_is_object(value)) {
            g_autofree char *inner = g_strconcat(path, ".", NULL);
            if (!check_object(check, value, inner, error))
                return FALSE;
        } else if (is_section(path) && !json_is_null(value)) {
            g_autofree char *where = place(check, path);
            g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: must be an object { ... }",
                        where);
            return FALSE;
        } else if (!is_section(path) && !report_unknown(check, path, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

gboolean deepspeed_members_check(const JsonIn *in, gboolean strict, GPtrArray *warnings,
                                 GError **error)
{
    const Check check = {in, strict, warnings};
    return check_object(&check, in->object, "", error);
}
