/* SPDX-License-Identifier: MIT */
/* Which members of torchtitan's job files are modelled, which don't change a step's time,
 * memory or volume, and which do and aren't modelled. Names, also those of older releases, from
 * torchtitan's config/job_config.py. */
#include "training_torchtitan.h"

static const char *const modelled[] = {
    "model.name",
    "model.flavor",
    "model.converters",
    "optimizer.name",
    "optimizer.implementation",
    "optimizer.fused",
    "optimizer.weight_decay",
    "training.batch_size",
    "training.local_batch_size",
    "training.global_batch_size",
    "training.seq_len",
    "training.max_norm",
    "training.mixed_precision_param",
    "training.mixed_precision_reduce",
    "training.compile",
    "training.data_parallel_replicate_degree",
    "training.data_parallel_shard_degree",
    "parallelism.data_parallel_replicate_degree",
    "parallelism.data_parallel_shard_degree",
    "parallelism.fsdp_reshard_after_forward",
    "activation_checkpoint.mode",
    "activation_checkpoint.selective_ac_option",
    "compile.enable",
    "compile.components",
    NULL,
};

/* Options of what is switched off elsewhere (pipelines, experts, sharded losses) have no
 * effect. float8 is looked into where the model is converted to it. */
static const char *const irrelevant[] = {
    "job",
    "profiling",
    "metrics",
    "lr_scheduler",
    "checkpoint",
    "comm",
    "debug",
    "memory_estimation",
    "validation",
    "float8",
    "mx",
    "quantize",
    "model.tokenizer_path",
    "model.hf_assets_path",
    "model.norm_type",
    "model.print_after_conversion",
    "optimizer.lr",
    "optimizer.beta1",
    "optimizer.beta2",
    "optimizer.eps",
    "training.dataset",
    "training.dataset_path",
    "training.dataloader",
    "training.steps",
    "training.warmup_steps",
    "training.gc_freq",
    "training.gc_debug",
    "training.seed",
    "training.debug_moe_force_load_balance",
    "parallelism.disable_loss_parallel",
    "parallelism.enable_async_tensor_parallel",
    "parallelism.pipeline_parallel_split_points",
    "parallelism.module_fqns_per_model_part",
    "parallelism.pipeline_parallel_first_stage_less_layers",
    "parallelism.pipeline_parallel_last_stage_less_layers",
    "parallelism.pipeline_parallel_layers_per_stage",
    "parallelism.pipeline_parallel_schedule",
    "parallelism.pipeline_parallel_schedule_csv",
    "parallelism.pipeline_parallel_microbatch_size",
    "parallelism.pipeline_parallel_expert_parallel_overlap",
    "parallelism.context_parallel_rotate_method",
    "parallelism.context_parallel_load_balancer",
    "parallelism.expert_parallel_comm_backend",
    "activation_checkpoint.per_op_sac_force_recompute_mm_shapes_by_fqns",
    "activation_checkpoint.memory_budget",
    "activation_checkpoint.visualize_memory_budget_pareto",
    "activation_checkpoint.preserve_rng_state",
    "activation_checkpoint.determinism_check",
    "activation_checkpoint.debug",
    "activation_checkpoint.early_stop",
    "experimental.custom_args_module",
    "experimental.pipeline_parallel_schedule",
    "experimental.pipeline_parallel_split_points",
    "experimental.pipeline_parallel_microbatches",
    "experimental.enable_async_tensor_parallel",
    "experimental.context_parallel_rotate_method",
    NULL,
};

static const UnmodelledMember unmodelled[] = {
    {"optimizer.early_step_in_backward", "false"},
    {"training.enable_cpu_offload", "false"},
    {"training.deterministic", "false"},
    {"training.dtype", "\"float32\""},
    {"training.tensor_parallel_degree", "1"},
    {"parallelism.tensor_parallel_degree", "1"},
    {"parallelism.pipeline_parallel_degree", "1"},
    {"parallelism.context_parallel_degree", "1"},
    {"parallelism.expert_parallel_degree", "1"},
    {"parallelism.expert_tensor_parallel_degree", "1"},
    {"parallelism.enable_compiled_autograd", "false"},
    {"experimental.pipeline_parallel_degree", "1"},
    {"experimental.context_parallel_degree", "1"},
    {"experimental.enable_compiled_autograd", "false"},
    {"experimental.custom_import", "\"\""},
    {"compile.backend", "\"inductor\""},
    {"fault_tolerance.enable", "false"},
    {"liger_kernel.enable_fused_linear_cross_entropy", "false"},
    {NULL, NULL},
};

const MemberLists torchtitan_lists = {"torchtitan's job file", "", modelled, irrelevant,
                                      unmodelled};

static const char *const float8_modelled[] = {"enable_fsdp_float8_all_gather", "filter_fqns",
                                              NULL};

/* Scales of a group of parameters, in one reduction or several. */
static const char *const float8_irrelevant[] = {
    "enable_float8_linear", "precompute_float8_dynamic_scale_for_fsdp", NULL};

static const UnmodelledMember float8_unmodelled[] = {
    {"recipe_name", "\"tensorwise\""},
    {"emulate", "false"},
    {"moe_fqns_prototype", "[]|\"\""},
    {"moe_fqns", "[]|\"\""},
    {"force_recompute_fp8_weight_in_bwd", "false"},
    {NULL, NULL},
};

const MemberLists torchtitan_float8_lists = {"torchtitan's job file", "", float8_modelled,
                                             float8_irrelevant, float8_unmodelled};
