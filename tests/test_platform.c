/* SPDX-License-Identifier: MIT */
/* Reading platforms: the facts that a file gives, the warnings, and the one line that each kind
 * of broken file gets. How its links are shared is test_routes.c's subject. */
#include "clusters.h"
#include "error.h"
#include "sim.h"
#include "sim_engine.h"
#include "suite_run.h"

#include <check.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

START_TEST(a_users_platform_gives_its_facts)
{
    g_autofree char *file = shipped_platform("two-nodes.xml");
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Cluster) cluster = platform_read(file, warnings, NULL);
    ck_assert(cluster != NULL);
    ck_assert_uint_eq(warnings->len, 0);
    ck_assert_int_eq(cluster_n_ranks(cluster), 4);
    ck_assert_int_eq(cluster->n_nodes, 2);
    ck_assert_int_eq(cluster->n_links, 28);
    ck_assert_double_eq(cluster->nvlink_bytes_per_s, 100e9);
    ck_assert_double_eq(cluster->nic_bytes_per_s, 10e9);
    ck_assert_str_eq(cluster->cpu, "amd");
    ck_assert(cluster->has_engine_links);
    const ClusterGpu *gpu = cluster_gpu(cluster, 3);
    ck_assert_str_eq(gpu->gpu_host, "n1g1");
    ck_assert_str_eq(gpu->nic_host, "n1nic");
    ck_assert_str_eq(g_ptr_array_index(cluster->nic_hosts, gpu->nic), "n1nic");
    ck_assert_int_eq(gpu->node, 1);
    ck_assert_int_eq(gpu->local_rank, 1);
    ck_assert_double_eq(gpu->speed, 1);
    ck_assert_int_eq(gpu->memory_bytes, 0);
}
END_TEST

/* A preset's GPUs are ranks by node and then by number, and share NICs evenly. */
START_TEST(ranks_are_ordered_and_choose_their_nic)
{
    g_autoptr(Cluster) cluster = preset(
        (const char *const[]){"cluster.platform=dgx-a100-80gb", "cluster.nodes=12", NULL});
    ck_assert_int_eq(cluster_n_ranks(cluster), 96);
    for (int rank = 0; rank < 96; rank++) {
        const ClusterGpu *gpu = cluster_gpu(cluster, rank);
        g_autofree char *nic = g_strdup_printf("node-%04d-nic-%d", rank / 8, rank % 8);
        ck_assert_int_eq(gpu->node, rank / 8);
        ck_assert_int_eq(gpu->local_rank, rank % 8);
        ck_assert_str_eq(gpu->nic_host, nic);
        ck_assert_str_eq(gpu->gpu, "a100-sxm4-80gb");
    }
}
END_TEST

/* `from` in two-nodes.xml becomes `to`, wherever it is when `all`. */
typedef struct {
    const char *from, *to;
    gboolean all;
    const char *part; /* of the message */
} Edit;

static char *edited(const Edit *edit, const char *dir)
{
    g_autofree char *file = shipped_platform("two-nodes.xml");
    g_autofree char *text = NULL;
    ck_assert(g_file_get_contents(file, &text, NULL, NULL));
    g_autoptr(GString) xml = g_string_new(text);
    guint n_replaced = g_string_replace(xml, edit->from, edit->to, edit->all ? 0 : 1);
    ck_assert_msg(n_replaced > 0, "'%s' is not in the file", edit->from);
    char *result = g_build_filename(dir, "user.xml", NULL);
    ck_assert(g_file_set_contents(result, xml->str, (gssize)xml->len, NULL));
    return result;
}

