/* SPDX-License-Identifier: MIT */
/* The command `platform`: writes a cluster as SimGrid XML on stdout, or tells which node
 * presets there are and where their facts come from. Reading a platform is done by the commands
 * that use it. */
#include "cluster.h"
#include "cmd.h"
#include "error.h"

#include <stdio.h>
#include <string.h>

#define EXAMPLE "Example: zerosim platform dgx-h100 --nodes 4 > cluster.xml\n\n"

typedef struct {
    gboolean help, list;
    char *show, *fabric;
    int n_nodes, gpus_per_node;
    double oversubscription;
    char **names;
} Options;

static void options_clear(Options *options)
{
    g_free(options->show);
    g_free(options->fabric);
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
         "rail: a leaf switch per NIC index; fat-tree: one per group of nodes (rail)",
         "rail|fat-tree"},
        {"oversubscription", 0, 0, G_OPTION_ARG_DOUBLE, &options->oversubscription,
         "a leaf's capacity down over up (1)", "RATIO"},
        {"list", 0, 0, G_OPTION_ARG_NONE, &options->list, "list the presets", NULL},
        {"show", 0, 0, G_OPTION_ARG_FILENAME, &options->show,
         "a preset's facts and their sources", "NAME"},
        {"help", 'h', 0, G_OPTION_ARG_NONE, &options->help, "show this help", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->names, NULL,
         "PRESET"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_set_help_enabled(context, FALSE);
    g_option_context_add_main_entries(context, entries, NULL);
    *help = g_option_context_get_help(context, TRUE, NULL);
    return g_option_context_parse(context, &argc, &argv, error);
}

/* The preset's latencies and such that nobody has confirmed, by key. */
static char *unverified_keys(const NodeType *node)
{
    GString *keys = g_string_new(NULL);
    for (guint i = 0; i < node->facts->len; i++) {
        const NodeFact *fact = g_ptr_array_index(node->facts, i);
        if (fact->unverified)
            g_string_append_printf(keys, "%s%s", keys->len > 0 ? ", " : "", fact->key);
    }
    return g_string_free(keys, FALSE);
}

static gboolean list_print(GError **error)
{
    g_autoptr(GPtrArray) names = node_type_list();
    printf("%-16s %4s  %-16s %11s %5s %9s  %s\n", "preset", "GPUs", "GPU", "NVLink GB/s",
           "NICs", "NIC Gb/s", "unverified");
    for (guint i = 0; i < names->len; i++) {
        g_autoptr(NodeType) node = node_type_load(g_ptr_array_index(names, i), error);
        if (!node)
            return FALSE;
        g_autofree char *unverified = unverified_keys(node);
        printf("%-16s %4d  %-16s %11.0f %5d %9.0f  %s\n", node->name, node->n_gpus, node->gpu,
               node->nvlink_bytes_per_s / 1e9, node->n_nics, node->nic_bytes_per_s * 8 / 1e9,
               unverified);
    }
    return TRUE;
}

static gboolean facts_print(const char *name, GError **error)
{
    g_autoptr(NodeType) node = node_type_load(name, error);
    if (!node)
        return FALSE;
    printf("%-20s %-16s %s\n", "fact", "value", "source");
    for (guint i = 0; i < node->facts->len; i++) {
        const NodeFact *fact = g_ptr_array_index(node->facts, i);
        printf("%-20s %-16s %s\n", fact->key, fact->value, fact->source);
    }
    return TRUE;
}

static gboolean fabric_parse(const char *name, Fabric *fabric, GError **error)
{
    *fabric = g_strcmp0(name, "fat-tree") == 0 ? FABRIC_FAT_TREE : FABRIC_RAIL;
    if (!name || *fabric == FABRIC_FAT_TREE || strcmp(name, "rail") == 0)
        return TRUE;
    g_autofree char *quoted = error_quote(name);
    g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                "platform: --fabric must be rail or fat-tree, not %s", quoted);
    return FALSE;
}

static gboolean xml_print(const Options *options, GError **error)
{
    g_autoptr(NodeType) node = node_type_load(options->names[0], error);
    if (!node)
        return FALSE;
    ClusterSpec spec = {
        .node = node,
        .n_nodes = options->n_nodes,
        .gpus_per_node =
            options->gpus_per_node == G_MININT ? node->n_gpus : options->gpus_per_node,
        .oversubscription = options->oversubscription,
    };
    if (!fabric_parse(options->fabric, &spec.fabric, error) ||
        !cluster_spec_validate(&spec, "platform: ", error))
        return FALSE;
    g_autofree char *xml = cluster_spec_write(&spec);
    fputs(xml, stdout);
    return TRUE;
}

gboolean cmd_platform(int argc, char **argv, GError **error)
{
    g_auto(Options) options = {.n_nodes = 1, .gpus_per_node = G_MININT, .oversubscription = 1};
    g_autofree char *help = NULL;
    if (!options_parse(argc, argv, &options, &help, error))
        return FALSE;
    guint n_names = options.names ? g_strv_length(options.names) : 0;
    if (options.help) {
        printf(EXAMPLE "%s", help);
        return TRUE;
    }
    if (n_names + (options.list ? 1 : 0) + (options.show ? 1 : 0) != 1) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                    "platform: one preset's name, --list or --show NAME is required");
        return FALSE;
    }
    if (options.list)
        return list_print(error);
    return options.show ? facts_print(options.show, error) : xml_print(&options, error);
}
