/* SPDX-License-Identifier: MIT */
/* Which calibration holds for a communicator, and what it makes of NCCL's prediction. */
#include "collective_calibration.h"

#include <math.h>
#include <string.h>

void nccl_calibration_free(NcclCalibration *calibration)
{
    if (!calibration)
        return;
    g_free(calibration->name);
    g_strfreev(calibration->gpus);
    g_strfreev(calibration->platforms);
    g_clear_pointer(&calibration->rows, g_hash_table_unref);
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

/* 0: it doesn't hold; a named platform counts most. */
static int score_of(const NcclCalibration *calibration, const Cluster *cluster,
                    const int *members, int n_members)
{
    int n_nodes = 0, last_node = -1, score = calibration->gpus ? 2 : 1;
    const char *last_gpu = NULL;
    if (calibration->forced)
        return score;
    for (int i = 0; i < n_members; i++) {
        const ClusterGpu *gpu = cluster_gpu(cluster, members[i]);
        if (calibration->gpus && g_strcmp0(gpu->gpu, last_gpu) != 0 &&
            !has_prefix_of(gpu->gpu, calibration->gpus))
            return 0;
        n_nodes += gpu->node != last_node;
        last_node = gpu->node;
        last_gpu = gpu->gpu;
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

int *nccl_calibration_scores(const GPtrArray *candidates, const Cluster *cluster,
                             const int *members, int n_members)
{
    guint n = candidates ? candidates->len : 0;
    int *scores = g_new(int, n + 1);
    for (guint i = 0; i < n; i++)
        scores[i] = score_of(candidates->pdata[i], cluster, members, n_members);
    return scores;
}

/* Whose rows tell of an algorithm that none has: PAT's blocks pass the connections that rings'
 * pass, by the same protocol. */
static Algorithm rows_of(Algorithm algorithm)
{
    return algorithm == ALGORITHM_PAT ? ALGORITHM_RING : algorithm;
}

/* The best of all, and the best that has the algorithm; NULL: none. */
typedef struct {
    const NcclCalibration *of_system, *of_algorithm;
} Sources;

static Sources sources_of(const GPtrArray *candidates, const int *scores, Algorithm algorithm)
{
    Sources best = {NULL, NULL};
    int system_score = 0, algorithm_score = 0;
    for (guint i = 0; candidates && i < candidates->len; i++) {
        const NcclCalibration *one = candidates->pdata[i];
        if (scores[i] > system_score) {
            system_score = scores[i];
            best.of_system = one;
        }
        if (one->has[rows_of(algorithm)] && scores[i] > algorithm_score) {
            algorithm_score = scores[i];
            best.of_algorithm = one;
        }
    }
    return best;
}

gboolean nccl_calibration_choose(const GPtrArray *candidates, const int *scores,
                                 Algorithm algorithm, NcclCalibration *terms)
{
    Sources best = sources_of(candidates, scores, algorithm);
    const NcclCalibration *with = best.of_algorithm;
    Algorithm like = rows_of(algorithm);
    if (!best.of_system)
        return FALSE;
    *terms = *best.of_system;
    terms->has[algorithm] = best.of_system->has[algorithm] && best.of_system->gpus;
    terms->bandwidth_frac[algorithm] = with ? with->bandwidth_frac[like] : 1;
    terms->fill_s[algorithm] = with ? with->fill_s[like] : 0;
    terms->fill_loops[algorithm] = with ? with->fill_loops[like] : 0;
    if (with) {
        terms->fill_bytes = with->fill_bytes;
        terms->loop_s = with->loop_s;
        terms->block_bytes_per_s = with->block_bytes_per_s;
    }
    return TRUE;
}

gboolean nccl_calibration_saw(const GPtrArray *candidates, const Cluster *cluster,
                              const int *members, int n_members, Algorithm algorithm,
                              const char *row_id, double *held_out_frac)
{
    g_autofree int *scores = nccl_calibration_scores(candidates, cluster, members, n_members);
    Sources best = sources_of(candidates, scores, algorithm);
    const NcclCalibration *both[] = {best.of_system, best.of_algorithm};
    for (gsize i = 0; i < G_N_ELEMENTS(both); i++) {
        const double *error =
            both[i] && both[i]->rows ? g_hash_table_lookup(both[i]->rows, row_id) : NULL;
        if (error) {
            *held_out_frac = *error;
            return TRUE;
        }
    }
    return FALSE;
}

/* NVSwitches' algorithms: turns of all blocks, each as long as the links or the blocks take,
 * and a pipeline of them to fill. */
static void loops_apply(const NcclCalibration *calibration, const NcclPrediction *model,
                        double *fill_s, double *flow_s)
{
    double n_loops = model->payload_bytes / model->loop_bytes;
    double block_s = calibration->loop_s +
                     model->loop_bytes / model->n_blocks / calibration->block_bytes_per_s;
    double loop_s = MAX(*flow_s / n_loops, block_s);
    *flow_s = loop_s * n_loops;
    *fill_s = calibration->fill_loops[model->algorithm] * loop_s * n_loops / (1 + n_loops);
}

void nccl_calibration_apply(const NcclCalibration *calibration, const NcclPrediction *model,
                            double *latency_s, double *flow_s)
{
    Algorithm algorithm = model->algorithm;
    double bytes = model->payload_bytes;
    double hops_s = calibration->hop_frac[model->generation] * model->node_hops_s;
    double network_s = calibration->net_trips * model->network_excess_s * model->n_net_hops;
    double fill_s = calibration->fill_s[algorithm] * bytes / (bytes + calibration->fill_bytes);
    *flow_s = model->flow_s / calibration->bandwidth_frac[algorithm];
    if (algorithm == ALGORITHM_RING && model->in_shares)
        *flow_s *= 1 + calibration->own_frac / (model->n_ranks - 1);
    if (model->loop_bytes > 0)
        loops_apply(calibration, model, &fill_s, flow_s);
    else if (model->one_node && algorithm != ALGORITHM_DIRECT)
        hops_s = hypot(hops_s, *flow_s) - *flow_s; /* bytes on their way hide them */
    *latency_s = calibration->launch_s + model->latency_s - model->node_hops_s + hops_s +
                 network_s + fill_s;
}
