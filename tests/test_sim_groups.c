/* SPDX-License-Identifier: MIT */
/* Communicators in a replay: groups that run independently, communicators that run at once, and
 * what they share. */
#include "sim_fixture.h"
#include "suite_run.h"

#define GIB ((gint64)1 << 30)

static int collective_on(Schedule *schedule, int communicator, CollectiveKind kind,
                         gint64 bytes)
{
    return schedule_collective_on(schedule, communicator, PHASE_BACKWARD, "collective", kind,
                                  bytes, 0);
}

/* Adds groups of `size` neighbours. */
static int neighbours_add(Job *job, int size)
{
    g_autofree int *group_of_rank = g_new(int, job->n_ranks);
    for (int r = 0; r < job->n_ranks; r++)
        group_of_rank[r] = r / size;
    return job_add_communicator(job, "shard", group_of_rank, job->n_ranks / size);
}

/* Adds groups of every `stride`-th rank. */
static int strides_add(Job *job, int stride)
{
    g_autofree int *group_of_rank = g_new(int, job->n_ranks);
    for (int r = 0; r < job->n_ranks; r++)
        group_of_rank[r] = r % stride;
    return job_add_communicator(job, "replicate", group_of_rank, stride);
}

static double planned_s(const Cluster *cluster, int first, int n, int stride,
                        CollectiveKind kind, gint64 bytes)
{
    g_autofree int *members = g_new(int, n);
    for (int i = 0; i < n; i++)
        members[i] = first + i * stride;
    const CollectiveCall call = {.kind = kind, .payload_bytes = bytes, .root = first};
    g_autoptr(CollectivePlan) plan = collective_plan(cluster, members, n, &call, &automatic);
    return plan->time_s;
}

static double took_s(const SimResult *result, int rank, int op)
{
    return timeline_end_s(result->timeline, rank, op) -
           timeline_start_s(result->timeline, rank, op);
}

/* Groups of 8 in 4 nodes: each takes what it would take alone, since no two share a link. */
START_TEST(groups_of_a_node_run_like_lone_nodes)
{
    g_autoptr(Cluster) cluster = h100_cluster(4, 8);
    Schedule *schedule = schedule_new();
    int gather = collective_on(schedule, 1, COLLECTIVE_ALL_GATHER, GIB);
    g_autoptr(Job) job = job_of(schedule, 32);
    neighbours_add(job, 8);
    double expected_s = planned_s(cluster, 0, 8, 1, COLLECTIVE_ALL_GATHER, GIB);

    g_autoptr(SimResult) result = run(cluster, job, &automatic);

    for (int r = 0; r < 32; r++)
        ck_assert_double_eq_tol(took_s(result, r, gather), expected_s, 1e-9 * expected_s);
    for (guint i = 0; i < result->links->len; i++) {
        const LinkUse *link = &g_array_index(result->links, LinkUse, i);
        ck_assert(link->bytes == 0 || link->link_class == LINK_NVLINK);
    }
    ck_assert_int_eq(result->n_flows, 32);
}
END_TEST

/* One group's ranks arrive 1 s later than the other's: that one doesn't wait. */
START_TEST(groups_run_independently)
{
    g_autoptr(Cluster) cluster = h100_cluster(1, 4);
    Schedule *one = schedule_new(), *other = schedule_new();
    int early = collective_on(one, 1, COLLECTIVE_ALL_REDUCE, GIB);
    schedule_wait(other, stream_of_communicator(1), compute(other, STREAM_COMPUTE, 1));
    int late = collective_on(other, 1, COLLECTIVE_ALL_REDUCE, GIB);
    g_autoptr(Job) job = job_of(one, 4);
    g_ptr_array_add(job->programs, other);
    job->program_of_rank[2] = job->program_of_rank[3] = 1;
    neighbours_add(job, 2);
    double expected_s = planned_s(cluster, 0, 2, 1, COLLECTIVE_ALL_REDUCE, GIB);

    g_autoptr(SimResult) result = run(cluster, job, &automatic);

    for (int r = 0; r < 4; r++)
        ck_assert_double_eq_tol(took_s(result, r, r < 2 ? early : late), expected_s, 1e-9);
    for (int r = 0; r < 2; r++)
        ck_assert_double_lt(timeline_end_s(result->timeline, r, early),
                            timeline_start_s(result->timeline, 2, late));
    ck_assert_double_eq_tol(result->timeline->step_time_s, 1 + expected_s, 1e-9);
}
END_TEST

/* Shards inside nodes and replicas between them use other links: as quick as each alone, both
 * at the same time; on one communicator, one after the other. */
