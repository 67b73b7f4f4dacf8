/* SPDX-License-Identifier: MIT */
/* What the tests of collectives need of a cluster is its counts and rates: no file, no SimGrid.
 */
#include "clusters.h"

#include "sim.h"

Cluster *counted_cluster(const char *gpu, int n_nodes, int gpus, int nics,
                         double nvlink_bytes_per_s, double nic_bytes_per_s, const char *cpu)
{
    Cluster *cluster = cluster_new("test", "none.xml");
    for (int r = 0; r < n_nodes * gpus; r++) {
        ClusterGpu one = {.gpu_host = g_strdup_printf("gpu %d", r),
                          .gpu = g_strdup(gpu),
                          .node = r / gpus,
                          .local_rank = r % gpus,
                          .nic = nics > 0 ? r / gpus * nics + r % gpus * nics / gpus : -1,
                          .speed = 1};
        g_array_append_val(cluster->gpus, one);
    }
    cluster->n_nodes = n_nodes;
    cluster->nvlink_bytes_per_s = nvlink_bytes_per_s;
    cluster->nic_bytes_per_s = nic_bytes_per_s;
    cluster->cpu = g_strdup(cpu);
    return cluster;
}

char *shipped_platform(const char *base)
{
    const char *root = g_getenv("srcdir") ? g_getenv("srcdir") : ".";
    return g_build_filename(root, "tests", "platforms", base, NULL);
}

Cluster *platform_read(const char *file, GPtrArray *warnings, GError **error)
{
    g_autoptr(Cluster) cluster = cluster_new("test", file);
    if (!sim_platform_read(file, cluster, warnings, error))
        return NULL;
    return g_steal_pointer(&cluster);
}
