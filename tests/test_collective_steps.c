/* SPDX-License-Identifier: MIT */
/* Trees, PAT and NVLS executed step by step on symbolic data, the bytes that their flows put on
 * links, and time that never falls as bytes or ranks grow. */
#include "clusters.h"
#include "collective.h"
#include "collective_flows.h"
#include "suite_run.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

static Cluster *cluster_of(const char *gpu, int n_nodes, int gpus, int nics)
{
    return counted_cluster(gpu, n_nodes, gpus, nics, 450e9, nics > 0 ? 50e9 : 0, "intel");
}

static CollectivePlan *plan_of(const Cluster *cluster, int n, CollectiveCall call,
                               NcclOptions options)
{
    g_autofree int *members = g_new(int, n);
    for (int r = 0; r < n; r++)
        members[r] = r;
    return collective_plan(cluster, members, n, &call, &options);
}

static NcclOptions forced(Algorithm algorithm)
{
    return (NcclOptions){.algorithm = (int)algorithm,
                         .protocol = PROTOCOL_SIMPLE,
                         .collnet = algorithm != ALGORITHM_NVLS_TREE};
}

/* Bytes out of a rank, or out of the NIC that it stands for. */
static double bytes_out(const CollectivePlan *plan, int rank, gboolean between_nodes)
{
    double sum = 0;
    for (guint i = 0; i < plan->flows->len; i++) {
        const Flow *flow = &g_array_index(plan->flows, Flow, i);
        if (flow->from_rank == rank && flow->between_nodes == between_nodes)
            sum += flow->wire_bytes;
    }
    return sum;
}

/* ---- the double binary tree ---- */

#define MAX_NODES 40

/* Adds up what a node's subtree holds; each contribution is counted. */
static void tree_collect(int n, int node, gboolean second, int *counts, int depth)
{
    ck_assert_int_le(depth, n);
    counts[node]++;
    for (int other = 0; other < n; other++)
        if (other != node && tree_parent(n, other, second) == node)
            tree_collect(n, other, second, counts, depth + 1);
}

/* One root, whose reduction holds every node's contribution once: then it goes down the same
 * edges, and every node but the root gets it from one parent. */
START_TEST(a_tree_reduces_every_node_once)
{
    for (int second = 0; second < 2; second++) {
        int counts[MAX_NODES] = {0}, n_roots = 0, root = -1;
        for (int node = 0; node < _i; node++)
            if (tree_parent(_i, node, second) < 0) {
                n_roots++;
                root = node;
            }
        ck_assert_int_eq(n_roots, 1);
        tree_collect(_i, root, second, counts, 0);
        for (int node = 0; node < _i; node++)
            ck_assert_int_eq(counts[node], 1);
    }
}
END_TEST

static int n_children(int n, int node, gboolean second)
{
    int count = 0;
    for (int other = 0; other < n; other++)
        count += tree_parent(n, other, second) == node;
    return count;
}

/* Two trees are better than one because they share the work: with two children in one, a node
 * has none in the other. */
START_TEST(a_node_has_two_children_at_most)
{
    for (int node = 0; node < _i; node++) {
        int first = n_children(_i, node, FALSE), second = n_children(_i, node, TRUE);
        ck_assert_int_le(first + second, 2);
    }
}
END_TEST

static const int shapes[][3] = {{1, 8, 0}, {2, 8, 8}, {3, 4, 4}, {4, 8, 8},
                                {4, 8, 4}, {5, 2, 1}, {7, 1, 1}, {8, 1, 1}};

/* Up and down: every edge of the chains and of both half trees twice. */
START_TEST(a_tree_carries_the_payload_both_ways_on_each_edge)
{
    int n_nodes = shapes[_i][0], gpus = shapes[_i][1];
    const double bytes = 1 << 28;
    g_autoptr(Cluster) cluster = cluster_of("h100", n_nodes, gpus, shapes[_i][2]);
    g_autoptr(CollectivePlan) plan =
        plan_of(cluster, n_nodes * gpus,
                (CollectiveCall){.kind = COLLECTIVE_ALL_REDUCE, .payload_bytes = 1 << 28},
                forced(ALGORITHM_TREE));
    double local = 0, between = 0;
    for (int r = 0; r < n_nodes * gpus; r++) {
        local += bytes_out(plan, r, FALSE);
        between += bytes_out(plan, r, TRUE);
    }
    ck_assert_int_eq(plan->algorithm, ALGORITHM_TREE);
    ck_assert_double_eq_tol(local, 2 * bytes * n_nodes * (gpus - 1), 16);
    ck_assert_double_eq_tol(between, 2 * bytes * (n_nodes - 1), 16);
    /* A node's NICs send no more than parent and children of one tree and one edge of the
     * other take. */
    for (int node = 0; node < n_nodes; node++) {
        double out = 0;
        for (int r = 0; r < gpus; r++)
            out += bytes_out(plan, node * gpus + r, TRUE);
        ck_assert_double_le(out, 2 * bytes + 16);
    }
}
END_TEST

