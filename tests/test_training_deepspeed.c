/* SPDX-License-Identifier: MIT */
/* How ds_config.json and [deepspeed] members resolve: DeepSpeed's defaults, batch rule,
 * precedence, "auto" values, and one line for each thing that is wrong or not modelled. */
#include "mutation.h"
#include "suite_run.h"
#include "training_fixture.h"

#define STAGE(n) "\"zero_optimization\": {\"stage\": " #n "}"
#define STAGE2 "\"zero_optimization\": {\"stage\": 2}"

/* runtime/zero/config.py, with overlap_comm true for stage 3 alone. */
START_TEST(test_deepspeed_defaults)
{
    g_autofree char *text = g_strdup_printf(
        "[training]\nframework = deepspeed\nprecision = bf16\nstrategy = zero%d\n", _i);
    g_autoptr(Training) training = build(text);
    const DeepspeedKnobs *knobs = &training->deepspeed;

    ck_assert_int_eq(knobs->overlap_comm, _i == 3);
    ck_assert(knobs->contiguous_gradients && knobs->reduce_scatter);
    ck_assert(knobs->use_multi_rank_bucket_allreduce);
    ck_assert(!knobs->round_robin_gradients && !knobs->prescale_gradients);
    ck_assert(!knobs->loss_scaling);
    ck_assert_int_eq(knobs->reduce_bucket_size, 500000000);
    ck_assert_int_eq(knobs->sub_group_size, 1000000000);
    ck_assert_int_eq(knobs->prefetch_bucket_size, 50000000);
    ck_assert_int_eq(knobs->param_persistence_threshold, 100000);
    ck_assert_int_eq(knobs->model_persistence_threshold, G_MAXINT64);
    ck_assert_int_eq(knobs->max_live_parameters, 1000000000);
    ck_assert_int_eq(knobs->max_reuse_distance, 1000000000);
    ck_assert_int_eq(knobs->communication_data_type, DTYPE_BF16);
    ck_assert_int_eq(knobs->grad_accum_dtype, DTYPE_BF16);
    ck_assert_int_eq(knobs->version, 1906);
    ck_assert_int_eq(training->optimizer.implementation, IMPLEMENTATION_FUSED);
}
END_TEST

static const struct {
    const char *sizes; /* of ds_config.json */
    gint64 micro, accumulation, global;
    const char *failure;
} deepspeed_batches[] = {
    {"\"train_batch_size\": 256, \"train_micro_batch_size_per_gpu\": 4", 4, 4, 256, NULL},
    {"\"train_batch_size\": 256, \"gradient_accumulation_steps\": 2", 8, 2, 256, NULL},
    {"\"train_batch_size\": 256", 16, 1, 256, NULL},
    {"\"train_micro_batch_size_per_gpu\": 4", 4, 1, 64, NULL},
    {"\"train_batch_size\": 256, \"train_micro_batch_size_per_gpu\": 4,"
     " \"gradient_accumulation_steps\": 4",
     4, 4, 256, NULL},
    {"\"train_batch_size\": \"auto\", \"train_micro_batch_size_per_gpu\": 4,"
     " \"gradient_accumulation_steps\": \"auto\"",
     4, 1, 64, NULL},
    {"\"train_batch_size\": 256, \"train_micro_batch_size_per_gpu\": 4,"
     " \"gradient_accumulation_steps\": 8",
     0, 0, 0, "train_batch_size 256 != 4 * 8 * 16"},
    {"\"train_batch_size\": 100", 0, 0, 0, "train_batch_size 100 is not a multiple of 1 * 16"},
    {"\"train_batch_size\": 0", 0, 0, 0, "train_batch_size: 0 is out of range"},
    {"\"train_batch_size\": 2.5", 0, 0, 0, "train_batch_size: must be an integer"},
    {"\"train_batch_size\": \"256\"", 0, 0, 0, "train_batch_size: must be an integer"},
    {"\"train_micro_batch_size_per_gpu\": -1", 0, 0, 0, "-1 is out of range"},
};

