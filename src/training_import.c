/* SPDX-License-Identifier: MIT */
/* What the readers of other programs' configurations share: members to keys by table, and which
 * reader reads. */
#include "training_import.h"

#include "error.h"
#include "training_accelerate.h"
#include "training_torchtitan.h"

#include <math.h>
#include <string.h>

static char *place_of(const JsonIn *in, const char *member)
{
    return g_strconcat(in->file, ": ", in->path, in->path[0] ? "." : "", member, NULL);
}

gboolean import_fail(const JsonIn *in, const char *member, int code, GError **error,
                     const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *where = place_of(in, member);
    g_set_error(error, ZEROSIM_ERROR, code, "%s: %s", where, what);
    return FALSE;
}

void import_warn(const Import *import, const JsonIn *in, const char *member, const char *format,
                 ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *where = place_of(in, member);
    if (import->warnings)
        g_ptr_array_add(import->warnings, g_strdup_printf("%s: %s", where, what));
}

char *import_text(const JsonIn *in, const char *member, gboolean *ok, GError **error)
{
    const json_t *value = in->object ? json_object_get(in->object, member) : NULL;
    char number[G_ASCII_DTOSTR_BUF_SIZE];

    *ok = TRUE;
    if (!value || json_is_null(value))
        return NULL;
    if (json_is_string(value))
        return g_strdup(json_string_value(value));
    if (json_is_boolean(value))
        return g_strdup(json_is_true(value) ? "true" : "false");
    if (json_is_integer(value))
        return g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (json_is_real(value))
        return g_strdup(g_ascii_dtostr(number, sizeof number, json_real_value(value)));
    *ok = import_fail(in, member, ERROR_INPUT, error, "must be one value, not %s",
                      json_is_array(value) ? "a list" : "a section");
    return NULL;
}

gboolean import_key(const Import *import, const JsonIn *in, const char *member, const char *key,
                    const char *text, GError **error)
{
    g_autofree char *where = place_of(in, member);
    g_autofree char *base = g_path_get_dirname(in->file);
    return experiment_import(import->experiment, key, text, where, base, error);
}

gboolean import_fixed(const Import *import, const JsonIn *in, const char *member,
                      const char *key, const char *text, GError **error)
{
    const Experiment *experiment = import->experiment;

    if (experiment_is_own(experiment, key) &&
        strcmp(experiment_string(experiment, key), text) != 0) {
        g_autofree char *where = experiment_where(experiment, key);
        g_autofree char *other = place_of(in, member);
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s contradicts %s, which says %s",
                    where, experiment_string(experiment, key), other, text);
        return FALSE;
    }
    return import_key(import, in, member, key, text, error);
}

/* "must be one of a, b, not c", and why a c that YAML made of `no` isn't one. */
static gboolean fail_word(const JsonIn *in, const ImportRow *row, const char *text,
                          GError **error)
{
    g_autoptr(GString) all = g_string_new(NULL);
    g_autofree char *quoted = error_quote(text);
    const char *hint = "";

    for (const ImportWord *word = row->words; word->from; word++) {
        if (strcmp(word->from, "no") == 0 && strcmp(text, "false") == 0)
            hint = ": YAML reads no without quotes as false, write 'no'";
        g_string_append_printf(all, "%s%s", all->len ? ", " : "", word->from);
    }
    return import_fail(in, row->member, ERROR_INPUT, error, "must be one of %s, not %s%s",
                       all->str, quoted, hint);
}

static gboolean import_word(const Import *import, const JsonIn *in, const ImportRow *row,
                            const char *text, GError **error)
{
    g_autofree char *quoted = error_quote(text);
    const ImportWord *word = row->words;

    while (word->from && g_ascii_strcasecmp(word->from, text) != 0)
        word++;
    if (!word->from)
        return fail_word(in, row, text, error);
    if (word->to)
        return import_key(import, in, row->member, row->key, word->to, error);
    if (experiment_is_own(import->experiment, row->key))
        return TRUE;
    return import_fail(in, row->member, ERROR_UNMODELLED, error,
                       "%s is not modelled; %s in the experiment replaces it", quoted,
                       row->key);
}

/* 5e8 is an integer's text too, as in JSON files. */
static gboolean import_number(const Import *import, const JsonIn *in, const ImportRow *row,
                              const char *text, GError **error)
{
    const json_t *value = json_object_get(in->object, row->member);
    g_autofree char *quoted = error_quote(text);

    if (!json_is_number(value))
        return import_fail(in, row->member, ERROR_INPUT, error, "must be a number, not %s",
                           quoted);
    const double number = json_number_value(value);
    g_autofree char *whole = json_is_real(value) && floor(number) == number && number < 1e15
                                 ? g_strdup_printf("%.0f", number)
                                 : g_strdup(text);
    return import_key(import, in, row->member, row->key, whole, error);
}

gboolean import_rows(const Import *import, const JsonIn *in, const ImportRow *rows,
                     gsize n_rows, GError **error)
{
    for (const ImportRow *row = rows; row < rows + n_rows; row++) {
        gboolean ok;
        g_autofree char *text = import_text(in, row->member, &ok, error);
        if (!ok)
            return FALSE;
        if (!text && row->missing)
            ok = import_key(import, in, row->member, row->key, row->missing, error);
        else if (text)
            ok = row->words ? import_word(import, in, row, text, error)
                            : import_number(import, in, row, text, error);
        if (!ok)
            return FALSE;
    }
    return TRUE;
}

/* ---- which file ---- */

#define ACCELERATE "training.accelerate_config"
#define TORCHTITAN "training.torchtitan_config"
#define DEEPSPEED "training.deepspeed_config"

/* A whole configuration each: two would contradict each other sooner or later. */
static gboolean check_alone(const Experiment *experiment, GError **error)
{
    static const struct {
        const char *key, *other, *hint;
    } pairs[] = {
        {ACCELERATE, TORCHTITAN, "set one or the other"},
        {DEEPSPEED, TORCHTITAN, "set one or the other"},
        {DEEPSPEED, ACCELERATE, "name it there, as deepspeed_config.deepspeed_config_file"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(pairs); i++) {
        if (!experiment_is_own(experiment, pairs[i].key) ||
            !experiment_is_own(experiment, pairs[i].other))
            continue;
        g_autofree char *where = experiment_where(experiment, pairs[i].key);
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: beside %s: %s", where,
                    pairs[i].other, pairs[i].hint);
        return FALSE;
    }
    return TRUE;
}

gboolean training_import_cluster(Experiment *experiment, GPtrArray *warnings, GError **error)
{
    g_autoptr(GStringChunk) paths = g_string_chunk_new(256);
    const Import import = {experiment, NULL, FALSE, warnings, paths};
    const char *accelerate = experiment_string(experiment, ACCELERATE);

    experiment_import_clear(experiment);
    if (!check_alone(experiment, error))
        return FALSE;
    return !accelerate || accelerate_import_cluster(&import, accelerate, error);
}

gboolean training_import(Experiment *experiment, const ImportCluster *cluster,
                         gboolean comparing, GPtrArray *warnings, GError **error)
{
    g_autoptr(GStringChunk) paths = g_string_chunk_new(256);
    const Import import = {experiment, cluster, comparing, warnings, paths};
    const char *accelerate = experiment_string(experiment, ACCELERATE);
    const char *torchtitan = experiment_string(experiment, TORCHTITAN);

    if (accelerate && !accelerate_import(&import, accelerate, error))
        return FALSE;
    return !torchtitan || torchtitan_import(&import, torchtitan, error);
}
