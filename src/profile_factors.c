/* SPDX-License-Identifier: MIT */
/* The sections of a profile that aren't times of single kernels: slow-downs beside a copy,
 * whole layers against the sum of their kernels, launches, copies between host and device.
 * Absent measurements and collectives are left to people and other programs. */
#include "profile_factors.h"

#include "error.h"

#include <stdlib.h>
#include <string.h>

#define LARGEST_SIZE (G_GINT64_CONSTANT(1) << 50)
#define LARGEST_S 3600
/* Beside a copy a kernel may well stand still for a while, and timing has its noise. */
#define LEAST_SLOW_DOWN 0.5
#define LARGEST_SLOW_DOWN 1000
#define LEAST_RATIO 0.2
#define LARGEST_RATIO 5
#define MOST_SMS 1024

void profile_factors_init(ProfileFactors *factors)
{
    *factors = (ProfileFactors){.chain_ratio = 1};
}

void profile_factors_clear(ProfileFactors *factors)
{
    for (int i = 0; i < N_INTERFERENCE_GROUPS; i++)
        g_clear_pointer(&factors->slow_downs[i], g_ptr_array_unref);
}

static InterferenceGroup group_of(KernelClass kernel_class)
{
    switch (kernel_class) {
    case KERNEL_CLASS_GEMM:
    case KERNEL_CLASS_CONVOLUTION:
        return INTERFERENCE_PRODUCT;
    case KERNEL_CLASS_ATTENTION:
        return INTERFERENCE_ATTENTION;
    case KERNEL_CLASS_NORM:
    case KERNEL_CLASS_OPTIMIZER:
    case KERNEL_CLASS_LOSS:
    case KERNEL_CLASS_EMBEDDING:
    case KERNEL_CLASS_COPY:
    case KERNEL_CLASS_ELEMENTWISE:
    case N_KERNEL_CLASSES:
        break;
    }
    return INTERFERENCE_MEMORY;
}

/* -- reading */

static gboolean fail(const JsonIn *in, const char *key, const char *what, GError **error)
{
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s.%s: %s", in->file, in->path, key,
                what);
    return FALSE;
}

static int compare_sms(gconstpointer a, gconstpointer b)
{
    return ((const SlowDown *)a)->n_sms - ((const SlowDown *)b)->n_sms;
}

static SlowDown *point_of(GArray *points, int n_sms)
{
    for (guint i = 0; i < points->len; i++) {
        SlowDown *point = &g_array_index(points, SlowDown, i);
        if (point->n_sms == n_sms)
            return point;
    }
    const SlowDown point = {.n_sms = n_sms};
    g_array_append_val(points, point);
    return &g_array_index(points, SlowDown, points->len - 1);
}

/* "slowdown_8" and "copy_slowdown_8": a pair for each number of multiprocessors. */
static gboolean slow_down_read(const JsonIn *in, const char *key, GArray *points,
                               GError **error)
{
    const gboolean of_copy = g_str_has_prefix(key, "copy_");
    const char *digits = key + strlen(of_copy ? "copy_slowdown_" : "slowdown_");
    double value = 0;
    char *end = NULL;
    const guint64 n_sms = g_ascii_strtoull(digits, &end, 10);
    if (!g_ascii_isdigit(*digits) || *end != '\0' || n_sms < 1 || n_sms > MOST_SMS)
        return fail(in, key, "must end in a number of multiprocessors, 1 to 1024", error);
    if (!json_in_double(in, key, TRUE, LEAST_SLOW_DOWN, LARGEST_SLOW_DOWN, &value, error))
        return FALSE;
    SlowDown *point = point_of(points, (int)n_sms);
    *(of_copy ? &point->copy : &point->kernel) = value;
    return TRUE;
}

static gboolean points_check(const JsonIn *in, const GArray *points, GError **error)
{
    if (points->len == 0)
        return fail(in, "slowdown_1", "or another number of multiprocessors is required",
                    error);
    for (guint i = 0; i < points->len; i++) {
        const SlowDown *point = &g_array_index(points, SlowDown, i);
        g_autofree char *key =
            g_strdup_printf("%sslowdown_%d", point->kernel == 0 ? "" : "copy_", point->n_sms);
        if (point->kernel == 0 || point->copy == 0)
            return fail(in, key, "is required beside its pair", error);
    }
    return TRUE;
}

