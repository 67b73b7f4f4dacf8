/* SPDX-License-Identifier: MIT */
/* accelerate's YAML as keys: DDP, FSDP 1 and 2, DeepSpeed, the machines it counts, what wins
 * over what, and one line for each thing that can't be mapped. */
#include "import_fixture.h"

#define KEY "accelerate_config"
#define HEAD "distributed_type: FSDP\nmixed_precision: bf16\n"
#define FSDP(members) HEAD "fsdp_config:\n" members
#define V1(members) FSDP("  fsdp_version: 1\n" members)
#define V2(members) FSDP("  fsdp_version: 2\n" members)
#define DEEPSPEED(members) "distributed_type: DEEPSPEED\ndeepspeed_config:\n" members

static void set_up(void)
{
    set_up_import("a.yaml");
}

static Training *build(const char *text)
{
    return build_file(KEY, text, "");
}

/* ---- FSDP ---- */

/* FullyShardedDataParallelPlugin's defaults: full shards, one unit, no prefetch. */
START_TEST(test_fsdp_defaults)
{
    g_autoptr(Training) training = build(HEAD);
    const FsdpKnobs *fsdp = &training->fsdp;

    ck_assert_int_eq(training->framework, FRAMEWORK_PYTORCH);
    ck_assert_int_eq(training->strategy, STRATEGY_ZERO3);
    ck_assert_int_eq(fsdp->version, 1);
    ck_assert_int_eq(fsdp->wrap, WRAP_NONE);
    ck_assert_int_eq(fsdp->backward_prefetch, PREFETCH_NONE);
    ck_assert(fsdp->reshard_after_forward && !fsdp->forward_prefetch);
    ck_assert(!fsdp->sync_every_micro_step);
    ck_assert_int_eq(fsdp->shard_group_size, 0);
    ck_assert_int_eq(training->precision.parameter, DTYPE_FP32);
    ck_assert_int_eq(training->precision.gather, DTYPE_BF16);
    ck_assert_int_eq(training->precision.reduce, DTYPE_BF16);
    ck_assert_int_eq(training->checkpointing, CHECKPOINTING_NONE);
    ck_assert(!training->compile);
    ck_assert_uint_eq(warnings->len, 0);
}
END_TEST

static const struct {
    const char *text;
    Strategy strategy;
    gint64 shard_group_size; /* on 4 nodes of 8 GPUs */
} strategies[] = {
    {V1("  fsdp_sharding_strategy: FULL_SHARD\n"), STRATEGY_ZERO3, 0},
    {V1("  fsdp_sharding_strategy: 1\n"), STRATEGY_ZERO3, 0},
    {V1("  fsdp_sharding_strategy: SHARD_GRAD_OP\n"), STRATEGY_ZERO2, 0},
    {V1("  fsdp_sharding_strategy: '2'\n"), STRATEGY_ZERO2, 0},
    {V1("  fsdp_sharding_strategy: HYBRID_SHARD\n"), STRATEGY_ZERO3, 8},
    {V1("  fsdp_sharding_strategy: 4\n"), STRATEGY_ZERO3, 8},
    {V1("  fsdp_sharding_strategy: HYBRID_SHARD_ZERO2\n"), STRATEGY_ZERO2, 8},
    {V1("  fsdp_sharding_strategy: 5\n"), STRATEGY_ZERO2, 8},
    {V1("  fsdp_reshard_after_forward: SHARD_GRAD_OP\n"), STRATEGY_ZERO2, 0},
    {V2("  fsdp_reshard_after_forward: true\n"), STRATEGY_ZERO3, 0},
    {V2("  fsdp_reshard_after_forward: false\n"), STRATEGY_ZERO2, 0},
    {V2("  fsdp_reshard_after_forward: 'false'\n"), STRATEGY_ZERO2, 0},
    {V2("  fsdp_auto_wrap_policy: NO_WRAP\n"), STRATEGY_ZERO3, 0},
    {V2("") "parallelism_config:\n  parallelism_config_dp_replicate_size: 8\n"
            "  parallelism_config_dp_shard_size: 4\n  parallelism_config_tp_size: 1\n",
     STRATEGY_ZERO3, 4},
};

