/* SPDX-License-Identifier: MIT */
/* Typed, strict reading of JSON files on top of jansson. Messages read "FILE:LINE:COLUMN: what"
 * for syntax and "FILE: path.of.member: what" for values. Knows nothing of what the members
 * mean. */
#include "json_in.h"

#include "error.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Reals below it fit in gint64. */
#define INTEGER_LIMIT 9223372036854775808.0

static char *read_all(FILE *stream, gsize max_bytes, gsize *length)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char buffer[65536];
    gsize n;

    while (text->len <= max_bytes && (n = fread(buffer, 1, sizeof buffer, stream)) > 0)
        g_string_append_len(text, buffer, (gssize)n);
    *length = text->len;
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static gboolean check_text(const char *file, const char *text, gsize length, GError **error)
{
    const char *end;
    int line = 1;

    if (g_utf8_validate(text, (gssize)length, &end))
        return TRUE;
    for (const char *p = text; p < end; p++)
        line += *p == '\n';
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "%s:%d: not a text file (byte 0x%02x is not UTF-8 text)", file, line,
                (unsigned char)*end);
    return FALSE;
}

char *json_in_read_text(const char *file, gsize max_bytes, gsize *length, GError **error)
{
    gsize n = 0;
    FILE *stream = fopen(file, "rbe");
    if (!stream) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s", file, g_strerror(errno));
        return NULL;
    }
    errno = 0;
    g_autofree char *text = read_all(stream, max_bytes, &n);
    const int failure = ferror(stream) ? errno : 0;
    fclose(stream);
    if (failure) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s", file, g_strerror(failure));
        return NULL;
    }
    if (n > max_bytes) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: too big: over %" G_GSIZE_FORMAT " bytes, no file of this kind is",
                    file, max_bytes);
        return NULL;
    }
    if (!check_text(file, text, n, error))
        return NULL;
    if (length)
        *length = n;
    return g_steal_pointer(&text);
}

/* jansson quotes the text near the mistake, which may hold line breaks. */
static void set_syntax_error(const char *file, json_error_t *failure, GError **error)
{
    for (char *p = failure->text; *p; p++)
        if (g_ascii_iscntrl(*p))
            *p = ' ';
    g_autofree char *valid = g_utf8_make_valid(failure->text, -1);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s:%d:%d: not valid JSON: %s", file,
                failure->line, failure->column, valid);
}

json_t *json_in_parse(const char *file, const char *text, gsize length, GError **error)
{
    json_error_t failure;
    g_autoptr(json_t) root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &failure);
    if (!root) {
        set_syntax_error(file, &failure, error);
        return NULL;
    }
    if (!json_is_object(root)) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s:1:1: the top level must be an object { ... }", file);
        return NULL;
    }
    return g_steal_pointer(&root);
}

json_t *json_in_load(const char *file, GError **error)
{
    gsize length;
    g_autofree char *text = json_in_read_text(file, JSON_IN_MAX_BYTES, &length, error);
    return text ? json_in_parse(file, text, length, error) : NULL;
}

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "unknown";
}

/* "path.key", escaped when the file's author wrote something odd. */
static char *member_path(const JsonIn *in, const char *key)
{
    g_autofree char *path = in->path[0] ? g_strconcat(in->path, ".", key, NULL) : g_strdup(key);
    for (const char *p = path; *p; p++)
        if (!g_ascii_isgraph(*p))
            return error_quote(path);
    return g_steal_pointer(&path);
}

gboolean json_in_refuse(const JsonIn *in, const char *key, GError **error, const char *format,
                        ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *path = member_path(in, key);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s: %s", in->file, path, what);
    return FALSE;
}

/* The member, or NULL when it is missing; *ok tells whether that is allowed. */
static const json_t *lookup(const JsonIn *in, const char *key, gboolean required, gboolean *ok,
                            GError **error)
{
    const json_t *value = in->object ? json_object_get(in->object, key) : NULL;
    if (value && !json_is_null(value))
        return value;
    *ok = !required;
    if (required)
        json_in_refuse(in, key, error, "missing, and required");
    return NULL;
}

gboolean json_in_has(const JsonIn *in, const char *key)
{
    gboolean ok = FALSE;
    return lookup(in, key, FALSE, &ok, NULL) != NULL;
}

