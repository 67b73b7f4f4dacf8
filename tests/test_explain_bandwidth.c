/* SPDX-License-Identifier: MIT */
/* What binds the collectives on a critical path, and that the bandwidth found between nodes is
 * the one needed: it does, and 5 % less doesn't. */
#include "explain_fixture.h"
#include "predict.h"
#include "suite_run.h"

#define GIB ((gint64)1 << 30)

static Explanation *explained(const Cluster *cluster, const Job *job, const SimResult *result)
{
    Explanation *explanation = explain_new(cluster, job, result);
    double path_s = 0, contributors_s = 0;
    for (int p = 0; p < N_PHASES; p++)
        for (int k = 0; k < N_PATH_KINDS; k++)
            path_s += explanation->path_s[p][k];
    for (guint i = 0; i < explanation->contributors->len; i++)
        contributors_s += g_array_index(explanation->contributors, PathContributor, i).time_s;
    double step_s = result->timeline->step_time_s;
    ck_assert_double_eq_tol(path_s, step_s, 1e-9 * step_s);
    ck_assert_double_eq_tol(contributors_s, step_s, 1e-9 * step_s);
    return explanation;
}

/* Kernels of a second, then an exposed all-reduce among the members of `communicator`. */
static Job *exposed_job(int n_ranks, int communicator, gint64 bytes)
{
    Schedule *schedule = schedule_new();
    compute(schedule, STREAM_COMPUTE, 1);
    schedule_wait_stream(schedule, stream_of_communicator(communicator), STREAM_COMPUTE);
    schedule_collective_on(schedule, communicator, PHASE_BACKWARD, "collective",
                           COLLECTIVE_ALL_REDUCE, bytes, 0);
    g_autoptr(Job) job = job_of(schedule, n_ranks);
    g_autofree int *node = g_new(int, n_ranks);
    for (int r = 0; r < n_ranks; r++)
        node[r] = r / 8;
    if (n_ranks >= 8)
        job_add_communicator(job, "shard", node, n_ranks / 8);
    return g_steal_pointer(&job);
}

static BandwidthSearch searched(const Cluster *cluster, const Job *job, const SimResult *result)
{
    BandwidthSearch search;
    g_autoptr(GError) error = NULL;
    gboolean ok = explain_bandwidth(cluster, job, NULL, &automatic,
                                    result->timeline->step_time_s, NULL, NULL, &search, &error);
    ck_assert_msg(ok, "%s", error ? error->message : "");
    ck_assert_int_le(search.n_simulations, EXPLAIN_MOST_SIMULATIONS);
    return search;
}

static double step_s_at(const Cluster *cluster, const Job *job, double scale)
{
    Cluster scaled = *cluster;
    scaled.internode_scale =
        scale * (cluster->internode_scale > 0 ? cluster->internode_scale : 1);
    scaled.nic_bytes_per_s *= scale;
    g_autoptr(SimResult) result = run(&scaled, job, &automatic);
    return result->timeline->step_time_s;
}

/* The found bandwidth does, 5 % less doesn't. */
static void assert_is_needed(const Cluster *cluster, const Job *job,
                             const BandwidthSearch *search)
{
    double enough_s = search->free_step_s * (1 + EXPLAIN_WITHIN_FRAC);
    ck_assert_double_eq_tol(search->free_step_s, 1, 1e-9);
    ck_assert_double_eq(step_s_at(cluster, job, search->scale), search->step_s);
    ck_assert_double_le(search->step_s, enough_s);
    ck_assert_double_gt(step_s_at(cluster, job, 0.95 * search->scale), enough_s);
}

START_TEST(bound_between_nodes)
{
    g_autoptr(Cluster) cluster = h100_cluster(4, 8);
    g_autoptr(Job) job = exposed_job(32, 0, 64 * GIB);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    g_autoptr(Explanation) explanation = explained(cluster, job, result);
    ck_assert_str_eq(explain_bottleneck_name(&explanation->bottleneck), "nic");
    ck_assert_double_gt(explanation->bottleneck.utilisation_frac, 0.8);
    BandwidthSearch search = searched(cluster, job, result);
    /* 2 x 64 GiB over 8 NICs need more than 50 ms of their PCIe slots too. */
    ck_assert_int_eq(search.answer, BANDWIDTH_NEVER);
    ck_assert_str_eq(explain_bottleneck_name(&search.bound), "pcie");
}
END_TEST

/* NICs of a quarter of the rate; their PCIe slots let through what is needed. */
START_TEST(more_bandwidth_would_do)
{
    g_autoptr(Cluster) cluster = h100_cluster(4, 8);
    g_autoptr(Job) job = exposed_job(32, 0, 8 * GIB);
    cluster->internode_scale = 0.25;
    cluster->nic_bytes_per_s /= 4;
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    BandwidthSearch search = searched(cluster, job, result);
    ck_assert_int_eq(search.answer, BANDWIDTH_MORE);
    ck_assert_double_gt(search.scale, 1);
    ck_assert_double_eq(search.today_bytes_per_s, cluster->nic_bytes_per_s);
    assert_is_needed(cluster, job, &search);
}
END_TEST

