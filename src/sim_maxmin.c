/* SPDX-License-Identifier: MIT */
/* Progressive filling (Bertsekas and Gallager, Data Networks, 6.5.2): all rates grow alike
 * until a link is full, whose flows keep theirs while the others grow on. Whenever a flow ends,
 * the rest begin anew. */
#include "sim_maxmin.h"

/* Links that fill up, and flows that end, within this share of each other do so at once. */
#define EQUAL_FRAC 1e-12

typedef struct {
    const SimMaxMinFlow *flows;
    const double *bytes_per_s; /* by link */
    GArray *flowing;           /* int: flows that haven't ended */
    GArray *used;              /* int: links that any flow crosses */
    /* by flow */
    double *left_bytes, *rate_bytes_per_s;
    /* by link */
    double *free_bytes_per_s;
    int *n_growing; /* flows whose rates still grow, once for each time that they cross it */
    gboolean *is_full;
} Filling;

static int index_at(const GArray *indices, guint i)
{
    return g_array_index(indices, int, i);
}

static void links_collect(Filling *filling, int n_flows)
{
    for (int f = 0; f < n_flows; f++) {
        const SimMaxMinFlow *flow = &filling->flows[f];
        g_assert(flow->n_links > 0);
        for (int l = 0; l < flow->n_links; l++)
            if (filling->n_growing[flow->links[l]]++ == 0)
                g_array_append_val(filling->used, flow->links[l]);
    }
}

/* The rate at which the next link is full; marks it and those that are full with it. */
static double links_fill(Filling *filling)
{
    double share = G_MAXDOUBLE;
    for (guint i = 0; i < filling->used->len; i++) {
        int l = index_at(filling->used, i);
        if (filling->n_growing[l] > 0)
            share = MIN(share, filling->free_bytes_per_s[l] / filling->n_growing[l]);
    }
    for (guint i = 0; i < filling->used->len; i++) {
        int l = index_at(filling->used, i);
        filling->is_full[l] =
            filling->n_growing[l] > 0 &&
            filling->free_bytes_per_s[l] / filling->n_growing[l] <= share * (1 + EQUAL_FRAC);
    }
    return share;
}

static gboolean flow_is_stopped(const Filling *filling, const SimMaxMinFlow *flow)
{
    for (int l = 0; l < flow->n_links; l++)
        if (filling->is_full[flow->links[l]])
            return TRUE;
    return FALSE;
}

static void flow_stop(Filling *filling, int f, double rate_bytes_per_s)
{
    const SimMaxMinFlow *flow = &filling->flows[f];
    filling->rate_bytes_per_s[f] = rate_bytes_per_s;
    for (int l = 0; l < flow->n_links; l++) {
        double *free_bytes_per_s = &filling->free_bytes_per_s[flow->links[l]];
        *free_bytes_per_s = MAX(*free_bytes_per_s - rate_bytes_per_s, 0);
        filling->n_growing[flow->links[l]]--;
    }
}

static void rates_fill(Filling *filling)
{
    g_autoptr(GArray) growing = g_array_copy(filling->flowing);
    for (guint i = 0; i < filling->used->len; i++) {
        int l = index_at(filling->used, i);
        filling->free_bytes_per_s[l] = filling->bytes_per_s[l];
        filling->n_growing[l] = 0;
    }
    for (guint i = 0; i < growing->len; i++) {
        const SimMaxMinFlow *flow = &filling->flows[index_at(growing, i)];
        for (int l = 0; l < flow->n_links; l++)
            filling->n_growing[flow->links[l]]++;
    }
    while (growing->len > 0) {
        double share = links_fill(filling);
        guint n_left = 0;
        for (guint i = 0; i < growing->len; i++) {
            int f = index_at(growing, i);
            if (flow_is_stopped(filling, &filling->flows[f]))
                flow_stop(filling, f, share);
            else
                g_array_index(growing, int, n_left++) = f;
        }
        g_array_set_size(growing, n_left);
    }
}

/* Lets time pass until the next flow ends. */
static double flows_advance(Filling *filling)
{
    double time_s = G_MAXDOUBLE;
    guint n_left = 0;
    for (guint i = 0; i < filling->flowing->len; i++) {
        int f = index_at(filling->flowing, i);
        time_s = MIN(time_s, filling->left_bytes[f] / filling->rate_bytes_per_s[f]);
    }
    for (guint i = 0; i < filling->flowing->len; i++) {
        int f = index_at(filling->flowing, i);
        filling->left_bytes[f] -= time_s * filling->rate_bytes_per_s[f];
        if (filling->left_bytes[f] > EQUAL_FRAC * filling->flows[f].bytes)
            g_array_index(filling->flowing, int, n_left++) = f;
    }
    g_array_set_size(filling->flowing, n_left);
    return time_s;
}

double sim_maxmin_time_s(const SimMaxMinFlow *flows, int n_flows, const double *bytes_per_s,
                         int n_links)
{
    g_autoptr(GArray) flowing = g_array_new(FALSE, FALSE, sizeof(int));
    g_autoptr(GArray) used = g_array_new(FALSE, FALSE, sizeof(int));
    g_autofree double *left_bytes = g_new(double, n_flows + 1);
    g_autofree double *rates = g_new0(double, n_flows + 1);
    g_autofree double *free_bytes_per_s = g_new0(double, n_links + 1);
    g_autofree int *n_growing = g_new0(int, n_links + 1);
    g_autofree gboolean *is_full = g_new0(gboolean, n_links + 1);
    Filling filling = {flows, bytes_per_s,      flowing,   used,   left_bytes,
                       rates, free_bytes_per_s, n_growing, is_full};
    double time_s = 0;
    links_collect(&filling, n_flows);
    for (int f = 0; f < n_flows; f++) {
        left_bytes[f] = flows[f].bytes;
        if (flows[f].bytes > 0)
            g_array_append_val(flowing, f);
    }
    while (flowing->len > 0) {
        rates_fill(&filling);
        time_s += flows_advance(&filling);
    }
    return time_s;
}