START_TEST(test_fsdp_strategy)
{
    g_autoptr(Training) training = build(strategies[_i].text);

    ck_assert_int_eq(training->strategy, strategies[_i].strategy);
    ck_assert_int_eq(training->fsdp.shard_group_size, strategies[_i].shard_group_size);
    ck_assert_int_eq(training->fsdp.reshard_after_forward,
                     strategies[_i].strategy == STRATEGY_ZERO3);
}
END_TEST

/* On one node a hybrid is a full shard. */
START_TEST(test_hybrid_on_one_node)
{
    g_autoptr(Training) training =
        build(V1("  fsdp_sharding_strategy: HYBRID_SHARD\n") "num_machines: 1\n");

    ck_assert_int_eq(training->fsdp.shard_group_size, 0);
}
END_TEST

START_TEST(test_fsdp1_knobs)
{
    g_autoptr(Training) training =
        build(V1("  fsdp_auto_wrap_policy: SIZE_BASED_WRAP\n  fsdp_min_num_params: 2000000\n"
                 "  fsdp_backward_prefetch: BACKWARD_POST\n  fsdp_forward_prefetch: 'true'\n"
                 "  fsdp_activation_checkpointing: true\n  fsdp_offload_params: 'false'\n"
                 "  fsdp_use_orig_params: true\n  fsdp_sync_module_states: true\n"
                 "  fsdp_cpu_ram_efficient_loading: true\n"
                 "  fsdp_state_dict_type: SHARDED_STATE_DICT\n"));

    ck_assert_int_eq(training->fsdp.wrap, WRAP_SIZE);
    ck_assert_int_eq(training->fsdp.wrap_min_numel, 2000000);
    ck_assert_int_eq(training->fsdp.backward_prefetch, PREFETCH_POST);
    ck_assert(training->fsdp.forward_prefetch);
    ck_assert_int_eq(training->checkpointing, CHECKPOINTING_FULL);
    ck_assert_uint_eq(warnings->len, 0);
}
END_TEST

/* What FSDP2 doesn't have is said, not dropped. */
START_TEST(test_fsdp2_without_effect)
{
    g_autoptr(Training) training =
        build(V2("  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP\n"
                 "  fsdp_transformer_layer_cls_to_wrap: LlamaDecoderLayer\n"
                 "  fsdp_backward_prefetch: BACKWARD_PRE\n"));

    ck_assert_int_eq(training->fsdp.version, 2);
    ck_assert_int_eq(training->fsdp.wrap, WRAP_BLOCK);
    ck_assert_uint_eq(warnings->len, 1);
    ck_assert(warned_of("fsdp_config.fsdp_backward_prefetch: no effect with fsdp_version 2"));
}
END_TEST

/* ---- precision, compile, DDP ---- */

static const struct {
    const char *text;
    DType parameter, compute;
    gboolean autocast, compile;
} precisions[] = {
    {"distributed_type: MULTI_GPU\nmixed_precision: 'no'\n", DTYPE_FP32, DTYPE_FP32, FALSE,
     FALSE},
    {"distributed_type: MULTI_GPU\n", DTYPE_FP32, DTYPE_FP32, FALSE, FALSE},
    {"distributed_type: MULTI_GPU\nmixed_precision: bf16\n", DTYPE_FP32, DTYPE_BF16, TRUE,
     FALSE},
    {"distributed_type: MULTI_GPU\nmixed_precision: fp16\n", DTYPE_FP32, DTYPE_FP16, TRUE,
     FALSE},
    {"distributed_type: MULTI_GPU\nfp16: true\n", DTYPE_FP32, DTYPE_FP16, TRUE, FALSE},
    {"distributed_type: MULTI_GPU\nmixed_precision: bf16\ndynamo_backend: INDUCTOR\n",
     DTYPE_FP32, DTYPE_BF16, TRUE, TRUE},
    {"distributed_type: MULTI_GPU\nmixed_precision: bf16\ndynamo_config:\n"
     "  dynamo_backend: inductor\n  dynamo_mode: default\n  dynamo_use_fullgraph: false\n",
     DTYPE_FP32, DTYPE_BF16, TRUE, TRUE},
    {"distributed_type: MULTI_GPU\nmixed_precision: bf16\ndynamo_backend: 'NO'\n", DTYPE_FP32,
     DTYPE_BF16, TRUE, FALSE},
    {"distributed_type: FSDP\nmixed_precision: fp8\nfp8_config:\n  backend: AO\n"
     "  enable_fsdp_float8_all_gather: true\n",
     DTYPE_FP32, DTYPE_FP8, FALSE, FALSE},
};

