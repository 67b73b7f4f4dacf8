/* SPDX-License-Identifier: MIT */
/* How experiments, ds_config.json files and framework defaults resolve into one plain struct:
 * precedence, batch arithmetic, precisions, DeepSpeed's defaults and "auto" values, and that
 * what isn't modelled or contradicts itself is a one-line error. */
#include "training.h"

#include "error.h"
#include "training_deepspeed.h"

#include <check.h>
#include <glib/gstdio.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define RANKS 16
#define HIDDEN 4096

static char *directory, *file, *config;
static GPtrArray *warnings;

static void set_up(void)
{
    directory = g_dir_make_tmp("zerosim-test-XXXXXX", NULL);
    file = g_build_filename(directory, "x.conf", NULL);
    config = g_build_filename(directory, "ds.json", NULL);
    warnings = g_ptr_array_new_with_free_func(g_free);
}

static void tear_down(void)
{
    g_remove(file);
    g_remove(config);
    g_rmdir(directory);
    g_clear_pointer(&file, g_free);
    g_clear_pointer(&config, g_free);
    g_clear_pointer(&directory, g_free);
    g_clear_pointer(&warnings, g_ptr_array_unref);
}

static Training *build_full(const char *text, gboolean comparing, GError **error)
{
    ck_assert(g_file_set_contents(file, text, -1, NULL));
    g_autoptr(Experiment) experiment = experiment_load(file, NULL, error);
    if (!experiment)
        return NULL;
    return training_build(experiment, RANKS, HIDDEN, comparing, warnings, error);
}

static Training *build(const char *text)
{
    g_autoptr(GError) error = NULL;
    Training *training = build_full(text, FALSE, &error);
    ck_assert_msg(training != NULL, "%s", error ? error->message : "");
    return training;
}

static Training *compare(const char *text)
{
    g_autoptr(GError) error = NULL;
    Training *training = build_full(text, TRUE, &error);
    ck_assert_msg(training != NULL, "%s", error ? error->message : "");
    return training;
}

static void check_message(const GError *error, const char *what)
{
    ck_assert_ptr_nonnull(error);
    ck_assert(error->domain == ZEROSIM_ERROR);
    ck_assert_int_eq(error_exit_status(error), 2);
    ck_assert_msg(!strchr(error->message, '\n'), "two lines: %s", error->message);
    ck_assert_msg(strstr(error->message, what) != NULL, "'%s' not in: %s", what,
                  error->message);
}

static void check_fails(const char *text, ErrorCode code, const char *what)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Training) training = build_full(text, FALSE, &error);

    ck_assert_msg(!training, "accepted: %s", text);
    check_message(error, what);
    ck_assert_msg((int)error->code == (int)code, "code %d: %s", error->code, error->message);
    ck_assert_msg(strstr(error->message, directory) != NULL, "no file in: %s", error->message);
}

/* An experiment under DeepSpeed with ds.json beside it. */
static char *with_config(const char *json, const char *more)
{
    ck_assert(g_file_set_contents(config, json, -1, NULL));
    return g_strconcat("[training]\nframework = deepspeed\ndeepspeed_config = ds.json\n", more,
                       NULL);
}

static Training *build_config(const char *json, const char *more)
{
    g_autofree char *text = with_config(json, more);
    return build(text);
}

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
    ck_assert_int_eq(training->fsdp.backward_prefetch, 1);
    ck_assert_int_eq(training->fsdp.forward_prefetch, 1);
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
    {"deepspeed", "zero2", "fp32", {F, F, F, F, F, F, F, FALSE, FALSE}},
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
    ck_assert(training_set_micro_batch(loose, RANKS, 5, NULL));
    ck_assert_int_eq(loose->gradient_accumulation, 2);
    ck_assert_int_eq(loose->global_batch, 5 * 2 * RANKS);
}
END_TEST

