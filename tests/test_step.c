/* SPDX-License-Identifier: MIT */
/* What the schedules of every framework and stage must hold, whatever the model: volumes,
 * model-state bytes, memory that ends where it began, every parameter reduced and updated once.
 * Expectations are written out here from the systems' documented rules, not taken from the
 * code. */
#include "memory.h"
#include "step.h"

#include <check.h>
#include <math.h>
#include <string.h>

/* -- inputs made by hand */

static Profile *profile;

static void profile_init(void)
{
    g_autofree char *file = g_build_filename(g_getenv("ZEROSIM_DATA_DIR"), "platforms", "gpus",
                                             "h100-sxm5-80gb.json", NULL);
    g_autoptr(GError) error = NULL;

    profile = profile_load(file, &error);
    ck_assert_msg(profile, "%s", error ? error->message : "no profile");
}

static void profile_clear(void)
{
    profile_free(profile);
}

static const char *const models[] = {"gpt2", "bert-base", "llama-2-7b"};
static const int worlds[] = {1, 2, 8, 64};

static Training training_new(Framework framework, Strategy strategy)
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
                         .backward_prefetch = 1,
                         .forward_prefetch = 1};
    t.deepspeed = (DeepspeedKnobs){.contiguous_gradients = TRUE,
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

static Model *model_for(const char *name, const Training *training)
{
    ModelOptions options = training_model_options(training);
    g_autofree char *base = g_strdup_printf("%s.json", name);
    g_autofree char *file =
        g_build_filename(g_getenv("ZEROSIM_DATA_DIR"), "workloads", "models", base, NULL);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    Model *model = model_load(file, &options, warnings, &error);

    ck_assert_msg(model, "%s", error ? error->message : "no model");
    return model;
}

static Job *job_for(const Model *model, const Training *training, int n_ranks)
{
    g_autoptr(GError) error = NULL;
    Job *job = step_build(model, training, profile, n_ranks, &error);

    ck_assert_msg(job, "%s", error ? error->message : "no job");
    return job;
}

/* -- readings */

static gint64 payload(const Schedule *schedule, CollectiveKind kind, int *count)
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

static double sent_bytes(const Schedule *schedule, int n_ranks)
{
    double bytes = 0;
    int count;

    for (int kind = 0; kind < N_COLLECTIVES; kind++)
        bytes +=
            (double)payload(schedule, kind, &count) * collective_busbw_factor(kind, n_ranks);
    return bytes;
}

static double work_s(const Schedule *schedule, const char *verb)
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

static gint64 ceil_divide(gint64 a, gint64 b)
{
    return (a + b - 1) / b;
}

typedef struct {
    Framework framework;
    Strategy strategy;
} Setup;

static const Setup setups[] = {
    {FRAMEWORK_PYTORCH, STRATEGY_DDP},     {FRAMEWORK_PYTORCH, STRATEGY_ZERO1},
    {FRAMEWORK_PYTORCH, STRATEGY_ZERO2},   {FRAMEWORK_PYTORCH, STRATEGY_ZERO3},
    {FRAMEWORK_DEEPSPEED, STRATEGY_ZERO1}, {FRAMEWORK_DEEPSPEED, STRATEGY_ZERO2},
    {FRAMEWORK_DEEPSPEED, STRATEGY_ZERO3}, {FRAMEWORK_PAPER, STRATEGY_DDP},
    {FRAMEWORK_PAPER, STRATEGY_ZERO1},     {FRAMEWORK_PAPER, STRATEGY_ZERO2},
    {FRAMEWORK_PAPER, STRATEGY_ZERO3},
};

/* -- tests */

/* Every schedule is valid; its memory is never negative and ends where it began. */
START_TEST(test_memory_returns)
{
    for (int world = 0; world < (int)G_N_ELEMENTS(worlds); world++)
        for (int gas = 1; gas <= 3; gas++)
            for (int checkpointing = 0; checkpointing < 3; checkpointing++) {
                Training t = training_new(setups[_i].framework, setups[_i].strategy);
                t.gradient_accumulation = gas;
                t.checkpointing = (Checkpointing)checkpointing;
                g_autoptr(Model) model = model_for("gpt2", &t);
                g_autoptr(Job) job = job_for(model, &t, worlds[world]);
                for (guint p = 0; p < job->programs->len; p++) {
                    const Schedule *schedule = g_ptr_array_index(job->programs, p);
                    Memory memory = memory_compute(schedule, profile->memory_bytes);
                    ck_assert_int_eq(memory.start_bytes, memory.end_bytes);
                    ck_assert_int_ge(memory.peak_bytes, memory.start_bytes);
                    ck_assert_int_gt(memory.start_bytes, 0);
                }
            }
}
END_TEST

/* One rank: no communication, and the forward and backward kernels of plain training. */
START_TEST(test_one_rank)
{
    Training t = training_new(setups[_i].framework, setups[_i].strategy);
    t.precision.autocast = FALSE;
    t.precision.forward = DTYPE_BF16;
    g_autoptr(Model) model = model_for("gpt2", &t);
    g_autoptr(Job) job = job_for(model, &t, 1);
    const Schedule *schedule = job_program(job, 0);
    double forward_s = 0, backward_s = 0;

    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        for (guint k = 0; k < layer->forward->len; k++)
            forward_s +=
                profile_lookup(profile, &g_array_index(layer->forward, Kernel, k)).time_s;
        for (guint k = 0; k < layer->backward->len; k++)
            backward_s +=
                profile_lookup(profile, &g_array_index(layer->backward, Kernel, k)).time_s;
    }
    ck_assert_double_eq_tol(work_s(schedule, "forward "), forward_s, 1e-12);
    ck_assert_double_eq_tol(work_s(schedule, "backward "), backward_s, 1e-12);
    for (int i = 0; i < schedule_n_ops(schedule); i++)
        ck_assert_int_ne(schedule_op(schedule, i)->kind, OP_COLLECTIVE);
}
END_TEST

