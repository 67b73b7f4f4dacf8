/* SPDX-License-Identifier: MIT */
/* Measured collectives as files: nccl-tests' output as printed, and CSV tables. */
#include "constants.h"
#include "error.h"
#include "nccl_rows.h"
#include "scratch.h"
#include "suite_run.h"

#include <check.h>
#include <string.h>

#define HEADER                                                                                 \
    "# nThread 1 nGpus 1 minBytes 65536 maxBytes 131072 step: 2(factor) warmup iters: 5\n"     \
    "#\n# Using devices\n"                                                                     \
    "#  Rank  0 Group  0 Pid  11 on  node-a device  0 [0x1b] NVIDIA H100 80GB HBM3\n"          \
    "#  Rank  1 Group  0 Pid  12 on  node-a device  1 [0x43] NVIDIA H100 80GB HBM3\n"          \
    "#  Rank  2 Group  0 Pid  11 on  node-b device  0 [0x1b] NVIDIA H100 80GB HBM3\n"          \
    "#  Rank  3 Group  0 Pid  12 on  node-b device  1 [0x43] NVIDIA H100 80GB HBM3\n"          \
    "#\n"                                                                                      \
    "#       size         count      type   redop    root     time   algbw   busbw #wrong    " \
    " "                                                                                        \
    "time   algbw   busbw #wrong\n"                                                            \
    "#        (B)    (elements)                               (us)  (GB/s)  (GB/s)           " \
    " "                                                                                        \
    "(us)  (GB/s)  (GB/s)       \n"

static const struct {
    const char *rows;
    CollectiveKind kind;
    double first_us, last_us;
    gboolean averages;
} logs[] = {
    {"       65536         16384     float     sum      -1    33.84    1.94    2.91      0    "
     "33.10    1.98    2.97      0\n"
     "      131072         32768     float     sum      -1    38.77    3.38    5.07      0    "
     "38.27    3.42    5.14    N/A\n",
     COLLECTIVE_ALL_REDUCE, 33.84, 38.27, FALSE},
    {"[1,0]<stdout>:   65536   4096  float  none  -1  20.0  3.28  2.46  0  21.0  3.12  2.34  "
     "0\n",
     COLLECTIVE_ALL_GATHER, 20, 21, FALSE},
    {"   65536   4096  float  avg  -1  20.0  3.28  2.46  0  21.0  3.12  2.34  0\n"
     "# Out of bounds values : 0 OK\n# Avg bus bandwidth    : 2.4\n",
     COLLECTIVE_REDUCE_SCATTER, 20, 21, TRUE},
    {"0:   65536   4096  bfloat16  none  -1  20.0  3.28  2.46  N/A  21.0  3.12  2.34  N/A\n",
     COLLECTIVE_ALL_GATHER, 20, 21, FALSE},
    {"2026-01-02T03:04:05.6Z  65536 16384 float sum 33.84 1.94 2.91 4e-07 33.10 1.98 2.97 "
     "4e-07\n",
     COLLECTIVE_ALL_REDUCE, 33.84, 33.1, FALSE},
    {"Tue Dec  1 14:48:47 2026[1,0]<stdout>: 65536 16384 float sum -1 33.84 1.94 2.91 0 33.10 "
     "1.98 2.97 0\n",
     COLLECTIVE_ALL_REDUCE, 33.84, 33.1, FALSE},
    {"node-a: 65536 16384 float sum -1 33.84 1.94 2.91 0 33.10 1.98 2.97 0\n",
     COLLECTIVE_ALL_REDUCE, 33.84, 33.1, FALSE},
    {"[pod/launcher-x/mpi] 65536 16384 float prod -1 33.84 1.94 2.91 0 33.10 1.98 2.97 0\n",
     COLLECTIVE_ALL_REDUCE, 33.84, 33.1, TRUE},
    {"\033[32m65536 16384 float max -1 33.84 1.94 2.91 0 33.10 1.98 2.97 0\033[0m\r\n",
     COLLECTIVE_ALL_REDUCE, 33.84, 33.1, TRUE},
    {"65536 32768 half max -1 33.84 1.94 2.91 0 33.10 1.98 2.97 0\n", COLLECTIVE_ALL_REDUCE,
     33.84, 33.1, FALSE},
    {"[node-a:11] 3 more processes have sent help message\n"
     "node-a:11:20 [0] NCCL INFO 16 coll channels\n"
     "65536 16384 float sum -1 33.84 1.94 2.91 0 33.10 1.98 2.97 0\n",
     COLLECTIVE_ALL_REDUCE, 33.84, 33.1, FALSE},
};