/* ---- PAT ---- */

/* Bruck's exchange with the far dimension first: at each distance a rank passes on what it has
 * of the chunks whose tree says so. */
START_TEST(pat_gives_every_rank_every_chunk_once)
{
    int n = _i, have[MAX_NODES][MAX_NODES] = {{0}}, sent = 0, far = 1;
    for (int r = 0; r < n; r++)
        have[r][r] = 1;
    while (far * 2 < n)
        far *= 2;
    for (int distance = far; distance >= 1; distance /= 2)
        for (int chunk = 0; chunk < n; chunk++)
            for (int x = 0; x + distance < n; x += 2 * distance) {
                int from = (chunk + x) % n, to = (from + distance) % n;
                ck_assert_int_eq(have[from][chunk], 1);
                have[to][chunk]++;
                sent += from == 0;
            }
    for (int r = 0; r < n; r++)
        for (int chunk = 0; chunk < n; chunk++)
            ck_assert_int_eq(have[r][chunk], 1);
    ck_assert_int_eq(sent, n - 1);

    g_autoptr(Cluster) cluster = cluster_of("h100", n, 1, 1);
    for (int kind = COLLECTIVE_ALL_GATHER; kind <= COLLECTIVE_REDUCE_SCATTER; kind++) {
        g_autoptr(CollectivePlan) plan =
            plan_of(cluster, n,
                    (CollectiveCall){.kind = (CollectiveKind)kind, .payload_bytes = 1000 * n},
                    forced(ALGORITHM_PAT));
        ck_assert_int_eq(plan->algorithm, ALGORITHM_PAT);
        for (int r = 0; r < n; r++)
            ck_assert_double_eq_tol(bytes_out(plan, r, TRUE), 1000.0 * sent, 1e-6);
    }
}
END_TEST

/* ---- NVLS ---- */

/* Each GPU owns a segment: its loads make the switch read every copy and return the sum, its
 * stores reach every GPU. Counts contributions, and copies through each GPU's links. */
START_TEST(nvls_sums_every_segment_once)
{
    int n = _i, up[8] = {0}, down[8] = {0}, sum[8] = {0}, held[8][8] = {{0}};
    for (int owner = 0; owner < n; owner++) {
        for (int r = 0; r < n; r++) {
            up[r]++; /* its copy of the segment, to the switch */
            sum[owner]++;
        }
        down[owner]++;
        up[owner]++;
        for (int r = 0; r < n; r++) {
            down[r]++;
            held[r][owner] = sum[owner];
        }
    }
    for (int r = 0; r < n; r++)
        for (int segment = 0; segment < n; segment++)
            ck_assert_int_eq(held[r][segment], n);

    g_autoptr(Cluster) cluster = cluster_of("h100", 1, n, 0);
    g_autoptr(CollectivePlan) plan = plan_of(
        cluster, n, (CollectiveCall){.kind = COLLECTIVE_ALL_REDUCE, .payload_bytes = 1000 * n},
        forced(ALGORITHM_NVLS));
    ck_assert_int_eq(plan->algorithm, ALGORITHM_NVLS);
    for (int r = 0; r < n; r++) {
        ck_assert_int_eq(up[r], down[r]);
        ck_assert_double_eq_tol(bytes_out(plan, r, FALSE), 1000.0 * up[r], 1e-6);
    }
}
END_TEST

START_TEST(nvls_tree_adds_a_tree_of_each_head)
{
    const double bytes = 1 << 28;
    g_autoptr(Cluster) cluster = cluster_of("h100", 4, 8, 8);
    g_autoptr(CollectivePlan) plan = plan_of(
        cluster, 32, (CollectiveCall){.kind = COLLECTIVE_ALL_REDUCE, .payload_bytes = 1 << 28},
        forced(ALGORITHM_NVLS_TREE));
    double between = 0;
    ck_assert_int_eq(plan->algorithm, ALGORITHM_NVLS_TREE);
    for (int r = 0; r < 32; r++) {
        ck_assert_double_eq_tol(bytes_out(plan, r, FALSE), bytes * (1 + 1.0 / 8), 1);
        ck_assert_double_le(bytes_out(plan, r, TRUE), 2 * bytes / 8 + 1);
        between += bytes_out(plan, r, TRUE);
    }
    ck_assert_double_eq_tol(between, 2 * bytes * 3, 16);
}
END_TEST