/* Rajbhandari et al. 2020, section 7: 2, 2, 2 and 3 Psi, ring. */
START_TEST(test_paper_volumes)
{
    static const int psi[] = {2, 2, 2, 3};

    for (int m = 0; m < (int)G_N_ELEMENTS(models); m++)
        for (int world = 1; world < (int)G_N_ELEMENTS(worlds); world++) {
            Training t = training_new(FRAMEWORK_PAPER, (Strategy)_i);
            g_autoptr(Model) model = model_for(models[m], &t);
            g_autoptr(Job) job = job_for(model, &t, worlds[world]);
            double n = worlds[world];
            double expected = psi[_i] * (double)model->n_parameters * 2.0 * (n - 1) / n;
            ck_assert_double_eq_tol(sent_bytes(job_program(job, 0), worlds[world]), expected,
                                    expected * 1e-12);
        }
}
END_TEST

/* Accumulating over 4 micro-steps, the paper's stages 0 and 1 reduce once, 2 and 3 each time.
 */
START_TEST(test_paper_accumulation)
{
    static const int psi[] = {2, 2, 4 + 1, 4 * 3};
    Training t = training_new(FRAMEWORK_PAPER, (Strategy)_i);
    t.gradient_accumulation = 4;
    g_autoptr(Model) model = model_for("gpt2", &t);
    g_autoptr(Job) job = job_for(model, &t, 8);
    double expected = psi[_i] * (double)model->n_parameters * 2.0 * 7 / 8;

    ck_assert_double_eq_tol(sent_bytes(job_program(job, 0), 8), expected, expected * 1e-12);
}
END_TEST

/* DDP: an fp32 all-reduce of every parameter once, in the rebuilt buckets, whatever the
 * accumulation; ZeroRedundancyOptimizer adds one broadcast a tensor. */
START_TEST(test_ddp_volumes)
{
    for (int gas = 1; gas <= 2; gas++) {
        Training t = training_new(FRAMEWORK_PYTORCH, _i ? STRATEGY_ZERO1 : STRATEGY_DDP);
        t.gradient_accumulation = gas;
        g_autoptr(Model) model = model_for("gpt2", &t);
        g_autoptr(Job) job = job_for(model, &t, 8);
        const Schedule *schedule = job_program(job, 3);
        int count;
        ck_assert_int_eq(payload(schedule, COLLECTIVE_ALL_REDUCE, &count),
                         4 * model->n_parameters);
        ck_assert_int_eq(payload(schedule, COLLECTIVE_BROADCAST, &count),
                         (_i ? 4 * model->n_parameters : 0) + model->buffer_bytes);
        ck_assert_int_eq(count,
                         (_i ? (int)model->parameters->len : 0) + (model->buffer_bytes > 0));
    }
}
END_TEST

