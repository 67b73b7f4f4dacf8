/* SPDX-License-Identifier: MIT */
/* Collectives: what NCCL's tuner predicts for known systems, that rings move the right data,
 * and that flows carry what the closed forms say. */
#include "collective.h"

#include "clusters.h"
#include "suite_run.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const NcclOptions automatic = {.algorithm = -1, .protocol = -1};

static CollectivePlan *plan_of(const Cluster *cluster, CollectiveKind kind, gint64 bytes,
                               int root, const NcclOptions *options)
{
    int n = cluster_n_ranks(cluster);
    g_autofree int *members = g_new(int, n);
    for (int r = 0; r < n; r++)
        members[r] = r;
    const CollectiveCall call = {.kind = kind, .payload_bytes = bytes, .root = root};
    return collective_plan(cluster, members, n, &call, options);
}

enum { A100_1, H100_1, B200_1, H100_4, A100_4 };

static Cluster *system_of(int system)
{
    switch (system) {
    case A100_1:
        return counted_cluster("a100-sxm-80gb", 1, 8, 0, 300e9, 0, "intel");
    case H100_1:
        return counted_cluster("h100-sxm-80gb", 1, 8, 0, 450e9, 0, "intel");
    case B200_1:
        return counted_cluster("b200", 1, 8, 0, 900e9, 0, "intel");
    case H100_4:
        return counted_cluster("h100-sxm-80gb", 4, 8, 8, 450e9, 0.97 * 50e9, "intel");
    default:
        return counted_cluster("a100-sxm-80gb", 4, 8, 8, 300e9, 0.97 * 25e9, "amd");
    }
}

