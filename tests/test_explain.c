/* SPDX-License-Identifier: MIT */
/* The critical path of jobs small enough for paper; of random jobs, that what is on it decides
 * the step's time and what isn't doesn't; and that the bandwidth found is the one needed. */
#include "explain_fixture.h"
#include "suite_run.h"

#define GIB ((gint64)1 << 30)

static void assert_element(const GArray *path, guint i, PathKind kind, int rank, int op,
                           double begin_s, double end_s)
{
    const PathElement *element = element_at(path, i);
    ck_assert_int_eq(element->kind, kind);
    ck_assert_int_eq(element->rank, rank);
    ck_assert_int_eq(element->op, op);
    ck_assert_double_eq_tol(element->begin_s, begin_s, 1e-9);
    ck_assert_double_eq_tol(element->end_s, end_s, 1e-9);
}

/* Of two streams that meet, the longer one is the path; a copy beside the kernels isn't. */
START_TEST(longer_stream_is_the_path)
{
    g_autoptr(Cluster) cluster = h100_cluster(1, 1);
    Schedule *schedule = schedule_new();
    int first = compute(schedule, STREAM_COMPUTE, 1);
    schedule_wait(schedule, STREAM_REDUCE, first);
    int aside = compute(schedule, STREAM_REDUCE, 0.25);
    int beside = compute(schedule, STREAM_ALL_GATHER, 1.5);
    compute(schedule, STREAM_COMPUTE, 0.125);
    schedule_wait(schedule, STREAM_COMPUTE, beside);
    schedule_wait(schedule, STREAM_COMPUTE, aside);
    int last = compute(schedule, STREAM_COMPUTE, 0.5);
    g_autoptr(Job) job = job_of(schedule, 1);
    /* Streams of one GPU share it, which isn't the point here. */
    g_autoptr(Timeline) timeline = timeline_new(job, NULL);
    const double start_s[] = {0, 1, 0, 1, 1.5}, end_s[] = {1, 1.25, 1.5, 1.125, 2};
    for (int i = 0; i < 5; i++) {
        timeline->start_s[i] = start_s[i];
        timeline->end_s[i] = end_s[i];
    }
    timeline->step_time_s = 2;

    g_autoptr(GArray) path = explain_path(job, timeline);

    assert_contiguous(path, 2);
    ck_assert_uint_eq(path->len, 2);
    assert_element(path, 0, PATH_KERNELS, 0, beside, 0, 1.5);
    assert_element(path, 1, PATH_KERNELS, 0, last, 1.5, 2);
    (void)cluster;
}
END_TEST

/* A collective begins when its slow rank arrives; behind it the other rank is the slower. */
START_TEST(path_changes_ranks)
{
    g_autoptr(Cluster) cluster = h100_cluster(1, 2);
    Schedule *programs[2];
    int meet = -1, part = -1;
    for (int p = 0; p < 2; p++) {
        programs[p] = schedule_new();
        compute(programs[p], STREAM_COMPUTE, p == 0 ? 0.25 : 1);
        schedule_wait_stream(programs[p], STREAM_NCCL, STREAM_COMPUTE);
        meet = collective(programs[p], COLLECTIVE_ALL_REDUCE, GIB);
        schedule_wait(programs[p], STREAM_COMPUTE, meet);
        compute(programs[p], STREAM_COMPUTE, p == 0 ? 2 : 0.5);
        schedule_wait_stream(programs[p], STREAM_NCCL, STREAM_COMPUTE);
        part = collective(programs[p], COLLECTIVE_ALL_GATHER, GIB);
    }
    g_autoptr(Job) job = job_of_two(programs[0], programs[1]);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    const Timeline *timeline = result->timeline;
    double meet_s = timeline_end_s(timeline, 0, meet) - timeline_start_s(timeline, 0, meet);
    double part_s = timeline_end_s(timeline, 0, part) - timeline_start_s(timeline, 0, part);

    g_autoptr(GArray) path = explain_path(job, timeline);

    assert_contiguous(path, timeline->step_time_s);
    ck_assert_uint_eq(path->len, 4);
    assert_element(path, 0, PATH_KERNELS, 1, 0, 0, 1);
    assert_element(path, 1, PATH_COLLECTIVE, 0, meet, 1, 1 + meet_s);
    assert_element(path, 2, PATH_KERNELS, 0, 2, 1 + meet_s, 3 + meet_s);
    /* In the next step it is rank 1 that has waited for it. */
    assert_element(path, 3, PATH_COLLECTIVE, 1, part, 3 + meet_s, 3 + meet_s + part_s);
}
END_TEST

static int launched(Schedule *schedule, double work_s, double host_s)
{
    int op = compute(schedule, STREAM_COMPUTE, work_s);
    g_array_index(schedule->ops, Op, op).host_s = host_s;
    g_array_index(schedule->ops, Op, op).n_launches = 1;
    return op;
}