static const Edit broken[] = {
    {"zs_kind\" value=\"gpu\"", "zs_kind\" value=\"nic\"", TRUE, "no host with zs_kind gpu"},
    {"zs_kind\" value=\"gpu\"", "zs_kind\" value=\"tpu\"", FALSE,
     "must be gpu or nic, not \"tpu\""},
    {"<prop id=\"zs_gpu\" value=\"h100-sxm5-80gb\"/>", "", FALSE,
     "host 'n0g0': the property zs_gpu"},
    {"<prop id=\"zs_node\" value=\"0\"/>", "", FALSE, "host 'n0g0': the property zs_node"},
    {"zs_node\" value=\"0\"", "zs_node\" value=\"-1\"", FALSE,
     "host 'n0g0': zs_node must be a whole"},
    {"zs_node\" value=\"0\"", "zs_node\" value=\"0x1\"", FALSE,
     "zs_node must be a whole number"},
    {"zs_node\" value=\"0\"", "zs_node\" value=\"1e99\"", FALSE,
     "zs_node must be a whole number"},
    {"zs_local_rank\" value=\"1\"", "zs_local_rank\" value=\"0\"", FALSE,
     "hosts 'n0g0' and 'n0g1' are both zs_local_rank 0 of zs_node 0"},
    {"\n<prop id=\"zs_nic\" value=\"n0nic\"/>", "", FALSE,
     "host 'n0g0': the property zs_nic is missing"},
    {"zs_nic\" value=\"n0nic\"", "zs_nic\" value=\"no\"", FALSE, "zs_nic names 'no'"},
    {"zs_nic\" value=\"n0nic\"", "zs_nic\" value=\"n1nic\"", FALSE,
     "belongs to zs_node 1, not 0"},
    {"<prop id=\"zs_local_rank\" value=\"0\"/>",
     "<prop id=\"zs_local_rank\" value=\"0\"/><prop id=\"zs_rings\" value=\"0-2\"/>", FALSE,
     "host 'n0g0': zs_rings: \"0-2\" must be different GPUs from 0 to 1"},
    {"value=\"amd\"", "value=\"vax\"", FALSE,
     "zs_cpu must be intel, amd or other, not \"vax\""},
    {"<prop id=\"zs_cpu\"",
     "<prop id=\"zs_nccl_net_latency_s\" value=\"75us\"/><prop id=\"zs_cpu\"", FALSE,
     "zs_nccl_net_latency_s must be from 0 to 1, not \"75us\""},
    {"<prop id=\"zs_cpu\"",
     "<prop id=\"zs_nccl_only_simple\" value=\"yes\"/><prop id=\"zs_cpu\"", FALSE,
     "zs_nccl_only_simple must be from 0 to 1, not \"yes\""},
    {"id=\"n0g0\" speed=\"1Gf\"", "id=\"n0g0\" speed=\"2Gf\"", FALSE,
     "host 'n0g0': speed must be 1Gf"},
    {"id=\"n0g0\" speed=\"1Gf\"", "id=\"n0g0\" speed=\"1Gf\" core=\"2\"", FALSE,
     "host 'n0g0': core must be 1"},
    {"id=\"n0g0\" speed=\"1Gf\"", "id=\"n0g0\" speed=\"NaNf\"", FALSE, "speed"},
    {"id=\"n0g0\" speed=\"1Gf\"", "id=\"n0g0\" speed=\"0f\"", FALSE, "speed"},
    {"<prop id=\"zs_local_rank\" value=\"0\"/>",
     "<prop id=\"zs_local_rank\" value=\"0\"/><prop id=\"memory_bytes\" value=\"80G\"/>", FALSE,
     "memory_bytes must be a whole number"},
    {"bandwidth=\"100GBps\"", "bandwidth=\"NaNBps\"", FALSE,
     "link 'nvlink:n0g0-up': bandwidth"},
    {"bandwidth=\"100GBps\"", "bandwidth=\"0Bps\"", FALSE, "link 'nvlink:n0g0-up': bandwidth"},
    {"bandwidth=\"100GBps\"", "bandwidth=\"-1GBps\"", FALSE,
     "link 'nvlink:n0g0-up': bandwidth"},
    {"bandwidth=\"100GBps\"", "bandwidth=\"infBps\"", FALSE,
     "link 'nvlink:n0g0-up': bandwidth"},
    {"bandwidth=\"100GBps\"", "bandwidth=\"fast\"", FALSE, "fast"},
    {"latency=\"1us\"", "latency=\"-1us\"", FALSE, "link 'nvlink:n0g0-up': latency"},
    {"latency=\"1us\"", "latency=\"nans\"", FALSE, "link 'nvlink:n0g0-up': latency"},
    {"id=\"n0g1\" speed", "id=\"n0g0\" speed", FALSE, "n0g0"},
    {"id=\"nvlink:n0g0-down\"", "id=\"nvlink:n0g0-up\"", FALSE, "nvlink:n0g0-up"},
    {"<link_ctn id=\"nic:n1nic-down\"/>", "<link_ctn id=\"nic:none\"/>", FALSE, "nic:none"},
    {"<router id=\"leaf\"/>", "", FALSE, "leaf"},
    {"routing=\"Floyd\"", "routing=\"Round\"", FALSE, "user.xml"},
    {"</platform>", "", FALSE, "user.xml"},
    {"</platform>", "</platform><platform/>", FALSE, "user.xml"},
    {"version=\"4.1\"", "version=\"2\"", FALSE, "user.xml"},
    {"<?xml", "<<<<", FALSE, "user.xml:1"},
    {"zs_gpu", "zs\xffgpu", FALSE, "user.xml:9: not a text file"},
};

