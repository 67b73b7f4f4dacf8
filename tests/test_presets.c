/* SPDX-License-Identifier: MIT */
/* The installed node types: that SimGrid gives each pair of GPUs and NICs the rate that the
 * file's facts say, and that what is shared in the machine is shared here and nothing else. How
 * nodes meet is test_fabrics.c's subject. */
#include "profile.h"
#include "suite_run.h"
#include "transfer_fixture.h"

#include <string.h>

#define GIGA 1e9

static void set_up_without_latency(void)
{
    set_up();
    scenario->without_latency = TRUE;
}

START_TEST(the_types_that_planners_ask_for_are_there)
{
    static const char *const wanted[] = {
        "dgx-1v",      "dgx-2",      "dgx-a100-40gb", "dgx-a100-80gb", "dgx-h100",
        "dgx-h200",    "dgx-b200",   "gb200-nvl72",   "p3dn",          "p4d",
        "p4de",        "p5",         "p5en",          "ndv2",          "ndv4",
        "ndv5",        "a2-highgpu", "a3-highgpu",    "a3-megagpu",    "lambda-8xh100",
        "pcie-4x4090", "pcie-8xa10", "pcie-8xl40s",   "4xgh200"};
    for (gsize i = 0; i < G_N_ELEMENTS(wanted); i++) {
        g_autoptr(NodeType) node = node_type_load(wanted[i], NULL);
        ck_assert_msg(node != NULL, "%s", wanted[i]);
    }
}
END_TEST

static NodeType *type_at(int index)
{
    g_autoptr(GPtrArray) names = node_type_list();
    NodeType *node = node_type_load(g_ptr_array_index(names, index), NULL);
    ck_assert(node != NULL);
    return node;
}

static Cluster *two_nodes(const NodeType *node)
{
    g_autofree char *platform = g_strdup_printf("cluster.platform=%s", node->name);
    return preset((const char *const[]){platform, "cluster.nodes=2", NULL});
}

/* Bytes per second of a transfer beside those that are in the scenario, without latency. */
static double rate_of(const Cluster *cluster, const char *from, const char *to)
{
    double end_s[2];
    for (int i = 0; i < 2; i++) {
        scenario->n_transfers = 0;
        Transfer *transfer = transfer_add((i + 1) * 10 * GIGA);
        name_print(transfer->from, "%s", from);
        name_print(transfer->to, "%s", to);
        scenario_run(cluster);
        end_s[i] = transfer->end_s;
    }
    return 10 * GIGA / (end_s[1] - end_s[0]);
}

static const char *gpu_host(const Cluster *cluster, int rank)
{
    return cluster_gpu(cluster, rank)->gpu_host;
}

START_TEST(every_types_gpu_has_a_profile)
{
    g_autoptr(NodeType) node = type_at(_i);
    g_autofree char *file =
        g_strdup_printf("%s/platforms/gpus/%s.json", experiment_data_dir(), node->gpu);
    g_autoptr(GError) error = NULL;
    g_autoptr(Profile) profile = profile_load(file, &error);
    ck_assert_msg(profile != NULL, "%s: %s", node->name, error ? error->message : "");
    ck_assert_str_eq(profile->name, node->gpu);
    /* A data sheet's peak and memory rate, and less of both that a kernel gets. */
    ck_assert_double_gt(profile->peak_flop_per_s[DTYPE_FP16], 1e14);
    ck_assert_double_lt(profile->achievable_flop_per_s[DTYPE_FP16],
                        profile->peak_flop_per_s[DTYPE_FP16]);
    ck_assert_double_lt(profile->achievable_memory_bytes_per_s, profile->memory_bytes_per_s);
}
END_TEST

/* What the collectives read: NVLink of a GPU over all its cables, 0 where GPUs meet on PCIe;
 * payload of the NICs beside a GPU. */
