/* SPDX-License-Identifier: MIT */
/* Time in a replay: streams, waits, collectives, links, steady steps, and what goes wrong. Each
 * schedule is small enough to add up by hand. */
#include "sim.h"

#include "error.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const NcclOptions automatic = {.algorithm = -1, .protocol = -1};
static const NcclOptions simple = {.algorithm = -1, .protocol = PROTOCOL_SIMPLE};

static int compute(Schedule *schedule, Stream stream, double work_s)
{
    int op = schedule_compute(schedule, stream, PHASE_FORWARD, "kernel", NULL, 0, NULL);
    g_array_index(schedule->ops, Op, op).work_s = work_s;
    return op;
}

static int collective(Schedule *schedule, CollectiveKind kind, gint64 bytes)
{
    return schedule_collective(schedule, PHASE_BACKWARD, "collective", kind, bytes, 0);
}

/* Every rank runs `schedule`, which the job then owns. */
static Job *job_of(Schedule *schedule, int n_ranks)
{
    Job *job = g_new0(Job, 1);
    job->programs = g_ptr_array_new_with_free_func((GDestroyNotify)schedule_free);
    g_ptr_array_add(job->programs, schedule);
    job->program_of_rank = g_new0(int, n_ranks);
    job->n_ranks = n_ranks;
    return job;
}

/* tests/platforms/sim-bus.xml, its first GPUs. */
static Cluster *bus_cluster(int n_gpus)
{
    const char *srcdir = g_getenv("srcdir") ? g_getenv("srcdir") : ".";
    g_autofree char *file = g_build_filename(srcdir, "tests", "platforms", "sim-bus.xml", NULL);
    Cluster *cluster = cluster_new("sim-bus.xml", file);
    for (int r = 0; r < n_gpus; r++) {
        ClusterGpu gpu = {.gpu_host = g_strdup_printf("gpu-%d", r),
                          .gpu = g_strdup("h100"),
                          .local_rank = r,
                          .nic = -1,
                          .speed = r == 1 ? 0.5 : 1};
        g_array_append_val(cluster->gpus, gpu);
    }
    cluster->n_nodes = 1;
    cluster->nvlink_bytes_per_s = 450e9;
    return cluster;
}

/* Nodes of H100s; removed with cluster_free(). */
static Cluster *h100_cluster(int n_nodes, int gpus_per_node)
{
    NodeType node = {
        .name = "test",
        .gpu = "h100",
        .n_gpus = 8,
        .n_nics = 8,
        .nvlink_bytes_per_s = 450e9,
        .nvlink_latency_s = 1e-6,
        .pcie_bytes_per_s = 63e9,
        .nic_bytes_per_s = 50e9,
        .nic_efficiency_frac = 0.97,
        .nic_latency_s = 2e-6,
        .switch_latency_s = 1e-6,
        .leaf_ports = 32,
        .cpu = "intel",
    };
    ClusterSpec spec = {.node = &node,
                        .n_nodes = n_nodes,
                        .gpus_per_node = gpus_per_node,
                        .fabric = FABRIC_RAIL,
                        .oversubscription = 1};
    char *file = NULL;
    g_autoptr(GError) error = NULL;
    int descriptor = g_file_open_tmp("zerosim-XXXXXX.xml", &file, &error);
    ck_assert_msg(descriptor >= 0, "%s", error ? error->message : "");
    close(descriptor);
    g_autofree char *name = file;
    g_autofree char *xml = cluster_spec_write(&spec);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    Cluster *cluster = cluster_new("test", name);
    cluster->xml_is_temporary = TRUE;
    gboolean ok = g_file_set_contents(name, xml, -1, &error) &&
                  sim_platform_read("test", cluster, warnings, &error);
    ck_assert_msg(ok, "%s", ok ? "" : error->message);
    return cluster;
}

static SimResult *run(const Cluster *cluster, const Job *job, const NcclOptions *nccl)
{
    g_autoptr(GError) error = NULL;
    SimResult *result = sim_run(cluster, job, nccl, &error);
    ck_assert_msg(result != NULL, "%s", error ? error->message : "");
    return result;
}

static void assert_span(const SimResult *result, int rank, int op, double start_s, double end_s)
{
    ck_assert_double_eq_tol(timeline_start_s(result->timeline, rank, op), start_s, 1e-12);
    ck_assert_double_eq_tol(timeline_end_s(result->timeline, rank, op), end_s, 1e-12);
}

