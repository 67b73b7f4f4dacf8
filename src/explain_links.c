/* SPDX-License-Identifier: MIT */
/* Which links the collectives of a critical path wait for: those that their bytes use most
 * while they flow. NCCL's channels, which are no links, are told beside them. */
#include "explain.h"

/* Seconds of collectives on the path; needed_s: of the bytes on the busiest link of a class. */
typedef struct {
    double latency_s, flow_s;
    double top_s[N_LINK_CLASSES]; /* where this class is used most */
    double needed_s[N_LINK_CLASSES], channels_s;
} LinkSum;

/* Index in SimResult.collectives, which are in order of rank 0's list, of each collective of a
 * program: all agree on a communicator's order. -1: not of rank 0's. */
static int *uses_new(const Job *job, const Schedule *schedule)
{
    const Schedule *first = job_program(job, 0);
    int *uses = g_new(int, schedule_n_ops(schedule) + 1);
    int next[MAX_COMMUNICATORS] = {0}; /* op of rank 0's list to look at */
    int n_uses[MAX_COMMUNICATORS] = {0};
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        uses[i] = -1;
        if (op->kind != OP_COLLECTIVE)
            continue;
        int *at = &next[op->communicator], *n = &n_uses[op->communicator];
        for (; uses[i] < 0 && *at < schedule_n_ops(first); (*at)++) {
            const Op *other = schedule_op(first, *at);
            if (other->kind != OP_COLLECTIVE)
                continue;
            uses[i] = other->communicator == op->communicator ? *n : -1;
            (*n)++;
        }
    }
    return uses;
}

static int most_used(const double needed_s[N_LINK_CLASSES])
{
    int most = -1;
    for (int c = 0; c < N_LINK_CLASSES; c++)
        if (c != LINK_ENGINE && needed_s[c] > 0 && (most < 0 || needed_s[c] > needed_s[most]))
            most = c;
    return most;
}

/* An element may be the end of a collective that began in the step before. */
static int use_add(LinkSum *sum, const CollectiveUse *use, double element_s, double whole_s)
{
    double share = whole_s > 0 ? MIN(element_s / whole_s, 1) : 0;
    double latency_s = share * MIN(use->latency_s, whole_s);
    int top = most_used(use->link_s);
    sum->latency_s += latency_s;
    sum->flow_s += element_s - latency_s;
    sum->channels_s += share * use->channels_s;
    for (int c = 0; c < N_LINK_CLASSES; c++)
        sum->needed_s[c] += share * use->link_s[c];
    if (top >= 0)
        sum->top_s[top] += element_s;
    return top;
}

static Bottleneck bottleneck_of(const LinkSum *sum)
{
    Bottleneck bottleneck = {.collectives_s = sum->latency_s + sum->flow_s,
                             .latency_s = sum->latency_s,
                             .link_class = most_used(sum->top_s)};
    if (bottleneck.link_class < 0 || sum->flow_s <= 0)
        return bottleneck;
    bottleneck.utilisation_frac = MIN(sum->needed_s[bottleneck.link_class] / sum->flow_s, 1);
    bottleneck.channels_utilisation_frac = MIN(sum->channels_s / sum->flow_s, 1);
    return bottleneck;
}

Bottleneck explain_links(const Job *job, const SimResult *sim, GArray *path)
{
    g_autoptr(GPtrArray) uses = g_ptr_array_new_with_free_func(g_free);
    LinkSum sum = {0};
    for (guint p = 0; p < job->programs->len; p++)
        g_ptr_array_add(uses, uses_new(job, g_ptr_array_index(job->programs, p)));
    for (guint i = 0; i < path->len; i++) {
        PathElement *element = &g_array_index(path, PathElement, i);
        const int *of_op = g_ptr_array_index(uses, job->program_of_rank[element->rank]);
        int use = element->kind == PATH_COLLECTIVE ? of_op[element->op] : -1;
        double whole_s = timeline_end_s(sim->timeline, element->rank, element->op) -
                         timeline_start_s(sim->timeline, element->rank, element->op);
        if (use >= 0)
            element->link_class =
                use_add(&sum, &g_array_index(sim->collectives, CollectiveUse, use),
                        element->end_s - element->begin_s, whole_s);
    }
    return bottleneck_of(&sum);
}

/* Bytes that flow for less of a collective's time than it sleeps aren't what binds it. */
gboolean explain_is_latency(const Bottleneck *bottleneck)
{
    return bottleneck->latency_s > bottleneck->collectives_s / 2 || bottleneck->link_class < 0;
}

const char *explain_bottleneck_name(const Bottleneck *bottleneck)
{
    if (bottleneck->collectives_s <= 0)
        return "none";
    return explain_is_latency(bottleneck) ? "latency" : link_class_name(bottleneck->link_class);
}

char *explain_bottleneck_text(const Bottleneck *bottleneck)
{
    if (bottleneck->collectives_s <= 0)
        return g_strdup("none: no collective is on the critical path");
    if (explain_is_latency(bottleneck))
        return g_strdup_printf("latency (%.0f %% of the collectives' %.3g s on the critical "
                               "path pass before bytes flow)",
                               100 * bottleneck->latency_s / bottleneck->collectives_s,
                               bottleneck->collectives_s);
    gboolean narrow = bottleneck->channels_utilisation_frac > bottleneck->utilisation_frac;
    return g_strdup_printf(
        "%s links, %.0f %% used while collectives on the critical path flow%s",
        link_class_name(bottleneck->link_class), 100 * bottleneck->utilisation_frac,
        narrow ? "; NCCL's channels use no more" : "");
}
