/* SPDX-License-Identifier: MIT */
/* Fits constants by the simplex method of Nelder and Mead (1965) on their logarithms: the error
 * is a mean of absolute values, which outliers don't rule and which has no derivative. */
#include "nccl_fit.h"

#include "error.h"

#include <math.h>
#include <string.h>

#define MAX_CONSTANTS (4 + 2 * N_ALGORITHMS)
#define MAX_ITERATIONS 3000
#define MIN_ROWS 6
#define LEAST 1e-7

/* An algorithm's bandwidth shows in so many rows of payloads like this. */
#define MIN_LARGE_ROWS 3
#define LARGE_BYTES (2 << 20)

/* What groups of 2, 4 and 8 GPUs show on H100 and on B200 alike; kept where all are of one
 * size.
 */
#define TYPICAL_OWN_FRAC 0.6

/* A little of each bandwidth's distance from NCCL's, so that few rows don't run away. */
#define BANDWIDTH_COST 0.01

typedef struct {
    const GArray *rows;
    const gboolean *used;                       /* by row */
    gboolean has[N_ALGORITHMS];                 /* rows */
    int algorithms[N_ALGORITHMS], n_algorithms; /* whose bandwidth the rows show */
    gboolean sizes_differ;                      /* groups of several sizes */
    int n;                                      /* constants */
} Problem;

typedef struct {
    double x[MAX_CONSTANTS], cost;
} Point;

static gboolean counts(const NcclRow *row)
{
    return row->bytes >= NCCL_FIT_MIN_BYTES && row->bytes <= NCCL_FIT_MAX_BYTES;
}

double nccl_fit_predict_s(const NcclCalibration *calibration, const NcclRow *row)
{
    double latency_s = row->latency_s, flow_s = row->flow_s;
    if (calibration && calibration->has[row->used])
        nccl_calibration_apply(calibration, row->used, row->n_gpus, row->bytes, &latency_s,
                               &flow_s);
    return latency_s + flow_s;
}

double nccl_fit_error_frac(const NcclCalibration *calibration, const GArray *rows)
{
    double sum = 0;
    int n = 0;
    for (guint i = 0; i < rows->len; i++) {
        const NcclRow *row = &g_array_index(rows, NcclRow, i);
        if (!counts(row))
            continue;
        sum += fabs(log(nccl_fit_predict_s(calibration, row) / row->time_s));
        n++;
    }
    return n > 0 ? exp(sum / n) - 1 : 0;
}

/* The constants of a point; outside their ranges it costs. */
static double unpack(const Problem *problem, const double *x, NcclCalibration *calibration)
{
    double cost = 0, *values[MAX_CONSTANTS];
    int kinds[MAX_CONSTANTS] = {NCCL_LAUNCH_S, NCCL_LATENCY_FRAC, NCCL_FILL_BYTES}, n = 3;
    values[0] = &calibration->launch_s;
    values[1] = &calibration->latency_frac;
    values[2] = &calibration->fill_bytes;
    for (int a = 0; a < N_ALGORITHMS; a++) {
        calibration->has[a] = problem->has[a];
        calibration->bandwidth_frac[a] = 1;
    }
    calibration->own_frac = TYPICAL_OWN_FRAC;
    if (problem->sizes_differ) {
        kinds[n] = NCCL_OWN_FRAC;
        values[n++] = &calibration->own_frac;
    }
    for (int i = 0; i < problem->n_algorithms; i++) {
        int a = problem->algorithms[i];
        kinds[n] = NCCL_BANDWIDTH_FRAC;
        values[n] = &calibration->bandwidth_frac[a];
        cost += BANDWIDTH_COST * fabs(x[n++]);
        kinds[n] = NCCL_FILL_S;
        values[n++] = &calibration->fill_s[a];
    }
    for (int i = 0; i < n; i++) {
        const NcclConstant *range = &nccl_constants[kinds[i]];
        double low = log(MAX(range->min, LEAST)), high = log(range->max);
        cost += MAX(0, low - x[i]) + MAX(0, x[i] - high);
        *values[i] = exp(CLAMP(x[i], low, high));
    }
    return cost;
}

