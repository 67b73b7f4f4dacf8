/* SPDX-License-Identifier: MIT */
/* Adds up collectives by kind and phase, links by class, and says in one clause what of it the
 * step waits for. */
#include "metrics_comm.h"

#include <string.h>

/* Below this share of the step, waiting isn't worth a name. */
#define COMPUTE_BOUND_FRAC 0.05

static double op_sent_bytes(const Op *op, const Job *job, int rank)
{
    int n_members = job_group_size(job, op->communicator, rank);
    if (n_members == 1)
        return 0;
    return (double)op->payload_bytes * collective_busbw_factor(op->collective, n_members);
}

static double rank_sent_bytes(const Job *job, int rank)
{
    const Schedule *schedule = job_program(job, rank);
    double sum = 0;
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->kind == OP_COLLECTIVE)
            sum += op_sent_bytes(op, job, rank);
    }
    return sum;
}

/* Whether two ranks run the same program in groups of the same sizes. */
static gboolean ranks_alike(const Job *job, int one, int other)
{
    for (int c = 0; c < (int)job->communicators->len; c++)
        if (job_group_size(job, c, one) != job_group_size(job, c, other))
            return FALSE;
    return job->program_of_rank[one] == job->program_of_rank[other];
}

double metrics_sent_bytes(const Job *job)
{
    double largest = 0;
    for (int rank = 0; rank < job->n_ranks; rank++)
        if (rank == 0 || !ranks_alike(job, rank - 1, rank))
            largest = MAX(largest, rank_sent_bytes(job, rank));
    return largest;
}

static void collective_total_clear(gpointer total)
{
    g_free(((CollectiveTotal *)total)->group);
    g_free(((CollectiveTotal *)total)->algorithm);
}

static CollectiveTotal *total_of(GArray *totals, const Job *job, const Op *op)
{
    const char *group = job_communicator(job, op->communicator)->name;
    for (guint i = 0; i < totals->len; i++) {
        CollectiveTotal *total = &g_array_index(totals, CollectiveTotal, i);
        if (total->kind == op->collective && total->phase == op->phase &&
            g_str_equal(total->group, group))
            return total;
    }
    CollectiveTotal total = {
        .kind = op->collective, .phase = op->phase, .group = g_strdup(group)};
    g_array_append_val(totals, total);
    return &g_array_index(totals, CollectiveTotal, totals->len - 1);
}

/* "Ring Simple,Ring LL": each once, in order of first use. */
static void note_algorithm(CollectiveTotal *total, const CollectiveUse *use)
{
    g_autofree char *name =
        g_strdup_printf("%s %s", algorithm_name(use->algorithm), protocol_name(use->protocol));
    if (total->algorithm == NULL) {
        total->algorithm = g_steal_pointer(&name);
        return;
    }
    g_auto(GStrv) known = g_strsplit(total->algorithm, ",", -1);
    if (g_strv_contains((const char *const *)known, name))
        return;
    char *joined = g_strdup_printf("%s,%s", total->algorithm, name);
    g_free(total->algorithm);
    total->algorithm = joined;
}

GArray *metrics_collectives(const Job *job, int rank, const CollectiveTimes *times,
                            const GArray *uses)
{
    const Schedule *schedule = job_program(job, rank);
    GArray *totals = g_array_new(FALSE, TRUE, sizeof(CollectiveTotal));
    guint n_seen = 0;
    g_array_set_clear_func(totals, collective_total_clear);
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->kind != OP_COLLECTIVE)
            continue;
        CollectiveTotal *total = total_of(totals, job, op);
        total->count++;
        total->payload_bytes += op->payload_bytes;
        total->sent_bytes_per_rank += op_sent_bytes(op, job, rank);
        total->busy_s += times->busy_s[i];
        total->exposed_s += times->exposed_s[i];
        if (n_seen < uses->len)
            note_algorithm(total, &g_array_index(uses, CollectiveUse, n_seen));
        n_seen++;
    }
    return totals;
}

