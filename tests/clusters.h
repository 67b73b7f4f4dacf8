/* SPDX-License-Identifier: MIT */
/* Clusters for tests: put together from counts and rates, or read from tests/platforms. */
#pragma once

#include "cluster.h"

/* n_nodes nodes of `gpus` GPUs which share `nics` NICs; there is no platform behind it. */
Cluster *counted_cluster(const char *gpu, int n_nodes, int gpus, int nics,
                         double nvlink_bytes_per_s, double nic_bytes_per_s, const char *cpu);

/* The path of a file of tests/platforms. Owned by the caller. */
char *shipped_platform(const char *base);
/* What SimGrid reads there; NULL and an error like cluster_build()'s. */
Cluster *platform_read(const char *file, GPtrArray *warnings, GError **error);
