/* SPDX-License-Identifier: MIT */
/* Reads results/validation/errors.json. Writing it is validation's business. */
#include "metrics_expected.h"

#include "error.h"
#include "experiment.h"
#include "json_in.h"

#include <string.h>

#define FORMAT "zerosim-errors"

const char *expected_error_provenance(const double kernel_source_frac[N_TIME_SOURCES])
{
    int most = 0;
    for (int i = 1; i < N_TIME_SOURCES; i++)
        if (kernel_source_frac[i] > kernel_source_frac[most])
            most = i;
    return time_source_name((TimeSource)most);
}

const char *expected_error_scale(int n_gpus)
{
    return n_gpus <= 8 ? "1 to 8 GPUs" : n_gpus <= 64 ? "9 to 64 GPUs" : "over 64 GPUs";
}

static gboolean row_read(const JsonIn *in, const ExpectedErrorKey *key, gboolean *matches,
                         ExpectedError *expected, GError **error)
{
    const struct {
        const char *member, *value;
    } wanted[] = {{"framework", key->framework},
                  {"strategy", key->strategy},
                  {"provenance", key->provenance},
                  {"scale", expected_error_scale(key->n_gpus)}};
    gint64 n_rows = 0;
    *expected = (ExpectedError){0, 0};
    *matches = TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(wanted); i++) {
        const char *text = NULL;
        if (!json_in_string(in, wanted[i].member, TRUE, &text, error))
            return FALSE;
        *matches = *matches && strcmp(text, wanted[i].value) == 0;
    }
    if (!json_in_int(in, "n_rows", TRUE, 0, G_MAXINT, &n_rows, error) ||
        !json_in_double(in, "p50_frac", FALSE, 0, 1e9, &expected->p50_frac, error) ||
        !json_in_double(in, "p90_frac", FALSE, 0, 1e9, &expected->p90_frac, error))
        return FALSE;
    if (n_rows < EXPECTED_ERROR_MIN)
        *expected = (ExpectedError){0, 0};
    return TRUE;
}

static gboolean table_read(const json_t *document, const char *file,
                           const ExpectedErrorKey *key, ExpectedError *expected, GError **error)
{
    const JsonIn top = {document, file, ""};
    const char *format = NULL;
    gint64 version = 0;
    if (!json_in_string(&top, "format", TRUE, &format, error) ||
        !json_in_int(&top, "version", TRUE, 1, 1, &version, error))
        return FALSE;
    const json_t *rows = json_object_get(document, "errors");
    if (strcmp(format, FORMAT) != 0 || !json_is_array(rows)) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: must be of format " FORMAT " with an array \"errors\"", file);
        return FALSE;
    }
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        g_autofree char *path = g_strdup_printf("errors[%zu]", i);
        const JsonIn in = {row, file, path};
        gboolean matches;
        ExpectedError found;
        if (!row_read(&in, key, &matches, &found, error))
            return FALSE;
        if (matches)
            *expected = found;
    }
    return TRUE;
}

gboolean expected_error_lookup(const char *file, const ExpectedErrorKey *key,
                               ExpectedError *expected, GError **error)
{
    *expected = (ExpectedError){0, 0};
    g_autofree char *installed =
        g_build_filename(experiment_data_dir(), "results", "validation", "errors.json", NULL);
    if (file == NULL && !g_file_test(installed, G_FILE_TEST_EXISTS))
        return TRUE;
    file = file != NULL ? file : installed;
    g_autoptr(json_t) document = json_in_load(file, error);
    return document != NULL && table_read(document, file, key, expected, error);
}
