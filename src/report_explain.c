/* SPDX-License-Identifier: MIT */
/* An explanation as a person reads it: the critical path by phase, its largest contributors,
 * how much of each collective is hidden, what binds the collectives, and which bandwidth would
 * do. And as the member `explain` of a result. */
#include "report_explain.h"

#include "report_grid.h"

#define GB 1e9
#define N_LARGEST 5

static double path_sum_s(const Explanation *explanation, int phase, int kind)
{
    double sum_s = 0;
    for (int p = 0; p < N_PHASES; p++)
        for (int k = 0; k < N_PATH_KINDS; k++)
            if ((phase < 0 || p == phase) && (kind < 0 || k == kind))
                sum_s += explanation->path_s[p][k];
    return sum_s;
}

static void add_path_row(ReportGrid *grid, const Result *result, const char *name, int phase)
{
    double row_s = path_sum_s(result->explanation, phase, -1);
    report_grid_add(grid, "%s", name);
    for (int k = 0; k < N_PATH_KINDS; k++)
        report_grid_add(grid, "%.4f", path_sum_s(result->explanation, phase, k));
    report_grid_add(grid, "%.4f", row_s);
    report_grid_add(grid, "%.1f", 100 * row_s / result->step_time_s);
}

static void print_path(const Result *result, FILE *out)
{
    static const char *const heads[] = {"critical path", "kernels [s]", "collectives [s]",
                                        "host [s]",      "all [s]",     "[%]"};
    g_autoptr(ReportGrid) grid = report_grid_new((int)G_N_ELEMENTS(heads), 1);
    for (gsize i = 0; i < G_N_ELEMENTS(heads); i++)
        report_grid_add(grid, "%s", heads[i]);
    for (int p = 0; p < N_PHASES; p++)
        add_path_row(grid, result, phase_name((Phase)p), p);
    add_path_row(grid, result, "step", -1);
    report_grid_print(grid, 0, out);
}

/* "all_reduce in backward, nic links" */
static char *contributor_name(const PathContributor *contributor)
{
    int link_class = explain_contributor_class(contributor);
    return link_class < 0 ? g_strdup(contributor->label)
                          : g_strdup_printf("%s, %s links", contributor->label,
                                            link_class_name((LinkClass)link_class));
}

static void print_contributors(const Result *result, FILE *out)
{
    const GArray *contributors = result->explanation->contributors;
    g_autoptr(ReportGrid) grid = report_grid_new(3, 1);
    report_grid_add(grid, "largest parts of it");
    report_grid_add(grid, "[s]");
    report_grid_add(grid, "[%%]");
    for (guint i = 0; i < MIN(contributors->len, N_LARGEST); i++) {
        const PathContributor *c = &g_array_index(contributors, PathContributor, i);
        g_autofree char *name = contributor_name(c);
        report_grid_add(grid, "%s", name);
        report_grid_add(grid, "%.4f", c->time_s);
        report_grid_add(grid, "%.1f", 100 * c->time_s / result->step_time_s);
    }
    report_grid_print(grid, 0, out);
}

/* Of a collective that takes no time, nothing shows. */
static double hidden_frac(const CollectiveTotal *total)
{
    return total->busy_s > 0 ? 1 - total->exposed_s / total->busy_s : 1;
}

static void print_hidden(const Result *result, FILE *out)
{
    g_autoptr(ReportGrid) grid = report_grid_new(4, 1);
    report_grid_add(grid, "hidden behind kernels");
    report_grid_add(grid, "group");
    report_grid_add(grid, "busy [s]");
    report_grid_add(grid, "hidden [%%]");
    for (guint i = 0; i < result->collectives->len; i++) {
        const CollectiveTotal *t = &g_array_index(result->collectives, CollectiveTotal, i);
        report_grid_add(grid, "%s in %s", collective_name(t->kind), phase_name(t->phase));
        report_grid_add(grid, "%s", t->group);
        report_grid_add(grid, "%.4f", t->busy_s);
        report_grid_add(grid, "%.1f", 100 * hidden_frac(t));
    }
    report_grid_print(grid, 0, out);
}