START_TEST(compute_adds_up)
{
    Schedule *schedule = schedule_new();
    int first = compute(schedule, STREAM_COMPUTE, 0.25);
    int block =
        schedule_alloc(schedule, STREAM_COMPUTE, PHASE_FORWARD, "block", MEMORY_ACTIVATIONS, 8);
    int second = compute(schedule, STREAM_COMPUTE, 0.5);
    int third = compute(schedule, STREAM_COMPUTE, 0);
    int freed = schedule_release(schedule, STREAM_COMPUTE, PHASE_FORWARD, block);
    int last = compute(schedule, STREAM_COMPUTE, 1);
    g_autoptr(Job) job = job_of(schedule, 1);
    g_autoptr(Cluster) cluster = bus_cluster(1);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    assert_span(result, 0, first, 0, 0.25);
    assert_span(result, 0, block, 0.25, 0.25);
    assert_span(result, 0, second, 0.25, 0.75);
    assert_span(result, 0, third, 0.75, 0.75);
    assert_span(result, 0, freed, 0.75, 0.75);
    assert_span(result, 0, last, 0.75, 1.75);
    ck_assert_double_eq_tol(result->timeline->step_time_s, 1.75, 1e-12);
    ck_assert_int_eq(result->n_steps, 1);
    ck_assert(result->is_steady);
}
END_TEST

/* The middle op of the compute stream is awaited, so its end is exact although the run of
 * kernels goes on. */
START_TEST(a_wait_orders_streams)
{
    Schedule *schedule = schedule_new();
    compute(schedule, STREAM_COMPUTE, 1);
    int middle = compute(schedule, STREAM_COMPUTE, 2);
    schedule_wait(schedule, STREAM_REDUCE, middle);
    int copy = compute(schedule, STREAM_REDUCE, 0.5);
    schedule_wait(schedule, STREAM_COMPUTE, copy);
    int last = compute(schedule, STREAM_COMPUTE, 4);
    g_autoptr(Job) job = job_of(schedule, 1);
    g_autoptr(Cluster) cluster = bus_cluster(1);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    assert_span(result, 0, middle, 1, 3);
    assert_span(result, 0, copy, 3, 3.5);
    assert_span(result, 0, last, 3.5, 7.5);
}
END_TEST

START_TEST(streams_share_the_gpu)
{
    Schedule *schedule = schedule_new();
    int one = compute(schedule, STREAM_COMPUTE, 1);
    int other = compute(schedule, STREAM_REDUCE, 0.5);
    g_autoptr(Job) job = job_of(schedule, 1);
    g_autoptr(Cluster) cluster = bus_cluster(1);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    assert_span(result, 0, other, 0, 1);
    assert_span(result, 0, one, 0, 1.5);
}
END_TEST

START_TEST(one_rank_has_no_communication)
{
    Schedule *schedule = schedule_new();
    schedule_wait(schedule, STREAM_NCCL, compute(schedule, STREAM_COMPUTE, 1));
    int reduce = collective(schedule, COLLECTIVE_ALL_REDUCE, 1 << 30);
    schedule_wait(schedule, STREAM_COMPUTE, reduce);
    compute(schedule, STREAM_COMPUTE, 1);
    g_autoptr(Job) job = job_of(schedule, 1);
    g_autoptr(Cluster) cluster = bus_cluster(1);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    assert_span(result, 0, reduce, 1, 1);
    ck_assert_int_eq(result->n_flows, 0);
    ck_assert_double_eq_tol(result->timeline->step_time_s, 2, 1e-12);
}
END_TEST