/* Choices of NCCL 2.30's tuner, computed from its sources apart from this program. */
static const struct {
    int system;
    CollectiveKind kind;
    gint64 bytes;
    Algorithm algorithm;
    Protocol protocol;
    double time_us;
} tuner_rows[] = {
    {A100_1, COLLECTIVE_ALL_REDUCE, 32768, ALGORITHM_RING, PROTOCOL_LL, 15.65},
    {A100_1, COLLECTIVE_ALL_REDUCE, 262144, ALGORITHM_RING, PROTOCOL_LL, 20.23},
    {A100_1, COLLECTIVE_ALL_REDUCE, 1048576, ALGORITHM_RING, PROTOCOL_LL, 35.92},
    {A100_1, COLLECTIVE_ALL_REDUCE, 4194304, ALGORITHM_RING, PROTOCOL_LL128, 73.84},
    {A100_1, COLLECTIVE_ALL_REDUCE, 26214400, ALGORITHM_RING, PROTOCOL_SIMPLE, 247.15},
    {A100_1, COLLECTIVE_ALL_REDUCE, 67108864, ALGORITHM_RING, PROTOCOL_SIMPLE, 545.34},
    {A100_1, COLLECTIVE_ALL_REDUCE, 268435456, ALGORITHM_RING, PROTOCOL_SIMPLE, 2013.34},
    {A100_1, COLLECTIVE_ALL_REDUCE, 1073741824, ALGORITHM_RING, PROTOCOL_SIMPLE, 7885.37},
    {H100_1, COLLECTIVE_ALL_REDUCE, 32768, ALGORITHM_RING, PROTOCOL_LL, 15.41},
    {H100_1, COLLECTIVE_ALL_REDUCE, 262144, ALGORITHM_RING, PROTOCOL_LL, 18.25},
    {H100_1, COLLECTIVE_ALL_REDUCE, 1048576, ALGORITHM_RING, PROTOCOL_LL, 28.01},
    {H100_1, COLLECTIVE_ALL_REDUCE, 4194304, ALGORITHM_NVLS, PROTOCOL_SIMPLE, 40.42},
    {H100_1, COLLECTIVE_ALL_REDUCE, 26214400, ALGORITHM_NVLS, PROTOCOL_SIMPLE, 121.38},
    {H100_1, COLLECTIVE_ALL_REDUCE, 67108864, ALGORITHM_NVLS, PROTOCOL_SIMPLE, 271.72},
    {H100_1, COLLECTIVE_ALL_REDUCE, 268435456, ALGORITHM_NVLS, PROTOCOL_SIMPLE, 1011.90},
    {H100_1, COLLECTIVE_ALL_REDUCE, 1073741824, ALGORITHM_NVLS, PROTOCOL_SIMPLE, 3972.58},
    {H100_1, COLLECTIVE_ALL_GATHER, 32768, ALGORITHM_RING, PROTOCOL_LL, 11.00},
    {H100_1, COLLECTIVE_ALL_GATHER, 262144, ALGORITHM_RING, PROTOCOL_LL, 12.43},
    {H100_1, COLLECTIVE_ALL_GATHER, 1048576, ALGORITHM_RING, PROTOCOL_LL, 17.31},
    {H100_1, COLLECTIVE_ALL_GATHER, 4194304, ALGORITHM_RING, PROTOCOL_LL, 36.83},
    {H100_1, COLLECTIVE_ALL_GATHER, 26214400, ALGORITHM_RING, PROTOCOL_SIMPLE, 95.92},
    {H100_1, COLLECTIVE_ALL_GATHER, 67108864, ALGORITHM_RING, PROTOCOL_SIMPLE, 195.31},
    {H100_1, COLLECTIVE_ALL_GATHER, 268435456, ALGORITHM_RING, PROTOCOL_SIMPLE, 684.65},
    {H100_1, COLLECTIVE_ALL_GATHER, 1073741824, ALGORITHM_RING, PROTOCOL_SIMPLE, 2641.99},
    {B200_1, COLLECTIVE_ALL_REDUCE, 32768, ALGORITHM_RING, PROTOCOL_LL, 15.20},
    {B200_1, COLLECTIVE_ALL_REDUCE, 262144, ALGORITHM_RING, PROTOCOL_LL, 16.63},
    {B200_1, COLLECTIVE_ALL_REDUCE, 1048576, ALGORITHM_RING, PROTOCOL_LL, 21.51},
    {B200_1, COLLECTIVE_ALL_REDUCE, 4194304, ALGORITHM_NVLS, PROTOCOL_SIMPLE, 35.19},
    {B200_1, COLLECTIVE_ALL_REDUCE, 26214400, ALGORITHM_NVLS, PROTOCOL_SIMPLE, 88.72},
    {B200_1, COLLECTIVE_ALL_REDUCE, 67108864, ALGORITHM_NVLS, PROTOCOL_SIMPLE, 188.11},
    {B200_1, COLLECTIVE_ALL_REDUCE, 268435456, ALGORITHM_NVLS, PROTOCOL_SIMPLE, 677.45},
    {B200_1, COLLECTIVE_ALL_REDUCE, 1073741824, ALGORITHM_NVLS, PROTOCOL_SIMPLE, 2634.79},
    {H100_4, COLLECTIVE_ALL_REDUCE, 32768, ALGORITHM_TREE, PROTOCOL_LL, 39.79},
    {H100_4, COLLECTIVE_ALL_REDUCE, 262144, ALGORITHM_TREE, PROTOCOL_LL128, 69.27},
    {H100_4, COLLECTIVE_ALL_REDUCE, 1048576, ALGORITHM_TREE, PROTOCOL_LL128, 80.57},
    {H100_4, COLLECTIVE_ALL_REDUCE, 4194304, ALGORITHM_TREE, PROTOCOL_LL128, 110.70},
    {H100_4, COLLECTIVE_ALL_REDUCE, 26214400, ALGORITHM_NVLS_TREE, PROTOCOL_SIMPLE, 248.13},
    {H100_4, COLLECTIVE_ALL_REDUCE, 67108864, ALGORITHM_NVLS_TREE, PROTOCOL_SIMPLE, 465.81},
    {H100_4, COLLECTIVE_ALL_REDUCE, 268435456, ALGORITHM_NVLS_TREE, PROTOCOL_SIMPLE, 1537.43},
    {H100_4, COLLECTIVE_ALL_REDUCE, 1073741824, ALGORITHM_NVLS_TREE, PROTOCOL_SIMPLE, 5823.92},
    {H100_4, COLLECTIVE_ALL_GATHER, 32768, ALGORITHM_RING, PROTOCOL_LL, 44.26},
    {H100_4, COLLECTIVE_ALL_GATHER, 262144, ALGORITHM_RING, PROTOCOL_LL, 55.15},
    {H100_4, COLLECTIVE_ALL_GATHER, 1048576, ALGORITHM_RING, PROTOCOL_LL128, 82.66},
    {H100_4, COLLECTIVE_ALL_GATHER, 4194304, ALGORITHM_RING, PROTOCOL_LL128, 93.04},
    {H100_4, COLLECTIVE_ALL_GATHER, 26214400, ALGORITHM_RING, PROTOCOL_LL128, 165.70},
    {H100_4, COLLECTIVE_ALL_GATHER, 67108864, ALGORITHM_RING, PROTOCOL_LL128, 300.63},
    {H100_4, COLLECTIVE_ALL_GATHER, 268435456, ALGORITHM_RING, PROTOCOL_SIMPLE, 867.95},
    {H100_4, COLLECTIVE_ALL_GATHER, 1073741824, ALGORITHM_RING, PROTOCOL_SIMPLE, 3035.01},
    {A100_4, COLLECTIVE_ALL_REDUCE, 32768, ALGORITHM_TREE, PROTOCOL_LL, 40.13},
    {A100_4, COLLECTIVE_ALL_REDUCE, 262144, ALGORITHM_TREE, PROTOCOL_LL128, 72.05},
    {A100_4, COLLECTIVE_ALL_REDUCE, 1048576, ALGORITHM_TREE, PROTOCOL_LL128, 91.68},
    {A100_4, COLLECTIVE_ALL_REDUCE, 4194304, ALGORITHM_TREE, PROTOCOL_LL128, 144.05},
    {A100_4, COLLECTIVE_ALL_REDUCE, 26214400, ALGORITHM_RING, PROTOCOL_LL128, 467.44},
    {A100_4, COLLECTIVE_ALL_REDUCE, 67108864, ALGORITHM_RING, PROTOCOL_LL128, 962.65},
    {A100_4, COLLECTIVE_ALL_REDUCE, 268435456, ALGORITHM_RING, PROTOCOL_SIMPLE, 3308.58},
    {A100_4, COLLECTIVE_ALL_REDUCE, 1073741824, ALGORITHM_RING, PROTOCOL_SIMPLE, 11435.05},
};

