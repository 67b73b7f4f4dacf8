/* SPDX-License-Identifier: MIT */
/* The experiment's cluster: a preset and counts, or the user's own XML, turned into a platform
 * file and the facts of its GPUs. The XML is written by cluster_xml.c and read back by
 * sim_platform_read(), so a preset and a user's file go the same way. */
#define _GNU_SOURCE /* memfd_create() */
#include "cluster.h"

#include "constants.h"
#include "error.h"
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const link_class_names[N_LINK_CLASSES] = {
    [LINK_NVLINK] = "nvlink", [LINK_PCIE] = "pcie",   [LINK_NIC] = "nic",
    [LINK_LEAF] = "leaf",     [LINK_SPINE] = "spine", [LINK_WAN] = "wan",
    [LINK_ENGINE] = "engine", [LINK_OTHER] = "other",
};

/* Keys that mean nothing beside cluster.xml. */
static const char *const preset_keys[] = {
    "cluster.platform",           "cluster.nodes",
    "cluster.gpus_per_node",      "cluster.fabric",
    "cluster.oversubscription",   "cluster.spine_oversubscription",
    "cluster.ecmp_efficiency",    "cluster.nic_bytes_per_s",
    "cluster.nvlink_bytes_per_s", "cluster.topology",
    "cluster.gpu_spread",
};

static void gpu_clear(gpointer data)
{
    ClusterGpu *gpu = data;
    g_free(gpu->gpu_host);
    g_free(gpu->nic_host);
    g_free(gpu->gpu);
}

Cluster *cluster_new(const char *name, const char *xml_file)
{
    Cluster *cluster = g_new0(Cluster, 1);
    cluster->name = g_strdup(name);
    cluster->xml_file = g_strdup(xml_file);
    cluster->xml_descriptor = -1;
    cluster->gpus = g_array_new(FALSE, TRUE, sizeof(ClusterGpu));
    g_array_set_clear_func(cluster->gpus, gpu_clear);
    cluster->nic_hosts = g_ptr_array_new_with_free_func(g_free);
    cluster->node_rings = g_ptr_array_new_with_free_func(g_free);
    return cluster;
}

void cluster_free(Cluster *cluster)
{
    if (!cluster)
        return;
    if (cluster->xml_descriptor >= 0)
        close(cluster->xml_descriptor);
    g_free(cluster->name);
    g_free(cluster->xml_file);
    g_array_unref(cluster->gpus);
    g_ptr_array_unref(cluster->nic_hosts);
    g_clear_pointer(&cluster->node_rings, g_ptr_array_unref);
    g_free(cluster->cpu);
    g_free(cluster);
}

static int count_of(const Experiment *experiment, const char *key, int otherwise)
{
    gint64 count = experiment_int(experiment, key);
    gboolean given = experiment_is_set(experiment, key) || count > 0;
    return given ? (int)CLAMP(count, -1, G_MAXINT) : otherwise;
}

/* Rates of every node type that the experiment overrides. */
static void rates_override(const Experiment *experiment, const ClusterSpec *spec)
{
    for (guint i = 0; i <= (spec->others ? spec->others->len : 0); i++) {
        NodeType *node =
            i == 0 ? spec->node : g_array_index(spec->others, NodeGroup, i - 1).node;
        if (experiment_is_set(experiment, "cluster.nic_bytes_per_s"))
            node->nic_bytes_per_s = experiment_double(experiment, "cluster.nic_bytes_per_s");
        if (experiment_is_set(experiment, "cluster.nvlink_bytes_per_s") &&
            node->nvlink != NVLINK_NONE)
            node->nvlink_bytes_per_s =
                experiment_double(experiment, "cluster.nvlink_bytes_per_s");
    }
}

static gboolean nodes_read(const Experiment *experiment, ClusterSpec *spec, const char *where,
                           GError **error)
{
    int n_nodes = count_of(experiment, "cluster.nodes", 1);
    if (spec->n_nodes == 0) {
        spec->n_nodes = n_nodes;
        return TRUE;
    }
    int n_counted = cluster_spec_n_nodes(spec);
    if (!experiment_is_set(experiment, "cluster.nodes") || n_nodes == n_counted)
        return TRUE;
    g_set_error(
        error, ZEROSIM_ERROR, ERROR_INPUT,
        "%s: cluster.nodes is %d, and cluster.platform counts %d: give the same or none", where,
        n_nodes, n_counted);
    return FALSE;
}

