/* SPDX-License-Identifier: MIT */
/* The command `platform`: writes a cluster as SimGrid XML on stdout, or tells which node
 * presets there are and where their facts come from. Reading a platform is done by the commands
 * that use it. */
#include "cluster.h"
#include "cmd.h"
#include "cmd_platform_show.h"
#include "constants.h"
#include "error.h"
#include "nccl_topo.h"
#include "profile.h"

#include <stdio.h>
#include <string.h>

#define EXAMPLE "Example: zerosim platform dgx-h100 --nodes 4 > cluster.xml\n\n"

typedef struct {
    gboolean list;
    char *show, *fabric, *topology, *nccl_topo, *gpu;
    int n_nodes, gpus_per_node;
    double oversubscription, spine_oversubscription, ecmp_efficiency;
    char **names;
} Options;

static void options_clear(Options *options)
{
    g_free(options->show);
    g_free(options->fabric);
    g_free(options->topology);
    g_free(options->nccl_topo);
    g_free(options->gpu);
    g_strfreev(options->names);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

static gboolean options_parse(int argc, char **argv, Options *options, char **help,
                              GError **error)
{
    const GOptionEntry entries[] = {
        {"nodes", 0, 0, G_OPTION_ARG_INT, &options->n_nodes, "nodes (1)", "N"},
        {"gpus-per-node", 0, 0, G_OPTION_ARG_INT, &options->gpus_per_node,
         "GPUs used of each node (all)", "N"},
        {"fabric", 0, 0, G_OPTION_ARG_STRING, &options->fabric,
         "rail: a leaf switch per NIC index; fat-tree: one per group of nodes; fat-tree-3: "
         "leaves in pods (rail)",
         "rail|fat-tree|fat-tree-3|dragonfly|torus"},
        {"oversubscription", 0, 0, G_OPTION_ARG_DOUBLE, &options->oversubscription,
         "a leaf's capacity down over up (1)", "RATIO"},
        {"spine-oversubscription", 0, 0, G_OPTION_ARG_DOUBLE, &options->spine_oversubscription,
         "a pod's capacity down over up (1)", "RATIO"},
        {"ecmp-efficiency", 0, 0, G_OPTION_ARG_DOUBLE, &options->ecmp_efficiency,
         "what flows hashed to cables get of a leaf's and a pod's uplinks (1)", "FRACTION"},
        {"topology", 0, 0, G_OPTION_ARG_STRING, &options->topology,
         "of a torus: 4,4,2 NICs; of a dragonfly: groups, chassis, routers, each with links "
         "between two, and NICs: 2,1;2,1;2,1;4",
         "TEXT"},
        {"from-nccl-topo", 0, 0, G_OPTION_ARG_FILENAME, &options->nccl_topo,
         "a machine as NCCL_TOPO_DUMP_FILE wrote it, instead of a preset", "FILE"},
        {"gpu", 0, 0, G_OPTION_ARG_STRING, &options->gpu,
         "GPU profile of that machine (default: by PCI device)", "NAME"},
        {"list", 0, 0, G_OPTION_ARG_NONE, &options->list, "list the presets", NULL},
        {"show", 0, 0, G_OPTION_ARG_FILENAME, &options->show,
         "a preset's facts and their sources", "NAME"},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->names, NULL,
         "PRESET"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_add_main_entries(context, entries, NULL);
    return cmd_parse(context, argc, argv, help, error);
}

/* Facts that nobody has confirmed. */
static int n_unverified(const NodeType *node)
{
    int n = 0;
    for (guint i = 0; i < node->facts->len; i++)
        n += ((const NodeFact *)g_ptr_array_index(node->facts, i))->unverified;
    return n;
}

/* Memory of the node's GPU in GiB; 0: its profile isn't installed. */
static double gpu_memory_gib(const NodeType *node)
{
    g_autofree char *base = g_strconcat(node->gpu, ".json", NULL);
    g_autofree char *file =
        g_build_filename(experiment_data_dir(), "platforms", "gpus", base, NULL);
    g_autoptr(Profile) profile = profile_load(file, NULL);
    return profile ? (double)profile->memory_bytes / (1024.0 * 1024 * 1024) : 0;
}

static void list_line_print(const NodeType *node)
{
    g_autofree char *nvlink = node->nvlink == NVLINK_NONE
                                  ? g_strdup("none")
                                  : g_strdup_printf("%.0f", node->nvlink_bytes_per_s / 1e9);
    printf("%-14s %4d  %-15s %4.0f  %11s  %4d  %8.0f  %2d of %u\n", node->name, node->n_gpus,
           node->gpu, gpu_memory_gib(node), nvlink, node->n_nics,
           node->nic_bytes_per_s * 8 / 1e9, n_unverified(node), node->facts->len);
}

static gboolean list_print(GError **error)
{
    g_autoptr(GPtrArray) names = node_type_list();
    printf("%-14s %4s  %-15s %4s  %11s  %4s  %8s  %s\n", "preset", "GPUs", "GPU", "GiB",
           "NVLink GB/s", "NICs", "NIC Gb/s", "unverified facts");
    for (guint i = 0; i < names->len; i++) {
        g_autoptr(NodeType) node = node_type_load(g_ptr_array_index(names, i), error);
        if (!node)
            return FALSE;
        list_line_print(node);
    }
    return TRUE;
}

static gboolean show_print(const char *name, GError **error)
{
    g_autoptr(NodeType) node = node_type_load(name, error);
    if (!node)
        return FALSE;
    g_autofree char *diagram = cmd_platform_diagram(node);
    g_autofree char *facts = cmd_platform_facts(node);
    printf("%s: %d x %s\n\n%s\n%s", node->name, node->n_gpus, node->gpu, diagram, facts);
    return TRUE;
}

static gboolean fabric_parse(const char *name, Fabric *fabric, GError **error)
{
    *fabric = FABRIC_RAIL;
    if (!name)
        return TRUE;
    for (int i = 0; i < N_FABRICS; i++) {
        *fabric = (Fabric)i;
        if (strcmp(fabric_name(*fabric), name) == 0)
            return TRUE;
    }
    g_autofree char *quoted = error_quote(name);
    g_set_error(
        error, ZEROSIM_ERROR, ERROR_USAGE,
        "platform: --fabric must be rail, fat-tree, fat-tree-3, dragonfly or torus, not %s",
        quoted);
    return FALSE;
}

static gboolean node_read(const Options *options, ClusterSpec *spec, GError **error)
{
    if (!options->nccl_topo)
        return cluster_spec_parse(options->names[0], spec, error);
    spec->node = nccl_topo_load(options->nccl_topo, options->gpu, error);
    return spec->node != NULL;
}

/* Counts of the list, or --nodes. */
static gboolean nodes_settle(const Options *options, ClusterSpec *spec, GError **error)
{
    if (spec->n_nodes > 0 && options->n_nodes != G_MININT) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                    "platform: --nodes can't stand beside the counts of %s", options->names[0]);
        return FALSE;
    }
    if (spec->n_nodes == 0)
        spec->n_nodes = options->n_nodes == G_MININT ? 1 : options->n_nodes;
    return TRUE;
}