/* Members of every entry of these sections. */
static gboolean times_read(const JsonIn *in, gboolean required, double *time_s, GError **error)
{
    double p10_s = 0, p90_s = 0;
    return json_in_double(in, "time_s", required, 1e-9, LARGEST_S, time_s, error) &&
           json_in_double(in, "p10_s", FALSE, 1e-9, LARGEST_S, &p10_s, error) &&
           json_in_double(in, "p90_s", FALSE, 1e-9, LARGEST_S, &p90_s, error);
}

static gboolean interference_read(const JsonIn *in, GPtrArray *unknown, Profile *profile,
                                  GError **error)
{
    g_autoptr(GArray) points = g_array_new(FALSE, FALSE, sizeof(SlowDown));
    g_autoptr(GPtrArray) members = g_ptr_array_new();
    const char *key, *op = NULL, *dtype = NULL;
    json_t *value;
    double time_s = 0;
    KernelOp kernel;
    DType type;
    for (const char *const *m = (const char *const[]){"op", "dtype", "dimensions", "time_s",
                                                      "p10_s", "p90_s", "implementation", NULL};
         *m; m++)
        g_ptr_array_add(members, (char *)*m);
    json_object_foreach((json_t *)in->object, key, value)
    {
        if (!g_str_has_prefix(key, "slowdown_") && !g_str_has_prefix(key, "copy_slowdown_"))
            continue;
        g_ptr_array_add(members, (char *)key);
        if (!slow_down_read(in, key, points, error))
            return FALSE;
    }
    g_ptr_array_add(members, NULL);
    if (!json_in_check_members(in, (const char *const *)members->pdata, NULL, NULL, unknown,
                               error) ||
        !json_in_string(in, "op", TRUE, &op, error) ||
        !json_in_string(in, "dtype", TRUE, &dtype, error) ||
        !times_read(in, FALSE, &time_s, error) || !points_check(in, points, error))
        return FALSE;
    if (!kernel_op_parse(op, &kernel))
        return fail(in, "op", "there is no such kernel", error);
    if (!dtype_parse(dtype, &type))
        return fail(in, "dtype", "there is no such data type", error);
    g_array_sort(points, compare_sms);
    GPtrArray **list = &profile->factors.slow_downs[group_of(kernel_class(kernel))];
    if (!*list)
        *list = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
    g_ptr_array_add(*list, g_steal_pointer(&points));
    return TRUE;
}

static gboolean factor_read(const JsonIn *in, GPtrArray *unknown, GArray *ratios,
                            GError **error)
{
    static const char *const members[] = {
        "op",    "dtype", "dimensions", "time_s",         "p10_s",
        "p90_s", "sum_s", "ratio",      "implementation", NULL};
    const char *op = NULL;
    double time_s = 0, sum_s = 0, ratio = 0;
    if (!json_in_check_members(in, members, NULL, NULL, unknown, error) ||
        !json_in_string(in, "op", TRUE, &op, error) || !times_read(in, FALSE, &time_s, error) ||
        !json_in_double(in, "sum_s", FALSE, 1e-9, LARGEST_S, &sum_s, error) ||
        !json_in_double(in, "ratio", TRUE, LEAST_RATIO, LARGEST_RATIO, &ratio, error))
        return FALSE;
    if (strcmp(op, "layer_forward") != 0)
        return fail(in, "op", "must be \"layer_forward\"", error);
    g_array_append_val(ratios, ratio);
    return TRUE;
}

