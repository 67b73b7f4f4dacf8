/* SPDX-License-Identifier: MIT */
/* Trainings made by hand, shipped models and the shipped profile; sums over schedules. */
#include "step_inputs.h"

#include "shipped_models.h"
#include "suite_run.h"

#include <string.h>

Profile *step_profile;

void step_profile_open(void)
{
    g_autofree char *file = g_build_filename(g_getenv("ZEROSIM_DATA_DIR"), "platforms", "gpus",
                                             "h100-sxm5-80gb.json", NULL);
    g_autoptr(GError) error = NULL;

    step_profile = profile_load(file, &error);
    ck_assert_msg(step_profile, "%s", error ? error->message : "no profile");
}

void step_profile_close(void)
{
    profile_free(step_profile);
}

const char *const step_models[N_STEP_MODELS] = {"gpt2", "bert-base", "llama-2-7b"};
const int step_worlds[N_STEP_WORLDS] = {1, 2, 8, 64};

Training step_training(Framework framework, Strategy strategy)
{
    Training t = {
        .framework = framework,
        .strategy = strategy,
        .micro_batch = 1,
        .gradient_accumulation = 1,
        .attention = ATTENTION_SDPA,
        .dropout = -1,
        .sequence_length = 128,
        .optimizer = {.kind = OPTIMIZER_ADAMW, .implementation = IMPLEMENTATION_FUSED}};
    gboolean fsdp = framework == FRAMEWORK_PYTORCH && strategy >= STRATEGY_ZERO2;

    t.precision = (Precision){DTYPE_BF16, DTYPE_BF16, DTYPE_BF16, DTYPE_BF16, DTYPE_BF16,
                              DTYPE_BF16, DTYPE_BF16, FALSE,      FALSE};
    if (framework != FRAMEWORK_PYTORCH) {
        t.precision.state = DTYPE_FP32;
        t.precision.master = TRUE;
    } else if (!fsdp) {
        t.precision = (Precision){DTYPE_FP32, DTYPE_FP32, DTYPE_FP32, DTYPE_BF16, DTYPE_FP32,
                                  DTYPE_FP32, DTYPE_FP32, FALSE,      TRUE};
    } else {
        t.precision.parameter = t.precision.gradient = t.precision.state = DTYPE_FP32;
    }
    t.ddp = (DdpKnobs){.bucket_cap_bytes = 25 << 20,
                       .first_bucket_bytes = 1 << 20,
                       .broadcast_buffers = TRUE,
                       .no_sync = TRUE};
    t.fsdp = (FsdpKnobs){.reshard_after_forward = strategy == STRATEGY_ZERO3,
                         .sync_every_micro_step = TRUE,
                         .version = 2,
                         .backward_prefetch_units = 1,
                         .forward_prefetch_units = 1,
                         .limit_all_gathers = TRUE,
                         .wrap_min_numel = 100000000};
    t.deepspeed = (DeepspeedKnobs){.contiguous_gradients = TRUE,
                                   .gradient_predivide_factor = 1,
                                   .reduce_scatter = TRUE,
                                   .use_multi_rank_bucket_allreduce = TRUE,
                                   .overlap_comm = strategy == STRATEGY_ZERO3,
                                   .reduce_bucket_size = 500000000,
                                   .sub_group_size = 1000000000,
                                   .prefetch_bucket_size = 50000000,
                                   .param_persistence_threshold = 100000,
                                   .model_persistence_threshold = G_MAXINT64,
                                   .max_live_parameters = 1000000000,
                                   .max_reuse_distance = 1000000000,
                                   .communication_data_type = DTYPE_BF16,
                                   .grad_accum_dtype = DTYPE_BF16};
    return t;
}

Model *step_model(const char *name, const Training *training)
{
    ModelOptions options = training_model_options(training);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    return shipped_model(name, &options, warnings);
}

