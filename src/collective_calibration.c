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
    int n_nodes = 0, last_node = -1, score = calibration->gpus ? 2 : 1;
    if (calibration->forced)
        return score;
    for (int i = 0; i < n_members; i++) {
        const ClusterGpu *gpu = cluster_gpu(cluster, members[i]);
        if (calibration->gpus && !has_prefix_of(gpu->gpu, calibration->gpus))
            return 0;
        n_nodes += gpu->node != last_node;
        last_node = gpu->node;
    }
    if (n_nodes < calibration->min_nodes || n_nodes > calibration->max_nodes)
        return 0;
    if (calibration->platforms)
        return g_strv_contains((const char *const *)calibration->platforms, cluster->name) ? 5
                                                                                           : 0;
    if (calibration->max_nic_bytes_per_s > 0 && n_nodes > 1) {
        double nic = cluster->nic_bytes_per_s;
        if (nic < calibration->min_nic_bytes_per_s || nic > calibration->max_nic_bytes_per_s)
            return 0;
        score++;
    }
    return score;
}

gboolean nccl_calibration_choose(const GPtrArray *candidates, const Cluster *cluster,
                                 const int *members, int n_members, Algorithm algorithm,
                                 NcclCalibration *terms)
{
    const NcclCalibration *best = NULL, *with = NULL;
    int best_score = 0, with_score = 0;
    for (guint i = 0; candidates && i < candidates->len; i++) {
        const NcclCalibration *one = candidates->pdata[i];
        int score = nccl_calibration_score(one, cluster, members, n_members);
        if (score > best_score) {
            best_score = score;
            best = one;
        }
        if (one->has[algorithm] && score > with_score) {
            with_score = score;
            with = one;
        }
    }
    if (!best)
        return FALSE;
    *terms = *best;
    terms->has[algorithm] = best == with && best->gpus;
    terms->bandwidth_frac[algorithm] = with ? with->bandwidth_frac[algorithm] : 1;
    terms->fill_s[algorithm] = with ? with->fill_s[algorithm] : 0;
    terms->fill_bytes = with ? with->fill_bytes : best->fill_bytes;
    return TRUE;
}

void nccl_calibration_apply(const NcclCalibration *calibration, const NcclPrediction *model,
                            double *latency_s, double *flow_s)
{
    Algorithm algorithm = model->algorithm;
    double bytes = model->payload_bytes;
    double network_s = calibration->net_trips * model->network_excess_s * model->n_net_hops;
    *latency_s = calibration->launch_s + model->latency_s +
                 (calibration->hop_frac - 1) * model->node_hops_s + network_s +
                 calibration->fill_s[algorithm] * bytes / (bytes + calibration->fill_bytes);
    *flow_s = model->flow_s / calibration->bandwidth_frac[algorithm];
    if (algorithm == ALGORITHM_RING && model->in_shares)
        *flow_s *= 1 + calibration->own_frac / (model->n_ranks - 1);
}
