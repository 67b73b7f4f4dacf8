/* SPDX-License-Identifier: MIT */
/* A node type from what NCCL found on a machine: the XML that NCCL_TOPO_DUMP_FILE names. */
#pragma once

#include "cluster.h"

G_BEGIN_DECLS

/* `gpu` is the GPUs' profile; NULL: the one of their PCI device number. What the file doesn't
 * hold (latencies, leaf switches) is taken as of a usual machine, and marked unverified. Errors
 * name file and line, or what is missing. */
NodeType *nccl_topo_load(const char *file, const char *gpu, GError **error);

G_END_DECLS
