/* SPDX-License-Identifier: MIT */
/* What a timeline shows of a step: the ranks that differ, and the use of their links, which
 * follows from each collective's plan and the time it took. */
#include "report_trace.h"

#include "error.h"

#include <stdlib.h>
#include <string.h>

static void trace_rank_clear(gpointer rank)
{
    g_free(((TraceRank *)rank)->label);
}

static GArray *ranks_new(void)
{
    GArray *ranks = g_array_new(FALSE, TRUE, sizeof(TraceRank));
    g_array_set_clear_func(ranks, trace_rank_clear);
    return ranks;
}

static gboolean list_fail(const char *list, const char *what, GError **error)
{
    g_autofree char *quoted = error_quote(list);
    g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                "--ranks=%s: %s; ranks are written as 0,8..15", quoted, what);
    return FALSE;
}

/* "8..15" or "8", nothing behind it. */
static gboolean parse_range(const char *text, gint64 *first, gint64 *last)
{
    char *end;
    if (!g_ascii_isdigit(*text))
        return FALSE;
    *first = *last = g_ascii_strtoll(text, &end, 10);
    if (g_str_has_prefix(end, "..") && g_ascii_isdigit(end[2]))
        *last = g_ascii_strtoll(end + 2, &end, 10);
    return *end == '\0' && *first <= *last && *last < G_MAXINT;
}

static void add_alone(GArray *ranks, int rank)
{
    TraceRank shown = {.rank = rank, .n_alike = 1, .label = g_strdup_printf("rank %d", rank)};
    g_array_append_val(ranks, shown);
}

/* n_ranks G_MAXINT: only checks; else adds ranks once each. */
static gboolean parse_list(const char *list, int n_ranks, GArray *ranks, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(list, ",", -1);
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    if (parts[0] == NULL)
        return list_fail(list, "names no rank", error);
    for (int i = 0; parts[i] != NULL; i++) {
        gint64 first, last;
        if (!parse_range(parts[i], &first, &last))
            return list_fail(list, "is no list of ranks", error);
        if (last >= n_ranks) {
            g_autofree char *what = g_strdup_printf("the job has ranks 0..%d", n_ranks - 1);
            return list_fail(list, what, error);
        }
        for (gint64 rank = first; ranks != NULL && rank <= last; rank++)
            if (g_hash_table_add(seen, GINT_TO_POINTER((int)rank)))
                add_alone(ranks, (int)rank);
    }
    return TRUE;
}

gboolean trace_ranks_check(const char *list, GError **error)
{
    return parse_list(list, G_MAXINT, NULL, error);
}

static gboolean are_alike(const Job *job, const Timeline *timeline, int a, int b)
{
    gsize bytes = sizeof(double) * (gsize)timeline->n_ops[a];
    if (job->program_of_rank[a] != job->program_of_rank[b])
        return FALSE;
    if (timeline->first[a] == timeline->first[b])
        return TRUE;
    return memcmp(&timeline->start_s[timeline->first[a]],
                  &timeline->start_s[timeline->first[b]], bytes) == 0 &&
           memcmp(&timeline->end_s[timeline->first[a]], &timeline->end_s[timeline->first[b]],
                  bytes) == 0;
}

static GArray *distinct_ranks(const Job *job, const Timeline *timeline)
{
    GArray *ranks = ranks_new();
    for (int rank = 0; rank < job->n_ranks; rank++) {
        guint i = 0;
        while (i < ranks->len &&
               !are_alike(job, timeline, g_array_index(ranks, TraceRank, i).rank, rank))
            i++;
        if (i == ranks->len)
            add_alone(ranks, rank);
        else
            g_array_index(ranks, TraceRank, i).n_alike++;
    }
    for (guint i = 0; i < ranks->len; i++) {
        TraceRank *shown = &g_array_index(ranks, TraceRank, i);
        if (shown->n_alike == 1)
            continue;
        g_free(shown->label);
        shown->label = g_strdup_printf("rank %d and %d alike", shown->rank, shown->n_alike - 1);
    }
    return ranks;
}

