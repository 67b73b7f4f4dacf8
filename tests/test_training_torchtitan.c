/* SPDX-License-Identifier: MIT */
/* torchtitan's job files as keys: its defaults, older and newer names, shipped models, the
 * degrees of parallelism, what wins over what, and one line for each thing that can't be
 * mapped. On 4 nodes of 8 GPUs. */
#include "import_fixture.h"

#define KEY "torchtitan_config"
#define MODEL "[model]\nname = \"llama3\"\nflavor = \"8B\"\n"
#define AC "[activation_checkpoint]\nmode = \"none\"\n"
#define JOB(text) MODEL AC text

static void set_up(void)
{
    set_up_import("job.toml");
}

static Training *build(const char *text)
{
    return build_file(KEY, text, "");
}

/* config/job_config.py's defaults, and parallelize.py's units. */
START_TEST(test_defaults)
{
    g_autoptr(Training) training = build(JOB(""));

    ck_assert_int_eq(training->framework, FRAMEWORK_PYTORCH);
    ck_assert_int_eq(training->strategy, STRATEGY_ZERO3);
    ck_assert_int_eq(training->fsdp.version, 2);
    ck_assert_int_eq(training->fsdp.wrap, WRAP_BLOCK);
    ck_assert_str_eq(training->fsdp.wrap_names, "*embed_tokens");
    ck_assert(training->fsdp.sync_every_micro_step);
    ck_assert_int_eq(training->fsdp.shard_group_size, 0);
    ck_assert_int_eq(training->micro_batch, 8);
    ck_assert_int_eq(training->global_batch, 8 * NODES * GPUS);
    ck_assert_int_eq(training->sequence_length, 2048);
    ck_assert_double_eq(training->gradient_clipping, 1);
    ck_assert_int_eq(training->precision.parameter, DTYPE_FP32);
    ck_assert_int_eq(training->precision.gather, DTYPE_BF16);
    ck_assert_int_eq(training->precision.reduce, DTYPE_FP32);
    ck_assert_int_eq(training->optimizer.kind, OPTIMIZER_ADAMW);
    ck_assert_int_eq(training->optimizer.implementation, IMPLEMENTATION_FUSED);
    ck_assert_double_eq(training->optimizer.weight_decay, 0.1);
    ck_assert(!training->compile);
    ck_assert_uint_eq(warnings->len, 0);
}
END_TEST

static const struct {
    const char *name, *flavor, *config;
} flavors[] = {
    {"llama3", "8B", "llama-3-8b.json"},       {"llama3", "70B", "llama-3-70b.json"},
    {"llama3", "405B", "llama-3.1-405b.json"}, {"llama2", "7B", "llama-2-7b.json"},
    {"llama2", "13B", "llama-2-13b.json"},     {"llama2", "70B", "llama-2-70b.json"},
    {"qwen3", "0.6B", "qwen3-0.6b.json"},      {"qwen3", "4B", "qwen3-4b.json"},
    {"qwen3", "8B", "qwen3-8b.json"},          {"qwen3", "32B", "qwen3-32b.json"},
};

/* Each known flavor is a shipped model of that size. */
START_TEST(test_flavor)
{
    g_autofree char *text = g_strdup_printf("[model]\nname = \"%s\"\nflavor = \"%s\"\n" AC,
                                            flavors[_i].name, flavors[_i].flavor);
    g_autofree char *tail = g_strconcat("models/", flavors[_i].config, NULL);
    g_autoptr(Training) training = build(text);

    ck_assert_ptr_nonnull(training);
    ck_assert(g_str_has_suffix(experiment_string(experiment, "model.config"), tail));
}
END_TEST

