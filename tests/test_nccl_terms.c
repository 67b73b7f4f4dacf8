/* SPDX-License-Identifier: MIT */
/* What a calibration's constants make of NCCL's prediction, and what a plug-in lets NCCL do. */
#include "collective_calibration.h"
#include "nccl_rows.h"
#include "suite_run.h"

#include <check.h>
#include <math.h>

/* A collective on so many whole nodes. */
static CollectivePlan *plan_on(const char *platform, int n_nodes, gint64 payload_bytes,
                               const NcclOptions *options)
{
    g_autoptr(NodeType) node = node_type_load(platform, NULL);
    ck_assert_ptr_nonnull(node);
    g_autoptr(Cluster) cluster = nccl_rows_cluster(node, n_nodes, node->n_gpus, 0);
    int n = cluster_n_ranks(cluster);
    g_autofree int *members = g_new(int, n);
    for (int r = 0; r < n; r++)
        members[r] = r;
    const CollectiveCall call = {.kind = COLLECTIVE_ALL_REDUCE, .payload_bytes = payload_bytes};
    return collective_plan(cluster, members, n, &call, options);
}

static const NcclPrediction tree_model = {.algorithm = ALGORITHM_TREE,
                                          .generation = HOPPER,
                                          .n_ranks = 16,
                                          .payload_bytes = 1e6,
                                          .latency_s = 20e-6,
                                          .node_hops_s = 5e-6,
                                          .n_net_hops = 2,
                                          .network_excess_s = 10e-6,
                                          .flow_s = 30e-6};

/* A hop between nodes takes so many ways through a slow network; InfiniBand's are NCCL's own.
 */
START_TEST(slow_networks_cost_by_the_hop)
{
    const NcclCalibration terms = {.hop_frac = {[HOPPER] = 1},
                                   .net_trips = 4,
                                   .fill_bytes = 1,
                                   .bandwidth_frac = {[ALGORITHM_TREE] = 1}};
    const NcclCalibration scaled = {.launch_s = 2e-6,
                                    .hop_frac = {[HOPPER] = 3, [BLACKWELL] = 7},
                                    .fill_bytes = 1e6,
                                    .bandwidth_frac = {[ALGORITHM_TREE] = 0.5},
                                    .fill_s = {[ALGORITHM_TREE] = 4e-6}};
    double latency_s, flow_s;
    nccl_calibration_apply(&terms, &tree_model, &latency_s, &flow_s);
    ck_assert_double_eq_tol(latency_s, 20e-6 + 2 * 4 * 10e-6, 1e-15);
    nccl_calibration_apply(&scaled, &tree_model, &latency_s, &flow_s);
    ck_assert_double_eq_tol(latency_s, 2e-6 + 15e-6 + 3 * 5e-6 + 2e-6, 1e-15);
    ck_assert_double_eq_tol(flow_s, 60e-6, 1e-15);
    const NcclOptions any = {.algorithm = -1, .protocol = -1};
    g_autoptr(CollectivePlan) infiniband = plan_on("ndv4", 2, 1 << 28, &any);
    g_autoptr(CollectivePlan) efa = plan_on("p4de", 2, 1 << 28, &any);
    ck_assert_double_eq(infiniband->model.network_excess_s, 0);
    ck_assert_double_eq_tol(efa->model.network_excess_s, 12.5e-6, 1e-12);
    ck_assert_int_eq(efa->model.n_net_hops, 2);
}
END_TEST

/* On one node bytes on their way hide hops: together they take the root of the sum of squares.
 */
START_TEST(bytes_hide_hops_on_one_node)
{
    const NcclCalibration terms = {
        .hop_frac = {[HOPPER] = 8}, .fill_bytes = 1, .bandwidth_frac = {[ALGORITHM_TREE] = 1}};
    NcclPrediction model = tree_model;
    double latency_s, flow_s;
    model.one_node = TRUE;
    nccl_calibration_apply(&terms, &model, &latency_s, &flow_s);
    ck_assert_double_eq_tol(latency_s + flow_s, 15e-6 + hypot(8 * 5e-6, 30e-6), 1e-15);
    ck_assert_double_eq_tol(flow_s, 30e-6, 1e-15);
}
END_TEST

