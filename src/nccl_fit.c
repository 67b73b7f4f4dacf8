/* SPDX-License-Identifier: MIT */
/* Fits the logarithms of constants by GSL's simplex search: the error is a mean of absolute
 * values, which outliers don't rule and which has no derivative. */
#include "nccl_fit.h"

#include "error.h"

#include <gsl/gsl_errno.h>
#include <gsl/gsl_multimin.h>
#include <math.h>
#include <string.h>

#define MAX_CONSTANTS (6 + N_GENERATIONS + 2 * N_ALGORITHMS)
#define MAX_ITERATIONS 4000
#define SIMPLEX_SIZE 1e-5
#define MIN_ROWS 6
#define LEAST 1e-7

/* An algorithm's bandwidth shows in so many rows of payloads like this. */
#define MIN_LARGE_ROWS 3
#define LARGE_BYTES (2 << 20)

/* What a constant is likely to be, as nccl-tests on A100, H100 and B200 show, and what an
 * e-fold of distance from it costs beside the mean error: few rows can't tell some constants
 * from others (one count of nodes: launch from trips). Own share: groups of 2, 4 and 8 GPUs of
 * H100 and B200; kept where all groups are of one size. Turns: H200 and B200 together. */
static const struct {
    double typical, cost;
} likely[N_NCCL_CONSTANTS] = {
    [NCCL_LAUNCH_S] = {3.5e-6, 0.01},        [NCCL_HOP_FRAC] = {1.5, 0.01},
    [NCCL_NET_TRIPS] = {4, 0.003},           [NCCL_FILL_BYTES] = {1e7, 0.0005},
    [NCCL_OWN_FRAC] = {0.6, 0.01},           [NCCL_LOOP_S] = {13e-6, 0.01},
    [NCCL_BLOCK_BYTES_PER_S] = {31e9, 0.01}, [NCCL_BANDWIDTH_FRAC] = {1, 0.02},
    [NCCL_FILL_S] = {1e-4, 0.0005},          [NCCL_FILL_LOOPS] = {2, 0.003},
};

typedef struct {
    const GArray *rows;
    const gboolean *used;                       /* by row */
    gboolean has[N_ALGORITHMS];                 /* rows */
    int algorithms[N_ALGORITHMS], n_algorithms; /* whose bandwidth the rows show */
    gboolean generations[N_GENERATIONS];        /* that the rows show */
    gboolean sizes_differ;                      /* groups of several sizes */
    gboolean has_excess;                        /* networks slower than InfiniBand */
    gboolean has_pipelines, has_loops;          /* of rings and trees; of NVSwitches */
    int n;                                      /* constants */
} Problem;

/* One constant to find: where it goes, and its number. */
typedef struct {
    double *value;
    int kind;
} Unknown;

static gboolean counts(const NcclRow *row)
{
    return row->bytes >= NCCL_FIT_MIN_BYTES && row->bytes <= NCCL_FIT_MAX_BYTES;
}

