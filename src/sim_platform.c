/* SPDX-License-Identifier: MIT */
/* The probe: loads a platform in a forked child, reads its facts and resolves the routes that a
 * schedule needs, so that a bad file is a message here and not an abort in the replay. The
 * child sends facts, warnings or an error back as JSON in an unlinked file. */
#include "error.h"
#include "json_in.h"
#include "sim.h"
#include "sim_engine.h"
#include "sim_facts.h"

#include <simgrid/actor.h>
#include <simgrid/engine.h>
#include <simgrid/host.h>
#include <simgrid/link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <xbt/dynar.h>
#include <xbt/sysdep.h>

/* 4,096 GPUs load in 1 s. */
#define PROBE_TIMEOUT_S 120

/* The pair whose route is being resolved, in memory that outlives the child: SimGrid aborts on
 * some missing routes. */
typedef struct {
    char from[256], to[256];
} Resolving;

typedef struct {
    const char *label;
    Cluster *cluster;
    GPtrArray *warnings;
    GError *error;
    Resolving *resolving;
    FILE *answer;
    GHashTable *both_ways; /* names of links used by both directions of a pair */
    GHashTable *hosts; /* name → sg_host_t: sg_host_by_name() asks one zone after the other */
} Probe;

/* Links of the route, in order; empty where there is none. */
static xbt_dynar_t route_resolve(Probe *probe, sg_host_t from, sg_host_t to)
{
    xbt_dynar_t links = xbt_dynar_new(sizeof(sg_link_t), NULL);
    g_strlcpy(probe->resolving->from, sg_host_get_name(from), sizeof probe->resolving->from);
    g_strlcpy(probe->resolving->to, sg_host_get_name(to), sizeof probe->resolving->to);
    sg_host_get_route(from, to, links);
    probe->resolving->from[0] = '\0';
    if (xbt_dynar_is_empty(links) && !probe->error)
        g_set_error(&probe->error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: no route from host '%s' to host '%s'", probe->label,
                    sg_host_get_name(from), sg_host_get_name(to));
    return links;
}

static void both_ways_find(Probe *probe, xbt_dynar_t there, xbt_dynar_t back)
{
    for (unsigned i = 0; i < xbt_dynar_length(there); i++) {
        sg_link_t link = xbt_dynar_get_as(there, i, sg_link_t);
        if (sg_link_is_shared(link) && xbt_dynar_member(back, &link))
            g_hash_table_add(probe->both_ways, (gpointer)sg_link_get_name(link));
    }
}

/* Both directions between two hosts. FALSE: probe->error. */
static gboolean pair_check(Probe *probe, const char *one, const char *other)
{
    if (strcmp(one, other) == 0)
        return TRUE;
    sg_host_t a = g_hash_table_lookup(probe->hosts, one);
    sg_host_t b = g_hash_table_lookup(probe->hosts, other);
    xbt_dynar_t there = route_resolve(probe, a, b);
    xbt_dynar_t back = route_resolve(probe, b, a);
    both_ways_find(probe, there, back);
    xbt_dynar_free(&there);
    xbt_dynar_free(&back);
    return probe->error == NULL;
}

/* First rank of each node, and the number of ranks at the end. */
static int *node_starts(const Cluster *cluster)
{
    int *starts = g_new0(int, cluster->n_nodes + 1);
    for (int rank = cluster_n_ranks(cluster) - 1; rank >= 0; rank--)
        starts[cluster_gpu(cluster, rank)->node] = rank;
    starts[cluster->n_nodes] = cluster_n_ranks(cluster);
    return starts;
}

/* The neighbours of rings: the next GPU of the node, and the NIC in the same place of the next
 * node. */
static void routes_check(Probe *probe)
{
    const Cluster *cluster = probe->cluster;
    g_autofree int *starts = node_starts(cluster);
    for (int rank = 0; rank < cluster_n_ranks(cluster); rank++) {
        const ClusterGpu *gpu = cluster_gpu(cluster, rank);
        int first = starts[gpu->node], n_local = starts[gpu->node + 1] - first;
        int next = first + (rank - first + 1) % n_local;
        if (!pair_check(probe, gpu->gpu_host, cluster_gpu(cluster, next)->gpu_host))
            return;
        if (cluster->n_nodes == 1)
            continue;
        int next_node = (gpu->node + 1) % cluster->n_nodes;
        int n_next = starts[next_node + 1] - starts[next_node];
        int peer = starts[next_node] + MIN(rank - first, n_next - 1);
        if (!pair_check(probe, gpu->nic_host, cluster_gpu(cluster, peer)->nic_host))
            return;
    }
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(a, b);
}