/* SHARP: whatever the number of nodes, a NIC sends its head's share once. */
START_TEST(reducing_switches_take_each_share_once)
{
    static const Algorithm algorithms[] = {ALGORITHM_NVLS, ALGORITHM_COLLNET_DIRECT,
                                           ALGORITHM_COLLNET_CHAIN};
    g_autoptr(Cluster) cluster = cluster_of("h100", 4, 8, 8);
    g_autoptr(CollectivePlan) plan = plan_of(
        cluster, 32, (CollectiveCall){.kind = COLLECTIVE_ALL_REDUCE, .payload_bytes = 1 << 28},
        forced(algorithms[_i]));
    ck_assert_int_eq(plan->algorithm, algorithms[_i]);
    for (int r = 0; r < 32; r++)
        ck_assert_double_eq_tol(bytes_out(plan, r, TRUE), (1 << 28) / 8.0, 1);
}
END_TEST

/* ---- choice ---- */

/* ncclAvg isn't among what NVSwitches reduce; and without them nobody can use them. */
START_TEST(averages_and_old_gpus_stay_off_the_switch)
{
    g_autoptr(Cluster) h100 = cluster_of("h100", 1, 8, 0);
    g_autoptr(Cluster) a100 = cluster_of("a100", 1, 8, 0);
    const CollectiveCall sums = {.kind = COLLECTIVE_ALL_REDUCE, .payload_bytes = 1 << 28};
    CollectiveCall averages = sums;
    averages.averages = TRUE;
    const NcclOptions automatic = {.algorithm = -1, .protocol = -1};
    g_autoptr(CollectivePlan) a = plan_of(h100, 8, sums, automatic);
    g_autoptr(CollectivePlan) b = plan_of(h100, 8, averages, automatic);
    g_autoptr(CollectivePlan) c = plan_of(a100, 8, sums, automatic);
    ck_assert_int_eq(a->algorithm, ALGORITHM_NVLS);
    ck_assert_int_eq(b->algorithm, ALGORITHM_RING);
    ck_assert_int_eq(c->algorithm, ALGORITHM_RING);
    int members[] = {0, 1, 2, 3, 4, 5, 6, 7};
    const NcclOptions nvls = forced(ALGORITHM_NVLS);
    ck_assert(collective_can_run(h100, members, 8, &nvls));
    ck_assert(!collective_can_run(a100, members, 8, &nvls));
}
END_TEST

/* What binds all-reduce leaves the others free. */
START_TEST(an_algorithm_binds_what_it_can_run)
{
    g_autoptr(Cluster) cluster = cluster_of("h100", 2, 8, 8);
    const NcclOptions tree = {.algorithm = ALGORITHM_TREE, .protocol = -1};
    for (int kind = 0; kind < N_COLLECTIVES; kind++) {
        g_autoptr(CollectivePlan) plan = plan_of(
            cluster, 16,
            (CollectiveCall){.kind = (CollectiveKind)kind, .payload_bytes = 1 << 20}, tree);
        ck_assert_int_eq(plan->algorithm == ALGORITHM_TREE, kind == COLLECTIVE_ALL_REDUCE);
    }
}
END_TEST

/* ---- all-to-all ---- */

/* Every rank needs 1/n of every other's buffer: what leaves a node, and only on rails. */
START_TEST(all_to_all_sends_what_others_need)
{
    g_autoptr(Cluster) cluster = cluster_of("h100", 4, 8, 8);
    const NcclOptions automatic = {.algorithm = -1, .protocol = -1};
    g_autoptr(CollectivePlan) plan = plan_of(
        cluster, 32, (CollectiveCall){.kind = COLLECTIVE_ALL_TO_ALL, .payload_bytes = 32000},
        automatic);
    for (guint i = 0; i < plan->flows->len; i++) {
        const Flow *flow = &g_array_index(plan->flows, Flow, i);
        if (flow->between_nodes)
            ck_assert_int_eq(flow->from_rank % 8, flow->to_rank % 8);
    }
    for (int r = 0; r < 32; r++) {
        ck_assert_double_eq_tol(bytes_out(plan, r, TRUE), 24 * 1000, 1e-6);
        ck_assert_double_eq_tol(bytes_out(plan, r, FALSE), 7 * 1000 + 21 * 1000, 1e-6);
    }
}
END_TEST

