/* SPDX-License-Identifier: MIT */
/* The network between nodes as XML: a zone a leaf switch with its NICs, leaves joined at the
 * spine, or at the spine of a pod and pods at the core. A switch's cables upwards are one link
 * each way (the ways of SimGrid are single, so separate cables would leave all but one idle);
 * what flows lose that are hashed to the same cable is the ECMP efficiency, a number of the
 * user's. The top level never limits. */
#include "cluster_xml.h"

/* NICs that a leaf has room for, of the first type's switches. */
static int leaf_ports(const ClusterSpec *spec)
{
    return spec->node->leaf_ports;
}

static int n_rails_of(const NodeType *node)
{
    return node_type_n_nic_hosts(node) / MAX(1, node->n_trays);
}

static gboolean is_rail(const ClusterSpec *spec)
{
    return spec->fabric == FABRIC_RAIL;
}

static int n_rails(const ClusterSpec *spec)
{
    int n = is_rail(spec) ? n_rails_of(spec->node) : 1;
    for (guint i = 0; is_rail(spec) && spec->others && i < spec->others->len; i++)
        n = MAX(n, n_rails_of(g_array_index(spec->others, NodeGroup, i).node));
    return n;
}

/* Ports that a node takes on each leaf it is on. */
static int ports_of(const ClusterSpec *spec, const NodeType *node)
{
    return is_rail(spec) ? node->n_nics / n_rails_of(node) : node->n_nics;
}

/* The first node that the leaves of `first` have no room for; each leaf has room for one. */
static int end_of_leaf(const ClusterSpec *spec, int first)
{
    int n_nodes = cluster_spec_n_nodes(spec), n_ports = 0, end = first;
    while (end < n_nodes) {
        n_ports += ports_of(spec, cluster_spec_node(spec, end));
        if (end > first && n_ports > leaf_ports(spec))
            break;
        end++;
    }
    return end;
}

static void leaf_free(gpointer data)
{
    Leaf *leaf = data;
    g_free(leaf->name);
    g_ptr_array_unref(leaf->hosts);
    g_array_unref(leaf->nodes);
    g_free(leaf);
}

static double efficiency(const ClusterSpec *spec)
{
    return spec->ecmp_efficiency > 0 ? spec->ecmp_efficiency : 1;
}

/* The NICs of nodes first … end-1 on one rail, or all of them. */
static Leaf *leaf_new(const ClusterSpec *spec, int first, int end, int rail)
{
    Leaf *leaf = g_new0(Leaf, 1);
    leaf->hosts = g_ptr_array_new_with_free_func(g_free);
    leaf->nodes = g_array_new(FALSE, FALSE, sizeof(int));
    for (int node = first; node < end; node++) {
        const NodeType *type = cluster_spec_node(spec, node);
        for (int nic = 0; nic < node_type_n_nic_hosts(type); nic++) {
            if (is_rail(spec) && nic % n_rails_of(type) != rail)
                continue;
            g_ptr_array_add(leaf->hosts, cluster_host_name(spec, "nic", node, nic));
            g_array_append_val(leaf->nodes, node);
            leaf->nic_bytes_per_s += node_type_nic_payload_bytes_per_s(type);
        }
    }
    leaf->bytes_per_s = leaf->nic_bytes_per_s / spec->oversubscription * efficiency(spec);
    return leaf;
}

/* "rail-3-leaf-0", or "leaf-00" where there are no rails. */
static char *leaf_name(const ClusterSpec *spec, int rail, int group, int n_groups)
{
    if (!is_rail(spec))
        return g_strdup_printf("leaf-%0*d", cluster_digits(n_groups), group);
    return g_strdup_printf("rail-%0*d-leaf-%0*d", cluster_digits(n_rails(spec)), rail,
                           cluster_digits(n_groups), group);
}