START_TEST(a_slow_gpu_delays_everyone_at_the_next_collective)
{
    Schedule *schedule = schedule_new();
    int before = compute(schedule, STREAM_COMPUTE, 1);
    schedule_wait(schedule, STREAM_NCCL, before);
    int reduce = collective(schedule, COLLECTIVE_ALL_REDUCE, 1000 * 1000);
    schedule_wait(schedule, STREAM_COMPUTE, reduce);
    int after = compute(schedule, STREAM_COMPUTE, 1);
    schedule_synchronize(schedule);
    g_autoptr(Job) job = job_of(schedule, 2);
    g_autoptr(Cluster) cluster = bus_cluster(2);
    g_autoptr(SimResult) result = run(cluster, job, &simple);
    const Timeline *timeline = result->timeline;
    for (int rank = 0; rank < 2; rank++)
        ck_assert_double_eq(timeline_start_s(timeline, rank, reduce),
                            timeline_end_s(timeline, 1, before));
    ck_assert_double_eq_tol(timeline_end_s(timeline, 1, after), timeline->step_time_s, 1e-12);
    ck_assert_int_eq(timeline_last_rank(timeline), 1);
    /* The quick rank begins its step before the slow one has ended the last. */
    ck_assert(result->n_steps > 1);
    ck_assert(result->is_steady);
    ck_assert_double_eq_tol(timeline_start_s(timeline, 0, before), -1, 1e-9);
    ck_assert_double_eq_tol(timeline_start_s(timeline, 1, before), 0, 1e-9);
}
END_TEST

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
        collective_plan(cluster, members, 2, COLLECTIVE_ALL_GATHER, bytes, 0, &simple);
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
        g_autoptr(CollectivePlan) plan = collective_plan(cluster, members, n, one->collective,
                                                         one->payload_bytes, 0, &automatic);
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
    g_autoptr(CollectivePlan) plan =
        collective_plan(cluster, members, 16, COLLECTIVE_ALL_REDUCE, 1 << 26, 0, &automatic);
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

static Job *mixed_job(int n_ranks)
{
    Schedule *schedule = schedule_new();
    for (int i = 0; i < 10; i++) {
        schedule_wait(schedule, STREAM_NCCL, compute(schedule, STREAM_REDUCE, 1e-5 * (i + 1)));
        collective(schedule, (CollectiveKind)(i % N_COLLECTIVES), 1000000 * (i + 1));
        compute(schedule, STREAM_COMPUTE, 1e-4 * i);
        if (i % 3 == 0)
            schedule_wait_stream(schedule, STREAM_COMPUTE, STREAM_NCCL);
    }
    schedule_synchronize(schedule);
    return job_of(schedule, n_ranks);
}

START_TEST(same_input_same_bytes_out)
{
    g_autoptr(Cluster) cluster = h100_cluster(2, 4);
    g_autoptr(Job) job = mixed_job(8);
    g_autoptr(SimResult) one = run(cluster, job, &automatic);
    g_autoptr(SimResult) other = run(cluster, job, &automatic);
    size_t bytes = sizeof(double) * (size_t)one->timeline->first[8];
    ck_assert_mem_eq(one->timeline->start_s, other->timeline->start_s, bytes);
    ck_assert_mem_eq(one->timeline->end_s, other->timeline->end_s, bytes);
    ck_assert_uint_eq(one->links->len, other->links->len);
    for (guint i = 0; i < one->links->len; i++)
        ck_assert_double_eq(g_array_index(one->links, LinkUse, i).bytes,
                            g_array_index(other->links, LinkUse, i).bytes);
}
END_TEST

/* Every op starts after what it waits for and after the op before it on its stream. */
START_TEST(a_timeline_keeps_every_order)
{
    g_autoptr(Cluster) cluster = h100_cluster(2, 4);
    g_autoptr(Job) job = mixed_job(8);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    const Schedule *schedule = job_program(job, 0);
    for (int rank = 0; rank < 8; rank++) {
        double ended_s[N_STREAMS] = {0};
        for (int i = 0; i < schedule_n_ops(schedule); i++) {
            const Op *op = schedule_op(schedule, i);
            double start_s = timeline_start_s(result->timeline, rank, i);
            ck_assert(start_s >= ended_s[op->stream]);
            for (int w = 0; w < op->n_waits; w++) {
                int wait = g_array_index(schedule->waits, int, op->first_wait + w);
                ck_assert(start_s >= timeline_end_s(result->timeline, rank, wait));
            }
            ended_s[op->stream] = timeline_end_s(result->timeline, rank, i);
            ck_assert(ended_s[op->stream] >= start_s);
        }
    }
}
END_TEST

/* A hand-made circle: the first op waits for the second stream's, which waits for it. */
START_TEST(a_deadlock_names_the_first_stuck_op)
{
    Schedule *schedule = schedule_new();
    compute(schedule, STREAM_COMPUTE, 1);
    int stuck = compute(schedule, STREAM_COMPUTE, 1);
    schedule_wait(schedule, STREAM_NCCL, stuck);
    int reduce = collective(schedule, COLLECTIVE_ALL_REDUCE, 100);
    Op *op = &g_array_index(schedule->ops, Op, stuck);
    op->first_wait = (int)schedule->waits->len;
    op->n_waits = 1;
    g_array_append_val(schedule->waits, reduce);
    g_autoptr(Job) job = job_of(schedule, 2);
    g_autoptr(Cluster) cluster = bus_cluster(2);
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(sim_run(cluster, job, &automatic, &error));
    ck_assert(g_error_matches(error, ZEROSIM_ERROR, ERROR_SIMULATION));
    ck_assert_str_eq(error->message, "deadlock: op 1 of rank 0 (forward kernel) never ends");
}
END_TEST

