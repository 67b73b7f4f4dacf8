/* SPDX-License-Identifier: MIT */
/* Finds who meets in which collective. Ranks meet by the order of the communicator's
 * collectives alone, as in NCCL, so the programs of a group's members must agree on it. */
#include "sim_groups.h"

#include "error.h"

#include <string.h>

static void group_free(gpointer data)
{
    SimGroup *group = data;
    g_free(group->members);
    g_ptr_array_unref(group->plans);
    g_array_unref(group->plan_of);
    g_free(group);
}

static gboolean same_collective(const Op *one, const Op *other)
{
    return one->collective == other->collective && one->payload_bytes == other->payload_bytes &&
           one->root == other->root && one->averages == other->averages;
}

static const SimProgram *program_at(const SimReplay *replay, int index)
{
    return g_ptr_array_index(replay->programs, index);
}

static gboolean collective_fail(const SimReplay *replay, int communicator, int k, int one,
                                int other, GError **error)
{
    const SimProgram *first = program_at(replay, one), *second = program_at(replay, other);
    const Op *a = sim_program_collective(first, communicator, k);
    const Op *b = sim_program_collective(second, communicator, k);
    g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION,
                "collective %d of communicator '%s' is %s of %" G_GINT64_FORMAT
                " bytes (%s) in program %d and %s of %" G_GINT64_FORMAT
                " bytes (%s) in program %d",
                k, job_communicator(replay->job, communicator)->name,
                collective_name(a->collective), a->payload_bytes,
                schedule_label(first->schedule, a->label), one, collective_name(b->collective),
                b->payload_bytes, schedule_label(second->schedule, b->label), other);
    return FALSE;
}

/* Whether two programs agree on a communicator's collectives. */
static gboolean programs_check(const SimReplay *replay, int communicator, int one, int other,
                               GError **error)
{
    const SimProgram *first = program_at(replay, one), *second = program_at(replay, other);
    Stream stream = stream_of_communicator(communicator);
    int n = sim_program_n_segments(first, stream);
    if (sim_program_n_segments(second, stream) != n) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION,
                    "program %d has %d collectives a step on communicator '%s' and program %d "
                    "has %d",
                    other, sim_program_n_segments(second, stream),
                    job_communicator(replay->job, communicator)->name, one, n);
        return FALSE;
    }
    for (int k = 0; k < n; k++)
        if (!same_collective(sim_program_collective(first, communicator, k),
                             sim_program_collective(second, communicator, k)))
            return collective_fail(replay, communicator, k, one, other, error);
    return TRUE;
}

static gboolean group_check(const SimReplay *replay, const SimGroup *group, GError **error)
{
    const int *program_of_rank = replay->job->program_of_rank;
    g_autofree gboolean *checked = g_new0(gboolean, replay->programs->len);
    int first = program_of_rank[group->members[0]];
    checked[first] = TRUE;
    for (int m = 1; m < group->n_members; m++) {
        int program = program_of_rank[group->members[m]];
        if (checked[program])
            continue;
        checked[program] = TRUE;
        if (!programs_check(replay, group->communicator, first, program, error))
            return FALSE;
    }
    return TRUE;
}

static int plan_find(const GPtrArray *ops, const Op *op)
{
    for (guint i = 0; i < ops->len; i++)
        if (same_collective(g_ptr_array_index(ops, i), op))
            return (int)i;
    return -1;
}

/* Equal collectives of a group share a plan. */
static void group_plan(const SimReplay *replay, SimGroup *group, const NcclOptions *nccl)
{
    const SimProgram *program =
        program_at(replay, replay->job->program_of_rank[group->members[0]]);
    g_autoptr(GPtrArray) planned = g_ptr_array_new();
    int n = sim_program_n_segments(program, stream_of_communicator(group->communicator));
    for (int k = 0; k < n; k++) {
        const Op *op = sim_program_collective(program, group->communicator, k);
        int plan = plan_find(planned, op);
        if (plan < 0) {
            g_assert(op->root < group->n_members);
            plan = (int)planned->len;
            g_ptr_array_add(planned, (gpointer)op);
            const CollectiveCall call = {.kind = op->collective,
                                         .payload_bytes = op->payload_bytes,
                                         .root = group->members[op->root],
                                         .averages = op->averages};
            g_ptr_array_add(group->plans, collective_plan(replay->cluster, group->members,
                                                          group->n_members, &call, nccl));
        }
        g_array_append_val(group->plan_of, plan);
    }
}

