/* SPDX-License-Identifier: MIT */
/* Communication volumes of each framework against lists of its collectives written out here
 * from its documented rules, not taken from the code. */
#include "step_inputs.h"

#include <string.h>

START_TEST(test_paper_volumes)
{
    static const int psi[] = {2, 2, 2, 3};

    for (int m = 0; m < N_STEP_MODELS; m++)
        for (int world = 1; world < N_STEP_WORLDS; world++) {
            Training t = step_training(FRAMEWORK_PAPER, (Strategy)_i);
            g_autoptr(Model) model = step_model(step_models[m], &t);
            g_autoptr(Job) job = step_job(model, &t, step_worlds[world]);
            double n = step_worlds[world];
            double expected = psi[_i] * (double)model->n_parameters * 2.0 * (n - 1) / n;
            ck_assert_double_eq_tol(step_sent_bytes(job_program(job, 0), step_worlds[world]),
                                    expected, expected * 1e-12);
        }
}
END_TEST

/* Accumulating over 4 micro-steps, the paper's stages 0 and 1 reduce once, 2 and 3 each time.
 */
START_TEST(test_paper_accumulation)
{
    static const int psi[] = {2, 2, 4 + 1, 4 * 3};
    Training t = step_training(FRAMEWORK_PAPER, (Strategy)_i);
    t.gradient_accumulation = 4;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, 8);
    double expected = psi[_i] * (double)model->n_parameters * 2.0 * 7 / 8;

    ck_assert_double_eq_tol(step_sent_bytes(job_program(job, 0), 8), expected,
                            expected * 1e-12);
}
END_TEST

/* DDP: an fp32 all-reduce of every parameter once, in the rebuilt buckets, whatever the
 * accumulation; ZeroRedundancyOptimizer adds one broadcast a tensor. */
START_TEST(test_ddp_volumes)
{
    for (int gas = 1; gas <= 2; gas++) {
        Training t = step_training(FRAMEWORK_PYTORCH, _i ? STRATEGY_ZERO1 : STRATEGY_DDP);
        t.gradient_accumulation = gas;
        g_autoptr(Model) model = step_model("gpt2", &t);
        g_autoptr(Job) job = step_job(model, &t, 8);
        const Schedule *schedule = job_program(job, 3);
        int count;
        ck_assert_int_eq(step_payload(schedule, COLLECTIVE_ALL_REDUCE, &count),
                         4 * model->n_parameters);
        ck_assert_int_eq(step_payload(schedule, COLLECTIVE_BROADCAST, &count),
                         (_i ? 4 * model->n_parameters : 0) + model->buffer_bytes);
        ck_assert_int_eq(count,
                         (_i ? (int)model->parameters->len : 0) + (model->buffer_bytes > 0));
    }
}
END_TEST

/* Without no_sync every micro-step reduces. */
START_TEST(test_ddp_without_no_sync)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_DDP);
    t.gradient_accumulation = 3;
    t.ddp.no_sync = FALSE;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, 8);
    int count;

    ck_assert_int_eq(step_payload(job_program(job, 0), COLLECTIVE_ALL_REDUCE, &count),
                     3 * 4 * model->n_parameters);
}
END_TEST

/* ZeroRedundancyOptimizer: every tensor is updated by exactly one rank, and the largest share
 * is at least the largest tensor. */
START_TEST(test_zero1_shares)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_ZERO1);
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, 8);
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
    int n_ranks = step_worlds[1 + _i / 2];
    Training t = step_training(FRAMEWORK_PYTORCH, reshard ? STRATEGY_ZERO3 : STRATEGY_ZERO2);
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) job = step_job(model, &t, n_ranks);
    gint64 root = 0, blocks = 0;
    int n_gathers, n_scatters;

    for (guint i = 0; i < model->parameters->len; i++) {
        const Parameter *p = model_parameter(model, (int)i);
        gint64 padded =
            step_test_ceil_divide(p->rows, n_ranks) * n_ranks * (p->numel / p->rows);
        *(strstr(p->name, "layers.") ? &blocks : &root) += padded;
    }
    ck_assert_int_eq(step_payload(job_program(job, 0), COLLECTIVE_ALL_GATHER, &n_gathers),
                     2 * (root + (reshard ? 2 : 1) * blocks));
    ck_assert_int_eq(step_payload(job_program(job, 0), COLLECTIVE_REDUCE_SCATTER, &n_scatters),
                     2 * (root + blocks));
    ck_assert_int_eq(n_gathers, 1 + (reshard ? 2 : 1) * 32);
    ck_assert_int_eq(n_scatters, 33);
}
END_TEST