/* Without no_sync every micro-step reduces. */
START_TEST(test_ddp_without_no_sync)
{
    Training t = training_new(FRAMEWORK_PYTORCH, STRATEGY_DDP);
    t.gradient_accumulation = 3;
    t.ddp.no_sync = FALSE;
    g_autoptr(Model) model = model_for("gpt2", &t);
    g_autoptr(Job) job = job_for(model, &t, 8);
    int count;

    ck_assert_int_eq(payload(job_program(job, 0), COLLECTIVE_ALL_REDUCE, &count),
                     3 * 4 * model->n_parameters);
}
END_TEST

/* ZeroRedundancyOptimizer: every tensor is updated by exactly one rank, and the largest share
 * is at least the largest tensor. */
START_TEST(test_zero1_shares)
{
    Training t = training_new(FRAMEWORK_PYTORCH, STRATEGY_ZERO1);
    g_autoptr(Model) model = model_for("gpt2", &t);
    g_autoptr(Job) job = job_for(model, &t, 8);
    gint64 states = 0, largest = 0;

    for (int rank = 0; rank < 8; rank++) {
        const Schedule *schedule = job_program(job, rank);
        for (guint i = 0; i < schedule->persistent->len; i++) {
            PersistentBlock block = g_array_index(schedule->persistent, PersistentBlock, i);
            if (block.category != MEMORY_OPTIMIZER_STATES)
                continue;
            states += block.bytes;
            largest = MAX(largest, block.bytes);
        }
    }
    ck_assert_int_eq(states, 8 * model->n_parameters);
    ck_assert_int_eq(largest, 8 * G_GINT64_CONSTANT(50257) * 768);
}
END_TEST

/* FSDP2, one unit a block and the root: parameters padded by rows; the root is gathered once, a
 * block twice with reshard_after_forward; one reduce-scatter a unit. */
START_TEST(test_fsdp_volumes)
{
    gboolean reshard = _i % 2;
    int n_ranks = worlds[1 + _i / 2];
    Training t = training_new(FRAMEWORK_PYTORCH, reshard ? STRATEGY_ZERO3 : STRATEGY_ZERO2);
    g_autoptr(Model) model = model_for("llama-2-7b", &t);
    g_autoptr(Job) job = job_for(model, &t, n_ranks);
    gint64 root = 0, blocks = 0;
    int n_gathers, n_scatters;

    for (guint i = 0; i < model->parameters->len; i++) {
        const Parameter *p = model_parameter(model, (int)i);
        gint64 padded = ceil_divide(p->rows, n_ranks) * n_ranks * (p->numel / p->rows);
        *(strstr(p->name, "layers.") ? &blocks : &root) += padded;
    }
    ck_assert_int_eq(payload(job_program(job, 0), COLLECTIVE_ALL_GATHER, &n_gathers),
                     2 * (root + (reshard ? 2 : 1) * blocks));
    ck_assert_int_eq(payload(job_program(job, 0), COLLECTIVE_REDUCE_SCATTER, &n_scatters),
                     2 * (root + blocks));
    ck_assert_int_eq(n_gathers, 1 + (reshard ? 2 : 1) * 32);
    ck_assert_int_eq(n_scatters, 33);
}
END_TEST

/* FSDP2 that synchronises in the last micro-step only: gathers each time, reduces once. */
START_TEST(test_fsdp_sync_last)
{
    Training t = training_new(FRAMEWORK_PYTORCH, STRATEGY_ZERO3);
    t.gradient_accumulation = 3;
    t.fsdp.sync_every_micro_step = FALSE;
    g_autoptr(Model) model = model_for("llama-2-7b", &t);
    g_autoptr(Job) job = job_for(model, &t, 8);
    int n_gathers, n_scatters;

    payload(job_program(job, 0), COLLECTIVE_ALL_GATHER, &n_gathers);
    payload(job_program(job, 0), COLLECTIVE_REDUCE_SCATTER, &n_scatters);
    ck_assert_int_eq(n_gathers, 3 * 65);
    ck_assert_int_eq(n_scatters, 33);
}
END_TEST

/* DeepSpeed 1 and 2: all-reduce of every gradient in 16 bit (stage 2 in each micro-step), one
 * all-gather of the padded flat buffer, one scalar for the norm. */
