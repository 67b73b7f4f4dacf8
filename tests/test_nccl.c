/* SPDX-License-Identifier: MIT */
/* Calibrations: reading nccl-tests' output and CSV tables, fitting constants to them, files of
 * constants, and what they make of a plan. */
#include "error.h"
#include "nccl_fit.h"
#include "nccl_write.h"

#include <check.h>
#include <glib/gstdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *directory;

static void directory_make(void)
{
    directory = g_dir_make_tmp("zerosim-XXXXXX", NULL);
    ck_assert_ptr_nonnull(directory);
}

static void directory_remove(void)
{
    g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
    const char *base;
    while ((base = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(directory, base, NULL);
        g_remove(file);
    }
    g_rmdir(directory);
    g_free(directory);
}

static char *file_of(const char *base, const char *text)
{
    char *file = g_build_filename(directory, base, NULL);
    ck_assert(g_file_set_contents(file, text, -1, NULL));
    return file;
}

/* ---- logs ---- */

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
};

START_TEST(a_log_is_read_as_printed)
{
    g_autofree char *text = g_strconcat(HEADER, logs[_i].rows, NULL);
    g_autofree char *file = file_of("a.log", text);
    g_autoptr(GArray) rows = nccl_rows_new();
    g_autoptr(GError) error = NULL;
    ck_assert_msg(nccl_log_read(file, N_COLLECTIVES, rows, &error), "%s",
                  error ? error->message : "");
    const NcclRow *first = &g_array_index(rows, NcclRow, 0);
    const NcclRow *last = &g_array_index(rows, NcclRow, rows->len - 1);
    ck_assert_int_eq(first->kind, logs[_i].kind);
    ck_assert_int_eq(first->n_gpus, 4);
    ck_assert_int_eq(first->gpus_per_node, 2);
    ck_assert_int_eq(first->bytes, 65536);
    ck_assert_int_eq(first->averages, logs[_i].averages);
    ck_assert_double_eq_tol(first->time_s * 1e6, logs[_i].first_us, 1e-9);
    ck_assert_double_eq_tol(last->time_s * 1e6, logs[_i].last_us, 1e-9);
    ck_assert_uint_eq(rows->len % 2, 0); /* both places */
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
};

START_TEST(a_bad_log_is_refused_with_its_line)
{
    g_autofree char *file = file_of("bad.log", bad_logs[_i].text);
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
        g_autofree char *file = file_of("bad.csv", bad[i][0]);
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
    g_autofree char *file = file_of("a.csv", "collective,bytes,n_gpus,algbw_GBps,health\n"
                                             "all_reduce,1000000,8,10,ok\n"
                                             "all_reduce,1000000,8,1,noisy\n");
    g_autoptr(GArray) rows = nccl_rows_new();
    ck_assert(nccl_csv_read(file, rows, NULL));
    ck_assert_uint_eq(rows->len, 1);
    ck_assert_double_eq_tol(g_array_index(rows, NcclRow, 0).time_s, 1e-4, 1e-12);
}
END_TEST

/* ---- fits ---- */

/* Two groups of all-reduces on A100s by constants that are known. */
static GArray *synthetic_rows(const NodeType *node, const NcclCalibration *truth)
{
    GArray *rows = nccl_rows_new();
    for (int group = 0; group < 2; group++)
        for (gint64 bytes = 65536; bytes <= G_GINT64_CONSTANT(1) << 33; bytes *= 2) {
            NcclRow row = {.group = g_strdup(group ? "b" : "a"),
                           .source = g_strdup("made"),
                           .kind = COLLECTIVE_ALL_REDUCE,
                           .bytes = bytes + group * bytes / 3,
                           .time_s = 1,
                           .n_gpus = 8,
                           .gpus_per_node = 8,
                           .algorithm = -1};
            g_array_append_val(rows, row);
        }
    ck_assert(nccl_rows_plan(rows, node, NULL));
    for (guint i = 0; i < rows->len; i++) {
        NcclRow *row = &g_array_index(rows, NcclRow, i);
        row->time_s = nccl_fit_predict_s(truth, row);
    }
    return rows;
}

static NcclCalibration known_constants(void)
{
    NcclCalibration truth = {
        .launch_s = 2e-5, .latency_frac = 0.5, .fill_bytes = 3e7, .own_frac = 0.6};
    truth.has[ALGORITHM_RING] = TRUE;
    truth.bandwidth_frac[ALGORITHM_RING] = 0.9;
    truth.fill_s[ALGORITHM_RING] = 2e-4;
    return truth;
}