static void both_ways_warn(Probe *probe)
{
    GList *names = g_hash_table_get_keys(probe->both_ways);
    names = g_list_sort(names, compare_names);
    guint n_names = g_list_length(names);
    if (n_names > 0)
        g_ptr_array_add(
            probe->warnings,
            g_strdup_printf("%s: link '%s'%s shared by both directions: full-duplex "
                            "cables are one link each way, or SPLITDUPLEX",
                            probe->label, (const char *)names->data,
                            n_names > 1 ? " and others are" : " is"));
    g_list_free(names);
}

static void hosts_index(Probe *probe)
{
    sg_host_t *hosts = sg_host_list();
    size_t n_hosts = sg_host_count();
    for (size_t i = 0; i < n_hosts; i++)
        g_hash_table_insert(probe->hosts, (gpointer)sg_host_get_name(hosts[i]), hosts[i]);
    xbt_free(hosts);
}

/* SimGrid resolves routes once the platform is sealed, which is when the simulation runs. */
static void routes_actor(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    Probe *probe = sg_actor_get_data(sg_actor_self());
    hosts_index(probe);
    routes_check(probe);
    both_ways_warn(probe);
}

static json_t *gpu_pack(const ClusterGpu *gpu)
{
    return json_pack("{s:s, s:s*, s:s, s:i, s:i, s:i, s:f, s:I}", "gpu_host", gpu->gpu_host,
                     "nic_host", gpu->nic_host, "gpu", gpu->gpu, "node", gpu->node,
                     "local_rank", gpu->local_rank, "nic", gpu->nic, "speed", gpu->speed,
                     "memory_bytes", (json_int_t)gpu->memory_bytes);
}

static json_t *strings_pack(const GPtrArray *strings)
{
    json_t *array = json_array();
    for (guint i = 0; i < strings->len; i++)
        json_array_append_new(array, json_string(g_ptr_array_index(strings, i)));
    return array;
}

static json_t *answer_pack(const Probe *probe)
{
    const Cluster *cluster = probe->cluster;
    if (probe->error)
        return json_pack("{s:s}", "error", probe->error->message);
    json_t *gpus = json_array();
    for (int rank = 0; rank < cluster_n_ranks(cluster); rank++)
        json_array_append_new(gpus, gpu_pack(cluster_gpu(cluster, rank)));
    json_t *plugin = json_array();
    for (int i = 0; i < N_NCCL_PLUGIN_FACTS; i++)
        json_array_append_new(plugin, json_real(cluster->nccl.value[i]));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:b, s:f, s:f, s:f, s:s}", "gpus",
                     gpus, "nccl", plugin, "nic_hosts", strings_pack(cluster->nic_hosts),
                     "node_rings", strings_pack(cluster->node_rings), "warnings",
                     strings_pack(probe->warnings), "n_nodes", cluster->n_nodes, "n_links",
                     cluster->n_links, "has_engine_links", cluster->has_engine_links,
                     "nvlink_bytes_per_s", cluster->nvlink_bytes_per_s, "nic_bytes_per_s",
                     cluster->nic_bytes_per_s, "nic_latency_s", cluster->nic_latency_s, "cpu",
                     cluster->cpu);
}

/* In the child. What it allocates ends with it. */
static void probe_run(void *data)
{
    Probe *probe = data;
    sim_engine_load(probe->cluster->xml_file);
    if (sim_facts_read(probe->label, probe->cluster, probe->warnings, &probe->error)) {
        sg_host_t host = sg_host_by_name(cluster_gpu(probe->cluster, 0)->gpu_host);
        sg_actor_t actor = sg_actor_init("probe", host);
        sg_actor_set_data(actor, probe);
        sg_actor_start(actor, routes_actor, 0, NULL);
        simgrid_run();
    }
    json_t *answer = answer_pack(probe);
    g_assert(answer != NULL);
    int failed = json_dumpf(answer, probe->answer, 0) != 0 || fflush(probe->answer) != 0;
    g_assert(!failed);
}

static void strings_unpack(const json_t *array, GPtrArray *strings)
{
    size_t i;
    json_t *string;
    json_array_foreach(array, i, string)
        g_ptr_array_add(strings, g_strdup(json_string_value(string)));
}

static void gpu_unpack(json_t *object, Cluster *cluster)
{
    const char *gpu_host, *nic_host = NULL, *profile;
    json_int_t memory_bytes;
    ClusterGpu gpu = {0};
    int failed = json_unpack(object, "{s:s, s?s, s:s, s:i, s:i, s:i, s:F, s:I}", "gpu_host",
                             &gpu_host, "nic_host", &nic_host, "gpu", &profile, "node",
                             &gpu.node, "local_rank", &gpu.local_rank, "nic", &gpu.nic, "speed",
                             &gpu.speed, "memory_bytes", &memory_bytes);
    g_assert(!failed);
    gpu.gpu_host = g_strdup(gpu_host);
    gpu.nic_host = g_strdup(nic_host);
    gpu.gpu = g_strdup(profile);
    gpu.memory_bytes = memory_bytes;
    g_array_append_val(cluster->gpus, gpu);
}

