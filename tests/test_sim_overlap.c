/* SPDX-License-Identifier: MIT */
/* Kernels beside collectives in a replay: what they lose, and when. */
#include "sim_fixture.h"

#define GIB ((gint64)1 << 30)

/* NCCL's choice of channels, replaced by one of round numbers. */
static const NcclOptions channels_24 = {
    .algorithm = ALGORITHM_RING, .protocol = PROTOCOL_SIMPLE, .channels = 24};

static const double left_frac = 1 - 24.0 / 132;

/* A collective of 24 channels on 132 multiprocessors, longer than the kernel beside it. */
START_TEST(a_kernel_beside_a_collective_gets_the_rest)
{
    Schedule *schedule = schedule_new();
    collective(schedule, COLLECTIVE_ALL_GATHER, 8 * GIB);
    int beside = compute(schedule, STREAM_COMPUTE, 1);
    g_autoptr(Job) job = job_of(schedule, 2);
    g_autoptr(Cluster) cluster = bus_cluster(2);

    g_autoptr(SimResult) result = run_beside(cluster, job, &channels_24);

    ck_assert_double_eq_tol(timeline_end_s(result->timeline, 0, beside), 1 / left_frac, 1e-9);
    ck_assert(result->overlap_is_modelled);
}
END_TEST

/* Only for as long as it runs: the kernel loses what the collective took, and no more. */
START_TEST(what_a_collective_took_is_lost_once)
{
    Schedule *schedule = schedule_new();
    int gather = collective(schedule, COLLECTIVE_ALL_GATHER, 64 * GIB);
    int beside = compute(schedule, STREAM_COMPUTE, 10);
    g_autoptr(Job) job = job_of(schedule, 2);
    g_autoptr(Cluster) cluster = h100_cluster(1, 2);

    g_autoptr(SimResult) result = run_beside(cluster, job, &channels_24);

    double gather_s = timeline_end_s(result->timeline, 0, gather);
    ck_assert_double_gt(gather_s, 0.05);
    ck_assert_double_eq_tol(timeline_end_s(result->timeline, 0, beside),
                            10 + gather_s * (1 - left_frac), 1e-9);
}
END_TEST

/* NCCL's kernel holds its multiprocessors from its launch on, while it waits for other ranks:
 * rank 1, half as fast, arrives after 2 s. Its stream has nothing to do afterwards. */
START_TEST(waiting_for_others_takes_as_much)
{
    Schedule *schedule = schedule_new();
    schedule_wait(schedule, STREAM_NCCL, compute(schedule, STREAM_REDUCE, 1));
    collective(schedule, COLLECTIVE_ALL_GATHER, 1024);
    int other = compute(schedule, STREAM_ALL_GATHER, 1);
    schedule_wait(schedule, STREAM_COMPUTE, other);
    int beside = compute(schedule, STREAM_COMPUTE, 0.4);
    g_autoptr(Job) job = job_of(schedule, 2);
    g_autoptr(Cluster) cluster = bus_cluster(2);

    g_autoptr(SimResult) result = run_beside(cluster, job, &channels_24);

    /* Two streams share rank 0's GPU until 2 s, rank 1's until 4 s. */
    double begin_s = timeline_start_s(result->timeline, 0, 0);
    ck_assert_double_eq_tol(timeline_start_s(result->timeline, 0, beside) - begin_s, 2, 1e-9);
    ck_assert_double_eq_tol(timeline_end_s(result->timeline, 0, beside) - begin_s,
                            2 + 0.4 / left_frac, 1e-9);
}
END_TEST

/* Two communicators at once hold the multiprocessors of both. */
START_TEST(communicators_take_theirs_each)
{
    Schedule *schedule = schedule_new();
    collective(schedule, COLLECTIVE_ALL_GATHER, 8 * GIB);
    schedule_collective_on(schedule, 1, PHASE_BACKWARD, "other", COLLECTIVE_ALL_GATHER, 8 * GIB,
                           0);
    int beside = compute(schedule, STREAM_COMPUTE, 1);
    g_autoptr(Job) job = job_of(schedule, 2);
    job_add_communicator(job, "again", (int[]){0, 0}, 1);
    g_autoptr(Cluster) cluster = bus_cluster(2);

    g_autoptr(SimResult) result = run_beside(cluster, job, &channels_24);

    ck_assert_double_eq_tol(timeline_end_s(result->timeline, 0, beside), 1 / (1 - 48.0 / 132),
                            1e-9);
}
END_TEST

/* Nothing beside it, nothing lost; and no loss in a job of one rank. */
START_TEST(kernels_alone_lose_nothing)
{
    int n = _i + 1;
    Schedule *schedule = schedule_new();
    int first = compute(schedule, STREAM_COMPUTE, 1);
    schedule_wait(schedule, STREAM_NCCL, first);
    int gather = collective(schedule, COLLECTIVE_ALL_GATHER, GIB);
    schedule_wait(schedule, STREAM_COMPUTE, gather);
    int second = compute(schedule, STREAM_COMPUTE, 1);
    g_autoptr(Job) job = job_of(schedule, n);
    g_autoptr(Cluster) cluster = bus_cluster(n);

    g_autoptr(SimResult) result = run_beside(cluster, job, &channels_24);

    for (int i = 0; i < 2; i++) {
        int op = i == 0 ? first : second;
        ck_assert_double_eq_tol(timeline_end_s(result->timeline, 0, op) -
                                    timeline_start_s(result->timeline, 0, op),
                                1, 1e-9);
    }
}
END_TEST

static TCase *interference_case(void)
{
    TCase *tcase = tcase_create("interference");
    tcase_add_test(tcase, a_kernel_beside_a_collective_gets_the_rest);
    tcase_add_test(tcase, what_a_collective_took_is_lost_once);
    tcase_add_test(tcase, waiting_for_others_takes_as_much);
    tcase_add_test(tcase, communicators_take_theirs_each);
    tcase_add_loop_test(tcase, kernels_alone_lose_nothing, 0, 2);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("sim_overlap");
    suite_add_tcase(suite, interference_case());
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
