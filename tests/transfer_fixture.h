/* SPDX-License-Identifier: MIT */
/* Transfers between hosts of a cluster, all at once, in a forked child with SimGrid, which
 * answers through shared memory: when each ended and the links of its route. */
#pragma once

#include "cluster.h"
#include "sim_engine.h"

#include <check.h>
#include <simgrid/actor.h>
#include <simgrid/engine.h>
#include <simgrid/host.h>
#include <simgrid/link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xbt/dynar.h>

#define MAX_TRANSFERS 128

typedef struct {
    char from[64], to[64];
    double bytes;
    double end_s;    /* answer */
    char links[512]; /* answer: the route's links, each followed by a space */
} Transfer;

typedef struct {
    const char *xml_file;
    gboolean without_latency; /* as the replay has links, which sleeps latencies by itself */
    int n_transfers;
    Transfer transfers[MAX_TRANSFERS];
} Scenario;

static Scenario *scenario; /* shared with the children */

static void set_up(void)
{
    scenario =
        mmap(NULL, sizeof(Scenario), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(scenario != MAP_FAILED);
}

static void tear_down(void)
{
    munmap(scenario, sizeof(Scenario));
}

G_GNUC_PRINTF(2, 3)
static void name_print(char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_vsnprintf(name, 64, format, arguments);
    va_end(arguments);
}

static Transfer *transfer_add(double bytes)
{
    Transfer *transfer = &scenario->transfers[scenario->n_transfers++];
    ck_assert_int_le(scenario->n_transfers, MAX_TRANSFERS);
    *transfer = (Transfer){.bytes = bytes};
    return transfer;
}

static void transfer_actor(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    Transfer *transfer = sg_actor_get_data(sg_actor_self());
    sg_host_t from = sg_host_by_name(transfer->from), to = sg_host_by_name(transfer->to);
    xbt_dynar_t links = xbt_dynar_new(sizeof(sg_link_t), NULL);
    sg_host_get_route(from, to, links);
    for (unsigned i = 0; i < xbt_dynar_length(links); i++) {
        g_strlcat(transfer->links, sg_link_get_name(xbt_dynar_get_as(links, i, sg_link_t)),
                  sizeof transfer->links);
        g_strlcat(transfer->links, " ", sizeof transfer->links);
    }
    xbt_dynar_free(&links);
    sg_host_sendto(from, to, transfer->bytes);
    transfer->end_s = simgrid_get_clock();
}

/* With them, SimGrid 3.32 forgets links of flows whose latencies end at one instant and that
 * share their first link: its partial update looks at that link alone. */
static void latencies_clear(void)
{
    sg_link_t *links = sg_link_list();
    for (size_t i = 0; i < sg_link_count(); i++)
        sg_link_set_latency(links[i], 0);
    free(links);
}

static void scenario_run_in_child(void *data)
{
    Scenario *shared = data;
    sim_engine_load(shared->xml_file);
    if (shared->without_latency)
        latencies_clear();
    for (int i = 0; i < shared->n_transfers; i++) {
        Transfer *transfer = &shared->transfers[i];
        sg_actor_t actor = sg_actor_init("transfer", sg_host_by_name(transfer->from));
        sg_actor_set_data(actor, transfer);
        sg_actor_start(actor, transfer_actor, 0, NULL);
    }
    simgrid_run();
}

/* All transfers start at 0. */
static void scenario_run(const Cluster *cluster)
{
    g_autofree char *complaint = NULL;
    scenario->xml_file = cluster->xml_file;
    SimChildEnd end = sim_engine_run_child(scenario_run_in_child, scenario, 60, &complaint);
    ck_assert_msg(end == SIM_CHILD_DONE, "%s", complaint);
}

static Cluster *preset(const char *const *overrides)
{
    g_autoptr(Experiment) experiment = experiment_load(NULL, overrides, NULL);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    Cluster *cluster = cluster_build(experiment, warnings, &error);
    ck_assert_msg(cluster != NULL, "%s", error ? error->message : "");
    for (guint i = 0; i < warnings->len; i++) /* the one that a mesh always has */
        ck_assert_ptr_nonnull(strstr(g_ptr_array_index(warnings, i), "NVLink cables"));
    return cluster;
}
