/* SPDX-License-Identifier: MIT */
/* What SimGrid makes of a platform: the links of each route, and how transfers share them. Each
 * simulation runs in a forked child, which answers through shared memory. What a platform's
 * file may say is test_platform.c's subject. */
#include "cluster.h"
#include "sim.h"
#include "sim_engine.h"

#include <check.h>
#include <simgrid/actor.h>
#include <simgrid/engine.h>
#include <simgrid/host.h>
#include <simgrid/link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xbt/dynar.h>

#define MAX_TRANSFERS 128

typedef struct {
    char from[64], to[64];
    double bytes;
    double end_s;    /* answer */
    char links[512]; /* answer: the route's links, each followed by a space */
} Transfer;

typedef struct {
    const char *xml_file;
    int n_transfers;
    Transfer transfers[MAX_TRANSFERS];
} Scenario;

static Scenario *scenario; /* shared with the children */

static void set_up(void)
{
    scenario =
        mmap(NULL, sizeof(Scenario), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(scenario != MAP_FAILED);
}

static void tear_down(void)
{
    munmap(scenario, sizeof(Scenario));
}

G_GNUC_PRINTF(2, 3)
static void name_print(char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_vsnprintf(name, 64, format, arguments);
    va_end(arguments);
}

static Transfer *transfer_add(double bytes)
{
    Transfer *transfer = &scenario->transfers[scenario->n_transfers++];
    ck_assert_int_le(scenario->n_transfers, MAX_TRANSFERS);
    *transfer = (Transfer){.bytes = bytes};
    return transfer;
}

static void transfer_actor(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    Transfer *transfer = sg_actor_get_data(sg_actor_self());
    sg_host_t from = sg_host_by_name(transfer->from), to = sg_host_by_name(transfer->to);
    xbt_dynar_t links = xbt_dynar_new(sizeof(sg_link_t), NULL);
    sg_host_get_route(from, to, links);
    for (unsigned i = 0; i < xbt_dynar_length(links); i++) {
        g_strlcat(transfer->links, sg_link_get_name(xbt_dynar_get_as(links, i, sg_link_t)),
                  sizeof transfer->links);
        g_strlcat(transfer->links, " ", sizeof transfer->links);
    }
    xbt_dynar_free(&links);
    sg_host_sendto(from, to, transfer->bytes);
    transfer->end_s = simgrid_get_clock();
}

static void scenario_run_in_child(void *data)
{
    Scenario *shared = data;
    sim_engine_load(shared->xml_file);
    for (int i = 0; i < shared->n_transfers; i++) {
        Transfer *transfer = &shared->transfers[i];
        sg_actor_t actor = sg_actor_init("transfer", sg_host_by_name(transfer->from));
        sg_actor_set_data(actor, transfer);
        sg_actor_start(actor, transfer_actor, 0, NULL);
    }
    simgrid_run();
}

/* All transfers start at 0. */
static void scenario_run(const Cluster *cluster)
{
    g_autofree char *complaint = NULL;
    scenario->xml_file = cluster->xml_file;
    SimChildEnd end = sim_engine_run_child(scenario_run_in_child, scenario, 60, &complaint);
    ck_assert_msg(end == SIM_CHILD_DONE, "%s", complaint);
}

static Cluster *preset(const char *const *overrides)
{
    g_autoptr(Experiment) experiment = experiment_load(NULL, overrides, NULL);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    Cluster *cluster = cluster_build(experiment, warnings, &error);
    ck_assert_msg(cluster != NULL, "%s", error ? error->message : "");
    ck_assert_uint_eq(warnings->len, 0);
    return cluster;
}

static char *shipped(const char *base)
{
    const char *root = g_getenv("srcdir") ? g_getenv("srcdir") : ".";
    return g_build_filename(root, "tests", "platforms", base, NULL);
}

static Cluster *platform_read(const char *file, GPtrArray *warnings, GError **error)
{
    g_autoptr(Cluster) cluster = cluster_new("test", file);
    if (!sim_platform_read(file, cluster, warnings, error))
        return NULL;
    return g_steal_pointer(&cluster);
}

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
    g_autofree char *file = shipped("two-nodes.xml");
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
    g_autofree char *file = shipped("one-node.xml");
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
    SRunner *runner = srunner_create(suite());
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
