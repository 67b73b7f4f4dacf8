/* SPDX-License-Identifier: MIT */
/* How experiments and framework defaults resolve into one plain struct: batch arithmetic,
 * precisions, optimizers, comparisons, and that what isn't modelled or contradicts itself is a
 * one-line error. */
#include "suite_run.h"
#include "training_fixture.h"

#include <stdlib.h>

/* ---- names and predicates ---- */

/* Names and their parsing agree. */
START_TEST(test_names)
{
    static const char *const names[] = {"ddp", "zero1", "zero2", "zero3"};
    Strategy strategy;

    for (int i = 0; i < N_STRATEGIES; i++) {
        ck_assert_str_eq(strategy_name((Strategy)i), names[i]);
        ck_assert(strategy_parse(names[i], &strategy) && (int)strategy == i);
    }
    ck_assert(!strategy_parse("zero4", &strategy));
    ck_assert_str_eq(framework_name(FRAMEWORK_PAPER), "paper");
    ck_assert_str_eq(checkpointing_name(CHECKPOINTING_SELECTIVE), "selective");
}
END_TEST

static const struct {
    const char *framework;
    const char *sharded[N_STRATEGIES]; /* o optimizer states, g gradients, p parameters */
} predicates[] = {
    {"pytorch", {"", "o", "ogp", "ogp"}}, /* FSDP stores shards in zero2 as well */
    {"deepspeed", {NULL, "o", "og", "ogp"}},
    {"paper", {"", "o", "og", "ogp"}},
};

/* What each framework's strategies shard. */
START_TEST(test_predicates)
{
    for (int i = 0; i < N_STRATEGIES; i++) {
        const char *sharded = predicates[_i].sharded[i];
        if (!sharded)
            continue;
        g_autofree char *text =
            g_strdup_printf("[training]\nframework = %s\nstrategy = %s\nprecision = bf16\n",
                            predicates[_i].framework, strategy_name((Strategy)i));
        g_autoptr(Training) training = build(text);
        ck_assert_int_eq(training_shards_optimizer_states(training),
                         strchr(sharded, 'o') != NULL);
        ck_assert_int_eq(training_shards_gradients(training), strchr(sharded, 'g') != NULL);
        ck_assert_int_eq(training_shards_parameters(training), strchr(sharded, 'p') != NULL);
    }
}
END_TEST

/* ---- defaults ---- */

/* PyTorch's defaults: DistributedDataParallel, torch.optim, FSDP2. */
START_TEST(test_pytorch_defaults)
{
    g_autoptr(Training) training = build("[training]\nstrategy = zero3\n");
    g_autoptr(Training) zero2 = build("[training]\nstrategy = zero2\n");

    ck_assert_int_eq(training->framework, FRAMEWORK_PYTORCH);
    ck_assert_int_eq(training->micro_batch, 1);
    ck_assert_int_eq(training->gradient_accumulation, 1);
    ck_assert_int_eq(training->global_batch, RANKS);
    ck_assert_int_eq(training->optimizer.kind, OPTIMIZER_ADAMW);
    ck_assert_int_eq(training->optimizer.implementation, IMPLEMENTATION_FOREACH);
    ck_assert_double_eq(training->optimizer.weight_decay, 0.01);
    ck_assert_int_eq(training->checkpointing, CHECKPOINTING_NONE);
    ck_assert_int_eq(training->attention, ATTENTION_SDPA);
    ck_assert_double_eq(training->gradient_clipping, 0);
    ck_assert_double_lt(training->dropout, 0);
    ck_assert_int_eq(training->sequence_length, 0);
    ck_assert_int_eq(training->ddp.bucket_cap_bytes, 25 * 1024 * 1024);
    ck_assert_int_eq(training->ddp.first_bucket_bytes, 1024 * 1024);
    ck_assert(!training->ddp.gradient_as_bucket_view && training->ddp.broadcast_buffers);
    ck_assert(training->ddp.no_sync && !training->ddp.parameters_as_bucket_view);
    ck_assert(training->fsdp.reshard_after_forward && !zero2->fsdp.reshard_after_forward);
    ck_assert(training->fsdp.sync_every_micro_step);
    ck_assert_int_eq(training->fsdp.version, 2);
    ck_assert_int_eq(training->fsdp.backward_prefetch_units, 1);
    ck_assert_int_eq(training->fsdp.forward_prefetch_units, 1);
    ck_assert_int_eq(training->fsdp.backward_prefetch, PREFETCH_PRE);
    ck_assert(!training->fsdp.forward_prefetch && training->fsdp.limit_all_gathers);
}
END_TEST

