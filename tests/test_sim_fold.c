/* SPDX-License-Identifier: MIT */
/* Short cuts of a replay against the replay without: random jobs give the same times either
 * way. */
#include "clusters.h"
#include "random_job.h"
#include "scratch.h"
#include "sim_fold.h"
#include "suite_run.h"

static void assert_equal_times(const Timeline *folded, const Timeline *whole, const Job *job)
{
    double tolerance_s = 1e-9 * whole->step_time_s;
    ck_assert_double_eq_tol(folded->step_time_s, whole->step_time_s, tolerance_s);
    for (int r = 0; r < job->n_ranks; r++)
        for (int op = 0; op < schedule_n_ops(job_program(job, r)); op++) {
            ck_assert_double_eq_tol(timeline_start_s(folded, r, op),
                                    timeline_start_s(whole, r, op), tolerance_s);
            ck_assert_double_eq_tol(timeline_end_s(folded, r, op), timeline_end_s(whole, r, op),
                                    tolerance_s);
        }
}

static void assert_equal_links(const GArray *folded, const GArray *whole)
{
    ck_assert_uint_eq(folded->len, whole->len);
    for (guint i = 0; i < folded->len; i++) {
        const LinkUse *a = &g_array_index(folded, LinkUse, i);
        const LinkUse *b = &g_array_index(whole, LinkUse, i);
        ck_assert_str_eq(a->name, b->name);
        ck_assert_double_eq_tol(a->bytes, b->bytes, 1e-9 * b->bytes + 1e-9);
        ck_assert_double_eq_tol(a->peak_utilisation_frac, b->peak_utilisation_frac, 1e-6);
    }
}

/* Loops over seeds, with one, two, three communicators, and with two that share no link. */
START_TEST(folded_is_whole)
{
    g_autoptr(Cluster) cluster = h100_cluster(2, 8);
    g_autoptr(Job) job = random_job((guint32)_i, 16, _i % 4 == 3, _i % 4 == 3 ? 3 : 1 + _i % 4);
    g_autoptr(GError) error = NULL;

    g_autoptr(SimResult) folded = run_beside(cluster, job, &automatic);
    g_autoptr(SimResult) whole = sim_run_whole(cluster, job, &sms_132, &automatic, &error);

    ck_assert_msg(whole != NULL, "%s", error ? error->message : "");
    assert_equal_times(folded->timeline, whole->timeline, job);
    assert_equal_links(folded->links, whole->links);
}
END_TEST

/* The two programs of half of the jobs are what they seem: two timelines, shared by the rest.
 */
START_TEST(equal_ranks_share_their_times)
{
    g_autoptr(Cluster) cluster = h100_cluster(2, 8);
    g_autoptr(Job) job = random_job(1, 16, 0, 1);
    g_autoptr(SimResult) result = run_beside(cluster, job, &automatic);
    ck_assert_int_eq(result->timeline->first[5], result->timeline->first[10]);
    ck_assert_int_eq(result->timeline->first[1], result->timeline->first[2]);
    ck_assert_int_ne(result->timeline->first[0], result->timeline->first[1]);
    ck_assert_int_eq(result->timeline->n_times,
                     schedule_n_ops(job_program(job, 0)) + schedule_n_ops(job_program(job, 1)));
}
END_TEST

/* Shard groups behave alike, and so do replica groups: one rank stands for all of them, and the
 * links carry what all of them sent. */
START_TEST(equal_groups_are_simulated_once)
{
    g_autoptr(Cluster) cluster = h100_cluster(2, 8);
    g_autoptr(Job) job = random_job(2, 16, 1, 3);
    g_autoptr(SimResult) result = run_beside(cluster, job, &automatic);
    double least = G_MAXDOUBLE, most = 0;
    ck_assert_int_eq(result->timeline->n_times, schedule_n_ops(job_program(job, 0)));
    for (guint i = 0; i < result->links->len; i++) {
        const LinkUse *link = &g_array_index(result->links, LinkUse, i);
        if (link->link_class == LINK_NVLINK) {
            least = MIN(least, link->bytes);
            most = MAX(most, link->bytes);
        }
    }
    ck_assert_double_gt(least, 0);
    ck_assert_double_eq_tol(least, most, 1e-9 * most);
}
END_TEST

