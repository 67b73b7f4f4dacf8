/* SPDX-License-Identifier: MIT */
/* ZeRO++: volumes against closed forms, who ends with what, memory, fallbacks. */
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

/* The fewest groups that are at most 8000 elements and a multiple of 8 each. */
static gboolean groups_are_right(gint64 numel, gint64 groups)
{
    for (gint64 fewer = 1; fewer < groups; fewer++)
        if (numel % (8 * fewer) == 0 && numel / fewer <= 8000)
            return FALSE;
    return numel % (8 * groups) == 0 && numel / groups <= 8000;
}

/* qwZ: a byte an element in place of two, and an all-gather of the scales behind each; the
 * output and its scales are in memory meanwhile. The few parameters that stay gathered are
 * gathered again in 16 bits. */
START_TEST(test_qwz)
{
    Training t = zero3_training();
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) plain = step_job(model, &t, N_RANKS);
    t.deepspeed.quantized_weights = TRUE;
    g_autoptr(Job) job = step_job(model, &t, N_RANKS);
    const Schedule *schedule = job_program(job, 0);
    gint64 small = 65 * 4096, scale_bytes = 0;
    int count, n_quantized = 0;

    for (int i = 1; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i), *numbers = schedule_op(schedule, i - 1);
        if (op->kind != OP_COLLECTIVE || !step_label_begins(schedule, op, "all_gather scales"))
            continue;
        const Op *output = schedule_op(schedule, i - 2);
        ck_assert_int_eq(numbers->kind, OP_COLLECTIVE);
        ck_assert_int_eq(op->payload_bytes % (4 * N_RANKS), 0);
        ck_assert(groups_are_right(numbers->payload_bytes / N_RANKS,
                                   op->payload_bytes / (4 * N_RANKS)));
        ck_assert_int_eq(output->kind, OP_ALLOC);
        ck_assert_int_eq(output->bytes, numbers->payload_bytes + op->payload_bytes);
        scale_bytes += op->payload_bytes;
        n_quantized++;
    }
    ck_assert_int_gt(n_quantized, 0);
    gint64 wide = step_payload(job_program(plain, 0), COLLECTIVE_ALL_GATHER, &count);
    gint64 narrow = step_payload(schedule, COLLECTIVE_ALL_GATHER, &count);
    ck_assert_int_eq(narrow - scale_bytes - 2 * small, (wide - 2 * small) / 2);
    ck_assert_int_lt(scale_bytes, narrow / 500);
    ck_assert_double_gt(step_work_s(schedule, "quantize"), 0);
    ck_assert_double_gt(step_work_s(schedule, "dequantize"), step_work_s(schedule, "quantize"));
}
END_TEST

/* hpZ's secondary partitions are 16-bit and quantised anew for each fetch. */
START_TEST(test_qwz_and_hpz)
{
    Training t = zero3_training();
    t.deepspeed.max_reuse_distance = 0;
    t.deepspeed.prefetch_bucket_size = 0;
    t.deepspeed.quantized_weights = TRUE;
    t.deepspeed.hpz_partition_size = N_LOCAL;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) job = step_job(model, &t, N_RANKS);
    const Schedule *schedule = job_program(job, 0);
    gint64 small = 65 * 4096, large = model->n_parameters - small, secondary = 0, first = 0;

    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->kind != OP_COLLECTIVE || op->collective != COLLECTIVE_ALL_GATHER ||
            step_label_begins(schedule, op, "all_gather scales"))
            continue;
        *(op->communicator == 1 ? &secondary : &first) += op->payload_bytes;
    }
    ck_assert_int_eq(first, large + 2 * small);
    ck_assert_int_eq(secondary, large);
    ck_assert_int_eq(step_persistent_of(schedule, "secondary partitions"),
                     2 * model->n_parameters / N_LOCAL);
}
END_TEST

static void check_refused(const Training *t, const char *name, int n_ranks, const char *what)
{
    g_autoptr(Model) model = step_model(name, t);
    g_autoptr(GError) error = NULL;

    ck_assert_ptr_null(step_build(model, t, step_profile, n_ranks, &error));
    ck_assert_msg(strstr(error->message, what) != NULL, "%s", error->message);
    ck_assert_ptr_null(strchr(error->message, '\n'));
}