START_TEST(every_type_gives_its_facts_to_collectives)
{
    g_autoptr(NodeType) node = type_at(_i);
    g_autoptr(Cluster) cluster = two_nodes(node);
    int n_together = MAX(1, node->n_nics / node->n_gpus);
    ck_assert_int_eq(cluster_n_ranks(cluster), 2 * node->n_gpus);
    ck_assert_int_eq(cluster->nic_hosts->len, 2 * node->n_nics / n_together);
    ck_assert_double_eq_tol(cluster->nvlink_bytes_per_s,
                            node->nvlink == NVLINK_NONE ? 0 : node->nvlink_bytes_per_s, 1);
    ck_assert_double_eq_tol(cluster->nic_bytes_per_s,
                            n_together * node->nic_bytes_per_s * node->nic_efficiency_frac, 1);
    ck_assert_str_eq(cluster->cpu, node->cpu);
    for (int i = 0; i < N_NCCL_PLUGIN_FACTS; i++)
        ck_assert_msg(cluster->nccl.value[i] == node->nccl.value[i], "%s: %s", node->name,
                      nccl_plugin_keys[i].name);
    ck_assert(cluster->has_engine_links);
    ck_assert_int_eq(cluster->node_rings->len, 2);
    ck_assert_int_eq(*(char *)g_ptr_array_index(cluster->node_rings, 1) != '\0',
                     node->nvlink == NVLINK_MESH);
}
END_TEST

/* Links of the cable between the GPUs of two local ranks, by the file's text. */
static double cable_bytes_per_s(const NodeType *node, int rank, int other)
{
    int a = node_type_gpu_of_rank(node, rank), b = node_type_gpu_of_rank(node, other);
    int n_links = node->wires[a * node->n_gpus + b];
    return n_links * node->nvlink_bytes_per_s / node_wires_degree(node->wires, node->n_gpus);
}

static double expected_rate(const NodeType *node, int rank, int other)
{
    switch (node->nvlink) {
    case NVLINK_SWITCH:
        return node->nvlink_bytes_per_s;
    case NVLINK_MESH:
        return cable_bytes_per_s(node, rank, other);
    case NVLINK_NONE: /* two neighbours below one switch, or one socket */
        return node->pcie_gpu_bytes_per_s;
    }
    g_assert_not_reached();
}

START_TEST(every_type_has_its_rate_from_gpu_to_gpu)
{
    g_autoptr(NodeType) node = type_at(_i);
    g_autoptr(Cluster) cluster = two_nodes(node);
    double expected = expected_rate(node, 0, 1);
    double there = rate_of(cluster, gpu_host(cluster, 0), gpu_host(cluster, 1));
    double back = rate_of(cluster, gpu_host(cluster, 1), gpu_host(cluster, 0));
    ck_assert_double_eq_tol(there / expected, 1, 1e-6);
    ck_assert_double_eq_tol(back / expected, 1, 1e-6);
}
END_TEST

START_TEST(every_type_has_its_rate_from_nic_to_nic)
{
    g_autoptr(NodeType) node = type_at(_i);
    g_autoptr(Cluster) cluster = two_nodes(node);
    int last = node->n_gpus - 1;
    double expected = MIN(node_type_nic_payload_bytes_per_s(node), node->pcie_bytes_per_s);
    double rate = rate_of(cluster, cluster_gpu(cluster, last)->nic_host,
                          cluster_gpu(cluster, node->n_gpus + last)->nic_host);
    ck_assert_double_eq_tol(rate / expected, 1, 1e-6);
}
END_TEST

/* Each GPU sends to the next rank of its node, as rings do. With NVLink nobody waits for
 * another: the slowest neighbours have a cable of their own, or the switch does for all. */
START_TEST(neighbours_with_nvlink_do_not_share)
{
    g_autoptr(NodeType) node = type_at(_i);
    g_autoptr(Cluster) cluster = two_nodes(node);
    if (node->nvlink == NVLINK_NONE)
        return;
    for (int rank = 0; rank < node->n_gpus; rank++) {
        int next = (rank + 1) % node->n_gpus;
        Transfer *transfer = transfer_add(expected_rate(node, rank, next));
        name_print(transfer->from, "%s", gpu_host(cluster, rank));
        name_print(transfer->to, "%s", gpu_host(cluster, next));
    }
    scenario_run(cluster);
    for (int i = 0; i < scenario->n_transfers; i++)
        ck_assert_double_eq_tol(scenario->transfers[i].end_s, 1, 1e-6);
}
END_TEST

static void host_transfer_add(double bytes, const char *from, const char *to)
{
    Transfer *transfer = transfer_add(bytes);
    name_print(transfer->from, "node-0000-%s", from);
    name_print(transfer->to, "node-0000-%s", to);
}

