/* SPDX-License-Identifier: MIT */
/* What SimGrid makes of a platform: the links of each route, and how transfers share them. What
 * a platform's file may say is test_platform.c's subject, the installed node types are
 * test_presets.c's. */
#include "clusters.h"
#include "sim.h"
#include "suite_run.h"
#include "transfer_fixture.h"

#include <string.h>

START_TEST(inside_a_node_a_route_is_up_to_the_nvswitch_and_down)
{
    g_autoptr(Cluster) cluster =
        preset((const char *const[]){"cluster.platform=dgx-h100", NULL});
    for (int to = 1; to < 8; to++) {
        Transfer *transfer = transfer_add(1);
        name_print(transfer->from, "node-0000-gpu-0");
        name_print(transfer->to, "node-0000-gpu-%d", to);
    }
    scenario_run(cluster);
    for (int to = 1; to < 8; to++) {
        g_autofree char *expected =
            g_strdup_printf("engine:node-0000-gpu-0-up nvlink:node-0000-gpu-0-up "
                            "nvlink:node-0000-gpu-%d-down engine:node-0000-gpu-%d-down ",
                            to, to);
        ck_assert_str_eq(scenario->transfers[to - 1].links, expected);
    }
}
END_TEST

/* GPU i of a node talks to GPU i of another through rail i alone: its NIC, that rail's leaf,
 * the other NIC; no spine, no other rail. */
START_TEST(between_nodes_every_rail_uses_its_own_links)
{
    g_autoptr(Cluster) cluster =
        preset((const char *const[]){"cluster.platform=dgx-h100", "cluster.nodes=3", NULL});
    for (int rail = 0; rail < 8; rail++) {
        Transfer *transfer = transfer_add(1);
        const ClusterGpu *from = cluster_gpu(cluster, rail);
        const ClusterGpu *to = cluster_gpu(cluster, 16 + rail);
        name_print(transfer->from, "%s", from->nic_host);
        name_print(transfer->to, "%s", to->nic_host);
    }
    scenario_run(cluster);
    for (int rail = 0; rail < 8; rail++) {
        g_autofree char *expected = g_strdup_printf(
            "engine:node-0000-nic-%d-up pcie:node-0000-nic-%d-up nic:node-0000-nic-%d-up "
            "nic:node-0002-nic-%d-down pcie:node-0002-nic-%d-down "
            "engine:node-0002-nic-%d-down ",
            rail, rail, rail, rail, rail, rail);
        ck_assert_str_eq(scenario->transfers[rail].links, expected);
    }
}
END_TEST

/* From rail 0 to rail 1 the way is through both leaves and the spine. */
START_TEST(between_rails_the_way_is_through_the_spine)
{
    g_autoptr(Cluster) cluster =
        preset((const char *const[]){"cluster.platform=dgx-h100", "cluster.nodes=2", NULL});
    Transfer *transfer = transfer_add(1);
    name_print(transfer->from, "node-0000-nic-0");
    name_print(transfer->to, "node-0001-nic-1");
    scenario_run(cluster);
    ck_assert_str_eq(transfer->links,
                     "engine:node-0000-nic-0-up pcie:node-0000-nic-0-up nic:node-0000-nic-0-up "
                     "leaf:rail-0-leaf-0-up leaf:rail-1-leaf-0-down nic:node-0001-nic-1-down "
                     "pcie:node-0001-nic-1-down engine:node-0001-nic-1-down ");
}
END_TEST

/* 48.5 GB over a NIC of 50 GB/s with 97 % for payload: 1 s, plus 0.75 us at each end. Eight of
 * them on eight rails take no longer, and the ways back none either. */
START_TEST(eight_rails_and_both_directions_take_the_time_of_one)
{
    g_autoptr(Cluster) cluster =
        preset((const char *const[]){"cluster.platform=dgx-h100", "cluster.nodes=2", NULL});
    for (int rail = 0; rail < 8; rail++) {
        for (int node = 0; node < 2; node++) {
            Transfer *transfer = transfer_add(48.5e9);
            name_print(transfer->from, "node-%04d-nic-%d", node, rail);
            name_print(transfer->to, "node-%04d-nic-%d", 1 - node, rail);
        }
    }
    scenario_run(cluster);
    for (int i = 0; i < 16; i++)
        ck_assert_double_eq_tol(scenario->transfers[i].end_s, 1 + 1.5e-6, 1e-9);
}
END_TEST

