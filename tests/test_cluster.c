/* SPDX-License-Identifier: MIT */
/* Node presets and the experiment's cluster keys: what is read, what is refused and how, which
 * leaf switches a fabric has. What SimGrid makes of the XML is test_platform.c's subject. */
#include "cluster.h"
#include "error.h"
#include "suite_run.h"

#include <check.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

/* A user's mistake is one line with the right code that contains `part`. */
static void check_input_error(const GError *error, const char *part)
{
    ck_assert_msg(error != NULL, "no error; expected '%s'", part);
    ck_assert(g_error_matches(error, ZEROSIM_ERROR, ERROR_INPUT));
    ck_assert_msg(strstr(error->message, part) != NULL, "'%s' lacks '%s'", error->message,
                  part);
    ck_assert_msg(strchr(error->message, '\n') == NULL, "more than a line: %s", error->message);
}

START_TEST(presets_are_listed_in_order)
{
    g_autoptr(GPtrArray) names = node_type_list();
    ck_assert_uint_ge(names->len, 2);
    for (guint i = 1; i < names->len; i++)
        ck_assert_str_lt(g_ptr_array_index(names, i - 1), g_ptr_array_index(names, i));
}
END_TEST

/* NVIDIA's data sheets: 900 and 600 GB/s both ways together; 8 ports of 400 and 200 Gb/s. */
START_TEST(presets_hold_the_data_sheets_numbers)
{
    g_autoptr(NodeType) h100 = node_type_load("dgx-h100", NULL);
    g_autoptr(NodeType) a100 = node_type_load("dgx-a100-80gb", NULL);
    ck_assert(h100 && a100);
    ck_assert_str_eq(h100->gpu, "h100-sxm5-80gb");
    ck_assert_str_eq(a100->gpu, "a100-sxm4-80gb");
    ck_assert_int_eq(h100->n_gpus * h100->n_nics, 64);
    ck_assert_int_eq(a100->n_gpus * a100->n_nics, 64);
    ck_assert_double_eq(h100->nvlink_bytes_per_s, 900e9 / 2);
    ck_assert_double_eq(a100->nvlink_bytes_per_s, 600e9 / 2);
    ck_assert_double_eq(h100->nic_bytes_per_s, 400e9 / 8);
    ck_assert_double_eq(a100->nic_bytes_per_s, 200e9 / 8);
    ck_assert_str_eq(h100->cpu, "intel");
    ck_assert_str_eq(a100->cpu, "amd");
}
END_TEST

START_TEST(every_fact_of_every_preset_names_its_source)
{
    g_autoptr(GPtrArray) names = node_type_list();
    for (guint i = 0; i < names->len; i++) {
        g_autoptr(NodeType) node = node_type_load(g_ptr_array_index(names, i), NULL);
        ck_assert(node != NULL);
        for (guint k = 0; k < node->facts->len; k++) {
            const NodeFact *fact = g_ptr_array_index(node->facts, k);
            ck_assert_msg(strlen(fact->source) > 10, "%s: %s has no source", node->name,
                          fact->key);
        }
    }
}
END_TEST

#define GOOD                                                                                   \
    "# a comment\n\n[node]\ngpu = x\nn_gpus = 8\nn_nics = 4\nnvlink = "                        \
    "switch\nnvlink_bytes_per_s = 100e9\n"                                                     \
    "nvlink_latency_s = 1e-6\npcie_bytes_per_s = 50e9\nnic_bytes_per_s = 10e9\n"               \
    "nic_efficiency_frac = 1\nnic_latency_s = 1e-6\nswitch_latency_s = 1e-6\nleaf_ports = 8\n" \
    "cpu = intel\n"

