/* SPDX-License-Identifier: MIT */
/* Each algorithm on SimGrid's links: alone, a collective takes the tuner's time; where links
 * are narrower than NCCL believes, they decide. */
#include "sim_fixture.h"
#include "suite_run.h"

static const int shapes[][2] = {{1, 8}, {1, 5}, {2, 8}, {3, 4}, {4, 8}, {8, 1}, {5, 8}};

static double lone_time_s(const Cluster *cluster, const CollectiveCall *call,
                          const NcclOptions *options)
{
    Schedule *schedule = schedule_new();
    int op = collective(schedule, call->kind, call->payload_bytes);
    g_autoptr(Job) job = job_of(schedule, cluster_n_ranks(cluster));
    g_autoptr(SimResult) result = run(cluster, job, options);
    return timeline_end_s(result->timeline, 0, op) - timeline_start_s(result->timeline, 0, op);
}

static CollectivePlan *plan_of(const Cluster *cluster, const CollectiveCall *call,
                               const NcclOptions *options)
{
    int n = cluster_n_ranks(cluster), members[64];
    for (int r = 0; r < n; r++)
        members[r] = r;
    return collective_plan(cluster, members, n, call, options);
}

/* Ceilings come from the flows' own sharing, so trees of unequal degree take their time too. */
START_TEST(every_algorithm_takes_the_tuners_time)
{
    g_autoptr(Cluster) cluster = h100_cluster(shapes[_i][0], shapes[_i][1]);
    for (int kind = 0; kind < N_COLLECTIVES; kind++)
        for (int algorithm = 0; algorithm < N_ALGORITHMS; algorithm++) {
            const NcclOptions options = {
                .algorithm = algorithm, .protocol = -1, .collnet = TRUE};
            const CollectiveCall call = {.kind = (CollectiveKind)kind,
                                         .payload_bytes = 100000000};
            g_autoptr(CollectivePlan) plan = plan_of(cluster, &call, &options);
            if ((int)plan->algorithm != algorithm)
                continue; /* has no such kernel, or lacks the hardware */
            double took_s = lone_time_s(cluster, &call, &options);
            ck_assert_msg(fabs(took_s - plan->time_s) <= 1e-9 * plan->time_s,
                          "%s by %s on %d x %d: %.17g s and not %.17g s",
                          collective_name(call.kind), algorithm_name(plan->algorithm),
                          shapes[_i][0], shapes[_i][1], took_s, plan->time_s);
        }
}
END_TEST

/* NCCL is told of NICs four times as fast as the links are: a tree's nodes send twice the
 * payload over eight of them. */
START_TEST(narrow_links_decide)
{
    const gint64 bytes = 1 << 28;
    const NcclOptions tree = {.algorithm = ALGORITHM_TREE, .protocol = PROTOCOL_SIMPLE};
    const CollectiveCall call = {.kind = COLLECTIVE_ALL_REDUCE, .payload_bytes = bytes};
    g_autoptr(Cluster) cluster = h100_cluster(4, 8);
    double nic = cluster->nic_bytes_per_s;
    cluster->nic_bytes_per_s = 4 * nic;
    g_autoptr(CollectivePlan) plan = plan_of(cluster, &call, &tree);
    g_autoptr(Cluster) slow = h100_cluster(4, 8);
    double took_s = lone_time_s(cluster, &call, &tree);
    ck_assert_double_ge(took_s, plan->time_s);
    ck_assert_double_ge(took_s, 2.0 * (double)bytes / 8 / nic * 0.75);
    ck_assert_double_ge(lone_time_s(slow, &call, &tree), took_s * 0.99);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("collective_sim");
    TCase *tcase = tcase_create("alone");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, every_algorithm_takes_the_tuners_time, 0, G_N_ELEMENTS(shapes));
    tcase_add_test(tcase, narrow_links_decide);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
