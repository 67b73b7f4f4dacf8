/* SPDX-License-Identifier: MIT */
/* Whole steps replayed: where communication is exposed and where it isn't, against sums that
 * are written out here. */
#include "sim.h"
#include "step_inputs.h"

#include <math.h>
#include <string.h>

static Cluster *cluster_of(const char *nodes, const char *gpus_per_node)
{
    g_autofree char *n = g_strdup_printf("cluster.nodes=%s", nodes);
    g_autofree char *g = g_strdup_printf("cluster.gpus_per_node=%s", gpus_per_node);
    const char *overrides[] = {"cluster.platform=dgx-h100", "cluster.gpu_spread=0", n, g, NULL};
    g_autoptr(GError) error = NULL;
    g_autoptr(Experiment) experiment = experiment_load(NULL, overrides, &error);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    Cluster *cluster = NULL;

    if (experiment)
        cluster = cluster_build(experiment, warnings, &error);
    ck_assert_msg(cluster, "%s", error ? error->message : "no cluster");
    return cluster;
}

/* The closed forms here know the GPU's time and the network's alone. */
static void host_forget(const Job *job)
{
    for (guint p = 0; p < job->programs->len; p++) {
        GArray *ops = ((Schedule *)g_ptr_array_index(job->programs, p))->ops;
        for (guint i = 0; i < ops->len; i++)
            g_array_index(ops, Op, i).host_s = 0;
    }
}

static SimResult *replay(const Cluster *cluster, const Job *job)
{
    NcclOptions nccl = {.algorithm = -1, .protocol = -1};
    g_autoptr(GError) error = NULL;
    host_forget(job);
    SimResult *result = sim_run(cluster, job, NULL, &nccl, &error);

    ck_assert_msg(result, "%s", error ? error->message : "no result");
    return result;
}

static double compute_s(const Schedule *schedule, Stream stream)
{
    double sum_s = 0;

    for (int i = 0; i < schedule_n_ops(schedule); i++)
        if (schedule_op(schedule, i)->kind == OP_COMPUTE &&
            schedule_op(schedule, i)->stream == stream)
            sum_s += schedule_op(schedule, i)->work_s;
    return sum_s;
}

/* Time in collectives of rank 0, and the first and last of them. */
static double collectives_s(const Schedule *schedule, const Timeline *timeline, int *first,
                            int *last)
{
    double sum_s = 0;

    *first = *last = -1;
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        if (schedule_op(schedule, i)->kind != OP_COLLECTIVE)
            continue;
        sum_s += timeline_end_s(timeline, 0, i) - timeline_start_s(timeline, 0, i);
        *first = *first < 0 ? i : *first;
        *last = i;
    }
    return sum_s;
}

static double duration_s(const Timeline *timeline, int op)
{
    return timeline_end_s(timeline, 0, op) - timeline_start_s(timeline, 0, op);
}

static gboolean same(double a, double b)
{
    return fabs(a - b) <= 1e-9 * MAX(fabs(a), fabs(b));
}

/* All gradients in one bucket: nothing is left to overlap, the all-reduce stands alone between
 * backward and update. */
START_TEST(test_one_bucket_is_exposed)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_DDP);
    t.ddp.first_bucket_bytes = t.ddp.bucket_cap_bytes = G_MAXINT64;
    t.ddp.broadcast_buffers = FALSE;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, 8);
    g_autoptr(Cluster) cluster = cluster_of("1", "8");
    g_autoptr(SimResult) result = replay(cluster, job);
    const Schedule *schedule = job_program(job, 0);
    int first, last;
    double all_reduce_s = collectives_s(schedule, result->timeline, &first, &last);

    ck_assert_int_eq(first, last);
    ck_assert_double_gt(all_reduce_s, 0);
    ck_assert(same(result->timeline->step_time_s,
                   compute_s(schedule, STREAM_COMPUTE) + all_reduce_s));
}
END_TEST

/* Buckets of the default size overlap: the step is shorter than the sum, and no shorter than
 * its compute or its communication. */
START_TEST(test_default_buckets_overlap)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_DDP);
    t.micro_batch = 8;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, 8);
    g_autoptr(Cluster) cluster = cluster_of("1", "8");
    g_autoptr(SimResult) result = replay(cluster, job);
    const Schedule *schedule = job_program(job, 0);
    int first, last;
    double communication_s = collectives_s(schedule, result->timeline, &first, &last);
    double step_s = result->timeline->step_time_s;

    ck_assert_double_lt(step_s, compute_s(schedule, STREAM_COMPUTE) + communication_s);
    ck_assert_double_gt(step_s, compute_s(schedule, STREAM_COMPUTE));
    ck_assert_double_gt(step_s, communication_s);
}
END_TEST