/* DeepSpeed's rule: train_batch_size = micro * accumulation * ranks, one may be left out. */
START_TEST(test_deepspeed_batch)
{
    g_autofree char *json = g_strdup_printf("{" STAGE2 ", %s}", deepspeed_batches[_i].sizes);
    g_autofree char *text = with_config(json, "");

    if (deepspeed_batches[_i].failure) {
        check_fails(text, ERROR_INPUT, deepspeed_batches[_i].failure);
        return;
    }
    g_autoptr(Training) training = build(text);
    ck_assert_int_eq(training->micro_batch, deepspeed_batches[_i].micro);
    ck_assert_int_eq(training->gradient_accumulation, deepspeed_batches[_i].accumulation);
    ck_assert_int_eq(training->global_batch, deepspeed_batches[_i].global);
}
END_TEST

/* The experiment's sizes win over the file's, which must agree all the same. */
START_TEST(test_batch_precedence)
{
    const char *json = "{" STAGE2 ", \"train_batch_size\": 256,"
                       " \"train_micro_batch_size_per_gpu\": 4}";
    g_autoptr(Training) micro = build_config(json, "micro_batch = 2\n");
    g_autoptr(Training) global = build_config(json, "global_batch = 128\n");
    g_autoptr(Training) member = build_config(json, "[deepspeed]\ntrain_batch_size = 128\n");
    g_autofree char *wrong =
        with_config("{" STAGE2 ", \"train_batch_size\": 100}", "micro_batch = 2\n");

    ck_assert_int_eq(micro->micro_batch, 2);
    ck_assert_int_eq(micro->gradient_accumulation, 4);
    ck_assert_int_eq(micro->global_batch, 128);
    ck_assert_int_eq(global->micro_batch, 4);
    ck_assert_int_eq(global->gradient_accumulation, 2);
    ck_assert_int_eq(member->micro_batch, 4);
    ck_assert_int_eq(member->gradient_accumulation, 2);
    check_fails(wrong, ERROR_INPUT, "train_batch_size 100");
}
END_TEST

/* ---- ds_config.json ---- */

/* Every modelled member of zero_optimization arrives, 5e8 counting as an integer. */
START_TEST(test_zero_members)
{
    g_autoptr(Training) training = build_config(
        "{\"bf16\": {\"enabled\": true}, \"prescale_gradients\": true,"
        " \"gradient_clipping\": 0.5, \"zero_optimization\": {\"stage\": 3,"
        " \"contiguous_gradients\": false, \"reduce_scatter\": false,"
        " \"use_multi_rank_bucket_allreduce\": false, \"overlap_comm\": false,"
        " \"round_robin_gradients\": true, \"reduce_bucket_size\": 2e8,"
        " \"sub_group_size\": 3e8, \"stage3_prefetch_bucket_size\": 4,"
        " \"stage3_param_persistence_threshold\": 5, \"stage3_model_persistence_threshold\": 6,"
        " \"stage3_max_live_parameters\": 7, \"stage3_max_reuse_distance\": 8}}",
        "");
    const DeepspeedKnobs *knobs = &training->deepspeed;

    ck_assert_int_eq(training->strategy, STRATEGY_ZERO3);
    ck_assert_double_eq(training->gradient_clipping, 0.5);
    ck_assert(!knobs->contiguous_gradients && !knobs->reduce_scatter && !knobs->overlap_comm);
    ck_assert(!knobs->use_multi_rank_bucket_allreduce && knobs->round_robin_gradients);
    ck_assert(knobs->prescale_gradients);
    ck_assert_int_eq(knobs->reduce_bucket_size, 200000000);
    ck_assert_int_eq(knobs->sub_group_size, 300000000);
    ck_assert_int_eq(knobs->prefetch_bucket_size, 4);
    ck_assert_int_eq(knobs->param_persistence_threshold, 5);
    ck_assert_int_eq(knobs->model_persistence_threshold, 6);
    ck_assert_int_eq(knobs->max_live_parameters, 7);
    ck_assert_int_eq(knobs->max_reuse_distance, 8);
    ck_assert_uint_eq(warnings->len, 0);
}
END_TEST