static SimGroup *group_new(const SimReplay *replay, int communicator, int index)
{
    SimGroup *group = g_new0(SimGroup, 1);
    group->communicator = communicator;
    group->members = job_group_members(replay->job, communicator, index, &group->n_members);
    group->plans = g_ptr_array_new_with_free_func((GDestroyNotify)collective_plan_free);
    group->plan_of = g_array_new(FALSE, FALSE, sizeof(int));
    return group;
}

/* A schedule is built beside its job's communicators. */
static void communicators_assert(const SimReplay *replay)
{
    for (guint p = 0; p < replay->programs->len; p++)
        for (int c = (int)replay->job->communicators->len; c < MAX_COMMUNICATORS; c++)
            g_assert(sim_program_n_segments(program_at(replay, (int)p),
                                            stream_of_communicator(c)) == 0);
}

GPtrArray *sim_groups_build(const SimReplay *replay, const NcclOptions *nccl, GError **error)
{
    g_autoptr(GPtrArray) groups = g_ptr_array_new_with_free_func(group_free);
    communicators_assert(replay);
    for (int c = 0; c < (int)replay->job->communicators->len; c++)
        for (int index = 0; index < job_communicator(replay->job, c)->n_groups; index++) {
            SimGroup *group = group_new(replay, c, index);
            g_ptr_array_add(groups, group);
            if (!group_check(replay, group, error))
                return NULL;
            group_plan(replay, group, nccl);
            if (group->plan_of->len == 0)
                g_ptr_array_remove_index(groups, groups->len - 1);
        }
    return g_steal_pointer(&groups);
}

static const SimGroup *group_of_rank(const SimReplay *replay, int communicator, int rank)
{
    for (guint g = 0; g < replay->groups->len; g++) {
        const SimGroup *group = g_ptr_array_index(replay->groups, g);
        if (group->communicator != communicator)
            continue;
        for (int m = 0; m < group->n_members; m++)
            if (group->members[m] == rank)
                return group;
    }
    return NULL;
}

static const CollectivePlan *group_plan_at(const SimGroup *group, int k)
{
    return g_ptr_array_index(group->plans, g_array_index(group->plan_of, int, k));
}

static gint64 group_flows(const SimGroup *group)
{
    gint64 n_flows = 0;
    for (guint k = 0; k < group->plan_of->len; k++)
        n_flows += group_plan_at(group, (int)k)->flows->len;
    return n_flows;
}

static CollectiveUse collective_use(const SimReplay *replay, const SimGroup *group, int k)
{
    const CollectivePlan *plan = group_plan_at(group, k);
    gsize index = (gsize)group->first_plan + (gsize)g_array_index(group->plan_of, int, k);
    CollectiveUse use = {.algorithm = plan->algorithm,
                         .protocol = plan->protocol,
                         .fitted = plan->fitted,
                         .latency_s = plan->latency_s,
                         .channels_s = plan->time_s - plan->latency_s};
    memcpy(use.link_s, replay->plan_link_s + index * N_LINK_CLASSES, sizeof use.link_s);
    return use;
}

GArray *sim_groups_uses(const SimReplay *replay, gint64 *n_flows)
{
    const Schedule *schedule = job_program(replay->job, 0);
    const SimGroup *group[MAX_COMMUNICATORS];
    int k[MAX_COMMUNICATORS] = {0};
    GArray *uses = g_array_new(FALSE, TRUE, sizeof(CollectiveUse));
    for (int c = 0; c < MAX_COMMUNICATORS; c++)
        group[c] = group_of_rank(replay, c, 0);
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->kind != OP_COLLECTIVE)
            continue;
        CollectiveUse use =
            collective_use(replay, group[op->communicator], k[op->communicator]++);
        g_array_append_val(uses, use);
    }
    *n_flows = 0;
    for (guint g = 0; g < replay->groups->len; g++)
        *n_flows += group_flows(g_ptr_array_index(replay->groups, g));
    return uses;
}