/* `from` of GOOD becomes `to`; the message has `part`. */
static const struct {
    const char *from, *to, *part;
} bad_node_types[] = {
    {"n_gpus = 8", "n_gpus = 8 # c", ":5: n_gpus must be a whole number from 1 to 1024, not"},
    {"n_gpus = 8", "n_gpus = 0", "n_gpus must be"},
    {"n_gpus = 8", "n_gpus = 8.5", "n_gpus must be"},
    {"n_gpus = 8", "n_gpus = 99999999999999999999", "n_gpus must be"},
    {"n_gpus = 8", "n_gpus =", "\"n_gpus\" has no value"},
    {"n_gpus = 8", "n_gpus = 8\nn_gpus = 8", ":6: key \"n_gpus\" is there twice"},
    {"n_gpus = 8", "n_gpu = 8", ":5: key \"n_gpu\" is none of a node type's"},
    {"n_gpus = 8\n", "", "lacks the key 'n_gpus'"},
    {"n_gpus = 8", "[node]", "[node]"},
    {"= 100e9", "= nan", "nvlink_bytes_per_s must be a number"},
    {"leaf_ports", "nccl_only_simple = 0.5\nleaf_ports",
     "nccl_only_simple must be a whole number from 0 to 1"},
    {"= 100e9", "= -1", "nvlink_bytes_per_s must be a number"},
    {"= 100e9", "= 0", "nvlink_bytes_per_s must be a number"},
    {"= 100e9", "= 1e400", "nvlink_bytes_per_s must be a number"},
    {"= 100e9", "= fast", "not \"fast\""},
    {"_frac = 1", "_frac = 1.01", "nic_efficiency_frac must be a number"},
    {"[node]", "[nodes]", ":3: expected [node]"},
    {"[node]\n", "", ":3: expected [node]"},
    {"= intel", "= vax", "cpu must be intel, amd or other, not \"vax\""},
    {"gpu = x", "gpu = \xff", "not a text file"},
};

/* `from` of a good mesh or PCIe node becomes `to`. */
#define MESH                                                                                   \
    "[node]\ngpu = x\nn_gpus = 4\nn_nics = 2\nnvlink = mesh\nnvlink_bytes_per_s = 100e9\n"     \
    "nvlink_latency_s = 1e-6\nnvlink_wires = 0-1:2 2-3:2 0-2 1-3 0-3 1-2\n"                    \
    "nvlink_rings = 0-1-2-3 0-1-3-2\nn_pcie_switches = 2\nn_sockets = 2\n"                     \
    "pcie_gpu_bytes_per_s = 1e9\npcie_uplink_bytes_per_s = 1e9\nsocket_bytes_per_s = 1e9\n"    \
    "pcie_latency_s = 0\npcie_bytes_per_s = 50e9\nnic_bytes_per_s = 10e9\n"                    \
    "nic_efficiency_frac = 1\nnic_latency_s = 1e-6\nswitch_latency_s = 1e-6\nleaf_ports = 8\n" \
    "cpu = intel\n"

static const struct {
    const char *from, *to, *part;
} bad_meshes[] = {
    {"= mesh", "= switch", "'nvlink_wires' means nothing with nvlink = switch"},
    {"= mesh", "= none", "'nvlink_bytes_per_s' means nothing with nvlink = none"},
    {"= mesh", "= star", "nvlink must be switch, mesh or none, not \"star\""},
    {"nvlink_rings = 0-1-2-3 0-1-3-2\n", "", "lacks the key 'nvlink_rings'"},
    {"n_sockets = 2\n", "", "lacks the key 'n_sockets'"},
    {"0-1:2 2-3:2", "0-4:2 2-3:2",
     "nvlink_wires: \"0-4:2\" must be different GPUs from 0 to 3"},
    {"0-1:2 2-3:2", "0-0:2 2-3:2", "nvlink_wires: \"0-0:2\""},
    {"0-1:2 2-3:2", "0-1:0 2-3:2", "nvlink_wires: \"0-1:0\""},
    {"0-1:2 2-3:2", "0-1:2 1-0:2",
     "nvlink_wires: 1-0:2 must be a pair of GPUs, and there once"},
    {"0-1:2 2-3:2", "0-1-2 2-3:2", "nvlink_wires: 0-1-2 must be a pair"},
    {"0-1:2 2-3:2", "0-1:3 2-3:2", "nvlink_wires: GPU 2 has 4 links and GPU 0 has 5"},
    {"0-1-2-3 0", "0-1-2 0", "nvlink_rings: ring 0-1-2 must visit all 4 GPUs"},
    {"0-1-2-3 0", "0-1-2-3:3 0",
     "nvlink_rings: rings use 4 links from GPU 0 to GPU 1, which has 2"},
    {"n_nics = 2", "n_nics = 6", "n_nics must be a multiple of n_gpus (4) or less, not 6"},
    {"n_pcie_switches = 2", "n_pcie_switches = 3", "spread evenly over 3 PCIe switches"},
    {"n_sockets = 2", "n_sockets = 3", "spread evenly"},
    {"n_nics = 2", "n_nics = 2\nn_trays = 3", "spread evenly over 3 trays"},
};