/* Latency + bytes / bandwidth, for sizes from a byte to a gigabyte. */
START_TEST(a_transfer_takes_latency_and_bytes_over_bandwidth)
{
    static const double bytes[] = {1, 1e3, 1e6, 1e9};
    g_autofree char *file = shipped_platform("two-nodes.xml");
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Cluster) cluster = platform_read(file, warnings, NULL);
    ck_assert(cluster != NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(bytes); i++) {
        scenario->n_transfers = 0;
        Transfer *nvlink = transfer_add(bytes[i]), *nic = transfer_add(bytes[i]);
        name_print(nvlink->from, "n0g0");
        name_print(nvlink->to, "n0g1");
        name_print(nic->from, "n0nic");
        name_print(nic->to, "n1nic");
        scenario_run(cluster);
        ck_assert_double_eq_tol(nvlink->end_s, 2e-6 + bytes[i] / 100e9, 1e-9);
        ck_assert_double_eq_tol(nic->end_s, 2e-6 + bytes[i] / 10e9, 1e-9);
    }
}
END_TEST

START_TEST(two_transfers_over_one_link_take_twice_as_long)
{
    g_autofree char *file = shipped_platform("one-node.xml");
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Cluster) cluster = platform_read(file, warnings, NULL);
    ck_assert(cluster != NULL);
    for (int to = 1; to <= 2; to++) {
        Transfer *transfer = transfer_add(100e9);
        name_print(transfer->from, "n0g0");
        name_print(transfer->to, "n0g%d", to);
    }
    scenario_run(cluster);
    for (int i = 0; i < 2; i++)
        ck_assert_double_eq_tol(scenario->transfers[i].end_s, 2 + 2e-6, 1e-9);
}
END_TEST

/* A leaf of 32 ports holds 4 nodes of a fat tree. All 32 of its NICs send to the other leaf at
 * once: with 1:1 cables each gets its line rate, with 2:1 half of it. */
static double saturated_leaf_s(const char *oversubscription)
{
    g_autoptr(Cluster) cluster =
        preset((const char *const[]){"cluster.platform=dgx-h100", "cluster.nodes=8",
                                     "cluster.fabric=fat-tree", oversubscription, NULL});
    scenario->n_transfers = 0;
    for (int i = 0; i < 32; i++) {
        Transfer *transfer = transfer_add(48.5e9);
        name_print(transfer->from, "node-%04d-nic-%d", i / 8, i % 8);
        name_print(transfer->to, "node-%04d-nic-%d", 4 + i / 8, i % 8);
    }
    scenario_run(cluster);
    ck_assert_ptr_nonnull(
        strstr(scenario->transfers[0].links, "leaf:leaf-0-up leaf:leaf-1-down"));
    for (int i = 1; i < 32; i++)
        ck_assert_double_eq_tol(scenario->transfers[i].end_s, scenario->transfers[0].end_s,
                                1e-9);
    return scenario->transfers[0].end_s;
}

START_TEST(oversubscription_halves_a_saturated_leaf)
{
    const double latency_s = 2 * 0.75e-6 + 2 * 0.25e-6;
    ck_assert_double_eq_tol(saturated_leaf_s("cluster.oversubscription=1"), 1 + latency_s,
                            1e-9);
    ck_assert_double_eq_tol(saturated_leaf_s("cluster.oversubscription=2"), 2 + latency_s,
                            1e-9);
}
END_TEST

/* 33 nodes have two leaves a rail, which meet at the spine. */
START_TEST(a_rail_of_many_nodes_has_several_leaves)
{
    g_autoptr(Cluster) cluster =
        preset((const char *const[]){"cluster.platform=dgx-h100", "cluster.nodes=33", NULL});
    Transfer *transfer = transfer_add(1);
    name_print(transfer->from, "node-0000-nic-5");
    name_print(transfer->to, "node-0032-nic-5");
    scenario_run(cluster);
    ck_assert_ptr_nonnull(
        strstr(transfer->links, " leaf:rail-5-leaf-0-up leaf:rail-5-leaf-1-down "));
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("routes");
    TCase *routes = tcase_create("routes and transfers");
    tcase_set_timeout(routes, 120);
    tcase_add_checked_fixture(routes, set_up, tear_down);
    tcase_add_test(routes, inside_a_node_a_route_is_up_to_the_nvswitch_and_down);
    tcase_add_test(routes, between_nodes_every_rail_uses_its_own_links);
    tcase_add_test(routes, between_rails_the_way_is_through_the_spine);
    tcase_add_test(routes, eight_rails_and_both_directions_take_the_time_of_one);
    tcase_add_test(routes, a_transfer_takes_latency_and_bytes_over_bandwidth);
    tcase_add_test(routes, two_transfers_over_one_link_take_twice_as_long);
    tcase_add_test(routes, oversubscription_halves_a_saturated_leaf);
    tcase_add_test(routes, a_rail_of_many_nodes_has_several_leaves);
    suite_add_tcase(suite, routes);
    return suite;
}

int main(void)
{
    return suite_run(suite());
}
