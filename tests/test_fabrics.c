/* SPDX-License-Identifier: MIT */
/* Clusters of more than one type of node, and fabrics: trees of three levels limit where they
 * are oversubscribed, rails are those of a rack's trays, and dragonfly and torus are
 * SimGrid's own. */
#include "error.h"
#include "sim.h"
#include "suite_run.h"
#include "transfer_fixture.h"

#include <glib/gstdio.h>
#include <string.h>

static void set_up_without_latency(void)
{
    set_up();
    scenario->without_latency = TRUE;
}

/* A platform of 2 H100 nodes and 1 A100 node: each kind has its GPUs, NICs and rates; the
 * slower GPUs have their own memory and, where one profile is given for all, a speed. */
START_TEST(a_cluster_may_mix_node_types)
{
    g_autoptr(Experiment) experiment = experiment_load(
        NULL,
        (const char *const[]){"cluster.platform=2*dgx-h100+p4d", "cluster.nodes=3",
                              "gpu.profile=h100-sxm5-80gb", NULL},
        NULL);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_autoptr(Cluster) cluster = cluster_build(experiment, warnings, &error);
    ck_assert_msg(cluster != NULL, "%s", error ? error->message : "");
    ck_assert_int_eq(cluster->n_nodes, 3);
    ck_assert_int_eq(cluster_n_ranks(cluster), 24);
    ck_assert_uint_eq(warnings->len, 1);
    ck_assert_ptr_nonnull(strstr(g_ptr_array_index(warnings, 0), "gpu.profile"));
    const ClusterGpu *fast = cluster_gpu(cluster, 15), *slow = cluster_gpu(cluster, 16);
    ck_assert_str_eq(fast->gpu, "h100-sxm5-80gb");
    ck_assert_str_eq(slow->gpu, "a100-sxm4-40gb");
    ck_assert_double_lt(fast->speed, 1); /* the slowest of the job sets its pace */
    ck_assert_double_eq_tol(slow->speed / fast->speed, 271.0 / 794, 1e-9);
    ck_assert_int_lt(slow->memory_bytes, fast->memory_bytes);
    ck_assert_str_eq(cluster_gpu(cluster, 17)->nic_host, "node-0002-nic-0");
    ck_assert_double_eq(cluster->nic_bytes_per_s, 0.97 * 12.5e9);
    Transfer *transfer = transfer_add(0.97 * 12.5e9);
    name_print(transfer->from, "node-0000-nic-3");
    name_print(transfer->to, "node-0002-nic-3");
    scenario_run(cluster);
    ck_assert_double_eq_tol(transfer->end_s, 1, 1e-6);
}
END_TEST

static const struct {
    const char *const overrides[3];
    const char *part;
} bad_mixes[] = {
    {{"cluster.platform=0*dgx-h100"}, "must be a number of nodes"},
    {{"cluster.platform=x*dgx-h100"}, "must be a number of nodes"},
    {{"cluster.platform=2*dgx-h10+p4d"}, "did you mean dgx-h100?"},
    {{"cluster.platform=2*dgx-h100+"}, "no platform"},
    {{"cluster.platform=2*dgx-h100+p4d", "cluster.nodes=1"}, "cluster.nodes is 1, and"},
    {{"cluster.platform=dgx-h100+4xgh200", "cluster.gpus_per_node=8"}, "from 1 to 4"},
};

START_TEST(a_bad_mix_is_one_line)
{
    g_autoptr(Experiment) experiment = experiment_load(NULL, bad_mixes[_i].overrides, NULL);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    ck_assert(experiment != NULL);
    ck_assert_ptr_null(cluster_build(experiment, warnings, &error));
    ck_assert(g_error_matches(error, ZEROSIM_ERROR, ERROR_INPUT));
    ck_assert_msg(strstr(error->message, bad_mixes[_i].part) != NULL, "%s", error->message);
    ck_assert_ptr_null(strchr(error->message, '\n'));
}
END_TEST

/* A spec that no experiment says, as a platform. */
static Cluster *spec_build(const ClusterSpec *spec)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    ck_assert(cluster_spec_validate(spec, "", NULL));
    Cluster *cluster = cluster_build_spec("spec", spec, warnings, &error);
    ck_assert_msg(cluster != NULL, "%s", error ? error->message : "");
    return cluster;
}

/* Leaves of one node with 4 NICs of 12.125 GB/s each, 4 leaves a pod, so 16 nodes are 4 pods.
 * The 16 NICs of a pod send at once to those of the next pod, as oversubscription and ECMP let
 * them. Seconds for what a NIC sends in one. */
static const struct {
    double oversubscription, spine_oversubscription, ecmp_efficiency, seconds;
} tall_trees[] = {{1, 1, 1, 1}, {1, 0, 0, 1},   {2, 1, 1, 2},     {1, 3, 1, 3},
                  {2, 2, 1, 4}, {1, 1, 0.5, 2}, {2, 1, 0.8, 2.5}, {1, 2, 0.8, 2.5}};