START_TEST(test_newer_names)
{
    g_autoptr(Training) training = build(
        JOB("[training]\nlocal_batch_size = 2\nglobal_batch_size = 256\nseq_len = 4096\n"
            "max_norm = 0.5\nmixed_precision_param = \"float32\"\n"
            "mixed_precision_reduce = \"float32\"\n"
            "[optimizer]\nname = \"Adam\"\nimplementation = \"for-loop\"\nweight_decay = 0.3\n"
            "[parallelism]\nfsdp_reshard_after_forward = \"never\"\n"
            "[compile]\nenable = true\ncomponents = [\"model\", \"loss\"]\n"));

    ck_assert_int_eq(training->micro_batch, 2);
    ck_assert_int_eq(training->gradient_accumulation, 4);
    ck_assert_int_eq(training->global_batch, 256);
    ck_assert(training->global_batch_fixed);
    ck_assert_int_eq(training->sequence_length, 4096);
    ck_assert_double_eq(training->gradient_clipping, 0.5);
    ck_assert_int_eq(training->precision.gather, DTYPE_FP32);
    ck_assert_int_eq(training->optimizer.kind, OPTIMIZER_ADAM);
    ck_assert_int_eq(training->optimizer.implementation, IMPLEMENTATION_LOOP);
    ck_assert_double_eq(training->optimizer.weight_decay, 0.3);
    ck_assert_int_eq(training->strategy, STRATEGY_ZERO2);
    ck_assert(!training->fsdp.reshard_after_forward);
    ck_assert(training->compile);
    ck_assert_uint_eq(warnings->len, 0);
}
END_TEST

START_TEST(test_older_names)
{
    g_autoptr(Training) training = build(
        JOB("[training]\nbatch_size = 1\ncompile = true\ntensor_parallel_degree = 1\n"
            "data_parallel_replicate_degree = 4\ndata_parallel_shard_degree = 8\n"
            "[optimizer]\nfused = false\n"
            "[experimental]\npipeline_parallel_degree = 1\ncontext_parallel_degree = 1\n"));

    ck_assert_int_eq(training->micro_batch, 1);
    ck_assert(training->compile);
    ck_assert_int_eq(training->fsdp.shard_group_size, 8);
    ck_assert_int_eq(training->optimizer.implementation, IMPLEMENTATION_FOREACH);
    ck_assert_uint_eq(warnings->len, 0);
}
END_TEST

static const struct {
    const char *text;
    Strategy strategy;
    gint64 shard_group_size;
} degrees[] = {
    {"data_parallel_shard_degree = -1\n", STRATEGY_ZERO3, 0},
    {"data_parallel_shard_degree = 32\n", STRATEGY_ZERO3, 0},
    {"data_parallel_replicate_degree = 4\n", STRATEGY_ZERO3, 8},
    {"data_parallel_replicate_degree = 2\ndata_parallel_shard_degree = 16\n", STRATEGY_ZERO3,
     16},
    {"data_parallel_replicate_degree = 32\ndata_parallel_shard_degree = 1\n", STRATEGY_DDP, 0},
    {"data_parallel_replicate_degree = 32\n", STRATEGY_DDP, 0},
};

START_TEST(test_degrees)
{
    g_autofree char *text = g_strconcat(JOB("[parallelism]\n"), degrees[_i].text, NULL);
    g_autoptr(Training) training = build(text);

    ck_assert_int_eq(training->strategy, degrees[_i].strategy);
    ck_assert_int_eq(training->fsdp.shard_group_size, degrees[_i].shard_group_size);
    ck_assert_uint_eq(warnings->len, 0);
}
END_TEST

/* replicate(bucket_cap_mb=100) under autocast; every micro-step reduces, in the parameters'
 * type. */
START_TEST(test_ddp)
{
    g_autoptr(Training) training =
        build(JOB("[parallelism]\ndata_parallel_replicate_degree = 32\n"
                  "[training]\nmixed_precision_reduce = \"float32\"\n"));

    ck_assert_int_eq(training->ddp.bucket_cap_bytes, 100 * 1048576);
    ck_assert(!training->ddp.no_sync);
    ck_assert(training->precision.autocast);
    ck_assert_int_eq(training->precision.reduce, DTYPE_FP32);
}
END_TEST

/* "always" reshards [norm, output] too, which makes them a unit of their own. */
START_TEST(test_reshard_always)
{
    g_autoptr(Training) training =
        build(JOB("[parallelism]\nfsdp_reshard_after_forward = \"always\"\n"));

    ck_assert_int_eq(training->strategy, STRATEGY_ZERO3);
    ck_assert_str_eq(training->fsdp.wrap_names, "*embed_tokens;model.norm,lm_head");
}
END_TEST

