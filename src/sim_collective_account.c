/* SPDX-License-Identifier: MIT */
/* What the collectives of the last step carried over each link, and what of a collective's time
 * its bytes need there. Peaks are of one collective at a time: those of two communicators that
 * run at once aren't added up. */
#include "sim_collective.h"

#include <string.h>

/* By link: of one plan of each of a communicator's groups. */
typedef struct {
    double bytes, rate_bytes_per_s;
} PlanTraffic;

/* Adds a plan's bytes and, at its shortest run, its rate to those of the links. */
static void plan_account(const SimConductor *conductor, int p, PlanTraffic *traffic)
{
    const SimPlanUse *use = &conductor->uses[p];
    for (guint i = 0; i < conductor->hops->len; i++) {
        const SimHop *hop = g_ptr_array_index(conductor->hops, i);
        for (int l = 0; l < hop->route.n_links; l++) {
            int index = hop->route.links[l];
            g_array_index(conductor->network->links, SimLink, index).bytes +=
                use->n_runs * hop->wire_bytes[p];
            traffic[index].bytes += hop->wire_bytes[p];
            traffic[index].rate_bytes_per_s += hop->wire_bytes[p] / use->shortest_s;
        }
    }
}

/* Clears the traffic; link_s, by class, gets what the bytes need on the busiest link. */
static void peaks_note(const SimNetwork *network, PlanTraffic *traffic,
                       double link_s[N_LINK_CLASSES])
{
    for (guint l = 0; l < network->links->len; l++) {
        SimLink *link = &g_array_index(network->links, SimLink, l);
        double peak_frac = MIN(traffic[l].rate_bytes_per_s / link->bandwidth_bytes_per_s, 1);
        double least_s = traffic[l].bytes / link->bandwidth_bytes_per_s;
        link->peak_utilisation_frac = MAX(link->peak_utilisation_frac, peak_frac);
        link_s[link->link_class] = MAX(link_s[link->link_class], least_s);
        traffic[l] = (PlanTraffic){0};
    }
}

static double *plan_link_s(const SimConductor *conductor, guint p)
{
    gsize plan = (gsize)conductor->group->first_plan + p;
    return conductor->replay->plan_link_s + plan * N_LINK_CLASSES;
}

static void communicator_account(GPtrArray *conductors, guint first, guint end)
{
    const SimNetwork *network = ((SimConductor *)conductors->pdata[first])->network;
    g_autofree PlanTraffic *traffic = g_new0(PlanTraffic, network->links->len + 1);
    guint n_plans = 0;
    for (guint i = first; i < end; i++)
        n_plans = MAX(n_plans, ((SimConductor *)conductors->pdata[i])->group->plans->len);
    for (guint p = 0; p < n_plans; p++) {
        double link_s[N_LINK_CLASSES] = {0};
        for (guint i = first; i < end; i++) {
            const SimConductor *conductor = g_ptr_array_index(conductors, i);
            if (p < conductor->group->plans->len && conductor->uses[p].n_runs > 0)
                plan_account(conductor, (int)p, traffic);
        }
        peaks_note(network, traffic, link_s);
        for (guint i = first; i < end; i++) {
            const SimConductor *conductor = g_ptr_array_index(conductors, i);
            if (p < conductor->group->plans->len)
                memcpy(plan_link_s(conductor, p), link_s, sizeof link_s);
        }
    }
}

void sim_conductors_account(GPtrArray *conductors)
{
    for (guint first = 0, end; first < conductors->len; first = end) {
        const SimConductor *conductor = g_ptr_array_index(conductors, first);
        int communicator = conductor->group->communicator;
        for (end = first + 1; end < conductors->len; end++) {
            conductor = g_ptr_array_index(conductors, end);
            if (conductor->group->communicator != communicator)
                break;
        }
        communicator_account(conductors, first, end);
    }
}