/* 16 cables, both ways, all at once: 25 GB/s a link. */
START_TEST(all_cables_of_a_cube_mesh_carry_their_links)
{
    g_autoptr(NodeType) node = node_type_load("dgx-1v", NULL);
    g_autoptr(Cluster) cluster = preset((const char *const[]){"cluster.platform=dgx-1v", NULL});
    int n_links = 0;
    for (int from = 0; from < 8; from++) {
        for (int to = 0; to < 8; to++) {
            int n = node->wires[from * 8 + to];
            g_autofree char *one = g_strdup_printf("gpu-%d", from);
            g_autofree char *other = g_strdup_printf("gpu-%d", to);
            n_links += n;
            if (n > 0)
                host_transfer_add(n * 25e9, one, other);
        }
    }
    ck_assert_int_eq(n_links, 8 * 6);
    ck_assert_int_eq(scenario->n_transfers, 32);
    scenario_run(cluster);
    for (int i = 0; i < 32; i++)
        ck_assert_double_eq_tol(scenario->transfers[i].end_s, 1, 1e-6);
}
END_TEST

/* Ranks follow the ring 0-3-2-1-5-6-7-4; in its numbers the other ring is this one. */
START_TEST(a_cube_mesh_names_its_rings_by_rank)
{
    g_autoptr(Cluster) cluster = preset((const char *const[]){"cluster.platform=dgx-1v", NULL});
    ck_assert_str_eq(gpu_host(cluster, 1), "node-0000-gpu-3");
    ck_assert_str_eq(g_ptr_array_index(cluster->node_rings, 0),
                     "0-1-2-3-4-5-6-7:2 0-3-1-6-4-7-5-2:1");
}
END_TEST

/* GPU 0 and GPU 5 have no cable: switch 0, the link between sockets, switch 2. */
START_TEST(a_pair_without_a_cable_uses_pcie)
{
    g_autoptr(Cluster) cluster = preset((const char *const[]){"cluster.platform=dgx-1v", NULL});
    host_transfer_add(6e9, "gpu-0", "gpu-5");
    scenario_run(cluster);
    ck_assert_str_eq(scenario->transfers[0].links,
                     "engine:node-0000-gpu-0-up pcie:node-0000-gpu-0-up "
                     "pcie:node-0000-switch-0-up pcie:node-0000-socket-0-to-socket-1 "
                     "pcie:node-0000-switch-2-down pcie:node-0000-gpu-5-down "
                     "engine:node-0000-gpu-5-down ");
    ck_assert_double_eq_tol(scenario->transfers[0].end_s, 1, 1e-6);
}
END_TEST

/* 8 A10, two a switch, two switches a socket, 31.5 GB/s slots and uplinks, 10 GB/s between
 * sockets. Each transfer alone takes the first column's seconds. */
static const struct {
    const char *pairs[4][2];
    double bytes, seconds;
} shared_pcie[] = {
    {{{"gpu-0", "gpu-1"}}, 31.5e9, 1},                                         /* a switch */
    {{{"gpu-0", "gpu-2"}}, 31.5e9, 1},                                         /* a socket */
    {{{"gpu-0", "gpu-1"}, {"gpu-1", "gpu-0"}}, 31.5e9, 1},                     /* both ways */
    {{{"gpu-0", "gpu-1"}, {"gpu-2", "gpu-3"}, {"gpu-4", "gpu-5"}}, 31.5e9, 1}, /* switches */
    {{{"gpu-0", "gpu-2"}, {"gpu-1", "gpu-3"}}, 31.5e9, 2},                     /* one uplink */
    {{{"gpu-0", "gpu-2"}, {"gpu-3", "gpu-1"}}, 31.5e9, 1}, /* its two directions */
    {{{"gpu-0", "gpu-2"}, {"gpu-0", "gpu-1"}}, 31.5e9, 2}, /* one slot */
    {{{"gpu-0", "gpu-4"}}, 10e9, 1},                       /* sockets */
    {{{"gpu-0", "gpu-4"}, {"gpu-2", "gpu-6"}}, 10e9, 2},
    {{{"gpu-0", "gpu-4"}, {"gpu-1", "gpu-5"}, {"gpu-2", "gpu-6"}, {"gpu-3", "gpu-7"}}, 10e9, 4},
    {{{"gpu-0", "gpu-4"}, {"gpu-6", "gpu-2"}}, 10e9, 1}, /* the other way */
};

START_TEST(what_pcie_shares_is_shared)
{
    g_autoptr(Cluster) cluster =
        preset((const char *const[]){"cluster.platform=pcie-8xa10", NULL});
    for (int i = 0; i < 4 && shared_pcie[_i].pairs[i][0]; i++)
        host_transfer_add(shared_pcie[_i].bytes, shared_pcie[_i].pairs[i][0],
                          shared_pcie[_i].pairs[i][1]);
    scenario_run(cluster);
    for (int i = 0; i < scenario->n_transfers; i++)
        ck_assert_double_eq_tol(scenario->transfers[i].end_s, shared_pcie[_i].seconds, 1e-6);
}
END_TEST

