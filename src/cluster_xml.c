/* SPDX-License-Identifier: MIT */
/* Writes a cluster as SimGrid XML. Two networks, because a path of SimGrid joins two zones at
 * one gateway each, which would send all GPUs of a node through one NIC: GPUs are hosts of a
 * zone per node (cluster_xml_node.c); NICs are hosts of a zone per leaf switch, and leaves meet
 * at the spine (cluster_xml_fabric.c). No link is shared by both directions. */
#include "cluster_xml.h"

#include <string.h>

/* Of engine links until a collective sets its ceiling: no limit. */
#define ENGINE_BYTES_PER_S 1e18

#define XML_HEAD                                                                               \
    "<?xml version=\"1.0\"?>\n"                                                                \
    "<!DOCTYPE platform SYSTEM \"https://simgrid.org/simgrid.dtd\">\n"
#define XML_PLATFORM                                                                           \
    "<platform version=\"4.1\">\n"                                                             \
    "<zone id=\"cluster\" routing=\"Full\">\n"

int cluster_digits(int count)
{
    int n = 1;
    for (int largest = count - 1; largest >= 10; largest /= 10)
        n++;
    return n;
}

char *cluster_node_name(const ClusterSpec *spec, int node)
{
    int width = MAX(4, cluster_digits(cluster_spec_n_nodes(spec)));
    return g_strdup_printf("node-%0*d", width, node);
}

char *cluster_host_name(const ClusterSpec *spec, const char *kind, int node, int index)
{
    const NodeType *type = cluster_spec_node(spec, node);
    if (strcmp(kind, "nic") == 0 && cluster_fabric_is_direct(spec))
        return g_strdup_printf("nic-%d", node * node_type_n_nic_hosts(type) + index);
    int n_of_kind = strcmp(kind, "gpu") == 0 ? type->n_gpus : node_type_n_nic_hosts(type);
    g_autofree char *name = cluster_node_name(spec, node);
    return g_strdup_printf("%s-%s-%0*d", name, kind, cluster_digits(n_of_kind), index);
}

/* The shortest of two forms that reads back as the same number. */
static void number_append(GString *xml, double number)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    g_ascii_formatd(text, sizeof text, "%.15g", number);
    if (g_ascii_strtod(text, NULL) != number)
        g_ascii_formatd(text, sizeof text, "%.17g", number);
    g_string_append(xml, text);
}

void cluster_link_append(GString *xml, const char *name, double bytes_per_s, double latency_s)
{
    g_string_append_printf(xml, "<link id=\"%s\" bandwidth=\"", name);
    number_append(xml, bytes_per_s);
    g_string_append(xml, "Bps\" latency=\"");
    number_append(xml, latency_s);
    g_string_append(xml, "s\"/>\n");
}

void cluster_links_append(GString *xml, LinkClass link_class, const char *owner,
                          double bytes_per_s, double latency_s)
{
    const char *class_name = link_class_name(link_class);
    g_autofree char *up = g_strdup_printf("%s:%s-up", class_name, owner);
    g_autofree char *down = g_strdup_printf("%s:%s-down", class_name, owner);
    cluster_link_append(xml, up, bytes_per_s, latency_s);
    cluster_link_append(xml, down, bytes_per_s, latency_s);
}

void cluster_engine_links_append(GString *xml, const char *host)
{
    cluster_links_append(xml, LINK_ENGINE, host, ENGINE_BYTES_PER_S, 0);
}

void cluster_routes_append(GString *xml, const char *host, const char *router,
                           const LinkClass *classes, int n_classes)
{
    g_string_append_printf(xml, "<route src=\"%s\" dst=\"%s\" symmetrical=\"NO\">", host,
                           router);
    for (int i = 0; i < n_classes; i++)
        g_string_append_printf(xml, "<link_ctn id=\"%s:%s-up\"/>", link_class_name(classes[i]),
                               host);
    g_string_append_printf(xml, "</route>\n<route src=\"%s\" dst=\"%s\" symmetrical=\"NO\">",
                           router, host);
    for (int i = n_classes - 1; i >= 0; i--)
        g_string_append_printf(xml, "<link_ctn id=\"%s:%s-down\"/>",
                               link_class_name(classes[i]), host);
    g_string_append(xml, "</route>\n");
}

