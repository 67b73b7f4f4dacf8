/* SPDX-License-Identifier: MIT */
/* The links of a loaded platform and the routes of flows over them: their ceilings, and the
 * bytes that they carry. Private to sim_*.c, in a child that has loaded the platform. */
#pragma once

#include "sim.h"

#include <simgrid/comm.h>
#include <simgrid/host.h>
#include <simgrid/link.h>
#include <simgrid/mailbox.h>

G_BEGIN_DECLS

typedef struct {
    sg_link_t link;
    LinkClass link_class;
    double bandwidth_bytes_per_s; /* as the platform says */
    double bytes;
    double peak_utilisation_frac;
    /* Of an engine link: */
    int n_engaged;              /* collectives that flow over it */
    double engaged_bytes_per_s; /* the sum of their ceilings */
    double limit_bytes_per_s;   /* as it is set */
} SimLink;

typedef struct {
    GArray *links;     /* SimLink */
    GHashTable *index; /* sg_link_t → index + 1 */
    GHashTable *hosts; /* name → sg_host_t: sg_host_by_name() asks one zone after the other */
    double units_per_byte; /* of bandwidths and flows, as SimGrid has them */
} SimNetwork;

typedef struct {
    sg_host_t from, to;
    int n_links, n_engine_links;
    int *links; /* indices of SimNetwork.links; engine links last */
} SimRoute;

/* `varying` as of SimReplay. Reads the links and takes away their latency: what latency there
 * is, collectives sleep, and SimGrid would share a link in inverse proportion to it. */
SimNetwork *sim_network_open(const Cluster *cluster, const GHashTable *varying);

sg_host_t sim_network_host(const SimNetwork *network, const char *name);

/* In an actor, since the platform is complete only when the simulation runs. FALSE: there is no
 * route (on some of them, SimGrid aborts). */
gboolean sim_network_route(const SimNetwork *network, SimRoute *route);

/* A collective begins, and ends, to flow over an engine link. Of several at once the ceilings
 * add up: each has channels of its own. How they share the sum is up to SimGrid, which knows no
 * ceiling of a flow, so one that its own channels hold back gains from the other. */
void sim_network_engage(const SimNetwork *network, int index, double ceiling_bytes_per_s);
void sim_network_disengage(const SimNetwork *network, int index, double ceiling_bytes_per_s);

/* Starts a flow from the actor's host to that of whoever receives. */
sg_comm_t sim_network_send(const SimNetwork *network, sg_mailbox_t mailbox, void *payload,
                           double bytes);

G_END_DECLS
