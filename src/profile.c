/* SPDX-License-Identifier: MIT */
/* Reads a GPU profile and answers how long a kernel takes. The file is strict JSON:
 *
 *   {
 *     "format": "zerosim-profile", "version": 1,
 *     "gpu": "h100-sxm5-80gb",
 *     "facts": {"n_sms": {"value": 132, "source": "NVIDIA H100 data sheet"}, ...},
 *     "provenance": {...},
 *     "kernels": [{"op": "gemm", "dtype": "bf16",
 *                  "dimensions": {"batch": 1, "m": 4096, "n": 4096, "k": 4096},
 *                  "time_s": 2.1e-4, "p10_s": 2.0e-4, "p90_s": 2.3e-4, "sustained_s": 2.4e-4,
 *                  "probe": true, "implementation": "cuBLAS"},
 *                 {"op": "gemm", "dtype": "bf16", "implementation": "cuBLASLt",
 *                  "columns": ["batch", "m", "n", "k", "layout", "time_s", "p10_s", "p90_s"],
 *                  "rows": [[1, 4096, 4096, 8192, 0, 4.2e-4, 4.1e-4, 4.5e-4], ...]}, ...]
 *   }
 *
 * `provenance` (machine, driver, library versions, date of the measurement) is for the reader
 * and is not interpreted. A kernel's time is the median of its runs. What a loop of a second
 * takes is beside it where it was measured: training runs hot, so that is what an entry
 * predicts, and entries without it take the ratio of those of their kind. A data-sheet profile
 * has no kernels.
 *
 * A kernel that was measured with exactly this shape is answered by that time; one between
 * measured neighbours by profile_interpolate.c; every other one by profile_roofline.c. */
#include "profile.h"

#include "error.h"
#include "json_in.h"
#include "profile_factors.h"
#include "profile_interpolate.h"
#include "profile_read.h"
#include "profile_roofline.h"
#include "profile_trace.h"

#include <string.h>

static const char *const time_source_names[N_TIME_SOURCES] = {"measured", "interpolated",
                                                              "derived", "roofline"};

const char *time_source_name(TimeSource source)
{
    return time_source_names[source];
}

Kernel profile_key(const Kernel *kernel)
{
    Kernel key = *kernel;
    if (kernel_is_of_bytes(kernel->op))
        key.dtype = DTYPE_FP32;
    return key;
}

double profile_entry_s(const Profile *profile, const ProfileEntry *entry)
{
    const Kernel *kernel = &entry->kernel;
    if (entry->sustained_s > 0)
        return entry->sustained_s;
    return entry->time_s * profile->sustained_ratio[kernel->op][kernel->dtype];
}

void profile_add_entry(Profile *profile, const ProfileEntry *entry)
{
    ProfileEntry *own = g_memdup2(entry, sizeof *entry);
    own->kernel = profile_key(&entry->kernel);
    g_hash_table_replace(profile->entries, &own->kernel, own);
}

static int compare_entries(gconstpointer a, gconstpointer b)
{
    const Kernel *x = &(*(ProfileEntry *const *)a)->kernel;
    const Kernel *y = &(*(ProfileEntry *const *)b)->kernel;
    for (int i = 0; i < KERNEL_MAX_DIMENSIONS; i++) {
        if (x->dimension[i] != y->dimension[i])
            return x->dimension[i] < y->dimension[i] ? -1 : 1;
    }
    return 0;
}

static int compare_doubles(gconstpointer a, gconstpointer b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of a few loops nothing can be concluded about the others. */
#define FEWEST_RATIOS 3

static double group_ratio(const GPtrArray *group)
{
    g_autoptr(GArray) ratios = g_array_new(FALSE, FALSE, sizeof(double));
    for (guint i = 0; i < group->len; i++) {
        const ProfileEntry *entry = g_ptr_array_index(group, i);
        const double ratio = entry->sustained_s / entry->time_s;
        if (entry->sustained_s > 0)
            g_array_append_val(ratios, ratio);
    }
    if (ratios->len < FEWEST_RATIOS)
        return 1;
    g_array_sort(ratios, compare_doubles);
    return g_array_index(ratios, double, ratios->len / 2);
}

void profile_group_entries(Profile *profile)
{
    GHashTableIter iter;
    gpointer value;
    for (int op = 0; op < N_KERNELS; op++)
        for (int dtype = 0; dtype < N_DTYPES; dtype++)
            g_clear_pointer(&profile->groups[op][dtype], g_ptr_array_unref);
    g_hash_table_iter_init(&iter, profile->entries);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Kernel *kernel = &((ProfileEntry *)value)->kernel;
        GPtrArray **group = &profile->groups[kernel->op][kernel->dtype];
        if (!*group)
            *group = g_ptr_array_new();
        g_ptr_array_add(*group, value);
    }
    for (int op = 0; op < N_KERNELS; op++)
        for (int dtype = 0; dtype < N_DTYPES; dtype++) {
            GPtrArray *group = profile->groups[op][dtype];
            if (group)
                g_ptr_array_sort(group, compare_entries); /* a hash table has no order */
            profile->sustained_ratio[op][dtype] = group ? group_ratio(group) : 1;
        }
}