START_TEST(a_fit_finds_known_constants_and_predicts_what_it_has_not_seen)
{
    const NcclCalibration truth = known_constants();
    g_autoptr(NodeType) node = node_type_load("dgx-a100-80gb", NULL);
    ck_assert_ptr_nonnull(node);
    g_autoptr(GArray) rows = synthetic_rows(node, &truth);
    g_autoptr(NcclFit) fit = nccl_fit(rows, NULL);
    ck_assert_ptr_nonnull(fit);
    ck_assert(fit->by_group);
    ck_assert_double_gt(fit->model_error_frac, 0.1);
    ck_assert_double_lt(fit->fitted_error_frac, 0.01);
    ck_assert_double_lt(fit->held_out_error_frac, 0.03);
    ck_assert_double_eq_tol(fit->calibration->bandwidth_frac[ALGORITHM_RING], 0.9, 0.02);
    ck_assert_double_eq_tol(fit->calibration->launch_s, 2e-5, 1e-5);
}
END_TEST

START_TEST(too_few_rows_are_no_fit)
{
    const NcclCalibration truth = known_constants();
    g_autoptr(NodeType) node = node_type_load("dgx-a100-80gb", NULL);
    g_autoptr(GArray) rows = synthetic_rows(node, &truth);
    g_autoptr(GError) error = NULL;
    g_array_set_size(rows, 5);
    ck_assert_ptr_null(nccl_fit(rows, &error));
    ck_assert_int_eq(error_exit_status(error), 2);
}
END_TEST

/* A fit goes through its file unharmed but for the third digit. */
START_TEST(a_fit_is_read_back)
{
    const NcclCalibration truth = known_constants();
    g_autoptr(NodeType) node = node_type_load("dgx-a100-80gb", NULL);
    g_autoptr(GArray) rows = synthetic_rows(node, &truth);
    g_autoptr(NcclFit) fit = nccl_fit(rows, NULL);
    g_autofree char *file = g_build_filename(directory, "ours.json", NULL);
    const NcclWriteOptions options = {.name = "ours"};
    ck_assert(nccl_write(file, &options, node, fit, rows, NULL));
    g_autoptr(GError) error = NULL;
    g_autoptr(NcclCalibration) read = nccl_calibration_load(file, &error);
    ck_assert_msg(read != NULL, "%s", error ? error->message : "");
    ck_assert_str_eq(read->name, "ours");
    ck_assert_str_eq(read->gpus[0], "a100");
    ck_assert_int_eq(read->max_nodes, 1);
    ck_assert_double_eq_tol(read->launch_s / fit->calibration->launch_s, 1, 0.006);
    ck_assert_double_eq_tol(nccl_fit_error_frac(read, rows), fit->fitted_error_frac, 0.006);
}
END_TEST

/* ---- use ---- */

#define FILE_OF(match, constants)                                                              \
    "{\"schema\": \"zerosim-nccl/1\", \"name\": \"x\", \"match\": {" match                     \
    "}, \"constants\": {" constants "}, \"fit\": {}}"
#define GPUS "\"gpus\": [\"h100\"], \"min_nodes\": 1"
#define COMMON "\"launch_s\": 1e-5, \"latency_frac\": 1, \"fill_bytes\": 1e7, \"own_frac\": 0"
#define RING "\"ring\": {\"bandwidth_frac\": 1, \"fill_s\": 0}"

static const char *const bad_files[][2] = {
    {"{", "bad.json:1"},
    {"{\"schema\": \"zerosim-nccl/2\", \"name\": \"x\", \"fit\": {}}", "zerosim-nccl/1"},
    {FILE_OF("\"min_nodes\": 1", COMMON ", \"algorithms\": {" RING "}"), "match.gpus"},
    {FILE_OF(GPUS, COMMON ", \"algorithms\": {}"), "constants.algorithms"},
    {FILE_OF(GPUS, COMMON ", \"algorithms\": {\"rung\": {}}"), "rung"},
    {FILE_OF(GPUS, "\"launch_s\": 3, \"latency_frac\": 1, \"algorithms\": {" RING "}"),
     "constants.launch_s"},
    {FILE_OF(GPUS, COMMON ", \"algorithms\": {\"ring\": {\"fill_s\": 0}}"), "bandwidth_frac"},
};

START_TEST(a_bad_calibration_is_refused_with_its_key)
{
    g_autofree char *file = file_of("bad.json", bad_files[_i][0]);
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(nccl_calibration_load(file, &error));
    ck_assert_int_eq(error_exit_status(error), 2);
    ck_assert_msg(strstr(error->message, "bad.json") != NULL, "%s", error->message);
    ck_assert_msg(strstr(error->message, bad_files[_i][1]) != NULL, "%s", error->message);
}
END_TEST