void cluster_property_append(GString *xml, const char *name, const char *value)
{
    g_autofree char *escaped = g_markup_escape_text(value, -1);
    g_string_append_printf(xml, "<prop id=\"%s\" value=\"%s\"/>", name, escaped);
}

/* All links in a zone of their own, the first: SimGrid finds a route's links by asking one zone
 * after the other, which took most of the time to load 4,096 GPUs (3.2 s, now 0.6 s). */
static void links_zone_append(GString *xml, const ClusterSpec *spec, const GPtrArray *leaves)
{
    g_string_append(xml, "<zone id=\"links\" routing=\"None\">\n");
    for (int node = 0; node < cluster_spec_n_nodes(spec); node++)
        cluster_node_links_append(xml, spec, node);
    cluster_fabric_links_append(xml, spec, leaves);
    g_string_append(xml, "</zone>\n");
}

/* "--" can't stand in a comment: a name is a file's. */
static void name_append(GString *xml, const char *name)
{
    g_auto(GStrv) parts = g_strsplit(name, "--", -1);
    g_autofree char *joined = g_strjoinv("-", parts);
    g_string_append(xml, joined);
}

static void ratio_append(GString *xml, const char *before, double ratio, const char *behind)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    g_ascii_formatd(text, sizeof text, "%g", ratio);
    g_string_append_printf(xml, "%s%s%s", before, text, behind);
}

/* What it is, for a reader of the file. */
static void comment_append(GString *xml, const ClusterSpec *spec, int n_leaves)
{
    g_string_append(xml, "<!-- ");
    name_append(xml, spec->node->name);
    g_string_append_printf(xml, ": %d nodes, %d GPUs each; ", spec->n_nodes,
                           cluster_spec_gpus_of(spec, spec->node));
    for (guint i = 0; spec->others && i < spec->others->len; i++) {
        NodeGroup group = g_array_index(spec->others, NodeGroup, i);
        name_append(xml, group.node->name);
        g_string_append_printf(xml, ": %d nodes, %d GPUs each; ", group.n_nodes,
                               cluster_spec_gpus_of(spec, group.node));
    }
    g_string_append_printf(xml, "%s fabric, %d leaves, ", fabric_name(spec->fabric), n_leaves);
    ratio_append(xml, "", spec->oversubscription, ":1");
    if (spec->fabric == FABRIC_FAT_TREE_3 && spec->spine_oversubscription > 1)
        ratio_append(xml, ", ", spec->spine_oversubscription, ":1 above");
    if (spec->ecmp_efficiency > 0 && spec->ecmp_efficiency < 1)
        ratio_append(xml, ", ECMP efficiency ", spec->ecmp_efficiency, "");
    if (cluster_spec_pace(spec) < 1)
        ratio_append(xml, ", GPUs at ", cluster_spec_pace(spec),
                     " of their profile's speed, as "
                     "the slowest is expected to be");
    g_string_append(xml, " -->\n");
}

char *cluster_spec_write(const ClusterSpec *spec)
{
    GString *xml = g_string_new(XML_HEAD);
    g_autoptr(GPtrArray) leaves = cluster_leaves_new(spec);
    comment_append(xml, spec, (int)leaves->len);
    g_string_append(xml, XML_PLATFORM);
    cluster_property_append(xml, "zs_cpu", spec->node->cpu);
    for (int i = 0; i < N_NCCL_PLUGIN_FACTS; i++) {
        char value[G_ASCII_DTOSTR_BUF_SIZE];
        g_autofree char *property = g_strconcat("zs_", nccl_plugin_keys[i].name, NULL);
        g_ascii_formatd(value, sizeof value, "%.15g", spec->node->nccl.value[i]);
        if (spec->node->nccl.value[i] > 0)
            cluster_property_append(xml, property, value);
    }
    g_string_append_c(xml, '\n');
    links_zone_append(xml, spec, leaves);
    for (int node = 0; node < cluster_spec_n_nodes(spec); node++)
        cluster_node_append(xml, spec, node);
    if (leaves->len > 0)
        cluster_fabric_append(xml, spec, leaves);
    else if (cluster_spec_n_nodes(spec) > 1)
        cluster_direct_append(xml, spec);
    g_string_append(xml, "</zone>\n</platform>\n");
    return g_string_free(xml, FALSE);
}