/* What DeepSpeed asserts, or could only do wrong. */
START_TEST(test_refusals)
{
    Training multiple = zero3_training(), mics = multiple, nodes = multiple, wide = multiple;
    Training alone = multiple, small_mics = multiple;

    multiple.deepspeed.quantized_weights = TRUE;
    check_refused(&multiple, "gpt2", 64, "quantises multiples of 8");
    mics.deepspeed.mics_shard_size = 8;
    mics.deepspeed.quantized_weights = TRUE;
    check_refused(&mics, "gpt2", 16, "mics_shard_size");
    nodes.deepspeed.quantized_gradients = TRUE;
    nodes.ranks_per_node = 0;
    check_refused(&nodes, "gpt2", 16, "zero_quantized_gradients: needs nodes with equal");
    wide.deepspeed.quantized_weights = TRUE;
    wide.precision.gather = DTYPE_FP32;
    check_refused(&wide, "gpt2", 16, "reads 16-bit numbers");
    alone.deepspeed.mics_hierarchical_params_gather = TRUE;
    check_refused(&alone, "gpt2", 16, "needs mics_shard_size");
    small_mics.deepspeed.mics_hierarchical_params_gather = TRUE;
    small_mics.deepspeed.mics_shard_size = 8;
    check_refused(&small_mics, "gpt2", 16, "several whole nodes");
}
END_TEST

/* qgZ: a quarter of the bytes in each stage, the second of what a node has added up; one scale
 * for each row or column, whichever are more. Vectors are reduce-scattered, each alone. */
START_TEST(test_qgz)
{
    Training t = zero3_training();
    t.deepspeed.quantized_gradients = TRUE;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) job = step_job(model, &t, N_RANKS);
    const Schedule *schedule = job_program(job, 0);
    gint64 vectors = 65 * 4096, matrices = model->n_parameters - vectors, scales = 0;
    int n_vectors;

    for (guint p = 0; p < model->parameters->len; p++) {
        const Parameter *parameter = model_parameter(model, (int)p);
        gint64 columns = parameter->numel / parameter->rows;
        scales += columns == 1 ? 0 : 4 * MAX(parameter->rows, columns);
    }
    ck_assert_int_eq(step_payload_of(schedule, COLLECTIVE_ALL_TO_ALL, "all_to_all in node"),
                     matrices / 2 + scales);
    ck_assert_int_eq(
        step_payload_of(schedule, COLLECTIVE_ALL_TO_ALL, "all_to_all between nodes"),
        (matrices / 2 + scales) / N_LOCAL);
    ck_assert_int_eq(step_payload(schedule, COLLECTIVE_REDUCE_SCATTER, &n_vectors),
                     2 * vectors);
    ck_assert_int_eq(n_vectors, 65);
    ck_assert_int_eq(step_persistent_of(schedule, "LoCo's errors"), 0);
}
END_TEST

/* One node: the bucket is reduce-scattered as without. */
START_TEST(test_qgz_on_one_node)
{
    Training t = zero3_training();
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) plain = step_job(model, &t, N_LOCAL);
    t.deepspeed.quantized_gradients = TRUE;
    g_autoptr(Job) job = step_job(model, &t, N_LOCAL);
    const Schedule *a = job_program(plain, 0), *b = job_program(job, 0);

    ck_assert_int_eq(schedule_n_ops(a), schedule_n_ops(b));
    for (int i = 0; i < schedule_n_ops(a); i++) {
        ck_assert_int_eq(schedule_op(a, i)->payload_bytes, schedule_op(b, i)->payload_bytes);
        ck_assert_str_eq(schedule_label(a, schedule_op(a, i)->label),
                         schedule_label(b, schedule_op(b, i)->label));
    }
}
END_TEST

/* A matrix that 2 N doesn't divide takes the reduce-scatter, padded to N: GPT-2's embedding of
 * 50257 x 768 over 512 ranks. */