GPtrArray *cluster_leaves_new(const ClusterSpec *spec)
{
    GPtrArray *leaves = g_ptr_array_new_with_free_func(leaf_free);
    int n_nodes = cluster_spec_n_nodes(spec), n_groups = 0, group = 0;
    if (n_nodes == 1 || cluster_fabric_is_direct(spec))
        return leaves;
    for (int first = 0; first < n_nodes; first = end_of_leaf(spec, first))
        n_groups++;
    for (int first = 0; first < n_nodes; first = end_of_leaf(spec, first), group++) {
        int end = end_of_leaf(spec, first);
        for (int rail = 0; rail < n_rails(spec); rail++) {
            Leaf *leaf = leaf_new(spec, first, end, rail);
            leaf->name = leaf_name(spec, rail, group, n_groups);
            if (leaf->hosts->len > 0)
                g_ptr_array_add(leaves, leaf);
            else
                leaf_free(leaf); /* of a rail that these nodes have no NIC for */
        }
    }
    return leaves;
}

int cluster_spec_n_leaves(const ClusterSpec *spec)
{
    g_autoptr(GPtrArray) leaves = cluster_leaves_new(spec);
    return (int)leaves->len;
}

/* Leaves of a pod, all of them where there are no pods. A switch has as many ports up as down,
 * so a pod has as many leaves as a leaf has NICs (Al-Fares et al. 2008). */
static int leaves_per_pod(const ClusterSpec *spec, const GPtrArray *leaves)
{
    return spec->fabric == FABRIC_FAT_TREE_3 ? leaf_ports(spec) : MAX(1, (int)leaves->len);
}

static int n_pods(const ClusterSpec *spec, const GPtrArray *leaves)
{
    int in_pod = leaves_per_pod(spec, leaves);
    return ((int)leaves->len + in_pod - 1) / in_pod;
}

static char *pod_name(const ClusterSpec *spec, const GPtrArray *leaves, int pod)
{
    if (spec->fabric != FABRIC_FAT_TREE_3)
        return g_strdup("spine");
    return g_strdup_printf("pod-%0*d", cluster_digits(n_pods(spec, leaves)), pod);
}

static void nic_links_append(GString *xml, const NodeType *node, const char *host)
{
    cluster_engine_links_append(xml, host);
    cluster_links_append(xml, LINK_PCIE, host, node->pcie_bytes_per_s, 0);
    cluster_links_append(xml, LINK_NIC, host, node_type_nic_payload_bytes_per_s(node),
                         node->nic_latency_s);
}

/* A pod's cables to the core: what its leaves bring, over its own ratio. */
static void pod_links_append(GString *xml, const ClusterSpec *spec, const GPtrArray *leaves,
                             int pod)
{
    int in_pod = leaves_per_pod(spec, leaves);
    double ratio = spec->spine_oversubscription > 0 ? spec->spine_oversubscription : 1;
    double bytes_per_s = 0;
    for (int i = pod * in_pod; i < MIN((pod + 1) * in_pod, (int)leaves->len); i++)
        bytes_per_s += ((const Leaf *)g_ptr_array_index(leaves, i))->nic_bytes_per_s;
    g_autofree char *name = pod_name(spec, leaves, pod);
    cluster_links_append(xml, LINK_SPINE, name,
                         bytes_per_s / spec->oversubscription / ratio * efficiency(spec),
                         spec->node->switch_latency_s);
}

void cluster_fabric_links_append(GString *xml, const ClusterSpec *spec, const GPtrArray *leaves)
{
    for (guint l = 0; l < leaves->len; l++) {
        const Leaf *leaf = g_ptr_array_index(leaves, l);
        for (guint i = 0; i < leaf->hosts->len; i++)
            nic_links_append(xml, cluster_spec_node(spec, g_array_index(leaf->nodes, int, i)),
                             g_ptr_array_index(leaf->hosts, i));
    }
    for (guint l = 0; leaves->len > 1 && l < leaves->len; l++) {
        const Leaf *leaf = g_ptr_array_index(leaves, l);
        cluster_links_append(xml, LINK_LEAF, leaf->name, leaf->bytes_per_s,
                             spec->node->switch_latency_s);
    }
    for (int pod = 0; n_pods(spec, leaves) > 1 && pod < n_pods(spec, leaves); pod++)
        pod_links_append(xml, spec, leaves, pod);
}