static void cluster_unpack(json_t *answer, Cluster *cluster, GPtrArray *warnings)
{
    const char *cpu;
    json_t *gpus, *plugin, *nic_hosts, *node_rings, *lines, *gpu, *value;
    size_t i;
    int failed = json_unpack(
        answer, "{s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:b, s:F, s:F, s:F, s:s}", "gpus", &gpus,
        "nccl", &plugin, "nic_hosts", &nic_hosts, "node_rings", &node_rings, "warnings", &lines,
        "n_nodes", &cluster->n_nodes, "n_links", &cluster->n_links, "has_engine_links",
        &cluster->has_engine_links, "nvlink_bytes_per_s", &cluster->nvlink_bytes_per_s,
        "nic_bytes_per_s", &cluster->nic_bytes_per_s, "nic_latency_s", &cluster->nic_latency_s,
        "cpu", &cpu);
    g_assert(!failed);
    cluster->cpu = g_strdup(cpu);
    strings_unpack(nic_hosts, cluster->nic_hosts);
    strings_unpack(node_rings, cluster->node_rings);
    strings_unpack(lines, warnings);
    json_array_foreach(gpus, i, gpu) gpu_unpack(gpu, cluster);
    json_array_foreach(plugin, i, value) cluster->nccl.value[i] = json_real_value(value);
}

/* The child has ended as it should. */
static gboolean answer_read(FILE *file, Cluster *cluster, GPtrArray *warnings, GError **error)
{
    rewind(file);
    g_autoptr(json_t) answer = json_loadf(file, 0, NULL);
    g_assert(answer != NULL);
    const char *message = json_string_value(json_object_get(answer, "error"));
    if (message) {
        g_set_error_literal(error, ZEROSIM_ERROR, ERROR_INPUT, message);
        return FALSE;
    }
    cluster_unpack(answer, cluster, warnings);
    return TRUE;
}

/* SimGrid's complaint about `label`, which it calls by the file's name: once is enough. */
static void complaint_set(const Probe *probe, const char *complaint, GError **error)
{
    const char *file = probe->cluster->xml_file;
    gboolean says_more = !g_str_has_prefix(complaint, "No route");
    if (probe->resolving->from[0])
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: no route from host '%s' to host '%s'%s%s", probe->label,
                    probe->resolving->from, probe->resolving->to, says_more ? ": " : "",
                    says_more ? complaint : "");
    else if (g_str_has_prefix(complaint, file) && complaint[strlen(file)] == ':')
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s%s", probe->label,
                    complaint + strlen(file));
    else
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s", probe->label, complaint);
}

/* What can be told without SimGrid. */
static gboolean file_check(const char *label, const char *file, GError **error)
{
    if (g_file_test(file, G_FILE_TEST_EXISTS) && !g_file_test(file, G_FILE_TEST_IS_REGULAR)) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: is not a regular file", label);
        return FALSE;
    }
    gsize length = 0;
    g_autofree char *text = json_in_read_text(file, JSON_IN_MAX_BYTES, &length, error);
    if (!text)
        return FALSE;
    if (strspn(text, " \t\r\n") == length) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: is empty", label);
        return FALSE;
    }
    return TRUE;
}

static gboolean probe_start(Probe *probe, GError **error)
{
    probe->answer = tmpfile();
    probe->resolving = mmap(NULL, sizeof(Resolving), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (probe->answer && probe->resolving != MAP_FAILED)
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "%s: no room for a probe's answer",
                probe->label);
    return FALSE;
}

static void probe_end(Probe *probe)
{
    if (probe->resolving != MAP_FAILED)
        munmap(probe->resolving, sizeof(Resolving));
    g_clear_pointer(&probe->answer, fclose);
    g_hash_table_unref(probe->both_ways);
    g_hash_table_unref(probe->hosts);
}

gboolean sim_platform_read(const char *xml_file, Cluster *cluster, GPtrArray *warnings,
                           GError **error)
{
    if (!file_check(xml_file, cluster->xml_file, error))
        return FALSE;
    /* The child's own warnings come back in its answer. */
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
    Probe probe = {
        .label = xml_file,
        .cluster = cluster,
        .warnings = found,
        .both_ways = g_hash_table_new(g_str_hash, g_str_equal),
        .hosts = g_hash_table_new(g_str_hash, g_str_equal),
    };
    g_autofree char *complaint = NULL;
    gboolean ok = probe_start(&probe, error);
    if (ok && sim_engine_run_child(probe_run, &probe, PROBE_TIMEOUT_S, &complaint) ==
                  SIM_CHILD_DONE) {
        ok = answer_read(probe.answer, cluster, warnings, error);
    } else if (ok) {
        complaint_set(&probe, complaint, error);
        ok = FALSE;
    }
    probe_end(&probe);
    return ok;
}