#define STAGE2 "\"zero_optimization\": {\"stage\": 2}"

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
    {ZERO("\"zero_hpz_partition_size\": 8"), ERROR_UNMODELLED, "zero_hpz_partition_size"},
    {ZERO("\"zero_quantized_weights\": true"), ERROR_UNMODELLED, "zero_quantized_weights"},
    {ZERO("\"zero_quantized_gradients\": true"), ERROR_UNMODELLED, "zero_quantized_gradients"},
    {ZERO("\"mics_shard_size\": 8"), ERROR_UNMODELLED, "mics_shard_size"},
    {ZERO("\"leaf_module\": {\"classes\": [\"A\"]}"), ERROR_UNMODELLED, "leaf_module"},
    {ZERO("\"stage3_module_granularity_threshold\": 9"), ERROR_UNMODELLED, "granularity"},
    {"{" STAGE2 ", \"activation_checkpointing\": {\"partition_activations\": true}}",
     ERROR_UNMODELLED, "activation_checkpointing.partition_activations"},
    {"{" STAGE2 ", \"amp\": {\"enabled\": true}}", ERROR_UNMODELLED, "amp"},
    {"{" STAGE2 ", \"optimizer\": {\"type\": \"OneBitAdam\"}}", ERROR_UNMODELLED,
     "optimizer.type: \"OneBitAdam\""},
    {"{\"zero_optimization\": {\"stage\": 1}, \"bf16\": {\"enabled\": true},"
     " \"data_types\": {\"grad_accum_dtype\": \"fp32\"}}",
     ERROR_UNMODELLED, "BF16_Optimizer"},
    {"{\"zero_optimization\": {\"stage\": 0}}", ERROR_UNMODELLED, "framework = pytorch"},
    {"{}", ERROR_UNMODELLED, "stage 0 is not modelled"},
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

/* ---- contradictions and what isn't modelled ---- */

static const struct {
    const char *text; /* after [training] */
    ErrorCode code;
    const char *what;
} bad_experiments[] = {
    {"", ERROR_INPUT, "training.strategy: missing"},
    {"framework = deepspeed\n", ERROR_INPUT, "training.strategy: missing"},
    {"framework = deepspeed\nstrategy = ddp\n", ERROR_UNMODELLED, "framework = pytorch"},
    {"framework = deepspeed\nstrategy = zero1\nprecision = autocast-bf16\n", ERROR_INPUT,
     "training.precision: autocast-bf16 is PyTorch's: with framework deepspeed say bf16"},
    {"framework = paper\nstrategy = zero1\nprecision = fp32\n", ERROR_INPUT,
     "training.precision"},
    {"framework = paper\nstrategy = zero1\nprecision = autocast-fp16\n", ERROR_INPUT,
     "say fp16"},
    {"strategy = ddp\nprecision = fp8\n", ERROR_UNMODELLED, "training.precision: fp8"},
    {"strategy = ddp\ncompile = true\n", ERROR_UNMODELLED, "training.compile"},
    {"strategy = zero3\n[fsdp]\nversion = 1\n", ERROR_UNMODELLED, "fsdp.version"},
    {"strategy = zero3\n[fsdp]\nfp8_all_gather = true\n", ERROR_UNMODELLED, "fp8_all_gather"},
    {"strategy = ddp\n[nccl]\nalgorithm = tree\n", ERROR_UNMODELLED, "nccl.algorithm"},
    {"strategy = ddp\n[nccl]\ncalibration = mine\n", ERROR_UNMODELLED, "nccl.calibration"},
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
     "[deepspeed]\nzero_optimization.mics_shard_size = 4\n",
     ERROR_UNMODELLED, "deepspeed.zero_optimization.mics_shard_size"},
};