/* An explicit cap is every bucket's cap, unless the first is set too. */
START_TEST(test_ddp_buckets)
{
    g_autoptr(Training) cap = build("[training]\nstrategy = ddp\n[ddp]\nbucket_cap_mb = 0.5\n");
    g_autoptr(Training) both = build("[training]\nstrategy = ddp\n"
                                     "[ddp]\nbucket_cap_mb = 100\nfirst_bucket_bytes = 7\n");

    ck_assert_int_eq(cap->ddp.bucket_cap_bytes, 512 * 1024);
    ck_assert_int_eq(cap->ddp.first_bucket_bytes, 512 * 1024);
    ck_assert_int_eq(both->ddp.bucket_cap_bytes, 100 * 1024 * 1024);
    ck_assert_int_eq(both->ddp.first_bucket_bytes, 7);
}
END_TEST

/* ---- precision ---- */

#define F DTYPE_FP32
#define B DTYPE_BF16
#define H DTYPE_FP16

static const struct {
    const char *framework, *strategy, *precision;
    Precision expected; /* parameter gather forward compute gradient reduce state master cast */
} precisions[] = {
    {"pytorch", "ddp", "fp32", {F, F, F, F, F, F, F, FALSE, FALSE}},
    {"pytorch", "ddp", "bf16", {B, B, B, B, B, B, B, FALSE, FALSE}},
    {"pytorch", "zero1", "fp16", {H, H, H, H, H, H, H, FALSE, FALSE}},
    {"pytorch", "ddp", "autocast-bf16", {F, F, F, B, F, F, F, FALSE, TRUE}},
    {"pytorch", "zero1", "autocast-fp16", {F, F, F, H, F, F, F, FALSE, TRUE}},
    {"pytorch", "zero2", "fp32", {F, F, F, F, F, F, F, FALSE, FALSE}},
    {"pytorch", "zero3", "bf16", {B, B, B, B, B, B, B, FALSE, FALSE}},
    {"pytorch", "zero3", "autocast-bf16", {F, B, B, B, F, B, F, FALSE, FALSE}},
    {"pytorch", "zero2", "autocast-fp16", {F, H, H, H, F, H, F, FALSE, FALSE}},
    {"deepspeed", "zero1", "bf16", {B, B, B, B, B, B, F, TRUE, FALSE}},
    {"deepspeed", "zero3", "fp16", {H, H, H, H, H, H, F, TRUE, FALSE}},
    {"deepspeed", "zero2", "fp32", {F, F, F, F, F, F, F, TRUE, FALSE}},
    {"paper", "ddp", "bf16", {B, B, B, B, B, B, F, TRUE, FALSE}},
    {"paper", "zero3", "fp16", {H, H, H, H, H, H, F, TRUE, FALSE}},
};

static void check_precision(const Precision *actual, const Precision *expected)
{
    ck_assert_int_eq(actual->parameter, expected->parameter);
    ck_assert_int_eq(actual->gather, expected->gather);
    ck_assert_int_eq(actual->forward, expected->forward);
    ck_assert_int_eq(actual->compute, expected->compute);
    ck_assert_int_eq(actual->gradient, expected->gradient);
    ck_assert_int_eq(actual->reduce, expected->reduce);
    ck_assert_int_eq(actual->state, expected->state);
    ck_assert_int_eq(actual->master, expected->master);
    ck_assert_int_eq(actual->autocast, expected->autocast);
}

/* Who keeps what in which type. */
START_TEST(test_precisions)
{
    g_autofree char *text = g_strdup_printf(
        "[training]\nframework = %s\nstrategy = %s\nprecision = %s\n", precisions[_i].framework,
        precisions[_i].strategy, precisions[_i].precision);
    g_autoptr(Training) training = build(text);
    const ModelOptions options = training_model_options(training);

    check_precision(&training->precision, &precisions[_i].expected);
    ck_assert_int_eq(options.parameter, training->precision.forward);
    ck_assert_int_eq(options.compute, training->precision.compute);
    ck_assert_int_eq(options.autocast, training->precision.autocast);
    ck_assert_int_eq(options.micro_batch, training->micro_batch);
}
END_TEST

