/* SPDX-License-Identifier: MIT */
/* Which calibration holds for a communicator, and what it makes of NCCL's prediction. */
#include "collective_calibration.h"

#include <string.h>

void nccl_calibration_free(NcclCalibration *calibration)
{
    if (!calibration)
        return;
    g_free(calibration->name);
    g_strfreev(calibration->gpus);
    g_strfreev(calibration->platforms);
    g_free(calibration);
}

static gboolean has_prefix_of(const char *text, char **prefixes)
{
    g_autofree char *lower = g_ascii_strdown(text ? text : "", -1);
    for (; prefixes && *prefixes; prefixes++)
        if (g_str_has_prefix(lower, *prefixes))
            return TRUE;
    return FALSE;
}

int nccl_calibration_score(const NcclCalibration *calibration, const Cluster *cluster,
                           const int *members, int n_members)
{
    int n_nodes = 0, last_node = -1, score = 1;
    if (calibration->forced)
        return 1;
    for (int i = 0; i < n_members; i++) {
        const ClusterGpu *gpu = cluster_gpu(cluster, members[i]);
        if (!has_prefix_of(gpu->gpu, calibration->gpus))
            return 0;
        n_nodes += gpu->node != last_node;
        last_node = gpu->node;
    }
    if (n_nodes < calibration->min_nodes || n_nodes > calibration->max_nodes)
        return 0;
    if (calibration->platforms)
        return g_strv_contains((const char *const *)calibration->platforms, cluster->name) ? 4
                                                                                           : 0;
    if (calibration->max_nic_bytes_per_s > 0 && n_nodes > 1) {
        double nic = cluster->nic_bytes_per_s;
        if (nic < calibration->min_nic_bytes_per_s || nic > calibration->max_nic_bytes_per_s)
            return 0;
        score++;
    }
    return score;
}

const NcclCalibration *nccl_calibration_choose(const GPtrArray *candidates,
                                               const Cluster *cluster, const int *members,
                                               int n_members, Algorithm algorithm)
{
    const NcclCalibration *best = NULL;
    int best_score = 0;
    for (guint i = 0; candidates && i < candidates->len; i++) {
        const NcclCalibration *one = candidates->pdata[i];
        int score =
            one->has[algorithm] ? nccl_calibration_score(one, cluster, members, n_members) : 0;
        if (score <= best_score)
            continue;
        best_score = score;
        best = one;
    }
    return best;
}

void nccl_calibration_apply(const NcclCalibration *calibration, Algorithm algorithm,
                            int n_ranks, gint64 payload_bytes, double *latency_s,
                            double *flow_s)
{
    double bytes = (double)payload_bytes;
    *latency_s = calibration->launch_s + calibration->latency_frac * *latency_s +
                 calibration->fill_s[algorithm] * bytes / (bytes + calibration->fill_bytes);
    *flow_s /= calibration->bandwidth_frac[algorithm];
    if (algorithm == ALGORITHM_RING)
        *flow_s *= 1 + calibration->own_frac / (n_ranks - 1);
}
