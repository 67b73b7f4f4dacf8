/* SPDX-License-Identifier: MIT */
/* Calibrations: fitting constants to measurements, files of constants, and what they make of a
 * plan. */
#include "error.h"
#include "nccl_fit.h"
#include "nccl_write.h"
#include "scratch.h"
#include "suite_run.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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
        .launch_s = 2e-5, .hop_frac = {[AMPERE] = 0.5}, .fill_bytes = 3e7, .own_frac = 0.6};
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
    g_autofree char *file = scratch_path("ours.json");
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

static gboolean saw(NcclCalibration *calibration, const char *id, Algorithm algorithm,
                    double *held_out_frac)
{
    g_autoptr(GPtrArray) candidates = g_ptr_array_new();
    g_autoptr(NodeType) node = node_type_load("dgx-a100-80gb", NULL);
    g_autoptr(Cluster) cluster = nccl_rows_cluster(node, 1, 8, 0);
    const int members[] = {0, 1, 2, 3, 4, 5, 6, 7};
    g_ptr_array_add(candidates, calibration);
    return nccl_calibration_saw(candidates, cluster, members, 8, algorithm, id, held_out_frac);
}

/* A calibration knows the rows it was fitted on, and how a fit without each predicts it; sizes
 * that don't count are none. */
START_TEST(a_fit_names_its_rows)
{
    const NcclCalibration truth = known_constants();
    g_autoptr(NodeType) node = node_type_load("dgx-a100-80gb", NULL);
    g_autoptr(GArray) rows = synthetic_rows(node, &truth);
    for (guint i = 0; i < rows->len; i++)
        g_array_index(rows, NcclRow, i).id = g_strdup_printf("row-%u", i);
    g_array_index(rows, NcclRow, 0).bytes = NCCL_FIT_MIN_BYTES - 1;
    g_autoptr(NcclFit) fit = nccl_fit(rows, NULL);
    g_autofree char *file = scratch_path("ours.json");
    const NcclWriteOptions options = {.name = "ours"};
    ck_assert(nccl_write(file, &options, node, fit, rows, NULL));
    g_autoptr(NcclCalibration) read = nccl_calibration_load(file, NULL);
    double error_frac = NAN;
    ck_assert(!saw(read, "row-0", ALGORITHM_RING, &error_frac));
    ck_assert(!saw(read, "another", ALGORITHM_RING, &error_frac));
    ck_assert(saw(read, "row-3", ALGORITHM_RING, &error_frac));
    ck_assert_double_lt(fabs(error_frac), 0.1);
    ck_assert_double_eq_tol(error_frac, g_array_index(fit->held_out_frac, double, 3), 1e-4);
}
END_TEST

/* Files have three digits: what lies at the end of a range must be read back. */
START_TEST(ranges_end_at_three_digits)
{
    for (int i = 0; i < N_NCCL_CONSTANTS; i++) {
        const double ends[] = {nccl_constants[i].min, nccl_constants[i].max};
        for (gsize e = 0; e < G_N_ELEMENTS(ends); e++) {
            char text[32];
            g_ascii_formatd(text, sizeof text, "%.3g", ends[e]);
            ck_assert_double_eq(g_ascii_strtod(text, NULL), ends[e]);
        }
    }
}
END_TEST

/* ---- use ---- */

#define FILE_OF(match, constants)                                                              \
    "{\"schema\": \"zerosim-nccl/1\", \"name\": \"x\", \"match\": {" match                     \
    "}, \"constants\": {" constants "}, \"fit\": {}}"
#define GPUS "\"gpus\": [\"h100\"], \"min_nodes\": 1"
#define HOPS "\"hop_frac\": {\"volta\": 1, \"ampere\": 1, \"hopper\": 1, \"blackwell\": 1}"
#define COMMON                                                                                 \
    "\"launch_s\": 1e-5, " HOPS ", \"net_trips\": 0, \"fill_bytes\": 1e7, "                    \
    "\"own_frac\": 0, \"loop_s\": 0, \"block_bytes_per_s\": 1e10"
#define RING "\"ring\": {\"bandwidth_frac\": 1, \"fill_s\": 0}"

static const char *const bad_files[][2] = {
    {"{", "bad.json:1"},
    {"{\"schema\": \"zerosim-nccl/2\", \"name\": \"x\", \"fit\": {}}", "zerosim-nccl/1"},
    {FILE_OF("\"min_nodes\": 1", COMMON ", \"algorithms\": {" RING "}"), "match.gpus"},
    {FILE_OF(GPUS, COMMON ", \"algorithms\": {}"), "constants.algorithms"},
    {FILE_OF(GPUS, COMMON ", \"algorithms\": {\"rung\": {}}"), "rung"},
    {FILE_OF(GPUS, "\"launch_s\": 3, " HOPS ", \"algorithms\": {" RING "}"),
     "constants.launch_s"},
    {FILE_OF(GPUS, "\"launch_s\": 0, \"hop_frac\": {\"volta\": 1}, \"algorithms\": {}"),
     "constants.hop_frac.ampere"},
    {FILE_OF(GPUS, COMMON ", \"algorithms\": {\"nvls\": {\"bandwidth_frac\": 1}}"),
     "constants.algorithms.nvls.fill_loops"},
    {FILE_OF(GPUS, COMMON ", \"algorithms\": {\"ring\": {\"fill_s\": 0}}"), "bandwidth_frac"},
    {"{\"schema\": \"zerosim-nccl/1\", \"fit\": {\"held_out_row_error_frac\": {\"a\": \"b\"}}}",
     "fit.held_out_row_error_frac.a"},
};

