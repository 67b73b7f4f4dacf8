/* SPDX-License-Identifier: MIT */
/* The facts of a loaded platform: which hosts are GPUs and NICs, and what links there are, read
 * by the convention of host properties and link names. Private to sim_platform.c. */
#pragma once

#include "cluster.h"

#include <glib.h>

G_BEGIN_DECLS

/* Fills the cluster from the engine's hosts and links; `label` is what messages call the
 * platform. In a child that has loaded it. */
gboolean sim_facts_read(const char *label, Cluster *cluster, GPtrArray *warnings,
                        GError **error);

G_END_DECLS
