/* SPDX-License-Identifier: MIT */
/* An experiment built key by key, its temporary files, and what takes the place of a value that
 * isn't modelled. */
#include "validate_case.h"

#include "error.h"

#include <glib/gstdio.h>
#include <string.h>

typedef struct {
    char *key, *instead, *what;
} Fallback;

static void fallback_free(gpointer data)
{
    Fallback *fallback = data;
    g_free(fallback->key);
    g_free(fallback->instead);
    g_free(fallback->what);
    g_free(fallback);
}

ValidateCase *validate_case_new(Outcome *outcome, GError **error)
{
    g_autoptr(GError) cause = NULL;
    char *directory = g_dir_make_tmp("zerosim-validate-XXXXXX", &cause);
    if (directory == NULL) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "no temporary directory: %s",
                    cause->message);
        return NULL;
    }
    ValidateCase *c = g_new0(ValidateCase, 1);
    c->directory = directory;
    c->outcome = outcome;
    c->experiment = experiment_load(NULL, NULL, NULL);
    c->fallbacks = g_ptr_array_new_with_free_func(fallback_free);
    return c;
}

void validate_case_free(ValidateCase *c)
{
    if (c == NULL)
        return;
    g_autoptr(GDir) directory = g_dir_open(c->directory, 0, NULL);
    const char *name;
    while (directory != NULL && (name = g_dir_read_name(directory)) != NULL) {
        g_autofree char *file = g_build_filename(c->directory, name, NULL);
        g_unlink(file);
    }
    g_rmdir(c->directory);
    experiment_free(c->experiment);
    g_ptr_array_unref(c->fallbacks);
    g_free(c->directory);
    g_free(c);
}

gboolean validate_case_set(ValidateCase *c, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *assignment = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return experiment_set(c->experiment, assignment, error);
}

gboolean validate_case_wish(ValidateCase *c, const char *assignment, const char *instead,
                            const char *what, GError **error)
{
    if (!experiment_set(c->experiment, assignment, NULL)) {
        outcome_assume(c->outcome, what);
        return experiment_set(c->experiment, instead, error);
    }
    Fallback *fallback = g_new0(Fallback, 1);
    fallback->key = g_strndup(assignment, strcspn(assignment, "="));
    fallback->instead = g_strdup(instead);
    fallback->what = g_strdup(what);
    g_ptr_array_add(c->fallbacks, fallback);
    return TRUE;
}

void validate_case_assume(ValidateCase *c, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    outcome_assume(c->outcome, what);
}

/* The wish that the message complains about; it is taken off the list. */
static gboolean fall_back(ValidateCase *c, const GError *cause, GError **error)
{
    for (guint i = 0; i < c->fallbacks->len; i++) {
        const Fallback *fallback = c->fallbacks->pdata[i];
        if (strstr(cause->message, fallback->key) == NULL)
            continue;
        gboolean set = experiment_set(c->experiment, fallback->instead, error);
        outcome_assume(c->outcome, fallback->what);
        g_ptr_array_remove_index(c->fallbacks, i);
        return set;
    }
    g_propagate_error(error, g_error_copy(cause));
    return FALSE;
}

Inputs *validate_case_inputs(ValidateCase *c, GError **error)
{
    for (;;) {
        g_autoptr(GError) cause = NULL;
        Inputs *inputs = inputs_load(c->experiment, FALSE, FALSE, &cause);
        if (inputs != NULL)
            return inputs;
        if (!g_error_matches(cause, ZEROSIM_ERROR, ERROR_UNMODELLED)) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return NULL;
        }
        if (!fall_back(c, cause, error))
            return NULL;
    }
}