START_TEST(a_bad_calibration_is_refused_with_its_key)
{
    g_autofree char *file = scratch_write("bad.json", bad_files[_i][0]);
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
    g_autofree char *file = scratch_write("e.conf", "[cluster]\nplatform = dgx-h100\n");
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

/* All-gather between two nodes of p4de: its fit has trees alone. Its launch, hops and
 * network hold for rings too, whose bandwidth is that of any system. */
START_TEST(what_no_row_of_a_system_shows_is_any_systems)
{
    g_autoptr(GPtrArray) all = installed("auto");
    g_autoptr(GPtrArray) any = installed("any");
    const NcclCalibration *own = NULL, *general = any->pdata[0];
    for (guint i = 0; i < all->len; i++)
        if (strcmp(((const NcclCalibration *)all->pdata[i])->name, "p4de") == 0)
            own = all->pdata[i];
    ck_assert_ptr_nonnull(own);
    ck_assert(!own->has[ALGORITHM_RING] && general->has[ALGORITHM_RING]);
    g_autoptr(CollectivePlan) plan = plan_on("p4de", 2, COLLECTIVE_ALL_GATHER, all);
    ck_assert_int_eq(plan->algorithm, ALGORITHM_RING);
    ck_assert(!plan->fitted);
    NcclCalibration both = *own;
    both.bandwidth_frac[ALGORITHM_RING] = general->bandwidth_frac[ALGORITHM_RING];
    both.fill_s[ALGORITHM_RING] = general->fill_s[ALGORITHM_RING];
    both.fill_bytes = general->fill_bytes;
    double latency_s, flow_s;
    nccl_calibration_apply(&both, &plan->model, &latency_s, &flow_s);
    ck_assert_double_eq_tol(plan->time_s, latency_s + flow_s, 1e-12);
}
END_TEST

/* What a network's plug-in declares (semantics: once a hop, twice before a flush) enters NCCL's
 * choice and its own prediction. A calibration has measured the network, and leaves it out. */
START_TEST(a_declared_latency_is_nccls_own)
{
    g_autoptr(NodeType) node = node_type_load("p5", NULL);
    ck_assert_double_eq(node->nccl.value[NCCL_NET_LATENCY_S], 75e-6);
    for (int protocol = 0; protocol < N_PROTOCOLS; protocol++) {
        double latency_s[2], model_s[2];
        for (int declared = 0; declared < 2; declared++) {
            g_autoptr(Cluster) cluster = nccl_rows_cluster(node, 2, 8, 0);
            const int members[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
            const CollectiveCall call = {.kind = COLLECTIVE_ALL_REDUCE,
                                         .payload_bytes = 1 << 20};
            const NcclOptions options = {.algorithm = ALGORITHM_TREE, .protocol = protocol};
            cluster->nccl.value[NCCL_NET_LATENCY_S] *= declared;
            g_autoptr(CollectivePlan) plan =
                collective_plan(cluster, members, 16, &call, &options);
            latency_s[declared] = plan->latency_s;
            model_s[declared] = plan->model.latency_s;
        }
        int n_times = protocol == PROTOCOL_SIMPLE ? 2 : 1;
        ck_assert_double_eq_tol(latency_s[1] - latency_s[0], n_times * 2 * 75e-6, 1e-12);
        ck_assert_double_eq_tol(model_s[1], model_s[0], 1e-12);
    }
}
END_TEST

/* A pipeline passes the whole payload through every rank: more ranks never take less. */
START_TEST(calibrated_times_grow_with_ranks)
{
    g_autoptr(GPtrArray) all = installed("auto");
    for (int kind = 0; kind < N_COLLECTIVES; kind++) {
        double last_s = 0;
        for (int n_nodes = 2; n_nodes <= 32; n_nodes *= 2) {
            g_autoptr(CollectivePlan) plan =
                plan_on("dgx-1v", n_nodes, (CollectiveKind)kind, all);
            ck_assert_msg(plan->time_s >= last_s, "%s on %d nodes",
                          collective_name((CollectiveKind)kind), n_nodes);
            last_s = plan->time_s;
        }
    }
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

static TCase *fit_case(void)
{
    TCase *tcase = tcase_create("fits");
    tcase_add_checked_fixture(tcase, scratch_set_up, scratch_tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_fit_finds_known_constants_and_predicts_what_it_has_not_seen);
    tcase_add_test(tcase, too_few_rows_are_no_fit);
    tcase_add_test(tcase, a_fit_is_read_back);
    tcase_add_test(tcase, a_fit_names_its_rows);
    tcase_add_test(tcase, ranges_end_at_three_digits);
    return tcase;
}

static TCase *use_case(void)
{
    TCase *tcase = tcase_create("use");
    tcase_add_checked_fixture(tcase, scratch_set_up, scratch_tear_down);
    tcase_add_loop_test(tcase, a_bad_calibration_is_refused_with_its_key, 0,
                        G_N_ELEMENTS(bad_files));
    tcase_add_test(tcase, auto_takes_what_was_fitted_on_such_a_system);
    tcase_add_test(tcase, what_no_row_of_a_system_shows_is_any_systems);
    tcase_add_test(tcase, a_declared_latency_is_nccls_own);
    tcase_add_test(tcase, calibrated_times_grow_with_ranks);
    tcase_add_test(tcase, a_named_one_holds_everywhere);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("nccl");
    suite_add_tcase(suite, fit_case());
    suite_add_tcase(suite, use_case());
    return suite_run(suite);
}