static void check_input_error(const GError *error, const char *file, const char *part)
{
    ck_assert_msg(error != NULL, "no error; expected '%s'", part);
    ck_assert_msg(g_error_matches(error, ZEROSIM_ERROR, ERROR_INPUT), "%s", error->message);
    ck_assert_msg(g_str_has_prefix(error->message, file), "no file in '%s'", error->message);
    ck_assert_msg(strstr(error->message, part) != NULL, "'%s' lacks '%s'", error->message,
                  part);
    ck_assert_msg(strchr(error->message, '\n') == NULL, "more than a line: %s", error->message);
}

START_TEST(a_broken_platform_is_one_line_with_its_file)
{
    g_autofree char *dir = g_dir_make_tmp("zerosim-test-XXXXXX", NULL);
    g_autofree char *file = edited(&broken[_i], dir);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(platform_read(file, warnings, &error));
    check_input_error(error, file, broken[_i].part);
    g_unlink(file);
    g_rmdir(dir);
}
END_TEST

START_TEST(a_missing_route_names_both_hosts)
{
    g_autofree char *file = shipped_platform("no-route.xml");
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(platform_read(file, warnings, &error));
    check_input_error(error, file, "no route from host 'n1nic' to host 'n0nic'");
}
END_TEST

START_TEST(a_platform_without_gpus_is_refused)
{
    g_autofree char *file = shipped_platform("no-gpus.xml");
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(platform_read(file, warnings, &error));
    check_input_error(error, file, "no host with zs_kind gpu");
}
END_TEST

START_TEST(what_is_no_platform_file_is_refused)
{
    g_autofree char *dir = g_dir_make_tmp("zerosim-test-XXXXXX", NULL);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) missing = NULL, directory = NULL;
    g_autofree char *file = g_build_filename(dir, "none.xml", NULL);
    ck_assert_ptr_null(platform_read(file, warnings, &missing));
    check_input_error(missing, file, "No such file");
    ck_assert_ptr_null(platform_read(dir, warnings, &directory));
    check_input_error(directory, dir, "not a regular file");
    g_rmdir(dir);
}
END_TEST

/* Every prefix of a good file is broken; one in 61 is tried, and the empty one. */
START_TEST(a_truncated_platform_is_refused_wherever_it_ends)
{
    g_autofree char *source = shipped_platform("two-nodes.xml");
    g_autofree char *dir = g_dir_make_tmp("zerosim-test-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(dir, "user.xml", NULL);
    g_autofree char *text = NULL;
    gsize length = 0;
    ck_assert(g_file_get_contents(source, &text, &length, NULL));
    gsize end = length - strlen("</platform>\n");
    for (gsize n = 0; n < end; n += 61) {
        g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GError) error = NULL;
        ck_assert(g_file_set_contents(file, text, (gssize)n, NULL));
        ck_assert_ptr_null(platform_read(file, warnings, &error));
        check_input_error(error, file, "");
    }
    g_unlink(file);
    g_rmdir(dir);
}
END_TEST

/* 10 MB of noise, of zeros, of open tags. */
START_TEST(ten_megabytes_of_garbage_are_one_line)
{
    const gsize n = 10 * 1000 * 1000;
    g_autofree char *dir = g_dir_make_tmp("zerosim-test-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(dir, "user.xml", NULL);
    g_autofree char *text = g_malloc0(n);
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    for (gsize i = 0; _i == 0 && i < n; i++)
        text[i] = (char)g_rand_int_range(random, 0, 256);
    if (_i == 2)
        memset(text, '<', n);
    if (_i == 3)
        memset(text, ' ', n);
    ck_assert(g_file_set_contents(file, text, (gssize)n, NULL));
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(platform_read(file, warnings, &error));
    check_input_error(error, file, "");
    g_unlink(file);
    g_rmdir(dir);
}
END_TEST

/* A good file, edited: still good. */
static Cluster *edited_read(const Edit *edit, GPtrArray *warnings)
{
    g_autofree char *dir = g_dir_make_tmp("zerosim-test-XXXXXX", NULL);
    g_autofree char *file = edited(edit, dir);
    g_autoptr(GError) error = NULL;
    Cluster *cluster = platform_read(file, warnings, &error);
    ck_assert_msg(cluster != NULL, "%s", error ? error->message : "");
    g_unlink(file);
    g_rmdir(dir);
    return cluster;
}

START_TEST(a_slow_gpu_is_a_slow_host)
{
    const Edit edit = {"id=\"n1g0\" speed=\"1Gf\"", "id=\"n1g0\" speed=\"0.8Gf\"", FALSE, NULL};
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Cluster) cluster = edited_read(&edit, warnings);
    ck_assert_double_eq(cluster_gpu(cluster, 1)->speed, 1);
    ck_assert_double_eq_tol(cluster_gpu(cluster, 2)->speed, 0.8, 1e-12);
}
END_TEST