/* Latency and algorithm bandwidth of each, whether it is chosen or not, from the same. */
static const struct {
    int system;
    Algorithm algorithm;
    Protocol protocol;
    double latency_us, algorithm_gb_per_s;
} model_rows[] = {
    {H100_1, ALGORITHM_TREE, PROTOCOL_LL, 15.2, 43.6},
    {H100_1, ALGORITHM_TREE, PROTOCOL_LL128, 31.5, 128.8},
    {H100_1, ALGORITHM_TREE, PROTOCOL_SIMPLE, 64.4, 165.6},
    {H100_1, ALGORITHM_RING, PROTOCOL_LL, 15.0, 80.6},
    {H100_1, ALGORITHM_RING, PROTOCOL_LL128, 40.6, 189.3},
    {H100_1, ALGORITHM_RING, PROTOCOL_SIMPLE, 56.0, 205.7},
    {H100_1, ALGORITHM_NVLS, PROTOCOL_SIMPLE, 25, 272.0},
    {A100_1, ALGORITHM_TREE, PROTOCOL_LL, 15.2, 29.1},
    {A100_1, ALGORITHM_TREE, PROTOCOL_LL128, 31.5, 85.9},
    {A100_1, ALGORITHM_TREE, PROTOCOL_SIMPLE, 64.4, 110.4},
    {A100_1, ALGORITHM_RING, PROTOCOL_LL, 15.0, 50.1},
    {A100_1, ALGORITHM_RING, PROTOCOL_LL128, 40.6, 126.2},
    {A100_1, ALGORITHM_RING, PROTOCOL_SIMPLE, 56.0, 137.1},
    {H100_4, ALGORITHM_TREE, PROTOCOL_LL, 35.2, 10.2},
    {H100_4, ALGORITHM_TREE, PROTOCOL_LL128, 65.5, 116.0},
    {H100_4, ALGORITHM_TREE, PROTOCOL_SIMPLE, 120.4, 144.0},
    {H100_4, ALGORITHM_RING, PROTOCOL_LL, 78.8, 10.5},
    {H100_4, ALGORITHM_RING, PROTOCOL_LL128, 144.4, 151.5},
    {H100_4, ALGORITHM_RING, PROTOCOL_SIMPLE, 282.8 * 1.4, 185.8},
    {H100_4, ALGORITHM_NVLS_TREE, PROTOCOL_SIMPLE, 108.6, 187.9},
};

