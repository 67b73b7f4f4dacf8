/* SPDX-License-Identifier: MIT */
/* Timelines: the numbering of ops of unlike programs, memory that a child fills, the last rank.
 */
#include "timeline.h"

#include "suite_run.h"

#include <check.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Ranks 0 and 2 run a program of one op, rank 1 one of three. */
static Job *job_of_two_programs(void)
{
    Job *job = job_new(3);
    for (int p = 0; p < 2; p++) {
        Schedule *schedule = schedule_new();
        for (int i = 0; i < 1 + 2 * p; i++)
            schedule_compute(schedule, STREAM_COMPUTE, PHASE_FORWARD, "kernel", NULL, 0, NULL);
        g_ptr_array_add(job->programs, schedule);
    }
    job->program_of_rank[1] = 1;
    return job;
}

/* Ranks 0 and 2 as one: two timelines instead of three, the second behind the first. */
START_TEST(alike_ranks_share_times)
{
    g_autoptr(Job) job = job_of_two_programs();
    g_autoptr(Timeline) timeline = timeline_new(job, NULL);
    timeline_share(timeline, (int[]){0, 1, 0});
    ck_assert_int_eq(timeline->n_times, 4);
    timeline->end_s[0] = 5;
    timeline->end_s[3] = 4;
    ck_assert_double_eq(timeline_end_s(timeline, 0, 0), 5);
    ck_assert_double_eq(timeline_end_s(timeline, 2, 0), 5);
    ck_assert_double_eq(timeline_end_s(timeline, 1, 2), 4);
    ck_assert_int_eq(timeline_last_rank(timeline), 0);
}
END_TEST

START_TEST(each_rank_has_its_programs_ops)
{
    g_autoptr(Job) job = job_of_two_programs();
    g_autoptr(Timeline) timeline = timeline_new(job, NULL);
    ck_assert_int_eq(timeline->first[1], 1);
    ck_assert_int_eq(timeline->first[2], 4);
    ck_assert_int_eq(timeline->n_times, 5);
    timeline->start_s[4] = 7;
    timeline->end_s[3] = 8;
    ck_assert_double_eq(timeline_start_s(timeline, 2, 0), 7);
    ck_assert_double_eq(timeline_end_s(timeline, 1, 2), 8);
}
END_TEST

START_TEST(a_child_fills_it)
{
    g_autoptr(Job) job = job_of_two_programs();
    g_autoptr(Timeline) timeline = timeline_new(job, NULL);
    pid_t child = fork();
    if (child == 0) {
        timeline->end_s[2] = 3;
        _exit(EXIT_SUCCESS);
    }
    waitpid(child, NULL, 0);
    ck_assert_double_eq(timeline_end_s(timeline, 1, 1), 3);
}
END_TEST

START_TEST(the_last_rank_is_the_lowest_of_equals)
{
    g_autoptr(Job) job = job_of_two_programs();
    g_autoptr(Timeline) timeline = timeline_new(job, NULL);
    ck_assert_int_eq(timeline_last_rank(timeline), 0);
    timeline->end_s[2] = 2; /* rank 1 */
    timeline->end_s[4] = 2; /* rank 2 */
    ck_assert_int_eq(timeline_last_rank(timeline), 1);
    timeline->end_s[4] = 2.5;
    ck_assert_int_eq(timeline_last_rank(timeline), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("timeline");
    TCase *tcase = tcase_create("timeline");
    tcase_add_test(tcase, each_rank_has_its_programs_ops);
    tcase_add_test(tcase, alike_ranks_share_times);
    tcase_add_test(tcase, a_child_fills_it);
    tcase_add_test(tcase, the_last_rank_is_the_lowest_of_equals);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