/* Turns of NVSwitches' blocks take what the links or what the blocks take, and filling them as
 * many turns more for a payload of many. */
START_TEST(nvswitches_move_bytes_in_turns)
{
    const NcclCalibration terms = {.fill_bytes = 1,
                                   .loop_s = 3e-6,
                                   .block_bytes_per_s = 1e9,
                                   .bandwidth_frac = {[ALGORITHM_NVLS] = 1},
                                   .fill_loops = {[ALGORITHM_NVLS] = 2}};
    NcclPrediction model = {.algorithm = ALGORITHM_NVLS,
                            .one_node = TRUE,
                            .payload_bytes = 8e6,
                            .loop_bytes = 1e6,
                            .n_blocks = 100,
                            .latency_s = 25e-6,
                            .flow_s = 8 * 20e-6};
    double latency_s, flow_s;
    nccl_calibration_apply(&terms, &model, &latency_s, &flow_s); /* links: 20 us a turn */
    ck_assert_double_eq_tol(flow_s, 8 * 20e-6, 1e-15);
    ck_assert_double_eq_tol(latency_s, 25e-6 + 2 * 20e-6 * 8 / 9, 1e-15);
    model.flow_s = 8 * 5e-6;
    nccl_calibration_apply(&terms, &model, &latency_s, &flow_s); /* blocks: 3 + 10 us */
    ck_assert_double_eq_tol(flow_s, 8 * 13e-6, 1e-15);
    ck_assert_double_eq_tol(latency_s, 25e-6 + 2 * 13e-6 * 8 / 9, 1e-15);
}
END_TEST

/* enqueue.cc's chunks: on eight H100, 16 blocks of 8 chunks each. Amazon's plug-in raises the
 * limit, and trees over four nodes or more have smaller ones without it. */
START_TEST(loops_are_of_nccls_chunks)
{
    static const struct {
        const char *platform;
        int n_nodes;
        Algorithm algorithm;
        gint64 payload_bytes;
        int chunk_bytes;
    } cases[] = {{"dgx-h100", 1, ALGORITHM_NVLS, 1 << 20, 16384},
                 {"dgx-h100", 1, ALGORITHM_NVLS, 1 << 23, 32768},
                 {"dgx-h100", 1, ALGORITHM_NVLS, 1 << 26, 65536},
                 {"dgx-h100", 1, ALGORITHM_NVLS, 1 << 30, 131072},
                 {"dgx-h100", 2, ALGORITHM_NVLS_TREE, 1 << 22, 32768},
                 {"dgx-h100", 2, ALGORITHM_NVLS_TREE, 1 << 23, 65536},
                 {"dgx-h100", 2, ALGORITHM_NVLS_TREE, 1 << 26, 131072},
                 {"dgx-h100", 4, ALGORITHM_NVLS_TREE, 1 << 30, 65536},
                 {"p5", 4, ALGORITHM_NVLS_TREE, 1 << 30, 262144},
                 {"p5", 1, ALGORITHM_NVLS, 1 << 30, 65536},
                 {"p5", 1, ALGORITHM_NVLS, G_GINT64_CONSTANT(1) << 32, 524288}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const NcclOptions options = {.algorithm = (int)cases[i].algorithm, .protocol = -1};
        g_autoptr(CollectivePlan) plan =
            plan_on(cases[i].platform, cases[i].n_nodes, cases[i].payload_bytes, &options);
        ck_assert_int_eq(plan->model.n_blocks, 16);
        ck_assert_double_eq(plan->model.loop_bytes, 16.0 * 8 * cases[i].chunk_bytes);
    }
}
END_TEST

