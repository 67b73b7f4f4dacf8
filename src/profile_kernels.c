/* SPDX-License-Identifier: MIT */
/* Reads measured kernels: single ones, objects that people and scripts write, and tables of
 * them, which zerosim-calibrate writes: a profile of thousands of kernels names its members
 * once an operation, and is read in milliseconds. Both go through the same checks. */
#include "error.h"
#include "profile_read.h"

#include <stddef.h>
#include <string.h>

#define LARGEST_SIZE (G_GINT64_CONSTANT(1) << 50)
#define LEAST_S 1e-9
#define LARGEST_S 3600

/* What an entry holds beside its kernel. */
typedef struct {
    double time_s, p10_s, p90_s, sustained_s;
} Times;

#define NO_TIMES ((Times){.p10_s = 0, .p90_s = LARGEST_S})

typedef struct {
    const char *name;
    gboolean required;
    size_t offset;
} TimeMember;

static const TimeMember time_members[] = {
    {"time_s", TRUE, offsetof(Times, time_s)},
    {"p10_s", FALSE, offsetof(Times, p10_s)},
    {"p90_s", FALSE, offsetof(Times, p90_s)},
    {"sustained_s", FALSE, offsetof(Times, sustained_s)},
};

static double *time_field(Times *times, const TimeMember *member)
{
    return G_STRUCT_MEMBER_P(times, member->offset);
}

static gboolean fail(const JsonIn *in, const char *key, const char *what, GError **error)
{
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s%s%s: %s", in->file, in->path,
                key[0] ? "." : "", key, what);
    return FALSE;
}

static gboolean name_error(const JsonIn *in, const char *key, const char *value, GError **error)
{
    g_autofree char *quoted = g_strescape(value, NULL);
    g_autofree char *what = g_strdup_printf("there is no %s \"%.60s\"", key, quoted);
    return fail(in, key, what, error);
}

static gint64 least_dimension(const char *name)
{
    return kernel_dimension_is_optional(name) || strcmp(name, "causal") == 0 ? 0 : 1;
}

/* What a single kernel and a table say alike. */
static gboolean kind_read(const JsonIn *in, ProfileEntry *entry, GError **error)
{
    const char *op = NULL, *dtype = NULL, *implementation = NULL;
    if (!json_in_string(in, "op", TRUE, &op, error) ||
        !json_in_string(in, "dtype", TRUE, &dtype, error) ||
        !json_in_string(in, "implementation", FALSE, &implementation, error) ||
        !json_in_bool(in, "probe", FALSE, &entry->probe, error))
        return FALSE;
    if (!kernel_op_parse(op, &entry->kernel.op))
        return name_error(in, "op", op, error);
    if (!dtype_parse(dtype, &entry->kernel.dtype))
        return name_error(in, "dtype", dtype, error);
    return TRUE;
}

static gboolean times_check(const JsonIn *in, const Times *times, ProfileEntry *entry,
                            GError **error)
{
    entry->time_s = times->time_s;
    entry->sustained_s = times->sustained_s;
    if (times->p10_s <= times->time_s && times->time_s <= times->p90_s)
        return TRUE;
    g_autofree char *what =
        g_strdup_printf("the median %g must lie between p10_s and p90_s", times->time_s);
    return fail(in, "time_s", what, error);
}

/* An overlay may measure again what the profile has; in one file a kernel stands once. */
static gboolean entry_add(const JsonIn *in, const ProfileEntry *entry, Profile *profile,
                          GError **error)
{
    const Kernel key = profile_key(&entry->kernel);
    const ProfileEntry *earlier = g_hash_table_lookup(profile->entries, &key);
    if (earlier && earlier->file == entry->file)
        return fail(in, "",
                    "the same kernel and shape stands in an earlier entry; keep the one "
                    "PyTorch runs",
                    error);
    profile_add_entry(profile, entry);
    return TRUE;
}

/* -- one kernel */