/* Nothing is silently slower than on the machine: a whole mesh runs on all its rings, a part of
 * it on one. */
START_TEST(part_of_a_mesh_says_that_one_ring_is_used)
{
    static const char *const gpus[] = {"cluster.gpus_per_node=8", "cluster.gpus_per_node=4"};
    for (guint i = 0; i < 2; i++) {
        g_autoptr(Experiment) experiment = experiment_load(
            NULL, (const char *const[]){"cluster.platform=dgx-1v", gpus[i], NULL}, NULL);
        g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(Cluster) cluster = cluster_build(experiment, warnings, NULL);
        ck_assert(cluster != NULL);
        ck_assert_uint_eq(warnings->len, i);
        if (i == 1)
            ck_assert_ptr_nonnull(strstr(g_ptr_array_index(warnings, 0), "one ring"));
    }
}
END_TEST

START_TEST(part_of_a_mesh_is_used_along_its_ring)
{
    g_autoptr(Cluster) cluster = preset(
        (const char *const[]){"cluster.platform=dgx-1v", "cluster.gpus_per_node=4", NULL});
    static const char *const hosts[] = {"node-0000-gpu-0", "node-0000-gpu-3", "node-0000-gpu-2",
                                        "node-0000-gpu-1"};
    for (int rank = 0; rank < 4; rank++)
        ck_assert_str_eq(gpu_host(cluster, rank), hosts[rank]);
    /* 4 of the 6 links of GPU 0 lead to the other three; its rings need all 8 GPUs. */
    ck_assert_double_eq(cluster->nvlink_bytes_per_s, 100e9);
    ck_assert_str_eq(g_ptr_array_index(cluster->node_rings, 0), "");
}
END_TEST

/* Any number of GPUs of any type makes a platform. */
START_TEST(every_count_of_gpus_loads)
{
    g_autoptr(NodeType) node = type_at(_i);
    g_autofree char *platform = g_strdup_printf("cluster.platform=%s", node->name);
    for (int n = 1; n <= MIN(node->n_gpus, 8); n++) {
        g_autofree char *gpus = g_strdup_printf("cluster.gpus_per_node=%d", n);
        g_autoptr(Cluster) cluster =
            preset((const char *const[]){platform, gpus, "cluster.nodes=3", NULL});
        ck_assert_int_eq(cluster_n_ranks(cluster), 3 * n);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("presets");
    g_autoptr(GPtrArray) names = node_type_list();
    int n_types = (int)names->len;
    TCase *types = tcase_create("every type");
    tcase_set_timeout(types, 120);
    tcase_add_checked_fixture(types, set_up_without_latency, tear_down);
    tcase_add_test(types, the_types_that_planners_ask_for_are_there);
    tcase_add_loop_test(types, every_types_gpu_has_a_profile, 0, n_types);
    tcase_add_loop_test(types, every_type_gives_its_facts_to_collectives, 0, n_types);
    tcase_add_loop_test(types, every_type_has_its_rate_from_gpu_to_gpu, 0, n_types);
    tcase_add_loop_test(types, every_type_has_its_rate_from_nic_to_nic, 0, n_types);
    tcase_add_loop_test(types, neighbours_with_nvlink_do_not_share, 0, n_types);
    tcase_add_loop_test(types, every_count_of_gpus_loads, 0, n_types);
    suite_add_tcase(suite, types);
    TCase *inside = tcase_create("inside nodes");
    tcase_add_checked_fixture(inside, set_up_without_latency, tear_down);
    tcase_add_test(inside, all_cables_of_a_cube_mesh_carry_their_links);
    tcase_add_test(inside, a_cube_mesh_names_its_rings_by_rank);
    tcase_add_test(inside, a_pair_without_a_cable_uses_pcie);
    tcase_add_test(inside, part_of_a_mesh_says_that_one_ring_is_used);
    tcase_add_test(inside, part_of_a_mesh_is_used_along_its_ring);
    tcase_add_loop_test(inside, what_pcie_shares_is_shared, 0, G_N_ELEMENTS(shared_pcie));
    suite_add_tcase(suite, inside);
    return suite;
}

int main(void)
{
    return suite_run(suite());
}