START_TEST(test_deepspeed12_volumes)
{
    int stage = 1 + _i;
    int gas = 2, n_gathers, n_reductions;
    Training t = training_new(FRAMEWORK_DEEPSPEED, (Strategy)stage);
    t.gradient_accumulation = gas;
    g_autoptr(Model) model = model_for("gpt2-xl", &t);
    g_autoptr(Job) job = job_for(model, &t, 64);
    const Schedule *schedule = job_program(job, 0);

    /* 1,557,611,200 elements on 64 ranks are padded by 64 to a multiple of 128. */
    ck_assert_int_eq(payload(schedule, COLLECTIVE_ALL_GATHER, &n_gathers),
                     2 * (G_GINT64_CONSTANT(1557611200) + 64));
    ck_assert_int_eq(n_gathers, 1);
    ck_assert_int_eq(payload(schedule, COLLECTIVE_ALL_REDUCE, &n_reductions),
                     2 * model->n_parameters * (stage == 2 ? gas : 1) + 4);
    /* At least ceil(1.56e9 / 5e8) buckets a reduction, plus the norm. */
    ck_assert_int_ge(n_reductions, 4 * (stage == 2 ? gas : 1) + 1);
}
END_TEST

/* No bucket of DeepSpeed passes reduce_bucket_size, but for a single larger gradient. */
START_TEST(test_deepspeed_bucket_limit)
{
    Training t = training_new(FRAMEWORK_DEEPSPEED, STRATEGY_ZERO2);
    t.deepspeed.reduce_bucket_size = 10000000;
    g_autoptr(Model) model = model_for("gpt2", &t);
    g_autoptr(Job) job = job_for(model, &t, 8);
    const Schedule *schedule = job_program(job, 0);
    gint64 embedding_bytes = 2 * G_GINT64_CONSTANT(50257) * 768;
    int n_large = 0;

    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->kind != OP_COLLECTIVE || op->collective != COLLECTIVE_ALL_REDUCE)
            continue;
        if (op->payload_bytes > 2 * 10000000) {
            ck_assert_int_eq(op->payload_bytes, embedding_bytes);
            n_large++;
        }
    }
    ck_assert_int_eq(n_large, 1);
}
END_TEST

/* DeepSpeed 3 that reuses nothing: each large weight is gathered for forward and for backward,
 * small ones once after the step, everything is reduce-scattered once. */
START_TEST(test_deepspeed3_volumes)
{
    int n_ranks = 8, n_small = 0, n_gathers, n_scatters;
    Training t = training_new(FRAMEWORK_DEEPSPEED, STRATEGY_ZERO3);
    t.deepspeed.max_reuse_distance = 0;
    t.deepspeed.prefetch_bucket_size = _i ? 50000000 : 0;
    g_autoptr(Model) model = model_for("llama-2-7b", &t);
    g_autoptr(Job) job = job_for(model, &t, n_ranks);
    gint64 large = 0, small = 0;

    for (guint i = 0; i < model->parameters->len; i++) {
        gint64 numel = model_parameter(model, (int)i)->numel;
        gboolean persistent = numel <= 100000;
        n_small += persistent;
        *(persistent ? &small : &large) += ceil_divide(numel, n_ranks) * n_ranks;
    }
    gint64 gathered = payload(job_program(job, 0), COLLECTIVE_ALL_GATHER, &n_gathers);
    /* Prefetch runs ahead until max_live_parameters are there; at the turn to backward what it
     * has passed over stays and isn't gathered again. */
    gint64 kept = _i ? t.deepspeed.max_live_parameters : 0;
    ck_assert_int_le(gathered, 2 * (2 * large + small));
    ck_assert_int_ge(gathered, 2 * (2 * large + small - kept));
    ck_assert_int_eq(payload(job_program(job, 0), COLLECTIVE_REDUCE_SCATTER, &n_scatters),
                     2 * (large + small));
    ck_assert_int_eq(n_small, 65);
}
END_TEST

/* With the default reuse distance a model under 0.5e9 parameters gathers each weight once. */
START_TEST(test_deepspeed3_reuse)
{
    int n_ranks = 8, n_gathers, n_small = 0;
    Training t = training_new(FRAMEWORK_DEEPSPEED, STRATEGY_ZERO3);
    g_autoptr(Model) model = model_for("gpt2", &t);
    g_autoptr(Job) job = job_for(model, &t, n_ranks);
    gint64 numel = 0;

    for (guint i = 0; i < model->parameters->len; i++) {
        gint64 n = model_parameter(model, (int)i)->numel;
        numel += ceil_divide(n, n_ranks) * n_ranks;
        n_small += n <= 100000;
    }
    ck_assert_int_eq(payload(job_program(job, 0), COLLECTIVE_ALL_GATHER, &n_gathers),
                     2 * numel);
    ck_assert_int_eq(n_small, 98);
    ck_assert_int_ge(n_gathers, 98);
}
END_TEST

