/* SPDX-License-Identifier: MIT */
/* What must hold of every critical path. */
#pragma once

#include "explain.h"

#include "random_job.h"

static G_GNUC_UNUSED const PathElement *element_at(const GArray *path, guint i)
{
    ck_assert_uint_lt(i, path->len);
    return &g_array_index(path, PathElement, i);
}

/* From 0 to the end of the step, each element where the one before it ended. */
static G_GNUC_UNUSED void assert_contiguous(const GArray *path, double step_time_s)
{
    double reached_s = 0;
    for (guint i = 0; i < path->len; i++) {
        ck_assert_double_eq(element_at(path, i)->begin_s, reached_s);
        reached_s = element_at(path, i)->end_s;
        ck_assert_double_gt(reached_s, element_at(path, i)->begin_s);
    }
    ck_assert_double_eq(reached_s, step_time_s);
}

/* Seconds between two instants of steps that repeat. */
static G_GNUC_UNUSED double apart_s(double one_s, double other_s, double step_s)
{
    return fabs(remainder(one_s - other_s, step_s));
}

/* Each kernel and collective of the path has been running for its part of it, from its start
 * (or that of the step) to its end (or that of the step). */
static G_GNUC_UNUSED void assert_elements_ran(const GArray *path, const Timeline *timeline)
{
    double step_s = timeline->step_time_s;
    for (guint i = 0; i < path->len; i++) {
        const PathElement *element = element_at(path, i);
        double start_s = timeline_start_s(timeline, element->rank, element->op);
        double end_s = timeline_end_s(timeline, element->rank, element->op);
        if (element->kind == PATH_HOST)
            continue;
        ck_assert(i == 0 || apart_s(element->begin_s, start_s, step_s) <= 2e-9 * step_s);
        ck_assert(i == path->len - 1 ||
                  apart_s(element->end_s, end_s, step_s) <= 2e-9 * step_s);
        ck_assert_double_le(element->end_s - element->begin_s, end_s - start_s + 2e-9 * step_s);
    }
}