/* "auto" as Hugging Face fills it in from the hidden size, the rest from the experiment. */
START_TEST(test_auto_members)
{
    const char *json =
        "{\"bf16\": {\"enabled\": \"auto\"}, \"fp16\": {\"enabled\": \"auto\"},"
        " \"gradient_clipping\": \"auto\", \"train_batch_size\": \"auto\","
        " \"optimizer\": {\"type\": \"AdamW\", \"params\": {\"lr\": \"auto\","
        " \"weight_decay\": \"auto\"}}, \"zero_optimization\": {\"stage\": 3,"
        " \"reduce_bucket_size\": \"auto\", \"stage3_prefetch_bucket_size\": \"auto\","
        " \"stage3_param_persistence_threshold\": \"auto\"}}";
    g_autoptr(Training) training = build_config(json, "precision = fp16\nmicro_batch = 3\n");

    ck_assert_int_eq(training->deepspeed.reduce_bucket_size, HIDDEN * HIDDEN);
    ck_assert_int_eq(training->deepspeed.prefetch_bucket_size, 15099494); /* 0.9 h h */
    ck_assert_int_eq(training->deepspeed.param_persistence_threshold, 10 * HIDDEN);
    ck_assert_int_eq(training->precision.compute, DTYPE_FP16);
    ck_assert_int_eq(training->micro_batch, 3);
    ck_assert_double_eq(training->gradient_clipping, 1.0);
}
END_TEST

/* Experiment over [deepspeed] over ds_config.json over default. */
START_TEST(test_deepspeed_precedence)
{
    const char *json = "{\"gradient_clipping\": 2, \"zero_optimization\": {\"stage\": 2,"
                       " \"overlap_comm\": true, \"reduce_bucket_size\": 1000}}";
    g_autoptr(Training) given = build_config(json, "");
    g_autoptr(Training) over =
        build_config(json, "gradient_clipping = 3\n[deepspeed]\nversion = 0.17.5\n"
                           "zero_optimization.overlap_comm = false\ngradient_clipping = 9\n");

    ck_assert(given->deepspeed.overlap_comm);
    ck_assert_double_eq(given->gradient_clipping, 2);
    ck_assert(!over->deepspeed.overlap_comm);
    ck_assert_int_eq(over->deepspeed.reduce_bucket_size, 1000);
    ck_assert_double_eq(over->gradient_clipping, 3);
    ck_assert_int_eq(over->deepspeed.version, 1705);
}
END_TEST

static const struct {
    const char *optimizer; /* of ds_config.json */
    const char *more;      /* of the experiment */
    OptimizerKind kind;
    Implementation implementation;
    double weight_decay;
} optimizers[] = {
    {"{\"type\": \"Adam\"}", "", OPTIMIZER_ADAMW, IMPLEMENTATION_FUSED, 0.01},
    {"{\"type\": \"Adam\", \"params\": {\"adam_w_mode\": false, \"weight_decay\": 0.3}}", "",
     OPTIMIZER_ADAM, IMPLEMENTATION_FUSED, 0.3},
    {"{\"type\": \"AdamW\", \"params\": {\"torch_adam\": true}}", "", OPTIMIZER_ADAMW,
     IMPLEMENTATION_FOREACH, 0.01},
    {"{\"type\": \"lamb\"}", "", OPTIMIZER_LAMB, IMPLEMENTATION_FUSED, 0},
    {"{\"type\": \"AdamW\"}", "optimizer = sgd\nweight_decay = 0.5\n", OPTIMIZER_SGD,
     IMPLEMENTATION_FUSED, 0.5},
    {"null", "optimizer = rmsprop\n", OPTIMIZER_RMSPROP, IMPLEMENTATION_FOREACH, 0},
    {"null", "optimizer_implementation = loop\n", OPTIMIZER_ADAMW, IMPLEMENTATION_LOOP, 0.01},
};