START_TEST(tuner_chooses_and_predicts_as_nccl)
{
    g_autoptr(Cluster) cluster = system_of(tuner_rows[_i].system);
    g_autoptr(CollectivePlan) plan =
        plan_of(cluster, tuner_rows[_i].kind, tuner_rows[_i].bytes, 0, &automatic);
    ck_assert_str_eq(algorithm_name(plan->algorithm), algorithm_name(tuner_rows[_i].algorithm));
    ck_assert_str_eq(protocol_name(plan->protocol), protocol_name(tuner_rows[_i].protocol));
    ck_assert_double_eq_tol(plan->time_s * 1e6, tuner_rows[_i].time_us,
                            0.005 * tuner_rows[_i].time_us);
}
END_TEST

START_TEST(every_algorithm_is_predicted_as_by_nccl)
{
    g_autoptr(Cluster) cluster = system_of(model_rows[_i].system);
    const NcclOptions forced = {.algorithm = (int)model_rows[_i].algorithm,
                                .protocol = (int)model_rows[_i].protocol};
    const gint64 bytes = G_GINT64_CONSTANT(1) << 33; /* too large for corrections by size */
    g_autoptr(CollectivePlan) plan = plan_of(cluster, COLLECTIVE_ALL_REDUCE, bytes, 0, &forced);
    ck_assert_int_eq(plan->algorithm, model_rows[_i].algorithm);
    ck_assert_int_eq(plan->protocol, model_rows[_i].protocol);
    ck_assert_double_eq_tol(plan->latency_s * 1e6, model_rows[_i].latency_us, 0.06);
    ck_assert_double_eq_tol((double)bytes / (plan->time_s - plan->latency_s) / 1e9,
                            model_rows[_i].algorithm_gb_per_s, 0.06);
}
END_TEST

/* Simple's bandwidth is channels times their speed: known graphs of NCCL's search. */
static const struct {
    const char *gpu;
    int n_nodes, nics;
    double nvlink, nic, bus_gb_per_s;
    int blocks;
} graph_rows[] = {
    {"v100-sxm2", 1, 0, 150e9, 0, 120, 12},     {"a100-sxm-80gb", 1, 0, 300e9, 0, 240, 24},
    {"h100-sxm-80gb", 1, 0, 450e9, 0, 360, 24}, {"b200", 1, 0, 900e9, 0, 720, 32},
    {"a100", 4, 8, 300e9, 25e9, 192, 16},       {"h100", 4, 8, 450e9, 50e9, 360, 16},
    {"a100", 4, 4, 300e9, 12.5e9, 48, 8},
};

START_TEST(search_finds_the_known_channels)
{
    g_autoptr(Cluster) cluster =
        counted_cluster(graph_rows[_i].gpu, graph_rows[_i].n_nodes, 8, graph_rows[_i].nics,
                        graph_rows[_i].nvlink, graph_rows[_i].nic, "intel");
    NcclOptions simple = {.algorithm = -1, .protocol = PROTOCOL_SIMPLE};
    g_autoptr(CollectivePlan) plan =
        plan_of(cluster, COLLECTIVE_ALL_GATHER, 1 << 30, 0, &simple);
    int n = cluster_n_ranks(cluster);
    double bus = (1 << 30) * (n - 1.0) / n / (plan->time_s - plan->latency_s);
    ck_assert_double_eq_tol(bus, graph_rows[_i].bus_gb_per_s * 1e9, 1e3);
    ck_assert_int_eq(plan->channels, graph_rows[_i].blocks);
}
END_TEST