START_TEST(a_log_is_read_as_printed)
{
    g_autofree char *text = g_strconcat(HEADER, logs[_i].rows, NULL);
    g_autofree char *file = scratch_write("a.log", text);
    g_autoptr(GArray) rows = nccl_rows_new();
    g_autoptr(GError) error = NULL;
    ck_assert_msg(nccl_log_read(file, N_COLLECTIVES, rows, &error), "%s",
                  error ? error->message : "");
    const NcclRow *first = &g_array_index(rows, NcclRow, 0);
    const NcclRow *last = &g_array_index(rows, NcclRow, rows->len - 1);
    ck_assert_int_eq(first->kind, logs[_i].kind);
    ck_assert_int_eq(first->n_gpus, 4);
    ck_assert_int_eq(first->gpus_per_node, 2);
    ck_assert_str_eq(first->gpu, "NVIDIA H100 80GB HBM3");
    ck_assert_int_eq(first->bytes, 65536);
    ck_assert_int_eq(first->averages, logs[_i].averages);
    ck_assert_double_eq_tol(first->time_s * 1e6, logs[_i].first_us, 1e-9);
    ck_assert_double_eq_tol(last->time_s * 1e6, logs[_i].last_us, 1e-9);
    ck_assert_uint_eq(rows->len % 2, 0); /* both places */
}
END_TEST

static const struct {
    const char *text;
    guint n_rows;
} halves[] = {
    {HEADER "65536 16384 float sum -1 33.84 1.94 2.91 0 N/A N/A N/A N/A\n"
            "131072 32768 float sum -1 38.77 3.38 5.07 0 38.27 3.42 5.14 0\n",
     3},
    {HEADER "# size count type redop root time algbw busbw #wrong\n"
            "65536 16384 float sum -1 33.84 1.94 2.91 0\n",
     1},
};

START_TEST(a_place_that_was_not_measured_gives_no_row)
{
    g_autofree char *file = scratch_write("a.log", halves[_i].text);
    g_autoptr(GArray) rows = nccl_rows_new();
    g_autoptr(GError) error = NULL;
    ck_assert_msg(nccl_log_read(file, N_COLLECTIVES, rows, &error), "%s",
                  error ? error->message : "");
    ck_assert_uint_eq(rows->len, halves[_i].n_rows);
    ck_assert_double_eq_tol(g_array_index(rows, NcclRow, 0).time_s * 1e6, 33.84, 1e-9);
}
END_TEST

/* A run that printed its ranks and failed doesn't count twice, the command before a run names
 * it, and what a log says of itself is more than what --collective does. */
START_TEST(a_failed_run_leaves_nothing_behind)
{
    g_autofree char *file = scratch_write(
        "a.log", "+ mpirun ./alltoall_perf -b 64K\n" HEADER "Test NCCL failure\n" HEADER
                 "65536 16384 float none -1 20 3.28 2.46 0 21 3.12 2.34 N/A\n"
                 "+ mpirun ./alltoall_perf -b 64K\n" HEADER
                 "65536 16384 float none -1 20 3.28 2.46 0 21 3.12 2.34 N/A\n");
    g_autoptr(GArray) rows = nccl_rows_new();
    g_autoptr(GError) error = NULL;
    ck_assert_msg(nccl_log_read(file, COLLECTIVE_ALL_GATHER, rows, &error), "%s",
                  error ? error->message : "");
    ck_assert_uint_eq(rows->len, 4);
    for (guint i = 0; i < rows->len; i++)
        ck_assert_int_eq(g_array_index(rows, NcclRow, i).n_gpus, 4);
    ck_assert_int_eq(g_array_index(rows, NcclRow, 0).kind, COLLECTIVE_ALL_GATHER);
    ck_assert_int_eq(g_array_index(rows, NcclRow, 2).kind, COLLECTIVE_ALL_TO_ALL);
}
END_TEST