/* DeepSpeed's Adam is a fused AdamW unless told otherwise; the experiment wins. */
START_TEST(test_optimizer)
{
    g_autofree char *json =
        g_strdup_printf("{" STAGE2 ", \"optimizer\": %s}", optimizers[_i].optimizer);
    g_autoptr(Training) training = build_config(json, optimizers[_i].more);

    ck_assert_int_eq(training->optimizer.kind, optimizers[_i].kind);
    ck_assert_int_eq(training->optimizer.implementation, optimizers[_i].implementation);
    ck_assert_double_eq(training->optimizer.weight_decay, optimizers[_i].weight_decay);
}
END_TEST

#define ZERO(members) "{\"zero_optimization\": {\"stage\": 2, " members "}}"

#define FP16 "\"fp16\": {\"enabled\": true}"
#define BF16 "\"bf16\": {\"enabled\": true}"
#define FP32_SUMS "\"data_types\": {\"grad_accum_dtype\": \"fp32\"}"

/* Which class runs a step, and in what type gradients add up: engine.py's table of stage, model
 * type, accumulation type and release. */
typedef struct {
    const char *json, *version;
    gboolean bf16_optimizer, shards_states;
    DType accumulation;
    guint n_warnings;
    const char *error; /* NULL: none */
} OptimizerRule;

static const OptimizerRule optimizer_rules[] = {
    {"{" BF16 "}", "0.17.5", TRUE, TRUE, DTYPE_FP32, 0, NULL},
    {"{" BF16 ", " FP32_SUMS "}", "0.17.5", TRUE, TRUE, DTYPE_FP32, 0, NULL},
    {"{" BF16 "}", "0.17.6", FALSE, FALSE, DTYPE_BF16, 0, NULL},
    {"{" BF16 ", " FP32_SUMS "}", "0.18.5", FALSE, FALSE, DTYPE_FP32, 0, "stage 0 adds bf16"},
    {"{" BF16 ", \"data_types\": {\"grad_accum_dtype\": \"bf16\"}}", "0.17.5", FALSE, FALSE,
     DTYPE_BF16, 0, "before 0.17.6 adds bf16"},
    {"{" FP16 "}", "0.17.5", FALSE, FALSE, DTYPE_FP16, 0, NULL},
    {"{" BF16 ", " STAGE(1) "}", "0.19.6", FALSE, TRUE, DTYPE_BF16, 0, NULL},
    {"{" BF16 ", " STAGE(1) ", " FP32_SUMS "}", "0.17.5", TRUE, TRUE, DTYPE_FP32, 0, NULL},
    {"{" BF16 ", " STAGE(1) ", " FP32_SUMS "}", "0.18.4", FALSE, TRUE, DTYPE_FP32, 0,
     "0.17.6 to 0.18.4"},
    {"{" BF16 ", " STAGE(1) ", " FP32_SUMS "}", "0.18.5", TRUE, TRUE, DTYPE_FP32, 0, NULL},
    {"{" FP16 ", " STAGE(1) ", " FP32_SUMS "}", "0.19.6", FALSE, TRUE, DTYPE_FP32, 0, NULL},
    {"{" BF16 ", " STAGE(2) ", " FP32_SUMS "}", "0.19.6", FALSE, TRUE, DTYPE_BF16, 1, NULL},
    {"{" BF16 ", " STAGE(3) ", " FP32_SUMS "}", "0.19.6", FALSE, TRUE, DTYPE_FP32, 0, NULL},
};

START_TEST(test_optimizer_rules)
{
    const OptimizerRule *rule = &optimizer_rules[_i];
    g_autofree char *more = g_strdup_printf("[deepspeed]\nversion = %s\n", rule->version);

    if (rule->error) {
        g_autofree char *text = with_config(rule->json, more);
        check_fails(text, _i == 8 ? ERROR_UNMODELLED : ERROR_INPUT, rule->error);
        return;
    }
    g_autoptr(Training) training = build_config(rule->json, more);
    ck_assert_int_eq(training->deepspeed.bf16_optimizer, rule->bf16_optimizer);
    ck_assert_int_eq(training_shards_optimizer_states(training), rule->shards_states);
    ck_assert_int_eq(training->deepspeed.grad_accum_dtype, rule->accumulation);
    ck_assert_uint_eq(warnings->len, rule->n_warnings);
}
END_TEST