/* The host waits for each kernel before it issues the next: both are on the path in turn. */
START_TEST(host_that_waits_is_on_the_path)
{
    g_autoptr(Cluster) cluster = h100_cluster(1, 1);
    Schedule *schedule = schedule_new();
    int first = launched(schedule, 0.125, 0.25);
    schedule_host_wait(schedule, first);
    int second = launched(schedule, 0.5, 0.0625);
    schedule_host_wait(schedule, second);
    g_autoptr(Job) job = job_of(schedule, 1);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);

    g_autoptr(GArray) path = explain_path(job, result->timeline);

    assert_contiguous(path, result->timeline->step_time_s);
    ck_assert_uint_eq(path->len, 4);
    assert_element(path, 0, PATH_HOST, 0, first, 0, 0.25);
    assert_element(path, 1, PATH_KERNELS, 0, first, 0.25, 0.375);
    assert_element(path, 2, PATH_HOST, 0, second, 0.375, 0.4375);
    assert_element(path, 3, PATH_KERNELS, 0, second, 0.4375, 0.9375);
}
END_TEST

/* Kernels shorter than their launches, but for the last: each step is the host's time, and the
 * long kernel ends later without making steps any longer. */
START_TEST(launch_bound_step_is_the_host)
{
    g_autoptr(Cluster) cluster = h100_cluster(1, 1);
    Schedule *schedule = schedule_new();
    for (int i = 0; i < 8; i++)
        launched(schedule, i == 7 ? 0.75 : 0.0625, 0.25);
    g_autoptr(Job) job = job_of(schedule, 1);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    double step_s = result->timeline->step_time_s;

    g_autoptr(GArray) path = explain_path(job, result->timeline);

    ck_assert_double_eq_tol(step_s, 2, 1e-9);
    assert_contiguous(path, step_s);
    for (guint i = 0; i < path->len; i++)
        ck_assert_int_eq(element_at(path, i)->kind, PATH_HOST);
    ck_assert_uint_ge(path->len, 8); /* each launch by itself */
}
END_TEST

/* Loops over seeds, with up to three communicators; odd ones have ranks of two programs. */
START_TEST(random_paths_are_whole)
{
    g_autoptr(Cluster) cluster = h100_cluster(2, 8);
    g_autoptr(Job) job = random_job((guint32)_i, 16, _i % 4 == 3, _i % 4 == 3 ? 3 : 1 + _i % 4);
    g_autoptr(SimResult) result = run_beside(cluster, job, &automatic);
    g_autoptr(GArray) path = explain_path(job, result->timeline);
    assert_contiguous(path, result->timeline->step_time_s);
    assert_elements_ran(path, result->timeline);
}
END_TEST

/* Of the first program. */
static gboolean is_on(const GArray *path, const Job *job, int op)
{
    for (guint i = 0; i < path->len; i++)
        if (element_at(path, i)->kind == PATH_KERNELS && element_at(path, i)->op == op &&
            job->program_of_rank[element_at(path, i)->rank] == 0)
            return TRUE;
    return FALSE;
}

static double step_s_with(const Cluster *cluster, const Job *job, int op, double work_s)
{
    Op *changed = &g_array_index(((Schedule *)job->programs->pdata[0])->ops, Op, op);
    double before_s = changed->work_s;
    changed->work_s = work_s;
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    changed->work_s = before_s;
    return result->timeline->step_time_s;
}

/* Ops of fixed times on streams of their own: what lengthens a kernel of the path lengthens the
 * step as much, and what shortens any other doesn't shorten it. */
START_TEST(path_decides_the_step)
{
    g_autoptr(Cluster) cluster = h100_cluster(2, 8);
    g_autoptr(Job) job = random_job((guint32)_i, 16, 0, 1);
    GArray *ops = ((Schedule *)job->programs->pdata[0])->ops;
    int n_on = 0, n_off = 0;
    for (guint i = 0; i < ops->len; i++) {
        Op *op = &g_array_index(ops, Op, i);
        op->host_s = 0;
        if (op->stream == STREAM_ALL_GATHER || op->stream == STREAM_REDUCE)
            op->work_s = 0; /* streams of one GPU share it */
    }
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    double step_s = result->timeline->step_time_s;
    g_autoptr(GArray) path = explain_path(job, result->timeline);
    for (int i = 0; i < (int)ops->len; i += 3) {
        const Op *op = &g_array_index(ops, Op, i);
        if (op->kind != OP_COMPUTE || op->work_s == 0)
            continue;
        if (is_on(path, job, i)) {
            double longer_s = step_s_with(cluster, job, i, op->work_s + 1e-4);
            ck_assert_double_eq_tol(longer_s, step_s + 1e-4, 1e-9);
            n_on++;
        } else {
            ck_assert_double_eq_tol(step_s_with(cluster, job, i, 0), step_s, 1e-9);
            n_off++;
        }
    }
    ck_assert(n_on > 0 || _i % 2 == 1); /* or all of it is the other program's */
    ck_assert_int_gt(n_off + n_on, 5);
}
END_TEST

static void path_tests_add(TCase *tcase)
{
    tcase_add_test(tcase, longer_stream_is_the_path);
    tcase_add_test(tcase, path_changes_ranks);
    tcase_add_test(tcase, host_that_waits_is_on_the_path);
    tcase_add_test(tcase, launch_bound_step_is_the_host);
    tcase_add_loop_test(tcase, random_paths_are_whole, 0, 16);
    tcase_add_loop_test(tcase, path_decides_the_step, 0, 8);
}

int main(void)
{
    Suite *suite = suite_create("explain");
    TCase *tcase = tcase_create("explain");
    tcase_set_timeout(tcase, 60);
    path_tests_add(tcase);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
