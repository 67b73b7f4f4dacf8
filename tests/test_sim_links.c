/* SPDX-License-Identifier: MIT */
/* Collectives in a replay: the time of one alone, links that flows share, and the bytes that
 * links carry. */
#include "sim_fixture.h"
#include "suite_run.h"

/* Each direction of the ring carries half of the gathered bytes, at 1 GB/s if it were alone. */
START_TEST(two_flows_over_one_link_take_twice_as_long)
{
    const gint64 bytes = 1 << 30;
    Schedule *schedule = schedule_new();
    int gather = collective(schedule, COLLECTIVE_ALL_GATHER, bytes);
    g_autoptr(Job) job = job_of(schedule, 2);
    g_autoptr(Cluster) cluster = bus_cluster(2);
    int members[] = {0, 1};
    g_autoptr(CollectivePlan) plan =
        collective_plan(cluster, members, 2,
                        &(CollectiveCall){COLLECTIVE_ALL_GATHER, bytes, 0, FALSE}, &simple);
    g_autoptr(SimResult) result = run(cluster, job, &simple);
    double expected_s = plan->latency_s + 2 * ((double)bytes / 2 / 1e9);
    ck_assert_double_eq_tol(timeline_end_s(result->timeline, 0, gather), expected_s,
                            1e-9 * expected_s);
    const LinkUse *bus = &g_array_index(result->links, LinkUse, 2);
    ck_assert_str_eq(bus->name, "nvlink:bus");
    ck_assert_double_eq(bus->bytes, (double)bytes);
    ck_assert_double_eq_tol(bus->peak_utilisation_frac, 1, 1e-4);
}
END_TEST

/* Broadcast goes one way: nothing shares the bus. */
START_TEST(a_broadcast_leaves_the_way_back_alone)
{
    Schedule *schedule = schedule_new();
    int broadcast = collective(schedule, COLLECTIVE_BROADCAST, 1 << 30);
    g_autoptr(Job) job = job_of(schedule, 2);
    g_autoptr(Cluster) cluster = bus_cluster(2);
    g_autoptr(SimResult) result = run(cluster, job, &simple);
    ck_assert_double_eq_tol(timeline_end_s(result->timeline, 1, broadcast), (1 << 30) / 1e9,
                            1e-3);
    ck_assert_int_eq(result->n_flows, 1);
    ck_assert_double_eq(g_array_index(result->links, LinkUse, 0).bytes, 0);
}
END_TEST

/* One node, one GPU, part of a node, several nodes with one and with all GPUs. */
static const int shapes[][2] = {{1, 2}, {1, 8}, {1, 5}, {2, 1}, {4, 1}, {2, 2}, {2, 8}, {4, 8}};

/* Whatever runs before and beside it, a collective alone on its links takes exactly the tuner's
 * time: 100 s into the step as well as at its start. */
START_TEST(a_lone_collective_takes_the_tuners_time)
{
    static const gint64 sizes[] = {8,       1000,    65536,
                                   1234567, 1 << 26, G_GINT64_CONSTANT(5000000000)};
    g_autoptr(Cluster) cluster = h100_cluster(shapes[_i][0], shapes[_i][1]);
    int n = cluster_n_ranks(cluster), members[32];
    Schedule *schedule = schedule_new();
    for (int kind = 0; kind < N_COLLECTIVES; kind++)
        for (guint i = 0; i < G_N_ELEMENTS(sizes); i++)
            collective(schedule, (CollectiveKind)kind, sizes[i]);
    for (int r = 0; r < n; r++)
        members[r] = r;
    g_autoptr(Job) job = job_of(schedule, n);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    for (int op = 0; op < schedule_n_ops(schedule); op++) {
        const Op *one = schedule_op(schedule, op);
        const CollectiveCall call = {.kind = one->collective,
                                     .payload_bytes = one->payload_bytes};
        g_autoptr(CollectivePlan) plan =
            collective_plan(cluster, members, n, &call, &automatic);
        double took_s = timeline_end_s(result->timeline, n - 1, op) -
                        timeline_start_s(result->timeline, n - 1, op);
        ck_assert_msg(fabs(took_s - plan->time_s) <= 1e-9 * plan->time_s,
                      "%s of %" G_GINT64_FORMAT " bytes: %.17g s and not %.17g s",
                      collective_name(one->collective), one->payload_bytes, took_s,
                      plan->time_s);
    }
}
END_TEST

