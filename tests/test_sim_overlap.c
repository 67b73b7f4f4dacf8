/* SPDX-License-Identifier: MIT */
/* Kernels beside collectives in a replay: what they lose, and when; and kernels that wait for
 * the host. */
#include "sim_fixture.h"
#include "suite_run.h"

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
    ck_assert_int_eq(result->overlap, SIM_OVERLAP_MODELLED);
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

/* A profile that says so: products lose a third beside a copy on 24 multiprocessors, the rest a
 * half; the copy takes twice as long beside either. */
static void slow_downs_add(Profile *profile, InterferenceGroup group, double kernel)
{
    GArray *points = g_array_new(FALSE, FALSE, sizeof(SlowDown));
    const SlowDown point = {24, kernel, 2};
    g_array_append_val(points, point);
    profile->factors.slow_downs[group] =
        g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
    g_ptr_array_add(profile->factors.slow_downs[group], points);
}

static SimResult *run_measured(const Cluster *cluster, const Job *job)
{
    g_autoptr(GError) error = NULL;
    Profile profile = {.n_sms = 132};
    slow_downs_add(&profile, INTERFERENCE_PRODUCT, 1.5);
    slow_downs_add(&profile, INTERFERENCE_MEMORY, 2);
    SimResult *result = sim_run(cluster, job, &profile, &channels_24, &error);
    ck_assert_msg(result != NULL, "%s", error ? error->message : "");
    for (int i = 0; i < N_INTERFERENCE_GROUPS; i++)
        g_clear_pointer(&profile.factors.slow_downs[i], g_ptr_array_unref);
    return result;
}

/* The kernels beside are three quarters products: 0.75 x 1.5 + 0.25 x 2. */
START_TEST(measured_slow_downs_replace_the_share)
{
    Schedule *schedule = schedule_new();
    collective(schedule, COLLECTIVE_ALL_GATHER, 16 * GIB);
    int beside = compute(schedule, STREAM_COMPUTE, 1);
    g_array_index(schedule->ops, Op, beside).class_s[KERNEL_CLASS_GEMM] = 0.75;
    g_array_index(schedule->ops, Op, beside).class_s[KERNEL_CLASS_NORM] = 0.25;
    g_autoptr(Job) job = job_of(schedule, 2);
    g_autoptr(Cluster) cluster = bus_cluster(2);

    g_autoptr(SimResult) result = run_measured(cluster, job);

    ck_assert_double_eq_tol(timeline_end_s(result->timeline, 0, beside), 1.625, 1e-9);
    ck_assert_int_eq(result->overlap, SIM_OVERLAP_MEASURED);
}
END_TEST