/* FSDP1: the same collectives, but a unit is one flat parameter padded as a whole. */
START_TEST(test_fsdp1_volumes)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_ZERO3);
    t.fsdp.version = 1;
    t.fsdp.backward_prefetch = (BackwardPrefetch)_i;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, 64);
    gint64 root = 0, block = 0;
    int n_gathers, n_scatters;

    for (guint i = 0; i < model->parameters->len; i++) {
        const Parameter *p = model_parameter(model, (int)i);
        if (strstr(p->name, ".h.0."))
            block += p->numel;
        else if (!strstr(p->name, ".h."))
            root += p->numel;
    }
    root = step_test_ceil_divide(root, 64) * 64;
    block = step_test_ceil_divide(block, 64) * 64;
    ck_assert_int_eq(step_payload(job_program(job, 0), COLLECTIVE_ALL_GATHER, &n_gathers),
                     2 * (root + 2 * 12 * block));
    ck_assert_int_eq(step_payload(job_program(job, 0), COLLECTIVE_REDUCE_SCATTER, &n_scatters),
                     2 * (root + 12 * block));
    ck_assert_int_eq(n_gathers, 25);
    ck_assert_int_eq(n_scatters, 13);
}
END_TEST

/* Gradients synchronised in the last of 4 micro-steps only: SHARD_GRAD_OP of FSDP1 keeps its
 * parameters and gathers once, FSDP2 gathers each time. */
START_TEST(test_fsdp_shard_grad_op_accumulation)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_ZERO2);
    t.gradient_accumulation = 4;
    t.fsdp.sync_every_micro_step = FALSE;
    t.fsdp.version = _i;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, 8);
    int n_gathers, n_scatters;

    step_payload(job_program(job, 0), COLLECTIVE_ALL_GATHER, &n_gathers);
    step_payload(job_program(job, 0), COLLECTIVE_REDUCE_SCATTER, &n_scatters);
    ck_assert_int_eq(n_gathers, (_i == 1 ? 1 : 4) * 13);
    ck_assert_int_eq(n_scatters, 13);
}
END_TEST

/* FSDP2 that synchronises in the last micro-step only: gathers each time, reduces once. */
START_TEST(test_fsdp_sync_last)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_ZERO3);
    t.gradient_accumulation = 3;
    t.fsdp.sync_every_micro_step = FALSE;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) job = step_job(model, &t, 8);
    int n_gathers, n_scatters;

    step_payload(job_program(job, 0), COLLECTIVE_ALL_GATHER, &n_gathers);
    step_payload(job_program(job, 0), COLLECTIVE_REDUCE_SCATTER, &n_scatters);
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
    Training t = step_training(FRAMEWORK_DEEPSPEED, (Strategy)stage);
    t.gradient_accumulation = gas;
    g_autoptr(Model) model = step_model("gpt2-xl", &t);
    g_autoptr(Job) job = step_job(model, &t, 64);
    const Schedule *schedule = job_program(job, 0);

    /* 1,557,611,200 elements on 64 ranks are padded by 64 to a multiple of 128. */
    ck_assert_int_eq(step_payload(schedule, COLLECTIVE_ALL_GATHER, &n_gathers),
                     2 * (G_GINT64_CONSTANT(1557611200) + 64));
    ck_assert_int_eq(n_gathers, 1);
    ck_assert_int_eq(step_payload(schedule, COLLECTIVE_ALL_REDUCE, &n_reductions),
                     2 * model->n_parameters * (stage == 2 ? gas : 1) + 4);
    /* At least ceil(1.56e9 / 5e8) buckets a reduction, plus the norm. */
    ck_assert_int_ge(n_reductions, 4 * (stage == 2 ? gas : 1) + 1);
}
END_TEST