START_TEST(less_bandwidth_would_do)
{
    g_autoptr(Cluster) cluster = h100_cluster(4, 8);
    g_autoptr(Job) job = exposed_job(32, 0, GIB);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    BandwidthSearch search = searched(cluster, job, result);
    ck_assert_int_eq(search.answer, BANDWIDTH_ENOUGH);
    ck_assert(!search.at_limit);
    ck_assert_double_lt(search.scale, 1);
    assert_is_needed(cluster, job, &search);
}
END_TEST

/* All communication stays on a node: bandwidth between nodes neither helps nor hurts. */
START_TEST(bound_inside_nodes)
{
    g_autoptr(Cluster) cluster = h100_cluster(4, 8);
    g_autoptr(Job) job = exposed_job(32, 1, 64 * GIB);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    g_autoptr(Explanation) explanation = explained(cluster, job, result);
    ck_assert_str_eq(explain_bottleneck_name(&explanation->bottleneck), "nvlink");
    BandwidthSearch search = searched(cluster, job, result);
    ck_assert_int_eq(search.answer, BANDWIDTH_NEVER);
    ck_assert_str_eq(explain_bottleneck_name(&search.bound), "nvlink");
    ck_assert_double_eq(search.step_s, result->timeline->step_time_s);

    g_autoptr(Job) small = exposed_job(32, 1, GIB / 4);
    g_autoptr(SimResult) short_result = run(cluster, small, &automatic);
    search = searched(cluster, small, short_result);
    ck_assert_int_eq(search.answer, BANDWIDTH_ENOUGH);
    ck_assert(search.at_limit);
}
END_TEST

START_TEST(bound_by_compute)
{
    g_autoptr(Cluster) cluster = h100_cluster(1, 8);
    g_autoptr(Job) job = exposed_job(8, 0, 1 << 20);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    g_autoptr(Explanation) explanation = explained(cluster, job, result);
    const PathContributor *most = &g_array_index(explanation->contributors, PathContributor, 0);
    ck_assert_str_eq(most->label, "kernels in forward");
    ck_assert_double_eq_tol(most->time_s, 1, 1e-9);
    ck_assert_int_eq(searched(cluster, job, result).answer, BANDWIDTH_ONE_NODE);
}
END_TEST

/* A collective of a few bytes: nothing but latency. */
START_TEST(bound_by_latency)
{
    g_autoptr(Cluster) cluster = h100_cluster(2, 8);
    g_autoptr(Job) job = exposed_job(16, 0, 64);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    g_autoptr(Explanation) explanation = explained(cluster, job, result);
    ck_assert_str_eq(explain_bottleneck_name(&explanation->bottleneck), "latency");
}
END_TEST

START_TEST(no_collective_no_bottleneck)
{
    g_autoptr(Cluster) cluster = h100_cluster(1, 1);
    Schedule *schedule = schedule_new();
    compute(schedule, STREAM_COMPUTE, 1);
    g_autoptr(Job) job = job_of(schedule, 1);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    g_autoptr(Explanation) explanation = explained(cluster, job, result);
    ck_assert_str_eq(explain_bottleneck_name(&explanation->bottleneck), "none");
}
END_TEST

/* Kernels beside a collective lose what its channels take; the loss has a line of its own, and
 * the kernels keep the time that they take alone. */
START_TEST(slowdown_is_told_apart)
{
    g_autoptr(Cluster) cluster = h100_cluster(1, 8);
    Schedule *schedule = schedule_new();
    collective(schedule, COLLECTIVE_ALL_REDUCE, 4 * GIB);
    compute(schedule, STREAM_COMPUTE, 1);
    g_autoptr(Job) job = job_of(schedule, 8);
    g_autoptr(SimResult) result = run_beside(cluster, job, &automatic);
    double step_s = result->timeline->step_time_s;
    g_autoptr(Explanation) explanation = explained(cluster, job, result);
    ck_assert_double_gt(step_s, 1);
    ck_assert_double_eq_tol(explanation->slowed_s, step_s - 1, 1e-9);
    ck_assert_uint_eq(explanation->contributors->len, 2);
    ck_assert_double_eq_tol(g_array_index(explanation->contributors, PathContributor, 0).time_s,
                            1, 1e-9);
}
END_TEST

