/* SPDX-License-Identifier: MIT */
/* Figures of a line a strategy: rows are values of x, and each strategy has its columns. What
 * doesn't fit in memory is left out. */
#include "plot.h"

#include <math.h>
#include <string.h>

#define GB 1e9
#define N_SERIES 2 /* most columns a strategy */

/* A value of x, and what each strategy has there; NAN: nothing. */
typedef struct {
    double x;
    double y[PLOT_N_STRATEGIES][N_SERIES];
} Row;

static Row *row_at(GArray *rows, double x)
{
    for (guint i = 0; i < rows->len; i++)
        if (g_array_index(rows, Row, i).x == x)
            return &g_array_index(rows, Row, i);
    Row row = {.x = x};
    for (int s = 0; s < PLOT_N_STRATEGIES; s++)
        for (int i = 0; i < N_SERIES; i++)
            row.y[s][i] = NAN;
    g_array_append_val(rows, row);
    return &g_array_index(rows, Row, rows->len - 1);
}

static int row_compare(gconstpointer a, gconstpointer b)
{
    const Row *one = a, *other = b;
    return (one->x > other->x) - (one->x < other->x);
}

static void write_rows(const GArray *rows, const char *x, const char *const *series,
                       PlotCsv *csv)
{
    fputs(x, csv->out);
    for (int s = 0; s < PLOT_N_STRATEGIES; s++)
        for (int i = 0; series[i] != NULL; i++)
            fprintf(csv->out, ",%s_%s", plot_strategies[s], series[i]);
    fputs(",end\n", csv->out);
    for (guint r = 0; r < rows->len; r++) {
        const Row *row = &g_array_index(rows, Row, r);
        plot_number(csv, row->x);
        for (int s = 0; s < PLOT_N_STRATEGIES; s++)
            for (int i = 0; series[i] != NULL; i++)
                plot_number(csv, row->y[s][i]);
        plot_end(csv);
    }
}

/* What a line's points must have in common. */
static gboolean need_one_setup(const ResultsIn *in, GError **error)
{
    static const char *const paths[] = {"model.config", "model.sequence_length",
                                        "cluster.platform"};
    if (!plot_need_results(in, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++)
        if (!plot_need_same(in, paths[i], error))
            return FALSE;
    return TRUE;
}

/* Collects a value a strategy and x of the results that fit; two at one place are an error. */
static gboolean collect(const ResultsIn *in, const char *x_path, const char *y_path,
                        GArray *rows, GError **error)
{
    for (guint i = 0; i < in->results->len; i++) {
        const json_t *result = in->results->pdata[i];
        double x = results_in_number(result, x_path);
        int strategy;
        if (!plot_strategy(in, i, &strategy, error))
            return FALSE;
        if (!isfinite(x))
            return plot_fail(error, "%s: %s: the figure needs a number there",
                             (const char *)in->origins->pdata[i], x_path);
        double *y = row_at(rows, x)->y[strategy];
        if (!results_in_fits(result))
            continue;
        if (isfinite(*y))
            return plot_fail(
                error, "%s: is a second result of %s at %s %g: choose with --where",
                (const char *)in->origins->pdata[i], plot_strategies[strategy], x_path, x);
        *y = results_in_number(result, y_path);
    }
    g_array_sort(rows, row_compare);
    return TRUE;
}

static gboolean any_value(const GArray *rows)
{
    for (guint r = 0; r < rows->len; r++)
        for (int s = 0; s < PLOT_N_STRATEGIES; s++)
            if (isfinite(g_array_index(rows, Row, r).y[s][0]))
                return TRUE;
    return FALSE;
}

static gboolean need_curve(const GArray *rows, const char *x, GError **error)
{
    if (rows->len < 2)
        return plot_fail(error, "the figure needs results at two or more values of %s", x);
    return any_value(rows) || plot_fail(error, "nothing fits in memory, so there is no curve");
}

/* Tokens a second of all GPUs, and a GPU's share beside the fewest GPUs' of its strategy. */
static void turn_into_scaling(GArray *rows)
{
    for (int s = 0; s < PLOT_N_STRATEGIES; s++) {
        double reference = NAN;
        for (guint r = 0; r < rows->len; r++) {
            Row *row = &g_array_index(rows, Row, r);
            double per_gpu = row->y[s][0];
            reference = isfinite(reference) ? reference : per_gpu;
            row->y[s][0] = per_gpu * row->x;
            row->y[s][1] = 100 * per_gpu / reference;
        }
    }
}

static gboolean write_scaling(const ResultsIn *in, PlotCsv *csv, GError **error)
{
    static const char *const series[] = {"tokens_per_s", "efficiency_percent", NULL};
    g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(Row));
    if (!collect(in, "n_ranks", "tokens_per_s_per_gpu", rows, error) ||
        !need_curve(rows, "n_ranks (compare --over cluster.nodes=1..8*2)", error))
        return FALSE;
    turn_into_scaling(rows);
    write_rows(rows, "n_gpus", series, csv);
    return TRUE;
}

gboolean plot_weak_write(const ResultsIn *in, PlotCsv *csv, GError **error)
{
    return need_one_setup(in, error) && plot_need_same(in, "training.micro_batch", error) &&
           plot_need_same(in, "training.gradient_accumulation", error) &&
           write_scaling(in, csv, error);
}