static gboolean spec_read(const Experiment *experiment, const char *platform, ClusterSpec *spec,
                          GPtrArray *warnings, GError **error)
{
    const char *where = experiment->file ? experiment->file : "command line";
    double ratio = experiment_double(experiment, "cluster.oversubscription");
    gboolean ratio_set = experiment_is_set(experiment, "cluster.oversubscription");
    g_autofree char *counted = experiment_where(experiment, "cluster.gpus_per_node");
    const gboolean own = !experiment_is_set(experiment, "cluster.gpus_per_node") ||
                         experiment_is_own(experiment, "cluster.gpus_per_node");
    g_autofree char *prefix = g_strdup_printf("%s: cluster.", own ? where : counted);
    if (!cluster_spec_parse(platform, spec, error)) {
        g_prefix_error(error, "cluster.platform: ");
        return FALSE;
    }
    if (!nodes_read(experiment, spec, where, error))
        return FALSE;
    rates_override(experiment, spec);
    /* 0 means "all" to the spec, and nothing to a user. */
    spec->gpus_per_node = count_of(experiment, "cluster.gpus_per_node", 0);
    if (spec->gpus_per_node == 0 && experiment_is_set(experiment, "cluster.gpus_per_node"))
        spec->gpus_per_node = -1;
    spec->fabric = (Fabric)experiment_choice(experiment, "cluster.fabric");
    spec->oversubscription = ratio != 0 || ratio_set ? ratio : 1;
    spec->spine_oversubscription =
        experiment_double(experiment, "cluster.spine_oversubscription");
    spec->ecmp_efficiency = experiment_double(experiment, "cluster.ecmp_efficiency");
    spec->gpu_spread_frac = experiment_is_set(experiment, "cluster.gpu_spread")
                                ? experiment_double(experiment, "cluster.gpu_spread")
                                : constant(CONSTANT_GPU_SPREAD_FRAC);
    spec->topology = experiment_string(experiment, "cluster.topology");
    return cluster_spec_validate(spec, prefix, error) &&
           cluster_spec_balance(spec, !experiment_is_set(experiment, "gpu.profile"), warnings,
                                error);
}

/* A mesh's rings pass all of its GPUs; those that NCCL finds on some of them aren't searched.
 */
static void mesh_warn(const ClusterSpec *spec, GPtrArray *warnings)
{
    for (int i = 0; i < cluster_spec_n_nodes(spec); i++) {
        const NodeType *node = cluster_spec_node(spec, i);
        int n_used = cluster_spec_gpus_of(spec, node);
        if (node->nvlink != NVLINK_MESH || n_used < 3 || n_used == node->n_gpus)
            continue;
        g_ptr_array_add(
            warnings, g_strdup_printf("%s: collectives of some of its GPUs use one ring of its "
                                      "NVLink cables, where NCCL uses all: they take longer "
                                      "here",
                                      node->name));
        return;
    }
}

/* Whatever would make an override have no effect, or less than it says. */
static void spec_warn(const Experiment *experiment, const ClusterSpec *spec,
                      GPtrArray *warnings)
{
    const NodeType *node = spec->node;
    if (node->nvlink == NVLINK_NONE &&
        experiment_is_set(experiment, "cluster.nvlink_bytes_per_s"))
        g_ptr_array_add(warnings, g_strdup_printf("cluster.nvlink_bytes_per_s has no effect: "
                                                  "%s has no NVLink",
                                                  node->name));
    if (cluster_spec_n_nodes(spec) == 1)
        return;
    if (node_type_nic_payload_bytes_per_s(node) > node->pcie_bytes_per_s &&
        experiment_is_set(experiment, "cluster.nic_bytes_per_s"))
        g_ptr_array_add(warnings,
                        g_strdup_printf("cluster.nic_bytes_per_s is more than a PCIe slot of "
                                        "%s carries: %g bytes/s limit it",
                                        node->name, node->pcie_bytes_per_s));
    if (spec->fabric == FABRIC_FAT_TREE_3 && spec->spine_oversubscription > 1 &&
        cluster_spec_n_leaves(spec) <= spec->node->leaf_ports)
        g_ptr_array_add(warnings, g_strdup("cluster.spine_oversubscription has no effect: all "
                                           "leaves are in one pod"));
    if (spec->ecmp_efficiency > 0 && spec->ecmp_efficiency < 1 &&
        cluster_spec_n_leaves(spec) == 1)
        g_ptr_array_add(warnings,
                        g_strdup("cluster.ecmp_efficiency has no effect: all NICs are "
                                 "on one leaf switch"));
    if (spec->oversubscription > 1 && cluster_spec_n_leaves(spec) == 1)
        g_ptr_array_add(warnings, g_strdup("cluster.oversubscription has no effect: all NICs "
                                           "are on one leaf switch"));
}