/* Beside a kernel a collective that its channels hold back takes twice its time, alone once. */
START_TEST(kernels_slow_a_collective_down)
{
    double took_s[2];
    for (int with_kernel = 0; with_kernel < 2; with_kernel++) {
        Schedule *schedule = schedule_new();
        int gather = collective(schedule, COLLECTIVE_ALL_GATHER, 64 * GIB);
        if (with_kernel)
            compute(schedule, STREAM_COMPUTE, 10);
        g_autoptr(Job) job = job_of(schedule, 2);
        g_autoptr(Cluster) cluster = h100_cluster(1, 2);
        g_autoptr(SimResult) result = run_measured(cluster, job);
        took_s[with_kernel] = timeline_end_s(result->timeline, 0, gather) -
                              timeline_start_s(result->timeline, 0, gather);
    }
    ck_assert_double_gt(took_s[0], 0.05);
    ck_assert_double_eq_tol(took_s[1] / took_s[0], 2, 0.01); /* latency isn't stretched */
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

/* A kernel that the host issues in `host_s`. */
static int launch(Schedule *schedule, Stream stream, double work_s, double host_s)
{
    int op = compute(schedule, stream, work_s);
    g_array_index(schedule->ops, Op, op).n_launches = 1;
    g_array_index(schedule->ops, Op, op).host_s = host_s;
    return op;
}

static double step_of(Schedule *schedule)
{
    g_autoptr(Job) job = job_of(schedule, 1);
    g_autoptr(Cluster) cluster = bus_cluster(1);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    ck_assert(result->is_steady);
    return result->timeline->step_time_s;
}

/* Steps follow each other, so that the last kernel runs while the next step is being issued:
 * whatever takes longer, the host or the GPU, sets the time. */
START_TEST(the_slower_of_host_and_gpu_sets_the_time)
{
    for (int i = 0; i < 2; i++) {
        Schedule *schedule = schedule_new();
        for (int k = 0; k < 100; k++)
            launch(schedule, STREAM_COMPUTE, 0.01, i == 0 ? 0.03 : 0.003);
        ck_assert_double_eq_tol(step_of(schedule), i == 0 ? 100 * 0.03 : 100 * 0.01, 1e-9);
    }
}
END_TEST

/* One op of many kernels is as bound as many ops of one. */
START_TEST(kernels_of_an_op_are_launched_one_by_one)
{
    Schedule *schedule = schedule_new();
    int op = launch(schedule, STREAM_COMPUTE, 1, 300);
    g_array_index(schedule->ops, Op, op).n_launches = 100;
    schedule_synchronize(schedule);
    ck_assert_double_eq_tol(step_of(schedule), 300 + 0.01, 1e-9);
}
END_TEST

/* After the host waited for the long kernel it must issue the short ones, each of which waits
 * for its launch; without the wait they are issued meanwhile. */
START_TEST(issue_restarts_after_a_host_wait)
{
    for (int waits = 0; waits < 2; waits++) {
        Schedule *schedule = schedule_new();
        int first = launch(schedule, STREAM_COMPUTE, 5, 0.1);
        if (waits)
            schedule_host_wait(schedule, first);
        for (int k = 0; k < 10; k++)
            launch(schedule, STREAM_COMPUTE, 0.01, 0.1);
        schedule_synchronize(schedule);
        /* 0.1 for the first launch, then the kernel. */
        ck_assert_double_eq_tol(step_of(schedule), 5.1 + (waits ? 10 * 0.1 + 0.01 : 10 * 0.01),
                                1e-9);
    }
}
END_TEST

/* A run of kernels against the rule itself: each starts when it has been issued and the one
 * before it has ended. The run is one execution in the replay. */
START_TEST(a_run_of_kernels_ends_when_its_kernels_do)
{
    g_autoptr(GRand) random = g_rand_new_with_seed((guint32)_i);
    Schedule *schedule = schedule_new();
    double issued_s = 0, end_s = 0;
    for (int k = 0; k < 50; k++) {
        double work_s = g_rand_double_range(random, 0, 1);
        double host_s = g_rand_double_range(random, 0, 1);
        launch(schedule, STREAM_COMPUTE, work_s, host_s);
        issued_s += host_s;
        end_s = MAX(end_s, issued_s) + work_s;
    }
    schedule_synchronize(schedule);
    ck_assert_double_eq_tol(step_of(schedule), end_s, 1e-9);
}
END_TEST

/* Ops of other streams take the host's time too, and a collective waits for the last host. */
START_TEST(a_collective_waits_for_its_launch)
{
    Schedule *schedule = schedule_new();
    launch(schedule, STREAM_COMPUTE, 0.5, 1);
    int gather = collective(schedule, COLLECTIVE_ALL_GATHER, 1024);
    g_array_index(schedule->ops, Op, gather).host_s = 2;
    schedule_synchronize(schedule);
    g_autoptr(Job) job = job_of(schedule, 2);
    g_autoptr(Cluster) cluster = h100_cluster(1, 2);

    g_autoptr(SimResult) result = run_beside(cluster, job, &automatic);

    double gather_s = timeline_end_s(result->timeline, 1, gather) -
                      timeline_start_s(result->timeline, 1, gather);
    ck_assert_double_eq_tol(timeline_start_s(result->timeline, 1, gather), 3, 1e-9);
    ck_assert_double_eq_tol(result->timeline->step_time_s, 3 + gather_s, 1e-9);
}
END_TEST

static TCase *host_case(void)
{
    TCase *tcase = tcase_create("host");
    tcase_add_test(tcase, the_slower_of_host_and_gpu_sets_the_time);
    tcase_add_test(tcase, kernels_of_an_op_are_launched_one_by_one);
    tcase_add_test(tcase, issue_restarts_after_a_host_wait);
    tcase_add_loop_test(tcase, a_run_of_kernels_ends_when_its_kernels_do, 0, 5);
    tcase_add_test(tcase, a_collective_waits_for_its_launch);
    return tcase;
}

static TCase *interference_case(void)
{
    TCase *tcase = tcase_create("interference");
    tcase_add_test(tcase, a_kernel_beside_a_collective_gets_the_rest);
    tcase_add_test(tcase, what_a_collective_took_is_lost_once);
    tcase_add_test(tcase, waiting_for_others_takes_as_much);
    tcase_add_test(tcase, communicators_take_theirs_each);
    tcase_add_test(tcase, measured_slow_downs_replace_the_share);
    tcase_add_test(tcase, kernels_slow_a_collective_down);
    tcase_add_loop_test(tcase, kernels_alone_lose_nothing, 0, 2);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("sim_overlap");
    suite_add_tcase(suite, interference_case());
    suite_add_tcase(suite, host_case());
    return suite_run(suite);
}