static const struct {
    const char *text;
    Checkpointing checkpointing;
} modes[] = {
    {"mode = \"none\"\n", CHECKPOINTING_NONE},
    {"mode = 'full'\n", CHECKPOINTING_FULL},
    {"mode = 'none'\nselective_ac_option = 'op'\n", CHECKPOINTING_NONE},
    {"mode = 'selective'\nselective_ac_option = '1'\n", CHECKPOINTING_FULL},
};

START_TEST(test_checkpointing)
{
    g_autofree char *text =
        g_strconcat(MODEL "[activation_checkpoint]\n", modes[_i].text, NULL);
    g_autoptr(Training) training = build(text);

    ck_assert_int_eq(training->checkpointing, modes[_i].checkpointing);
}
END_TEST

static const struct {
    const char *text;
    gboolean fp8, gathered, compiled;
    const char *except;
} converters[] = {
    {MODEL "converters = [\"float8\"]\n" AC, TRUE, FALSE, FALSE, NULL},
    {MODEL "converters = \"float8\"\n" AC "[float8]\nenable_fsdp_float8_all_gather = true\n"
           "precompute_float8_dynamic_scale_for_fsdp = true\n",
     TRUE, TRUE, FALSE, NULL},
    {MODEL "converters = ['quantize.linear.float8']\n" AC
           "[quantize.linear.float8]\nenable_fsdp_float8_all_gather = true\n",
     TRUE, TRUE, FALSE, NULL},
    {MODEL "converters = ['float8']\n" AC
           "[float8]\nfilter_fqns = ['output', 'attention.wk']\n",
     TRUE, FALSE, FALSE, "lm_head,*.k_proj"},
    {MODEL "converters = []\n" AC "[float8]\nrecipe_name = 'rowwise'\n", FALSE, FALSE, FALSE,
     NULL},
    {JOB("[compile]\nenable = true\n"), FALSE, FALSE, TRUE, NULL},
    {JOB("[compile]\nenable = true\ncomponents = ['loss']\n"), FALSE, FALSE, FALSE, NULL},
    {JOB("[compile]\nenable = false\n"), FALSE, FALSE, FALSE, NULL},
};

START_TEST(test_float8_and_compile)
{
    g_autoptr(Training) training = build(converters[_i].text);

    ck_assert_int_eq(training->precision.compute == DTYPE_FP8, converters[_i].fp8);
    ck_assert_int_eq(training->fsdp.fp8_all_gather, converters[_i].gathered);
    ck_assert_int_eq(training->compile, converters[_i].compiled);
    ck_assert_pstr_eq(training->fp8_except, converters[_i].except);
    ck_assert_int_eq(training->precision.reduce, DTYPE_FP32);
}
END_TEST

/* ---- precedence ---- */

/* The user's keys, and a micro-batch that the fixed global batch adapts to. */
START_TEST(test_own_keys_win)
{
    g_autoptr(Training) training =
        build_file(KEY,
                   "[model]\nflavor = 'debugmodel'\n"
                   "[training]\nlocal_batch_size = 1\nglobal_batch_size = 256\n",
                   "micro_batch = 4\nactivation_checkpointing = full\noptimizer = lion\n"
                   "[model]\nconfig = models/gpt2.json\nsequence_length = 512\n");

    ck_assert_int_eq(training->micro_batch, 4);
    ck_assert_int_eq(training->gradient_accumulation, 2);
    ck_assert_int_eq(training->checkpointing, CHECKPOINTING_FULL);
    ck_assert_int_eq(training->optimizer.kind, OPTIMIZER_LION);
    ck_assert_int_eq(training->sequence_length, 512);

    g_autoptr(Training) accumulation =
        build_file(KEY, JOB("[training]\nlocal_batch_size = 1\nglobal_batch_size = 256\n"),
                   "gradient_accumulation = 2\n");
    ck_assert_int_eq(accumulation->micro_batch, 1);
    ck_assert_int_eq(accumulation->global_batch, 64);
}
END_TEST

/* Other strategies take what torchtitan would give them. */
START_TEST(test_comparing)
{
    static const char *const overrides[][2] = {
        {"training.strategy=ddp"}, {"training.strategy=zero1"}, {"training.strategy=zero2"}};
    g_autoptr(GError) error = NULL;
    g_autoptr(Training) training = build_full(KEY, JOB(""), "", overrides[_i], TRUE, &error);

    ck_assert_msg(training != NULL, "%s", error ? error->message : "");
    ck_assert_int_eq(training->strategy, _i);
    ck_assert_int_eq(training->ddp.bucket_cap_bytes, 100 * 1048576);
    ck_assert_str_eq(training->fsdp.wrap_names, "*embed_tokens");
    ck_assert_uint_eq(warnings->len, 0);
}
END_TEST