/* Without training.precision: ds_config's, else fp32; the paper's is 16-bit by definition. */
START_TEST(test_default_precision)
{
    g_autoptr(Training) pytorch = build("[training]\nstrategy = ddp\n");
    g_autoptr(Training) paper = build("[training]\nframework = paper\nstrategy = ddp\n");
    g_autoptr(Training) fp16 = build_config(
        "{\"zero_optimization\": {\"stage\": 2}, \"fp16\": {\"enabled\": true}}", "");
    g_autoptr(Training) bf16 =
        build_config("{\"zero_optimization\": {\"stage\": 2}, \"fp16\": {\"enabled\": true}}",
                     "precision = bf16\n");

    ck_assert_int_eq(pytorch->precision.parameter, DTYPE_FP32);
    ck_assert_int_eq(paper->precision.parameter, DTYPE_BF16);
    ck_assert_int_eq(fp16->precision.parameter, DTYPE_FP16);
    ck_assert(fp16->deepspeed.loss_scaling);
    ck_assert_int_eq(bf16->precision.parameter, DTYPE_BF16);
    ck_assert(!bf16->deepspeed.loss_scaling);
}
END_TEST

/* reduce_dtype sets the wire type of FSDP and DeepSpeed, over communication_data_type. */
START_TEST(test_reduce_dtype)
{
    const char *json = "{\"zero_optimization\": {\"stage\": 1}, \"bf16\": {\"enabled\": true},"
                       " \"communication_data_type\": \"fp32\"}";
    g_autoptr(Training) fsdp =
        build("[training]\nstrategy = zero3\nprecision = autocast-bf16\nreduce_dtype = fp32\n");
    g_autoptr(Training) given = build_config(json, "");
    g_autoptr(Training) over = build_config(json, "reduce_dtype = fp16\n");

    ck_assert_int_eq(fsdp->precision.reduce, DTYPE_FP32);
    ck_assert_int_eq(fsdp->precision.gather, DTYPE_BF16);
    ck_assert_int_eq(given->precision.reduce, DTYPE_FP32);
    ck_assert_int_eq(given->deepspeed.communication_data_type, DTYPE_FP32);
    ck_assert_int_eq(over->precision.reduce, DTYPE_FP16);
}
END_TEST

/* ---- batch ---- */

static const struct {
    const char *text;
    gint64 micro, accumulation, global;
} batches[] = {
    {"micro_batch = 4\n", 4, 1, 64},
    {"micro_batch = 4\ngradient_accumulation = 8\n", 4, 8, 512},
    {"micro_batch = 4\nglobal_batch = 512\n", 4, 8, 512},
    {"gradient_accumulation = 8\nglobal_batch = 512\n", 4, 8, 512},
    {"global_batch = 512\n", 1, 32, 512},
    {"micro_batch = 4\ngradient_accumulation = 8\nglobal_batch = 512\n", 4, 8, 512},
    {"micro_batch = auto\n", 1, 1, 16},
    {"micro_batch = auto\nglobal_batch = 512\n", 1, 32, 512},
    {"micro_batch = auto\ngradient_accumulation = 8\nglobal_batch = 512\n", 4, 8, 512},
};

/* Any one size follows from the others and the 16 ranks. */
START_TEST(test_batch)
{
    g_autofree char *text = g_strconcat("[training]\nstrategy = ddp\n", batches[_i].text, NULL);
    g_autoptr(Training) training = build(text);

    ck_assert_int_eq(training->micro_batch, batches[_i].micro);
    ck_assert_int_eq(training->gradient_accumulation, batches[_i].accumulation);
    ck_assert_int_eq(training->global_batch, batches[_i].global);
}
END_TEST

static const struct {
    const char *text, *what;
} bad_batches[] = {
    {"micro_batch = 3\nglobal_batch = 512\n", "global_batch 512 is not a multiple of 3 * 16"},
    {"gradient_accumulation = 3\nglobal_batch = 512\n", "512 is not a multiple of 3 * 16"},
    {"global_batch = 8\n", "global_batch 8 is not a multiple of 1 * 16"},
    {"micro_batch = 4\ngradient_accumulation = 4\nglobal_batch = 512\n",
     "global_batch 512 != 4 * 4 * 16"},
    {"global_batch = 65552\n", "global_batch is too big: 1 * 4097 * 16"},
};