gboolean json_in_int(const JsonIn *in, const char *key, gboolean required, gint64 min,
                     gint64 max, gint64 *value, GError **error)
{
    gboolean ok = FALSE;
    gint64 number;
    const json_t *member = lookup(in, key, required, &ok, error);
    if (!member)
        return ok;

    const double real = json_number_value(member);
    if (json_is_integer(member)) {
        number = json_integer_value(member);
    } else if (json_is_real(member) && floor(real) == real && fabs(real) < INTEGER_LIMIT) {
        number = (gint64)real;
    } else {
        return json_in_refuse(in, key, error, "must be an integer, not %s",
                              json_is_real(member) && floor(real) == real ? "a number so big"
                                                                          : type_name(member));
    }
    if (number < min || number > max) {
        return json_in_refuse(in, key, error,
                              "%" G_GINT64_FORMAT
                              " is out of range: must be from %" G_GINT64_FORMAT
                              " to %" G_GINT64_FORMAT,
                              number, min, max);
    }
    *value = number;
    return TRUE;
}

gboolean json_in_double(const JsonIn *in, const char *key, gboolean required, double min,
                        double max, double *value, GError **error)
{
    gboolean ok = FALSE;
    const json_t *member = lookup(in, key, required, &ok, error);
    if (!member)
        return ok;
    if (!json_is_number(member)) {
        return json_in_refuse(in, key, error, "must be a number, not %s", type_name(member));
    }
    const double number = json_number_value(member);
    if (!isfinite(number) || number < min || number > max) {
        return json_in_refuse(in, key, error, "%g is out of range: must be from %g to %g",
                              number, min, max);
    }
    *value = number;
    return TRUE;
}

gboolean json_in_bool(const JsonIn *in, const char *key, gboolean required, gboolean *value,
                      GError **error)
{
    gboolean ok = FALSE;
    const json_t *member = lookup(in, key, required, &ok, error);
    if (!member)
        return ok;
    if (!json_is_boolean(member)) {
        return json_in_refuse(in, key, error, "must be true or false, not %s",
                              type_name(member));
    }
    *value = json_is_true(member);
    return TRUE;
}

gboolean json_in_string(const JsonIn *in, const char *key, gboolean required,
                        const char **value, GError **error)
{
    gboolean ok = FALSE;
    const json_t *member = lookup(in, key, required, &ok, error);
    if (!member)
        return ok;
    if (!json_is_string(member)) {
        return json_in_refuse(in, key, error, "must be a string, not %s", type_name(member));
    }
    *value = json_string_value(member);
    return TRUE;
}

gboolean json_in_object(const JsonIn *in, const char *key, gboolean required,
                        GStringChunk *paths, JsonIn *child, GError **error)
{
    gboolean ok = FALSE;
    g_autofree char *path = member_path(in, key);
    const json_t *member = lookup(in, key, required, &ok, error);

    child->object = NULL;
    child->file = in->file;
    child->path = g_string_chunk_insert(paths, path);
    if (!member)
        return ok;
    if (!json_is_object(member)) {
        return json_in_refuse(in, key, error, "must be an object { ... }, not %s",
                              type_name(member));
    }
    child->object = member;
    return TRUE;
}

static gboolean listed(const char *const *list, const char *key)
{
    return list && g_strv_contains(list, key);
}

gboolean json_in_check_members(const JsonIn *in, const char *const *modelled,
                               const char *const *irrelevant, const char *const *unmodelled,
                               GPtrArray *warnings, GError **error)
{
    void *iterator = json_object_iter((json_t *)in->object);

    for (; iterator; iterator = json_object_iter_next((json_t *)in->object, iterator)) {
        const char *key = json_object_iter_key(iterator);
        if (listed(modelled, key) || listed(irrelevant, key))
            continue;
        g_autofree char *path = member_path(in, key);
        if (listed(unmodelled, key)) {
            g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                        "%s: %s: changes the prediction and is not modelled", in->file, path);
            return FALSE;
        }
        if (warnings)
            g_ptr_array_add(warnings,
                            g_strdup_printf("%s: %s: not known, ignored", in->file, path));
    }
    return TRUE;
}
