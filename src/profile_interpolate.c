/* SPDX-License-Identifier: MIT */
/* A measured kernel takes so many times what its sizes explain: the roofline, and for matrix
 * products what tiles and waves of several libraries say. That ratio changes slowly with the
 * shape, so it is what is interpolated, in the logarithms of the sizes: a plane is fitted to
 * the nearest measured neighbours, near ones counting more, and kept between the least and the
 * largest of their ratios. Where there are several explanations, each counts the more the
 * closer its plane passes by the neighbours. No product beats the peak rate. What lies outside
 * of the measured sizes isn't answered. */
#include "profile_interpolate.h"

#include "profile_roofline.h"
#include "profile_tiles.h"

#include <math.h>
#include <string.h>

#define MAX_COORDINATES KERNEL_MAX_DIMENSIONS
#define NEIGHBOURS 16

/* Within this factor of the smallest and the largest that was measured still counts as between:
 * what rounding to a multiple of a tile makes of a size. */
#define EDGE 1.02

/* Dimensions by their bits: equal ones only, and those that don't count. */
typedef struct {
    KernelOp op;
    guint equal, ignored;
} SpaceRow;

static const SpaceRow spaces[] = {
    {KERNEL_GEMM, 1u << 4, 0},                 /* layout */
    {KERNEL_CAST, 1u << 1 | 1u << 2, 0},       /* bytes read and written */
    {KERNEL_FUSED, 1u << 1 | 1u << 2, 0},      /* the same */
    {KERNEL_OPTIMIZER_STEP, 1u << 1, 1u << 2}, /* bytes an element; launches follow */
    {KERNEL_CONVOLUTION_FORWARD, 1u << 3, 0},  /* taps */
    {KERNEL_CONVOLUTION_BACKWARD_INPUT, 1u << 3, 0},
    {KERNEL_CONVOLUTION_BACKWARD_WEIGHT, 1u << 3, 0},
    {KERNEL_ATTENTION_FORWARD, 1u << 5, 0}, /* causal */
    {KERNEL_ATTENTION_BACKWARD, 1u << 5, 0},
    {KERNEL_CUDNN_ATTENTION_FORWARD, 1u << 5, 0},
    {KERNEL_CUDNN_ATTENTION_BACKWARD, 1u << 5, 0},
};

typedef struct {
    double x[MAX_COORDINATES]; /* logarithms */
    const ProfileEntry *entry;
    double ratio; /* logarithm of measured over explained */
    double distance;
} Point;

typedef struct {
    Point point[NEIGHBOURS];
    int n;
} Neighbours;

static SpaceRow space_of(KernelOp op)
{
    for (gsize i = 0; i < G_N_ELEMENTS(spaces); i++) {
        if (spaces[i].op == op)
            return spaces[i];
    }
    return (SpaceRow){op, 0, 0};
}

static gboolean is_attention(KernelOp op)
{
    return op == KERNEL_ATTENTION_FORWARD || op == KERNEL_ATTENTION_BACKWARD ||
           op == KERNEL_CUDNN_ATTENTION_FORWARD || op == KERNEL_CUDNN_ATTENTION_BACKWARD;
}

/* Attention is as parallel as it has heads, of all sequences together; what its keys and values
 * weigh is told by how many heads share them. */
static void coordinates(const Kernel *kernel, const SpaceRow *space, double *x)
{
    for (int i = 0; i < MAX_COORDINATES; i++) {
        const guint bit = 1u << i;
        const gboolean counts = ((space->equal | space->ignored) & bit) == 0;
        x[i] = counts && kernel->dimension[i] > 0 ? log((double)kernel->dimension[i]) : 0;
    }
    if (!is_attention(kernel->op))
        return;
    x[0] += x[2];
    x[3] = x[2] - x[3];
    x[2] = 0;
}

static gboolean same_kind(const Kernel *a, const Kernel *b, const SpaceRow *space)
{
    for (int i = 0; i < KERNEL_MAX_DIMENSIONS; i++) {
        if ((space->equal & 1u << i) != 0 && a->dimension[i] != b->dimension[i])
            return FALSE;
    }
    return TRUE;
}

/* The roofline, then the libraries that a product's tiles may come from. */
#define N_EXPLANATIONS (1 + N_TILE_LIBRARIES)

static int n_explanations(KernelOp op)
{
    return op == KERNEL_GEMM ? N_EXPLANATIONS : 1;
}

static double explained_s(const Profile *profile, const Kernel *kernel, int explanation)
{
    return explanation == 0 ? profile_roofline_s(profile, kernel)
                            : profile_tiles_s(profile, kernel, explanation - 1);
}

/* Keeps the nearest ones, sorted by distance. */
static void keep(Neighbours *nearest, const Point *point)
{
    int at = nearest->n;
    while (at > 0 && nearest->point[at - 1].distance > point->distance)
        at--;
    if (at == NEIGHBOURS)
        return;
    const int moved = MIN(nearest->n, NEIGHBOURS - 1) - at;
    memmove(&nearest->point[at + 1], &nearest->point[at], (size_t)moved * sizeof *point);
    nearest->point[at] = *point;
    nearest->n = MIN(nearest->n + 1, NEIGHBOURS);
}