static gboolean dimensions_read(const JsonIn *in, GPtrArray *unknown, Kernel *kernel,
                                GError **error)
{
    g_autoptr(GStringChunk) paths = g_string_chunk_new(64);
    const char *const *names = kernel_dimension_names(kernel->op);
    const char *members[KERNEL_MAX_DIMENSIONS + 1] = {NULL};
    JsonIn dimensions = {0};
    if (!json_in_object(in, "dimensions", TRUE, paths, &dimensions, error))
        return FALSE;
    for (int i = 0; i < KERNEL_MAX_DIMENSIONS && names[i]; i++) {
        members[i] = names[i];
        if (!json_in_int(&dimensions, names[i], !kernel_dimension_is_optional(names[i]),
                         least_dimension(names[i]), LARGEST_SIZE, &kernel->dimension[i], error))
            return FALSE;
    }
    return json_in_check_members(&dimensions, members, NULL, NULL, unknown, error);
}

static gboolean single_read(const JsonIn *in, GPtrArray *unknown, ProfileEntry entry,
                            Profile *profile, GError **error)
{
    static const char *const members[] = {"op",          "dtype", "dimensions",     "time_s",
                                          "p10_s",       "p90_s", "implementation", "probe",
                                          "sustained_s", NULL};
    Times times = NO_TIMES;
    if (!json_in_check_members(in, members, NULL, NULL, unknown, error) ||
        !kind_read(in, &entry, error) || !dimensions_read(in, unknown, &entry.kernel, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(time_members); i++) {
        const TimeMember *member = &time_members[i];
        if (!json_in_double(in, member->name, member->required, LEAST_S, LARGEST_S,
                            time_field(&times, member), error))
            return FALSE;
    }
    return times_check(in, &times, &entry, error) && entry_add(in, &entry, profile, error);
}

/* -- a table of them */

/* A column is a dimension or, after those, a time. */
#define TIME_COLUMN KERNEL_MAX_DIMENSIONS
#define MAX_COLUMNS (KERNEL_MAX_DIMENSIONS + (int)G_N_ELEMENTS(time_members))

typedef struct {
    int target[MAX_COLUMNS];
    const char *name[MAX_COLUMNS];
    gint64 least[MAX_COLUMNS]; /* of a dimension */
    int n;
} Columns;

static int target_of(const char *const *dimensions, const char *name)
{
    for (int i = 0; i < KERNEL_MAX_DIMENSIONS && dimensions[i]; i++)
        if (strcmp(dimensions[i], name) == 0)
            return i;
    for (gsize i = 0; i < G_N_ELEMENTS(time_members); i++)
        if (strcmp(time_members[i].name, name) == 0)
            return TIME_COLUMN + (int)i;
    return -1;
}

static gboolean has_target(const Columns *columns, int target)
{
    for (int i = 0; i < columns->n; i++)
        if (columns->target[i] == target)
            return TRUE;
    return FALSE;
}

static gboolean columns_check(const JsonIn *in, const char *const *dimensions,
                              const Columns *columns, GError **error)
{
    const char *missing = NULL;
    for (int i = 0; !missing && i < KERNEL_MAX_DIMENSIONS && dimensions[i]; i++)
        if (!has_target(columns, i) && !kernel_dimension_is_optional(dimensions[i]))
            missing = dimensions[i];
    if (!missing && !has_target(columns, TIME_COLUMN))
        missing = time_members[0].name;
    if (!missing)
        return TRUE;
    g_autofree char *what = g_strdup_printf("\"%s\" is missing, and required", missing);
    return fail(in, "columns", what, error);
}

static gboolean columns_read(const JsonIn *in, KernelOp op, Columns *columns, GError **error)
{
    const char *const *dimensions = kernel_dimension_names(op);
    const json_t *names = json_object_get(in->object, "columns");
    if (!json_is_array(names))
        return fail(in, "columns", "must be an array of names", error);
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        const int target = name ? target_of(dimensions, name) : -1;
        if (target < 0 || has_target(columns, target)) {
            g_autofree char *key = g_strdup_printf("columns[%zu]", i);
            return fail(in, key,
                        target < 0 ? "must be a dimension of the operation, time_s, p10_s, "
                                     "p90_s or sustained_s"
                                   : "stands twice",
                        error);
        }
        columns->target[columns->n] = target;
        columns->name[columns->n] = name;
        columns->least[columns->n++] =
            target < TIME_COLUMN ? least_dimension(dimensions[target]) : 0;
    }
    return columns_check(in, dimensions, columns, error);
}