static double cost_of(const Problem *problem, const double *x)
{
    NcclCalibration calibration = {0};
    double sum = 0, cost = unpack(problem, x, &calibration);
    int n = 0;
    for (guint i = 0; i < problem->rows->len; i++) {
        const NcclRow *row = &g_array_index(problem->rows, NcclRow, i);
        if (!problem->used[i])
            continue;
        sum += fabs(log(nccl_fit_predict_s(&calibration, row) / row->time_s));
        n++;
    }
    return sum / MAX(n, 1) + cost;
}

static int compare_points(gconstpointer one, gconstpointer other)
{
    const Point *a = one, *b = other;
    return a->cost < b->cost ? -1 : a->cost > b->cost;
}

/* From the centre of all but the worst, `factor` of the way to the worst. */
static Point point_along(const Problem *problem, const Point *simplex, double factor)
{
    Point point = {0};
    for (int j = 0; j < problem->n; j++) {
        double centre = 0;
        for (int i = 0; i < problem->n; i++)
            centre += simplex[i].x[j] / problem->n;
        point.x[j] = centre + factor * (simplex[problem->n].x[j] - centre);
    }
    point.cost = cost_of(problem, point.x);
    return point;
}

static void simplex_shrink(const Problem *problem, Point *simplex)
{
    for (int i = 1; i <= problem->n; i++) {
        for (int j = 0; j < problem->n; j++)
            simplex[i].x[j] = (simplex[0].x[j] + simplex[i].x[j]) / 2;
        simplex[i].cost = cost_of(problem, simplex[i].x);
    }
}

static Point minimise(const Problem *problem, const double *start, double step)
{
    Point simplex[MAX_CONSTANTS + 1] = {{{0}, 0}};
    for (int i = 0; i <= problem->n; i++) {
        memcpy(simplex[i].x, start, sizeof simplex[i].x);
        if (i > 0)
            simplex[i].x[i - 1] += step;
        simplex[i].cost = cost_of(problem, simplex[i].x);
    }
    for (int iteration = 0; iteration < MAX_ITERATIONS; iteration++) {
        Point *worst = &simplex[problem->n];
        qsort(simplex, (size_t)problem->n + 1, sizeof *simplex, compare_points);
        if (worst->cost - simplex[0].cost < 1e-9)
            break;
        Point reflected = point_along(problem, simplex, -1);
        if (reflected.cost < simplex[0].cost) {
            Point expanded = point_along(problem, simplex, -2);
            *worst = expanded.cost < reflected.cost ? expanded : reflected;
        } else if (reflected.cost < simplex[problem->n - 1].cost) {
            *worst = reflected;
        } else {
            Point contracted = point_along(problem, simplex, 0.5);
            if (contracted.cost < worst->cost)
                *worst = contracted;
            else
                simplex_shrink(problem, simplex);
        }
    }
    qsort(simplex, (size_t)problem->n + 1, sizeof *simplex, compare_points);
    return simplex[0];
}

/* From a few starts, each minimum once more with a fresh simplex. */
static NcclCalibration *solve(const Problem *problem)
{
    static const double starts[][3] = {/* launch_s, fill_bytes, fill_s */
                                       {1e-5, 1e7, 6e-5},   {4e-5, 3e7, 1e-4},
                                       {4e-5, 1e8, 4e-4},   {1.5e-4, 1e7, 4e-4},
                                       {1.5e-4, 1e8, 4e-4}, {3e-6, 1e6, 1e-4}};
    Point best = {.cost = G_MAXDOUBLE};
    for (gsize s = 0; s < G_N_ELEMENTS(starts); s++) {
        double start[MAX_CONSTANTS] = {log(starts[s][0]), log(0.5), log(starts[s][1])};
        int n_common = problem->n - 2 * problem->n_algorithms;
        start[3] = problem->sizes_differ ? log(0.3) : 0;
        for (int i = 0; i < problem->n_algorithms; i++)
            start[n_common + 1 + 2 * i] = log(starts[s][2]);
        Point point = minimise(problem, start, 0.5);
        point = minimise(problem, point.x, 0.3);
        if (point.cost < best.cost)
            best = point;
    }
    NcclCalibration *calibration = g_new0(NcclCalibration, 1);
    unpack(problem, best.x, calibration);
    return calibration;
}