static void leaf_append(GString *xml, const Leaf *leaf)
{
    static const LinkClass classes[] = {LINK_ENGINE, LINK_PCIE, LINK_NIC};
    g_autofree char *router = g_strdup_printf("%s-switch", leaf->name);
    g_string_append_printf(xml, "<zone id=\"%s\" routing=\"Floyd\">\n", leaf->name);
    for (guint i = 0; i < leaf->hosts->len; i++)
        g_string_append_printf(xml,
                               "<host id=\"%s\" speed=\"1Gf\"><prop id=\"zs_kind\" "
                               "value=\"nic\"/>"
                               "<prop id=\"zs_node\" value=\"%d\"/></host>\n",
                               (const char *)g_ptr_array_index(leaf->hosts, i),
                               g_array_index(leaf->nodes, int, i));
    g_string_append_printf(xml, "<router id=\"%s\"/>\n", router);
    for (guint i = 0; i < leaf->hosts->len; i++)
        cluster_routes_append(xml, g_ptr_array_index(leaf->hosts, i), router, classes,
                              G_N_ELEMENTS(classes));
    g_string_append(xml, "</zone>\n");
}

/* A switch above others, which has no hosts. */
static void switch_append(GString *xml, const char *name)
{
    g_string_append_printf(xml,
                           "<zone id=\"%s\" routing=\"None\">"
                           "<router id=\"%s-switch\"/></zone>\n",
                           name, name);
}

/* The cables between a switch and the one above it. */
static void uplink_append(GString *xml, LinkClass link_class, const char *name,
                          const char *above)
{
    const char *class_name = link_class_name(link_class);
    g_string_append_printf(
        xml,
        "<zoneRoute src=\"%s\" dst=\"%s\" gw_src=\"%s-switch\" gw_dst=\"%s-switch\" "
        "symmetrical=\"NO\"><link_ctn id=\"%s:%s-up\"/></zoneRoute>\n"
        "<zoneRoute src=\"%s\" dst=\"%s\" gw_src=\"%s-switch\" gw_dst=\"%s-switch\" "
        "symmetrical=\"NO\"><link_ctn id=\"%s:%s-down\"/></zoneRoute>\n",
        name, above, name, above, class_name, name, above, name, above, name, class_name, name);
}

static void pod_uplinks_append(GString *xml, const ClusterSpec *spec, const GPtrArray *leaves)
{
    for (int pod = 0; pod < n_pods(spec, leaves); pod++) {
        g_autofree char *name = pod_name(spec, leaves, pod);
        uplink_append(xml, LINK_SPINE, name, "core");
    }
}

/* Zones first, routes behind them: SimGrid's order. */
void cluster_fabric_append(GString *xml, const ClusterSpec *spec, const GPtrArray *leaves)
{
    int pods = n_pods(spec, leaves);
    g_string_append(xml, "<zone id=\"fabric\" routing=\"Floyd\">\n");
    for (guint l = 0; l < leaves->len; l++)
        leaf_append(xml, g_ptr_array_index(leaves, l));
    for (int pod = 0; leaves->len > 1 && pod < pods; pod++) {
        g_autofree char *name = pod_name(spec, leaves, pod);
        switch_append(xml, name);
    }
    if (pods > 1)
        switch_append(xml, "core");
    for (guint l = 0; leaves->len > 1 && l < leaves->len; l++) {
        const Leaf *leaf = g_ptr_array_index(leaves, l);
        g_autofree char *above = pod_name(spec, leaves, (int)l / leaves_per_pod(spec, leaves));
        uplink_append(xml, LINK_LEAF, leaf->name, above);
    }
    if (pods > 1)
        pod_uplinks_append(xml, spec, leaves);
    g_string_append(xml, "</zone>\n");
}
