/* SPDX-License-Identifier: MIT */
/* Pieces of a cluster's XML: the insides of nodes, and the fabric that joins their NICs.
 * Private to cluster_xml*.c. */
#pragma once

#include "cluster.h"

G_BEGIN_DECLS

/* A leaf switch and the NICs on it. */
typedef struct {
    char *name;
    GPtrArray *hosts;       /* char *, by node and then by NIC */
    GArray *nodes;          /* int, the node of each */
    double nic_bytes_per_s; /* payload of all of them */
    double bytes_per_s;     /* of its uplinks */
} Leaf;

/* Leaf *; none for a single node. */
GPtrArray *cluster_leaves_new(const ClusterSpec *spec);

/* "node-0003-gpu-5"; names of a kind sort as their numbers do. */
char *cluster_host_name(const ClusterSpec *spec, const char *kind, int node, int index);
/* "node-0003". */
char *cluster_node_name(const ClusterSpec *spec, int node);
int cluster_digits(int count);

void cluster_property_append(GString *xml, const char *name, const char *value);
/* A pair of links, CLASS:OWNER-up and -down. */
void cluster_links_append(GString *xml, LinkClass link_class, const char *owner,
                          double bytes_per_s, double latency_s);
void cluster_engine_links_append(GString *xml, const char *host);
/* One link of any name. */
void cluster_link_append(GString *xml, const char *name, double bytes_per_s, double latency_s);
/* Host to router through its links of `classes` (outermost last), and back. */
void cluster_routes_append(GString *xml, const char *host, const char *router,
                           const LinkClass *classes, int n_classes);

void cluster_node_links_append(GString *xml, const ClusterSpec *spec, int node);
void cluster_node_append(GString *xml, const ClusterSpec *spec, int node);

/* Dragonfly and torus (cluster_xml_direct.c). */
gboolean cluster_fabric_is_direct(const ClusterSpec *spec);
gboolean cluster_direct_check(const ClusterSpec *spec, const char *prefix, GError **error);
void cluster_direct_append(GString *xml, const ClusterSpec *spec);

void cluster_fabric_links_append(GString *xml, const ClusterSpec *spec,
                                 const GPtrArray *leaves);
void cluster_fabric_append(GString *xml, const ClusterSpec *spec, const GPtrArray *leaves);

G_END_DECLS