/* No bucket of DeepSpeed passes reduce_bucket_size, but for a single larger gradient. */
START_TEST(test_deepspeed_bucket_limit)
{
    Training t = step_training(FRAMEWORK_DEEPSPEED, STRATEGY_ZERO2);
    t.deepspeed.reduce_bucket_size = 10000000;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, 8);
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
    Training t = step_training(FRAMEWORK_DEEPSPEED, STRATEGY_ZERO3);
    t.deepspeed.max_reuse_distance = 0;
    t.deepspeed.prefetch_bucket_size = _i ? 50000000 : 0;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) job = step_job(model, &t, n_ranks);
    gint64 large = 0, small = 0;

    for (guint i = 0; i < model->parameters->len; i++) {
        gint64 numel = model_parameter(model, (int)i)->numel;
        gboolean persistent = numel <= 100000;
        n_small += persistent;
        *(persistent ? &small : &large) += step_test_ceil_divide(numel, n_ranks) * n_ranks;
    }
    gint64 gathered = step_payload(job_program(job, 0), COLLECTIVE_ALL_GATHER, &n_gathers);
    /* Prefetch runs ahead until max_live_parameters are there; at the turn to backward what it
     * has passed over stays and isn't gathered again. */
    gint64 kept = _i ? t.deepspeed.max_live_parameters : 0;
    ck_assert_int_le(gathered, 2 * (2 * large + small));
    ck_assert_int_ge(gathered, 2 * (2 * large + small - kept));
    ck_assert_int_eq(step_payload(job_program(job, 0), COLLECTIVE_REDUCE_SCATTER, &n_scatters),
                     2 * (large + small));
    ck_assert_int_eq(n_small, 65);
}
END_TEST

/* With the default reuse distance a model under 0.5e9 parameters gathers each weight once. */
START_TEST(test_deepspeed3_reuse)
{
    int n_ranks = 8, n_gathers, n_small = 0;
    Training t = step_training(FRAMEWORK_DEEPSPEED, STRATEGY_ZERO3);
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, n_ranks);
    gint64 numel = 0;

    for (guint i = 0; i < model->parameters->len; i++) {
        gint64 n = model_parameter(model, (int)i)->numel;
        numel += step_test_ceil_divide(n, n_ranks) * n_ranks;
        n_small += n <= 100000;
    }
    ck_assert_int_eq(step_payload(job_program(job, 0), COLLECTIVE_ALL_GATHER, &n_gathers),
                     2 * numel);
    ck_assert_int_eq(n_small, 98);
    ck_assert_int_ge(n_gathers, 98);
}
END_TEST

static void tests_add(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_paper_volumes, 0, 4);
    tcase_add_loop_test(tcase, test_paper_accumulation, 0, 4);
    tcase_add_loop_test(tcase, test_ddp_volumes, 0, 2);
    tcase_add_test(tcase, test_ddp_without_no_sync);
    tcase_add_test(tcase, test_zero1_shares);
    tcase_add_loop_test(tcase, test_fsdp_volumes, 0, 6);
    tcase_add_loop_test(tcase, test_fsdp1_volumes, 0, 3);
    tcase_add_loop_test(tcase, test_fsdp_shard_grad_op_accumulation, 1, 3);
    tcase_add_test(tcase, test_fsdp_sync_last);
    tcase_add_loop_test(tcase, test_deepspeed12_volumes, 0, 2);
    tcase_add_test(tcase, test_deepspeed_bucket_limit);
    tcase_add_loop_test(tcase, test_deepspeed3_volumes, 0, 2);
    tcase_add_test(tcase, test_deepspeed3_reuse);
}

int main(void)
{
    return step_suite_run("step_volumes", tests_add);
}
