/* SPDX-License-Identifier: MIT */
/* The experiment's cluster: a preset and counts, or the user's own XML, turned into a platform
 * file and the facts of its GPUs. The XML is written by cluster_xml.c and read back by
 * sim_platform_read(), so a preset and a user's file go the same way. */
#include "cluster.h"
#include "error.h"
#include "sim.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
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
    "cluster.oversubscription",   "cluster.nic_bytes_per_s",
    "cluster.nvlink_bytes_per_s",
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
    cluster->gpus = g_array_new(FALSE, TRUE, sizeof(ClusterGpu));
    g_array_set_clear_func(cluster->gpus, gpu_clear);
    cluster->nic_hosts = g_ptr_array_new_with_free_func(g_free);
    return cluster;
}

void cluster_free(Cluster *cluster)
{
    if (!cluster)
        return;
    if (cluster->xml_is_temporary)
        g_unlink(cluster->xml_file);
    g_free(cluster->name);
    g_free(cluster->xml_file);
    g_array_unref(cluster->gpus);
    g_ptr_array_unref(cluster->nic_hosts);
    g_free(cluster->cpu);
    g_free(cluster);
}

gboolean cluster_spec_validate(const ClusterSpec *spec, const char *prefix, GError **error)
{
    const NodeType *node = spec->node;
    if (spec->gpus_per_node < 1 || spec->gpus_per_node > node->n_gpus)
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%sgpus_per_node must be from 1 to %d, the GPUs of %s, not %d", prefix,
                    node->n_gpus, node->name, spec->gpus_per_node);
    else if (spec->n_nodes < 1 || spec->n_nodes > CLUSTER_MAX_GPUS / spec->gpus_per_node)
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%snodes must be from 1 to %d, not %d",
                    prefix, CLUSTER_MAX_GPUS / spec->gpus_per_node, spec->n_nodes);
    else if (!(spec->oversubscription >= 1 && spec->oversubscription <= 1000))
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%soversubscription must be from 1 to 1000, not %g", prefix,
                    spec->oversubscription);
    else
        return TRUE;
    return FALSE;
}

/* Borrows `node`, whose rates the experiment may override. */
static gboolean spec_read(const Experiment *experiment, NodeType *node, ClusterSpec *spec,
                          GError **error)
{
    if (experiment_is_set(experiment, "cluster.nic_bytes_per_s"))
        node->nic_bytes_per_s = experiment_double(experiment, "cluster.nic_bytes_per_s");
    if (experiment_is_set(experiment, "cluster.nvlink_bytes_per_s"))
        node->nvlink_bytes_per_s = experiment_double(experiment, "cluster.nvlink_bytes_per_s");
    gint64 n_nodes = experiment_int(experiment, "cluster.nodes");
    gint64 n_gpus = experiment_int(experiment, "cluster.gpus_per_node");
    double ratio = experiment_double(experiment, "cluster.oversubscription");
    gboolean nodes_set = experiment_is_set(experiment, "cluster.nodes");
    gboolean gpus_set = experiment_is_set(experiment, "cluster.gpus_per_node");
    *spec = (ClusterSpec){
        .node = node,
        .n_nodes = nodes_set || n_nodes > 0 ? (int)CLAMP(n_nodes, -1, G_MAXINT) : 1,
        .gpus_per_node =
            gpus_set || n_gpus > 0 ? (int)CLAMP(n_gpus, -1, G_MAXINT) : node->n_gpus,
        .fabric = (Fabric)experiment_choice(experiment, "cluster.fabric"),
        .oversubscription =
            ratio != 0 || experiment_is_set(experiment, "cluster.oversubscription") ? ratio : 1,
    };
    g_autofree char *prefix =
        g_strdup_printf("%s: cluster.", experiment->file ? experiment->file : "command line");
    return cluster_spec_validate(spec, prefix, error);
}

/* Whatever would make an override have no effect, or less than it says. */
static void spec_warn(const Experiment *experiment, const ClusterSpec *spec,
                      GPtrArray *warnings)
{
    const NodeType *node = spec->node;
    if (spec->n_nodes == 1)
        return;
    if (node->nic_bytes_per_s * node->nic_efficiency_frac > node->pcie_bytes_per_s &&
        experiment_is_set(experiment, "cluster.nic_bytes_per_s"))
        g_ptr_array_add(warnings,
                        g_strdup_printf("cluster.nic_bytes_per_s is more than a PCIe slot of "
                                        "%s carries: %g bytes/s limit it",
                                        node->name, node->pcie_bytes_per_s));
    if (spec->oversubscription > 1 && cluster_spec_n_leaves(spec) == 1)
        g_ptr_array_add(warnings, g_strdup("cluster.oversubscription has no effect: all NICs "
                                           "are on one leaf switch"));
}

static char *temporary_write(const char *xml, GError **error)
{
    g_autofree char *file = NULL;
    g_autoptr(GError) cause = NULL;
    int fd = g_file_open_tmp("zerosim-XXXXXX.xml", &file, &cause);
    if (fd >= 0)
        close(fd);
    if (fd >= 0 &&
        g_file_set_contents_full(file, xml, -1, G_FILE_SET_CONTENTS_NONE, 0600, &cause))
        return g_steal_pointer(&file);
    if (fd >= 0)
        g_unlink(file);
    g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "no temporary platform file: %s",
                cause->message);
    return NULL;
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
    g_autoptr(NodeType) node = node_type_load(platform, error);
    ClusterSpec spec;
    if (!node)
        g_prefix_error(error, "cluster.platform: ");
    if (!node || !spec_read(experiment, node, &spec, error))
        return NULL;
    spec_warn(experiment, &spec, warnings);
    g_autofree char *xml = cluster_spec_write(&spec);
    g_autofree char *file = temporary_write(xml, error);
    if (!file)
        return NULL;
    g_autoptr(Cluster) cluster = cluster_new(node->name, file);
    cluster->xml_is_temporary = TRUE;
    if (!sim_platform_read(node->name, cluster, warnings, error))
        return NULL;
    return g_steal_pointer(&cluster);
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

LinkClass link_class_of(const char *link_name)
{
    for (int i = 0; i < LINK_OTHER; i++) {
        size_t length = strlen(link_class_names[i]);
        if (strncmp(link_name, link_class_names[i], length) == 0 && link_name[length] == ':')
            return (LinkClass)i;
    }
    return LINK_OTHER;
}

const char *link_class_name(LinkClass link_class)
{
    return link_class_names[link_class];
}