static Protocol protocol_on(const char *platform, const NcclOptions *options)
{
    g_autoptr(CollectivePlan) plan = plan_on(platform, 2, 65536, options);
    return plan->protocol;
}

/* Amazon's first EFA lets the plug-in allow Simple alone, whatever the algorithm; who asks for
 * LL by name gets it, and so did everybody before there was LL128. */
START_TEST(networks_out_of_order_use_simple_alone)
{
    const NcclOptions any = {.algorithm = -1, .protocol = -1};
    const NcclOptions tree = {.algorithm = ALGORITHM_TREE, .protocol = -1};
    const NcclOptions ll = {.algorithm = -1, .protocol = PROTOCOL_LL};
    const NcclOptions old = {.algorithm = ALGORITHM_RING, .protocol = -1, .version = 204};
    ck_assert_int_eq(protocol_on("p4d", &any), PROTOCOL_SIMPLE);
    ck_assert_int_eq(protocol_on("p4d", &tree), PROTOCOL_SIMPLE);
    ck_assert_int_eq(protocol_on("p4d", &ll), PROTOCOL_LL);
    ck_assert_int_eq(protocol_on("p3dn", &old), PROTOCOL_LL);
    ck_assert_int_eq(protocol_on("p5", &any), PROTOCOL_LL);
}
END_TEST

static Algorithm algorithm_by(int version, int n_nodes, gint64 payload_bytes)
{
    const NcclOptions options = {.algorithm = -1, .protocol = -1, .version = version};
    g_autoptr(CollectivePlan) plan = plan_on("dgx-h100", n_nodes, payload_bytes, &options);
    return plan->algorithm;
}

/* Where the log of NCCL 2.26.2 in dgx-h100.csv leaves trees of GPUs for those of NVSwitches:
 * 0.5 to 1 MiB on two nodes, 2 MiB on four. Version 2.30 stays with the former for longer. */
START_TEST(releases_choose_otherwise)
{
    ck_assert_int_eq(algorithm_by(226, 2, 1 << 18), ALGORITHM_TREE);
    ck_assert_int_eq(algorithm_by(226, 2, 1 << 20), ALGORITHM_NVLS_TREE);
    ck_assert_int_eq(algorithm_by(230, 2, 1 << 20), ALGORITHM_TREE);
    ck_assert_int_eq(algorithm_by(226, 4, 1 << 20), ALGORITHM_TREE);
    ck_assert_int_eq(algorithm_by(226, 4, 1 << 21), ALGORITHM_NVLS_TREE);
    ck_assert_int_eq(algorithm_by(0, 4, 1 << 21), ALGORITHM_TREE);
}
END_TEST

START_TEST(releases_are_read)
{
    ck_assert_int_eq(collective_nccl_version("2.26.2"), 226);
    ck_assert_int_eq(collective_nccl_version("2.4"), 204);
    static const char *const none[] = {"", "2", "2.", "x", "2.26-1", "1.3", "2.126", "2.26x"};
    for (gsize i = 0; i < G_N_ELEMENTS(none); i++)
        ck_assert_int_eq(collective_nccl_version(none[i]), 0);
}
END_TEST

static Suite *terms_suite(void)
{
    Suite *suite = suite_create("nccl terms");
    TCase *tcase = tcase_create("terms");
    tcase_add_test(tcase, slow_networks_cost_by_the_hop);
    tcase_add_test(tcase, bytes_hide_hops_on_one_node);
    tcase_add_test(tcase, nvswitches_move_bytes_in_turns);
    tcase_add_test(tcase, loops_are_of_nccls_chunks);
    tcase_add_test(tcase, networks_out_of_order_use_simple_alone);
    tcase_add_test(tcase, releases_choose_otherwise);
    tcase_add_test(tcase, releases_are_read);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return suite_run(terms_suite());
}