static const struct {
    const char *json;
    ErrorCode code;
    const char *what;
} bad_configs[] = {
    {ZERO("\"offload_optimizer\": {\"device\": \"cpu\"}"), ERROR_UNMODELLED,
     "zero_optimization.offload_optimizer.device"},
    {ZERO("\"offload_param\": {\"device\": \"nvme\"}"), ERROR_UNMODELLED,
     "offload_param.device"},
    {ZERO("\"cpu_offload\": true"), ERROR_UNMODELLED, "zero_optimization.cpu_offload"},
    {ZERO("\"zero_hpz_partition_size\": 0"), ERROR_INPUT, "zero_hpz_partition_size"},
    {ZERO("\"zero_quantized_weights\": 1"), ERROR_INPUT, "zero_quantized_weights"},
    {ZERO("\"zero_quantized_gradients\": \"auto\""), ERROR_INPUT, "zero_quantized_gradients"},
    {ZERO("\"zeropp_loco_param\": true"), ERROR_INPUT, "zeropp_loco_param: must be an object"},
    {ZERO("\"zeropp_loco_param\": {\"err_beta\": 2}"), ERROR_INPUT,
     "zeropp_loco_param.err_beta"},
    {ZERO("\"zeropp_loco_param\": {\"reset_T\": 0}"), ERROR_INPUT, "zeropp_loco_param.reset_T"},
    {ZERO("\"mics_shard_size\": -2"), ERROR_INPUT, "mics_shard_size"},
    {ZERO("\"leaf_module\": {\"classes\": [\"A\"]}"), ERROR_UNMODELLED, "leaf_module"},
    {ZERO("\"stage3_module_granularity_threshold\": -9"), ERROR_INPUT, "granularity"},
    {"{" STAGE2 ", \"activation_checkpointing\": {\"partition_activations\": true}}",
     ERROR_UNMODELLED, "activation_checkpointing.partition_activations"},
    {"{" STAGE2 ", \"amp\": {\"enabled\": true}}", ERROR_UNMODELLED, "amp"},
    {"{" STAGE2 ", \"optimizer\": {\"type\": \"OneBitAdam\"}}", ERROR_UNMODELLED,
     "optimizer.type: \"OneBitAdam\""},
    {"{" FP16 ", \"zero_optimization\": {\"stage\": 1, \"overlap_comm\": true}," FP32_SUMS "}",
     ERROR_UNMODELLED, "grad_accum_dtype: fp32 over fp16 gradients with stage 1 and overlap"},
    {"{" FP16 ", \"zero_optimization\": {\"stage\": 0}," FP32_SUMS "}", ERROR_INPUT,
     "grad_accum_dtype: DeepSpeed's stage 0 adds fp16 gradients in fp16"},
    {"{" STAGE2 ", \"prescale_gradients\": true}", ERROR_INPUT,
     "prescale_gradients: DeepSpeed's stage 2 needs reduce_scatter = false"},
    {"{" STAGE2 ", \"gradient_predivide_factor\": 2}", ERROR_INPUT,
     "gradient_predivide_factor: DeepSpeed's stage 2 needs reduce_scatter = false"},
    {"{" STAGE2 ", \"gradient_predivide_factor\": 0}", ERROR_INPUT,
     "gradient_predivide_factor: 0"},
    {"{\"zero_optimization\": {\"stage\": 4}}", ERROR_INPUT, "zero_optimization.stage: 4"},
    {"{\"zero_optimization\": true}", ERROR_INPUT, "zero_optimization: must be an object"},
    {"{\"zero_optimization\": {\"stage\": \"2\"}}", ERROR_INPUT, "stage: must be an integer"},
    {ZERO("\"overlap_comm\": \"yes\""), ERROR_INPUT, "overlap_comm: must be true or false"},
    {ZERO("\"overlap_comm\": 1"), ERROR_INPUT, "overlap_comm: must be true or false"},
    {ZERO("\"reduce_bucket_size\": 0"), ERROR_INPUT, "reduce_bucket_size: 0 is out of range"},
    {ZERO("\"reduce_bucket_size\": 1e300"), ERROR_INPUT, "reduce_bucket_size: must be"},
    {ZERO("\"sub_group_size\": \"auto\""), ERROR_INPUT, "sub_group_size: must be an integer"},
    {"{" STAGE2 ", \"fp16\": {\"enabled\": true}, \"bf16\": {\"enabled\": true}}", ERROR_INPUT,
     "bf16 and fp16 cannot both be enabled"},
    {"{" STAGE2 ", \"communication_data_type\": \"fp8\"}", ERROR_INPUT,
     "communication_data_type: must be fp32, bf16 or fp16"},
    {"{" STAGE2 ", \"gradient_clipping\": -1}", ERROR_INPUT, "gradient_clipping: -1"},
    {"{" STAGE2 ", \"optimizer\": \"Adam\"}", ERROR_INPUT, "optimizer: must be an object"},
    {"{" STAGE2, ERROR_INPUT, "not valid JSON"},
    {"[]", ERROR_INPUT, "top level must be an object"},
};

