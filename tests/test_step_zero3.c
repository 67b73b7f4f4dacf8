/* SPDX-License-Identifier: MIT */
/* How ZeRO-3 fetches parameters and reduces gradients: hpZ and MiCS, leaf modules, all-reduces
 * in place of gathers, buckets. */
#include "step_inputs.h"

#include <string.h>

#define N_RANKS 16
#define N_LOCAL 8

static Training zero3_training(void)
{
    Training t = step_training(FRAMEWORK_DEEPSPEED, STRATEGY_ZERO3);
    t.ranks_per_node = N_LOCAL;
    return t;
}

/* hpZ: the host waits for each copy to the secondary partition, once a parameter and step. */
START_TEST(test_hpz_waits)
{
    Training t = zero3_training();
    t.deepspeed.max_reuse_distance = 0;
    t.gradient_accumulation = 2;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    t.deepspeed.hpz_partition_size = N_LOCAL;
    g_autoptr(Job) job = step_job(model, &t, N_RANKS);
    const Schedule *schedule = job_program(job, 0);
    int n_kept = 0;

    for (guint i = 0; i < schedule->host_waits->len; i++) {
        HostWait wait = g_array_index(schedule->host_waits, HostWait, i);
        n_kept += step_label_begins(schedule, schedule_op(schedule, wait.op), "keep secondary");
    }
    ck_assert_int_eq(n_kept, (int)model->parameters->len - 65);
}
END_TEST

/* MiCS over whole nodes: pieces come from the peers on other nodes, then go round the node;
 * parameters arrive where they stay, so that nothing is copied out. */
START_TEST(test_mics_hierarchical)
{
    Training t = zero3_training();
    t.deepspeed.mics_shard_size = 16;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) flat = step_job(model, &t, 32);
    t.deepspeed.mics_hierarchical_params_gather = TRUE;
    g_autoptr(Job) job = step_job(model, &t, 32);
    const Schedule *schedule = job_program(job, 0);
    gint64 again = 2 * 65 * 4096; /* persistent parameters, after the step */
    gint64 bytes =
        step_payload_of(job_program(flat, 0), COLLECTIVE_ALL_GATHER, "all_gather ") - again;

    ck_assert_int_eq(
        step_payload_of(schedule, COLLECTIVE_ALL_GATHER, "all_gather between nodes") * N_LOCAL,
        bytes);
    ck_assert_int_eq(
        step_payload_of(schedule, COLLECTIVE_ALL_GATHER, "all_gather inside nodes"), bytes);
    ck_assert_double_eq(step_work_s(job_program(flat, 0), "copy out"), 0);
    ck_assert_int_eq(job_group_size(job, 3, 9), 2);
    ck_assert_int_eq(job_group_size(job, 4, 9), N_LOCAL);
}
END_TEST

static int n_fetches(const Model *model, const Training *t)
{
    g_autoptr(Job) job = step_job(model, t, N_RANKS);
    int count;

    step_payload(job_program(job, 0), COLLECTIVE_ALL_GATHER, &count);
    return count - 65; /* persistent parameters, after the step */
}

/* stage3_module_granularity_threshold: parameters over submodules, with a module itself. A
 * Llama-2-7B block has 12 of them: 4 + 1 in attention (13.4 M each), 3 + 1 in the MLP (33.8 M),
 * two norms, itself (16.9 M); the model is too large whatever the threshold. */
START_TEST(test_granularity)
{
    static const struct {
        gint64 threshold;
        int fetches_in_block;
    } rows[] = {{0, 7},        {13000000, 7}, {14000000, 4},
                {16800000, 4}, {17000000, 1}, {G_GINT64_CONSTANT(1) << 40, 1}};
    Training t = zero3_training();
    g_autoptr(Model) model = step_model("llama-2-7b", &t);

    t.deepspeed.max_reuse_distance = 0;
    t.deepspeed.prefetch_bucket_size = 0;
    t.deepspeed.module_granularity_threshold = rows[_i].threshold;
    /* Forward and backward; the embedding and the head beside the 32 blocks. */
    ck_assert_int_eq(n_fetches(model, &t), 2 * (32 * rows[_i].fetches_in_block + 2));
}
END_TEST

/* A model that is one leaf is fetched once for forward and once for backward, and blocks that
 * are recomputed find it there. */
START_TEST(test_granularity_of_all)
{
    Training t = zero3_training();
    t.checkpointing = CHECKPOINTING_FULL;
    t.deepspeed.max_reuse_distance = 0;
    t.deepspeed.prefetch_bucket_size = 0;
    t.deepspeed.param_persistence_threshold = 0;
    t.deepspeed.module_granularity_threshold = 1000000000;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, N_RANKS);
    gint64 padded = 0;
    int count;

    for (guint p = 0; p < model->parameters->len; p++)
        padded +=
            N_RANKS * step_test_ceil_divide(model_parameter(model, (int)p)->numel, N_RANKS);
    ck_assert_int_eq(step_payload(job_program(job, 0), COLLECTIVE_ALL_GATHER, &count),
                     2 * 2 * padded);
    ck_assert_int_eq(count, 2);
}
END_TEST

