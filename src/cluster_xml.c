/* SPDX-License-Identifier: MIT */
/* Writes a cluster as SimGrid XML. Two networks, because a path of SimGrid joins two zones at
 * one gateway each, which would send all GPUs of a node through one NIC: GPUs are hosts of a
 * zone per node, around its NVSwitch; NICs are hosts of a zone per leaf switch, and leaves meet
 * at the spine. A leaf's cables to the spine are one link each way (the ways of SimGrid are
 * single, so separate cables would leave all but one idle). No link is shared by both
 * directions. */
#include "cluster.h"

#include <string.h>

/* Of engine links until a collective sets its ceiling: no limit. */
#define ENGINE_BYTES_PER_S 1e18

#define XML_HEAD                                                                               \
    "<?xml version=\"1.0\"?>\n"                                                                \
    "<!DOCTYPE platform SYSTEM \"https://simgrid.org/simgrid.dtd\">\n"
#define XML_PLATFORM                                                                           \
    "<platform version=\"4.1\">\n"                                                             \
    "<zone id=\"cluster\" routing=\"Full\">\n"

/* The NICs of one leaf: those of `nic` index first_nic … end_nic-1 of each of its nodes. */
typedef struct {
    int first_node, end_node;
    int first_nic, end_nic;
} Leaf;

static int digits(int count)
{
    int n = 1;
    for (int largest = count - 1; largest >= 10; largest /= 10)
        n++;
    return n;
}

/* "node-0003-gpu-5"; names of a kind sort as their numbers do. */
static char *host_name(const ClusterSpec *spec, const char *kind, int node, int index)
{
    int n_of_kind = strcmp(kind, "gpu") == 0 ? spec->node->n_gpus : spec->node->n_nics;
    return g_strdup_printf("node-%0*d-%s-%0*d", MAX(4, digits(spec->n_nodes)), node, kind,
                           digits(n_of_kind), index);
}

/* Nodes whose NICs share a leaf: on a rail a node has one NIC there, else all of them. */
static int nodes_per_leaf(const ClusterSpec *spec)
{
    int nics_per_node = spec->fabric == FABRIC_RAIL ? 1 : spec->node->n_nics;
    return MAX(1, spec->node->leaf_ports / nics_per_node);
}

int cluster_spec_n_leaves(const ClusterSpec *spec)
{
    if (spec->n_nodes == 1)
        return 0;
    int nodes = nodes_per_leaf(spec);
    int n_groups = (spec->n_nodes + nodes - 1) / nodes;
    return spec->fabric == FABRIC_RAIL ? n_groups * spec->node->n_nics : n_groups;
}

static Leaf leaf_range(const ClusterSpec *spec, int leaf)
{
    int n_rails = spec->fabric == FABRIC_RAIL ? spec->node->n_nics : 1;
    int nodes = nodes_per_leaf(spec);
    int first_node = leaf / n_rails * nodes;
    int rail = leaf % n_rails;
    return (Leaf){
        .first_node = first_node,
        .end_node = MIN(first_node + nodes, spec->n_nodes),
        .first_nic = spec->fabric == FABRIC_RAIL ? rail : 0,
        .end_nic = spec->fabric == FABRIC_RAIL ? rail + 1 : spec->node->n_nics,
    };
}

