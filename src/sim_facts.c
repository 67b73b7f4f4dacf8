/* SPDX-License-Identifier: MIT */
/* Reads hosts and links of a loaded platform and checks each: SimGrid's loader takes NaN and
 * negative rates, and knows nothing of GPUs. Routes are sim_platform.c's: they can be asked for
 * only while the simulation runs. */
#include "sim_facts.h"
#include "error.h"

#include <math.h>
#include <simgrid/host.h>
#include <simgrid/link.h>
#include <simgrid/zone.h>
#include <stdlib.h>
#include <string.h>
#include <xbt/sysdep.h>

/* A GPU host's speed: the profile says how fast the GPU is, the platform how slow a bad one. */
#define NOMINAL_FLOP_PER_S 1e9
/* SimGrid's own link from a host to itself. */
#define LOOPBACK "__loopback__"

typedef struct {
    const char *label;
    Cluster *cluster;
    GPtrArray *warnings;
    GHashTable *nic_nodes; /* NIC's host name → GINT_TO_POINTER(zs_node), -1: not said */
    GHashTable *nic_index; /* → GINT_TO_POINTER(index in cluster->nic_hosts) */
    GHashTable *engines; /* names of engine links: sg_link_by_name() throws for a missing one */
    GHashTable *wires;   /* GPU's host name → double *, bytes/s of its cables to other GPUs */
} Facts;

G_GNUC_PRINTF(3, 4)
static gboolean fail(const Facts *facts, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_strdelimit(text, "\n\r\t", ' '); /* an XML name may hold any of them */
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s", facts->label, text);
    return FALSE;
}

/* A whole number of a host; absent: `value` stays, unless required. */
static gboolean property_int(const Facts *facts, sg_host_t host, const char *name,
                             gboolean required, gint64 minimum, gint64 maximum, gint64 *value,
                             GError **error)
{
    const char *text = sg_host_get_property_value(host, name);
    if (!text && !required)
        return TRUE;
    if (!text)
        return fail(facts, error, "host '%s': the property %s is missing",
                    sg_host_get_name(host), name);
    if (g_ascii_string_to_signed(text, 10, minimum, maximum, value, NULL))
        return TRUE;
    g_autofree char *quoted = error_quote(text);
    return fail(facts, error,
                "host '%s': %s must be a whole number from %" G_GINT64_FORMAT
                " to %" G_GINT64_FORMAT ", not %s",
                sg_host_get_name(host), name, minimum, maximum, quoted);
}

static gboolean nic_read(Facts *facts, sg_host_t host, GError **error)
{
    gint64 node = -1;
    if (!property_int(facts, host, "zs_node", FALSE, 0, G_MAXINT, &node, error))
        return FALSE;
    char *name = g_strdup(sg_host_get_name(host));
    g_ptr_array_add(facts->cluster->nic_hosts, name);
    g_hash_table_insert(facts->nic_nodes, name, GINT_TO_POINTER((int)node));
    return TRUE;
}

static gboolean gpu_read(Facts *facts, sg_host_t host, GError **error)
{
    const char *name = sg_host_get_name(host);
    const char *profile = sg_host_get_property_value(host, "zs_gpu");
    double speed = sg_host_get_speed(host) / NOMINAL_FLOP_PER_S;
    gint64 node = 0, local_rank = 0, memory_bytes = 0;
    if (!profile || *profile == '\0')
        return fail(facts, error,
                    "host '%s': the property zs_gpu (a profile's name) is missing", name);
    if (!(speed > 0 && speed <= 1))
        return fail(facts, error,
                    "host '%s': speed must be 1Gf (the GPU of its profile) or less (a slow "
                    "one), not %g flop/s",
                    name, sg_host_get_speed(host));
    if (sg_host_core_count(host) != 1)
        return fail(facts, error, "host '%s': core must be 1, a GPU shares itself, not %d",
                    name, sg_host_core_count(host));
    if (!property_int(facts, host, "zs_node", TRUE, 0, G_MAXINT, &node, error) ||
        !property_int(facts, host, "zs_local_rank", TRUE, 0, G_MAXINT, &local_rank, error) ||
        !property_int(facts, host, "memory_bytes", FALSE, 1, G_MAXINT64, &memory_bytes, error))
        return FALSE;
    ClusterGpu gpu = {
        .gpu_host = g_strdup(name),
        .nic_host = g_strdup(sg_host_get_property_value(host, "zs_nic")),
        .gpu = g_strdup(profile),
        .node = (int)node,
        .local_rank = (int)local_rank,
        .nic = -1,
        .speed = speed,
        .memory_bytes = memory_bytes,
    };
    g_array_append_val(facts->cluster->gpus, gpu);
    return TRUE;
}