double nccl_fit_predict_s(const NcclCalibration *calibration, const NcclRow *row)
{
    double latency_s = row->model.latency_s, flow_s = row->model.flow_s;
    if (calibration && calibration->has[row->model.algorithm])
        nccl_calibration_apply(calibration, &row->model, &latency_s, &flow_s);
    return row->program_s + latency_s + flow_s;
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

static int unknowns_list(const Problem *problem, NcclCalibration *calibration, Unknown *all)
{
    int n = 0;
    all[n++] = (Unknown){&calibration->launch_s, NCCL_LAUNCH_S};
    for (int g = 0; g < N_GENERATIONS; g++)
        if (problem->generations[g])
            all[n++] = (Unknown){&calibration->hop_frac[g], NCCL_HOP_FRAC};
    if (problem->has_excess)
        all[n++] = (Unknown){&calibration->net_trips, NCCL_NET_TRIPS};
    if (problem->sizes_differ)
        all[n++] = (Unknown){&calibration->own_frac, NCCL_OWN_FRAC};
    if (problem->has_pipelines)
        all[n++] = (Unknown){&calibration->fill_bytes, NCCL_FILL_BYTES};
    if (problem->has_loops) {
        all[n++] = (Unknown){&calibration->loop_s, NCCL_LOOP_S};
        all[n++] = (Unknown){&calibration->block_bytes_per_s, NCCL_BLOCK_BYTES_PER_S};
    }
    for (int i = 0; i < problem->n_algorithms; i++) {
        int a = problem->algorithms[i];
        all[n++] = (Unknown){&calibration->bandwidth_frac[a], NCCL_BANDWIDTH_FRAC};
        all[n++] = nccl_has_loops((Algorithm)a)
                       ? (Unknown){&calibration->fill_loops[a], NCCL_FILL_LOOPS}
                       : (Unknown){&calibration->fill_s[a], NCCL_FILL_S};
    }
    return n;
}

/* What no row shows is as it is likely to be; without a bandwidth there is no filling. */
static void calibration_start(const Problem *problem, NcclCalibration *calibration)
{
    calibration->net_trips = likely[NCCL_NET_TRIPS].typical;
    calibration->own_frac = likely[NCCL_OWN_FRAC].typical;
    calibration->fill_bytes = likely[NCCL_FILL_BYTES].typical;
    calibration->loop_s = likely[NCCL_LOOP_S].typical;
    calibration->block_bytes_per_s = likely[NCCL_BLOCK_BYTES_PER_S].typical;
    for (int g = 0; g < N_GENERATIONS; g++)
        calibration->hop_frac[g] = likely[NCCL_HOP_FRAC].typical;
    for (int a = 0; a < N_ALGORITHMS; a++) {
        calibration->has[a] = problem->has[a];
        calibration->bandwidth_frac[a] = 1;
    }
}

/* The constants of a point; outside their ranges it costs, and a little where they aren't
 * likely. */
static double unpack(const Problem *problem, const gsl_vector *x, NcclCalibration *calibration)
{
    Unknown all[MAX_CONSTANTS];
    double cost = 0;
    int n = unknowns_list(problem, calibration, all);
    calibration_start(problem, calibration);
    for (int i = 0; i < n; i++) {
        const NcclConstant *range = &nccl_constants[all[i].kind];
        double low = log(MAX(range->min, LEAST)), high = log(range->max);
        double at = gsl_vector_get(x, (size_t)i);
        cost += MAX(0, low - at) + MAX(0, at - high);
        cost += likely[all[i].kind].cost * fabs(at - log(likely[all[i].kind].typical));
        *all[i].value = exp(CLAMP(at, low, high));
    }
    return cost;
}

static double cost_of(const gsl_vector *x, void *data)
{
    const Problem *problem = data;
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

/* Moves x to the minimum nearby, and returns its cost. */
static double minimise(const Problem *problem, gsl_vector *x, double step)
{
    gsl_multimin_function function = {cost_of, x->size, (void *)problem};
    gsl_vector *steps = gsl_vector_alloc(x->size);
    gsl_multimin_fminimizer *search =
        gsl_multimin_fminimizer_alloc(gsl_multimin_fminimizer_nmsimplex2, x->size);
    gsl_vector_set_all(steps, step);
    gsl_multimin_fminimizer_set(search, &function, x, steps);
    for (int i = 0; i < MAX_ITERATIONS; i++)
        if (gsl_multimin_fminimizer_iterate(search) != GSL_SUCCESS ||
            gsl_multimin_test_size(search->size, SIMPLEX_SIZE) == GSL_SUCCESS)
            break;
    double cost = search->fval;
    gsl_vector_memcpy(x, search->x);
    gsl_multimin_fminimizer_free(search);
    gsl_vector_free(steps);
    return cost;
}

static void start_fill(const Problem *problem, const double *start, gsl_vector *x)
{
    NcclCalibration calibration = {0};
    Unknown all[MAX_CONSTANTS];
    int n = unknowns_list(problem, &calibration, all);
    for (int i = 0; i < n; i++) {
        double value = likely[all[i].kind].typical;
        if (all[i].kind == NCCL_LAUNCH_S)
            value = start[0];
        if (all[i].kind == NCCL_FILL_BYTES)
            value = start[1];
        if (all[i].kind == NCCL_FILL_S)
            value = start[2];
        gsl_vector_set(x, (size_t)i, log(value));
    }
}

/* From a few starts, each minimum twice more with a fresh simplex. */
static NcclCalibration *solve(const Problem *problem)
{
    static const double starts[][3] = {/* launch_s, fill_bytes, fill_s */
                                       {1e-5, 1e7, 6e-5},   {4e-5, 3e7, 1e-4},
                                       {4e-5, 1e8, 4e-4},   {1.5e-4, 1e7, 4e-4},
                                       {1.5e-4, 1e8, 4e-4}, {3e-6, 1e6, 1e-4}};
    gsl_vector *x = gsl_vector_alloc((size_t)problem->n);
    gsl_vector *best = gsl_vector_alloc((size_t)problem->n);
    double best_cost = G_MAXDOUBLE;
    for (gsize s = 0; s < G_N_ELEMENTS(starts); s++) {
        start_fill(problem, starts[s], x);
        minimise(problem, x, 0.5);
        minimise(problem, x, 0.3);
        double cost = minimise(problem, x, 0.3);
        if (cost >= best_cost)
            continue;
        best_cost = cost;
        gsl_vector_memcpy(best, x);
    }
    NcclCalibration *calibration = g_new0(NcclCalibration, 1);
    unpack(problem, best, calibration);
    gsl_vector_free(x);
    gsl_vector_free(best);
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
        Algorithm algorithm = row->model.algorithm;
        problem->has[algorithm] = TRUE;
        problem->generations[row->model.generation] = TRUE;
        problem->has_loops |= nccl_has_loops(algorithm);
        problem->has_pipelines |= !nccl_has_loops(algorithm);
        n_large[algorithm] += row->bytes >= LARGE_BYTES;
        problem->has_excess |= row->model.network_excess_s > 0 && row->model.n_net_hops > 0;
        if (algorithm != ALGORITHM_RING)
            continue;
        problem->sizes_differ |= n_gpus > 0 && n_gpus != row->n_gpus;
        n_gpus = row->n_gpus;
    }
    for (int a = 0; a < N_ALGORITHMS; a++)
        if (n_large[a] >= MIN_LARGE_ROWS)
            problem->algorithms[problem->n_algorithms++] = a;
    NcclCalibration none;
    Unknown all[MAX_CONSTANTS];
    problem->n = unknowns_list(problem, &none, all);
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

static double held_out_error(const GArray *rows, const int *parts, int n_parts,
                             GArray *held_out_frac)
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
            double ratio = nccl_fit_predict_s(calibration, row) / row->time_s;
            g_array_index(held_out_frac, double, i) = ratio - 1;
            sum += fabs(log(ratio));
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
    fit->held_out_frac = g_array_sized_new(FALSE, FALSE, sizeof(double), rows->len);
    for (guint i = 0; i < rows->len; i++) {
        const double none = NAN;
        g_array_append_val(fit->held_out_frac, none);
    }
    fit->held_out_error_frac =
        held_out_error(rows, parts, fit->by_group ? fit->n_groups : 2, fit->held_out_frac);
    return g_steal_pointer(&fit);
}

void nccl_fit_free(NcclFit *fit)
{
    if (!fit)
        return;
    nccl_calibration_free(fit->calibration);
    g_clear_pointer(&fit->held_out_frac, g_array_unref);
    g_free(fit);
}
