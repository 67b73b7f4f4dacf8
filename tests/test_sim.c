/* SPDX-License-Identifier: MIT */
/* Time in a replay: streams, waits, steady steps, and what goes wrong. Each schedule is small
 * enough to add up by hand. */
#include "sim_fixture.h"
#include "suite_run.h"

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
    size_t bytes = sizeof(double) * (size_t)one->timeline->n_times;
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
    g_autoptr(GError) error = run_to_failure(cluster, job, ERROR_SIMULATION);
    ck_assert_str_eq(error->message, "deadlock: op 1 of rank 0 (forward kernel) never ends");
}
END_TEST

/* The same circle behind a collective of a second communicator: the message names it. */
START_TEST(a_deadlock_names_the_communicator)
{
    Schedule *schedule = schedule_new();
    int stuck = schedule_collective_on(schedule, 1, PHASE_BACKWARD, "all_reduce layer",
                                       COLLECTIVE_ALL_REDUCE, 100, 0);
    schedule_wait(schedule, STREAM_NCCL, stuck);
    int reduce = collective(schedule, COLLECTIVE_ALL_REDUCE, 100);
    Op *op = &g_array_index(schedule->ops, Op, stuck);
    op->first_wait = (int)schedule->waits->len;
    op->n_waits = 1;
    g_array_append_val(schedule->waits, reduce);
    g_autoptr(Job) job = job_of(schedule, 2);
    job_add_communicator(job, "replicate", (int[]){0, 0}, 1);
    g_autoptr(Cluster) cluster = bus_cluster(2);
    g_autoptr(GError) error = run_to_failure(cluster, job, ERROR_SIMULATION);
    ck_assert_str_eq(error->message, "deadlock: op 0 of rank 0 (backward all_reduce layer, on "
                                     "communicator 'replicate') never ends");
}
END_TEST

START_TEST(collectives_that_differ_are_refused)
{
    Schedule *one = schedule_new(), *other = schedule_new();
    collective(one, COLLECTIVE_ALL_REDUCE, 100);
    collective(other, COLLECTIVE_ALL_REDUCE, _i == 0 ? 200 : 100);
    if (_i == 1)
        collective(other, COLLECTIVE_ALL_REDUCE, 100);
    g_autoptr(Job) job = job_of_two(one, other);
    g_autoptr(Cluster) cluster = bus_cluster(2);
    g_autoptr(GError) error = run_to_failure(cluster, job, ERROR_SIMULATION);
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
    g_autoptr(Job) job = job_of_two(one, other);
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
    g_autoptr(GError) error = run_to_failure(cluster, job, ERROR_INPUT);
    ck_assert_ptr_nonnull(strstr(error->message, "no route from host 'gpu-1' to host 'gpu-2'"));
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

static TCase *failure_case(void)
{
    TCase *tcase = tcase_create("failures");
    tcase_add_test(tcase, a_deadlock_names_the_first_stuck_op);
    tcase_add_test(tcase, a_deadlock_names_the_communicator);
    tcase_add_loop_test(tcase, collectives_that_differ_are_refused, 0, 2);
    tcase_add_test(tcase, programs_may_differ_between_collectives);
    tcase_add_test(tcase, a_missing_route_is_the_users_mistake);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("sim");
    suite_add_tcase(suite, stream_case());
    suite_add_tcase(suite, failure_case());
    return suite_run(suite);
}