START_TEST(faster_links_make_faster_plans)
{
    g_autoptr(Cluster) slow = counted_cluster("h100", 2, 8, 8, 450e9, 25e9, "intel");
    g_autoptr(Cluster) fast = counted_cluster("h100", 2, 8, 8, 450e9, 50e9, "intel");
    g_autoptr(Cluster) ideal = counted_cluster("h100", 2, 8, 8, 1e18, 1e18, "intel");
    g_autoptr(CollectivePlan) a = plan_of(slow, COLLECTIVE_ALL_GATHER, 1 << 30, 0, &automatic);
    g_autoptr(CollectivePlan) b = plan_of(fast, COLLECTIVE_ALL_GATHER, 1 << 30, 0, &automatic);
    g_autoptr(CollectivePlan) c = plan_of(ideal, COLLECTIVE_ALL_GATHER, 1 << 30, 0, &automatic);
    ck_assert(a->time_s > b->time_s);
    /* An idealised link leaves the latency. */
    ck_assert_double_eq_tol(c->time_s, c->latency_s, 1e-6);
}
END_TEST

START_TEST(one_rank_or_no_bytes_need_nothing)
{
    g_autoptr(Cluster) cluster = system_of(H100_1);
    int member = 3;
    g_autoptr(CollectivePlan) alone =
        collective_plan(cluster, &member, 1,
                        &(CollectiveCall){COLLECTIVE_ALL_REDUCE, 1000, 3, FALSE}, &automatic);
    g_autoptr(CollectivePlan) empty = plan_of(cluster, COLLECTIVE_ALL_REDUCE, 0, 0, &automatic);
    ck_assert_uint_eq(alone->flows->len, 0);
    ck_assert_double_eq(alone->time_s, 0);
    ck_assert_uint_eq(empty->flows->len, 0);
    ck_assert_double_eq(collective_busbw_factor(COLLECTIVE_BROADCAST, 1), 0);
}
END_TEST