/* Compute that dwarfs communication hides it: of an idealised sharded step only the gathers
 * before the first block's compute and the reductions behind its backward are left. */
START_TEST(test_sharded_step_is_compute)
{
    Training t = step_training(FRAMEWORK_PAPER, STRATEGY_ZERO3);
    t.micro_batch = 16;
    t.sequence_length = 4096;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) job = step_job(model, &t, 16);
    g_autoptr(Cluster) cluster = cluster_of("2", "8");
    g_autoptr(SimResult) result = replay(cluster, job);
    const Schedule *schedule = job_program(job, 0);
    double busy_s = compute_s(schedule, STREAM_COMPUTE);
    double step_s = result->timeline->step_time_s;
    int first, last;
    double communication_s = collectives_s(schedule, result->timeline, &first, &last);
    double ends_s = duration_s(result->timeline, first) + duration_s(result->timeline, last);

    ck_assert_double_ge(step_s, busy_s + ends_s);
    /* 34 units, of which two at either end may show. */
    ck_assert_double_le(step_s, busy_s + communication_s * 4 / 34);
}
END_TEST

/* Kernels that take no time: the step is the sum of its collectives. */
START_TEST(test_sharded_step_is_communication)
{
    Training t = step_training(FRAMEWORK_PAPER, (Strategy)_i);
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, 16);
    g_autoptr(Cluster) cluster = cluster_of("2", "8");
    Schedule *schedule = g_ptr_array_index(job->programs, 0);
    int first, last;

    for (int i = 0; i < schedule_n_ops(schedule); i++)
        g_array_index(schedule->ops, Op, i).work_s = 0;
    g_autoptr(SimResult) result = replay(cluster, job);
    ck_assert(same(result->timeline->step_time_s,
                   collectives_s(schedule, result->timeline, &first, &last)));
}
END_TEST

/* One rank: no link is used, and the paper's stages take the same time. */
START_TEST(test_one_rank)
{
    g_autoptr(Cluster) cluster = cluster_of("1", "1");
    double step_s[N_STRATEGIES];

    for (int strategy = 0; strategy < N_STRATEGIES; strategy++) {
        Training t = step_training(FRAMEWORK_PAPER, (Strategy)strategy);
        g_autoptr(Model) model = step_model("gpt2", &t);
        g_autoptr(Job) job = step_job(model, &t, 1);
        g_autoptr(SimResult) result = replay(cluster, job);
        step_s[strategy] = result->timeline->step_time_s;
        ck_assert(same(step_s[strategy], compute_s(job_program(job, 0), STREAM_COMPUTE)));
        for (guint i = 0; i < result->links->len; i++)
            ck_assert_double_eq(g_array_index(result->links, LinkUse, i).bytes, 0);
    }
    for (int strategy = 1; strategy < N_STRATEGIES; strategy++)
        ck_assert_double_eq(step_s[strategy], step_s[0]);
}
END_TEST

/* Every framework's step on every shape of cluster ends, and communication takes time. */
START_TEST(test_every_setup_ends)
{
    static const char *const shapes[][2] = {{"1", "2"}, {"2", "1"}, {"3", "8"}};

    for (int shape = 0; shape < (int)G_N_ELEMENTS(shapes); shape++) {
        Training t = step_setup_training(_i);
        t.gradient_accumulation = 2;
        g_autoptr(Model) model = step_model("gpt2", &t);
        g_autoptr(Cluster) cluster = cluster_of(shapes[shape][0], shapes[shape][1]);
        g_autoptr(Job) job = step_job(model, &t, cluster_n_ranks(cluster));
        g_autoptr(SimResult) result = replay(cluster, job);
        double longest_s = 0;
        for (int rank = 0; rank < job->n_ranks; rank++)
            longest_s = MAX(longest_s, compute_s(job_program(job, rank), STREAM_COMPUTE));
        ck_assert_double_gt(result->timeline->step_time_s, longest_s);
    }
}
END_TEST

static void tests_add(TCase *tcase)
{
    tcase_add_test(tcase, test_one_bucket_is_exposed);
    tcase_add_test(tcase, test_default_buckets_overlap);
    tcase_add_test(tcase, test_sharded_step_is_compute);
    tcase_add_loop_test(tcase, test_sharded_step_is_communication, 0, N_STRATEGIES);
    tcase_add_test(tcase, test_one_rank);
    tcase_add_loop_test(tcase, test_every_setup_ends, 0, N_STEP_SETUPS);
}

int main(void)
{
    return step_suite_run("replay", tests_add);
}