START_TEST(test_precision)
{
    g_autoptr(Training) training = build(precisions[_i].text);

    ck_assert_int_eq(training->precision.parameter, precisions[_i].parameter);
    ck_assert_int_eq(training->precision.compute, precisions[_i].compute);
    ck_assert_int_eq(training->precision.autocast, precisions[_i].autocast);
    ck_assert_int_eq(training->compile, precisions[_i].compile);
    ck_assert_int_eq(training->fsdp.fp8_all_gather, precisions[_i].compute == DTYPE_FP8);
}
END_TEST

/* Sections of ways that aren't taken don't count, whatever they say. */
START_TEST(test_other_sections)
{
    g_autoptr(Training) training =
        build("distributed_type: MULTI_GPU\nmixed_precision: bf16\n"
              "fsdp_config:\n  fsdp_offload_params: true\n"
              "deepspeed_config: {}\nmegatron_lm_config: {}\ntpu_env: []\ngpu_ids: all\n");

    ck_assert_int_eq(training->strategy, STRATEGY_DDP);
    ck_assert_uint_eq(warnings->len, 0);
}
END_TEST

/* ---- DeepSpeed ---- */

START_TEST(test_deepspeed_members)
{
    g_autoptr(Training) training =
        build("mixed_precision: bf16\n" DEEPSPEED("  zero_stage: 3\n  gradient_clipping: 0.5\n"
                                                  "  gradient_accumulation_steps: 4\n"
                                                  "  offload_optimizer_device: none\n"
                                                  "  offload_param_device: 'none'\n"
                                                  "  zero3_init_flag: true\n"
                                                  "  zero3_save_16bit_model: true\n"));

    ck_assert_int_eq(training->framework, FRAMEWORK_DEEPSPEED);
    ck_assert_int_eq(training->strategy, STRATEGY_ZERO3);
    ck_assert_int_eq(training->precision.parameter, DTYPE_BF16);
    ck_assert(training->precision.master);
    ck_assert_int_eq(training->gradient_accumulation, 4);
    ck_assert_double_eq(training->gradient_clipping, 0.5);
    ck_assert_int_eq(training->optimizer.implementation, IMPLEMENTATION_FOREACH);
    ck_assert_uint_eq(warnings->len, 0);
}
END_TEST

/* The defaults of DeepSpeedPlugin, and the experiment above them. */
START_TEST(test_deepspeed_precedence)
{
    g_autoptr(Training) plain = build(DEEPSPEED("  zero3_init_flag: false\n"));
    g_autoptr(Training) over = build_file(
        KEY, "mixed_precision: fp16\n" DEEPSPEED("  gradient_accumulation_steps: 4\n"),
        "gradient_accumulation = 2\nprecision = bf16\n[deepspeed]\n"
        "zero_optimization.stage = 3\ngradient_clipping = 7\n");

    ck_assert_int_eq(plain->strategy, STRATEGY_ZERO2);
    ck_assert_int_eq(plain->gradient_accumulation, 1);
    ck_assert_int_eq(plain->precision.parameter, DTYPE_FP32);
    ck_assert_int_eq(over->strategy, STRATEGY_ZERO3);
    ck_assert_int_eq(over->gradient_accumulation, 2);
    ck_assert_int_eq(over->precision.parameter, DTYPE_BF16);
    ck_assert_double_eq(over->gradient_clipping, 7);
}
END_TEST

/* A ds_config.json, found beside the YAML or among the installed data. */
START_TEST(test_deepspeed_file)
{
    g_autoptr(Training) training = build(
        "mixed_precision: bf16\n" DEEPSPEED("  deepspeed_config_file: training/zero3.json\n"));
    const char *path = experiment_string(experiment, "training.deepspeed_config");

    ck_assert_int_eq(training->strategy, STRATEGY_ZERO3);
    ck_assert(g_str_has_suffix(path, "workloads/training/zero3.json"));
    ck_assert_int_eq(training->precision.parameter, DTYPE_BF16);
}
END_TEST

