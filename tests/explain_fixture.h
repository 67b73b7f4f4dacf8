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

/* Each kernel and collective of the path has been running for its part of it, from its start
 * (or that of the step) to its end. */
static G_GNUC_UNUSED void assert_elements_ran(const GArray *path, const Timeline *timeline)
{
    double tolerance_s = 2e-9 * timeline->step_time_s;
    for (guint i = 0; i < path->len; i++) {
        const PathElement *element = element_at(path, i);
        if (element->kind == PATH_HOST)
            continue;
        double start_s = timeline_start_s(timeline, element->rank, element->op);
        ck_assert_double_eq_tol(element->begin_s, MAX(start_s, 0), tolerance_s);
        ck_assert_double_eq_tol(
            element->end_s, timeline_end_s(timeline, element->rank, element->op), tolerance_s);
    }
}