/* Sizes that disagree, and remainders, state their arithmetic. */
START_TEST(test_bad_batch)
{
    g_autofree char *text =
        g_strconcat("[training]\nstrategy = ddp\n", bad_batches[_i].text, NULL);
    check_fails(text, ERROR_INPUT, bad_batches[_i].what);
}
END_TEST

/* A trial micro-batch keeps the global batch that the user fixed, and moves a free one. */
START_TEST(test_set_micro_batch)
{
    g_autoptr(Training) fixed =
        build("[training]\nstrategy = ddp\nmicro_batch = auto\nglobal_batch = 512\n");
    g_autoptr(Training) loose =
        build("[training]\nstrategy = ddp\nmicro_batch = auto\ngradient_accumulation = 2\n");
    g_autoptr(GError) error = NULL;

    ck_assert(fixed->micro_batch_auto && loose->micro_batch_auto);
    ck_assert(training_set_micro_batch(fixed, RANKS, 8, NULL));
    ck_assert_int_eq(fixed->micro_batch, 8);
    ck_assert_int_eq(fixed->gradient_accumulation, 4);
    ck_assert_int_eq(fixed->global_batch, 512);
    ck_assert(!training_set_micro_batch(fixed, RANKS, 3, &error));
    check_message(error, "512 is not a multiple of 3 * 16");
    ck_assert_int_eq(fixed->micro_batch, 8);
    g_clear_error(&error);
    ck_assert(!training_set_micro_batch(loose, RANKS, 1048577, &error));
    check_message(error, "global_batch is too big");
    ck_assert(training_set_micro_batch(loose, RANKS, 5, NULL));
    ck_assert_int_eq(loose->gradient_accumulation, 2);
    ck_assert_int_eq(loose->global_batch, 5 * 2 * RANKS);
}
END_TEST

/* ---- contradictions and what isn't modelled ---- */

static const struct {
    const char *text; /* after [training] */
    ErrorCode code;
    const char *what;
} bad_experiments[] = {
    {"", ERROR_INPUT, "training.strategy: missing"},
    {"framework = deepspeed\n", ERROR_INPUT, "training.strategy: missing"},
    {"framework = deepspeed\nstrategy = zero1\nprecision = autocast-bf16\n", ERROR_INPUT,
     "training.precision: autocast-bf16 is PyTorch's: with framework deepspeed say bf16"},
    {"framework = paper\nstrategy = zero1\nprecision = fp32\n", ERROR_INPUT,
     "training.precision"},
    {"framework = paper\nstrategy = zero1\nprecision = autocast-fp16\n", ERROR_INPUT,
     "say fp16"},
    {"strategy = ddp\nreduce_dtype = bf16\n", ERROR_INPUT, "training.reduce_dtype"},
    {"framework = paper\nstrategy = zero2\nreduce_dtype = bf16\n", ERROR_INPUT,
     "training.reduce_dtype"},
    {"strategy = ddp\noptimizer = rmsprop\noptimizer_implementation = fused\n", ERROR_INPUT,
     "there is no fused rmsprop: must be foreach or loop"},
    {"strategy = ddp\noptimizer = adam8bit\noptimizer_implementation = loop\n", ERROR_INPUT,
     "there is no loop adam8bit: must be fused"},
    {"strategy = ddp\ndeepspeed_config = x.conf\n", ERROR_INPUT,
     "training.deepspeed_config: needs training.framework = deepspeed"},
    {"framework = deepspeed\nstrategy = zero1\n[deepspeed]\nversion = new\n", ERROR_INPUT,
     "deepspeed.version"},
    {"framework = deepspeed\nstrategy = zero1\n[deepspeed]\nversion = 0.12.3\n",
     ERROR_UNMODELLED, "deepspeed.version"},
    {"framework = deepspeed\nstrategy = zero1\n[deepspeed]\nzero_optimization.stage = 2\n",
     ERROR_INPUT, "contradicts \"stage\": 2"},
    {"framework = deepspeed\nstrategy = zero1\n[deepspeed]\nzero_optimization.overlap_comm = "
     "3\n",
     ERROR_INPUT, "deepspeed.zero_optimization.overlap_comm: must be true or false"},
    {"framework = deepspeed\nstrategy = zero1\n"
     "[deepspeed]\nzero_optimization.memory_efficient_linear = false\n",
     ERROR_UNMODELLED, "deepspeed.zero_optimization.memory_efficient_linear"},
    {"strategy = ddp\n[ddp]\ncomm_hook = post_localSGD\n", ERROR_UNMODELLED,
     "ddp.comm_hook: post_localSGD is not modelled"},
    {"strategy = ddp\n[ddp]\ncomm_hook = powerSGD\nstart_powerSGD_iter = 1\n", ERROR_INPUT,
     "ddp.start_powerSGD_iter: must be at least 2"},
    {"strategy = ddp\n[ddp]\ncomm_hook = powerSGD\nmatrix_approximation_rank = 0\n",
     ERROR_INPUT, "ddp.matrix_approximation_rank"},
};