gboolean plot_strong_write(const ResultsIn *in, PlotCsv *csv, GError **error)
{
    return need_one_setup(in, error) && plot_need_same(in, "training.global_batch", error) &&
           write_scaling(in, csv, error);
}

gboolean plot_bandwidth_write(const ResultsIn *in, PlotCsv *csv, GError **error)
{
    static const char *const series[] = {"step_time_s", NULL};
    g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(Row));
    if (!need_one_setup(in, error) || !plot_need_same(in, "cluster.nodes", error) ||
        !plot_need_same(in, "training.global_batch", error) ||
        !collect(in, "inputs.experiment.cluster.nic_bytes_per_s", "step_time_s", rows, error) ||
        !need_curve(rows, "cluster.nic_bytes_per_s", error))
        return FALSE;
    for (guint r = 0; r < rows->len; r++)
        g_array_index(rows, Row, r).x /= GB;
    write_rows(rows, "nic_gb_per_s", series, csv);
    return TRUE;
}

static gboolean need_several_models(const ResultsIn *in, GError **error)
{
    double first = results_in_number(in->results->pdata[0], "n_parameters");
    for (guint i = 1; i < in->results->len; i++)
        if (results_in_number(in->results->pdata[i], "n_parameters") != first)
            return TRUE;
    return plot_fail(error, "the figure needs results of several models (compare --over "
                            "model.config=A.json,B.json)");
}

/* The largest n_parameters of results that fit, by number of GPUs and strategy. */
gboolean plot_largest_model_write(const ResultsIn *in, PlotCsv *csv, GError **error)
{
    static const char *const series[] = {"billion_parameters", NULL};
    g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(Row));
    if (!plot_need_results(in, error) || !plot_need_same(in, "cluster.platform", error) ||
        !need_several_models(in, error))
        return FALSE;
    for (guint i = 0; i < in->results->len; i++) {
        const json_t *result = in->results->pdata[i];
        double billions = results_in_number(result, "n_parameters") / 1e9;
        Row *row = row_at(rows, results_in_number(result, "n_ranks"));
        int strategy;
        if (!plot_strategy(in, i, &strategy, error))
            return FALSE;
        double *largest = row->y[strategy];
        if (results_in_fits(result) && !(*largest >= billions))
            *largest = billions;
    }
    g_array_sort(rows, row_compare);
    if (!need_curve(rows, "n_ranks (compare --over cluster.nodes=1..8*2)", error))
        return FALSE;
    write_rows(rows, "n_gpus", series, csv);
    return TRUE;
}

typedef struct {
    double hours, usd;
    int strategy;
    guint result;
} Point;

static int point_compare(gconstpointer a, gconstpointer b)
{
    const Point *one = a, *other = b;
    if (one->hours != other->hours)
        return one->hours < other->hours ? -1 : 1;
    return (one->usd > other->usd) - (one->usd < other->usd);
}

/* Hours and dollars for a billion tokens. */
static gboolean collect_points(const ResultsIn *in, GArray *points, GError **error)
{
    for (guint i = 0; i < in->results->len; i++) {
        const json_t *result = in->results->pdata[i];
        double tokens_per_s = results_in_number(result, "tokens_per_s_per_gpu") *
                              results_in_number(result, "n_ranks");
        Point point = {.hours = 1e9 / tokens_per_s / 3600,
                       .usd = 1e3 * results_in_number(result, "cost.usd_per_million_tokens"),
                       .result = i};
        if (!plot_strategy(in, i, &point.strategy, error))
            return FALSE;
        if (!isfinite(point.usd))
            return plot_fail(error,
                             "%s: cost: is missing (run compare with "
                             "--price=PLATFORM=USD_PER_GPU_HOUR)",
                             (const char *)in->origins->pdata[i]);
        if (results_in_fits(result))
            g_array_append_val(points, point);
    }
    return points->len > 0 || plot_fail(error, "nothing fits in memory");
}

gboolean plot_pareto_write(const ResultsIn *in, PlotCsv *csv, GError **error)
{
    double cheapest = INFINITY;
    g_autoptr(GArray) points = g_array_new(FALSE, FALSE, sizeof(Point));
    if (!plot_need_results(in, error) || !collect_points(in, points, error))
        return FALSE;
    g_array_sort(points, point_compare);
    fputs("label,n_gpus,hours,front_usd", csv->out);
    for (int s = 0; s < PLOT_N_STRATEGIES; s++)
        fprintf(csv->out, ",%s_usd", plot_strategies[s]);
    fputs(",end\n", csv->out);
    for (guint i = 0; i < points->len; i++) {
        const Point *point = &g_array_index(points, Point, i);
        g_autofree char *label = plot_label(in, point->result);
        plot_text(csv, label);
        plot_number(csv, results_in_number(in->results->pdata[point->result], "n_ranks"));
        plot_number(csv, point->hours);
        plot_number(csv, point->usd < cheapest ? point->usd : NAN);
        cheapest = MIN(cheapest, point->usd);
        for (int s = 0; s < PLOT_N_STRATEGIES; s++)
            plot_number(csv, s == point->strategy ? point->usd : NAN);
        plot_end(csv);
    }
    return TRUE;
}