/* The nearest neighbours, if `x` lies between what was measured in every coordinate. */
static gboolean find_neighbours(const Profile *profile, const Kernel *kernel,
                                const ProfileEntry *without, const SpaceRow *space,
                                const double *x, Neighbours *nearest)
{
    const GPtrArray *group = profile->groups[kernel->op][kernel->dtype];
    double low[MAX_COORDINATES], high[MAX_COORDINATES];
    for (int i = 0; i < MAX_COORDINATES; i++) {
        low[i] = HUGE_VAL;
        high[i] = -HUGE_VAL;
    }
    nearest->n = 0;
    for (guint e = 0; group && e < group->len; e++) {
        const ProfileEntry *entry = g_ptr_array_index(group, e);
        Point point = {.distance = 0};
        if (entry == without || entry->probe || !same_kind(kernel, &entry->kernel, space))
            continue;
        coordinates(&entry->kernel, space, point.x);
        for (int i = 0; i < MAX_COORDINATES; i++) {
            const double away = point.x[i] - x[i];
            point.distance += away * away;
            low[i] = MIN(low[i], point.x[i]);
            high[i] = MAX(high[i], point.x[i]);
        }
        point.entry = entry;
        keep(nearest, &point);
    }
    for (int i = 0; i < MAX_COORDINATES; i++) {
        if (x[i] < low[i] - log(EDGE) || x[i] > high[i] + log(EDGE))
            return FALSE;
    }
    return nearest->n >= 2;
}

#define N_TERMS (MAX_COORDINATES + 1)

/* Solves a x = b in place by elimination; `a` is positive definite, so needs no pivots. */
static void solve(double a[N_TERMS][N_TERMS], double b[N_TERMS])
{
    for (int i = 0; i < N_TERMS; i++)
        for (int j = i + 1; j < N_TERMS; j++) {
            const double factor = a[j][i] / a[i][i];
            for (int k = i; k < N_TERMS; k++)
                a[j][k] -= factor * a[i][k];
            b[j] -= factor * b[i];
        }
    for (int i = N_TERMS - 1; i >= 0; i--) {
        for (int k = i + 1; k < N_TERMS; k++)
            b[i] -= a[i][k] * b[k];
        b[i] /= a[i][i];
    }
}

/* Weights fall with the square of the distance; slopes are held back a little, so that
 * directions in which nothing varies stay flat. */
#define NEAREST_DISTANCE 1e-3
#define SLOPE_RIDGE 0.05

/* A plane through the neighbours' ratios, seen from x: its height there is the constant term.
 */
typedef struct {
    double term[N_TERMS];
    double low, high; /* of the ratios */
} Plane;

static double weight_of(const Point *point)
{
    const double near = 1 / (point->distance + NEAREST_DISTANCE);
    return near * near;
}

static Plane plane_fit(const Neighbours *nearest, const double *x)
{
    double a[N_TERMS][N_TERMS] = {{0}}, total = 0;
    Plane plane = {.low = HUGE_VAL, .high = -HUGE_VAL};
    for (int n = 0; n < nearest->n; n++) {
        const Point *point = &nearest->point[n];
        const double weight = weight_of(point);
        double term[N_TERMS] = {1};
        for (int i = 0; i < MAX_COORDINATES; i++)
            term[i + 1] = point->x[i] - x[i];
        for (int i = 0; i < N_TERMS; i++) {
            for (int j = 0; j < N_TERMS; j++)
                a[i][j] += weight * term[i] * term[j];
            plane.term[i] += weight * term[i] * point->ratio;
        }
        total += weight;
        plane.low = MIN(plane.low, point->ratio);
        plane.high = MAX(plane.high, point->ratio);
    }
    for (int i = 1; i < N_TERMS; i++)
        a[i][i] += SLOPE_RIDGE * total;
    solve(a, plane.term);
    return plane;
}

/* The weighted mean of the squares by which the neighbours lie off the plane. */
static double plane_variance(const Plane *plane, const Neighbours *nearest, const double *x)
{
    double sum = 0, total = 0;
    for (int n = 0; n < nearest->n; n++) {
        const Point *point = &nearest->point[n];
        double off = plane->term[0] - point->ratio;
        for (int i = 0; i < MAX_COORDINATES; i++)
            off += plane->term[i + 1] * (point->x[i] - x[i]);
        sum += weight_of(point) * off * off;
        total += weight_of(point);
    }
    return sum / total;
}

/* Medians of measured times are no better than 0.3 % themselves. */
#define LEAST_VARIANCE 1e-5

/* Means of several estimates weigh them by 1 / variance. */
static double estimate_s(const Profile *profile, const Kernel *kernel, const double *x,
                         Neighbours *nearest)
{
    double sum = 0, weights = 0;
    for (int e = 0; e < n_explanations(kernel->op); e++) {
        for (int n = 0; n < nearest->n; n++) {
            Point *point = &nearest->point[n];
            point->ratio = log(profile_entry_s(profile, point->entry) /
                               explained_s(profile, &point->entry->kernel, e));
        }
        const Plane plane = plane_fit(nearest, x);
        const double weight = 1 / (plane_variance(&plane, nearest, x) + LEAST_VARIANCE);
        sum += weight * (CLAMP(plane.term[0], plane.low, plane.high) +
                         log(explained_s(profile, kernel, e)));
        weights += weight;
    }
    return exp(sum / weights);
}

gboolean profile_interpolate_s(const Profile *profile, const Kernel *kernel,
                               const ProfileEntry *without, double *time_s)
{
    const SpaceRow space = space_of(kernel->op);
    const double peak = profile->peak_flop_per_s[kernel->dtype];
    double x[MAX_COORDINATES];
    Neighbours nearest;
    coordinates(kernel, &space, x);
    if (!find_neighbours(profile, kernel, without, &space, x, &nearest))
        return FALSE;
    const double flops_s = peak > 0 ? kernel_flops(kernel) / peak : 0;
    const double interpolated_s = estimate_s(profile, kernel, x, &nearest);
    *time_s = MAX(interpolated_s, flops_s);
    return TRUE;
}