/* ---- what is wrong ---- */

static const struct {
    const char *text, *conf;
    ErrorCode code;
    const char *what;
} bad[] = {
    {"", "", ERROR_INPUT, "model.flavor: \"llama3 debugmodel\" has no model here: known are"},
    {"[model]\nname = 'llama4'\nflavor = '17bx16e'\n" AC, "", ERROR_INPUT, "llama3 405B"},
    {"[model]\nname = 3\n", "", ERROR_INPUT, "model.name: must be a string"},
    {MODEL, "", ERROR_UNMODELLED,
     "activation_checkpoint.mode: \"selective\", torchtitan's default, is not modelled"},
    {MODEL "[activation_checkpoint]\nmode = 'selective'\nselective_ac_option = 'op'\n", "",
     ERROR_UNMODELLED, "activation_checkpoint.mode: \"selective\" is not modelled"},
    {MODEL "[activation_checkpoint]\nmode = 'memory_budget'\n", "", ERROR_UNMODELLED,
     "\"memory_budget\" is not modelled; training.activation_checkpointing"},
    {MODEL "[activation_checkpoint]\nmode = 'some'\n", "", ERROR_INPUT,
     "mode: must be one of none, full"},
    {JOB("[parallelism]\ntensor_parallel_degree = 8\n"), "", ERROR_UNMODELLED,
     "parallelism.tensor_parallel_degree: changes the prediction"},
    {JOB("[parallelism]\npipeline_parallel_degree = 2\n"), "", ERROR_UNMODELLED,
     "pipeline_parallel_degree"},
    {JOB("[parallelism]\ncontext_parallel_degree = 2\n"), "", ERROR_UNMODELLED,
     "context_parallel_degree"},
    {JOB("[parallelism]\nexpert_parallel_degree = 2\n"), "", ERROR_UNMODELLED,
     "expert_parallel_degree"},
    {JOB("[experimental]\npipeline_parallel_degree = 4\n"), "", ERROR_UNMODELLED,
     "experimental.pipeline_parallel_degree"},
    {JOB("[training]\ntensor_parallel_degree = 4\n"), "", ERROR_UNMODELLED,
     "training.tensor_parallel_degree"},
    {JOB("[training]\nenable_cpu_offload = true\n"), "", ERROR_UNMODELLED,
     "training.enable_cpu_offload"},
    {JOB("[training]\nlocal_batch_size = 0\n"), "", ERROR_INPUT,
     "training.local_batch_size: must be an integer from 1"},
    {JOB("[training]\nlocal_batch_size = '8'\n"), "", ERROR_INPUT,
     "training.local_batch_size: must be a number, not \"8\""},
    {JOB("[training]\nlocal_batch_size = 1979-05-27\n"), "", ERROR_INPUT,
     "training.local_batch_size: must be a number, not \"1979-05-27\""},
    {JOB("[training]\nseq_len = 2.5\n"), "", ERROR_INPUT,
     "training.seq_len: must be an integer"},
    {JOB("[training]\nlocal_batch_size = 1\nglobal_batch_size = 100\n"), "", ERROR_INPUT,
     "training.global_batch_size 100 is not a multiple of 1 * 32"},
    {JOB("[training]\nmixed_precision_param = 'float16'\n"), "", ERROR_INPUT,
     "mixed_precision_param: must be one of bfloat16, float32"},
    {JOB("[training]\ndtype = 'bfloat16'\n"), "", ERROR_UNMODELLED, "training.dtype: changes"},
    {JOB("[optimizer]\nname = 'Muon'\n"), "", ERROR_UNMODELLED,
     "optimizer.name: \"Muon\" is not modelled; training.optimizer"},
    {JOB("[optimizer]\nearly_step_in_backward = true\n"), "", ERROR_UNMODELLED,
     "optimizer.early_step_in_backward"},
    {JOB("[parallelism]\ndata_parallel_shard_degree = 16\n"), "", ERROR_INPUT,
     "data_parallel_replicate_degree: 1 * data_parallel_shard_degree 16 must be the 32 ranks"},
    {JOB("[parallelism]\ndata_parallel_replicate_degree = 3\n"), "", ERROR_INPUT,
     "3 * data_parallel_shard_degree -1 must be the 32 ranks"},
    {JOB("[parallelism]\ndata_parallel_shard_degree = 0\n"), "", ERROR_INPUT,
     "must be the 32 ranks"},
    {JOB("[parallelism]\nfsdp_reshard_after_forward = 'sometimes'\n"), "", ERROR_INPUT,
     "must be one of default, always, never"},
    {JOB("[compile]\nenable = true\nbackend = 'eager'\n"), "", ERROR_UNMODELLED,
     "compile.backend"},
    {MODEL "converters = ['mx']\n" AC, "", ERROR_UNMODELLED, "model.converters: \"mx\""},
    {MODEL "converters = [1]\n" AC, "", ERROR_UNMODELLED, "model.converters"},
    {MODEL "converters = ['float8']\n" AC "[float8]\nrecipe_name = 'rowwise'\n", "",
     ERROR_UNMODELLED, "float8.recipe_name: changes"},
    {MODEL "converters = ['float8']\n" AC "[float8]\nfilter_fqns = ['auto_filter_small_kn']\n",
     "", ERROR_UNMODELLED, "float8.filter_fqns: only output"},
    {JOB("[fault_tolerance]\nenable = true\n"), "", ERROR_UNMODELLED, "fault_tolerance.enable"},
    {"training = 3\n" MODEL AC, "", ERROR_INPUT, "training: must be an object"},
    {JOB(""), "framework = paper\n", ERROR_INPUT, "training.framework: paper contradicts"},
    {JOB(""), "strategy = zero1\n", ERROR_INPUT, "training.strategy: zero1 contradicts"},
    {JOB(""), "deepspeed_config = job.toml\n", ERROR_INPUT, "set one or the other"},
};