START_TEST(communicators_run_at_once)
{
    g_autoptr(Cluster) cluster = h100_cluster(4, 8);
    Schedule *schedule = schedule_new();
    int scatter = collective_on(schedule, 1, COLLECTIVE_REDUCE_SCATTER, GIB);
    int reduce = collective_on(schedule, 2, COLLECTIVE_ALL_REDUCE, GIB / 8);
    int next = collective_on(schedule, 1, COLLECTIVE_ALL_GATHER, GIB);
    g_autoptr(Job) job = job_of(schedule, 32);
    neighbours_add(job, 8);
    strides_add(job, 8);
    double scatter_s = planned_s(cluster, 0, 8, 1, COLLECTIVE_REDUCE_SCATTER, GIB);
    double reduce_s = planned_s(cluster, 0, 4, 8, COLLECTIVE_ALL_REDUCE, GIB / 8);

    g_autoptr(SimResult) result = run(cluster, job, &automatic);

    for (int r = 0; r < 32; r++) {
        ck_assert_double_eq(timeline_start_s(result->timeline, r, scatter), 0);
        ck_assert_double_eq(timeline_start_s(result->timeline, r, reduce), 0);
        ck_assert_double_eq_tol(took_s(result, r, scatter), scatter_s, 1e-9 * scatter_s);
        ck_assert_double_eq_tol(took_s(result, r, reduce), reduce_s, 1e-9 * reduce_s);
        ck_assert_double_eq(timeline_start_s(result->timeline, r, next),
                            timeline_end_s(result->timeline, r, scatter));
    }
    ck_assert_uint_eq(result->collectives->len, 3);
}
END_TEST

/* Two equal collectives of two communicators on the same links take twice the time where the
 * links are the limit, as the bus is. */
START_TEST(communicators_share_links)
{
    g_autoptr(Cluster) cluster = bus_cluster(2);
    Schedule *schedule = schedule_new();
    int one = collective_on(schedule, 0, COLLECTIVE_BROADCAST, GIB);
    int other = collective_on(schedule, 1, COLLECTIVE_BROADCAST, GIB);
    g_autoptr(Job) job = job_of(schedule, 2);
    job_add_communicator(job, "again", (int[]){0, 0}, 1);

    g_autoptr(SimResult) result = run(cluster, job, &simple);

    ck_assert_double_eq_tol(took_s(result, 0, one), 2 * (double)GIB / 1e9, 1e-3);
    ck_assert_double_eq_tol(took_s(result, 0, other), 2 * (double)GIB / 1e9, 1e-3);
}
END_TEST

/* Channels of two communicators add up: what slows them is NVLink, of which each gets half,
 * where that is less than what its own channels move. */
START_TEST(channels_of_communicators_add_up)
{
    g_autoptr(Cluster) cluster = h100_cluster(1, 8);
    Schedule *schedule = schedule_new();
    int members[] = {0, 1, 2, 3, 4, 5, 6, 7};
    int one = collective_on(schedule, 0, COLLECTIVE_ALL_GATHER, GIB);
    int other = collective_on(schedule, 1, COLLECTIVE_ALL_GATHER, GIB);
    g_autoptr(Job) job = job_of(schedule, 8);
    neighbours_add(job, 8);
    const CollectiveCall call = {.kind = COLLECTIVE_ALL_GATHER, .payload_bytes = GIB};
    g_autoptr(CollectivePlan) plan = collective_plan(cluster, members, 8, &call, &simple);
    double wire_bytes = 7.0 / 8 * (double)GIB;
    double rate_bytes_per_s = MIN(plan->engine_bytes_per_s, 450e9 / 2);

    g_autoptr(SimResult) result = run(cluster, job, &simple);

    double expected_s = plan->latency_s + wire_bytes / rate_bytes_per_s;
    ck_assert_double_eq_tol(took_s(result, 3, one), expected_s, 1e-3 * expected_s);
    ck_assert_double_eq_tol(took_s(result, 3, other), expected_s, 1e-3 * expected_s);
}
END_TEST

/* A communicator of single ranks sends nothing; unequal groups work. */
START_TEST(groups_may_be_unequal)
{
    g_autoptr(Cluster) cluster = h100_cluster(1, 4);
    Schedule *schedule = schedule_new();
    int reduce = collective_on(schedule, 1, COLLECTIVE_ALL_REDUCE, GIB);
    g_autoptr(Job) job = job_of(schedule, 4);
    job_add_communicator(job, "uneven", (int[]){0, 1, 1, 1}, 2);
    double expected_s = planned_s(cluster, 1, 3, 1, COLLECTIVE_ALL_REDUCE, GIB);

    g_autoptr(SimResult) result = run(cluster, job, &automatic);

    ck_assert_double_eq(took_s(result, 0, reduce), 0);
    ck_assert_double_eq_tol(took_s(result, 2, reduce), expected_s, 1e-9 * expected_s);
}
END_TEST

/* The root is counted among the group's members: of the upper pair it is rank 3. */
START_TEST(a_root_is_a_member_of_its_group)
{
    g_autoptr(Cluster) cluster = h100_cluster(1, 4);
    Schedule *schedule = schedule_new();
    schedule_collective_on(schedule, 1, PHASE_FORWARD, "broadcast", COLLECTIVE_BROADCAST, GIB,
                           1);
    g_autoptr(Job) job = job_of(schedule, 4);
    neighbours_add(job, 2);

    g_autoptr(SimResult) result = run(cluster, job, &automatic);

    ck_assert_int_eq(result->n_flows, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sim_groups");
    TCase *tcase = tcase_create("groups");
    tcase_add_test(tcase, groups_of_a_node_run_like_lone_nodes);
    tcase_add_test(tcase, groups_run_independently);
    tcase_add_test(tcase, communicators_run_at_once);
    tcase_add_test(tcase, communicators_share_links);
    tcase_add_test(tcase, channels_of_communicators_add_up);
    tcase_add_test(tcase, groups_may_be_unequal);
    tcase_add_test(tcase, a_root_is_a_member_of_its_group);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