static gboolean host_read(Facts *facts, sg_host_t host, GError **error)
{
    const char *kind = sg_host_get_property_value(host, "zs_kind");
    if (!kind) /* a host of the user's own, no part of the job */
        return TRUE;
    if (strcmp(kind, "gpu") == 0)
        return gpu_read(facts, host, error);
    if (strcmp(kind, "nic") == 0)
        return nic_read(facts, host, error);
    g_autofree char *quoted = error_quote(kind);
    return fail(facts, error, "host '%s': zs_kind must be gpu or nic, not %s",
                sg_host_get_name(host), quoted);
}

static int compare_strings(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int compare_gpus(gconstpointer a, gconstpointer b)
{
    const ClusterGpu *one = a, *other = b;
    if (one->node != other->node)
        return one->node < other->node ? -1 : 1;
    if (one->local_rank != other->local_rank)
        return one->local_rank < other->local_rank ? -1 : 1;
    return strcmp(one->gpu_host, other->gpu_host);
}

static gboolean hosts_read(Facts *facts, GError **error)
{
    sg_host_t *hosts = sg_host_list();
    size_t n_hosts = sg_host_count();
    gboolean ok = TRUE;
    for (size_t i = 0; ok && i < n_hosts; i++)
        ok = host_read(facts, hosts[i], error);
    xbt_free(hosts);
    if (!ok)
        return FALSE;
    if (facts->cluster->gpus->len == 0)
        return fail(facts, error, "no host with zs_kind gpu");
    if (facts->cluster->gpus->len > CLUSTER_MAX_GPUS)
        return fail(facts, error, "more than %d GPUs", CLUSTER_MAX_GPUS);
    g_array_sort(facts->cluster->gpus, compare_gpus);
    GPtrArray *nics = facts->cluster->nic_hosts;
    g_ptr_array_sort(nics, compare_strings);
    for (guint i = 0; i < nics->len; i++)
        g_hash_table_insert(facts->nic_index, g_ptr_array_index(nics, i),
                            GINT_TO_POINTER((int)i));
    return TRUE;
}

/* A GPU's NIC must be there, and belong to one node only. */
static gboolean nic_attach(Facts *facts, ClusterGpu *gpu, GError **error)
{
    gpointer node;
    if (!gpu->nic_host)
        return TRUE;
    if (!g_hash_table_lookup_extended(facts->nic_nodes, gpu->nic_host, NULL, &node))
        return fail(facts, error,
                    "host '%s': zs_nic names '%s', which is no host of zs_kind nic",
                    gpu->gpu_host, gpu->nic_host);
    if (GPOINTER_TO_INT(node) >= 0 && GPOINTER_TO_INT(node) != gpu->node)
        return fail(facts, error,
                    "host '%s': zs_nic names '%s', which belongs to zs_node %d, not %d",
                    gpu->gpu_host, gpu->nic_host, GPOINTER_TO_INT(node), gpu->node);
    g_hash_table_insert(facts->nic_nodes, gpu->nic_host, GINT_TO_POINTER(gpu->node));
    gpu->nic = GPOINTER_TO_INT(g_hash_table_lookup(facts->nic_index, gpu->nic_host));
    return TRUE;
}

/* Nodes become 0 … n_nodes-1 in the order of their numbers. */
static gboolean gpus_number(Facts *facts, GError **error)
{
    Cluster *cluster = facts->cluster;
    int previous_node = -1; /* as the file numbers it */
    cluster->n_nodes = 0;
    for (guint i = 0; i < cluster->gpus->len; i++) {
        ClusterGpu *gpu = &g_array_index(cluster->gpus, ClusterGpu, i);
        const ClusterGpu *before = i > 0 ? gpu - 1 : NULL;
        if (!nic_attach(facts, gpu, error))
            return FALSE;
        if (before && gpu->node == previous_node && gpu->local_rank == before->local_rank)
            return fail(facts, error,
                        "hosts '%s' and '%s' are both zs_local_rank %d of zs_node %d",
                        before->gpu_host, gpu->gpu_host, gpu->local_rank, gpu->node);
        if (i == 0 || gpu->node != previous_node)
            cluster->n_nodes++;
        previous_node = gpu->node;
        gpu->node = cluster->n_nodes - 1;
    }
    for (guint i = 0; cluster->n_nodes > 1 && i < cluster->gpus->len; i++)
        if (cluster_gpu(cluster, (int)i)->nic < 0)
            return fail(facts, error,
                        "host '%s': the property zs_nic is missing, with %d nodes every GPU "
                        "needs one",
                        cluster_gpu(cluster, (int)i)->gpu_host, cluster->n_nodes);
    return TRUE;
}

/* The rings of each node, which its first GPU names. */
static gboolean rings_read(Facts *facts, GError **error)
{
    const Cluster *cluster = facts->cluster;
    int n_ranks = cluster_n_ranks(cluster);
    for (int rank = 0, end = 0; rank < n_ranks; rank = end) {
        const ClusterGpu *first = cluster_gpu(cluster, rank);
        while (end < n_ranks && cluster_gpu(cluster, end)->node == first->node)
            end++;
        sg_host_t host = sg_host_by_name(first->gpu_host);
        const char *text = sg_host_get_property_value(host, "zs_rings");
        g_autoptr(GError) cause = NULL;
        g_autoptr(GPtrArray) rings =
            text ? node_rings_parse(text, end - rank, &cause) : g_ptr_array_new();
        if (!rings)
            return fail(facts, error, "host '%s': zs_rings: %s", first->gpu_host,
                        cause ? cause->message : "unreadable");
        g_ptr_array_add(cluster->node_rings, g_strdup(text ? text : ""));
    }
    return TRUE;
}

static void slowest(double *slowest_bytes_per_s, double bytes_per_s)
{
    if (*slowest_bytes_per_s == 0 || bytes_per_s < *slowest_bytes_per_s)
        *slowest_bytes_per_s = bytes_per_s;
}

/* "nvlink:HOST-to-…" is one of several cables of HOST, any other a GPU's whole NVLink. */
static void nvlink_read(Facts *facts, const char *name, double bytes_per_s)
{
    const char *owner = strchr(name, ':') + 1, *to = strstr(owner, "-to-");
    if (!to) {
        slowest(&facts->cluster->nvlink_bytes_per_s, bytes_per_s);
        return;
    }
    g_autofree char *host = g_strndup(owner, (gsize)(to - owner));
    double *sum = g_hash_table_lookup(facts->wires, host);
    if (!sum) {
        sum = g_new0(double, 1);
        g_hash_table_insert(facts->wires, g_strdup(host), sum);
    }
    *sum += bytes_per_s;
}

static void wires_sum(Facts *facts)
{
    GHashTableIter iter;
    gpointer sum;
    g_hash_table_iter_init(&iter, facts->wires);
    while (g_hash_table_iter_next(&iter, NULL, &sum))
        slowest(&facts->cluster->nvlink_bytes_per_s, *(double *)sum);
}

static gboolean link_read(Facts *facts, sg_link_t link, GError **error)
{
    const char *name = sg_link_get_name(link);
    double bytes_per_s = sg_link_get_bandwidth(link), latency_s = sg_link_get_latency(link);
    if (strcmp(name, LOOPBACK) == 0)
        return TRUE;
    if (!(isfinite(bytes_per_s) && bytes_per_s > 0))
        return fail(facts, error,
                    "link '%s': bandwidth must be a finite number above 0, not %g bytes/s",
                    name, bytes_per_s);
    if (!(isfinite(latency_s) && latency_s >= 0))
        return fail(facts, error, "link '%s': latency must be a finite number from 0, not %g s",
                    name, latency_s);
    facts->cluster->n_links++;
    if (link_class_of(name) == LINK_ENGINE)
        g_hash_table_add(facts->engines, (gpointer)name);
    if (link_class_of(name) == LINK_NVLINK)
        nvlink_read(facts, name, bytes_per_s);
    if (link_class_of(name) == LINK_NIC) {
        slowest(&facts->cluster->nic_bytes_per_s, bytes_per_s);
        facts->cluster->nic_latency_s = MAX(facts->cluster->nic_latency_s, latency_s);
    }
    return TRUE;
}

static int compare_links(const void *a, const void *b)
{
    return strcmp(sg_link_get_name(*(const sg_link_t *)a),
                  sg_link_get_name(*(const sg_link_t *)b));
}

static gboolean links_read(Facts *facts, GError **error)
{
    size_t n_links = sg_link_count();
    sg_link_t *links = sg_link_list();
    /* SimGrid lists them in no order; of several bad ones the first by name is the error. */
    qsort(links, n_links, sizeof *links, compare_links);
    gboolean ok = TRUE;
    for (size_t i = 0; ok && i < n_links; i++)
        ok = link_read(facts, links[i], error);
    xbt_free(links);
    return ok;
}

static gboolean has_engine(const Facts *facts, const char *host)
{
    g_autofree char *up = g_strconcat("engine:", host, "-up", NULL);
    g_autofree char *down = g_strconcat("engine:", host, "-down", NULL);
    return g_hash_table_contains(facts->engines, up) &&
           g_hash_table_contains(facts->engines, down);
}

static void engines_find(Facts *facts)
{
    Cluster *cluster = facts->cluster;
    const char *without = NULL;
    for (guint i = 0; !without && i < cluster->gpus->len; i++) {
        const ClusterGpu *gpu = cluster_gpu(cluster, (int)i);
        if (!has_engine(facts, gpu->gpu_host))
            without = gpu->gpu_host;
        else if (gpu->nic_host && !has_engine(facts, gpu->nic_host))
            without = gpu->nic_host;
    }
    cluster->has_engine_links = !without;
    if (without && cluster->gpus->len > 1)
        g_ptr_array_add(facts->warnings,
                        g_strdup_printf("%s: no links 'engine:%s-up' and '-down': the ceiling "
                                        "of NCCL's channels is not applied",
                                        facts->label, without));
}

static gboolean cpu_read(Facts *facts, GError **error)
{
    static const char *const cpus[] = {"intel", "amd", "other", NULL};
    const char *cpu = sg_zone_get_property_value(sg_zone_get_root(), "zs_cpu");
    if (cpu && !g_strv_contains(cpus, cpu)) {
        g_autofree char *quoted = error_quote(cpu);
        return fail(facts, error, "zs_cpu must be intel, amd or other, not %s", quoted);
    }
    facts->cluster->cpu = g_strdup(cpu ? cpu : "other");
    return TRUE;
}

static gboolean plugin_read(Facts *facts, GError **error)
{
    for (int i = 0; i < N_NCCL_PLUGIN_FACTS; i++) {
        const NcclPluginKey *key = &nccl_plugin_keys[i];
        g_autofree char *property = g_strconcat("zs_", key->name, NULL);
        const char *text = sg_zone_get_property_value(sg_zone_get_root(), property);
        char *end = NULL;
        double value = text ? g_ascii_strtod(text, &end) : 0;
        if (text && (end == text || *end != '\0' || !(value >= 0 && value <= key->maximum))) {
            g_autofree char *quoted = error_quote(text);
            return fail(facts, error, "%s must be from 0 to %g, not %s", property, key->maximum,
                        quoted);
        }
        facts->cluster->nccl.value[i] = value;
    }
    return TRUE;
}

gboolean sim_facts_read(const char *label, Cluster *cluster, GPtrArray *warnings,
                        GError **error)
{
    g_autoptr(GHashTable) nic_nodes = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) nic_index = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) engines = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) wires =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    Facts facts = {label, cluster, warnings, nic_nodes, nic_index, engines, wires};
    if (!hosts_read(&facts, error) || !gpus_number(&facts, error) ||
        !rings_read(&facts, error) || !links_read(&facts, error) || !cpu_read(&facts, error) ||
        !plugin_read(&facts, error))
        return FALSE;
    wires_sum(&facts);
    engines_find(&facts);
    return TRUE;
}