START_TEST(test_bad)
{
    check_fails(KEY, bad[_i].text, bad[_i].conf, bad[_i].code, bad[_i].what);
}
END_TEST

START_TEST(test_unknown_members)
{
    g_autoptr(Training) training = build(JOB("[new]\na = 1\n[training]\nnew_knob = 1\n"));

    ck_assert_ptr_nonnull(training);
    ck_assert_uint_eq(warnings->len, 2);
    ck_assert(warned_of("training.new_knob: not known, ignored"));
}
END_TEST

START_TEST(test_mutations)
{
    ck_assert_int_gt(
        check_mutations(
            KEY,
            "[model]\nname = \"llama3\"\nflavor = \"8B\"\nconverters = ['float8']\n"
            "[training]\nlocal_batch_size = 1\nglobal_batch_size = 64\n"
            "max_norm = 1.0\n[parallelism]\ndata_parallel_replicate_degree = 2\n"
            "data_parallel_shard_degree = -1\n"
            "[activation_checkpoint]\nmode = 'full' # all\n[float8]\nemulate = false\n",
            "{}[]:,\"'\\ \n-=.#eE019_truefalsinf\t\x01\xff", 3000),
        1500);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_defaults);
    tcase_add_loop_test(tcase, test_flavor, 0, G_N_ELEMENTS(flavors));
    tcase_add_test(tcase, test_newer_names);
    tcase_add_test(tcase, test_older_names);
    tcase_add_loop_test(tcase, test_degrees, 0, G_N_ELEMENTS(degrees));
    tcase_add_test(tcase, test_ddp);
    tcase_add_test(tcase, test_reshard_always);
    tcase_add_loop_test(tcase, test_checkpointing, 0, G_N_ELEMENTS(modes));
    tcase_add_loop_test(tcase, test_float8_and_compile, 0, G_N_ELEMENTS(converters));
    tcase_add_test(tcase, test_own_keys_win);
    tcase_add_loop_test(tcase, test_comparing, 0, 3);
    tcase_add_loop_test(tcase, test_bad, 0, G_N_ELEMENTS(bad));
    tcase_add_test(tcase, test_unknown_members);
    tcase_add_test(tcase, test_mutations);
}

int main(void)
{
    return run_tests("training_torchtitan", add_tests, set_up);
}