START_TEST(test_qgz_fallback)
{
    Training t = zero3_training();
    t.deepspeed.quantized_gradients = TRUE;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, 512);
    gint64 padded = 512 * step_test_ceil_divide(G_GINT64_CONSTANT(50257) * 768, 512);
    int count;

    for (guint p = 1; p < model->parameters->len; p++) {
        const Parameter *parameter = model_parameter(model, (int)p);
        if (parameter->rows == parameter->numel || parameter->numel % 1024 != 0)
            padded += 512 * step_test_ceil_divide(parameter->numel, 512);
    }
    ck_assert_int_eq(step_payload(job_program(job, 0), COLLECTIVE_REDUCE_SCATTER, &count),
                     2 * padded);
}
END_TEST

/* With the elements in the order that swizzle_quant puts them in, both exchanges leave each
 * rank with its own partition, and with every rank's share of it once. */
START_TEST(test_qgz_ends_right)
{
    Training t = zero3_training();
    const int n_nodes = N_RANKS / N_LOCAL;
    int held[N_RANKS][N_RANKS], next[N_RANKS][N_RANKS];
    t.deepspeed.quantized_gradients = TRUE;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, N_RANKS);

    /* After the first: rank (n, d) holds of (k, d), for each node k, its node's sum. */
    ck_assert_str_eq(job_communicator(job, 1)->name, "local");
    ck_assert_str_eq(job_communicator(job, 2)->name, "global");
    memset(held, 0, sizeof(held));
    memset(next, 0, sizeof(next));
    for (int g = 0; g < job_communicator(job, 1)->n_groups; g++) {
        int n;
        g_autofree int *members = job_group_members(job, 1, g, &n);
        ck_assert_int_eq(n, N_LOCAL);
        for (int to = 0; to < n; to++)
            for (int k = 0; k < n_nodes; k++)
                held[members[to]][k * N_LOCAL + to] += n;
    }
    for (int g = 0; g < job_communicator(job, 2)->n_groups; g++) {
        int n;
        g_autofree int *members = job_group_members(job, 2, g, &n);
        ck_assert_int_eq(n, n_nodes);
        for (int from = 0; from < n; from++)
            for (int to = 0; to < n; to++) {
                int part = to * N_LOCAL + members[from] % N_LOCAL;
                next[members[to]][part] += held[members[from]][part];
            }
    }
    for (int rank = 0; rank < N_RANKS; rank++)
        for (int part = 0; part < N_RANKS; part++)
            ck_assert_int_eq(next[rank][part], part == rank ? N_RANKS : 0);
}
END_TEST

/* LoCo keeps an 8-bit error of each matrix, and of what the node added up of it. */
START_TEST(test_loco)
{
    Training t = zero3_training();
    t.deepspeed.quantized_gradients = TRUE;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) plain = step_job(model, &t, N_RANKS);
    t.deepspeed.loco = TRUE;
    g_autoptr(Job) job = step_job(model, &t, N_RANKS);
    gint64 bytes = 0;

    for (guint p = 0; p < model->parameters->len; p++) {
        const Parameter *parameter = model_parameter(model, (int)p);
        gint64 columns = parameter->numel / parameter->rows;
        if (columns > 1)
            bytes += parameter->numel + 4 * MAX(parameter->rows, columns);
    }
    ck_assert_int_eq(step_persistent_of(job_program(job, 0), "LoCo's errors"),
                     bytes + bytes / N_LOCAL);
    ck_assert_double_gt(step_work_s(job_program(job, 0), "keep error"), 0);
    ck_assert_double_gt(step_work_s(job_program(job, 0), "quantize"),
                        step_work_s(job_program(plain, 0), "quantize"));
    ck_assert_double_eq(step_sent_bytes(job_program(job, 0), N_RANKS),
                        step_sent_bytes(job_program(plain, 0), N_RANKS));
}
END_TEST

static void tests_add(TCase *tcase)
{
    tcase_add_test(tcase, test_qwz);
    tcase_add_test(tcase, test_qwz_and_hpz);
    tcase_add_test(tcase, test_refusals);
    tcase_add_test(tcase, test_qgz);
    tcase_add_test(tcase, test_qgz_on_one_node);
    tcase_add_test(tcase, test_qgz_fallback);
    tcase_add_test(tcase, test_qgz_ends_right);
    tcase_add_test(tcase, test_loco);
}

int main(void)
{
    return step_suite_run("step_zeropp", tests_add);
}