/* Links of NVLink and NIC each way: a flow inside a node crosses two, one between nodes two of
 * its NICs' and two of their PCIe slots'. */
START_TEST(links_carry_every_flow_on_every_hop)
{
    g_autoptr(Cluster) cluster = h100_cluster(2, 8);
    int members[16];
    Schedule *schedule = schedule_new();
    collective(schedule, COLLECTIVE_ALL_REDUCE, 1 << 26);
    collective(schedule, COLLECTIVE_ALL_REDUCE, 1 << 26);
    g_autoptr(Job) job = job_of(schedule, 16);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    for (int r = 0; r < 16; r++)
        members[r] = r;
    g_autoptr(CollectivePlan) plan = collective_plan(
        cluster, members, 16, &(CollectiveCall){COLLECTIVE_ALL_REDUCE, 1 << 26, 0, FALSE},
        &automatic);
    double expected = 0, sum = 0;
    for (guint i = 0; i < plan->flows->len; i++) {
        const Flow *flow = &g_array_index(plan->flows, Flow, i);
        expected += 2 * (flow->between_nodes ? 4 : 2) * flow->wire_bytes;
    }
    for (guint i = 0; i < result->links->len; i++) {
        const LinkUse *link = &g_array_index(result->links, LinkUse, i);
        sum += link->bytes;
        ck_assert(link->link_class != LINK_ENGINE);
        ck_assert(link->peak_utilisation_frac <= 1 + 1e-9);
        if (i > 0)
            ck_assert_int_lt(strcmp(link[-1].name, link->name), 0);
    }
    ck_assert_double_eq_tol(sum, expected, 1e-9 * expected);
    ck_assert_int_eq(result->n_flows, 2 * plan->flows->len);
    ck_assert_uint_eq(result->collectives->len, 2);
    ck_assert_int_eq(g_array_index(result->collectives, CollectiveUse, 1).protocol,
                     plan->protocol);
}
END_TEST

/* A platform without engine links: its collectives are no faster than their channels. */
START_TEST(channels_limit_without_engine_links)
{
    Schedule *schedule = schedule_new();
    collective(schedule, COLLECTIVE_ALL_GATHER, 1000 * 1000);
    g_autoptr(Job) job = job_of(schedule, 2);
    g_autoptr(Cluster) cluster = bus_cluster(2);
    int members[] = {0, 1};
    cluster->nvlink_bytes_per_s = 1e8; /* what NCCL believes; the bus is faster */
    g_autoptr(CollectivePlan) plan = collective_plan(
        cluster, members, 2, &(CollectiveCall){COLLECTIVE_ALL_GATHER, 1000 * 1000, 0, FALSE},
        &simple);
    g_autoptr(SimResult) result = run(cluster, job, &simple);
    ck_assert_double_eq_tol(result->timeline->step_time_s, plan->time_s, 1e-12);
}
END_TEST

static TCase *link_case(void)
{
    TCase *tcase = tcase_create("links");
    tcase_set_timeout(tcase, 60); /* AddressSanitizer's threads are slow */
    tcase_add_test(tcase, two_flows_over_one_link_take_twice_as_long);
    tcase_add_test(tcase, a_broadcast_leaves_the_way_back_alone);
    tcase_add_loop_test(tcase, a_lone_collective_takes_the_tuners_time, 0,
                        G_N_ELEMENTS(shapes));
    tcase_add_test(tcase, links_carry_every_flow_on_every_hop);
    tcase_add_test(tcase, channels_limit_without_engine_links);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("sim_links");
    suite_add_tcase(suite, link_case());
    return suite_run(suite);
}