/* Each contradiction or unmodelled choice is one line with its file and key. */
START_TEST(test_bad_experiment)
{
    g_autofree char *text = g_strconcat("[training]\n", bad_experiments[_i].text, NULL);
    check_fails(text, bad_experiments[_i].code, bad_experiments[_i].what);
}
END_TEST

/* Knobs of a section that the strategy doesn't use are said to have no effect. */
START_TEST(test_knobs_without_effect)
{
    g_autoptr(Training) training =
        build("[training]\nstrategy = ddp\n[ddp]\nno_sync = false\n"
              "[fsdp]\nbackward_prefetch = post\n[deepspeed]\nfp16.enabled = true\n");

    ck_assert(!training->ddp.no_sync);
    ck_assert_uint_eq(warnings->len, 2);
    ck_assert_ptr_nonnull(strstr(warnings->pdata[0], "fsdp.backward_prefetch: no effect"));
    ck_assert_ptr_nonnull(strstr(warnings->pdata[1], "[deepspeed]: no effect"));
}
END_TEST

#define STAGE2 "\"zero_optimization\": {\"stage\": 2}"

/* ---- comparing ---- */

/* Under deepspeed the ddp row is PyTorch DDP under autocast of the same type, whatever the
 * ds_config's stage is; its batch, optimizer and clipping still count. */
START_TEST(test_comparing_ddp)
{
    g_autofree char *text =
        with_config("{" STAGE2 ", \"bf16\": {\"enabled\": true}, \"gradient_clipping\": 1,"
                    " \"train_micro_batch_size_per_gpu\": 4,"
                    " \"optimizer\": {\"type\": \"Lamb\"}}",
                    "strategy = ddp\nreduce_dtype = fp32\n[fsdp]\nversion = 1\n");
    g_autoptr(Training) ddp = compare(text);
    g_autofree char *sharded =
        with_config("{" STAGE2 "}", "strategy = zero3\nprecision = bf16\n");
    g_autoptr(Training) zero3 = compare(sharded);

    ck_assert_int_eq(ddp->framework, FRAMEWORK_PYTORCH);
    ck_assert_int_eq(ddp->strategy, STRATEGY_DDP);
    check_precision(&ddp->precision, &precisions[3].expected);
    ck_assert_int_eq(ddp->micro_batch, 4);
    ck_assert_int_eq(ddp->optimizer.kind, OPTIMIZER_LAMB);
    ck_assert_int_eq(ddp->optimizer.implementation, IMPLEMENTATION_FOREACH);
    ck_assert_double_eq(ddp->gradient_clipping, 1);
    ck_assert_int_eq(zero3->strategy, STRATEGY_ZERO3);
    ck_assert(zero3->deepspeed.overlap_comm);
    ck_assert_uint_eq(warnings->len, 0);
}
END_TEST

/* The four rows of a comparison all resolve, in each framework. */
START_TEST(test_comparing_all)
{
    static const char *const frameworks[] = {"pytorch", "deepspeed", "paper"};

    for (int i = 0; i < N_STRATEGIES; i++) {
        g_autofree char *text = g_strdup_printf(
            "[training]\nframework = %s\nprecision = bf16\nreduce_dtype = fp32\nstrategy = %s\n"
            "[ddp]\nno_sync = false\n[fsdp]\nbackward_prefetch = post\n",
            frameworks[_i], strategy_name((Strategy)i));
        g_autoptr(Training) training = compare(text);
        ck_assert_int_eq((int)training->strategy, i);
    }
    ck_assert_uint_eq(warnings->len, 0);
}
END_TEST