/* Each malformed or unmodelled ds_config.json is one line with its file and member. */
START_TEST(test_bad_config)
{
    g_autofree char *text = with_config(bad_configs[_i].json, "");
    check_fails(text, bad_configs[_i].code, bad_configs[_i].what);
}
END_TEST

/* What switches an unmodelled feature off passes, and so does what changes nothing. */
START_TEST(test_harmless_members)
{
    g_autoptr(Training) training = build_config(
        "{\"zero_optimization\": {\"stage\": 1, \"offload_param\": {\"device\": \"none\","
        " \"pin_memory\": true}, \"offload_optimizer\": null, \"zero_hpz_partition_size\": 1,"
        " \"mics_shard_size\": -1, \"zero_quantized_weights\": false,"
        " \"allgather_bucket_size\": 5e8}, \"amp\": {\"enabled\": false},"
        " \"activation_checkpointing\": {\"partition_activations\": false,"
        " \"cpu_checkpointing\": false, \"profile\": true}, \"steps_per_print\": 10,"
        " \"scheduler\": {\"type\": \"WarmupLR\", \"params\": {\"x\": 1}},"
        " \"flops_profiler\": {\"enabled\": true}}",
        "");

    ck_assert_int_eq(training->strategy, STRATEGY_ZERO1);
    ck_assert_uint_eq(warnings->len, 0);
}
END_TEST

/* What DeepSpeed reads at stage 3 alone is said to do nothing below it, and so is LoCo without
 * the gradients that it corrects. */
START_TEST(test_members_without_effect)
{
    static const char zeropp[] = "\"zero_quantized_weights\": true,"
                                 "\"zero_quantized_gradients\": true,"
                                 "\"zeropp_loco_param\": {\"err_beta\": 0.8}";
    g_autofree char *below = g_strdup_printf(ZERO("%s"), zeropp);
    g_autofree char *stage3 =
        g_strdup_printf("{\"zero_optimization\": {\"stage\": 3, %s}}", zeropp);
    g_autoptr(Training) without = build_config(below, "");

    ck_assert_uint_eq(warnings->len, 3);
    ck_assert_ptr_nonnull(
        strstr(warnings->pdata[0], "zero_quantized_weights: no effect below stage 3"));
    ck_assert_ptr_nonnull(strstr(warnings->pdata[2], "zeropp_loco_param: no effect without"));
    g_ptr_array_set_size(warnings, 0);
    g_autoptr(Training) with = build_config(stage3, "");
    ck_assert_uint_eq(warnings->len, 0);
    ck_assert(with->deepspeed.quantized_weights && with->deepspeed.quantized_gradients);
    ck_assert(with->deepspeed.loco);
}
END_TEST

