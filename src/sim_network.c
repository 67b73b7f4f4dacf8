/* SPDX-License-Identifier: MIT */
/* Links and routes on SimGrid. */
#include "sim_network.h"

#include <stdlib.h>
#include <string.h>
#include <xbt/dynar.h>

/* SimGrid counts whole bytes. In units this much smaller, a flow's time is right to 1e-9 from a
 * kilobyte on. Where links change by profiles, SimGrid sets bandwidths that these have, in
 * bytes. */
#define UNITS_PER_BYTE 1048576.0

static void hosts_index(SimNetwork *network)
{
    sg_host_t *hosts = sg_host_list();
    size_t n_hosts = sg_host_count();
    network->hosts = g_hash_table_new(g_str_hash, g_str_equal);
    for (size_t i = 0; i < n_hosts; i++)
        g_hash_table_insert(network->hosts, (gpointer)sg_host_get_name(hosts[i]), hosts[i]);
    free(hosts);
}

static double bandwidth_of(const Cluster *cluster, sg_link_t link)
{
    gboolean scaled = cluster->internode_scale > 0 &&
                      link_class_is_internode(link_class_of(sg_link_get_name(link)));
    return sg_link_get_bandwidth(link) * (scaled ? cluster->internode_scale : 1);
}

static gboolean may_vary(sg_link_t *links, size_t n_links, const GHashTable *varying)
{
    gboolean may = varying == NULL;
    for (size_t i = 0; i < n_links && !may; i++)
        may = g_hash_table_contains((GHashTable *)varying, sg_link_get_name(links[i]));
    return may;
}

SimNetwork *sim_network_open(const Cluster *cluster, const GHashTable *varying)
{
    SimNetwork *network = g_new0(SimNetwork, 1);
    sg_link_t *links = sg_link_list();
    network->links = g_array_new(FALSE, TRUE, sizeof(SimLink));
    network->index = g_hash_table_new(NULL, NULL);
    size_t n_links = sg_link_count();
    network->units_per_byte = may_vary(links, n_links, varying) ? 1 : UNITS_PER_BYTE;
    for (size_t i = 0; i < n_links; i++) {
        /* SimGrid's own, of which the platform says nothing. */
        if (strcmp(sg_link_get_name(links[i]), "__loopback__") == 0)
            continue;
        SimLink link = {
            .link = links[i],
            .link_class = link_class_of(sg_link_get_name(links[i])),
            .bandwidth_bytes_per_s = bandwidth_of(cluster, links[i]),
        };
        sg_link_set_latency(link.link, 0);
        sg_link_set_bandwidth(link.link, link.bandwidth_bytes_per_s * network->units_per_byte);
        g_array_append_val(network->links, link);
        g_hash_table_insert(network->index, link.link,
                            GINT_TO_POINTER((int)network->links->len));
    }
    free(links);
    hosts_index(network);
    return network;
}

sg_host_t sim_network_host(const SimNetwork *network, const char *name)
{
    return g_hash_table_lookup(network->hosts, name);
}

gboolean sim_network_route(const SimNetwork *network, SimRoute *route)
{
    xbt_dynar_t links = xbt_dynar_new(sizeof(sg_link_t), NULL);
    sg_host_get_route(route->from, route->to, links);
    int n = (int)xbt_dynar_length(links), n_engine = 0;
    route->links = g_new(int, n + 1);
    route->n_links = 0;
    for (int i = 0; i < n; i++) {
        sg_link_t link = xbt_dynar_get_as(links, (unsigned)i, sg_link_t);
        int index = GPOINTER_TO_INT(g_hash_table_lookup(network->index, link)) - 1;
        if (index < 0)
            continue;
        if (g_array_index(network->links, SimLink, index).link_class == LINK_ENGINE)
            route->links[n - ++n_engine] = index;
        else
            route->links[route->n_links++] = index;
    }
    for (int i = 0; i < n_engine; i++)
        route->links[route->n_links + i] = route->links[n - n_engine + i];
    route->n_engine_links = n_engine;
    xbt_dynar_free(&links);
    return n > 0;
}

/* A link that nothing flows over keeps its limit, which is most often the next one's too. */
static void engine_limit(const SimNetwork *network, SimLink *link)
{
    if (link->n_engaged == 0 || link->engaged_bytes_per_s == link->limit_bytes_per_s)
        return;
    link->limit_bytes_per_s = link->engaged_bytes_per_s;
    sg_link_set_bandwidth(link->link, link->limit_bytes_per_s * network->units_per_byte);
}

void sim_network_engage(const SimNetwork *network, int index, double ceiling_bytes_per_s)
{
    SimLink *link = &g_array_index(network->links, SimLink, index);
    link->n_engaged++;
    link->engaged_bytes_per_s += ceiling_bytes_per_s;
    engine_limit(network, link);
}

void sim_network_disengage(const SimNetwork *network, int index, double ceiling_bytes_per_s)
{
    SimLink *link = &g_array_index(network->links, SimLink, index);
    link->n_engaged--;
    link->engaged_bytes_per_s =
        link->n_engaged > 0 ? link->engaged_bytes_per_s - ceiling_bytes_per_s : 0;
    engine_limit(network, link);
}

sg_comm_t sim_network_send(const SimNetwork *network, sg_mailbox_t mailbox, void *payload,
                           double bytes)
{
    return sg_mailbox_put_async(mailbox, payload, (long)(bytes * network->units_per_byte));
}