static gboolean launch_read(const JsonIn *in, GPtrArray *unknown, ProfileFactors *factors,
                            GError **error)
{
    static const char *const members[] = {"op",          "dtype",          "dimensions",
                                          "time_s",      "p10_s",          "p90_s",
                                          "host_work_s", "implementation", NULL};
    double back_to_back_s = 0, host_work_s = 0, time_s = 0;
    const struct {
        const char *op;
        double *time_s;
    } rows[] = {{"launch_back_to_back", &back_to_back_s}, /* a fact of the profile, too */
                {"launch_eager", &factors->eager_launch_s},
                {"graph_replay_gap", &factors->graph_gap_s},
                {"launch_framework", &factors->framework_launch_s}};
    const char *op = NULL;
    if (!json_in_check_members(in, members, NULL, NULL, unknown, error) ||
        !json_in_string(in, "op", TRUE, &op, error) || !times_read(in, TRUE, &time_s, error) ||
        !json_in_double(in, "host_work_s", FALSE, 0, 1, &host_work_s, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (strcmp(rows[i].op, op) == 0) {
            *rows[i].time_s = time_s;
            return TRUE;
        }
    }
    return fail(in, "op",
                "must be launch_back_to_back, launch_eager, graph_replay_gap or "
                "launch_framework",
                error);
}

static gboolean transfer_read(const JsonIn *in, GPtrArray *unknown, ProfileFactors *factors,
                              GError **error)
{
    static const char *const members[] = {"op",    "dtype", "dimensions",     "time_s",
                                          "p10_s", "p90_s", "implementation", NULL};
    static const char *const sizes[] = {"bytes", NULL};
    static const char *const ops[N_TRANSFERS] = {
        [TRANSFER_TO_DEVICE] = "host_to_device",
        [TRANSFER_TO_HOST] = "device_to_host",
        [TRANSFER_BOTH] = "both_directions",
    };
    g_autoptr(GStringChunk) paths = g_string_chunk_new(64);
    JsonIn dimensions = {0};
    const char *op = NULL;
    double time_s = 0;
    gint64 bytes = 0;
    if (!json_in_check_members(in, members, NULL, NULL, unknown, error) ||
        !json_in_string(in, "op", TRUE, &op, error) || !times_read(in, TRUE, &time_s, error) ||
        !json_in_object(in, "dimensions", TRUE, paths, &dimensions, error) ||
        !json_in_int(&dimensions, "bytes", TRUE, 1, LARGEST_SIZE, &bytes, error) ||
        !json_in_check_members(&dimensions, sizes, NULL, NULL, unknown, error))
        return FALSE;
    for (int i = 0; i < N_TRANSFERS; i++) {
        const double rate = (double)bytes / time_s; /* each way */
        if (strcmp(ops[i], op) != 0)
            continue;
        factors->transfer_bytes_per_s[i] = MAX(factors->transfer_bytes_per_s[i], rate);
        return TRUE;
    }
    return fail(in, "op", "must be host_to_device, device_to_host or both_directions", error);
}

static int compare_doubles(gconstpointer a, gconstpointer b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* What one section says replaces what an earlier file's said. */
static void section_begin(const char *name, ProfileFactors *factors)
{
    if (strcmp(name, "interference") == 0)
        profile_factors_clear(factors);
    else if (strcmp(name, "transfers") == 0)
        memset(factors->transfer_bytes_per_s, 0, sizeof factors->transfer_bytes_per_s);
}

static gboolean entry_read(const char *section, const JsonIn *in, GPtrArray *unknown,
                           GArray *ratios, Profile *profile, GError **error)
{
    if (strcmp(section, "interference") == 0)
        return interference_read(in, unknown, profile, error);
    if (strcmp(section, "factors") == 0)
        return factor_read(in, unknown, ratios, error);
    if (strcmp(section, "launch") == 0)
        return launch_read(in, unknown, &profile->factors, error);
    return transfer_read(in, unknown, &profile->factors, error);
}

gboolean profile_read_factors(const JsonIn *root, GPtrArray *unknown, Profile *profile,
                              GError **error)
{
    static const char *const sections[] = {"interference", "factors", "launch", "transfers"};
    g_autoptr(GArray) ratios = g_array_new(FALSE, FALSE, sizeof(double));
    for (gsize s = 0; s < G_N_ELEMENTS(sections); s++) {
        const json_t *section = json_object_get(root->object, sections[s]);
        if (json_array_size(section) > 0)
            section_begin(sections[s], &profile->factors);
        for (size_t i = 0; i < json_array_size(section); i++) {
            g_autofree char *path = g_strdup_printf("%s[%zu]", sections[s], i);
            const JsonIn in = {json_array_get(section, i), root->file, path};
            if (!entry_read(sections[s], &in, unknown, ratios, profile, error))
                return FALSE;
        }
    }
    if (ratios->len > 0) {
        g_array_sort(ratios, compare_doubles);
        profile->factors.chain_ratio = g_array_index(ratios, double, ratios->len / 2);
        profile->factors.n_chains = (int)ratios->len;
    }
    if (profile->factors.framework_launch_s > 0)
        profile->host_launch_s = profile->factors.framework_launch_s;
    return TRUE;
}

/* -- answers */

gboolean profile_has_interference(const Profile *profile)
{
    for (int i = 0; i < N_INTERFERENCE_GROUPS; i++)
        if (profile->factors.slow_downs[i])
            return TRUE;
    return FALSE;
}

static double between(double low, double high, double part)
{
    return low + part * (high - low);
}

/* Straight lines between measured numbers of multiprocessors, from none, which slows nothing
 * down; beyond the largest the kernel loses its share of the multiprocessors that are left. */
static SlowDown curve_at(const GArray *points, int n_sms, int all_sms)
{
    SlowDown below = {0, 1, 1};
    for (guint i = 0; i < points->len; i++) {
        const SlowDown *point = &g_array_index(points, SlowDown, i);
        if (n_sms <= point->n_sms) {
            const double part = (double)(n_sms - below.n_sms) / (point->n_sms - below.n_sms);
            return (SlowDown){n_sms, between(below.kernel, point->kernel, part),
                              between(below.copy, point->copy, part)};
        }
        below = *point;
    }
    const double left = MAX(all_sms - below.n_sms, 1), now = MAX(all_sms - n_sms, 1);
    return (SlowDown){n_sms, below.kernel * MAX(left / now, 1), below.copy};
}

/* The median of the group's kernels, each on its own curve. */
static SlowDown group_at(const GPtrArray *group, int n_sms, int all_sms)
{
    g_autofree double *kernel = g_new(double, group->len);
    g_autofree double *copy = g_new(double, group->len);
    for (guint i = 0; i < group->len; i++) {
        const SlowDown at = curve_at(g_ptr_array_index(group, i), n_sms, all_sms);
        kernel[i] = MAX(at.kernel, 1);
        copy[i] = MAX(at.copy, 1);
    }
    qsort(kernel, group->len, sizeof *kernel, compare_doubles);
    qsort(copy, group->len, sizeof *copy, compare_doubles);
    return (SlowDown){n_sms, kernel[group->len / 2], copy[group->len / 2]};
}

SlowDown profile_slow_down(const Profile *profile, KernelClass kernel_class, int n_sms)
{
    const InterferenceGroup order[] = {group_of(kernel_class), INTERFERENCE_MEMORY,
                                       INTERFERENCE_PRODUCT, INTERFERENCE_ATTENTION};
    for (gsize i = 0; i < G_N_ELEMENTS(order); i++) {
        const GPtrArray *group = profile->factors.slow_downs[order[i]];
        if (group)
            return group_at(group, n_sms, profile->n_sms);
    }
    return (SlowDown){n_sms, 1, 1};
}

/* A chain is a layer's forward without attention, whose classes these are. */
double profile_chain_ratio(const Profile *profile, KernelOp op)
{
    switch (kernel_class(op)) {
    case KERNEL_CLASS_GEMM:
    case KERNEL_CLASS_NORM:
    case KERNEL_CLASS_ELEMENTWISE:
        return profile->factors.n_chains > 0 ? profile->factors.chain_ratio : 1;
    case KERNEL_CLASS_ATTENTION:
    case KERNEL_CLASS_CONVOLUTION:
    case KERNEL_CLASS_OPTIMIZER:
    case KERNEL_CLASS_LOSS:
    case KERNEL_CLASS_EMBEDDING:
    case KERNEL_CLASS_COPY:
    case N_KERNEL_CLASSES:
        break;
    }
    return 1;
}
