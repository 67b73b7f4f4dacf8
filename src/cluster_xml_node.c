/* SPDX-License-Identifier: MIT */
/* A node's insides as XML. With NVSwitches a node is a star: every GPU reaches every other at
 * its full rate. Else GPU to GPU is a route of its own each way: a pair with a cable uses that
 * cable, any other pair the PCIe tree, where slots, switch uplinks and the link between sockets
 * are shared by all that cross them, as the hardware has it. A mesh's GPUs don't forward for
 * one another: a collective that wants all cables runs several rings (zs_rings). */
#include "cluster_xml.h"

static double wire_bytes_per_s(const NodeType *node)
{
    return node->nvlink_bytes_per_s / node_wires_degree(node->wires, node->n_gpus);
}

static int wires_between(const NodeType *node, int from, int to)
{
    return node->wires ? node->wires[from * node->n_gpus + to] : 0;
}

static int pcie_switch_of(const NodeType *node, int gpu)
{
    return gpu * node->n_pcie_switches / node->n_gpus;
}

static int socket_of(const NodeType *node, int gpu)
{
    return gpu * node->n_sockets / node->n_gpus;
}

/* "nvlink:HOST-to-gpu-3": what stands before "-to-" is the GPU that sends. */
static char *wire_name(const char *host, int peer)
{
    return g_strdup_printf("nvlink:%s-to-gpu-%d", host, peer);
}

static char *pcie_switch_name(const char *node_name, int index)
{
    return g_strdup_printf("%s-switch-%d", node_name, index);
}

static char *socket_link_name(const char *node_name, int from, int to)
{
    return g_strdup_printf("pcie:%s-socket-%d-to-socket-%d", node_name, from, to);
}

static void gpu_links_append(GString *xml, const ClusterSpec *spec, int node, int gpu)
{
    const NodeType *type = cluster_spec_node(spec, node);
    g_autofree char *host = cluster_host_name(spec, "gpu", node, gpu);
    cluster_engine_links_append(xml, host);
    if (type->nvlink == NVLINK_SWITCH) {
        cluster_links_append(xml, LINK_NVLINK, host, type->nvlink_bytes_per_s,
                             type->nvlink_latency_s);
        return;
    }
    cluster_links_append(xml, LINK_PCIE, host, type->pcie_gpu_bytes_per_s,
                         type->pcie_latency_s);
    for (int rank = 0; rank < cluster_spec_gpus_of(spec, type); rank++) {
        int peer = node_type_gpu_of_rank(type, rank);
        int n_wires = wires_between(type, gpu, peer);
        g_autofree char *name = wire_name(host, peer);
        if (n_wires > 0)
            cluster_link_append(xml, name, n_wires * wire_bytes_per_s(type),
                                type->nvlink_latency_s);
    }
}

void cluster_node_links_append(GString *xml, const ClusterSpec *spec, int node)
{
    const NodeType *type = cluster_spec_node(spec, node);
    g_autofree char *node_name = cluster_node_name(spec, node);
    for (int rank = 0; rank < cluster_spec_gpus_of(spec, type); rank++)
        gpu_links_append(xml, spec, node, node_type_gpu_of_rank(type, rank));
    if (type->nvlink == NVLINK_SWITCH)
        return;
    for (int i = 0; i < type->n_pcie_switches; i++) {
        g_autofree char *name = pcie_switch_name(node_name, i);
        cluster_links_append(xml, LINK_PCIE, name, type->pcie_uplink_bytes_per_s, 0);
    }
    for (int from = 0; from < type->n_sockets; from++) {
        for (int to = 0; to < type->n_sockets; to++) {
            g_autofree char *name = socket_link_name(node_name, from, to);
            if (from != to)
                cluster_link_append(xml, name, type->socket_bytes_per_s, 0);
        }
    }
}

/* The rings by local rank, where all GPUs of a mesh are used. */
static void rings_append(GString *xml, const NodeType *node)
{
    g_autofree int *ranks = g_new0(int, node->n_gpus);
    g_autoptr(GString) rings = g_string_new(NULL);
    for (int rank = 0; rank < node->n_gpus; rank++)
        ranks[node_type_gpu_of_rank(node, rank)] = rank;
    for (guint r = 0; r < node->rings->len; r++) {
        const NodeRing *ring = g_ptr_array_index(node->rings, r);
        for (int i = 0; i < ring->n_gpus; i++)
            g_string_append_printf(rings, "%s%d",
                                   i > 0   ? "-"
                                   : r > 0 ? " "
                                           : "",
                                   ranks[ring->gpus[i]]);
        g_string_append_printf(rings, ":%d", ring->n_links);
    }
    cluster_property_append(xml, "zs_rings", rings->str);
}