/* "12.1 GB/s of payload a NIC, 0.25 times today's"; a platform may not say what a NIC has. */
static char *bandwidth_amount(const BandwidthSearch *search)
{
    double bytes_per_s = search->scale * search->today_bytes_per_s;
    return search->today_bytes_per_s > 0
               ? g_strdup_printf("%.3g GB/s of payload a NIC (%.3g times today's)",
                                 bytes_per_s / GB, search->scale)
               : g_strdup_printf("%.3g times today's", search->scale);
}

static char *never_text(const BandwidthSearch *search)
{
    double longer_percent = 100 * (search->step_s / search->free_step_s - 1);
    const Bottleneck *bound = &search->bound;
    if (bound->collectives_s <= 0)
        return g_strdup_printf("none would do: at %g times today's the step is still %.2g %% "
                               "longer, by what collectives take from kernels beside them",
                               search->scale, longer_percent);
    g_autofree char *what = explain_bottleneck_text(bound);
    return g_strdup_printf("none would do: at %g times today's the step is still %.2g %% "
                           "longer, bound by %s",
                           search->scale, longer_percent, what);
}

char *report_bandwidth_text(const BandwidthSearch *search)
{
    g_autofree char *amount = bandwidth_amount(search);
    switch (search->answer) {
    case BANDWIDTH_ONE_NODE:
        return g_strdup("one node: no link between nodes is used");
    case BANDWIDTH_ENOUGH:
        return g_strdup_printf("enough as it is, and would be %s %s",
                               search->at_limit ? "even at" : "down to", amount);
    case BANDWIDTH_MORE:
        return g_strdup_printf("%s would do", amount);
    case BANDWIDTH_NEVER:
        return never_text(search);
    case N_BANDWIDTH_ANSWERS:
        break;
    }
    g_assert_not_reached();
}

static void print_bandwidth(const BandwidthSearch *search, FILE *out)
{
    g_autofree char *text = report_bandwidth_text(search);
    fprintf(out, "communication-free: step %.4g s\n", search->free_step_s);
    fprintf(out, "bandwidth between nodes for a step within %.0f %% of that: %s\n",
            100 * EXPLAIN_WITHIN_FRAC, text);
}

void report_explain_print(const Result *result, FILE *out)
{
    const Explanation *explanation = result->explanation;
    g_autofree char *bottleneck = explain_bottleneck_text(&explanation->bottleneck);
    print_path(result, out);
    fputc('\n', out);
    print_contributors(result, out);
    fputc('\n', out);
    if (result->collectives->len > 0) {
        print_hidden(result, out);
        fputc('\n', out);
    }
    fprintf(out, "bottleneck: %s\n", bottleneck);
    if (explanation->has_bandwidth)
        print_bandwidth(&explanation->bandwidth, out);
}

static json_t *bottleneck_object(const Bottleneck *bottleneck)
{
    return json_pack("{s:s, s:f, s:f, s:f, s:f}", "link_class",
                     explain_bottleneck_name(bottleneck), "collectives_s",
                     bottleneck->collectives_s, "latency_s", bottleneck->latency_s,
                     "utilisation_frac", bottleneck->utilisation_frac,
                     "channels_utilisation_frac", bottleneck->channels_utilisation_frac);
}

static const char *const kind_names[N_PATH_KINDS] = {
    [PATH_KERNELS] = "kernels", [PATH_COLLECTIVE] = "collective", [PATH_HOST] = "host"};

static json_t *stretches_array(const GArray *stretches)
{
    json_t *array = json_array();
    for (guint i = 0; i < stretches->len; i++) {
        const PathStretch *s = &g_array_index(stretches, PathStretch, i);
        json_array_append_new(
            array,
            json_pack("{s:f, s:f, s:i, s:s, s:s, s:s, s:s, s:i, s:s?}", "begin_s", s->begin_s,
                      "end_s", s->end_s, "rank", s->rank, "kind", kind_names[s->kind], "what",
                      s->what, "first_op", s->first_label, "last_op", s->last_label, "n_ops",
                      s->n_ops, "link_class",
                      s->link_class < 0 ? NULL : link_class_name((LinkClass)s->link_class)));
    }
    return array;
}