/* ---- monotony ---- */

static double time_of(const Cluster *cluster, int n, CollectiveKind kind, gint64 bytes,
                      int algorithm)
{
    const NcclOptions options = {.algorithm = algorithm, .protocol = -1};
    g_autoptr(CollectivePlan) plan =
        plan_of(cluster, n, (CollectiveCall){.kind = kind, .payload_bytes = bytes}, options);
    return plan->time_s;
}

START_TEST(more_bytes_never_take_less_time)
{
    static const char *const gpus[] = {"v100", "a100", "h100", "b200"};
    for (guint s = 0; s < G_N_ELEMENTS(shapes); s++) {
        g_autoptr(Cluster) cluster =
            cluster_of(gpus[_i], shapes[s][0], shapes[s][1], shapes[s][2]);
        for (int kind = 0; kind < N_COLLECTIVES; kind++)
            for (int algorithm = -1; algorithm <= ALGORITHM_TREE; algorithm++) {
                double last_s = 0;
                for (gint64 bytes = 8; bytes < G_GINT64_CONSTANT(20000000000);
                     bytes += 1 + bytes * 37 / 100) {
                    double time_s = time_of(cluster, cluster_n_ranks(cluster),
                                            (CollectiveKind)kind, bytes, algorithm);
                    ck_assert_double_ge(time_s, last_s);
                    last_s = time_s;
                }
            }
    }
}
END_TEST

/* On whole nodes: inside one, a further GPU makes the switch's reduction worth it, and NCCL's
 * all-reduce faster, as measurements do. And NCCL's table thinks better of a tree between two
 * nodes than inside one. */
START_TEST(more_nodes_never_take_less_time)
{
    static const int counts[] = {1, 2, 3, 4, 6, 8, 16, 32};
    for (int kind = 0; kind <= COLLECTIVE_REDUCE; kind++)
        for (gint64 bytes = 1024; bytes <= 1 << 30; bytes *= 32)
            for (int algorithm = -1; algorithm <= ALGORITHM_TREE; algorithm++) {
                double last_s = 0;
                for (guint i = algorithm == ALGORITHM_TREE; i < G_N_ELEMENTS(counts); i++) {
                    g_autoptr(Cluster) cluster = cluster_of("h100", counts[i], 8, 8);
                    double time_s =
                        time_of(cluster, counts[i] * 8, (CollectiveKind)kind, bytes, algorithm);
                    ck_assert_msg(time_s >= last_s, "%s of %d bytes on %d nodes",
                                  collective_name((CollectiveKind)kind), (int)bytes, counts[i]);
                    last_s = time_s;
                }
            }
}
END_TEST

static TCase *steps_case(void)
{
    TCase *tcase = tcase_create("steps");
    tcase_add_loop_test(tcase, a_tree_reduces_every_node_once, 2, MAX_NODES);
    tcase_add_loop_test(tcase, a_node_has_two_children_at_most, 2, MAX_NODES);
    tcase_add_loop_test(tcase, a_tree_carries_the_payload_both_ways_on_each_edge, 0,
                        G_N_ELEMENTS(shapes));
    tcase_add_loop_test(tcase, pat_gives_every_rank_every_chunk_once, 2, MAX_NODES);
    tcase_add_loop_test(tcase, nvls_sums_every_segment_once, 2, 9);
    tcase_add_test(tcase, nvls_tree_adds_a_tree_of_each_head);
    tcase_add_loop_test(tcase, reducing_switches_take_each_share_once, 0, 3);
    tcase_add_test(tcase, all_to_all_sends_what_others_need);
    return tcase;
}

static TCase *choice_case(void)
{
    TCase *tcase = tcase_create("choice");
    tcase_add_test(tcase, averages_and_old_gpus_stay_off_the_switch);
    tcase_add_test(tcase, an_algorithm_binds_what_it_can_run);
    tcase_add_loop_test(tcase, more_bytes_never_take_less_time, 0, 4);
    tcase_add_test(tcase, more_nodes_never_take_less_time);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("collective_steps");
    suite_add_tcase(suite, steps_case());
    suite_add_tcase(suite, choice_case());
    return suite_run(suite);
}
