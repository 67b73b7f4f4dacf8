/* SPDX-License-Identifier: MIT */
/* Puts an explanation together from the critical path: stretches of it, their sum by phase, and
 * what they are made of. The path is explain_path.c's, links are explain_links.c's, and what is
 * simulated again is explain_bandwidth.c's part. */
#include "explain.h"

/* A loss of less than this share of a kernel's time is rounding. */
#define SLOWED_FRAC 1e-6

static double slowed_s(const Cluster *cluster, const Timeline *timeline,
                       const PathElement *element, const Op *op)
{
    double took_s = timeline_end_s(timeline, element->rank, element->op) -
                    timeline_start_s(timeline, element->rank, element->op);
    double alone_s = op->work_s / cluster_gpu(cluster, element->rank)->speed;
    if (element->kind != PATH_KERNELS || took_s - alone_s <= SLOWED_FRAC * took_s)
        return 0;
    return (element->end_s - element->begin_s) * (1 - alone_s / took_s);
}

void explain_slowed(const Cluster *cluster, const Job *job, const Timeline *timeline,
                    GArray *path)
{
    for (guint i = 0; i < path->len; i++) {
        PathElement *element = &g_array_index(path, PathElement, i);
        const Op *op = schedule_op(job_program(job, element->rank), element->op);
        element->slowed_s = slowed_s(cluster, timeline, element, op);
    }
}

static void stretch_clear(gpointer data)
{
    PathStretch *stretch = data;
    g_free(stretch->first_label);
    g_free(stretch->last_label);
    g_free(stretch->what);
}

static char *stretch_what(const Job *job, const PathElement *element, const Op *op,
                          gboolean recomputes)
{
    if (element->kind == PATH_COLLECTIVE)
        return explain_collective_label(job, op);
    if (element->kind == PATH_HOST)
        return g_strdup_printf("host in %s", phase_name(op->phase));
    return g_strdup_printf("kernels in %s",
                           recomputes ? "recomputation" : phase_name(op->phase));
}

/* Whether the element only lengthens the stretch; each collective is one of its own. */
static gboolean goes_on(const PathStretch *stretch, const PathElement *element, const Op *op,
                        gboolean recomputes)
{
    return stretch->kind == element->kind && element->kind != PATH_COLLECTIVE &&
           stretch->rank == element->rank && stretch->phase == op->phase &&
           stretch->recomputes == recomputes;
}

static void stretch_add(GArray *stretches, const Job *job, const PathElement *element)
{
    const Schedule *schedule = job_program(job, element->rank);
    const Op *op = schedule_op(schedule, element->op);
    const char *label = schedule_label(schedule, op->label);
    gboolean recomputes = explain_recomputes(schedule, op);
    PathStretch *last =
        stretches->len == 0 ? NULL : &g_array_index(stretches, PathStretch, stretches->len - 1);
    if (last != NULL && goes_on(last, element, op, recomputes)) {
        g_free(last->last_label);
        last->last_label = g_strdup(label);
        last->end_s = element->end_s;
        last->n_ops++;
        return;
    }
    PathStretch stretch = {.kind = element->kind,
                           .phase = op->phase,
                           .recomputes = recomputes,
                           .begin_s = element->begin_s,
                           .end_s = element->end_s,
                           .rank = element->rank,
                           .n_ops = 1,
                           .first_label = g_strdup(label),
                           .last_label = g_strdup(label),
                           .what = stretch_what(job, element, op, recomputes),
                           .link_class = element->link_class};
    g_array_append_val(stretches, stretch);
}

Explanation *explain_new(const Cluster *cluster, const Job *job, const SimResult *sim)
{
    Explanation *explanation = g_new0(Explanation, 1);
    g_autoptr(GArray) path = explain_path(job, sim->timeline);
    explanation->rank = timeline_last_rank(sim->timeline);
    explanation->bottleneck = explain_links(job, sim, path);
    explain_slowed(cluster, job, sim->timeline, path);
    explanation->contributors = explain_contributors(job, path);
    explanation->stretches = g_array_new(FALSE, TRUE, sizeof(PathStretch));
    g_array_set_clear_func(explanation->stretches, stretch_clear);
    for (guint i = 0; i < path->len; i++) {
        const PathElement *element = &g_array_index(path, PathElement, i);
        const Op *op = schedule_op(job_program(job, element->rank), element->op);
        explanation->path_s[op->phase][element->kind] += element->end_s - element->begin_s;
        explanation->slowed_s += element->slowed_s;
        stretch_add(explanation->stretches, job, element);
    }
    return explanation;
}

void explain_free(Explanation *explanation)
{
    if (explanation == NULL)
        return;
    g_array_unref(explanation->stretches);
    g_array_unref(explanation->contributors);
    g_free(explanation);
}

char *explain_summary(const Explanation *explanation)
{
    double path_s = 0;
    const GArray *contributors = explanation->contributors;
    for (guint i = 0; i < contributors->len; i++)
        path_s += g_array_index(contributors, PathContributor, i).time_s;
    if (path_s <= 0)
        return g_strdup("empty");
    const PathContributor *most = &g_array_index(contributors, PathContributor, 0);
    double collectives_s = explanation->bottleneck.collectives_s;
    const Bottleneck *bottleneck = &explanation->bottleneck;
    const char *name = explain_bottleneck_name(bottleneck);
    g_autofree char *bound =
        collectives_s <= 0 ? g_strdup("no collectives")
                           : g_strdup_printf("%.2g %% collectives, bound by %s%s",
                                             100 * collectives_s / path_s, name,
                                             explain_is_latency(bottleneck) ? "" : " links");
    return g_strdup_printf("%.0f %% %s, %s", 100 * most->time_s / path_s, most->label, bound);
}