START_TEST(collectives_that_differ_are_refused)
{
    Schedule *one = schedule_new(), *other = schedule_new();
    collective(one, COLLECTIVE_ALL_REDUCE, 100);
    collective(other, COLLECTIVE_ALL_REDUCE, _i == 0 ? 200 : 100);
    if (_i == 1)
        collective(other, COLLECTIVE_ALL_REDUCE, 100);
    g_autoptr(Job) job = job_of(one, 2);
    g_ptr_array_add(job->programs, other);
    job->program_of_rank[1] = 1;
    g_autoptr(Cluster) cluster = bus_cluster(2);
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(sim_run(cluster, job, &automatic, &error));
    ck_assert(g_error_matches(error, ZEROSIM_ERROR, ERROR_SIMULATION));
    ck_assert_ptr_nonnull(strstr(error->message, _i == 0 ? "200 bytes" : "2 collectives"));
}
END_TEST

/* Unequal programs meet in the same collectives. */
START_TEST(programs_may_differ_between_collectives)
{
    Schedule *one = schedule_new(), *other = schedule_new();
    schedule_wait(one, STREAM_NCCL, compute(one, STREAM_COMPUTE, 3));
    int reduce = collective(one, COLLECTIVE_ALL_REDUCE, 100);
    collective(other, COLLECTIVE_ALL_REDUCE, 100);
    g_autoptr(Job) job = job_of(one, 2);
    g_ptr_array_add(job->programs, other);
    job->program_of_rank[1] = 1;
    g_autoptr(Cluster) cluster = bus_cluster(2);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    ck_assert_double_eq_tol(timeline_start_s(result->timeline, 0, reduce), 3, 1e-12);
    ck_assert_double_eq_tol(timeline_start_s(result->timeline, 1, 0), 3, 1e-12);
    ck_assert_double_eq(timeline_end_s(result->timeline, 0, reduce),
                        timeline_end_s(result->timeline, 1, 0));
}
END_TEST

START_TEST(a_missing_route_is_the_users_mistake)
{
    Schedule *schedule = schedule_new();
    collective(schedule, COLLECTIVE_ALL_REDUCE, 100);
    g_autoptr(Job) job = job_of(schedule, 3);
    g_autoptr(Cluster) cluster = bus_cluster(3);
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(sim_run(cluster, job, &automatic, &error));
    ck_assert(g_error_matches(error, ZEROSIM_ERROR, ERROR_INPUT));
    ck_assert_ptr_nonnull(strstr(error->message, "no route from host 'gpu-1' to host 'gpu-2'"));
    ck_assert_ptr_null(strchr(error->message, '\n'));
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
    g_autoptr(CollectivePlan) plan =
        collective_plan(cluster, members, 2, COLLECTIVE_ALL_GATHER, 1000 * 1000, 0, &simple);
    g_autoptr(SimResult) result = run(cluster, job, &simple);
    ck_assert_double_eq_tol(result->timeline->step_time_s, plan->time_s, 1e-12);
}
END_TEST

static TCase *stream_case(void)
{
    TCase *tcase = tcase_create("streams");
    tcase_add_test(tcase, compute_adds_up);
    tcase_add_test(tcase, a_wait_orders_streams);
    tcase_add_test(tcase, streams_share_the_gpu);
    tcase_add_test(tcase, one_rank_has_no_communication);
    tcase_add_test(tcase, a_slow_gpu_delays_everyone_at_the_next_collective);
    tcase_add_test(tcase, same_input_same_bytes_out);
    tcase_add_test(tcase, a_timeline_keeps_every_order);
    return tcase;
}

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

static TCase *failure_case(void)
{
    TCase *tcase = tcase_create("failures");
    tcase_add_test(tcase, a_deadlock_names_the_first_stuck_op);
    tcase_add_loop_test(tcase, collectives_that_differ_are_refused, 0, 2);
    tcase_add_test(tcase, programs_may_differ_between_collectives);
    tcase_add_test(tcase, a_missing_route_is_the_users_mistake);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("sim");
    suite_add_tcase(suite, stream_case());
    suite_add_tcase(suite, link_case());
    suite_add_tcase(suite, failure_case());
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
