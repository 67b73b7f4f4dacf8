/* SPDX-License-Identifier: MIT */
/* With the installed calibrations, on every preset: more bytes or more nodes never take less
 * time. Sampled with a fixed seed. GPUs within a node may: each brings its NIC, and from five
 * on a switch's reduction is worth it, as measured. */
#include "nccl_calibration.h"
#include "nccl_rows.h"
#include "suite_run.h"

#include <math.h>

#define SEED 20240611
#define N_SAMPLES 2
#define MOST_BYTES G_GINT64_CONSTANT(16000000000)
#define ROUNDING 1e-12

static GPtrArray *calibrations;
static GPtrArray *presets;

static void installed_load(void)
{
    g_autofree char *file =
        g_build_filename(experiment_data_dir(), "workloads", "llama-2-7b-dgx-h100.conf", NULL);
    g_autoptr(Experiment) experiment = experiment_load(file, NULL, NULL);
    ck_assert_ptr_nonnull(experiment);
    ck_assert(nccl_calibrations_of(experiment, &calibrations, NULL));
    ck_assert_ptr_nonnull(calibrations);
    presets = node_type_list();
    ck_assert_int_gt(presets->len, 10);
}

static void installed_free(void)
{
    g_clear_pointer(&calibrations, g_ptr_array_unref);
    g_clear_pointer(&presets, g_ptr_array_unref);
}

static double time_of(const NodeType *node, int n_nodes, int n_gpus, CollectiveKind kind,
                      gint64 bytes)
{
    g_autoptr(Cluster) cluster = nccl_rows_cluster(node, n_nodes, n_gpus, 0);
    int n = cluster_n_ranks(cluster);
    g_autofree int *members = g_new(int, n);
    for (int r = 0; r < n; r++)
        members[r] = r;
    const CollectiveCall call = {.kind = kind, .payload_bytes = bytes};
    const NcclOptions options = {.algorithm = -1, .protocol = -1, .calibrations = calibrations};
    g_autoptr(CollectivePlan) plan = collective_plan(cluster, members, n, &call, &options);
    return plan->time_s;
}

/* Steps are random, so that sizes are no round numbers beside which algorithms change. */
static void check_bytes(const NodeType *node, int n_nodes, int n_gpus, CollectiveKind kind,
                        GRand *random)
{
    double last_s = 0;
    for (gint64 bytes = 1000; bytes < MOST_BYTES;
         bytes += 1 + (gint64)((double)bytes * g_rand_double_range(random, 0.01, 0.8))) {
        double time_s = time_of(node, n_nodes, n_gpus, kind, bytes);
        ck_assert_msg(time_s >= last_s * (1 - ROUNDING),
                      "%s of %" G_GINT64_FORMAT " bytes on %d %s of %d GPUs: %g s after %g s",
                      collective_name(kind), bytes, n_nodes, node->name, n_gpus, time_s,
                      last_s);
        last_s = time_s;
    }
}

static void check_nodes(const NodeType *node, int n_gpus, CollectiveKind kind, gint64 bytes)
{
    static const int counts[] = {1, 2, 3, 4, 6, 8, 12, 16, 32};
    double last_s = 0;
    for (gsize i = n_gpus == 1; i < G_N_ELEMENTS(counts); i++) {
        double time_s = time_of(node, counts[i], n_gpus, kind, bytes);
        ck_assert_msg(time_s >= last_s * (1 - ROUNDING),
                      "%s of %" G_GINT64_FORMAT " bytes on %d %s of %d GPUs: %g s after %g s",
                      collective_name(kind), bytes, counts[i], node->name, n_gpus, time_s,
                      last_s);
        last_s = time_s;
    }
}

START_TEST(times_grow_on_every_preset)
{
    static const int node_counts[] = {1, 2, 3, 4, 8};
    g_autoptr(GRand) random = g_rand_new_with_seed(SEED);
    for (guint p = 0; p < presets->len; p++) {
        g_autoptr(NodeType) node = node_type_load(presets->pdata[p], NULL);
        ck_assert_ptr_nonnull(node);
        for (int kind = 0; kind < N_COLLECTIVES; kind++)
            for (int i = 0; i < N_SAMPLES; i++) {
                int most = MIN(node->n_gpus, 8);
                int n_gpus = g_rand_int_range(random, 1, most + 1);
                int n = node_counts[g_rand_int_range(random, n_gpus == 1,
                                                     G_N_ELEMENTS(node_counts))];
                double bytes = exp2(g_rand_double_range(random, 10, 33));
                check_bytes(node, n, n_gpus, (CollectiveKind)kind, random);
                check_nodes(node, n_gpus, (CollectiveKind)kind, (gint64)bytes);
            }
    }
}
END_TEST

/* Where a calibration's time would fall at a switch of algorithms: 2 x 8 H100, a tree's fill
 * against an NVLS tree's. The floor is what the last byte before it takes. */
START_TEST(a_switch_of_algorithms_does_not_save_time)
{
    g_autoptr(NodeType) node = node_type_load("dgx-h100", NULL);
    ck_assert_ptr_nonnull(node);
    double low_s = time_of(node, 2, 8, COLLECTIVE_ALL_REDUCE, 4 << 20);
    double high_s = time_of(node, 2, 8, COLLECTIVE_ALL_REDUCE, 5 << 20);
    ck_assert_double_ge(high_s, low_s);
    ck_assert_double_lt(high_s, 1.5 * low_s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("collective_grows");
    TCase *tcase = tcase_create("installed");
    tcase_add_checked_fixture(tcase, installed_load, installed_free);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, times_grow_on_every_preset);
    tcase_add_test(tcase, a_switch_of_algorithms_does_not_save_time);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