/* Groups of ranks: shape, and members of a 4 x 8 cluster with 8 or 4 NICs a node. */
static const struct {
    int n, nics;
    int members[32];
} groups[] = {
    {2, 8, {0, 1}},
    {5, 8, {1, 2, 3, 5, 7}},
    {2, 8, {0, 8}},
    {4, 8, {3, 11, 19, 27}},
    {3, 8, {0, 1, 8}},
    {16, 4, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
    {7, 4, {0, 1, 2, 8, 16, 17, 31}},
};

static CollectivePlan *group_plan(int group, CollectiveKind kind, int root, Protocol protocol)
{
    g_autoptr(Cluster) cluster =
        counted_cluster("h100", 4, 8, groups[group].nics, 450e9, 50e9, "intel");
    NcclOptions options = {.algorithm = ALGORITHM_RING, .protocol = (int)protocol};
    const CollectiveCall call = {.kind = kind, .payload_bytes = 1 << 28, .root = root};
    return collective_plan(cluster, groups[group].members, groups[group].n, &call, &options);
}

/* Bytes out of, or into, each rank over NVLink and NIC: all ranks of a node together send n
 * hops' worth of the ring. */
START_TEST(flows_carry_every_hop_of_the_ring)
{
    for (int protocol = 0; protocol < N_PROTOCOLS; protocol++)
        for (int kind = 0; kind <= COLLECTIVE_REDUCE_SCATTER; kind++) {
            static const double fraction[] = {0.5, 15.0 / 16, 1};
            g_autoptr(CollectivePlan) plan =
                group_plan(_i, (CollectiveKind)kind, 0, (Protocol)protocol);
            double sum = 0;
            for (guint i = 0; i < plan->flows->len; i++)
                sum += g_array_index(plan->flows, Flow, i).wire_bytes;
            double hop = collective_busbw_factor((CollectiveKind)kind, groups[_i].n) *
                         (1 << 28) / fraction[protocol];
            ck_assert_double_eq_tol(sum, groups[_i].n * hop, 1);
        }
}
END_TEST

/* A pipeline cuts one hop of each channel: n-1 hops carry the payload, and nothing enters a
 * broadcast's root or leaves a reduction's on NVLink. */
START_TEST(pipelines_leave_out_the_root)
{
    int root = groups[_i].members[groups[_i].n / 2];
    g_autoptr(CollectivePlan) down =
        group_plan(_i, COLLECTIVE_BROADCAST, root, PROTOCOL_SIMPLE);
    g_autoptr(CollectivePlan) up = group_plan(_i, COLLECTIVE_REDUCE, root, PROTOCOL_SIMPLE);
    double sum_down = 0, sum_up = 0;
    for (guint i = 0; i < down->flows->len; i++) {
        const Flow *flow = &g_array_index(down->flows, Flow, i);
        ck_assert(flow->between_nodes || flow->to_rank != root);
        sum_down += flow->wire_bytes;
    }
    for (guint i = 0; i < up->flows->len; i++) {
        const Flow *flow = &g_array_index(up->flows, Flow, i);
        ck_assert(flow->between_nodes || flow->from_rank != root);
        sum_up += flow->wire_bytes;
    }
    ck_assert_double_eq_tol(sum_down, (groups[_i].n - 1.0) * (1 << 28), 1);
    ck_assert_double_eq_tol(sum_up, (groups[_i].n - 1.0) * (1 << 28), 1);
}
END_TEST

/* No flow is slower than the plan's time under the ceilings, and one is as slow. */
START_TEST(ceilings_give_the_tuners_time)
{
    for (int kind = 0; kind <= COLLECTIVE_REDUCE; kind++) {
        g_autoptr(CollectivePlan) plan =
            group_plan(_i, (CollectiveKind)kind, groups[_i].members[0], PROTOCOL_LL128);
        double slowest_s = 0;
        for (guint i = 0; i < plan->flows->len; i++) {
            const Flow *flow = &g_array_index(plan->flows, Flow, i);
            double ceiling =
                flow->between_nodes ? plan->nic_engine_bytes_per_s : plan->engine_bytes_per_s;
            slowest_s = MAX(slowest_s, flow->wire_bytes / ceiling);
        }
        ck_assert_double_eq_tol(plan->latency_s + slowest_s, plan->time_s,
                                1e-12 * plan->time_s);
    }
}
END_TEST

START_TEST(rails_stay_rails)
{
    g_autoptr(CollectivePlan) plan = group_plan(5, COLLECTIVE_ALL_GATHER, 0, PROTOCOL_SIMPLE);
    int n_between = 0;
    for (guint i = 0; i < plan->flows->len; i++) {
        const Flow *flow = &g_array_index(plan->flows, Flow, i);
        if (!flow->between_nodes)
            continue;
        n_between++;
        ck_assert_int_eq(flow->from_rank % 8 / 2, flow->to_rank % 8 / 2);
    }
    ck_assert_int_eq(n_between, 2 * 4);
}
END_TEST

START_TEST(fewer_channels_move_fewer_bytes)
{
    g_autoptr(Cluster) cluster = system_of(H100_1);
    NcclOptions half = {.algorithm = -1, .protocol = PROTOCOL_SIMPLE, .channels = 12};
    NcclOptions all = {.algorithm = -1, .protocol = PROTOCOL_SIMPLE};
    g_autoptr(CollectivePlan) a = plan_of(cluster, COLLECTIVE_ALL_GATHER, 1 << 30, 0, &half);
    g_autoptr(CollectivePlan) b = plan_of(cluster, COLLECTIVE_ALL_GATHER, 1 << 30, 0, &all);
    ck_assert_double_eq_tol(a->engine_bytes_per_s, b->engine_bytes_per_s / 2, 1);
}
END_TEST

START_TEST(gpus_are_known_by_name)
{
    ck_assert_int_eq(collective_compute_capability("v100-sxm2-32gb"), 70);
    ck_assert_int_eq(collective_compute_capability("A100-SXM-80GB"), 80);
    ck_assert_int_eq(collective_compute_capability("h200-sxm"), 90);
    ck_assert_int_eq(collective_compute_capability("b200"), 100);
    ck_assert_int_eq(collective_compute_capability("abacus"), 0);
    ck_assert_int_eq(collective_compute_capability(NULL), 0);
}
END_TEST

/* The steps of a ring, one by one. A chunk is the set of ranks whose contribution it holds,
 * one count each: data[rank][chunk][contributor]. */
#define MAX_RING 9
typedef int Chunk[MAX_RING];
typedef struct {
    int n;
    Chunk data[MAX_RING][MAX_RING];
    int sent[MAX_RING]; /* chunks */
} Ring;

/* Every rank sends the chunk it got in the step before; the receiver adds it, or takes it. */
static void ring_step(Ring *ring, int step, int first, gboolean add)
{
    Ring before = *ring;
    for (int r = 0; r < ring->n; r++) {
        int to = (r + 1) % ring->n;
        int chunk = (r + first - step + 2 * ring->n) % ring->n;
        ring->sent[r]++;
        for (int c = 0; c < ring->n; c++)
            ring->data[to][chunk][c] =
                before.data[r][chunk][c] + (add ? before.data[to][chunk][c] : 0);
    }
}

static void chunk_check(const Ring *ring, int rank, int chunk)
{
    for (int c = 0; c < ring->n; c++)
        ck_assert_int_eq(ring->data[rank][chunk][c], 1);
}

START_TEST(ring_reduce_scatter_then_all_gather_is_all_reduce)
{
    Ring ring = {.n = _i};
    for (int r = 0; r < ring.n; r++)
        for (int chunk = 0; chunk < ring.n; chunk++)
            ring.data[r][chunk][r] = 1;
    for (int step = 0; step < ring.n - 1; step++)
        ring_step(&ring, step, 0, TRUE);
    /* Reduce-scatter: each rank holds one chunk whole, each contribution once. */
    for (int r = 0; r < ring.n; r++) {
        chunk_check(&ring, r, (r + 1) % ring.n);
        ck_assert_double_eq_tol((double)ring.sent[r] / ring.n,
                                collective_busbw_factor(COLLECTIVE_REDUCE_SCATTER, ring.n),
                                1e-15);
    }
    for (int step = 0; step < ring.n - 1; step++)
        ring_step(&ring, step, 1, FALSE);
    for (int r = 0; r < ring.n; r++) {
        for (int chunk = 0; chunk < ring.n; chunk++)
            chunk_check(&ring, r, chunk);
        ck_assert_double_eq_tol((double)ring.sent[r] / ring.n,
                                collective_busbw_factor(COLLECTIVE_ALL_REDUCE, ring.n), 1e-15);
    }
}
END_TEST

static TCase *tuner_case(void)
{
    TCase *tcase = tcase_create("tuner");
    tcase_add_loop_test(tcase, tuner_chooses_and_predicts_as_nccl, 0, G_N_ELEMENTS(tuner_rows));
    tcase_add_loop_test(tcase, every_algorithm_is_predicted_as_by_nccl, 0,
                        G_N_ELEMENTS(model_rows));
    tcase_add_loop_test(tcase, search_finds_the_known_channels, 0, G_N_ELEMENTS(graph_rows));
    tcase_add_test(tcase, faster_links_make_faster_plans);
    tcase_add_test(tcase, one_rank_or_no_bytes_need_nothing);
    tcase_add_test(tcase, fewer_channels_move_fewer_bytes);
    tcase_add_test(tcase, gpus_are_known_by_name);
    return tcase;
}

static TCase *ring_case(void)
{
    TCase *tcase = tcase_create("rings");
    tcase_add_loop_test(tcase, flows_carry_every_hop_of_the_ring, 0, G_N_ELEMENTS(groups));
    tcase_add_loop_test(tcase, pipelines_leave_out_the_root, 0, G_N_ELEMENTS(groups));
    tcase_add_loop_test(tcase, ceilings_give_the_tuners_time, 0, G_N_ELEMENTS(groups));
    tcase_add_test(tcase, rails_stay_rails);
    tcase_add_loop_test(tcase, ring_reduce_scatter_then_all_gather_is_all_reduce, 2,
                        MAX_RING + 1);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("collective");
    suite_add_tcase(suite, tuner_case());
    suite_add_tcase(suite, ring_case());
    return suite_run(suite);
}
