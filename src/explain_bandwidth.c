/* SPDX-License-Identifier: MIT */
/* Which bandwidth between nodes a step would need, by simulating it: without communication,
 * then at doublings and halvings of today's bandwidth until the answer is between two
 * neighbours. */
#include "explain.h"

#include <math.h>

typedef struct {
    const Cluster *cluster;
    const Job *job;
    const Profile *profile;
    const NcclOptions *nccl;
    ExplainProgress progress;
    void *data;
    BandwidthSearch *search;
    double enough_s; /* a step that takes no longer is close enough */
} Trial;

static SimResult *trial_run(Trial *trial, double scale, gboolean instant, GError **error)
{
    Cluster cluster = *trial->cluster;
    NcclOptions nccl = *trial->nccl;
    cluster.internode_scale =
        (cluster.internode_scale > 0 ? cluster.internode_scale : 1) * scale;
    cluster.nic_bytes_per_s *= scale;
    nccl.instant = instant;
    SimResult *sim = sim_run(&cluster, trial->job, trial->profile, &nccl, error);
    trial->search->n_simulations++;
    if (trial->progress)
        trial->progress(trial->search->n_simulations, trial->data);
    return sim;
}

static gboolean trial_step(Trial *trial, double scale, double *step_s, GError **error)
{
    g_autoptr(SimResult) sim = trial_run(trial, scale, FALSE, error);
    if (!sim)
        return FALSE;
    *step_s = sim->timeline->step_time_s;
    return TRUE;
}

/* Of a step that no bandwidth helps: what binds it where there is plenty. */
static gboolean bound_find(Trial *trial, GError **error)
{
    BandwidthSearch *search = trial->search;
    search->scale = EXPLAIN_MOST_SCALE;
    g_autoptr(SimResult) sim = trial_run(trial, search->scale, FALSE, error);
    if (!sim)
        return FALSE;
    g_autoptr(GArray) path = explain_path(trial->job, sim->timeline);
    search->step_s = sim->timeline->step_time_s;
    search->bound = explain_links(trial->job, sim, path);
    return TRUE;
}

/* From `from`, where the answer is known, by factors of `factor` to where it is the other one.
 * *enough and *little end up as neighbours; at_limit: there is no other answer. */
static gboolean bracket(Trial *trial, double factor, double *enough, double *little,
                        gboolean *at_limit, GError **error)
{
    *enough = *little = 1;
    *at_limit = FALSE;
    double limit = factor > 1 ? EXPLAIN_MOST_SCALE : 1 / EXPLAIN_MOST_SCALE;
    for (double scale = 1; scale != limit;) {
        double step_s;
        scale *= factor;
        if (!trial_step(trial, scale, &step_s, error))
            return FALSE;
        gboolean is_enough = step_s <= trial->enough_s;
        if (is_enough) {
            *enough = scale;
            trial->search->step_s = step_s;
        } else {
            *little = scale;
        }
        if (is_enough == (factor > 1))
            return TRUE;
    }
    *at_limit = TRUE;
    return TRUE;
}

static gboolean bisect(Trial *trial, double enough, double little, GError **error)
{
    while (enough / little > 1 + EXPLAIN_PRECISION_FRAC) {
        double middle = sqrt(enough * little), step_s;
        if (!trial_step(trial, middle, &step_s, error))
            return FALSE;
        if (step_s > trial->enough_s) {
            little = middle;
            continue;
        }
        enough = middle;
        trial->search->step_s = step_s;
    }
    trial->search->scale = enough;
    return TRUE;
}

static gboolean search_run(Trial *trial, GError **error)
{
    BandwidthSearch *search = trial->search;
    gboolean is_enough = search->step_s <= trial->enough_s, at_limit;
    double enough, little;
    search->answer = is_enough ? BANDWIDTH_ENOUGH : BANDWIDTH_MORE;
    if (!is_enough) {
        double today_s = search->step_s;
        if (!bound_find(trial, error))
            return FALSE;
        if (search->step_s > trial->enough_s) {
            search->answer = BANDWIDTH_NEVER;
            return TRUE;
        }
        search->step_s = today_s;
    }
    if (!bracket(trial, is_enough ? 0.5 : 2, &enough, &little, &at_limit, error))
        return FALSE;
    search->scale = enough;
    search->at_limit = at_limit;
    return at_limit || bisect(trial, enough, little, error);
}

gboolean explain_bandwidth(const Cluster *cluster, const Job *job, const Profile *profile,
                           const NcclOptions *nccl, double step_time_s,
                           ExplainProgress progress, void *data, BandwidthSearch *search,
                           GError **error)
{
    *search = (BandwidthSearch){.today_bytes_per_s = cluster->nic_bytes_per_s,
                                .scale = 1,
                                .step_s = step_time_s,
                                .bound.link_class = -1};
    Trial trial = {.cluster = cluster,
                   .job = job,
                   .profile = profile,
                   .nccl = nccl,
                   .progress = progress,
                   .data = data,
                   .search = search};
    g_autoptr(SimResult) instant = trial_run(&trial, 1, TRUE, error);
    if (!instant)
        return FALSE;
    search->free_step_s = instant->timeline->step_time_s;
    trial.enough_s = search->free_step_s * (1 + EXPLAIN_WITHIN_FRAC);
    if (cluster->n_nodes > 1)
        return search_run(&trial, error);
    search->answer = BANDWIDTH_ONE_NODE;
    return TRUE;
}
