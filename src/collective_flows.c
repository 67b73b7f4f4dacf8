/* SPDX-License-Identifier: MIT */
/* Flows by pair of ends, and how long they take when hosts are the only limit. */
#include "collective_flows.h"

#define SAME_FRAC 1e-12

guint flow_ends_hash(gconstpointer flow)
{
    const Flow *key = flow;
    return (guint)key->from_rank * 2654435761u + (guint)key->to_rank * 2u +
           (guint)key->between_nodes;
}

gboolean flow_ends_equal(gconstpointer one, gconstpointer other)
{
    const Flow *a = one, *b = other;
    return a->from_rank == b->from_rank && a->to_rank == b->to_rank &&
           a->between_nodes == b->between_nodes;
}

FlowSet *flow_set_new(void)
{
    FlowSet *set = g_new0(FlowSet, 1);
    set->flows = g_array_new(FALSE, FALSE, sizeof(Flow));
    set->index = g_hash_table_new_full(flow_ends_hash, flow_ends_equal, g_free, NULL);
    return set;
}

GArray *flow_set_free(FlowSet *set)
{
    GArray *flows = set->flows;
    g_hash_table_unref(set->index);
    g_free(set);
    return flows;
}

void flow_set_add(FlowSet *set, int from, int to, gboolean between_nodes, double wire_bytes)
{
    if (from == to || wire_bytes <= 0)
        return;
    const Flow flow = {.from_rank = from,
                       .to_rank = to,
                       .between_nodes = between_nodes,
                       .wire_bytes = wire_bytes};
    int known = GPOINTER_TO_INT(g_hash_table_lookup(set->index, &flow));
    if (known > 0) {
        g_array_index(set->flows, Flow, known - 1).wire_bytes += wire_bytes;
        return;
    }
    g_array_append_val(set->flows, flow);
    g_hash_table_insert(set->index, g_memdup2(&flow, sizeof flow),
                        GINT_TO_POINTER((int)set->flows->len));
}

/* One flow of the fluid model: the indices of its ends, and what is left. */
typedef struct {
    int up, down;
    double left_bytes, bytes_per_s;
    gboolean rated;
} FluidFlow;

/* A host's direction. */
typedef struct {
    double free_bytes_per_s;
    int n_unrated;
} FluidEnd;

static int end_index(GHashTable *ends, int rank, gboolean down)
{
    gpointer key = GINT_TO_POINTER(2 * rank + down + 1);
    int index = GPOINTER_TO_INT(g_hash_table_lookup(ends, key));
    if (index == 0) {
        index = (int)g_hash_table_size(ends) + 1;
        g_hash_table_insert(ends, key, GINT_TO_POINTER(index));
    }
    return index - 1;
}

static GArray *fluid_flows(const GArray *flows, gboolean between_nodes, guint *n_ends)
{
    GArray *fluid = g_array_new(FALSE, FALSE, sizeof(FluidFlow));
    g_autoptr(GHashTable) ends = g_hash_table_new(NULL, NULL);
    for (guint i = 0; i < flows->len; i++) {
        const Flow *flow = &g_array_index(flows, Flow, i);
        if (flow->between_nodes != between_nodes)
            continue;
        FluidFlow one = {.up = end_index(ends, flow->from_rank, FALSE),
                         .down = end_index(ends, flow->to_rank, TRUE),
                         .left_bytes = flow->wire_bytes};
        g_array_append_val(fluid, one);
    }
    *n_ends = g_hash_table_size(ends);
    return fluid;
}

/* Max-min fair rates of the flows that have bytes left: the tightest ends give their flows
 * equal shares, then the next. */
static void fluid_rates(GArray *fluid, FluidEnd *ends, guint n_ends)
{
    int n_unrated = 0;
    for (guint e = 0; e < n_ends; e++)
        ends[e] = (FluidEnd){.free_bytes_per_s = 1};
    for (guint i = 0; i < fluid->len; i++) {
        FluidFlow *flow = &g_array_index(fluid, FluidFlow, i);
        flow->rated = flow->left_bytes <= 0;
        flow->bytes_per_s = 0;
        if (flow->rated)
            continue;
        g_assert((guint)flow->up < n_ends && (guint)flow->down < n_ends);
        ends[flow->up].n_unrated++; /* NOLINT(clang-analyzer-core.uninitialized.Assign) */
        ends[flow->down].n_unrated++;
        n_unrated++;
    }
    while (n_unrated > 0) {
        double share = G_MAXDOUBLE;
        for (guint e = 0; e < n_ends; e++)
            if (ends[e].n_unrated > 0)
                share = MIN(share, ends[e].free_bytes_per_s / ends[e].n_unrated);
        g_autofree gboolean *tight = g_new(gboolean, n_ends);
        for (guint e = 0; e < n_ends; e++)
            tight[e] = ends[e].n_unrated > 0 &&
                       ends[e].free_bytes_per_s / ends[e].n_unrated <= share * (1 + SAME_FRAC);
        for (guint i = 0; i < fluid->len; i++) {
            FluidFlow *flow = &g_array_index(fluid, FluidFlow, i);
            if (flow->rated || !(tight[flow->up] || tight[flow->down]))
                continue;
            flow->rated = TRUE;
            flow->bytes_per_s = share;
            n_unrated--;
            ends[flow->up].free_bytes_per_s -= share;
            ends[flow->up].n_unrated--;
            ends[flow->down].free_bytes_per_s -= share;
            ends[flow->down].n_unrated--;
        }
    }
}

/* Until the next flow ends; 0: all have. */
static double fluid_advance(GArray *fluid)
{
    double step_s = G_MAXDOUBLE;
    for (guint i = 0; i < fluid->len; i++) {
        const FluidFlow *flow = &g_array_index(fluid, FluidFlow, i);
        if (flow->left_bytes > 0)
            step_s = MIN(step_s, flow->left_bytes / flow->bytes_per_s);
    }
    if (step_s == G_MAXDOUBLE)
        return 0;
    for (guint i = 0; i < fluid->len; i++) {
        FluidFlow *flow = &g_array_index(fluid, FluidFlow, i);
        double sent = flow->bytes_per_s * step_s;
        flow->left_bytes =
            flow->left_bytes <= sent * (1 + SAME_FRAC) ? 0 : flow->left_bytes - sent;
    }
    return step_s;
}

double flows_makespan(const GArray *flows, gboolean between_nodes)
{
    guint n_ends;
    double time_s = 0, step_s;
    g_autoptr(GArray) fluid = fluid_flows(flows, between_nodes, &n_ends);
    g_autofree FluidEnd *ends = g_new(FluidEnd, n_ends + 1);
    do {
        fluid_rates(fluid, ends, n_ends);
        step_s = fluid_advance(fluid);
        time_s += step_s;
    } while (step_s > 0);
    return time_s;
}
