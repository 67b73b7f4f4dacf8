/* SPDX-License-Identifier: MIT */
/* Dragonfly and torus, by SimGrid's own zones: every NIC is a host, in order of nodes and then
 * of NICs, routes are SimGrid's (one shortest path a pair; a torus goes dimension by
 * dimension). Left out: adaptive routing, and the engine links of NICs, for which these zones
 * have no place, so that a collective's ceiling holds for its time alone. */
#include "cluster_xml.h"
#include "error.h"

#include <string.h>

#define MAX_DIMENSION 65536

gboolean cluster_fabric_is_direct(const ClusterSpec *spec)
{
    return spec->fabric == FABRIC_DRAGONFLY || spec->fabric == FABRIC_TORUS;
}

static int n_nics(const ClusterSpec *spec)
{
    return cluster_spec_n_nodes(spec) * node_type_n_nic_hosts(spec->node);
}

/* Hosts of the topology's text, 0 when it is none. A dragonfly's is groups, chassis, routers,
 * each with the links that join two of them, and NICs a router: "4,2;2,1;8,1;4". */
static gint64 topology_size(const ClusterSpec *spec)
{
    gboolean is_torus = spec->fabric == FABRIC_TORUS;
    g_auto(GStrv) parts =
        g_strsplit(spec->topology ? spec->topology : "", is_torus ? "," : ";", -1);
    guint n_parts = g_strv_length(parts);
    gint64 size = 1;
    if (n_parts == 0 || (!is_torus && n_parts != 4))
        return 0;
    for (guint i = 0; i < n_parts && size > 0 && size <= CLUSTER_MAX_GPUS; i++) {
        g_auto(GStrv) numbers = g_strsplit(parts[i], ",", -1);
        guint wanted = is_torus || i == 3 ? 1 : 2;
        gint64 number = 0, links = 1;
        gboolean ok =
            g_strv_length(numbers) == wanted &&
            g_ascii_string_to_signed(numbers[0], 10, 1, MAX_DIMENSION, &number, NULL) &&
            (wanted == 1 ||
             g_ascii_string_to_signed(numbers[1], 10, 1, MAX_DIMENSION, &links, NULL));
        size = ok ? size * number : 0;
    }
    return size;
}

gboolean cluster_direct_check(const ClusterSpec *spec, const char *prefix, GError **error)
{
    const char *fabric = fabric_name(spec->fabric);
    if (spec->others || spec->oversubscription != 1 ||
        (spec->ecmp_efficiency > 0 && spec->ecmp_efficiency < 1)) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                    "%sfabric = %s with several node types, oversubscription or "
                    "ecmp_efficiency is not modelled",
                    prefix, fabric);
        return FALSE;
    }
    if (cluster_spec_n_nodes(spec) == 1 || topology_size(spec) == n_nics(spec))
        return TRUE;
    g_autofree char *quoted = error_quote(spec->topology ? spec->topology : "");
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "%stopology must be a %s of %d NICs, like %s, not %s", prefix, fabric,
                n_nics(spec), spec->fabric == FABRIC_TORUS ? "4,4,2" : "2,1;2,1;2,1;4", quoted);
    return FALSE;
}

/* The id is the class of a torus' links; a dragonfly's have names of their own. */
void cluster_direct_append(GString *xml, const ClusterSpec *spec)
{
    char rate[G_ASCII_DTOSTR_BUF_SIZE], latency[G_ASCII_DTOSTR_BUF_SIZE];
    const NodeType *node = spec->node;
    double bytes_per_s = MIN(node_type_nic_payload_bytes_per_s(node), node->pcie_bytes_per_s);
    g_ascii_formatd(rate, sizeof rate, "%.15g", bytes_per_s);
    g_ascii_formatd(latency, sizeof latency, "%.15g", node->nic_latency_s);
    g_string_append_printf(xml,
                           "<cluster id=\"nic:fabric\" topology=\"%s\" topo_parameters=\"%s\" "
                           "prefix=\"nic-\" radical=\"0-%d\" suffix=\"\" speed=\"1Gf\" "
                           "bw=\"%sBps\" lat=\"%ss\" sharing_policy=\"SPLITDUPLEX\">"
                           "<prop id=\"zs_kind\" value=\"nic\"/></cluster>\n",
                           spec->fabric == FABRIC_TORUS ? "TORUS" : "DRAGONFLY", spec->topology,
                           n_nics(spec) - 1, rate, latency);
}