/* The second has other ranks and another collective. */
START_TEST(a_log_may_hold_several_runs)
{
    g_autofree char *file = scratch_write(
        "a.log",
        HEADER "65536 16384 float sum -1 33.84 1.94 2.91 0 33.10 1.98 2.97 0\n"
               "# Avg bus bandwidth    : 2.9\n"
               "# nccl-tests version 2.17.0\n# Collective test starting: broadcast_perf\n"
               "# nThread 1 nGpus 2\n"
               "#  Rank  0 Group  0 Pid  11 on  node-a device  0 [0x1b] NVIDIA H100\n"
               "#  Rank  1 Group  0 Pid  12 on  node-a device  1 [0x43] NVIDIA H100\n"
               "65536 16384 float none 0 20 3.28 3.28 0 21 3.12 3.12 0\n");
    g_autoptr(GArray) rows = nccl_rows_new();
    g_autoptr(GError) error = NULL;
    ck_assert_msg(nccl_log_read(file, N_COLLECTIVES, rows, &error), "%s",
                  error ? error->message : "");
    ck_assert_uint_eq(rows->len, 4);
    const NcclRow *first = &g_array_index(rows, NcclRow, 0);
    const NcclRow *last = &g_array_index(rows, NcclRow, 3);
    ck_assert_int_eq(first->kind, COLLECTIVE_ALL_REDUCE);
    ck_assert_int_eq(first->n_gpus, 4);
    ck_assert_int_eq(last->kind, COLLECTIVE_BROADCAST);
    ck_assert_int_eq(last->n_gpus, 2);
    ck_assert_str_ne(first->group, last->group);
}
END_TEST

static const struct {
    const char *text, *where, *what;
} bad_logs[] = {
    {"", ":1: ", "no results"},
    {HEADER, ":11: ", "no results"},
    {"65536 16384 float sum -1 33.84 1.94 2.91 0 33.10 1.98 2.97 0\n", ":1: ", "how many GPUs"},
    {HEADER "65536 16384 float sum -1 33.84 1.94\n", ":11: ", "not 7 words"},
    {HEADER "65536 16384 float sum -1 zero 1.94 2.91 0 33.10 1.98 2.97 0\n", ":11: ", "'zero'"},
    {HEADER "65536 16384 float sum -1 -3 1.94 2.91 0 33.10 1.98 2.97 0\n", ":11: ", "'-3'"},
    {HEADER "65536 16384 float sum -1 33.84 1.94 9.91 0 33.10 1.98 9.97 0\n",
     ":11: ", "--collective"},
    {HEADER "65536 16384 float sum -1 33.84 1.94 2.91 17 33.10 1.98 2.97 0\n",
     ":11: ", "17 results were wrong"},
    {HEADER "65536 16384 float sum -1 33.84 0.00 0.00 0 33.10 0.00 0.00 0\n" HEADER,
     ":12: ", "--collective"},
    {"#  Rank  0 Group  0 Pid  11 on  node-a device  0 [0x1b] NVIDIA H100\n"
     "#  Rank  0 Group  0 Pid  12 on  node-a device  0 [0x1b] NVIDIA H100\n",
     ":2: ", "without MPI"},
    {"#  Rank  0 Group  0 Pid  11 on  node-a device  0 [0x1b] NVIDIA H100\n"
     "65536 16384 float sum -1 5.84 11.2 0.00 0 5.10 12.9 0.00 0\n",
     ":2: ", "one GPU"},
    {HEADER "#  Rank  4 Group  0 Pid  11 on  node-b device  2 [0x1b] NVIDIA H100\n"
            "65536 16384 float sum -1 33.84 1.94 2.91 0 33.10 1.98 2.97 0\n",
     ":12: ", "on each of 2 nodes"},
    {"# Collective test starting: hypercube_perf\n", ":1: ", "hypercube_perf"},
    {HEADER "65536 16384 float sum -1 33.84 1.94 2.91 0 33.10 1.98 2.97\n",
     ":11: ", "12 of 13"},
};

START_TEST(a_bad_log_is_refused_with_its_line)
{
    g_autofree char *file = scratch_write("bad.log", bad_logs[_i].text);
    g_autoptr(GArray) rows = nccl_rows_new();
    g_autoptr(GError) error = NULL;
    ck_assert(!nccl_log_read(file, N_COLLECTIVES, rows, &error));
    ck_assert_int_eq(error_exit_status(error), 2);
    ck_assert_msg(g_str_has_prefix(error->message, file), "%s", error->message);
    ck_assert_msg(strstr(error->message, bad_logs[_i].where) != NULL, "%s", error->message);
    ck_assert_msg(strstr(error->message, bad_logs[_i].what) != NULL, "%s", error->message);
}
END_TEST