/* ---- the cluster ---- */

START_TEST(test_counts_fill_in)
{
    g_autoptr(Training) both = build(HEAD "num_machines: 2\nnum_processes: 8\n");

    ck_assert_int_eq(experiment_int(experiment, "cluster.nodes"), 2);
    ck_assert_int_eq(experiment_int(experiment, "cluster.gpus_per_node"), 4);
    ck_assert_int_eq(both->global_batch, 8);

    g_autoptr(Training) own =
        build_file(KEY, HEAD "num_machines: 2\nnum_processes: 8\n", "[cluster]\nnodes = 2\n");
    ck_assert_int_eq(own->global_batch, 8);

    g_autoptr(Training) unknown = build(HEAD "num_processes: -1\n");
    ck_assert(!experiment_is_set(experiment, "cluster.nodes"));
    ck_assert_int_eq(unknown->global_batch, NODES * GPUS);

    g_autoptr(Training) one = build("distributed_type: 'NO'\n");
    ck_assert_int_eq(one->global_batch, 1);
}
END_TEST

/* -s tries other sizes; the file is named in a warning. */
START_TEST(test_counts_overridden)
{
    const char *const overrides[] = {"cluster.nodes=4", NULL};
    g_autoptr(Training) training = build_full(KEY, HEAD "num_machines: 2\nnum_processes: 16\n",
                                              "", overrides, FALSE, NULL);

    ck_assert_ptr_nonnull(training);
    ck_assert_int_eq(training->global_batch, 32);
    ck_assert(
        warned_of("num_processes: 16 on num_machines 2 contradict the experiment's 32 on 4"));
}
END_TEST

/* ---- precedence and comparison ---- */

START_TEST(test_own_keys_win)
{
    g_autoptr(Training) training = build_file(
        KEY,
        V1("  fsdp_activation_checkpointing: true\n  fsdp_sharding_strategy: FULL_SHARD\n"),
        "precision = bf16\nactivation_checkpointing = none\n"
        "[fsdp]\nbackward_prefetch = post\nsync_every_micro_step = true\n");

    ck_assert_int_eq(training->precision.parameter, DTYPE_BF16);
    ck_assert_int_eq(training->checkpointing, CHECKPOINTING_NONE);
    ck_assert_int_eq(training->fsdp.backward_prefetch, PREFETCH_POST);
    ck_assert(training->fsdp.sync_every_micro_step);
}
END_TEST

/* A comparison runs all strategies, the file's one with the file's knobs. */
START_TEST(test_comparing)
{
    static const char *const overrides[][2] = {
        {"training.strategy=ddp"}, {"training.strategy=zero1"}, {"training.strategy=zero3"}};
    g_autoptr(GError) error = NULL;
    g_autoptr(Training) training = build_full(
        KEY, V1("  fsdp_auto_wrap_policy: SIZE_BASED_WRAP\n"), "", overrides[_i], TRUE, &error);

    ck_assert_msg(training != NULL, "%s", error ? error->message : "");
    ck_assert_int_eq(training->strategy, _i == 2 ? STRATEGY_ZERO3 : (Strategy)_i);
    ck_assert_int_eq(training->fsdp.wrap, WRAP_SIZE);
    ck_assert_uint_eq(warnings->len, 0);
}
END_TEST

/* ---- what is wrong ---- */

