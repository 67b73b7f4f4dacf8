/* SPDX-License-Identifier: MIT */
/* Point-to-point NVLinks of a node, as text: which GPUs are joined by how many links, and the
 * rings that collectives run on them. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A closed way through all GPUs of a node, used in both directions. */
typedef struct {
    int n_links; /* each way, of every cable on the way */
    int n_gpus;
    int gpus[]; /* in order; the last is joined to the first */
} NodeRing;

/* "0-1 0-3:2": links between GPU i and j at [i * n_gpus + j], symmetrical. Each GPU must have
 * the same number of links. Errors without the name of a file. */
int *node_wires_parse(const char *text, int n_gpus, GError **error);
/* Links of a GPU. */
int node_wires_degree(const int *wires, int n_gpus);

/* "0-3-2-1:2 0-1-2-3": NodeRing *. */
GPtrArray *node_rings_parse(const char *text, int n_gpus, GError **error);
/* Whether the rings' cables are there, and no link is used twice in a direction. */
gboolean node_rings_check(const GPtrArray *rings, const int *wires, int n_gpus, GError **error);

G_END_DECLS
