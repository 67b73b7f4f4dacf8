/* SPDX-License-Identifier: MIT */
/* Which members of accelerate's YAML are modelled, which don't change a step's time, memory or
 * volume, and which do and aren't modelled. Names from accelerate's
 * commands/config/config_args.py and commands/config/cluster.py. */
#include "training_accelerate.h"

static const char *const top_modelled[] = {
    "distributed_type",
    "mixed_precision",
    "fp16",
    "num_machines",
    "num_processes",
    "dynamo_backend",
    "dynamo_config.dynamo_backend",
    "parallelism_config.parallelism_config_dp_replicate_size",
    "parallelism_config.parallelism_config_dp_shard_size",
    NULL,
};

/* Sections of other ways to train have no effect; those of this one are looked into by
 * themselves. */
static const char *const top_irrelevant[] = {
    "machine_rank",
    "gpu_ids",
    "main_process_ip",
    "main_process_port",
    "main_training_function",
    "rdzv_backend",
    "same_network",
    "enable_cpu_affinity",
    "deepspeed_config",
    "fsdp_config",
    "fp8_config",
    "megatron_lm_config",
    "ipex_config",
    "mpirun_config",
    "downcast_bf16",
    "tpu_name",
    "tpu_zone",
    "tpu_use_cluster",
    "tpu_use_sudo",
    "tpu_vm",
    "tpu_env",
    "command_file",
    "commands",
    "dynamo_config.dynamo_use_fullgraph",
    "dynamo_config.dynamo_use_dynamic",
    "parallelism_config.parallelism_config_cp_comm_strategy",
    NULL,
};

static const UnmodelledMember top_unmodelled[] = {
    {"compute_environment", "\"LOCAL_MACHINE\""},
    {"use_cpu", "false"},
    {"debug", "false"},
    {"tp_config", "{}"},
    {"dynamo_config.dynamo_mode", "\"default\""},
    {"dynamo_config.dynamo_use_regional_compilation", "false"},
    {"parallelism_config.parallelism_config_tp_size", "1"},
    {"parallelism_config.parallelism_config_cp_size", "1"},
    {"parallelism_config.parallelism_config_sp_size", "1"},
    {NULL, NULL},
};

static const char *const fsdp_modelled[] = {
    "fsdp_version",
    "fsdp_sharding_strategy",
    "fsdp_reshard_after_forward",
    "fsdp_auto_wrap_policy",
    "fsdp_transformer_layer_cls_to_wrap",
    "fsdp_min_num_params",
    "fsdp_backward_prefetch",
    "fsdp_backward_prefetch_policy",
    "fsdp_forward_prefetch",
    "fsdp_activation_checkpointing",
    NULL,
};

/* A shard is flat with and without original parameters. */
static const char *const fsdp_irrelevant[] = {
    "fsdp_use_orig_params",
    "fsdp_state_dict_type",
    "fsdp_sync_module_states",
    "fsdp_cpu_ram_efficient_loading",
    NULL,
};

static const UnmodelledMember fsdp_unmodelled[] = {
    {"fsdp_offload_params", "false|\"false\"|\"False\""},
    {"fsdp_ignored_modules", "\"\""},
    {NULL, NULL},
};

static const char *const deepspeed_modelled[] = {
    "deepspeed_config_file", "zero_stage", "gradient_accumulation_steps",
    "gradient_clipping",     NULL,
};

static const char *const deepspeed_irrelevant[] = {
    "zero3_init_flag",
    "zero3_save_16bit_model",
    "offload_optimizer_nvme_path",
    "offload_param_nvme_path",
    "deepspeed_multinode_launcher",
    "deepspeed_hostfile",
    "deepspeed_inclusion_filter",
    "deepspeed_exclusion_filter",
    NULL,
};

static const UnmodelledMember deepspeed_unmodelled[] = {
    {"offload_optimizer_device", "\"none\""},
    {"offload_param_device", "\"none\""},
    {"deepspeed_moe_layer_cls_names", "null"},
    {NULL, NULL},
};

#define FILE_KIND "accelerate's configuration"
const MemberLists accelerate_lists = {FILE_KIND, "", top_modelled, top_irrelevant,
                                      top_unmodelled};
const MemberLists accelerate_fsdp_lists = {FILE_KIND, "", fsdp_modelled, fsdp_irrelevant,
                                           fsdp_unmodelled};
const MemberLists accelerate_deepspeed_lists = {FILE_KIND, "", deepspeed_modelled,
                                                deepspeed_irrelevant, deepspeed_unmodelled};