/* A shipped model on whatever cluster is asked for. */
static Inputs *inputs_with(const char *cluster_key, const char *nodes, const char *nic)
{
    const char *const assignments[] = {"model.config=workloads/models/bert-base.json",
                                       "model.sequence_length=128",
                                       "training.framework=pytorch",
                                       "training.strategy=zero3",
                                       "training.precision=bf16",
                                       "training.micro_batch=128",
                                       cluster_key,
                                       nodes,
                                       nic,
                                       NULL};
    g_autoptr(GError) error = NULL;
    g_autoptr(Experiment) experiment = experiment_load(NULL, assignments, &error);
    Inputs *inputs = experiment ? inputs_load(experiment, FALSE, FALSE, &error) : NULL;
    ck_assert_msg(inputs != NULL, "%s", error ? error->message : "");
    return inputs;
}

static void observe(const Inputs *inputs, const Job *job, const SimResult *sim, void *data)
{
    BandwidthSearch *search = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) path = explain_path(job, sim->timeline);
    assert_contiguous(path, sim->timeline->step_time_s);
    assert_elements_ran(path, sim->timeline);
    g_autoptr(Explanation) explanation = explained(inputs->cluster, job, sim);
    gboolean ok = explain_bandwidth(inputs->cluster, job, inputs->profile, &inputs->nccl,
                                    sim->timeline->step_time_s, NULL, NULL, search, &error);
    ck_assert_msg(ok, "%s", error ? error->message : "");
}

static BandwidthSearch searched_of(const Inputs *inputs)
{
    BandwidthSearch search;
    g_autoptr(GError) error = NULL;
    g_autoptr(Result) result = predict_observed(inputs, observe, &search, &error);
    ck_assert_msg(result != NULL, "%s", error ? error->message : "");
    return search;
}

static double step_s_of(const char *platform, double nic_bytes_per_s)
{
    g_autofree char *nic = g_strdup_printf("cluster.nic_bytes_per_s=%.17g", nic_bytes_per_s);
    g_autoptr(Inputs) inputs = inputs_with(platform, "cluster.nodes=2", nic);
    g_autoptr(Result) result = predict(inputs, NULL);
    ck_assert(result != NULL);
    return result->step_time_s;
}

/* What was found is what a run with NICs of that rate says. */
START_TEST(found_bandwidth_is_a_run_with_such_nics)
{
    const char *platform = "cluster.platform=dgx-a100-80gb";
    const double today_bytes_per_s = 5e9;
    g_autoptr(Inputs) inputs =
        inputs_with(platform, "cluster.nodes=2", "cluster.nic_bytes_per_s=5e9");
    BandwidthSearch search = searched_of(inputs);
    double enough_s = search.free_step_s * (1 + EXPLAIN_WITHIN_FRAC);
    ck_assert_int_eq(search.answer, BANDWIDTH_MORE);
    double found_bytes_per_s = today_bytes_per_s * search.scale;
    ck_assert_double_eq_tol(step_s_of(platform, found_bytes_per_s), search.step_s,
                            1e-9 * search.step_s);
    ck_assert_double_le(step_s_of(platform, found_bytes_per_s), enough_s);
    ck_assert_double_gt(step_s_of(platform, 0.95 * found_bytes_per_s), enough_s);
}
END_TEST

/* A user's own XML, with one NIC for two GPUs. */
START_TEST(user_xml_platforms)
{
    static const char *const nothing = "model.sequence_length=128";
    const char *srcdir = g_getenv("srcdir") ? g_getenv("srcdir") : ".";
    g_autofree char *two =
        g_strdup_printf("cluster.xml=%s/tests/platforms/two-nodes.xml", srcdir);
    g_autofree char *one =
        g_strdup_printf("cluster.xml=%s/tests/platforms/one-node.xml", srcdir);
    g_autoptr(Inputs) two_nodes = inputs_with(two, nothing, nothing);
    BandwidthSearch search = searched_of(two_nodes);
    ck_assert_int_ne(search.answer, BANDWIDTH_ONE_NODE);
    ck_assert_double_eq(search.today_bytes_per_s, 10e9);
    g_autoptr(Inputs) one_node = inputs_with(one, nothing, nothing);
    ck_assert_int_eq(searched_of(one_node).answer, BANDWIDTH_ONE_NODE);
}
END_TEST

static void bound_tests_add(TCase *tcase)
{
    tcase_add_test(tcase, bound_between_nodes);
    tcase_add_test(tcase, more_bandwidth_would_do);
    tcase_add_test(tcase, less_bandwidth_would_do);
    tcase_add_test(tcase, bound_inside_nodes);
    tcase_add_test(tcase, bound_by_compute);
    tcase_add_test(tcase, bound_by_latency);
    tcase_add_test(tcase, no_collective_no_bottleneck);
    tcase_add_test(tcase, slowdown_is_told_apart);
    tcase_add_test(tcase, found_bandwidth_is_a_run_with_such_nics);
    tcase_add_test(tcase, user_xml_platforms);
}

int main(void)
{
    Suite *suite = suite_create("explain_bandwidth");
    TCase *tcase = tcase_create("explain_bandwidth");
    tcase_set_timeout(tcase, 60);
    bound_tests_add(tcase);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