/* Each contradiction or unmodelled choice is one line with its file and key. */
START_TEST(test_bad_experiment)
{
    g_autofree char *text = g_strconcat("[training]\n", bad_experiments[_i].text, NULL);
    check_fails(text, bad_experiments[_i].code, bad_experiments[_i].what);
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

/* Knobs of a section that the strategy doesn't use are said to have no effect. */
START_TEST(test_knobs_without_effect)
{
    g_autoptr(Training) training =
        build("[training]\nstrategy = ddp\n[ddp]\nno_sync = false\n"
              "[fsdp]\nbackward_prefetch = 2\n[deepspeed]\nfp16.enabled = true\n");

    ck_assert(!training->ddp.no_sync);
    ck_assert_uint_eq(warnings->len, 2);
    ck_assert_ptr_nonnull(strstr(warnings->pdata[0], "fsdp.backward_prefetch: no effect"));
    ck_assert_ptr_nonnull(strstr(warnings->pdata[1], "[deepspeed]: no effect"));
}
END_TEST

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
            "[ddp]\nno_sync = false\n[fsdp]\nbackward_prefetch = 2\n",
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
        for (int n = g_rand_int_range(random, 1, 4); n > 0; n--) {
            const gint32 at = g_rand_int_range(random, 0, (gint32)json->len);
            const char c = alphabet[g_rand_int_range(random, 0, (gint32)sizeof alphabet - 1)];
            if (g_rand_boolean(random))
                json->str[at] = c;
            else if (g_rand_boolean(random))
                g_string_insert_c(json, at, c);
            else
                g_string_erase(json, at, 1);
        }
        g_autofree char *text = with_config(json->str, "");
        g_autoptr(Training) training = build_full(text, FALSE, &error);
        if (training) {
            ck_assert_int_eq(training->global_batch,
                             training->micro_batch * training->gradient_accumulation * RANKS);
            continue;
        }
        n_failed++;
        check_message(error, directory);
    }
    g_rand_free(random);
    ck_assert_int_gt(n_failed, 1000);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_names);
    tcase_add_loop_test(tcase, test_predicates, 0, G_N_ELEMENTS(predicates));
    tcase_add_test(tcase, test_pytorch_defaults);
    tcase_add_test(tcase, test_ddp_buckets);
    tcase_add_loop_test(tcase, test_deepspeed_defaults, 1, 4);
    tcase_add_loop_test(tcase, test_precisions, 0, G_N_ELEMENTS(precisions));
    tcase_add_test(tcase, test_default_precision);
    tcase_add_test(tcase, test_reduce_dtype);
    tcase_add_loop_test(tcase, test_batch, 0, G_N_ELEMENTS(batches));
    tcase_add_loop_test(tcase, test_bad_batch, 0, G_N_ELEMENTS(bad_batches));
    tcase_add_test(tcase, test_set_micro_batch);
    tcase_add_loop_test(tcase, test_deepspeed_batch, 0, G_N_ELEMENTS(deepspeed_batches));
    tcase_add_test(tcase, test_batch_precedence);
    tcase_add_test(tcase, test_zero_members);
    tcase_add_test(tcase, test_auto_members);
    tcase_add_test(tcase, test_deepspeed_precedence);
    tcase_add_loop_test(tcase, test_optimizer, 0, G_N_ELEMENTS(optimizers));
    tcase_add_loop_test(tcase, test_bad_config, 0, G_N_ELEMENTS(bad_configs));
    tcase_add_test(tcase, test_harmless_members);
    tcase_add_test(tcase, test_unknown_members);
    tcase_add_loop_test(tcase, test_bad_experiment, 0, G_N_ELEMENTS(bad_experiments));
    tcase_add_test(tcase, test_stage_contradiction);
    tcase_add_test(tcase, test_knobs_without_effect);
    tcase_add_test(tcase, test_comparing_ddp);
    tcase_add_loop_test(tcase, test_comparing_all, 0, 3);
    tcase_add_test(tcase, test_shipped_workloads);
    tcase_add_test(tcase, test_main_workload);
    tcase_add_test(tcase, test_mutated_configs);
}

int main(void)
{
    Suite *suite = suite_create("training");
    TCase *tcase = tcase_create("training");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