double metrics_fitted_frac(const Schedule *schedule, const CollectiveTimes *times,
                           const GArray *uses)
{
    double fitted_s = 0, all_s = 0;
    guint n_seen = 0;
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        if (schedule_op(schedule, i)->kind != OP_COLLECTIVE)
            continue;
        gboolean fitted =
            n_seen < uses->len && g_array_index(uses, CollectiveUse, n_seen).fitted;
        all_s += times->busy_s[i];
        fitted_s += fitted ? times->busy_s[i] : 0;
        n_seen++;
    }
    return all_s > 0 ? fitted_s / all_s : 0;
}

static void link_class_total_clear(gpointer total)
{
    g_free(((LinkClassTotal *)total)->busiest_link);
}

static void add_link(LinkClassTotal *total, const LinkUse *link, double step_time_s)
{
    double capacity_bytes = link->bandwidth_bytes_per_s * step_time_s;
    double mean_frac = capacity_bytes > 0 ? link->bytes / capacity_bytes : 0;
    total->bytes += link->bytes;
    if (total->busiest_link != NULL && mean_frac <= total->mean_utilisation_frac)
        return;
    g_free(total->busiest_link);
    total->busiest_link = g_strdup(link->name);
    total->mean_utilisation_frac = mean_frac;
    total->peak_utilisation_frac = link->peak_utilisation_frac;
}

GArray *metrics_link_classes(const GArray *links, double step_time_s)
{
    LinkClassTotal by_class[N_LINK_CLASSES] = {0};
    GArray *totals = g_array_new(FALSE, TRUE, sizeof(LinkClassTotal));
    g_array_set_clear_func(totals, link_class_total_clear);
    for (guint i = 0; i < links->len; i++) {
        const LinkUse *link = &g_array_index(links, LinkUse, i);
        if (link->bytes > 0)
            add_link(&by_class[link->link_class], link, step_time_s);
    }
    for (int c = 0; c < N_LINK_CLASSES; c++) {
        by_class[c].link_class = (LinkClass)c;
        if (by_class[c].busiest_link != NULL)
            g_array_append_val(totals, by_class[c]);
    }
    return totals;
}

static const CollectiveTotal *most_exposed(const GArray *totals)
{
    const CollectiveTotal *most = NULL;
    for (guint i = 0; i < totals->len; i++) {
        const CollectiveTotal *total = &g_array_index(totals, CollectiveTotal, i);
        if (most == NULL || total->exposed_s > most->exposed_s)
            most = total;
    }
    return most;
}

const LinkClassTotal *metrics_busiest_class(const GArray *totals)
{
    const LinkClassTotal *busiest = NULL;
    for (guint i = 0; i < totals->len; i++) {
        const LinkClassTotal *total = &g_array_index(totals, LinkClassTotal, i);
        if (busiest == NULL || total->peak_utilisation_frac > busiest->peak_utilisation_frac)
            busiest = total;
    }
    return busiest;
}

char *metrics_reason(const Result *result)
{
    double exposed_s = result->time_split_s.exposed_comm, idle_s = result->time_split_s.idle;
    const CollectiveTotal *total = most_exposed(result->collectives);
    const LinkClassTotal *links = metrics_busiest_class(result->link_classes);
    if (idle_s > exposed_s && idle_s >= COMPUTE_BOUND_FRAC * result->step_time_s)
        return g_strdup_printf("is idle for %.3g s, in copies and waits of the host", idle_s);
    if (total == NULL)
        return g_strdup("is compute-bound: nothing to communicate");
    if (exposed_s < COMPUTE_BOUND_FRAC * result->step_time_s)
        return g_strdup_printf("is compute-bound: %.2g %% exposed communication",
                               100 * exposed_s / result->step_time_s);
    g_autofree char *carried = links == NULL
                                   ? g_strdup("")
                                   : g_strdup_printf(", carried by %s links at %.0f %%",
                                                     link_class_name(links->link_class),
                                                     100 * links->peak_utilisation_frac);
    return g_strdup_printf("waits %.3g s for %s in %s%s", total->exposed_s,
                           collective_name(total->kind), phase_name(total->phase), carried);
}