static gboolean header_read(const JsonIn *root, GPtrArray *unknown, GError **error)
{
    static const char *const own[] = {"format",     "version",      "gpu", "facts",
                                      "provenance", "derived_from", NULL};
    g_autoptr(GPtrArray) members = g_ptr_array_new();
    const char *format = NULL;
    gint64 version = 0;
    if (!json_in_string(root, "format", TRUE, &format, error))
        return FALSE;
    if (strcmp(format, "zerosim-profile") != 0) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: format: must be \"zerosim-profile\" to be a GPU profile", root->file);
        return FALSE;
    }
    for (int i = 0; own[i]; i++)
        g_ptr_array_add(members, (char *)own[i]);
    for (int i = 0; profile_sections[i]; i++)
        g_ptr_array_add(members, (char *)profile_sections[i]);
    g_ptr_array_add(members, (char *)"overlay");
    g_ptr_array_add(members, NULL);
    return json_in_int(root, "version", TRUE, 1, 1, &version, error) &&
           json_in_check_members(root, (const char *const *)members->pdata, NULL, NULL, unknown,
                                 error) &&
           profile_check_sections(root, error);
}

/* Our own format: a member nobody knows is a mistake. */
static gboolean check_unknown(const GPtrArray *unknown, GError **error)
{
    if (unknown->len == 0)
        return TRUE;
    g_set_error_literal(error, ZEROSIM_ERROR, ERROR_INPUT, g_ptr_array_index(unknown, 0));
    return FALSE;
}

static gboolean read_all(Profile *profile, const JsonIn *root, GError **error)
{
    g_autoptr(GPtrArray) unknown = g_ptr_array_new_with_free_func(g_free);
    const char *name = NULL, *derived_from = NULL;
    gboolean overlay = FALSE;
    if (!header_read(root, unknown, error) ||
        !json_in_bool(root, "overlay", FALSE, &overlay, error))
        return FALSE;
    if (overlay) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: overlay: holds kernels alone; lay it over a profile with --profile",
                    root->file);
        return FALSE;
    }
    if (!json_in_string(root, "gpu", TRUE, &name, error) ||
        !json_in_string(root, "derived_from", FALSE, &derived_from, error))
        return FALSE;
    profile->name = g_strdup(name);
    profile->derived_from = g_strdup(derived_from);
    return profile_read_facts(root, unknown, profile, error) &&
           profile_read_kernels(root, unknown, profile, error) &&
           profile_read_factors(root, unknown, profile, error) && check_unknown(unknown, error);
}

Profile *profile_load(const char *file, GError **error)
{
    g_autoptr(Profile) profile = g_new0(Profile, 1);
    profile->file = g_strdup(file);
    profile_factors_init(&profile->factors);
    profile->overlays = g_ptr_array_new_with_free_func(g_free);
    profile->entries = g_hash_table_new_full(kernel_hash, kernel_equal, NULL, g_free);

    gsize length = 0;
    g_autofree char *text = json_in_read_text(file, JSON_IN_MAX_BYTES, &length, error);
    g_autoptr(json_t) document = text ? json_in_parse(file, text, length, error) : NULL;
    if (!document)
        return NULL;
    profile->sha256 = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (guchar *)text, length);
    const JsonIn root = {document, file, ""};
    if (!read_all(profile, &root, error))
        return NULL;
    profile_group_entries(profile);
    return g_steal_pointer(&profile);
}

static gboolean overlay_kernels(Profile *profile, const JsonIn *root, GError **error)
{
    g_autoptr(GPtrArray) unknown = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *derived_from = g_steal_pointer(&profile->derived_from);
    const char *name = NULL;
    gboolean ok =
        header_read(root, unknown, error) && json_in_string(root, "gpu", FALSE, &name, error);
    if (ok && name && strcmp(name, profile->name) != 0) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: gpu: is the profile of another GPU than %s", root->file,
                    profile->name);
        ok = FALSE;
    }
    ok = ok && profile_read_kernels(root, unknown, profile, error) &&
         profile_read_factors(root, unknown, profile, error) && check_unknown(unknown, error);
    profile->derived_from = g_steal_pointer(&derived_from);
    return ok;
}

gboolean profile_overlay(Profile *profile, const char *file, GPtrArray *warnings,
                         GError **error)
{
    g_autoptr(json_t) document = json_in_load(file, error);
    if (!document)
        return FALSE;
    const JsonIn root = {document, file, ""};
    const gboolean read = json_in_has(&root, "traceEvents")
                              ? profile_trace_read(&root, profile, warnings, error)
                              : overlay_kernels(profile, &root, error);
    if (!read)
        return FALSE;
    g_ptr_array_add(profile->overlays, g_strdup(file));
    profile_group_entries(profile);
    return TRUE;
}

void profile_free(Profile *profile)
{
    for (int op = 0; op < N_KERNELS; op++)
        for (int dtype = 0; dtype < N_DTYPES; dtype++)
            g_clear_pointer(&profile->groups[op][dtype], g_ptr_array_unref);
    g_free(profile->name);
    g_free(profile->file);
    g_free(profile->sha256);
    g_free(profile->derived_from);
    profile_factors_clear(&profile->factors);
    g_ptr_array_unref(profile->overlays);
    g_hash_table_unref(profile->entries);
    g_free(profile);
}

KernelTime profile_lookup(const Profile *profile, const Kernel *kernel)
{
    const Kernel key = profile_key(kernel);
    const ProfileEntry *entry = g_hash_table_lookup(profile->entries, &key);
    const double chain = profile_chain_ratio(profile, kernel->op);
    double time_s = 0;
    if (entry)
        return (KernelTime){chain * profile_entry_s(profile, entry), entry->source};
    if (profile_interpolate_s(profile, &key, NULL, &time_s))
        return (KernelTime){chain * time_s,
                            profile->derived_from ? TIME_DERIVED : TIME_INTERPOLATED};
    return (KernelTime){profile_roofline_s(profile, kernel), TIME_ROOFLINE};
}