START_TEST(a_gpus_memory_may_differ_from_its_profile)
{
    const Edit edit = {"<prop id=\"zs_local_rank\" value=\"0\"/>",
                       "<prop id=\"zs_local_rank\" value=\"0\"/>"
                       "<prop id=\"memory_bytes\" value=\"9007199254740993\"/>",
                       FALSE, NULL};
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Cluster) cluster = edited_read(&edit, warnings);
    ck_assert_int_eq(cluster_gpu(cluster, 0)->memory_bytes,
                     G_GINT64_CONSTANT(9007199254740993));
}
END_TEST

/* Node 0 becomes node 7, behind node 1: it is the second now, numbered 1. */
START_TEST(nodes_are_numbered_in_order)
{
    const Edit edit = {"zs_node\" value=\"0\"", "zs_node\" value=\"7\"", TRUE, NULL};
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Cluster) cluster = edited_read(&edit, warnings);
    ck_assert_int_eq(cluster->n_nodes, 2);
    ck_assert_str_eq(cluster_gpu(cluster, 0)->gpu_host, "n1g0");
    ck_assert_int_eq(cluster_gpu(cluster, 0)->node, 0);
    ck_assert_str_eq(cluster_gpu(cluster, 3)->gpu_host, "n0g1");
    ck_assert_int_eq(cluster_gpu(cluster, 3)->node, 1);
}
END_TEST

START_TEST(a_link_of_both_directions_is_a_warning)
{
    const Edit edit = {"<link_ctn id=\"nic:n1nic-down\"/>", "<link_ctn id=\"nic:n1nic-up\"/>",
                       FALSE, NULL};
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Cluster) cluster = edited_read(&edit, warnings);
    ck_assert_uint_eq(warnings->len, 1);
    ck_assert_ptr_nonnull(strstr(g_ptr_array_index(warnings, 0),
                                 "link 'nic:n1nic-up' is shared by both directions"));
}
END_TEST

/* One <link> that SimGrid splits into a way each: as good as two. */
START_TEST(a_split_duplex_link_is_two_links)
{
    g_autofree char *dir = g_dir_make_tmp("zerosim-test-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(dir, "user.xml", NULL);
    ck_assert(g_file_set_contents(
        file,
        "<?xml version=\"1.0\"?>\n"
        "<!DOCTYPE platform SYSTEM \"https://simgrid.org/simgrid.dtd\">\n"
        "<platform version=\"4.1\"><zone id=\"z\" routing=\"Full\">"
        "<host id=\"a\" speed=\"1Gf\"><prop id=\"zs_kind\" value=\"gpu\"/>"
        "<prop id=\"zs_gpu\" value=\"x\"/><prop id=\"zs_node\" value=\"0\"/>"
        "<prop id=\"zs_local_rank\" value=\"0\"/></host>"
        "<host id=\"b\" speed=\"1Gf\"><prop id=\"zs_kind\" value=\"gpu\"/>"
        "<prop id=\"zs_gpu\" value=\"x\"/><prop id=\"zs_node\" value=\"0\"/>"
        "<prop id=\"zs_local_rank\" value=\"1\"/></host>"
        "<link id=\"nvlink:ab\" bandwidth=\"1GBps\" latency=\"1us\" "
        "sharing_policy=\"SPLITDUPLEX\"/>"
        "<route src=\"a\" dst=\"b\"><link_ctn id=\"nvlink:ab\" direction=\"UP\"/></route>"
        "</zone></platform>\n",
        -1, NULL));
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_autoptr(Cluster) cluster = platform_read(file, warnings, &error);
    ck_assert_msg(cluster != NULL, "%s", error ? error->message : "");
    ck_assert_int_eq(cluster->n_links, 2);
    ck_assert_uint_eq(warnings->len, 1); /* the engine links, which it lacks */
    ck_assert_ptr_nonnull(strstr(g_ptr_array_index(warnings, 0), "engine:a-up"));
    g_unlink(file);
    g_rmdir(dir);
}
END_TEST

START_TEST(a_platform_without_engine_links_is_a_warning)
{
    g_autofree char *file = shipped_platform("no-engine.xml");
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Cluster) cluster = platform_read(file, warnings, NULL);
    ck_assert(cluster != NULL && !cluster->has_engine_links);
    ck_assert_uint_eq(warnings->len, 1);
    ck_assert_ptr_nonnull(strstr(g_ptr_array_index(warnings, 0), "engine:n0g0-up"));
}
END_TEST

