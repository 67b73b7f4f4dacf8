/* SPDX-License-Identifier: MIT */
/* Flows that share links, by hand. That whole collectives agree with SimGrid is
 * test_sim_fold.c's. */
#include "sim_maxmin.h"

#include "suite_run.h"

#include <check.h>

static const int first[] = {0}, second[] = {1}, both[] = {0, 1}, twice[] = {0, 0};

/* Alone, a flow gets its narrowest link. */
START_TEST(the_narrowest_link_counts)
{
    const double bytes_per_s[] = {10, 4};
    const SimMaxMinFlow flow = {both, 2, 40};
    ck_assert_double_eq(sim_maxmin_time_s(&flow, 1, bytes_per_s, 2), 10);
}
END_TEST

/* The long flow gets 2 of the first link's 4, so that the second has 8 left for its own; when
 * the short flow has ended after 5 s, the long one gets 4 for its last 10 bytes. */
START_TEST(what_one_cannot_use_others_do)
{
    const double bytes_per_s[] = {4, 10};
    const SimMaxMinFlow flows[] = {{both, 2, 20}, {first, 1, 10}, {second, 1, 48}};
    ck_assert_double_eq_tol(sim_maxmin_time_s(flows, 3, bytes_per_s, 2), 7.5, 1e-12);
    ck_assert_double_eq_tol(sim_maxmin_time_s(&flows[2], 1, bytes_per_s, 2), 4.8, 1e-12);
}
END_TEST

/* A route that crosses a link twice needs it twice. */
START_TEST(a_link_may_be_crossed_twice)
{
    const double bytes_per_s[] = {4};
    const SimMaxMinFlow flow = {twice, 2, 8};
    ck_assert_double_eq(sim_maxmin_time_s(&flow, 1, bytes_per_s, 1), 4);
}
END_TEST

START_TEST(nothing_takes_no_time)
{
    const double bytes_per_s[] = {4};
    const SimMaxMinFlow flow = {first, 1, 0};
    ck_assert_double_eq(sim_maxmin_time_s(&flow, 1, bytes_per_s, 1), 0);
    ck_assert_double_eq(sim_maxmin_time_s(NULL, 0, bytes_per_s, 1), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sim_maxmin");
    TCase *tcase = tcase_create("flows");
    tcase_add_test(tcase, the_narrowest_link_counts);
    tcase_add_test(tcase, what_one_cannot_use_others_do);
    tcase_add_test(tcase, a_link_may_be_crossed_twice);
    tcase_add_test(tcase, nothing_takes_no_time);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