/* "rail-3-leaf-0", or "leaf-00" where there are no rails. */
static char *leaf_name(const ClusterSpec *spec, int leaf)
{
    int n_leaves = cluster_spec_n_leaves(spec);
    if (spec->fabric == FABRIC_FAT_TREE)
        return g_strdup_printf("leaf-%0*d", digits(n_leaves), leaf);
    int n_rails = spec->node->n_nics;
    return g_strdup_printf("rail-%0*d-leaf-%0*d", digits(n_rails), leaf % n_rails,
                           digits(n_leaves / n_rails), leaf / n_rails);
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

static void link_append(GString *xml, LinkClass link_class, const char *owner,
                        const char *direction, double bytes_per_s, double latency_s)
{
    g_string_append_printf(xml, "<link id=\"%s:%s-%s\" bandwidth=\"",
                           link_class_name(link_class), owner, direction);
    number_append(xml, bytes_per_s);
    g_string_append(xml, "Bps\" latency=\"");
    number_append(xml, latency_s);
    g_string_append(xml, "s\"/>\n");
}

static void links_append(GString *xml, LinkClass link_class, const char *owner,
                         double bytes_per_s, double latency_s)
{
    link_append(xml, link_class, owner, "up", bytes_per_s, latency_s);
    link_append(xml, link_class, owner, "down", bytes_per_s, latency_s);
}

/* Host to switch through its links of `classes` (outermost last), and back. */
static void routes_append(GString *xml, const char *host, const char *router,
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

static void property_append(GString *xml, const char *name, const char *value)
{
    g_autofree char *escaped = g_markup_escape_text(value, -1);
    g_string_append_printf(xml, "<prop id=\"%s\" value=\"%s\"/>", name, escaped);
}

static void gpu_append(GString *xml, const ClusterSpec *spec, int node, int gpu)
{
    g_autofree char *host = host_name(spec, "gpu", node, gpu);
    g_string_append_printf(xml, "<host id=\"%s\" speed=\"1Gf\">", host);
    property_append(xml, "zs_kind", "gpu");
    property_append(xml, "zs_gpu", spec->node->gpu);
    g_string_append_printf(xml, "<prop id=\"zs_node\" value=\"%d\"/>", node);
    g_string_append_printf(xml, "<prop id=\"zs_local_rank\" value=\"%d\"/>", gpu);
    if (spec->n_nodes > 1) {
        int nic = gpu * spec->node->n_nics / spec->node->n_gpus;
        g_autofree char *nic_host = host_name(spec, "nic", node, nic);
        property_append(xml, "zs_nic", nic_host);
    }
    g_string_append(xml, "</host>\n");
}

static void node_append(GString *xml, const ClusterSpec *spec, int node)
{
    static const LinkClass classes[] = {LINK_ENGINE, LINK_NVLINK};
    int width = MAX(4, digits(spec->n_nodes));
    g_autofree char *router = g_strdup_printf("node-%0*d-nvswitch", width, node);
    g_string_append_printf(xml, "<zone id=\"node-%0*d\" routing=\"Floyd\">\n", width, node);
    for (int gpu = 0; gpu < spec->gpus_per_node; gpu++)
        gpu_append(xml, spec, node, gpu);
    g_string_append_printf(xml, "<router id=\"%s\"/>\n", router);
    for (int gpu = 0; gpu < spec->gpus_per_node; gpu++) {
        g_autofree char *host = host_name(spec, "gpu", node, gpu);
        routes_append(xml, host, router, classes, G_N_ELEMENTS(classes));
    }
    g_string_append(xml, "</zone>\n");
}

static double nic_payload_bytes_per_s(const NodeType *node)
{
    return node->nic_bytes_per_s * node->nic_efficiency_frac;
}

static void nic_links_append(GString *xml, const NodeType *node, const char *host)
{
    links_append(xml, LINK_ENGINE, host, ENGINE_BYTES_PER_S, 0);
    links_append(xml, LINK_PCIE, host, node->pcie_bytes_per_s, 0);
    links_append(xml, LINK_NIC, host, nic_payload_bytes_per_s(node), node->nic_latency_s);
}

/* Host names of a leaf's NICs, by node and then by NIC. */
static GPtrArray *leaf_nics(const ClusterSpec *spec, const Leaf *leaf)
{
    GPtrArray *hosts = g_ptr_array_new_with_free_func(g_free);
    for (int node = leaf->first_node; node < leaf->end_node; node++)
        for (int nic = leaf->first_nic; nic < leaf->end_nic; nic++)
            g_ptr_array_add(hosts, host_name(spec, "nic", node, nic));
    return hosts;
}

static void leaf_append(GString *xml, const ClusterSpec *spec, int index)
{
    static const LinkClass classes[] = {LINK_ENGINE, LINK_PCIE, LINK_NIC};
    const Leaf leaf = leaf_range(spec, index);
    int n_nics = leaf.end_nic - leaf.first_nic;
    g_autoptr(GPtrArray) hosts = leaf_nics(spec, &leaf);
    g_autofree char *name = leaf_name(spec, index);
    g_autofree char *router = g_strconcat(name, "-switch", NULL);
    g_string_append_printf(xml, "<zone id=\"%s\" routing=\"Floyd\">\n", name);
    for (guint i = 0; i < hosts->len; i++)
        g_string_append_printf(xml,
                               "<host id=\"%s\" speed=\"1Gf\">"
                               "<prop id=\"zs_kind\" value=\"nic\"/>"
                               "<prop id=\"zs_node\" value=\"%d\"/></host>\n",
                               (const char *)g_ptr_array_index(hosts, i),
                               leaf.first_node + (int)i / n_nics);
    g_string_append_printf(xml, "<router id=\"%s\"/>\n", router);
    for (guint i = 0; i < hosts->len; i++)
        routes_append(xml, g_ptr_array_index(hosts, i), router, classes, G_N_ELEMENTS(classes));
    g_string_append(xml, "</zone>\n");
}

/* A leaf's cables to the spine, together; oversubscription leaves fewer of them. */
static void uplink_append(GString *xml, const ClusterSpec *spec, int index)
{
    const Leaf leaf = leaf_range(spec, index);
    double n_nics = (double)(leaf.end_node - leaf.first_node) * (leaf.end_nic - leaf.first_nic);
    g_autofree char *name = leaf_name(spec, index);
    links_append(xml, LINK_LEAF, name,
                 n_nics * nic_payload_bytes_per_s(spec->node) / spec->oversubscription,
                 spec->node->switch_latency_s);
}

static void uplink_routes_append(GString *xml, const ClusterSpec *spec, int index)
{
    g_autofree char *name = leaf_name(spec, index);
    g_string_append_printf(
        xml,
        "<zoneRoute src=\"%s\" dst=\"spine\" gw_src=\"%s-switch\" gw_dst=\"spine-switch\" "
        "symmetrical=\"NO\"><link_ctn id=\"leaf:%s-up\"/></zoneRoute>\n"
        "<zoneRoute src=\"spine\" dst=\"%s\" gw_src=\"spine-switch\" gw_dst=\"%s-switch\" "
        "symmetrical=\"NO\"><link_ctn id=\"leaf:%s-down\"/></zoneRoute>\n",
        name, name, name, name, name, name);
}

static void gpu_links_append(GString *xml, const ClusterSpec *spec)
{
    for (int node = 0; node < spec->n_nodes; node++) {
        for (int gpu = 0; gpu < spec->gpus_per_node; gpu++) {
            g_autofree char *host = host_name(spec, "gpu", node, gpu);
            links_append(xml, LINK_ENGINE, host, ENGINE_BYTES_PER_S, 0);
            links_append(xml, LINK_NVLINK, host, spec->node->nvlink_bytes_per_s,
                         spec->node->nvlink_latency_s);
        }
    }
}

/* All links in a zone of their own, the first: SimGrid finds a route's links by asking one zone
 * after the other, which took most of the time to load 4,096 GPUs (3.2 s, now 0.6 s). */
static void links_zone_append(GString *xml, const ClusterSpec *spec)
{
    int n_leaves = cluster_spec_n_leaves(spec);
    g_string_append(xml, "<zone id=\"links\" routing=\"None\">\n");
    gpu_links_append(xml, spec);
    for (int index = 0; index < n_leaves; index++) {
        const Leaf leaf = leaf_range(spec, index);
        g_autoptr(GPtrArray) hosts = leaf_nics(spec, &leaf);
        for (guint i = 0; i < hosts->len; i++)
            nic_links_append(xml, spec->node, g_ptr_array_index(hosts, i));
    }
    for (int index = 0; n_leaves > 1 && index < n_leaves; index++)
        uplink_append(xml, spec, index);
    g_string_append(xml, "</zone>\n");
}

static void fabric_append(GString *xml, const ClusterSpec *spec)
{
    int n_leaves = cluster_spec_n_leaves(spec);
    g_string_append(xml, "<zone id=\"fabric\" routing=\"Floyd\">\n");
    for (int leaf = 0; leaf < n_leaves; leaf++)
        leaf_append(xml, spec, leaf);
    if (n_leaves > 1) {
        g_string_append(xml, "<zone id=\"spine\" routing=\"None\">"
                             "<router id=\"spine-switch\"/></zone>\n");
        for (int leaf = 0; leaf < n_leaves; leaf++)
            uplink_routes_append(xml, spec, leaf);
    }
    g_string_append(xml, "</zone>\n");
}

/* What it is, for a reader of the file. "--" can't stand in a comment: a name is a file's. */
static void comment_append(GString *xml, const ClusterSpec *spec)
{
    char ratio[G_ASCII_DTOSTR_BUF_SIZE];
    g_auto(GStrv) parts = g_strsplit(spec->node->name, "--", -1);
    g_autofree char *name = g_strjoinv("-", parts);
    g_string_append_printf(
        xml, "<!-- %s: %d nodes, %d GPUs each; %s fabric, %d leaves, %s:1 -->\n", name,
        spec->n_nodes, spec->gpus_per_node, spec->fabric == FABRIC_RAIL ? "rail" : "fat-tree",
        cluster_spec_n_leaves(spec),
        g_ascii_formatd(ratio, sizeof ratio, "%g", spec->oversubscription));
}

char *cluster_spec_write(const ClusterSpec *spec)
{
    GString *xml = g_string_new(XML_HEAD);
    comment_append(xml, spec);
    g_string_append(xml, XML_PLATFORM);
    property_append(xml, "zs_cpu", spec->node->cpu);
    g_string_append_c(xml, '\n');
    links_zone_append(xml, spec);
    for (int node = 0; node < spec->n_nodes; node++)
        node_append(xml, spec, node);
    if (spec->n_nodes > 1)
        fabric_append(xml, spec);
    g_string_append(xml, "</zone>\n</platform>\n");
    return g_string_free(xml, FALSE);
}
