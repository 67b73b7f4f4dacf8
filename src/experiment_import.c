/* SPDX-License-Identifier: MIT */
/* Keys that another program's file sets, such as accelerate's: a layer between what the user
 * set and the table's defaults. Which member means which key is training_import.c's business.
 */
#include "experiment.h"

#include "error.h"
#include "experiment_keys.h"

#include <string.h>

static char *find_path(const char *text, const char *where, const char *base, GError **error)
{
    char *path = experiment_find_file(text, base);
    if (!path) {
        g_autofree char *quoted = error_quote(text);
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: no file %s in %s or %s", where,
                    quoted, base, experiment_data_dir());
    }
    return path;
}

gboolean experiment_import(Experiment *experiment, const char *name, const char *text,
                           const char *where, const char *base, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(name, ".", 2);
    const ExperimentKey *key = experiment_key_lookup(parts[0], parts[1]);
    g_autoptr(GError) reason = NULL;

    g_assert(key);
    if (!experiment_key_check(key, text, &reason)) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s", where, reason->message);
        return FALSE;
    }
    g_autofree char *value = experiment_key_is_path(key, text)
                                 ? find_path(text, where, base, error)
                                 : g_strdup(text);
    if (!value)
        return FALSE;
    g_hash_table_replace(experiment->imported, g_strdup(name), g_steal_pointer(&value));
    g_hash_table_replace(experiment->imported_where, g_strdup(name), g_strdup(where));
    return TRUE;
}

void experiment_import_clear(Experiment *experiment)
{
    g_hash_table_remove_all(experiment->imported);
    g_hash_table_remove_all(experiment->imported_where);
    g_clear_pointer(&experiment->imported_deepspeed, json_decref);
}