/* A value that the quick way didn't take: read as a member, whose message it may be. */
static gboolean value_read(const JsonIn *in, const Columns *columns, int column, json_t *value,
                           Kernel *kernel, Times *times, GError **error)
{
    const char *name = columns->name[column];
    const int target = columns->target[column];
    g_autoptr(json_t) object = json_object();
    const JsonIn member = {object, in->file, in->path};
    json_object_set(object, name, value);
    if (target < TIME_COLUMN)
        return json_in_int(&member, name, TRUE, columns->least[column], LARGEST_SIZE,
                           &kernel->dimension[target], error);
    return json_in_double(&member, name, TRUE, LEAST_S, LARGEST_S,
                          time_field(times, &time_members[target - TIME_COLUMN]), error);
}

static gboolean row_read(const JsonIn *in, const Columns *columns, const json_t *row,
                         Kernel *kernel, Times *times, GError **error)
{
    for (int i = 0; i < columns->n; i++) {
        json_t *value = json_array_get(row, (size_t)i);
        const int target = columns->target[i];
        if (target < TIME_COLUMN) {
            const gint64 size = json_is_integer(value) ? json_integer_value(value) : -1;
            kernel->dimension[target] = size;
            if (size >= columns->least[i] && size <= LARGEST_SIZE)
                continue;
        } else {
            const double time_s = json_is_real(value) ? json_real_value(value) : 0;
            *time_field(times, &time_members[target - TIME_COLUMN]) = time_s;
            if (time_s >= LEAST_S && time_s <= LARGEST_S)
                continue;
        }
        if (!value_read(in, columns, i, value, kernel, times, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean rows_read(const JsonIn *in, const Columns *columns, const ProfileEntry *kind,
                          Profile *profile, GError **error)
{
    const json_t *rows = json_object_get(in->object, "rows");
    char path[128];
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const JsonIn at = {in->object, in->file, path};
        ProfileEntry entry = *kind;
        Times times = NO_TIMES;
        g_snprintf(path, sizeof path, "%s.rows[%zu]", in->path, i);
        if (!json_is_array(row) || json_array_size(row) != (size_t)columns->n)
            return fail(&at, "", "must be an array with a value for each column", error);
        if (!row_read(&at, columns, row, &entry.kernel, &times, error) ||
            !times_check(&at, &times, &entry, error) || !entry_add(&at, &entry, profile, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean table_read(const JsonIn *in, GPtrArray *unknown, ProfileEntry kind,
                           Profile *profile, GError **error)
{
    static const char *const members[] = {"op",   "dtype", "implementation", "probe", "columns",
                                          "rows", NULL};
    Columns columns = {.n = 0};
    if (!json_in_check_members(in, members, NULL, NULL, unknown, error) ||
        !kind_read(in, &kind, error) || !columns_read(in, kind.kernel.op, &columns, error))
        return FALSE;
    if (!json_is_array(json_object_get(in->object, "rows")))
        return fail(in, "rows", "must be an array of arrays", error);
    return rows_read(in, &columns, &kind, profile, error);
}

gboolean profile_read_kernels(const JsonIn *root, GPtrArray *unknown, Profile *profile,
                              GError **error)
{
    const json_t *kernels = json_object_get(root->object, "kernels");
    const ProfileEntry empty = {.source = profile->derived_from ? TIME_DERIVED : TIME_MEASURED,
                                .file = ++profile->n_files};
    for (size_t i = 0; i < json_array_size(kernels); i++) {
        char path[64];
        const JsonIn in = {json_array_get(kernels, i), root->file, path};
        const gboolean table = json_object_get(in.object, "rows") != NULL ||
                               json_object_get(in.object, "columns") != NULL;
        g_snprintf(path, sizeof path, "kernels[%zu]", i);
        if (!(table ? table_read : single_read)(&in, unknown, empty, profile, error))
            return FALSE;
    }
    return TRUE;
}
