/* SPDX-License-Identifier: MIT */
/* The list of ops: what waits for what, which waits are kept, and what a valid list is. */
#include "schedule.h"

#include "suite_run.h"

#include <check.h>
#include <string.h>

static const Kernel copy = {.op = KERNEL_COPY, .dtype = DTYPE_FP32, .dimension = {1 << 20}};

static Profile profile = {.name = "toy",
                          .n_sms = 100,
                          .memory_bytes_per_s = 1e12,
                          .achievable_memory_bytes_per_s = 1e12,
                          .launch_s = 1e-6};

static void profile_init(void)
{
    profile.entries = g_hash_table_new(g_str_hash, g_str_equal);
}

static void profile_clear(void)
{
    g_hash_table_unref(profile.entries);
}

static int compute(Schedule *schedule, Stream stream)
{
    return schedule_compute(schedule, stream, PHASE_FORWARD, "copy", &copy, 1, &profile);
}

static int wait_of(const Schedule *schedule, int op, int i)
{
    return g_array_index(schedule->waits, int, schedule_op(schedule, op)->first_wait + i);
}

/* Two waits for one stream: only the later op counts, since the stream is a FIFO. */
START_TEST(test_latest_wait_counts)
{
    g_autoptr(Schedule) schedule = schedule_new();
    int a = compute(schedule, STREAM_REDUCE), b = compute(schedule, STREAM_REDUCE);

    schedule_wait(schedule, STREAM_COMPUTE, b);
    schedule_wait(schedule, STREAM_COMPUTE, a);
    int op = compute(schedule, STREAM_COMPUTE);
    ck_assert_int_eq(schedule_op(schedule, op)->n_waits, 1);
    ck_assert_int_eq(wait_of(schedule, op, 0), b);
}
END_TEST

/* What a stream has waited for once it needn't wait for again. */
START_TEST(test_repeated_wait_is_dropped)
{
    g_autoptr(Schedule) schedule = schedule_new();
    int a = compute(schedule, STREAM_REDUCE);

    schedule_wait(schedule, STREAM_COMPUTE, a);
    compute(schedule, STREAM_COMPUTE);
    schedule_wait(schedule, STREAM_COMPUTE, a);
    int op = compute(schedule, STREAM_COMPUTE);
    ck_assert_int_eq(schedule_op(schedule, op)->n_waits, 0);
}
END_TEST

/* An allocation between wait and kernel leaves the wait to the kernel. */
START_TEST(test_allocation_does_not_wait)
{
    g_autoptr(Schedule) schedule = schedule_new();
    int a = compute(schedule, STREAM_REDUCE);

    schedule_wait(schedule, STREAM_COMPUTE, a);
    int block = schedule_alloc(schedule, STREAM_COMPUTE, PHASE_FORWARD, "block",
                               MEMORY_TEMPORARIES, 10);
    int op = compute(schedule, STREAM_COMPUTE);
    schedule_release(schedule, STREAM_COMPUTE, PHASE_FORWARD, block);
    ck_assert_int_eq(schedule_op(schedule, block)->n_waits, 0);
    ck_assert_int_eq(schedule_op(schedule, op)->n_waits, 1);
    ck_assert(schedule_validate(schedule, NULL));
}
END_TEST

/* At a device synchronisation the host waits for the last op of each stream; streams needn't
 * wait again for what it waited for, nor the host. */
START_TEST(test_synchronize)
{
    g_autoptr(Schedule) schedule = schedule_new();
    int first = compute(schedule, STREAM_COMPUTE);
    int last[] = {
        compute(schedule, STREAM_COMPUTE), compute(schedule, STREAM_REDUCE),
        schedule_collective(schedule, PHASE_FORWARD, "x", COLLECTIVE_ALL_REDUCE, 8, 0)};

    schedule_synchronize(schedule);
    schedule_wait(schedule, STREAM_ALL_GATHER, last[0]);
    schedule_host_wait(schedule, first);
    int op = compute(schedule, STREAM_ALL_GATHER);

    ck_assert_uint_eq(schedule->host_waits->len, 3);
    for (guint i = 0; i < 3; i++) {
        const HostWait *wait = &g_array_index(schedule->host_waits, HostWait, i);
        ck_assert_int_eq(wait->op, last[i]);
        ck_assert_int_eq(wait->before, op);
    }
    ck_assert_int_eq(schedule_op(schedule, op)->n_waits, 0);
    ck_assert(schedule_validate(schedule, NULL));
}
END_TEST