/* ---- shipped files ---- */

/* Every shipped experiment loads and resolves without a warning, as does every shipped
 * ds_config.json. */
START_TEST(test_shipped_workloads)
{
    g_autofree char *workloads = g_build_filename(experiment_data_dir(), "workloads", NULL);
    g_autofree char *configs = g_build_filename(workloads, "training", NULL);
    g_autoptr(GDir) conf_files = g_dir_open(workloads, 0, NULL);
    g_autoptr(GDir) json_files = g_dir_open(configs, 0, NULL);
    int n = 0;
    ck_assert_msg(conf_files && json_files, "no workloads in %s", workloads);

    for (const char *name; (name = g_dir_read_name(conf_files));) {
        g_autofree char *path = g_build_filename(workloads, name, NULL);
        g_autoptr(GError) error = NULL;
        if (!g_str_has_suffix(name, ".conf"))
            continue;
        g_autoptr(Experiment) experiment = experiment_load(path, NULL, &error);
        ck_assert_msg(experiment != NULL, "%s", error ? error->message : "");
        if (!experiment_is_set(experiment, "training.strategy") &&
            !experiment_is_set(experiment, "training.deepspeed_config"))
            ck_assert(experiment_set(experiment, "training.strategy=zero2", NULL));
        g_autoptr(Training) training =
            training_build(experiment, 64, HIDDEN, FALSE, warnings, &error);
        ck_assert_msg(training != NULL, "%s", error ? error->message : "");
        n++;
    }
    for (const char *name; (name = g_dir_read_name(json_files));) {
        if (!g_str_has_suffix(name, ".json"))
            continue;
        g_autofree char *text = g_strdup_printf(
            "[training]\nframework = deepspeed\ndeepspeed_config = %s/%s\n", configs, name);
        g_autoptr(Training) training = build(text);
        ck_assert_int_ge(training->strategy, STRATEGY_ZERO1);
        n++;
    }
    ck_assert_int_ge(n, 8);
    ck_assert_uint_eq(warnings->len, 0);
}
END_TEST

/* The main job sets framework, sizes and nodes, never what --best or -s cluster.nodes derive.
 */
START_TEST(test_main_workload)
{
    g_autofree char *path =
        g_build_filename(experiment_data_dir(), "workloads", "llama-2-7b-dgx-h100.conf", NULL);
    g_autoptr(Experiment) experiment = experiment_load(path, NULL, NULL);

    ck_assert_ptr_nonnull(experiment);
    ck_assert(!experiment_is_set(experiment, "training.global_batch"));
    ck_assert(!experiment_is_set(experiment, "training.strategy"));
    ck_assert_str_eq(experiment_string(experiment, "training.framework"), "deepspeed");
    ck_assert_str_eq(experiment_string(experiment, "training.precision"), "bf16");
    ck_assert_int_eq(experiment_int(experiment, "cluster.nodes"), 8);
    ck_assert(experiment_is_set(experiment, "training.micro_batch"));
    ck_assert(experiment_is_set(experiment, "training.gradient_accumulation"));
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_names);
    tcase_add_loop_test(tcase, test_predicates, 0, G_N_ELEMENTS(predicates));
    tcase_add_test(tcase, test_pytorch_defaults);
    tcase_add_test(tcase, test_ddp_buckets);
    tcase_add_loop_test(tcase, test_precisions, 0, G_N_ELEMENTS(precisions));
    tcase_add_test(tcase, test_default_precision);
    tcase_add_test(tcase, test_reduce_dtype);
    tcase_add_loop_test(tcase, test_batch, 0, G_N_ELEMENTS(batches));
    tcase_add_loop_test(tcase, test_bad_batch, 0, G_N_ELEMENTS(bad_batches));
    tcase_add_test(tcase, test_set_micro_batch);
    tcase_add_loop_test(tcase, test_bad_experiment, 0, G_N_ELEMENTS(bad_experiments));
    tcase_add_test(tcase, test_knobs_without_effect);
    tcase_add_test(tcase, test_comparing_ddp);
    tcase_add_loop_test(tcase, test_comparing_all, 0, 3);
    tcase_add_test(tcase, test_shipped_workloads);
    tcase_add_test(tcase, test_main_workload);
}

int main(void)
{
    Suite *suite = suite_create("training");
    TCase *tcase = tcase_create("training");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