/* -- model states */

/* A model of any size: one layer, one matrix. */
static Model *giant_new(gint64 numel)
{
    Model *model = g_new0(Model, 1);
    Layer *layer = g_new0(Layer, 1);
    Parameter parameter = {.name = g_strdup("weight"), .rows = numel, .numel = numel};

    model->parameters = g_array_new(FALSE, TRUE, sizeof(Parameter));
    g_array_append_val(model->parameters, parameter);
    model->layers = g_ptr_array_new();
    layer->name = g_strdup("layer");
    layer->parameters = g_new0(int, 1);
    layer->n_parameters = 1;
    layer->forward = g_array_new(FALSE, TRUE, sizeof(Kernel));
    layer->backward = g_array_new(FALSE, TRUE, sizeof(Kernel));
    g_ptr_array_add(model->layers, layer);
    model->n_parameters = numel;
    return model;
}

static void giant_free(Model *model)
{
    Layer *layer = g_ptr_array_index(model->layers, 0);

    g_array_unref(layer->forward);
    g_array_unref(layer->backward);
    g_free(layer->parameters);
    g_free(layer->name);
    g_free(layer);
    g_ptr_array_unref(model->layers);
    g_free(g_array_index(model->parameters, Parameter, 0).name);
    g_array_unref(model->parameters);
    g_free(model);
}

/* Rajbhandari et al. 2020, section 5: 16 Psi, 4 Psi + 12 Psi/N, 2 Psi + 14 Psi/N, 16 Psi/N. */
START_TEST(test_paper_model_states)
{
    static const gint64 sizes[] = {7500000000, 128000000000, 1000000000000};
    static const int ranks[] = {1, 4, 16, 64, 256, 1024};
    static const int replicated[] = {16, 4, 2, 0};

    for (int stage = 0; stage < 4; stage++)
        for (int r = 0; r < (int)G_N_ELEMENTS(ranks); r++) {
            Training t = training_new(FRAMEWORK_PAPER, (Strategy)stage);
            Model *model = giant_new(sizes[_i]);
            g_autoptr(Job) job = job_for(model, &t, ranks[r]);
            gint64 sharded = 16 - replicated[stage];
            gint64 expected =
                replicated[stage] * sizes[_i] + ceil_divide(sharded * sizes[_i], ranks[r]);
            ck_assert_int_eq(job_program(job, 0)->model_state_bytes, expected);
            giant_free(model);
        }
}
END_TEST

typedef struct {
    Framework framework;
    Strategy strategy;
    double replicated, sharded; /* bytes a parameter; the second over N */
} StateRow;

/* The frameworks' own sums, fp32 DDP and bf16 elsewhere as training_new() sets them. */
static const StateRow state_rows[] = {
    {FRAMEWORK_PYTORCH, STRATEGY_DDP, 16, 0},     {FRAMEWORK_PYTORCH, STRATEGY_ZERO2, 0, 16},
    {FRAMEWORK_PYTORCH, STRATEGY_ZERO3, 0, 16},   {FRAMEWORK_DEEPSPEED, STRATEGY_ZERO1, 4, 12},
    {FRAMEWORK_DEEPSPEED, STRATEGY_ZERO2, 2, 14}, {FRAMEWORK_DEEPSPEED, STRATEGY_ZERO3, 0, 16},
};

START_TEST(test_model_states)
{
    const StateRow *row = &state_rows[_i];
    gint64 numel = 1000000007;

    for (int world = 0; world < (int)G_N_ELEMENTS(worlds); world++) {
        Training t = training_new(row->framework, row->strategy);
        Model *model = giant_new(numel);
        g_autoptr(Job) job = job_for(model, &t, worlds[world]);
        double expected = (row->replicated + row->sharded / worlds[world]) * (double)numel;
        ck_assert_double_eq_tol((double)job_program(job, 0)->model_state_bytes, expected, 1.0);
        giant_free(model);
    }
}
END_TEST

/* Persistent memory of DeepSpeed: partitions of the padded flat buffer (stages 1 and 2), the
 * sum of padded partitions (stage 3). Values computed by hand for these models. */
typedef struct {
    const char *model;
    int n_ranks;
    gint64 flat_partition, stage3_partition;
} PartitionVector;