static void gpu_append(GString *xml, const ClusterSpec *spec, int node, int rank)
{
    const NodeType *type = cluster_spec_node(spec, node);
    int gpu = node_type_gpu_of_rank(type, rank);
    char speed[G_ASCII_DTOSTR_BUF_SIZE];
    g_autofree char *host = cluster_host_name(spec, "gpu", node, gpu);
    g_ascii_formatd(speed, sizeof speed, "%.15g",
                    cluster_spec_pace(spec) * (type->gpu_speed > 0 ? type->gpu_speed : 1));
    g_string_append_printf(xml, "<host id=\"%s\" speed=\"%sGf\">", host, speed);
    cluster_property_append(xml, "zs_kind", "gpu");
    cluster_property_append(xml, "zs_gpu", type->gpu);
    g_string_append_printf(xml, "<prop id=\"zs_node\" value=\"%d\"/>", node);
    g_string_append_printf(xml, "<prop id=\"zs_local_rank\" value=\"%d\"/>", rank);
    if (type->gpu_memory_bytes > 0)
        g_string_append_printf(xml,
                               "<prop id=\"memory_bytes\" value=\"%" G_GINT64_FORMAT "\"/>",
                               type->gpu_memory_bytes);
    if (cluster_spec_n_nodes(spec) > 1) {
        g_autofree char *nic =
            cluster_host_name(spec, "nic", node, node_type_nic_of_gpu(type, gpu));
        cluster_property_append(xml, "zs_nic", nic);
    }
    if (rank == 0 && type->rings && cluster_spec_gpus_of(spec, type) == type->n_gpus)
        rings_append(xml, type);
    g_string_append(xml, "</host>\n");
}

/* Up the PCIe tree from one GPU and down to the other. */
static void pcie_way_append(GString *xml, const NodeType *node, const char *node_name,
                            const char *from_host, const char *to_host, int from, int to)
{
    g_string_append_printf(xml, "<link_ctn id=\"pcie:%s-up\"/>", from_host);
    int from_switch = pcie_switch_of(node, from), to_switch = pcie_switch_of(node, to);
    gboolean leaves = node->n_pcie_switches > 0 && from_switch != to_switch;
    g_autofree char *up = pcie_switch_name(node_name, from_switch);
    g_autofree char *down = pcie_switch_name(node_name, to_switch);
    if (leaves)
        g_string_append_printf(xml, "<link_ctn id=\"pcie:%s-up\"/>", up);
    int from_socket = socket_of(node, from), to_socket = socket_of(node, to);
    g_autofree char *across = socket_link_name(node_name, from_socket, to_socket);
    if (from_socket != to_socket)
        g_string_append_printf(xml, "<link_ctn id=\"%s\"/>", across);
    if (leaves)
        g_string_append_printf(xml, "<link_ctn id=\"pcie:%s-down\"/>", down);
    g_string_append_printf(xml, "<link_ctn id=\"pcie:%s-down\"/>", to_host);
}

static void pair_append(GString *xml, const ClusterSpec *spec, int node, int from, int to)
{
    const NodeType *type = cluster_spec_node(spec, node);
    g_autofree char *node_name = cluster_node_name(spec, node);
    g_autofree char *from_host = cluster_host_name(spec, "gpu", node, from);
    g_autofree char *to_host = cluster_host_name(spec, "gpu", node, to);
    g_autofree char *wire = wire_name(from_host, to);
    g_string_append_printf(xml, "<route src=\"%s\" dst=\"%s\" symmetrical=\"NO\">", from_host,
                           to_host);
    g_string_append_printf(xml, "<link_ctn id=\"engine:%s-up\"/>", from_host);
    if (wires_between(type, from, to) > 0)
        g_string_append_printf(xml, "<link_ctn id=\"%s\"/>", wire);
    else
        pcie_way_append(xml, type, node_name, from_host, to_host, from, to);
    g_string_append_printf(xml, "<link_ctn id=\"engine:%s-down\"/></route>\n", to_host);
}

/* Every way is its own route: SimGrid's shortest paths would lead through other GPUs. */
static void pairs_append(GString *xml, const ClusterSpec *spec, int node)
{
    const NodeType *type = cluster_spec_node(spec, node);
    int n_gpus = cluster_spec_gpus_of(spec, type);
    for (int from = 0; from < n_gpus; from++)
        for (int to = 0; to < n_gpus; to++)
            if (from != to)
                pair_append(xml, spec, node, node_type_gpu_of_rank(type, from),
                            node_type_gpu_of_rank(type, to));
}

static void star_append(GString *xml, const ClusterSpec *spec, int node, const char *node_name)
{
    static const LinkClass classes[] = {LINK_ENGINE, LINK_NVLINK};
    g_autofree char *router = g_strdup_printf("%s-nvswitch", node_name);
    int n_gpus = cluster_spec_gpus_of(spec, cluster_spec_node(spec, node));
    g_string_append_printf(xml, "<router id=\"%s\"/>\n", router);
    for (int gpu = 0; gpu < n_gpus; gpu++) {
        g_autofree char *host = cluster_host_name(spec, "gpu", node, gpu);
        cluster_routes_append(xml, host, router, classes, G_N_ELEMENTS(classes));
    }
}

void cluster_node_append(GString *xml, const ClusterSpec *spec, int node)
{
    const NodeType *type = cluster_spec_node(spec, node);
    gboolean is_star = type->nvlink == NVLINK_SWITCH;
    g_autofree char *node_name = cluster_node_name(spec, node);
    g_string_append_printf(xml, "<zone id=\"%s\" routing=\"%s\">\n", node_name,
                           is_star ? "Floyd" : "Full");
    for (int rank = 0; rank < cluster_spec_gpus_of(spec, type); rank++)
        gpu_append(xml, spec, node, rank);
    if (is_star)
        star_append(xml, spec, node, node_name);
    else
        pairs_append(xml, spec, node);
    g_string_append(xml, "</zone>\n");
}