static gboolean xml_print(const Options *options, GError **error)
{
    g_auto(ClusterSpec) spec = {0};
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    if (!node_read(options, &spec, error) || !nodes_settle(options, &spec, error))
        return FALSE;
    int used = options->gpus_per_node;
    spec.gpus_per_node = used == G_MININT ? 0 : used == 0 ? -1 : used;
    spec.oversubscription = options->oversubscription;
    spec.spine_oversubscription = options->spine_oversubscription;
    spec.ecmp_efficiency = options->ecmp_efficiency;
    spec.gpu_spread_frac = constant(CONSTANT_GPU_SPREAD_FRAC);
    spec.topology = options->topology;
    if (!fabric_parse(options->fabric, &spec.fabric, error) ||
        !cluster_spec_validate(&spec, "platform: ", error) ||
        !cluster_spec_balance(&spec, FALSE, notes, error))
        return FALSE;
    g_autofree char *xml = cluster_spec_write(&spec);
    fputs(xml, stdout);
    return TRUE;
}

gboolean cmd_platform(int argc, char **argv, GError **error)
{
    g_auto(Options)
        options = {.n_nodes = G_MININT, .gpus_per_node = G_MININT, .oversubscription = 1};
    g_autofree char *help = NULL;
    if (!options_parse(argc, argv, &options, &help, error))
        return FALSE;
    guint n_names = options.names ? g_strv_length(options.names) : 0;
    if (help) {
        printf(EXAMPLE "%s", help);
        return TRUE;
    }
    if (n_names + (options.list ? 1 : 0) + (options.show ? 1 : 0) +
            (options.nccl_topo ? 1 : 0) !=
        1) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                    "platform: one preset's name (or 2*NAME+2*NAME), --list, "
                    "--show NAME or --from-nccl-topo FILE is required");
        return FALSE;
    }
    if (options.list)
        return list_print(error);
    return options.show ? show_print(options.show, error) : xml_print(&options, error);
}