static const struct {
    const char *text, *conf;
    ErrorCode code;
    const char *what;
} bad[] = {
    {"mixed_precision: bf16\n", "", ERROR_INPUT, "distributed_type: must be"},
    {"distributed_type: NO\n", "", ERROR_UNMODELLED, "'NO' (in quotes)"},
    {"distributed_type: MEGATRON_LM\n", "", ERROR_UNMODELLED, "not \"MEGATRON_LM\""},
    {"distributed_type: [FSDP]\n", "", ERROR_INPUT, "distributed_type: must be one value"},
    {"distributed_type: MULTI_GPU\nmixed_precision: no\n", "", ERROR_INPUT, "write 'no'"},
    {"distributed_type: MULTI_GPU\nmixed_precision: bf17\n", "", ERROR_INPUT,
     "mixed_precision: must be one of no, fp16, bf16, fp8, not \"bf17\""},
    {"distributed_type: FSDP\nmixed_precision: fp8\n", "", ERROR_UNMODELLED,
     "fp8_config.backend: only AO"},
    {"distributed_type: MULTI_GPU\nuse_cpu: true\n", "", ERROR_UNMODELLED, "use_cpu: changes"},
    {"distributed_type: MULTI_GPU\ndynamo_backend: TENSORRT\n", "", ERROR_UNMODELLED,
     "dynamo_backend: \"TENSORRT\" is not modelled; training.compile"},
    {"distributed_type: MULTI_GPU\ndynamo_config:\n  dynamo_mode: max-autotune\n", "",
     ERROR_UNMODELLED, "dynamo_config.dynamo_mode: changes"},
    {HEAD "parallelism_config:\n  parallelism_config_tp_size: 2\n", "", ERROR_UNMODELLED,
     "parallelism_config_tp_size: changes"},
    {HEAD "fsdp_config: 3\n", "", ERROR_INPUT, "fsdp_config: must be an object"},
    {V1("  fsdp_offload_params: true\n"), "", ERROR_UNMODELLED,
     "fsdp_config.fsdp_offload_params: changes"},
    {V1("  fsdp_sharding_strategy: NO_SHARD\n"), "", ERROR_UNMODELLED,
     "fsdp_config.fsdp_sharding_strategy: \"NO_SHARD\" is not modelled"},
    {V1("  fsdp_sharding_strategy: HALF\n"), "", ERROR_INPUT,
     "fsdp_config.fsdp_sharding_strategy: must be one of FULL_SHARD"},
    {V1("  fsdp_sharding_strategy: 6\n"), "", ERROR_INPUT, "not \"6\""},
    {V2("  fsdp_reshard_after_forward: FULL_SHARD\n"), "", ERROR_INPUT,
     "fsdp_reshard_after_forward: must be one of true, false"},
    {FSDP("  fsdp_version: 3\n"), "", ERROR_INPUT, "fsdp_version: must be one of 1, 2"},
    {V1("  fsdp_auto_wrap_policy: SIZE_BASED_WRAP\n  fsdp_min_num_params: 1e8\n"), "",
     ERROR_INPUT, "fsdp_min_num_params: must be a number, not \"1e8\""},
    {V1("  fsdp_auto_wrap_policy: SIZE_BASED_WRAP\n  fsdp_min_num_params: -1\n"), "",
     ERROR_INPUT, "fsdp_min_num_params: must be an integer from 1"},
    {V1("  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP\n"
        "  fsdp_transformer_layer_cls_to_wrap: A,B\n"),
     "", ERROR_UNMODELLED, "several classes"},
    {V2("") "parallelism_config:\n  parallelism_config_dp_replicate_size: 3\n"
            "  parallelism_config_dp_shard_size: 8\n",
     "", ERROR_INPUT, "must be the 32 ranks"},
    {HEAD "num_machines: 2\nnum_processes: 9\n", "", ERROR_INPUT,
     "num_processes: 9 is not a multiple of num_machines 2"},
    {"distributed_type: 'NO'\nnum_processes: 8\n", "", ERROR_INPUT,
     "num_processes: 8 with distributed_type NO, which is one"},
    {HEAD "num_machines: 0\n", "", ERROR_INPUT, "num_machines: 0 is out of range"},
    {HEAD "num_machines: 2\nnum_processes: 16\n", "[cluster]\nnodes = 3\n", ERROR_INPUT,
     "num_processes: 16 on num_machines 2 contradict the experiment's 24 on 3"},
    {HEAD "num_processes: 8\n", "[cluster]\nnodes = 1\ngpus_per_node = 4\n", ERROR_INPUT,
     "contradict the experiment's 4 on 1"},
    {HEAD, "framework = deepspeed\n", ERROR_INPUT, "training.framework: deepspeed contradicts"},
    {HEAD, "strategy = zero2\n", ERROR_INPUT, "training.strategy: zero2 contradicts"},
    {HEAD, "torchtitan_config = a.yaml\n", ERROR_INPUT, "set one or the other"},
    {HEAD, "deepspeed_config = a.yaml\n", ERROR_INPUT, "deepspeed_config_file"},
    {DEEPSPEED("  zero_stage: 4\n"), "", ERROR_INPUT, "deepspeed_config.zero_stage: 4 is out"},
    {DEEPSPEED("  zero_stage: '2'\n"), "", ERROR_INPUT, "zero_stage: must be an integer"},
    {DEEPSPEED("  zero_stage: 2\n"), "strategy = zero3\n", ERROR_INPUT,
     "zero3 contradicts \"stage\": 2"},
    {DEEPSPEED("  offload_optimizer_device: cpu\n"), "", ERROR_UNMODELLED,
     "deepspeed_config.offload_optimizer_device: changes"},
    {"mixed_precision: fp8\n" DEEPSPEED("  zero_stage: 2\n"), "", ERROR_UNMODELLED,
     "mixed_precision: must be"},
    {DEEPSPEED("  deepspeed_config_file: missing.json\n"), "", ERROR_INPUT,
     "deepspeed_config.deepspeed_config_file: no file \"missing.json\""},
    {DEEPSPEED("  deepspeed_config_file: training/zero3.json\n  zero_stage: 3\n"), "",
     ERROR_INPUT, "deepspeed_config.zero_stage: beside deepspeed_config_file"},
};

