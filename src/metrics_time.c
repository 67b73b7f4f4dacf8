/* SPDX-License-Identifier: MIT */
/* Splits a step on one rank into compute by phase, exposed communication and idle time.
 * Compute is what runs on the compute stream; copies on other streams count as idle unless a
 * kernel or a collective covers them. */
#include "metrics_time.h"

typedef struct {
    double start_s, end_s;
} Interval;

/* The op's interval within the step, without what `covered_s` has already accounted for. */
static Interval clip(const Timeline *timeline, int rank, int op, double covered_s)
{
    Interval interval = {.start_s = MAX(timeline_start_s(timeline, rank, op), covered_s),
                         .end_s =
                             MIN(timeline_end_s(timeline, rank, op), timeline->step_time_s)};
    interval.end_s = MAX(interval.end_s, interval.start_s);
    return interval;
}

static gboolean runs_kernels(const Op *op)
{
    return op->kind == OP_COMPUTE && op->stream == STREAM_COMPUTE;
}

/* The compute stream's intervals, in order and disjoint since a stream is a FIFO. */
static GArray *compute_intervals(const Schedule *schedule, const Timeline *timeline, int rank,
                                 double phase_s[N_PHASES])
{
    GArray *intervals = g_array_new(FALSE, FALSE, sizeof(Interval));
    double covered_s = 0;
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (!runs_kernels(op))
            continue;
        Interval interval = clip(timeline, rank, i, covered_s);
        if (interval.end_s <= interval.start_s)
            continue;
        phase_s[op->phase] += interval.end_s - interval.start_s;
        g_array_append_val(intervals, interval);
        covered_s = interval.end_s;
    }
    return intervals;
}

/* How much of `interval` the sorted `intervals` cover; `cursor` moves past those that end
 * before it, for the next, later, interval. */
static double overlap_s(const GArray *intervals, Interval interval, guint *cursor)
{
    double sum_s = 0;
    while (*cursor < intervals->len &&
           g_array_index(intervals, Interval, *cursor).end_s <= interval.start_s)
        (*cursor)++;
    for (guint i = *cursor; i < intervals->len; i++) {
        Interval other = g_array_index(intervals, Interval, i);
        if (other.start_s >= interval.end_s)
            break;
        sum_s += MIN(other.end_s, interval.end_s) - MAX(other.start_s, interval.start_s);
    }
    return sum_s;
}

static int interval_compare(gconstpointer one, gconstpointer other)
{
    double a = ((const Interval *)one)->start_s, b = ((const Interval *)other)->start_s;
    return (a > b) - (a < b);
}

/* How much of the intervals' union `covering` doesn't cover; sorts them. */
static double outside_s(GArray *intervals, const GArray *covering)
{
    double sum_s = 0, covered_s = -G_MAXDOUBLE;
    guint cursor = 0;
    g_array_sort(intervals, interval_compare);
    for (guint i = 0; i < intervals->len; i++) {
        Interval interval = g_array_index(intervals, Interval, i);
        interval.start_s = MAX(interval.start_s, covered_s);
        if (interval.end_s <= interval.start_s)
            continue;
        covered_s = interval.end_s;
        sum_s +=
            MAX(interval.end_s - interval.start_s - overlap_s(covering, interval, &cursor), 0);
    }
    return sum_s;
}

/* A communicator's collectives share one FIFO, so their intervals are disjoint once waiting in
 * the queue is cut off; those of two communicators may overlap. */
static double exposed_comm_s(const Schedule *schedule, const Timeline *timeline, int rank,
                             const GArray *compute, CollectiveTimes *times)
{
    g_autoptr(GArray) intervals = g_array_new(FALSE, FALSE, sizeof(Interval));
    double covered_s[MAX_COMMUNICATORS] = {0};
    guint cursor[MAX_COMMUNICATORS] = {0};
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->kind != OP_COLLECTIVE)
            continue;
        int c = op->communicator;
        Interval interval = clip(timeline, rank, i, covered_s[c]);
        covered_s[c] = interval.end_s;
        times->busy_s[i] = interval.end_s - interval.start_s;
        double exposed_s = times->busy_s[i] - overlap_s(compute, interval, &cursor[c]);
        times->exposed_s[i] = MAX(exposed_s, 0);
        g_array_append_val(intervals, interval);
    }
    return outside_s(intervals, compute);
}

TimeSplit metrics_time_split(const Schedule *schedule, const Timeline *timeline, int rank,
                             CollectiveTimes *times)
{
    double phase_s[N_PHASES] = {0};
    g_autoptr(GArray) compute = compute_intervals(schedule, timeline, rank, phase_s);
    times->busy_s = g_new0(double, schedule_n_ops(schedule) + 1);
    times->exposed_s = g_new0(double, schedule_n_ops(schedule) + 1);

    TimeSplit split = {.forward = phase_s[PHASE_FORWARD],
                       .backward = phase_s[PHASE_BACKWARD],
                       .update = phase_s[PHASE_UPDATE]};
    split.exposed_comm = exposed_comm_s(schedule, timeline, rank, compute, times);
    double accounted_s = split.forward + split.backward + split.update + split.exposed_comm;
    double idle_s = timeline->step_time_s - accounted_s;
    /* Rounding of thousands of sums isn't idle time. */
    split.idle = idle_s > 1e-12 * timeline->step_time_s ? idle_s : 0;
    return split;
}