/* The host's time is the launches', the collectives' and its own work on parameters. */
START_TEST(test_host_time)
{
    g_autoptr(Schedule) schedule = schedule_new();
    int op = compute(schedule, STREAM_COMPUTE);
    ck_assert_double_eq(schedule_op(schedule, op)->host_s, 0);
    schedule->host_launch_s = 3;
    schedule->host_collective_s = 5;
    op = compute(schedule, STREAM_COMPUTE);
    ck_assert_double_eq(schedule_op(schedule, op)->host_s, 3);
    op = schedule_collective(schedule, PHASE_FORWARD, "x", COLLECTIVE_ALL_REDUCE, 8, 0);
    ck_assert_double_eq(schedule_op(schedule, op)->host_s, 5);
    /* What it does to parameters comes before the next op with a time, once. */
    schedule->host_parameter_s = 7;
    schedule_host_parameters(schedule, 2);
    int block =
        schedule_alloc(schedule, STREAM_COMPUTE, PHASE_FORWARD, "x", MEMORY_TEMPORARIES, 8);
    op = compute(schedule, STREAM_COMPUTE);
    ck_assert_double_eq(schedule_op(schedule, op)->host_s, 3 + 2 * 7);
    op = compute(schedule, STREAM_COMPUTE);
    ck_assert_double_eq(schedule_op(schedule, op)->host_s, 3);
    schedule_release(schedule, STREAM_COMPUTE, PHASE_FORWARD, block);
}
END_TEST

START_TEST(test_leak_is_invalid)
{
    g_autoptr(Schedule) schedule = schedule_new();
    g_autoptr(GError) error = NULL;

    schedule_alloc(schedule, STREAM_COMPUTE, PHASE_FORWARD, "lost", MEMORY_TEMPORARIES, 10);
    ck_assert(!schedule_validate(schedule, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "lost"));
}
END_TEST

START_TEST(test_double_free_is_invalid)
{
    g_autoptr(Schedule) schedule = schedule_new();
    g_autoptr(GError) error = NULL;
    int block = schedule_alloc(schedule, STREAM_COMPUTE, PHASE_FORWARD, "block",
                               MEMORY_TEMPORARIES, 10);

    schedule_release(schedule, STREAM_COMPUTE, PHASE_FORWARD, block);
    schedule_release(schedule, STREAM_COMPUTE, PHASE_FORWARD, block);
    ck_assert(!schedule_validate(schedule, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "block"));
}
END_TEST

/* Blocks of no bytes leave no op behind. */
START_TEST(test_empty_block)
{
    g_autoptr(Schedule) schedule = schedule_new();
    int block =
        schedule_alloc(schedule, STREAM_COMPUTE, PHASE_FORWARD, "none", MEMORY_TEMPORARIES, 0);

    ck_assert_int_eq(block, -1);
    ck_assert_int_eq(schedule_release(schedule, STREAM_COMPUTE, PHASE_FORWARD, block), -1);
    ck_assert_int_eq(schedule_n_ops(schedule), 0);
}
END_TEST

/* The time of a compute op is the sum over its kernels, each with its provenance. */
START_TEST(test_compute_sums_kernels)
{
    g_autoptr(Schedule) schedule = schedule_new();
    Kernel kernels[] = {copy, copy, copy};
    double one_s = profile_lookup(&profile, &copy).time_s;
    int op = schedule_compute(schedule, STREAM_COMPUTE, PHASE_FORWARD, "three", kernels, 3,
                              &profile);

    ck_assert_double_eq_tol(schedule_op(schedule, op)->work_s, 3 * one_s, 1e-15);
    ck_assert_double_eq_tol(schedule_op(schedule, op)->source_s[TIME_ROOFLINE], 3 * one_s,
                            1e-15);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schedule");
    TCase *tcase = tcase_create("schedule");

    tcase_add_unchecked_fixture(tcase, profile_init, profile_clear);
    tcase_add_test(tcase, test_latest_wait_counts);
    tcase_add_test(tcase, test_repeated_wait_is_dropped);
    tcase_add_test(tcase, test_allocation_does_not_wait);
    tcase_add_test(tcase, test_synchronize);
    tcase_add_test(tcase, test_host_time);
    tcase_add_test(tcase, test_leak_is_invalid);
    tcase_add_test(tcase, test_double_free_is_invalid);
    tcase_add_test(tcase, test_empty_block);
    tcase_add_test(tcase, test_compute_sums_kernels);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
