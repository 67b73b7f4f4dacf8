/* SPDX-License-Identifier: MIT */
/* PowerSGD as DDP's communication hook: what is compressed, what is sent in which order, what
 * stays in memory. */
#include "step_inputs.h"

#include <math.h>
#include <string.h>

#define N_RANKS 8

static Training powersgd_training(void)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_DDP);

    t.ddp.broadcast_buffers = FALSE;
    t.ddp.powersgd = (PowerSgdKnobs){.enabled = TRUE,
                                     .matrix_approximation_rank = 1,
                                     .min_compression_rate = 2,
                                     .use_error_feedback = TRUE,
                                     .warm_start = TRUE};
    return t;
}

/* Payload and number of the all-reduces whose label begins with `verb`. */
static gint64 reduced(const Schedule *schedule, const char *verb, int *count)
{
    gint64 bytes = 0;

    *count = 0;
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->kind != OP_COLLECTIVE ||
            !g_str_has_prefix(schedule_label(schedule, op->label), verb))
            continue;
        ck_assert_int_eq(op->collective, COLLECTIVE_ALL_REDUCE);
        bytes += op->payload_bytes;
        (*count)++;
    }
    return bytes;
}

/* Factors of n r and m r elements for matrices with (n + m) r min_compression_rate < n m; what
 * isn't worth it, and every vector, is sent as it is. */
START_TEST(test_volumes)
{
    static const struct {
        gint64 rank;
        double rate;
    } rows[] = {{1, 2}, {4, 2}, {64, 2}, {256, 2}, {1, 400}, {1, 1e6}};
    Training t = powersgd_training();
    t.ddp.powersgd.matrix_approximation_rank = rows[_i].rank;
    t.ddp.powersgd.min_compression_rate = rows[_i].rate;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, N_RANKS);
    const Schedule *schedule = job_program(job, 0);
    gint64 p_numel = 0, q_numel = 0, loose = 0;
    int count;

    for (guint i = 0; i < model->parameters->len; i++) {
        const Parameter *parameter = model_parameter(model, (int)i);
        gint64 n = parameter->rows, m = parameter->numel / n;
        gint64 r = MIN(MIN(n, m), rows[_i].rank);
        if ((double)((n + m) * r) * rows[_i].rate < (double)(n * m)) {
            p_numel += n * r;
            q_numel += m * r;
        } else {
            loose += n * m;
        }
    }
    ck_assert_int_eq(reduced(schedule, "all_reduce P of", &count), 4 * p_numel);
    ck_assert_int_eq(reduced(schedule, "all_reduce Q of", &count), 4 * q_numel);
    ck_assert_int_eq(reduced(schedule, "all_reduce uncompressed of", &count), 4 * loose);
    ck_assert_int_eq(step_persistent_of(schedule, "PowerSGD's factors"),
                     4 * (p_numel + q_numel));
    ck_assert_int_eq(step_persistent_of(schedule, "PowerSGD's errors"),
                     4 * model->n_parameters);
}
END_TEST

/* A bucket's three all-reduces follow each other with work between, and the host waits for the
 * last of it before backward goes on. */
START_TEST(test_serial)
{
    Training t = powersgd_training();
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, N_RANKS);
    const Schedule *schedule = job_program(job, 0);
    static const char *const order[] = {"all_reduce uncompressed of", "all_reduce P of",
                                        "all_reduce Q of", "decompress"};
    int next = 0, n_buckets = 0, last = -1;

    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        const char *label = schedule_label(schedule, op->label);
        if (!g_str_has_prefix(label, "all_reduce ") && !g_str_has_prefix(label, "decompress"))
            continue;
        /* A bucket of the embedding alone leaves nothing uncompressed. */
        if (next == 0 && g_str_has_prefix(label, order[1]))
            next = 1;
        ck_assert_msg(g_str_has_prefix(label, order[next]), "%s, not %s", label, order[next]);
        next = (next + 1) % 4;
        if (next != 0)
            continue;
        n_buckets++;
        last = i;
    }
    ck_assert_int_gt(n_buckets, 3);
    int n_waits = 0;
    for (guint w = 0; w < schedule->host_waits->len; w++)
        n_waits += g_str_has_prefix(
            schedule_label(
                schedule,
                schedule_op(schedule, g_array_index(schedule->host_waits, HostWait, w).op)
                    ->label),
            "decompress");
    ck_assert_int_eq(n_waits, n_buckets);
    ck_assert_int_gt(last, 0);
}
END_TEST

/* Without error feedback nothing is kept or copied; without warm start the factors go with the
 * bucket. */
START_TEST(test_memory)
{
    Training t = powersgd_training();
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) with = step_job(model, &t, N_RANKS);
    t.ddp.powersgd.use_error_feedback = t.ddp.powersgd.warm_start = FALSE;
    g_autoptr(Job) without = step_job(model, &t, N_RANKS);
    const Schedule *schedule = job_program(without, 0);

    ck_assert_int_eq(step_persistent_of(schedule, "PowerSGD's errors"), 0);
    ck_assert_int_eq(step_persistent_of(schedule, "PowerSGD's factors"), 0);
    ck_assert_double_eq(step_work_s(schedule, "add error"), 0);
    ck_assert_double_eq(step_work_s(schedule, "keep error"), 0);
    ck_assert_double_gt(step_work_s(schedule, "random Q"), 0);
    ck_assert_double_eq(step_work_s(job_program(with, 0), "random Q"), 0);
    ck_assert_double_gt(step_work_s(job_program(with, 0), "keep error"), 0);
    for (int i = 0; i < schedule_n_ops(schedule); i++)
        ck_assert(!g_str_has_prefix(schedule_label(schedule, schedule_op(schedule, i)->label),
                                    "copy of bucket"));
}
END_TEST

/* batched_powerSGD_hook: each bucket is padded to a square, of which two factors are sent. */
START_TEST(test_batched)
{
    Training t = powersgd_training();
    t.ddp.powersgd.batched = TRUE;
    t.ddp.powersgd.matrix_approximation_rank = 2;
    t.ddp.bucket_cap_bytes = G_GINT64_CONSTANT(1) << 40;
    t.ddp.first_bucket_bytes = t.ddp.bucket_cap_bytes;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, N_RANKS);
    const Schedule *schedule = job_program(job, 0);
    gint64 side = (gint64)ceil(sqrt((double)model->n_parameters));
    int count;

    ck_assert_int_eq(reduced(schedule, "all_reduce P of", &count), 4 * 2 * side);
    ck_assert_int_eq(reduced(schedule, "all_reduce Q of", &count), 4 * 2 * side);
    ck_assert_int_eq(reduced(schedule, "all_reduce ", &count), 4 * 2 * 2 * side);
    ck_assert_int_eq(count, 2);
    ck_assert_int_eq(step_persistent_of(schedule, "PowerSGD's errors"), 4 * side * side);
}
END_TEST

/* A rank alone runs no hook. */
START_TEST(test_one_rank)
{
    Training t = powersgd_training();
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, 1);

    ck_assert_int_eq(step_persistent_of(job_program(job, 0), "PowerSGD's errors"), 0);
    ck_assert_double_eq(step_work_s(job_program(job, 0), "P of"), 0);
}
END_TEST

static void tests_add(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_volumes, 0, 6);
    tcase_add_test(tcase, test_serial);
    tcase_add_test(tcase, test_memory);
    tcase_add_test(tcase, test_batched);
    tcase_add_test(tcase, test_one_rank);
}

int main(void)
{
    return step_suite_run("step_powersgd", tests_add);
}