START_TEST(test_bad)
{
    check_fails(KEY, bad[_i].text, bad[_i].conf, bad[_i].code, bad[_i].what);
}
END_TEST

/* What can't be mapped may be replaced by the user's own key. */
START_TEST(test_own_key_replaces)
{
    g_autoptr(Training) training = build_file(
        KEY, "distributed_type: MULTI_GPU\ndynamo_backend: TENSORRT\n", "compile = true\n");
    ck_assert(training->compile);
}
END_TEST

START_TEST(test_unknown_members)
{
    g_autoptr(Training) training = build(FSDP("  fsdp_new_knob: 1\n") "brand_new: {a: 1}\n");

    ck_assert_ptr_nonnull(training);
    ck_assert_uint_eq(warnings->len, 2);
    ck_assert(warned_of("brand_new: not known, ignored"));
    ck_assert(warned_of("fsdp_config.fsdp_new_knob: not known, ignored"));
}
END_TEST

START_TEST(test_mutations)
{
    ck_assert_int_gt(check_mutations(KEY,
                                     "compute_environment: LOCAL_MACHINE\ndebug: false\n"
                                     "distributed_type: FSDP\nfsdp_config:\n"
                                     "  fsdp_auto_wrap_policy: SIZE_BASED_WRAP\n"
                                     "  fsdp_min_num_params: 1000\n"
                                     "  fsdp_sharding_strategy: 4\n"
                                     "  fsdp_offload_params: false\n"
                                     "mixed_precision: 'bf16'\nnum_machines: 2\n"
                                     "num_processes: 16\ntpu_env: []\n",
                                     "{}[]:,\"'\\ \n-&*!?|>#%@`~<.eE019yesnoftrue_\t\x01\xff",
                                     3000),
                     800);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_fsdp_defaults);
    tcase_add_loop_test(tcase, test_fsdp_strategy, 0, G_N_ELEMENTS(strategies));
    tcase_add_test(tcase, test_hybrid_on_one_node);
    tcase_add_test(tcase, test_fsdp1_knobs);
    tcase_add_test(tcase, test_fsdp2_without_effect);
    tcase_add_loop_test(tcase, test_precision, 0, G_N_ELEMENTS(precisions));
    tcase_add_test(tcase, test_other_sections);
    tcase_add_test(tcase, test_deepspeed_members);
    tcase_add_test(tcase, test_deepspeed_precedence);
    tcase_add_test(tcase, test_deepspeed_file);
    tcase_add_test(tcase, test_counts_fill_in);
    tcase_add_test(tcase, test_counts_overridden);
    tcase_add_test(tcase, test_own_keys_win);
    tcase_add_loop_test(tcase, test_comparing, 0, 3);
    tcase_add_loop_test(tcase, test_bad, 0, G_N_ELEMENTS(bad));
    tcase_add_test(tcase, test_own_key_replaces);
    tcase_add_test(tcase, test_unknown_members);
    tcase_add_test(tcase, test_mutations);
}

int main(void)
{
    return run_tests("training_accelerate", add_tests, set_up);
}
