/* SPDX-License-Identifier: MIT */
/* Jobs in children: each job's outcome arrives once, also when it fails or dies, and no more
 * run at a time than asked for. */
#include "pool.h"

#include "error.h"
#include "suite_run.h"

#include <check.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define N_JOBS 12

typedef struct {
    int n_ended[N_JOBS];
    int n_failed;
    char *message;  /* of the last failure */
    int stop_after; /* jobs; 0: never */
} Seen;

/* Job 3 fails, job 5 dies, job 7 writes a megabyte. */
static gboolean run(int job, FILE *out, void *data, GError **error)
{
    (void)data;
    if (job == 3) {
        fputs("half an outcome", out);
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "job %d is bad", job);
        return FALSE;
    }
    if (job == 5)
        raise(SIGKILL);
    for (int i = 0; job == 7 && i < 1 << 20; i++)
        fputc('x', out);
    fprintf(out, "outcome %d", job);
    return TRUE;
}

static gboolean ended(int job, const char *text, const GError *failure, void *data,
                      GError **error)
{
    Seen *seen = data;
    g_autofree char *expected = g_strdup_printf("outcome %d", job);
    int n = ++seen->n_ended[job];
    ck_assert_int_eq(n, 1);
    ck_assert((text == NULL) == (failure != NULL));
    if (failure != NULL) {
        seen->n_failed++;
        g_free(seen->message);
        seen->message = g_strdup(failure->message);
        ck_assert(job != 3 || failure->code == ERROR_INPUT);
        ck_assert(job != 5 || failure->code == ERROR_SIMULATION);
        ck_assert_msg(strstr(failure->message, job == 3 ? "job 3 is bad" : "signal 9") != NULL,
                      "%s", failure->message);
    } else {
        ck_assert(g_str_has_suffix(text, expected));
        ck_assert_uint_eq(strlen(text), strlen(expected) + (job == 7 ? 1 << 20 : 0));
    }
    if (seen->stop_after > 0 && --seen->stop_after == 0) {
        g_set_error_literal(error, ZEROSIM_ERROR, ERROR_SIMULATION, "enough");
        return FALSE;
    }
    return TRUE;
}

START_TEST(test_each_job_ends_once)
{
    Seen seen = {0};
    PoolWork work = {run, ended, &seen};
    GError *error = NULL;
    ck_assert(pool_run(N_JOBS, _i, &work, &error));
    ck_assert_int_eq(seen.n_failed, 2);
    for (int job = 0; job < N_JOBS; job++)
        ck_assert_int_eq(seen.n_ended[job], 1);
    g_free(seen.message);
}
END_TEST

/* Whoever takes outcomes may have had enough: a full disk. */
START_TEST(test_an_error_stops_the_pool)
{
    Seen seen = {.stop_after = 2};
    PoolWork work = {run, ended, &seen};
    g_autoptr(GError) error = NULL;
    int n_ended = 0;
    ck_assert(!pool_run(N_JOBS, 2, &work, &error));
    ck_assert_str_eq(error->message, "enough");
    for (int job = 0; job < N_JOBS; job++)
        n_ended += seen.n_ended[job];
    ck_assert_int_eq(n_ended, 2);
}
END_TEST

START_TEST(test_no_jobs)
{
    PoolWork work = {run, ended, NULL};
    ck_assert(pool_run(0, 4, &work, NULL));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    TCase *tests = tcase_create("pool");
    tcase_add_loop_test(tests, test_each_job_ends_once, 1, 5);
    tcase_add_test(tests, test_an_error_stops_the_pool);
    tcase_add_test(tests, test_no_jobs);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