/* Prints how long 1,024 GPUs take to write, load, check and resolve. */
START_TEST(a_thousand_gpus_are_built)
{
    gint64 start_us = g_get_monotonic_time();
    g_autoptr(Cluster) cluster =
        preset((const char *const[]){"cluster.platform=dgx-h100", "cluster.nodes=128", NULL});
    printf("1024 GPUs, %d links: %.3f s\n", cluster->n_links,
           (double)(g_get_monotonic_time() - start_us) / G_USEC_PER_SEC);
    ck_assert_int_eq(cluster_n_ranks(cluster), 1024);
    /* Engine and NVLink of a GPU; engine, PCIe and port of a NIC; 4 leaves of 8 rails. */
    ck_assert_int_eq(cluster->n_links, 1024 * 4 + 1024 * 6 + 32 * 2);
}
END_TEST

/* The child is told apart from one that fails, and its first line is what is said. */
static void child_speaks(void *data)
{
    fprintf(stderr, "\n%s\nsecond line\n", (const char *)data);
    abort();
}

static void child_sleeps(void *data)
{
    (void)data;
    g_usleep(60 * G_USEC_PER_SEC);
}

START_TEST(a_child_that_dies_or_hangs_is_told)
{
    g_autofree char *died = NULL, *hung = NULL;
    ck_assert_int_eq(
        sim_engine_run_child(child_speaks, "Uncaught exception a::B by x: no", 0, &died),
        SIM_CHILD_DIED);
    ck_assert_str_eq(died, "no");
    ck_assert_int_eq(sim_engine_run_child(child_sleeps, NULL, 1, &hung), SIM_CHILD_TIMED_OUT);
    ck_assert_ptr_nonnull(strstr(hung, "did not finish within 1 s"));
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("platform");
    TCase *facts = tcase_create("facts");
    tcase_set_timeout(facts, 120);
    tcase_add_test(facts, a_users_platform_gives_its_facts);
    tcase_add_test(facts, ranks_are_ordered_and_choose_their_nic);
    tcase_add_test(facts, a_slow_gpu_is_a_slow_host);
    tcase_add_test(facts, a_gpus_memory_may_differ_from_its_profile);
    tcase_add_test(facts, nodes_are_numbered_in_order);
    tcase_add_test(facts, a_link_of_both_directions_is_a_warning);
    tcase_add_test(facts, a_split_duplex_link_is_two_links);
    tcase_add_test(facts, a_platform_without_engine_links_is_a_warning);
    tcase_add_test(facts, a_thousand_gpus_are_built);
    suite_add_tcase(suite, facts);
    TCase *bad = tcase_create("bad files");
    tcase_set_timeout(bad, 300);
    tcase_add_loop_test(bad, a_broken_platform_is_one_line_with_its_file, 0,
                        G_N_ELEMENTS(broken));
    tcase_add_test(bad, a_missing_route_names_both_hosts);
    tcase_add_test(bad, a_platform_without_gpus_is_refused);
    tcase_add_test(bad, what_is_no_platform_file_is_refused);
    tcase_add_test(bad, a_truncated_platform_is_refused_wherever_it_ends);
    tcase_add_loop_test(bad, ten_megabytes_of_garbage_are_one_line, 0, 4);
    tcase_add_test(bad, a_child_that_dies_or_hangs_is_told);
    suite_add_tcase(suite, bad);
    return suite;
}

int main(void)
{
    return suite_run(suite());
}