/* A member nobody knows is a warning in ds_config.json, an error in the experiment. */
START_TEST(test_unknown_members)
{
    const char *json = "{" STAGE2 ", \"zero_optimisation\": 1, \"fp16\": {\"enabld\": true}}";
    g_autoptr(Training) training = build_config(json, "");
    g_autofree char *typo =
        with_config("{" STAGE2 "}", "[deepspeed]\nzero_optimization.overlap_com = true\n");

    ck_assert_uint_eq(warnings->len, 2);
    ck_assert_ptr_nonnull(strstr(warnings->pdata[0], "zero_optimisation: not known"));
    ck_assert_ptr_nonnull(strstr(warnings->pdata[1], "fp16.enabld: not known"));
    check_fails(typo, ERROR_INPUT, "did you mean deepspeed.zero_optimization.overlap_comm?");
}
END_TEST

/* A ds_config's stage binds the strategy; an override's mistake isn't blamed on the file. */
START_TEST(test_stage_contradiction)
{
    g_autofree char *text = with_config("{" STAGE2 "}", "strategy = zero3\n");
    const char *const overrides[] = {"training.strategy=zero2",
                                     "deepspeed.zero_optimization.stage=true", NULL};
    g_autoptr(GError) error = NULL;

    check_fails(text, ERROR_INPUT, "training.strategy: zero3 contradicts \"stage\": 2");
    g_autoptr(Experiment) experiment = experiment_load(file, overrides, NULL);
    ck_assert_ptr_null(training_build(experiment, RANKS, HIDDEN, FALSE, warnings, &error));
    check_message(error, "-s: deepspeed.zero_optimization.stage: must be an integer");
}
END_TEST

/* ---- noise ---- */

static const char *const good_config =
    "{\"train_batch_size\": 256, \"train_micro_batch_size_per_gpu\": 4,"
    " \"gradient_accumulation_steps\": 4, \"bf16\": {\"enabled\": true},"
    " \"optimizer\": {\"type\": \"AdamW\", \"params\": {\"weight_decay\": 0.1}},"
    " \"zero_optimization\": {\"stage\": 2, \"reduce_bucket_size\": 5e8,"
    " \"overlap_comm\": true, \"offload_param\": {\"device\": \"none\"}}}";

/* Seeded mutations of a good ds_config.json resolve or fail with one line; nothing crashes. */
START_TEST(test_mutated_configs)
{
    static const char alphabet[] = "{}[]:,\"\\ \n-+.eE019truefalsnx\x01\xff";
    GRand *random = g_rand_new_with_seed(20260102);
    int n_failed = 0;

    for (int round = 0; round < 3000; round++) {
        g_autoptr(GString) json = g_string_new(good_config);
        g_autoptr(GError) error = NULL;
        mutate(json, random, alphabet);
        g_autofree char *text = with_config(json->str, "");
        g_autoptr(Training) training = build_full(text, FALSE, &error);
        if (training) {
            ck_assert_int_eq(training->global_batch,
                             training->micro_batch * training->gradient_accumulation * RANKS);
            continue;
        }
        n_failed++;
        check_message(error, scratch_folder());
    }
    g_rand_free(random);
    ck_assert_int_gt(n_failed, 1000);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_deepspeed_defaults, 1, 4);
    tcase_add_loop_test(tcase, test_deepspeed_batch, 0, G_N_ELEMENTS(deepspeed_batches));
    tcase_add_test(tcase, test_batch_precedence);
    tcase_add_test(tcase, test_zero_members);
    tcase_add_test(tcase, test_auto_members);
    tcase_add_test(tcase, test_deepspeed_precedence);
    tcase_add_loop_test(tcase, test_optimizer, 0, G_N_ELEMENTS(optimizers));
    tcase_add_loop_test(tcase, test_optimizer_rules, 0, G_N_ELEMENTS(optimizer_rules));
    tcase_add_loop_test(tcase, test_bad_config, 0, G_N_ELEMENTS(bad_configs));
    tcase_add_test(tcase, test_harmless_members);
    tcase_add_test(tcase, test_members_without_effect);
    tcase_add_test(tcase, test_unknown_members);
    tcase_add_test(tcase, test_stage_contradiction);
    tcase_add_test(tcase, test_mutated_configs);
}

int main(void)
{
    Suite *suite = suite_create("training_deepspeed");
    TCase *tcase = tcase_create("training_deepspeed");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
