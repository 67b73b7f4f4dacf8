/* SPDX-License-Identifier: MIT */
/* Asking an experiment for a key's value: what was set, else what a launcher's file says, else
 * the table's default. */
#include "experiment.h"

#include "error.h"
#include "experiment_keys.h"

#include <string.h>

/* Names are written in the program, so one that isn't in the table is our mistake. */
static const ExperimentKey *row_of(const char *name)
{
    const char *dot = strchr(name, '.');
    g_assert(dot);
    g_autofree char *section = g_strndup(name, (gsize)(dot - name));
    const ExperimentKey *row = experiment_key_lookup(section, dot + 1);
    g_assert(row);
    return row;
}

gboolean experiment_is_own(const Experiment *experiment, const char *name)
{
    return g_hash_table_contains(experiment->values, name);
}

gboolean experiment_is_set(const Experiment *experiment, const char *name)
{
    return experiment_is_own(experiment, name) ||
           g_hash_table_contains(experiment->imported, name);
}

const char *experiment_string(const Experiment *experiment, const char *name)
{
    const ExperimentKey *row = row_of(name);
    const char *value = g_hash_table_lookup(experiment->values, name);
    if (!value)
        value = g_hash_table_lookup(experiment->imported, name);
    return value ? value : row->default_value;
}

gint64 experiment_int(const Experiment *experiment, const char *name)
{
    const char *value = experiment_string(experiment, name);
    if (!value)
        return 0;
    return strcmp(value, "auto") == 0 ? -1 : g_ascii_strtoll(value, NULL, 10);
}

double experiment_double(const Experiment *experiment, const char *name)
{
    const char *value = experiment_string(experiment, name);
    return value ? g_ascii_strtod(value, NULL) : 0;
}

gboolean experiment_bool(const Experiment *experiment, const char *name)
{
    return g_strcmp0(experiment_string(experiment, name), "true") == 0;
}

int experiment_choice(const Experiment *experiment, const char *name)
{
    const char *value = experiment_string(experiment, name);
    return value ? experiment_key_choice(row_of(name)->choices, value) : -1;
}

char *experiment_where(const Experiment *experiment, const char *name)
{
    const char *where = g_hash_table_lookup(experiment->imported_where, name);
    if (where && !experiment_is_own(experiment, name))
        return g_strdup(where);
    if (!experiment->file || g_hash_table_contains(experiment->overridden, name))
        return g_strconcat("-s ", name, NULL);
    return g_strconcat(experiment->file, ": ", name, NULL);
}

const char *experiment_require(const Experiment *experiment, const char *name, GError **error)
{
    const char *value = experiment_string(experiment, name);
    if (!value) {
        g_autofree char *where = experiment_where(experiment, name);
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: missing, and required: %s", where,
                    row_of(name)->help);
    }
    return value;
}
