/* SPDX-License-Identifier: MIT */
/* What a result says of a hand-made step with round numbers: every instant in one class, every
 * byte counted once, utilisation against the data sheet. */
#include "metrics.h"
#include "metrics_comm.h"
#include "metrics_time.h"
#include "suite_run.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define GIB ((gint64)1 << 30)
#define MAX_OPS 16

/* A schedule, and the start and end of its ops on two ranks. */
typedef struct {
    Schedule *schedule;
    Timeline timeline;
    gint64 first[2]; /* both ranks have the same times */
    int n_ops[2];
    double start_s[MAX_OPS], end_s[MAX_OPS];
} Step;

static void step_init(Step *step, double step_time_s)
{
    memset(step, 0, sizeof *step);
    step->schedule = schedule_new();
    step->n_ops[0] = step->n_ops[1] = MAX_OPS;
    step->timeline = (Timeline){.n_ranks = 2,
                                .first = step->first,
                                .n_ops = step->n_ops,
                                .n_times = MAX_OPS,
                                .start_s = step->start_s,
                                .end_s = step->end_s,
                                .step_time_s = step_time_s};
}

static int at(Step *step, int op, double start_s, double end_s)
{
    g_assert(op < MAX_OPS);
    step->start_s[op] = start_s;
    step->end_s[op] = end_s;
    return op;
}

static int compute(Step *step, Stream stream, Phase phase, double start_s, double end_s)
{
    int op = schedule_compute(step->schedule, stream, phase, "kernels", NULL, 0, NULL);
    return at(step, op, start_s, end_s);
}

static int collective(Step *step, CollectiveKind kind, Phase phase, gint64 payload_bytes,
                      double start_s, double end_s)
{
    int op = schedule_collective(step->schedule, phase, "bucket", kind, payload_bytes, 0);
    return at(step, op, start_s, end_s);
}

static TimeSplit split_of(Step *step)
{
    CollectiveTimes times;
    TimeSplit split = metrics_time_split(step->schedule, &step->timeline, 0, &times);
    g_free(times.busy_s);
    g_free(times.exposed_s);
    return split;
}

static double sum(TimeSplit split)
{
    return split.forward + split.backward + split.update + split.exposed_comm + split.idle;
}

/* A collective that straddles compute is exposed only outside it; gaps without either are idle;
 * kernels of other streams (copies) don't count as compute. */
START_TEST(test_each_instant_belongs_to_one_class)
{
    Step step;
    step_init(&step, 10);
    compute(&step, STREAM_COMPUTE, PHASE_FORWARD, 0, 2);
    compute(&step, STREAM_COMPUTE, PHASE_BACKWARD, 2, 5);
    collective(&step, COLLECTIVE_ALL_REDUCE, PHASE_BACKWARD, 100, 4, 7);
    compute(&step, STREAM_REDUCE, PHASE_BACKWARD, 6, 8);
    compute(&step, STREAM_COMPUTE, PHASE_UPDATE, 9, 10);

    TimeSplit split = split_of(&step);

    ck_assert_double_eq(split.forward, 2);
    ck_assert_double_eq(split.backward, 3);
    ck_assert_double_eq(split.exposed_comm, 2);
    ck_assert_double_eq(split.idle, 2);
    ck_assert_double_eq(split.update, 1);
    ck_assert_double_eq(sum(split), 10);
    schedule_free(step.schedule);
}
END_TEST

/* What a rank did before the last of the others ended the previous step isn't in this one. */
START_TEST(test_time_outside_the_step_is_cut_off)
{
    Step step;
    step_init(&step, 4);
    compute(&step, STREAM_COMPUTE, PHASE_FORWARD, -1, 3);
    collective(&step, COLLECTIVE_ALL_GATHER, PHASE_UPDATE, 100, 3, 6);

    TimeSplit split = split_of(&step);

    ck_assert_double_eq(split.forward, 3);
    ck_assert_double_eq(split.exposed_comm, 1);
    ck_assert_double_eq(split.idle, 0);
    schedule_free(step.schedule);
}
END_TEST