/* What the rows in use can tell. */
static void problem_size(Problem *problem)
{
    int n_large[N_ALGORITHMS] = {0}, n_gpus = 0;
    for (guint i = 0; i < problem->rows->len; i++) {
        const NcclRow *row = &g_array_index(problem->rows, NcclRow, i);
        if (!problem->used[i])
            continue;
        problem->has[row->used] = TRUE;
        n_large[row->used] += row->bytes >= LARGE_BYTES;
        if (row->used != ALGORITHM_RING)
            continue;
        problem->sizes_differ |= n_gpus > 0 && n_gpus != row->n_gpus;
        n_gpus = row->n_gpus;
    }
    for (int a = 0; a < N_ALGORITHMS; a++)
        if (n_large[a] >= MIN_LARGE_ROWS)
            problem->algorithms[problem->n_algorithms++] = a;
    problem->n = 3 + problem->sizes_differ + 2 * problem->n_algorithms;
}

/* Which part a row is held out with: its group, or the parity of its size's rank. */
static int *parts_of(const GArray *rows, gboolean by_group, const GPtrArray *groups)
{
    int *parts = g_new(int, rows->len + 1);
    for (guint i = 0; i < rows->len; i++) {
        const NcclRow *row = &g_array_index(rows, NcclRow, i);
        parts[i] = (int)lround(log2((double)row->bytes)) % 2;
        for (guint g = 0; by_group && g < groups->len; g++)
            if (strcmp(groups->pdata[g], row->group) == 0)
                parts[i] = (int)g;
    }
    return parts;
}

static double held_out_error(const GArray *rows, const int *parts, int n_parts)
{
    double sum = 0;
    int n = 0;
    g_autofree gboolean *used = g_new(gboolean, rows->len + 1);
    for (int part = 0; part < n_parts; part++) {
        Problem problem = {.rows = rows, .used = used};
        for (guint i = 0; i < rows->len; i++)
            used[i] = parts[i] != part && counts(&g_array_index(rows, NcclRow, i));
        problem_size(&problem);
        g_autoptr(NcclCalibration) calibration = solve(&problem);
        for (guint i = 0; i < rows->len; i++) {
            const NcclRow *row = &g_array_index(rows, NcclRow, i);
            if (parts[i] != part || !counts(row))
                continue;
            sum += fabs(log(nccl_fit_predict_s(calibration, row) / row->time_s));
            n++;
        }
    }
    return n > 0 ? exp(sum / n) - 1 : 0;
}

static GPtrArray *groups_of(const GArray *rows)
{
    GPtrArray *groups = g_ptr_array_new();
    for (guint i = 0; i < rows->len; i++) {
        char *group = g_array_index(rows, NcclRow, i).group;
        if (!g_ptr_array_find_with_equal_func(groups, group, g_str_equal, NULL))
            g_ptr_array_add(groups, group);
    }
    return groups;
}

NcclFit *nccl_fit(const GArray *rows, GError **error)
{
    g_autoptr(NcclFit) fit = g_new0(NcclFit, 1);
    g_autoptr(GPtrArray) groups = groups_of(rows);
    g_autofree gboolean *used = g_new(gboolean, rows->len + 1);
    Problem problem = {.rows = rows, .used = used};
    for (guint i = 0; i < rows->len; i++) {
        used[i] = counts(&g_array_index(rows, NcclRow, i));
        fit->n_rows += used[i];
    }
    if (fit->n_rows < MIN_ROWS) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%d measurements from 64 KiB to 8 GiB are too few: at least %d are needed",
                    fit->n_rows, MIN_ROWS);
        return NULL;
    }
    problem_size(&problem);
    fit->n_groups = (int)groups->len;
    fit->by_group = fit->n_groups > 1;
    fit->calibration = solve(&problem);
    fit->model_error_frac = nccl_fit_error_frac(NULL, rows);
    fit->fitted_error_frac = nccl_fit_error_frac(fit->calibration, rows);
    g_autofree int *parts = parts_of(rows, fit->by_group, groups);
    fit->held_out_error_frac = held_out_error(rows, parts, fit->by_group ? fit->n_groups : 2);
    return g_steal_pointer(&fit);
}

void nccl_fit_free(NcclFit *fit)
{
    if (!fit)
        return;
    nccl_calibration_free(fit->calibration);
    g_free(fit);
}