static GPtrArray *installed(const char *value)
{
    g_autoptr(Experiment) experiment = NULL;
    g_autofree char *file = file_of("e.conf", "[cluster]\nplatform = dgx-h100\n");
    g_autofree char *assignment = g_strconcat("nccl.calibration=", value, NULL);
    GPtrArray *calibrations = NULL;
    experiment = experiment_load(file, NULL, NULL);
    ck_assert_ptr_nonnull(experiment);
    ck_assert(experiment_set(experiment, assignment, NULL));
    ck_assert(nccl_calibrations_of(experiment, &calibrations, NULL));
    return calibrations;
}

static CollectivePlan *plan_on(const char *platform, int n_nodes, CollectiveKind kind,
                               const GPtrArray *calibrations)
{
    g_autoptr(NodeType) node = node_type_load(platform, NULL);
    ck_assert_ptr_nonnull(node);
    g_autoptr(Cluster) cluster = nccl_rows_cluster(node, n_nodes, node->n_gpus, 0);
    int n = cluster_n_ranks(cluster);
    g_autofree int *members = g_new(int, n);
    for (int r = 0; r < n; r++)
        members[r] = r;
    const CollectiveCall call = {.kind = kind, .payload_bytes = 1 << 28};
    const NcclOptions options = {.algorithm = -1, .protocol = -1, .calibrations = calibrations};
    return collective_plan(cluster, members, n, &call, &options);
}

/* What is installed holds for the systems that it was fitted on and for no other. */
START_TEST(auto_takes_what_was_fitted_on_such_a_system)
{
    static const struct {
        const char *platform;
        int n_nodes;
        gboolean fitted;
    } systems[] = {
        {"dgx-h100", 1, TRUE},       {"dgx-h100", 2, TRUE}, {"dgx-h200", 1, TRUE},
        {"dgx-a100-80gb", 1, TRUE},  {"dgx-b200", 1, TRUE}, {"p4de", 2, TRUE},
        {"dgx-a100-80gb", 2, FALSE}, {"dgx-1v", 1, FALSE},  {"pcie-8xa10", 1, FALSE}};
    g_autoptr(GPtrArray) calibrations = installed("auto");
    for (gsize i = 0; i < G_N_ELEMENTS(systems); i++) {
        g_autoptr(CollectivePlan) plan = plan_on(systems[i].platform, systems[i].n_nodes,
                                                 COLLECTIVE_ALL_REDUCE, calibrations);
        ck_assert_msg(plan->fitted == systems[i].fitted, "%s", systems[i].platform);
    }
    ck_assert_ptr_null(installed("none"));
}
END_TEST

START_TEST(a_named_one_holds_everywhere)
{
    g_autoptr(GPtrArray) calibrations = installed("dgx-a100-80gb");
    g_autoptr(CollectivePlan) with = plan_on("dgx-1v", 1, COLLECTIVE_ALL_REDUCE, calibrations);
    g_autoptr(CollectivePlan) without = plan_on("dgx-1v", 1, COLLECTIVE_ALL_REDUCE, NULL);
    ck_assert(with->fitted);
    ck_assert(!without->fitted);
    ck_assert_int_eq(with->algorithm, without->algorithm);
    ck_assert_double_gt(with->time_s, without->time_s);
    ck_assert_double_eq_tol(with->latency_s + (without->time_s - without->latency_s) *
                                                  without->engine_bytes_per_s /
                                                  with->engine_bytes_per_s,
                            with->time_s, 1e-12);
}
END_TEST

static TCase *log_case(void)
{
    TCase *tcase = tcase_create("logs");
    tcase_add_checked_fixture(tcase, directory_make, directory_remove);
    tcase_add_loop_test(tcase, a_log_is_read_as_printed, 0, G_N_ELEMENTS(logs));
    tcase_add_loop_test(tcase, a_bad_log_is_refused_with_its_line, 0, G_N_ELEMENTS(bad_logs));
    tcase_add_test(tcase, a_table_says_what_is_wrong_and_where);
    tcase_add_test(tcase, unhealthy_rows_are_left_out);
    return tcase;
}

static TCase *fit_case(void)
{
    TCase *tcase = tcase_create("fits");
    tcase_add_checked_fixture(tcase, directory_make, directory_remove);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_fit_finds_known_constants_and_predicts_what_it_has_not_seen);
    tcase_add_test(tcase, too_few_rows_are_no_fit);
    tcase_add_test(tcase, a_fit_is_read_back);
    return tcase;
}

static TCase *use_case(void)
{
    TCase *tcase = tcase_create("use");
    tcase_add_checked_fixture(tcase, directory_make, directory_remove);
    tcase_add_loop_test(tcase, a_bad_calibration_is_refused_with_its_key, 0,
                        G_N_ELEMENTS(bad_files));
    tcase_add_test(tcase, auto_takes_what_was_fitted_on_such_a_system);
    tcase_add_test(tcase, a_named_one_holds_everywhere);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("nccl");
    suite_add_tcase(suite, log_case());
    suite_add_tcase(suite, fit_case());
    suite_add_tcase(suite, use_case());
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