/* stage3_use_all_reduce_for_fetch_params: modules of several parameters are all-reduced, those
 * of one gathered; nothing is copied out. */
START_TEST(test_all_reduce_fetch)
{
    Training t = zero3_training();
    t.deepspeed.max_reuse_distance = 0;
    t.deepspeed.prefetch_bucket_size = 0;
    t.deepspeed.leaf_modules = LEAF_BLOCK;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) plain = step_job(model, &t, N_RANKS);
    t.deepspeed.use_all_reduce_for_fetch_params = TRUE;
    g_autoptr(Job) job = step_job(model, &t, N_RANKS);
    const Schedule *schedule = job_program(job, 0);
    gint64 ends = 2 * G_GINT64_CONSTANT(32000) * 4096, small = 65 * 4096;
    gint64 blocks = model->n_parameters - ends - small;

    ck_assert_int_eq(
        step_payload_of(schedule, COLLECTIVE_ALL_REDUCE, "all_reduce model.layers"),
        2 * 2 * blocks);
    ck_assert_int_eq(step_payload_of(schedule, COLLECTIVE_ALL_GATHER, "all_gather"),
                     2 * (2 * ends + small));
    ck_assert_double_gt(step_work_s(job_program(plain, 0), "copy out"), 0);
    ck_assert_double_eq(step_work_s(schedule, "copy out"), 0);
}
END_TEST

/* A full bucket's reduction waits for the gradients in it, not for the backward of the layer
 * whose gradient comes next. */
START_TEST(test_bucket_goes_at_once)
{
    Training t = zero3_training();
    t.deepspeed.reduce_bucket_size = 50000000;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) job = step_job(model, &t, N_RANKS);
    const Schedule *schedule = job_program(job, 0);
    int n_buckets = 0;

    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->kind != OP_COMPUTE || !step_label_begins(schedule, op, "interleave"))
            continue;
        n_buckets++;
        for (int w = 0; w < op->n_waits; w++) {
            int waited = g_array_index(schedule->waits, int, op->first_wait + w);
            ck_assert_int_ne(schedule_op(schedule, waited)->stream, STREAM_COMPUTE);
        }
    }
    ck_assert_int_gt(n_buckets, 10);
}
END_TEST

/* A gradient that is a bucket of its own and divides evenly isn't copied. */
START_TEST(test_single_gradient)
{
    Training t = zero3_training();
    t.deepspeed.reduce_bucket_size = 1;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) even = step_job(model, &t, N_RANKS);
    g_autoptr(Job) odd = step_job(model, &t, 7);
    int count;

    ck_assert_double_eq(step_work_s(job_program(even, 0), "interleave"), 0);
    ck_assert_double_gt(step_work_s(job_program(odd, 0), "interleave"), 0);
    step_payload(job_program(even, 0), COLLECTIVE_REDUCE_SCATTER, &count);
    ck_assert_int_eq(count, (int)model->parameters->len);
}
END_TEST

/* MiCS: replicas add up each bucket's partitions as it is reduced, in the last micro-step. */
START_TEST(test_mics_buckets)
{
    Training t = zero3_training();
    t.deepspeed.mics_shard_size = 8;
    t.deepspeed.reduce_bucket_size = 50000000;
    t.gradient_accumulation = 3;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) job = step_job(model, &t, N_RANKS);
    const Schedule *schedule = job_program(job, 0);
    int n_scattered, n_reduced = 0;

    step_payload(schedule, COLLECTIVE_REDUCE_SCATTER, &n_scattered);
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        n_reduced += op->kind == OP_COLLECTIVE && op->communicator == 2;
    }
    ck_assert_int_gt(n_reduced, 10);
    ck_assert_int_eq(n_scattered, 3 * n_reduced);
    ck_assert_int_eq(
        step_payload_of(schedule, COLLECTIVE_ALL_REDUCE, "all_reduce gradient partitions"),
        2 * model->n_parameters / 8);
}
END_TEST

static void tests_add(TCase *tcase)
{
    tcase_add_test(tcase, test_hpz_waits);
    tcase_add_test(tcase, test_mics_hierarchical);
    tcase_add_loop_test(tcase, test_granularity, 0, 6);
    tcase_add_test(tcase, test_granularity_of_all);
    tcase_add_test(tcase, test_all_reduce_fetch);
    tcase_add_test(tcase, test_bucket_goes_at_once);
    tcase_add_test(tcase, test_single_gradient);
    tcase_add_test(tcase, test_mics_buckets);
}

int main(void)
{
    return step_suite_run("step_zero3", tests_add);
}