/* Random steps: classes sum to the step, and each is what a scan of 1 ms ticks finds. */
START_TEST(test_random_steps_match_a_scan_of_ticks)
{
    enum { N_TICKS = 7 * 90 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(11 + (guint32)_i);
    gboolean computes[N_TICKS] = {FALSE}, sends[N_TICKS] = {FALSE};
    Step step;
    step_init(&step, N_TICKS * 0.001);
    for (int i = 0, c = 0, n = 0; i < 7; i++) {
        int c0 = c + g_rand_int_range(rand, 0, 30);
        c = c0 + g_rand_int_range(rand, 0, 60);
        compute(&step, STREAM_COMPUTE, PHASE_FORWARD, c0 * 0.001, c * 0.001);
        int n0 = n + g_rand_int_range(rand, 0, 30);
        n = n0 + g_rand_int_range(rand, 0, 60);
        collective(&step, COLLECTIVE_ALL_REDUCE, PHASE_FORWARD, 1, n0 * 0.001, n * 0.001);
        for (int t = c0; t < c; t++)
            computes[t] = TRUE;
        for (int t = n0; t < n; t++)
            sends[t] = TRUE;
    }
    int n_compute = 0, n_exposed = 0;
    for (int t = 0; t < N_TICKS; t++) {
        n_compute += computes[t];
        n_exposed += sends[t] && !computes[t];
    }

    TimeSplit split = split_of(&step);

    ck_assert_double_eq_tol(split.forward, n_compute * 0.001, 1e-9);
    ck_assert_double_eq_tol(split.exposed_comm, n_exposed * 0.001, 1e-9);
    ck_assert_double_eq_tol(sum(split), N_TICKS * 0.001, 1e-12);
    ck_assert_double_ge(split.idle, 0);
    schedule_free(step.schedule);
}
END_TEST

/* Collectives of one kind and phase are one row; their exposed times sum to the split's. */
START_TEST(test_collectives_are_grouped_by_kind_and_phase)
{
    Step step;
    step_init(&step, 10);
    compute(&step, STREAM_COMPUTE, PHASE_FORWARD, 0, 4);
    collective(&step, COLLECTIVE_ALL_GATHER, PHASE_FORWARD, 80, 1, 2);
    collective(&step, COLLECTIVE_ALL_GATHER, PHASE_FORWARD, 80, 3, 5);
    collective(&step, COLLECTIVE_ALL_GATHER, PHASE_BACKWARD, 80, 5, 6);
    collective(&step, COLLECTIVE_ALL_REDUCE, PHASE_BACKWARD, 80, 6, 10);
    CollectiveUse use[] = {{.algorithm = ALGORITHM_RING, .protocol = PROTOCOL_SIMPLE},
                           {.algorithm = ALGORITHM_RING, .protocol = PROTOCOL_LL},
                           {.algorithm = ALGORITHM_RING, .protocol = PROTOCOL_LL},
                           {.algorithm = ALGORITHM_RING, .protocol = PROTOCOL_LL128}};
    g_autoptr(GArray) uses = g_array_new(FALSE, FALSE, sizeof(CollectiveUse));
    g_array_append_vals(uses, use, 4);
    CollectiveTimes times;
    TimeSplit split = metrics_time_split(step.schedule, &step.timeline, 0, &times);

    g_autoptr(Job) job = job_new(8), alone = job_new(1);
    g_ptr_array_set_free_func(alone->programs, NULL);
    g_ptr_array_add(alone->programs, step.schedule);
    g_ptr_array_add(job->programs, step.schedule);

    g_autoptr(GArray) totals = metrics_collectives(job, 0, &times, uses);

    ck_assert_uint_eq(totals->len, 3);
    const CollectiveTotal *gather = &g_array_index(totals, CollectiveTotal, 0);
    ck_assert_int_eq(gather->count, 2);
    ck_assert_int_eq(gather->payload_bytes, 160);
    ck_assert_double_eq(gather->sent_bytes_per_rank, 140);
    ck_assert_double_eq(gather->busy_s, 3);
    ck_assert_double_eq(gather->exposed_s, 1);
    ck_assert_str_eq(gather->group, "world");
    g_autofree char *both = g_strdup_printf(
        "%s %s,%s %s", algorithm_name(ALGORITHM_RING), protocol_name(PROTOCOL_SIMPLE),
        algorithm_name(ALGORITHM_RING), protocol_name(PROTOCOL_LL));
    ck_assert_str_eq(gather->algorithm, both);
    const CollectiveTotal *reduce = &g_array_index(totals, CollectiveTotal, 2);
    ck_assert_double_eq(reduce->sent_bytes_per_rank, 140);
    ck_assert_double_eq(split.exposed_comm, 6);
    ck_assert_double_eq(metrics_sent_bytes(job), 140 + 70 + 140);
    ck_assert_double_eq(metrics_sent_bytes(alone), 0);
    g_free(times.busy_s);
    g_free(times.exposed_s);
}
END_TEST

/* Two communicators at once: an instant of both is exposed once, and each has rows of its own.
 * 20 of the shard's group of 2, 30 of the replicas' group of 4. */
START_TEST(test_communicators_overlap)
{
    Step step;
    step_init(&step, 10);
    g_autoptr(Job) job = job_new(8);
    int shard = job_add_communicator(job, "shard", (int[]){0, 0, 1, 1, 2, 2, 3, 3}, 4);
    int replica = job_add_communicator(job, "replica", (int[]){0, 1, 0, 1, 0, 1, 0, 1}, 2);
    g_ptr_array_add(job->programs, step.schedule);
    compute(&step, STREAM_COMPUTE, PHASE_BACKWARD, 0, 2);
    at(&step,
       schedule_collective_on(step.schedule, shard, PHASE_BACKWARD, "shard",
                              COLLECTIVE_REDUCE_SCATTER, 40, 0),
       1, 6);
    at(&step,
       schedule_collective_on(step.schedule, replica, PHASE_BACKWARD, "replica",
                              COLLECTIVE_ALL_REDUCE, 20, 0),
       3, 8);
    g_autoptr(GArray) uses = g_array_new(FALSE, FALSE, sizeof(CollectiveUse));
    CollectiveTimes times;
    TimeSplit split = metrics_time_split(step.schedule, &step.timeline, 0, &times);

    g_autoptr(GArray) totals = metrics_collectives(job, 0, &times, uses);

    ck_assert_double_eq(split.exposed_comm, 6);
    ck_assert_double_eq(split.idle, 2);
    ck_assert_uint_eq(totals->len, 2);
    const CollectiveTotal *total = &g_array_index(totals, CollectiveTotal, 0);
    ck_assert_str_eq(total[0].group, "shard");
    ck_assert_double_eq(total[0].sent_bytes_per_rank, 20);
    ck_assert_double_eq(total[0].exposed_s, 4);
    ck_assert_str_eq(total[1].group, "replica");
    ck_assert_double_eq(total[1].sent_bytes_per_rank, 30);
    ck_assert_double_eq(total[1].exposed_s, 5);
    ck_assert_double_eq(metrics_sent_bytes(job), 50);
    g_free(times.busy_s);
    g_free(times.exposed_s);
}
END_TEST

/* A class's busiest link is the one with the highest mean use; idle classes have no row. */
START_TEST(test_link_classes_name_their_busiest_link)
{
    LinkUse use[] = {{"nic:0:up", LINK_NIC, 10, 20, 0.5},
                     {"nic:1:up", LINK_NIC, 10, 80, 0.9},
                     {"nvlink:0:up", LINK_NVLINK, 100, 100, 0.25},
                     {"spine:0", LINK_SPINE, 100, 0, 0}};
    g_autoptr(GArray) links = g_array_new(FALSE, FALSE, sizeof(LinkUse));
    g_array_append_vals(links, use, 4);

    g_autoptr(GArray) totals = metrics_link_classes(links, 10);

    ck_assert_uint_eq(totals->len, 2);
    const LinkClassTotal *nic = &g_array_index(totals, LinkClassTotal, 1);
    ck_assert_int_eq(nic->link_class, LINK_NIC);
    ck_assert_str_eq(nic->busiest_link, "nic:1:up");
    ck_assert_double_eq(nic->bytes, 100);
    ck_assert_double_eq(nic->mean_utilisation_frac, 0.8);
    ck_assert_double_eq(nic->peak_utilisation_frac, 0.9);
    ck_assert_int_eq(metrics_busiest_class(totals)->link_class, LINK_NIC);
}
END_TEST

/* Two ranks on two GPUs of different size, N = 1000 parameters, 8000 FLOP a token. */
typedef struct {
    Step step;
    Model model;
    Training training;
    Profile profile;
    Cluster cluster;
    ClusterGpu gpus[2];
    Job *job;
    SimResult sim;
} World;

static void world_init(World *world)
{
    memset(world, 0, sizeof *world);
    Step *step = &world->step;
    step_init(step, 4);
    schedule_persistent(step->schedule, "parameters", MEMORY_PARAMETERS, GIB);
    step->schedule->model_state_bytes = 16000;
    compute(step, STREAM_COMPUTE, PHASE_FORWARD, 0, 1);
    at(step,
       schedule_alloc(step->schedule, STREAM_COMPUTE, PHASE_FORWARD, "logits",
                      MEMORY_ACTIVATIONS, GIB),
       0, 0);
    compute(step, STREAM_COMPUTE, PHASE_BACKWARD, 1, 3);
    at(step, schedule_release(step->schedule, STREAM_COMPUTE, PHASE_BACKWARD, 1), 0, 0);
    collective(step, COLLECTIVE_ALL_REDUCE, PHASE_BACKWARD, 2000, 2, 4);
    world->model = (Model){
        .name = "tiny", .n_parameters = 1000, .sequence_length = 50, .flops_per_token = 9000};
    world->training = (Training){.strategy = STRATEGY_DDP,
                                 .micro_batch = 2,
                                 .gradient_accumulation = 4,
                                 .global_batch = 16,
                                 .precision = {.compute = DTYPE_BF16}};
    world->profile = (Profile){.name = "gpu", .memory_bytes = 4 * GIB};
    world->profile.peak_flop_per_s[DTYPE_BF16] = 1e6;
    world->gpus[1].memory_bytes = 3 * GIB;
    world->cluster.gpus = g_array_new(FALSE, FALSE, sizeof(ClusterGpu));
    g_array_append_vals(world->cluster.gpus, world->gpus, 2);
    world->job = job_new(2);
    g_ptr_array_add(world->job->programs, step->schedule);
    world->sim = (SimResult){.timeline = &step->timeline,
                             .links = g_array_new(FALSE, FALSE, sizeof(LinkUse)),
                             .collectives = g_array_new(FALSE, FALSE, sizeof(CollectiveUse))};
}

static void world_clear(World *world)
{
    g_array_unref(world->cluster.gpus);
    job_free(world->job);
    g_array_unref(world->sim.links);
    g_array_unref(world->sim.collectives);
}

static Result *world_result(World *world)
{
    return metrics_compute(&world->model, &world->training, &world->profile, &world->cluster,
                           world->job, &world->sim);
}

/* 2 x 4 x 50 tokens in 4 s are 100 tokens/s; at 9000 FLOP each that is 0.9 of 1 MFLOP/s. */
START_TEST(test_throughput_and_utilisation)
{
    World world;
    world_init(&world);
    g_autoptr(Result) result = world_result(&world);

    ck_assert_double_eq(result->tokens_per_s_per_gpu, 100);
    ck_assert_double_eq(result->model_flops_per_step, 800 * 9000.0);
    ck_assert_double_eq(result->mfu_frac, 0.9);
    ck_assert_double_eq(result->hfu_frac, 0.9);
    ck_assert_double_eq(result->sent_bytes_per_rank, 2000);
    ck_assert_int_eq(result->training.sequence_length, 50);
    world_clear(&world);
}
END_TEST

/* Full checkpointing runs one more forward, a third; selective that of the attention core
 * alone: (9000 - 6 x 1000) / 3 FLOP a token. */
START_TEST(test_hardware_utilisation_counts_recomputation)
{
    World world;
    world_init(&world);
    world.training.checkpointing = CHECKPOINTING_FULL;
    g_autoptr(Result) full = world_result(&world);
    world.training.checkpointing = CHECKPOINTING_SELECTIVE;
    g_autoptr(Result) selective = world_result(&world);

    ck_assert_double_eq_tol(full->hfu_frac, 1.2, 1e-12);
    ck_assert_double_eq_tol(selective->hfu_frac, 1.0, 1e-12);
    ck_assert_double_eq_tol(full->mfu_frac, 0.9, 1e-12);
    world_clear(&world);
}
END_TEST

/* The smallest GPU that runs a program is the one it must fit; the peak has a time and a name.
 */
START_TEST(test_memory_is_held_against_the_smallest_gpu)
{
    World world;
    world_init(&world);
    g_autoptr(Result) fits = world_result(&world);
    g_array_index(world.cluster.gpus, ClusterGpu, 1).memory_bytes = GIB;
    g_autoptr(Result) fails = world_result(&world);

    ck_assert_int_eq(fits->memory.peak_bytes, 2 * GIB);
    ck_assert_int_eq(fits->memory.capacity_bytes, 3 * GIB);
    ck_assert(fits->memory.fits);
    ck_assert_str_eq(fits->peak_label, "logits");
    ck_assert_double_eq(fits->peak_at_s, 1);
    ck_assert_int_eq(fits->model_state_bytes, 16000);
    ck_assert_int_eq(fails->memory.capacity_bytes, GIB);
    ck_assert(!fails->memory.fits);
    world_clear(&world);
}
END_TEST

/* The clause names the collective that is waited for, and the class that carries it. */
START_TEST(test_reason_names_collective_and_links)
{
    World world;
    world_init(&world);
    LinkUse use = {"nic:0:up", LINK_NIC, 1000, 2000, 0.97};
    g_array_append_val(world.sim.links, use);
    g_autoptr(Result) result = world_result(&world);

    g_autofree char *expected =
        g_strdup_printf("waits 1 s for %s in backward, carried by %s links at 97 %%",
                        collective_name(COLLECTIVE_ALL_REDUCE), link_class_name(LINK_NIC));
    ck_assert_str_eq(result->reason, expected);
    world_clear(&world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *tcase = tcase_create("metrics");

    tcase_add_test(tcase, test_each_instant_belongs_to_one_class);
    tcase_add_test(tcase, test_time_outside_the_step_is_cut_off);
    tcase_add_loop_test(tcase, test_random_steps_match_a_scan_of_ticks, 0, 20);
    tcase_add_test(tcase, test_collectives_are_grouped_by_kind_and_phase);
    tcase_add_test(tcase, test_communicators_overlap);
    tcase_add_test(tcase, test_link_classes_name_their_busiest_link);
    tcase_add_test(tcase, test_throughput_and_utilisation);
    tcase_add_test(tcase, test_hardware_utilisation_counts_recomputation);
    tcase_add_test(tcase, test_memory_is_held_against_the_smallest_gpu);
    tcase_add_test(tcase, test_reason_names_collective_and_links);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