START_TEST(a_table_says_what_is_wrong_and_where)
{
    static const char *const bad[][2] = {
        {"collective,bytes,n_gpus,time_us\nall_reduce,65536,8,12\nsum,1,8,3\n", ":3: "},
        {"collective,bytes,n_gpus,time_us\nall_reduce,65536,8,\n", ":2: "},
        {"collective,bytes,n_gpus,time_us\nall_reduce,65536,eight,3\n", ":2"},
        {"collective,bytes,time_us\nall_reduce,65536,3\n", ":2: "},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *file = scratch_write("bad.csv", bad[i][0]);
        g_autoptr(GArray) rows = nccl_rows_new();
        g_autoptr(GError) error = NULL;
        ck_assert(!nccl_csv_read(file, rows, &error));
        ck_assert_int_eq(error_exit_status(error), 2);
        ck_assert_msg(strstr(error->message, bad[i][1]) != NULL, "%s", error->message);
    }
}
END_TEST

START_TEST(unhealthy_rows_are_left_out)
{
    g_autofree char *file = scratch_write("a.csv", "collective,bytes,n_gpus,algbw_GBps,health\n"
                                                   "all_reduce,1000000,8,10,ok\n"
                                                   "all_reduce,1000000,8,1,noisy\n");
    g_autoptr(GArray) rows = nccl_rows_new();
    ck_assert(nccl_csv_read(file, rows, NULL));
    ck_assert_uint_eq(rows->len, 1);
    ck_assert_double_eq_tol(g_array_index(rows, NcclRow, 0).time_s, 1e-4, 1e-12);
}
END_TEST

/* Programs that time each collective alone: their launch is in the time, and not NCCL's. */
START_TEST(what_a_program_adds_is_known_by_its_name)
{
    static const char text[] =
        "collective,bytes,n_gpus,algbw_GBps,source_locator,value_basis,note\n"
        "all_reduce,1000000,8,10,a cluster,time,\n"
        "all_reduce,1000000,8,10,a cluster,busbw,torch all_reduce_bench.py\n"
        "all_reduce,1000000,8,10,stas00/ml-engineering README,busbw,\n"
        "all_reduce,1000000,8,10,stas00/ml-engineering README,time,\n"
        "all_reduce,1000000,8,10,a file,algbw,XLA collective benchmark\n";
    const double torch_s = constant(CONSTANT_TORCH_BENCH_S);
    const double wanted_s[] = {0, torch_s, torch_s, 0, constant(CONSTANT_XLA_BENCH_S)};
    g_autofree char *file = scratch_write("a.csv", text);
    g_autoptr(GArray) rows = nccl_rows_new();
    ck_assert(nccl_csv_read(file, rows, NULL));
    ck_assert_uint_eq(rows->len, G_N_ELEMENTS(wanted_s));
    for (guint i = 0; i < rows->len; i++)
        ck_assert_double_eq(g_array_index(rows, NcclRow, i).program_s, wanted_s[i]);
}
END_TEST

static TCase *log_case(void)
{
    TCase *tcase = tcase_create("logs");
    tcase_add_checked_fixture(tcase, scratch_set_up, scratch_tear_down);
    tcase_add_loop_test(tcase, a_log_is_read_as_printed, 0, G_N_ELEMENTS(logs));
    tcase_add_loop_test(tcase, a_place_that_was_not_measured_gives_no_row, 0,
                        G_N_ELEMENTS(halves));
    tcase_add_test(tcase, a_failed_run_leaves_nothing_behind);
    tcase_add_test(tcase, a_log_may_hold_several_runs);
    tcase_add_loop_test(tcase, a_bad_log_is_refused_with_its_line, 0, G_N_ELEMENTS(bad_logs));
    tcase_add_test(tcase, a_table_says_what_is_wrong_and_where);
    tcase_add_test(tcase, unhealthy_rows_are_left_out);
    tcase_add_test(tcase, what_a_program_adds_is_known_by_its_name);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("nccl_log");
    suite_add_tcase(suite, log_case());
    return suite_run(suite);
}