/* A slow GPU is no like of others. */
START_TEST(speed_tells_ranks_apart)
{
    Schedule *schedule = schedule_new();
    int op = compute(schedule, STREAM_COMPUTE, 1);
    g_autoptr(Job) job = job_of(schedule, 3);
    g_autoptr(Cluster) cluster = bus_cluster(3);
    g_autoptr(SimResult) result = run(cluster, job, &automatic);
    ck_assert_int_eq(result->timeline->first[0], result->timeline->first[2]);
    ck_assert_double_eq(
        timeline_end_s(result->timeline, 1, op) - timeline_start_s(result->timeline, 1, op), 2);
}
END_TEST

/* h100_cluster() with a profile of time at one of its elements. */
static Cluster *varied_cluster(const char *element, const char *attribute, const char *profile)
{
    g_autoptr(Cluster) plain = h100_cluster(2, 8);
    g_autofree char *xml = NULL;
    g_autofree char *trace = scratch_write("trace.txt", profile);
    g_autoptr(GError) error = NULL;
    ck_assert(g_file_get_contents(plain->xml_file, &xml, NULL, NULL));
    g_auto(GStrv) parts = g_strsplit(xml, element, 2);
    ck_assert_uint_eq(g_strv_length(parts), 2);
    g_autofree char *varied =
        g_strdup_printf("%s%s %s=\"trace.txt\"%s", parts[0], element, attribute, parts[1]);
    g_autofree char *file = scratch_write("varied.xml", varied);
    Cluster *cluster = platform_read(file, NULL, &error);
    ck_assert_msg(cluster != NULL, "%s", error ? error->message : "");
    return cluster;
}

static const struct {
    const char *element, *attribute, *profile;
} variations[] = {
    {"<host id=\"node-0000-gpu-3\"", "speed_file", "PERIODICITY 0.01\n0 1\n0.004 0.5\n"},
    {"<link id=\"nic:node-0001-nic-2-up\"", "bandwidth_file",
     "PERIODICITY 0.01\n0 48.5e9\n0.004 10e9\n"},
    {"<link id=\"nvlink:node-0000-gpu-0-up\"", "bandwidth_file",
     "PERIODICITY 0.01\n0 450e9\n0.004 50e9\n"},
};

/* What a profile doesn't reach is still folded, and that changes nothing; what it reaches is
 * slower than without it. */
START_TEST(what_varies_is_as_if_nothing_were_folded)
{
    g_autoptr(Cluster) cluster = varied_cluster(
        variations[_i].element, variations[_i].attribute, variations[_i].profile);
    g_autoptr(Cluster) steady = h100_cluster(2, 8);
    g_autoptr(Job) job = random_job(2, 16, 0, 3);
    g_autoptr(GError) error = NULL;
    g_autoptr(SimResult) folded = run_beside(cluster, job, &automatic);
    g_autoptr(SimResult) whole = sim_run_whole(cluster, job, &sms_132, &automatic, &error);
    g_autoptr(SimResult) without = run_beside(steady, job, &automatic);

    ck_assert_msg(whole != NULL, "%s", error ? error->message : "");
    assert_equal_times(folded->timeline, whole->timeline, job);
    assert_equal_links(folded->links, whole->links);
    ck_assert_double_gt(folded->timeline->step_time_s, 1.001 * without->timeline->step_time_s);
    ck_assert_double_lt(folded->timeline->step_time_s, 10 * without->timeline->step_time_s);
}
END_TEST