Job *step_job(const Model *model, const Training *training, int n_ranks)
{
    g_autoptr(GError) error = NULL;
    Job *job = step_build(model, training, step_profile, n_ranks, &error);

    ck_assert_msg(job, "%s", error ? error->message : "no job");
    return job;
}

gint64 step_payload(const Schedule *schedule, CollectiveKind kind, int *count)
{
    gint64 bytes = 0;

    *count = 0;
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->kind != OP_COLLECTIVE || op->collective != kind)
            continue;
        bytes += op->payload_bytes;
        (*count)++;
    }
    return bytes;
}

gboolean step_label_begins(const Schedule *schedule, const Op *op, const char *verb)
{
    return g_str_has_prefix(schedule_label(schedule, op->label), verb);
}

gint64 step_payload_of(const Schedule *schedule, CollectiveKind kind, const char *verb)
{
    gint64 bytes = 0;

    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->kind == OP_COLLECTIVE && op->collective == kind &&
            step_label_begins(schedule, op, verb))
            bytes += op->payload_bytes;
    }
    return bytes;
}

gint64 step_persistent_of(const Schedule *schedule, const char *label)
{
    for (guint i = 0; i < schedule->persistent->len; i++) {
        PersistentBlock block = g_array_index(schedule->persistent, PersistentBlock, i);
        if (strcmp(schedule_label(schedule, block.label), label) == 0)
            return block.bytes;
    }
    return 0;
}

double step_sent_bytes(const Schedule *schedule, int n_ranks)
{
    double bytes = 0;
    int count;

    for (int kind = 0; kind < N_COLLECTIVES; kind++)
        bytes += (double)step_payload(schedule, kind, &count) *
                 collective_busbw_factor(kind, n_ranks);
    return bytes;
}

double step_work_s(const Schedule *schedule, const char *verb)
{
    double sum_s = 0;

    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->kind == OP_COMPUTE &&
            g_str_has_prefix(schedule_label(schedule, op->label), verb))
            sum_s += op->work_s;
    }
    return sum_s;
}

gint64 step_test_ceil_divide(gint64 a, gint64 b)
{
    return (a + b - 1) / b;
}

const StepSetup step_setups[N_STEP_SETUPS] = {
    {FRAMEWORK_PYTORCH, STRATEGY_DDP, 0},     {FRAMEWORK_PYTORCH, STRATEGY_ZERO1, 0},
    {FRAMEWORK_PYTORCH, STRATEGY_ZERO2, 0},   {FRAMEWORK_PYTORCH, STRATEGY_ZERO3, 0},
    {FRAMEWORK_PYTORCH, STRATEGY_ZERO2, 1},   {FRAMEWORK_PYTORCH, STRATEGY_ZERO3, 1},
    {FRAMEWORK_DEEPSPEED, STRATEGY_DDP, 0},   {FRAMEWORK_DEEPSPEED, STRATEGY_ZERO1, 0},
    {FRAMEWORK_DEEPSPEED, STRATEGY_ZERO2, 0}, {FRAMEWORK_DEEPSPEED, STRATEGY_ZERO3, 0},
    {FRAMEWORK_PAPER, STRATEGY_DDP, 0},       {FRAMEWORK_PAPER, STRATEGY_ZERO1, 0},
    {FRAMEWORK_PAPER, STRATEGY_ZERO2, 0},     {FRAMEWORK_PAPER, STRATEGY_ZERO3, 0},
};

Training step_setup_training(int setup)
{
    Training training =
        step_training(step_setups[setup].framework, step_setups[setup].strategy);

    if (step_setups[setup].fsdp_version > 0)
        training.fsdp.version = step_setups[setup].fsdp_version;
    return training;
}

int step_suite_run(const char *name, void (*add)(TCase *))
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);

    tcase_add_unchecked_fixture(tcase, step_profile_open, step_profile_close);
    tcase_set_timeout(tcase, 240);
    add(tcase);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