static json_t *path_object(const Explanation *explanation)
{
    return json_pack("{s:i, s:f, s:f, s:f, s:f, s:o}", "rank", explanation->rank, "kernels_s",
                     path_sum_s(explanation, -1, PATH_KERNELS), "collectives_s",
                     path_sum_s(explanation, -1, PATH_COLLECTIVE), "host_s",
                     path_sum_s(explanation, -1, PATH_HOST), "slowed_s", explanation->slowed_s,
                     "stretches", stretches_array(explanation->stretches));
}

static json_t *contributors_array(const Result *result)
{
    const GArray *contributors = result->explanation->contributors;
    json_t *array = json_array();
    for (guint i = 0; i < MIN(contributors->len, N_LARGEST); i++) {
        const PathContributor *c = &g_array_index(contributors, PathContributor, i);
        int link_class = explain_contributor_class(c);
        json_array_append_new(
            array, json_pack("{s:s, s:s, s:f, s:f, s:s?}", "what", c->label, "kind",
                             kind_names[c->kind], "time_s", c->time_s, "step_frac",
                             c->time_s / result->step_time_s, "link_class",
                             link_class < 0 ? NULL : link_class_name((LinkClass)link_class)));
    }
    return array;
}

static json_t *hidden_array(const Result *result)
{
    json_t *array = json_array();
    for (guint i = 0; i < result->collectives->len; i++) {
        const CollectiveTotal *t = &g_array_index(result->collectives, CollectiveTotal, i);
        json_array_append_new(
            array, json_pack("{s:s, s:s, s:s, s:f, s:f}", "collective",
                             collective_name(t->kind), "phase", phase_name(t->phase), "group",
                             t->group, "busy_s", t->busy_s, "hidden_frac", hidden_frac(t)));
    }
    return array;
}

static json_t *bandwidth_object(const BandwidthSearch *search)
{
    static const char *const answers[N_BANDWIDTH_ANSWERS] = {
        [BANDWIDTH_ONE_NODE] = "one_node",
        [BANDWIDTH_ENOUGH] = "enough",
        [BANDWIDTH_MORE] = "more",
        [BANDWIDTH_NEVER] = "never",
    };
    g_autofree char *text = report_bandwidth_text(search);
    json_t *object =
        json_pack("{s:f, s:f, s:s, s:s, s:i}", "free_step_s", search->free_step_s,
                  "within_frac", EXPLAIN_WITHIN_FRAC, "answer", answers[search->answer], "text",
                  text, "n_simulations", search->n_simulations);
    if (search->answer == BANDWIDTH_ONE_NODE)
        return object;
    json_object_set_new(object, "scale", json_real(search->scale));
    json_object_set_new(object, "nic_bytes_per_s",
                        json_real(search->scale * search->today_bytes_per_s));
    json_object_set_new(object, "step_s", json_real(search->step_s));
    if (search->answer == BANDWIDTH_NEVER)
        json_object_set_new(object, "bound", bottleneck_object(&search->bound));
    return object;
}

json_t *report_explain_object(const Result *result)
{
    const Explanation *explanation = result->explanation;
    g_autofree char *text = explain_bottleneck_text(&explanation->bottleneck);
    json_t *bottleneck = bottleneck_object(&explanation->bottleneck);
    json_object_set_new(bottleneck, "text", json_string(text));
    json_t *object = json_pack(
        "{s:o, s:o, s:o, s:o}", "critical_path", path_object(explanation), "contributors",
        contributors_array(result), "hidden", hidden_array(result), "bottleneck", bottleneck);
    g_assert(object != NULL);
    if (explanation->has_bandwidth)
        json_object_set_new(object, "bandwidth", bandwidth_object(&explanation->bandwidth));
    return object;
}