/* A profile that says again and again what the link says of itself changes nothing. */
START_TEST(a_profile_of_one_bandwidth_is_none)
{
    g_autoptr(Cluster) cluster =
        varied_cluster("<link id=\"nic:node-0001-nic-2-up\"", "bandwidth_file",
                       "PERIODICITY 0.001\n0.0005 48500000000\n");
    g_autoptr(Cluster) steady = h100_cluster(2, 8);
    g_autoptr(Job) job = random_job(2, 16, 0, 3);
    g_autoptr(SimResult) varied = run_beside(cluster, job, &automatic);
    g_autoptr(SimResult) without = run_beside(steady, job, &automatic);
    ck_assert_double_eq_tol(varied->timeline->step_time_s, without->timeline->step_time_s,
                            1e-6 * without->timeline->step_time_s);
}
END_TEST

static const struct {
    const char *what;
    int n_varying; /* names, a link's with those that SPLITDUPLEX makes; -1: any */
} platforms[] = {
    {"<host id=\"a\" speed=\"1Gf\"/>", 0},
    {"<!-- no speed_file --><host id=\"bandwidth_file\" speed=\"1Gf\"/>", 0},
    {"<host id=\"a\" speed=\"1Gf\" speed_file=\"a.txt\"/>", 3},
    {"<link id=\"a\" bandwidth_file = 'a.txt'/>", 3},
    {"<peer id=\"a\" speed=\"1Gf\" availability_file=\"a.txt\"/>", -1},
    {"<trace id=\"t\">0 1</trace><trace_connect trace=\"t\" element=\"a\"/>", -1},
    {"<host id=\"a\">", -1}, /* not to be read: no short cuts */
};

/* What a platform's file says of time is in its attributes, not in names or comments. */
START_TEST(profiles_of_time_make_a_platform_vary)
{
    g_autofree char *xml = g_strdup_printf(
        "<?xml version='1.0'?>\n<!DOCTYPE platform SYSTEM \"https://simgrid.org/simgrid.dtd\">"
        "<platform version=\"4.1\">%s</platform>",
        platforms[_i].what);
    g_autofree char *file = scratch_write("platform.xml", xml);
    g_autoptr(Cluster) cluster = cluster_new("test", file);
    g_autoptr(GHashTable) varying = NULL;
    ck_assert(sim_fold_varying(cluster, &varying, NULL));
    ck_assert_int_eq(varying ? (int)g_hash_table_size(varying) : -1, platforms[_i].n_varying);
}
END_TEST

static const struct {
    const char *element, *attribute;
} refused[] = {
    {"<host id=\"node-0000-gpu-3\"", "state_file"},
    {"<link id=\"nic:node-0001-nic-2-up\"", "state_file"},
    {"<link id=\"nic:node-0001-nic-2-up\"", "latency_file"},
};

/* SimGrid would run on without what failed, and share links by latency. */
START_TEST(failures_and_latencies_over_time_are_refused)
{
    g_autoptr(Cluster) cluster =
        varied_cluster(refused[_i].element, refused[_i].attribute, "0 1\n");
    g_autoptr(Job) job = random_job(2, 16, 0, 1);
    g_autoptr(GError) error = run_to_failure(cluster, job, ERROR_UNMODELLED);
    ck_assert_ptr_nonnull(strstr(error->message, refused[_i].attribute));
    ck_assert_ptr_nonnull(strstr(error->message, "varied.xml:"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sim_fold");
    TCase *files = tcase_create("platform files");
    tcase_add_checked_fixture(files, scratch_set_up, scratch_tear_down);
    tcase_add_loop_test(files, profiles_of_time_make_a_platform_vary, 0,
                        G_N_ELEMENTS(platforms));
    tcase_add_loop_test(files, what_varies_is_as_if_nothing_were_folded, 0,
                        G_N_ELEMENTS(variations));
    tcase_add_loop_test(files, failures_and_latencies_over_time_are_refused, 0,
                        G_N_ELEMENTS(refused));
    tcase_add_test(files, a_profile_of_one_bandwidth_is_none);
    tcase_set_timeout(files, 60);
    suite_add_tcase(suite, files);
    TCase *tcase = tcase_create("fold");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, folded_is_whole, 0, 16);
    tcase_add_test(tcase, equal_ranks_share_their_times);
    tcase_add_test(tcase, equal_groups_are_simulated_once);
    tcase_add_test(tcase, speed_tells_ranks_apart);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