START_TEST(a_tree_of_three_levels_limits_at_each)
{
    g_autoptr(NodeType) node = node_type_load("p4d", NULL);
    node->leaf_ports = 4;
    ClusterSpec spec = {.node = node,
                        .n_nodes = 16,
                        .fabric = FABRIC_FAT_TREE_3,
                        .oversubscription = tall_trees[_i].oversubscription,
                        .spine_oversubscription = tall_trees[_i].spine_oversubscription,
                        .ecmp_efficiency = tall_trees[_i].ecmp_efficiency};
    g_autoptr(Cluster) cluster = spec_build(&spec);
    for (int i = 0; i < 16; i++) {
        Transfer *transfer = transfer_add(0.97 * 12.5e9);
        name_print(transfer->from, "node-%04d-nic-%d", i / 4, i % 4);
        name_print(transfer->to, "node-%04d-nic-%d", 4 + i / 4, i % 4);
    }
    scenario_run(cluster);
    ck_assert_ptr_nonnull(strstr(scenario->transfers[0].links,
                                 "leaf:leaf-00-up spine:pod-0-up spine:pod-1-down "
                                 "leaf:leaf-04-down "));
    for (int i = 0; i < 16; i++)
        ck_assert_double_eq_tol(scenario->transfers[i].end_s, tall_trees[_i].seconds, 1e-6);
    g_clear_pointer(&cluster, cluster_free);
}
END_TEST

/* Within a pod the core is not on the way. */
START_TEST(a_pod_stays_below_the_core)
{
    g_autoptr(NodeType) node = node_type_load("p4d", NULL);
    node->leaf_ports = 4;
    ClusterSpec spec = {
        .node = node, .n_nodes = 8, .fabric = FABRIC_FAT_TREE_3, .oversubscription = 1};
    g_autoptr(Cluster) cluster = spec_build(&spec);
    Transfer *transfer = transfer_add(1);
    name_print(transfer->from, "node-0000-nic-0");
    name_print(transfer->to, "node-0003-nic-0");
    scenario_run(cluster);
    ck_assert_ptr_nonnull(strstr(transfer->links, "leaf:leaf-0-up leaf:leaf-3-down "));
    ck_assert_ptr_null(strstr(transfer->links, "spine:"));
    g_clear_pointer(&cluster, cluster_free);
}
END_TEST

/* A rack of 18 trays has 4 rails, not 72: NIC 5 is NIC 1 of its tray. */
START_TEST(rails_of_a_rack_are_those_of_its_trays)
{
    g_autoptr(Cluster) cluster =
        preset((const char *const[]){"cluster.platform=gb200-nvl72", "cluster.nodes=3", NULL});
    Transfer *transfer = transfer_add(1);
    name_print(transfer->from, "node-0000-nic-05");
    name_print(transfer->to, "node-0002-nic-09");
    scenario_run(cluster);
    ck_assert_ptr_nonnull(
        strstr(transfer->links, "leaf:rail-1-leaf-0-up leaf:rail-1-leaf-1-down"));
}
END_TEST

/* The experiment's keys reach the fabric: 64 leaves of 4 nodes are 2 pods of 32. */
START_TEST(an_experiment_says_its_fabric)
{
    g_autoptr(Cluster) cluster = preset((const char *const[]){
        "cluster.platform=dgx-h100", "cluster.nodes=132", "cluster.gpus_per_node=1",
        "cluster.fabric=fat-tree-3", "cluster.oversubscription=2",
        "cluster.spine_oversubscription=4", "cluster.ecmp_efficiency=0.5", NULL});
    g_autofree char *xml = NULL;
    ck_assert(g_file_get_contents(cluster->xml_file, &xml, NULL, NULL));
    ck_assert_ptr_nonnull(strstr(xml, "fat-tree-3 fabric, 33 leaves, 2:1, 4:1 above, ECMP "
                                      "efficiency 0.5, "));
    /* 32 NICs of 48.5 GB/s over 2, times 0.5; 32 such leaves over 4. */
    ck_assert_ptr_nonnull(strstr(xml, "id=\"leaf:leaf-00-up\" bandwidth=\"388000000000Bps\""));
    ck_assert_ptr_nonnull(strstr(xml, "id=\"spine:pod-0-up\" bandwidth=\"3104000000000Bps\""));
}
END_TEST

static const struct {
    const char *overrides[3], *part;
    ErrorCode code;
} bad_fabrics[] = {
    {{"cluster.fabric=dragonfly"},
     "cluster.topology must be a dragonfly of 16 NICs",
     ERROR_INPUT},
    {{"cluster.fabric=torus", "cluster.topology=4,2"},
     "must be a torus of 16 NICs, like 4,4,2, not \"4,2\"",
     ERROR_INPUT},
    {{"cluster.fabric=torus", "cluster.topology=4,-4"}, "must be a torus", ERROR_INPUT},
    {{"cluster.fabric=dragonfly", "cluster.topology=2,1;2,1;4,1"},
     "must be a dragonfly",
     ERROR_INPUT},
    {{"cluster.fabric=torus", "cluster.topology=4,4", "cluster.oversubscription=2"},
     "oversubscription or ecmp_efficiency is not modelled",
     ERROR_UNMODELLED},
    {{"cluster.topology=4,4"}, "cluster.topology goes with", ERROR_INPUT},
    {{"cluster.spine_oversubscription=2"}, "goes with fabric = fat-tree-3", ERROR_INPUT},
};