GArray *trace_ranks(const char *list, const Job *job, const Timeline *timeline, GError **error)
{
    if (list == NULL)
        return distinct_ranks(job, timeline);
    GArray *ranks = ranks_new();
    if (parse_list(list, job->n_ranks, ranks, error))
        return ranks;
    g_array_unref(ranks);
    return NULL;
}

static double use_frac(double bytes, double time_s, double bytes_per_s)
{
    return time_s > 0 && bytes_per_s > 0 ? bytes / time_s / bytes_per_s : 0;
}

/* What the rank's GPU sends to its node, and its NIC to others. */
static TraceLinkUse rank_use(const Trace *trace, const CollectivePlan *plan, int rank,
                             double time_s)
{
    double nvlink_bytes = 0, nic_bytes = 0;
    for (guint f = 0; f < plan->flows->len; f++) {
        const Flow *flow = &g_array_index(plan->flows, Flow, f);
        if (!flow->between_nodes && flow->from_rank == rank)
            nvlink_bytes += flow->wire_bytes;
        if (flow->between_nodes && cluster_gpu(trace->cluster, flow->from_rank)->nic ==
                                       cluster_gpu(trace->cluster, rank)->nic)
            nic_bytes += flow->wire_bytes;
    }
    return (TraceLinkUse){
        .nvlink_frac = use_frac(nvlink_bytes, time_s, trace->cluster->nvlink_bytes_per_s),
        .nic_frac = use_frac(nic_bytes, time_s, trace->cluster->nic_bytes_per_s)};
}

static CollectivePlan *plan_of_group(const Trace *trace, const Op *op, int group)
{
    int n;
    g_autofree int *members = job_group_members(trace->job, op->communicator, group, &n);
    const CollectiveCall call = {.kind = op->collective,
                                 .payload_bytes = op->payload_bytes,
                                 .root = members[op->root],
                                 .averages = op->averages};
    return collective_plan(trace->cluster, members, n, &call, trace->nccl);
}

static void use_of(const Trace *trace, const Op *op, double time_s, TraceLinkUse *use)
{
    const int *group_of_rank = job_communicator(trace->job, op->communicator)->group_of_rank;
    g_autoptr(CollectivePlan) plan = NULL;
    int planned = -1;
    for (guint i = 0; i < trace->ranks->len; i++) {
        int rank = g_array_index(trace->ranks, TraceRank, i).rank;
        if (group_of_rank[rank] != planned) {
            collective_plan_free(plan);
            planned = group_of_rank[rank];
            plan = plan_of_group(trace, op, planned);
        }
        g_assert(plan != NULL);
        use[i] = rank_use(trace, plan, rank, time_s);
    }
}

TraceLinkUse *trace_link_use(const Trace *trace)
{
    const Schedule *schedule = job_program(trace->job, 0);
    guint n_shown = trace->ranks->len, k = 0;
    TraceLinkUse *use = g_new0(TraceLinkUse, (gsize)schedule_n_ops(schedule) * MAX(1, n_shown));
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->kind != OP_COLLECTIVE)
            continue;
        double time_s = timeline_end_s(trace->sim->timeline, 0, i) -
                        timeline_start_s(trace->sim->timeline, 0, i);
        use_of(trace, op, time_s, &use[n_shown * k++]);
    }
    return use;
}

int trace_partner(const Trace *trace, const Op *op, guint shown, int step)
{
    const int *group_of_rank = job_communicator(trace->job, op->communicator)->group_of_rank;
    int group = group_of_rank[g_array_index(trace->ranks, TraceRank, shown).rank];
    for (int i = (int)shown + step; i >= 0 && i < (int)trace->ranks->len; i += step)
        if (group_of_rank[g_array_index(trace->ranks, TraceRank, i).rank] == group)
            return i;
    return -1;
}

char *trace_kernel_text(const Kernel *kernel)
{
    const char *const *names = kernel_dimension_names(kernel->op);
    GString *text = g_string_new(kernel_op_name(kernel->op));
    g_string_append_printf(text, " %s", dtype_name(kernel->dtype));
    for (int i = 0; i < KERNEL_MAX_DIMENSIONS && names[i] != NULL; i++)
        g_string_append_printf(text, " %s=%" G_GINT64_FORMAT, names[i], kernel->dimension[i]);
    return g_string_free(text, FALSE);
}
