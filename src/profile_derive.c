/* SPDX-License-Identifier: MIT */
/* Each kernel takes as many times the target's roofline as it takes of the source's: what both
 * ceilings, bandwidths, launch times and waves over the multiprocessors explain is scaled, what
 * they don't is taken to be the same, and so is the ratio of whole layers to their kernels.
 * Probes are not copied: nothing was measured that they could judge. Neither is what belongs to
 * the other GPU's multiprocessors, host or links: interference, launches, transfers,
 * collectives. */
#include "profile_derive.h"

#include "error.h"
#include "profile_roofline.h"

#include <string.h>

static gboolean check(const Profile *target, const Profile *source, GError **error)
{
    if (g_hash_table_size(source->entries) == 0 || source->derived_from)
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: nothing in it was measured: another profile can't be derived from it",
                    source->file);
    else if (strcmp(target->name, source->name) == 0)
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: is the profile of the same GPU",
                    source->file);
    else
        return TRUE;
    return FALSE;
}

static json_t *row_json(const Profile *target, const Profile *source, const ProfileEntry *entry)
{
    const Kernel *kernel = &entry->kernel;
    const char *const *names = kernel_dimension_names(kernel->op);
    const double time_s = profile_entry_s(source, entry) * profile_roofline_s(target, kernel) /
                          profile_roofline_s(source, kernel);
    json_t *row = json_array();
    for (int i = 0; i < KERNEL_MAX_DIMENSIONS && names[i]; i++)
        json_array_append_new(row, json_integer(kernel->dimension[i]));
    json_array_append_new(row, json_real(time_s));
    return row;
}

/* A type that the target has no units for would be scaled by the rate of another. */
static gboolean can_scale(const Profile *target, const ProfileEntry *entry)
{
    return !entry->probe && target->peak_flop_per_s[entry->kernel.dtype] > 0;
}

/* The kernels of an operation and a type; NULL: none that can be scaled. */
static json_t *table_json(const Profile *target, const Profile *source, const GPtrArray *group)
{
    if (!group)
        return NULL;
    g_autoptr(json_t) rows = json_array();
    for (guint i = 0; i < group->len; i++) {
        const ProfileEntry *entry = g_ptr_array_index(group, i);
        if (can_scale(target, entry))
            json_array_append_new(rows, row_json(target, source, entry));
    }
    if (json_array_size(rows) == 0)
        return NULL;
    const Kernel *kernel = &((const ProfileEntry *)g_ptr_array_index(group, 0))->kernel;
    const char *const *names = kernel_dimension_names(kernel->op);
    json_t *columns = json_array();
    for (int i = 0; i < KERNEL_MAX_DIMENSIONS && names[i]; i++)
        json_array_append_new(columns, json_string(names[i]));
    json_array_append_new(columns, json_string("time_s"));
    return json_pack("{s:s, s:s, s:s, s:o, s:O}", "op", kernel_op_name(kernel->op), "dtype",
                     dtype_name(kernel->dtype), "implementation", "derived", "columns", columns,
                     "rows", rows);
}

/* The median says all that a prediction reads. */
static json_t *factors_json(const Profile *source)
{
    const ProfileFactors *factors = &source->factors;
    if (factors->n_chains == 0)
        return json_array();
    return json_pack("[{s:s, s:f, s:s}]", "op", "layer_forward", "ratio", factors->chain_ratio,
                     "implementation", "derived");
}

json_t *profile_derive(const Profile *target, const Profile *source, GError **error)
{
    if (!check(target, source, error))
        return NULL;
    g_autoptr(json_t) document = json_in_load(target->file, error);
    if (!document)
        return NULL;
    json_t *kernels = json_array();
    for (int op = 0; op < N_KERNELS; op++)
        for (int dtype = 0; dtype < N_DTYPES; dtype++) {
            json_t *table = table_json(target, source, source->groups[op][dtype]);
            if (table)
                json_array_append_new(kernels, table);
        }
    g_autofree char *note =
        g_strdup_printf("Times of %s scaled by the ratios of the two data sheets; nothing was "
                        "measured on this GPU. Interference and launches are left to what is "
                        "assumed.",
                        source->name);
    return json_pack("{s:s, s:i, s:s, s:s, s:O, s:{s:s, s:s, s:s}, s:o, s:o}", "format",
                     "zerosim-profile", "version", 1, "gpu", target->name, "derived_from",
                     source->name, "facts", json_object_get(document, "facts"), "provenance",
                     "kind", "derived", "note", note, "source_sha256", source->sha256,
                     "kernels", kernels, "factors", factors_json(source));
}