START_TEST(a_bad_mesh_is_one_line_with_file_and_key)
{
    g_autofree char *dir = g_dir_make_tmp("zerosim-test-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(dir, "bad.conf", NULL);
    g_autoptr(GString) text = g_string_new(MESH);
    g_autoptr(GError) error = NULL;
    ck_assert(g_file_set_contents(file, text->str, -1, NULL));
    g_autoptr(NodeType) good = node_type_load(file, &error);
    ck_assert_msg(good != NULL, "%s", error ? error->message : "");
    ck_assert_uint_eq(g_string_replace(text, bad_meshes[_i].from, bad_meshes[_i].to, 1), 1);
    ck_assert(g_file_set_contents(file, text->str, -1, NULL));
    ck_assert_ptr_null(node_type_load(file, &error));
    check_input_error(error, bad_meshes[_i].part);
    check_input_error(error, "bad.conf");
    g_unlink(file);
    g_rmdir(dir);
}
END_TEST

START_TEST(a_bad_node_type_is_one_line_with_file_and_key)
{
    g_autofree char *dir = g_dir_make_tmp("zerosim-test-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(dir, "bad.conf", NULL);
    g_autoptr(GString) text = g_string_new(GOOD);
    guint n_replaced =
        g_string_replace(text, bad_node_types[_i].from, bad_node_types[_i].to, 1);
    ck_assert_uint_eq(n_replaced, 1);
    ck_assert(g_file_set_contents(file, text->str, -1, NULL));
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(node_type_load(file, &error));
    check_input_error(error, bad_node_types[_i].part);
    check_input_error(error, "bad.conf");
    g_unlink(file);
    g_rmdir(dir);
}
END_TEST

/* The table above changes one thing each; unchanged, the file is good. */
START_TEST(a_users_own_node_type_is_read_by_path)
{
    g_autofree char *dir = g_dir_make_tmp("zerosim-test-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(dir, "mine.conf", NULL);
    ck_assert(g_file_set_contents(file, GOOD, -1, NULL));
    g_autoptr(NodeType) node = node_type_load(file, NULL);
    ck_assert(node != NULL);
    ck_assert_str_eq(node->name, "mine");
    ck_assert_int_eq(node->n_nics, 4);
    ck_assert_double_eq(node->nvlink_latency_s, 1e-6);
    g_unlink(file);
    g_rmdir(dir);
}
END_TEST

START_TEST(an_unknown_preset_is_answered_with_the_nearest_or_the_list)
{
    g_autoptr(GError) near = NULL, far = NULL;
    ck_assert_ptr_null(node_type_load("dgx-h10", &near));
    check_input_error(near, "\"dgx-h10\": did you mean dgx-h100?");
    ck_assert_ptr_null(node_type_load("abacus", &far));
    check_input_error(far, "\"abacus\"");
    check_input_error(far, "zerosim platform --list");
}
END_TEST

/* 8 NICs a node. Rails: a leaf of 32 ports holds one NIC of each of 32 nodes, so a rail has one
 * leaf up to 32 nodes. Fat-tree: it holds all NICs of 4 nodes. One node has no fabric. */
static const struct {
    Fabric fabric;
    int n_nodes, n_leaves;
} leaves[] = {
    {FABRIC_RAIL, 1, 0},        {FABRIC_RAIL, 2, 8},     {FABRIC_RAIL, 32, 8},
    {FABRIC_RAIL, 33, 16},      {FABRIC_RAIL, 128, 32},  {FABRIC_FAT_TREE, 1, 0},
    {FABRIC_FAT_TREE, 4, 1},    {FABRIC_FAT_TREE, 5, 2}, {FABRIC_FAT_TREE, 8, 2},
    {FABRIC_FAT_TREE, 128, 32},
};

START_TEST(leaves_are_as_many_as_the_nics_need)
{
    g_autoptr(NodeType) node = node_type_load("dgx-h100", NULL);
    ClusterSpec spec = {.node = node,
                        .n_nodes = leaves[_i].n_nodes,
                        .gpus_per_node = 8,
                        .fabric = leaves[_i].fabric,
                        .oversubscription = 1};
    ck_assert_int_eq(cluster_spec_n_leaves(&spec), leaves[_i].n_leaves);
}
END_TEST

static const struct {
    int n_nodes, gpus_per_node;
    double oversubscription;
    const char *part;
} bad_specs[] = {
    {0, 8, 1, "conf: cluster.nodes must be from 1"},
    {-1, 8, 1, "cluster.nodes"},
    {G_MAXINT, 8, 1, "cluster.nodes"},
    {1, -1, 1, "cluster.gpus_per_node must be from 1 to 8"},
    {1, 9, 1, "cluster.gpus_per_node must be from 1 to 8"},
    {1, 8, 0.5, "cluster.oversubscription must be from 1"},
    {1, 8, -1, "cluster.oversubscription"},
    {1, 8, NAN, "cluster.oversubscription"},
    {1, 8, INFINITY, "cluster.oversubscription"},
};

START_TEST(counts_out_of_range_are_named)
{
    g_autoptr(NodeType) node = node_type_load("dgx-h100", NULL);
    ClusterSpec spec = {.node = node,
                        .n_nodes = bad_specs[_i].n_nodes,
                        .gpus_per_node = bad_specs[_i].gpus_per_node,
                        .oversubscription = bad_specs[_i].oversubscription};
    g_autoptr(GError) error = NULL;
    ck_assert(!cluster_spec_validate(&spec, "conf: cluster.", &error));
    check_input_error(error, bad_specs[_i].part);
}
END_TEST

START_TEST(the_same_spec_gives_the_same_xml)
{
    g_autoptr(NodeType) node = node_type_load("dgx-a100-80gb", NULL);
    ClusterSpec spec = {
        .node = node, .n_nodes = 3, .gpus_per_node = 8, .oversubscription = 1.5};
    g_autofree char *one = cluster_spec_write(&spec);
    g_autofree char *other = cluster_spec_write(&spec);
    ck_assert_str_eq(one, other);
    /* 25 GB/s of line rate, of which payload gets 97 %. */
    ck_assert_ptr_nonnull(strstr(one, "<link id=\"nic:node-0002-nic-7-down\" "
                                      "bandwidth=\"24250000000Bps\" latency=\"7.5e-07s\"/>"));
    /* 3 NICs a rail, over 1.5. */
    ck_assert_ptr_nonnull(
        strstr(one, "<link id=\"leaf:rail-0-leaf-0-up\" bandwidth=\"48500000000Bps\""));
}
END_TEST

/* Exact expectations of the largest of n normal deviates (Harter, Biometrika 48, 1961): Blom's
 * formula is within 5 % at two and 1 % from eight on. One GPU waits for nobody, and without
 * spread nobody waits. */
START_TEST(the_slowest_gpu_sets_the_pace)
{
    static const struct {
        int n_nodes, gpus_per_node;
        double deviates;
    } jobs[] = {{1, 1, 0}, {1, 2, 0.5642}, {1, 8, 1.4236}, {4, 5, 1.8675}, {50, 8, 2.9677}};
    g_autoptr(NodeType) node = node_type_load("dgx-h100", NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(jobs); i++) {
        ClusterSpec spec = {.node = node,
                            .n_nodes = jobs[i].n_nodes,
                            .gpus_per_node = jobs[i].gpus_per_node,
                            .gpu_spread_frac = 0.02};
        double slow_down = 1 / cluster_spec_pace(&spec) - 1;
        ck_assert_double_eq_tol(slow_down, 0.02 * jobs[i].deviates,
                                0.05 * (0.02 * jobs[i].deviates) + 1e-12);
        spec.gpu_spread_frac = 0;
        ck_assert_double_eq(cluster_spec_pace(&spec), 1);
    }
}
END_TEST

START_TEST(a_presets_name_is_escaped_in_xml)
{
    g_autoptr(NodeType) node = node_type_load("dgx-h100", NULL);
    g_free(node->gpu);
    node->gpu = g_strdup("a\"<b>&");
    ClusterSpec spec = {.node = node, .n_nodes = 1, .gpus_per_node = 1, .oversubscription = 1};
    g_autofree char *xml = cluster_spec_write(&spec);
    ck_assert_ptr_nonnull(strstr(xml, "value=\"a&quot;&lt;b&gt;&amp;\""));
}
END_TEST

static const struct {
    const char *name;
    LinkClass link_class;
} link_names[] = {
    {"nvlink:a-up", LINK_NVLINK}, {"pcie:x", LINK_PCIE},
    {"nic:x", LINK_NIC},          {"leaf:x", LINK_LEAF},
    {"spine:x", LINK_SPINE},      {"wan:x", LINK_WAN},
    {"engine:x", LINK_ENGINE},    {"nvlinkx:a", LINK_OTHER},
    {"nic", LINK_OTHER},          {"", LINK_OTHER},
    {"other:x", LINK_OTHER},      {"local_link_from_router_0_to_node_0_0_UP", LINK_NIC},
    {"green_link_in", LINK_LEAF}, {"blue_link_between", LINK_SPINE},
};

START_TEST(a_link_names_its_class_before_the_colon)
{
    ck_assert_int_eq(link_class_of(link_names[_i].name), link_names[_i].link_class);
}
END_TEST

/* An experiment of overrides alone. */
static Experiment *experiment_of(const char *const *overrides)
{
    Experiment *experiment = experiment_load(NULL, overrides, NULL);
    ck_assert(experiment != NULL);
    return experiment;
}

START_TEST(no_platform_is_an_error_that_names_the_key)
{
    g_autoptr(Experiment) experiment = experiment_of((const char *const[]){NULL});
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(cluster_build(experiment, warnings, &error));
    check_input_error(error, "cluster.platform");
}
END_TEST

START_TEST(overrides_change_the_presets_rates_and_counts)
{
    g_autoptr(Experiment) experiment = experiment_of((const char *const[]){
        "cluster.platform=dgx-h100", "cluster.nodes=3", "cluster.gpus_per_node=4",
        "cluster.nic_bytes_per_s=1e9", "cluster.nvlink_bytes_per_s=2e9", NULL});
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Cluster) cluster = cluster_build(experiment, warnings, NULL);
    ck_assert(cluster != NULL);
    ck_assert_uint_eq(warnings->len, 0);
    ck_assert_str_eq(cluster->name, "dgx-h100");
    ck_assert_int_eq(cluster_n_ranks(cluster), 12);
    ck_assert_int_eq(cluster->n_nodes, 3);
    ck_assert_double_eq(cluster->nvlink_bytes_per_s, 2e9);
    ck_assert_double_eq(cluster->nic_bytes_per_s, 0.97e9);
    ck_assert_str_eq(cluster->cpu, "intel");
    ck_assert(cluster->has_engine_links);
}
END_TEST

START_TEST(more_gpus_than_a_node_has_is_refused)
{
    g_autoptr(Experiment) experiment = experiment_of(
        (const char *const[]){"cluster.platform=dgx-h100", "cluster.gpus_per_node=9", NULL});
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(cluster_build(experiment, warnings, &error));
    check_input_error(error, "cluster.gpus_per_node must be from 1 to 8");
}
END_TEST

/* What the user set and what doesn't count is said. */
START_TEST(keys_without_effect_are_warnings)
{
    g_autoptr(Experiment) experiment = experiment_of((const char *const[]){
        "cluster.platform=dgx-h100", "cluster.nodes=2", "cluster.fabric=fat-tree",
        "cluster.oversubscription=4", "cluster.nic_bytes_per_s=1e12", NULL});
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Cluster) cluster = cluster_build(experiment, warnings, NULL);
    ck_assert(cluster != NULL);
    ck_assert_uint_eq(warnings->len, 2);
    ck_assert_ptr_nonnull(strstr(g_ptr_array_index(warnings, 0), "cluster.nic_bytes_per_s"));
    ck_assert_ptr_nonnull(strstr(g_ptr_array_index(warnings, 1), "cluster.oversubscription"));
}
END_TEST

/* Nothing lies in a folder while a preset's platform is in use, or after a kill. */
START_TEST(a_presets_platform_is_a_file_in_memory)
{
    g_autoptr(Experiment) experiment =
        experiment_of((const char *const[]){"cluster.platform=dgx-h100", NULL});
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    Cluster *cluster = cluster_build(experiment, warnings, NULL);
    ck_assert(cluster != NULL);
    g_autofree char *file = g_strdup(cluster->xml_file);
    g_autofree char *target = g_file_read_link(file, NULL);
    ck_assert(target && g_str_has_prefix(target, "/memfd:"));
    cluster_free(cluster);
    ck_assert(!g_file_test(file, G_FILE_TEST_EXISTS));
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("cluster");
    TCase *nodes = tcase_create("node types");
    tcase_add_test(nodes, presets_are_listed_in_order);
    tcase_add_test(nodes, presets_hold_the_data_sheets_numbers);
    tcase_add_test(nodes, every_fact_of_every_preset_names_its_source);
    tcase_add_test(nodes, a_users_own_node_type_is_read_by_path);
    tcase_add_test(nodes, an_unknown_preset_is_answered_with_the_nearest_or_the_list);
    tcase_add_loop_test(nodes, a_bad_node_type_is_one_line_with_file_and_key, 0,
                        G_N_ELEMENTS(bad_node_types));
    tcase_add_loop_test(nodes, a_bad_mesh_is_one_line_with_file_and_key, 0,
                        G_N_ELEMENTS(bad_meshes));
    suite_add_tcase(suite, nodes);
    TCase *specs = tcase_create("specs");
    tcase_add_loop_test(specs, leaves_are_as_many_as_the_nics_need, 0, G_N_ELEMENTS(leaves));
    tcase_add_loop_test(specs, counts_out_of_range_are_named, 0, G_N_ELEMENTS(bad_specs));
    tcase_add_test(specs, the_same_spec_gives_the_same_xml);
    tcase_add_test(specs, the_slowest_gpu_sets_the_pace);
    tcase_add_test(specs, a_presets_name_is_escaped_in_xml);
    tcase_add_loop_test(specs, a_link_names_its_class_before_the_colon, 0,
                        G_N_ELEMENTS(link_names));
    suite_add_tcase(suite, specs);
    TCase *builds = tcase_create("experiments");
    tcase_set_timeout(builds, 60);
    tcase_add_test(builds, no_platform_is_an_error_that_names_the_key);
    tcase_add_test(builds, overrides_change_the_presets_rates_and_counts);
    tcase_add_test(builds, more_gpus_than_a_node_has_is_refused);
    tcase_add_test(builds, keys_without_effect_are_warnings);
    tcase_add_test(builds, a_presets_platform_is_a_file_in_memory);
    suite_add_tcase(suite, builds);
    return suite;
}

int main(void)
{
    return suite_run(suite());
}