static gboolean text_write(const char *file, const char *text)
{
    FILE *stream = fopen(file, "we");
    if (!stream)
        return FALSE;
    const gboolean written = fputs(text, stream) >= 0;
    return fclose(stream) == 0 && written;
}

/* Its XML has no name in any folder, so nothing is left behind however the program ends; forked
 * children read it under the name it has here. */
static Cluster *cluster_new_in_memory(const char *name, const char *xml, GError **error)
{
    const int descriptor = memfd_create("zerosim-platform", MFD_CLOEXEC);
    g_autofree char *file = g_strdup_printf("/proc/self/fd/%d", descriptor);
    g_autoptr(Cluster) cluster = cluster_new(name, file);
    cluster->xml_descriptor = descriptor;
    if (descriptor >= 0 && text_write(file, xml))
        return g_steal_pointer(&cluster);
    g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "no platform file in memory: %s",
                g_strerror(errno));
    return NULL;
}

Cluster *cluster_build_spec(const char *name, const ClusterSpec *spec, GPtrArray *warnings,
                            GError **error)
{
    g_autofree char *xml = cluster_spec_write(spec);
    g_autoptr(Cluster) cluster = cluster_new_in_memory(name, xml, error);
    if (!cluster || !sim_platform_read(name, cluster, warnings, error))
        return NULL;
    return g_steal_pointer(&cluster);
}

static Cluster *preset_build(const Experiment *experiment, GPtrArray *warnings, GError **error)
{
    const char *platform = experiment_string(experiment, "cluster.platform");
    if (!platform) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: cluster.platform (a preset of `zerosim platform --list`) or "
                    "cluster.xml is required",
                    experiment->file ? experiment->file : "command line");
        return NULL;
    }
    g_auto(ClusterSpec) spec = {0};
    if (!spec_read(experiment, platform, &spec, warnings, error))
        return NULL;
    spec_warn(experiment, &spec, warnings);
    mesh_warn(&spec, warnings);
    return cluster_build_spec(spec.others ? platform : spec.node->name, &spec, warnings, error);
}

static Cluster *file_build(const Experiment *experiment, const char *file, GPtrArray *warnings,
                           GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(preset_keys); i++)
        if (experiment_is_set(experiment, preset_keys[i]))
            g_ptr_array_add(warnings, g_strdup_printf("%s is ignored: cluster.xml replaces it",
                                                      preset_keys[i]));
    g_autofree char *name = g_path_get_basename(file);
    g_autoptr(Cluster) cluster = cluster_new(name, file);
    if (!sim_platform_read(file, cluster, warnings, error))
        return NULL;
    return g_steal_pointer(&cluster);
}

Cluster *cluster_build(const Experiment *experiment, GPtrArray *warnings, GError **error)
{
    const char *file = experiment_string(experiment, "cluster.xml");
    return file ? file_build(experiment, file, warnings, error)
                : preset_build(experiment, warnings, error);
}

int cluster_n_ranks(const Cluster *cluster)
{
    return (int)cluster->gpus->len;
}

const ClusterGpu *cluster_gpu(const Cluster *cluster, int rank)
{
    g_assert(rank >= 0 && rank < cluster_n_ranks(cluster));
    return &g_array_index(cluster->gpus, ClusterGpu, rank);
}

/* Links of SimGrid's dragonfly: a router's to its NIC, in a chassis, in a group, between. */
static const struct {
    const char *prefix;
    LinkClass link_class;
} dragonfly_links[] = {{"local_link_", LINK_NIC},
                       {"green_link_", LINK_LEAF},
                       {"black_link_", LINK_LEAF},
                       {"blue_link_", LINK_SPINE}};

LinkClass link_class_of(const char *link_name)
{
    for (int i = 0; i < LINK_OTHER; i++) {
        size_t length = strlen(link_class_names[i]);
        if (strncmp(link_name, link_class_names[i], length) == 0 && link_name[length] == ':')
            return (LinkClass)i;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(dragonfly_links); i++)
        if (g_str_has_prefix(link_name, dragonfly_links[i].prefix))
            return dragonfly_links[i].link_class;
    return LINK_OTHER;
}

const char *link_class_name(LinkClass link_class)
{
    return link_class_names[link_class];
}

gboolean link_class_is_internode(LinkClass link_class)
{
    return link_class >= LINK_NIC && link_class <= LINK_WAN;
}