/* Two nodes of 8 NICs. Torus 8 x 2: NIC 3 of one node beside NIC 3 of the other, NIC 6 two
 * cables away over the ring of 8. Dragonfly of 2 groups of 2 routers: a way to the other node
 * is up, one cable between groups and perhaps one in a group, and down. */
static const struct {
    const char *fabric, *topology, *to, *links;
} direct[] = {
    {"torus", "8,2", "nic-11", "nic:fabric_link_from_3_to_11_UP "},
    {"torus", "8,2", "nic-5", "nic:fabric_link_from_3_to_4_UP nic:fabric_link_from_4_to_5_UP "},
    {"dragonfly", "2,1;1,1;2,1;4", "nic-2",
     "local_link_from_router_0_to_node_3_3_UP local_link_from_router_0_to_node_2_2_DOWN "},
    {"dragonfly", "2,1;1,1;2,1;4", "nic-11", NULL},
};

START_TEST(nics_may_be_joined_directly)
{
    g_autofree char *fabric = g_strdup_printf("cluster.fabric=%s", direct[_i].fabric);
    g_autofree char *topology = g_strdup_printf("cluster.topology=%s", direct[_i].topology);
    g_autoptr(Experiment) experiment =
        experiment_load(NULL,
                        (const char *const[]){"cluster.platform=dgx-h100", "cluster.nodes=2",
                                              fabric, topology, NULL},
                        NULL);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_autoptr(Cluster) cluster = cluster_build(experiment, warnings, &error);
    ck_assert_msg(cluster != NULL, "%s", error ? error->message : "");
    ck_assert_str_eq(cluster_gpu(cluster, 11)->nic_host, "nic-11");
    ck_assert_double_eq(cluster->nic_bytes_per_s, 48.5e9);
    /* NICs have no engine links there, which is said. */
    ck_assert_uint_eq(warnings->len, 1);
    ck_assert_ptr_nonnull(strstr(g_ptr_array_index(warnings, 0), "engine:nic-0-up"));
    Transfer *there = transfer_add(48.5e9), *back = transfer_add(48.5e9);
    name_print(there->from, "nic-3");
    name_print(there->to, "%s", direct[_i].to);
    name_print(back->from, "%s", direct[_i].to);
    name_print(back->to, "nic-3");
    scenario_run(cluster);
    ck_assert_double_eq_tol(there->end_s, 1, 1e-6);
    ck_assert_double_eq_tol(back->end_s, 1, 1e-6);
    if (direct[_i].links)
        ck_assert_str_eq(there->links, direct[_i].links);
    else
        ck_assert_ptr_nonnull(strstr(there->links, "blue_link_between_group_0_and_1"));
}
END_TEST

START_TEST(a_fabric_that_cannot_be_says_so)
{
    const char *const *more = bad_fabrics[_i].overrides;
    g_autoptr(Experiment) experiment =
        experiment_load(NULL,
                        (const char *const[]){"cluster.platform=dgx-h100", "cluster.nodes=2",
                                              more[0], more[0] ? more[1] : NULL,
                                              more[0] && more[1] ? more[2] : NULL, NULL},
                        NULL);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(cluster_build(experiment, warnings, &error));
    ck_assert(g_error_matches(error, ZEROSIM_ERROR, (int)bad_fabrics[_i].code));
    ck_assert_msg(strstr(error->message, bad_fabrics[_i].part) != NULL, "%s", error->message);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("fabrics");
    TCase *between = tcase_create("between nodes");
    tcase_add_checked_fixture(between, set_up_without_latency, tear_down);
    tcase_add_test(between, a_cluster_may_mix_node_types);
    tcase_add_loop_test(between, a_bad_mix_is_one_line, 0, G_N_ELEMENTS(bad_mixes));
    tcase_add_loop_test(between, a_tree_of_three_levels_limits_at_each, 0,
                        G_N_ELEMENTS(tall_trees));
    tcase_add_test(between, a_pod_stays_below_the_core);
    tcase_add_test(between, rails_of_a_rack_are_those_of_its_trays);
    tcase_add_test(between, an_experiment_says_its_fabric);
    tcase_add_loop_test(between, nics_may_be_joined_directly, 0, G_N_ELEMENTS(direct));
    tcase_add_loop_test(between, a_fabric_that_cannot_be_says_so, 0, G_N_ELEMENTS(bad_fabrics));
    suite_add_tcase(suite, between);
    return suite;
}

int main(void)
{
    return suite_run(suite());
}