static const PartitionVector partitions[] = {
    {"gpt2", 8, 15554976, 15554976},
    {"gpt2-xl", 64, 24337676, 24337675},
    {"bert-base", 8, 13685280, 13685280},
    {"llama-3-8b", 64, 125472832, 125472832},
};

static gint64 master_bytes(const Schedule *schedule)
{
    for (guint i = 0; i < schedule->persistent->len; i++) {
        PersistentBlock block = g_array_index(schedule->persistent, PersistentBlock, i);
        if (block.category == MEMORY_MASTER_WEIGHTS)
            return block.bytes;
    }
    return -1;
}

START_TEST(test_partitions)
{
    const PartitionVector *v = &partitions[_i];

    for (int stage = 1; stage <= 3; stage++) {
        Training t = training_new(FRAMEWORK_DEEPSPEED, (Strategy)stage);
        g_autoptr(Model) model = model_for(v->model, &t);
        g_autoptr(Job) job = job_for(model, &t, v->n_ranks);
        gint64 expected = stage == 3 ? v->stage3_partition : v->flat_partition;
        ck_assert_int_eq(master_bytes(job_program(job, 0)), 4 * expected);
    }
}
END_TEST

/* Full checkpointing runs each block's forward twice and holds less. */
START_TEST(test_checkpointing)
{
    Training t = training_new(setups[_i].framework, setups[_i].strategy);
    g_autoptr(Model) model = model_for("gpt2", &t);
    g_autoptr(Job) plain = job_for(model, &t, 8);
    t.checkpointing = CHECKPOINTING_FULL;
    g_autoptr(Job) checkpointed = job_for(model, &t, 8);
    double blocks_s = 0;

    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        if (layer->block < 0 || layer->block >= model->n_blocks)
            continue;
        for (guint k = 0; k < layer->forward->len; k++)
            blocks_s +=
                profile_lookup(profile, &g_array_index(layer->forward, Kernel, k)).time_s;
    }
    ck_assert_double_eq_tol(work_s(job_program(checkpointed, 0), "recompute "), blocks_s, 1e-9);
    ck_assert_double_eq(work_s(job_program(plain, 0), "recompute "), 0);
    ck_assert_double_eq_tol(work_s(job_program(checkpointed, 0), "forward "),
                            work_s(job_program(plain, 0), "forward "), 1e-9);
}
END_TEST

/* Same input, same list. */
START_TEST(test_deterministic)
{
    Training t = training_new(setups[_i].framework, setups[_i].strategy);
    g_autoptr(Model) model = model_for("gpt2", &t);
    g_autoptr(Job) a = job_for(model, &t, 8), b = job_for(model, &t, 8);
    const Schedule *x = job_program(a, 5), *y = job_program(b, 5);

    ck_assert_int_eq(schedule_n_ops(x), schedule_n_ops(y));
    ck_assert_int_eq(memcmp(x->ops->data, y->ops->data, x->ops->len * sizeof(Op)), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("step");
    TCase *tcase = tcase_create("step");
    int n = G_N_ELEMENTS(setups);

    tcase_add_unchecked_fixture(tcase, profile_init, profile_clear);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, test_memory_returns, 0, n);
    tcase_add_loop_test(tcase, test_one_rank, 0, n);
    tcase_add_loop_test(tcase, test_paper_volumes, 0, 4);
    tcase_add_loop_test(tcase, test_paper_accumulation, 0, 4);
    tcase_add_loop_test(tcase, test_ddp_volumes, 0, 2);
    tcase_add_test(tcase, test_ddp_without_no_sync);
    tcase_add_test(tcase, test_zero1_shares);
    tcase_add_loop_test(tcase, test_fsdp_volumes, 0, 6);
    tcase_add_test(tcase, test_fsdp_sync_last);
    tcase_add_loop_test(tcase, test_deepspeed12_volumes, 0, 2);
    tcase_add_test(tcase, test_deepspeed_bucket_limit);
    tcase_add_loop_test(tcase, test_deepspeed3_volumes, 0, 2);
    tcase_add_test(tcase, test_deepspeed3_reuse);
    tcase_add_loop_test(tcase, test_paper_model_states, 0, 3);
    tcase_add_loop_test(tcase, test_model_states, 0, G_N_ELEMENTS(state_rows));
    tcase_add_loop_test(tcase, test_partitions, 0, G_N_ELEMENTS(partitions));
    tcase_add_loop_test(tcase, test_checkpointing, 0, n);
    tcase_add_loop_test(tcase, test_deterministic, 0, n);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
