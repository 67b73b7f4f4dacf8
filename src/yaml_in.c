/* SPDX-License-Identifier: MIT */
/* From libyaml's events to jansson's values. Messages read "FILE:LINE: what". What a plain
 * scalar means is in one table, after PyYAML's lib/yaml/resolver.py. */
#include "yaml_in.h"

#include "error.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <yaml.h>

#define FILE_MAX_BYTES (1024 * 1024)
#define DEPTH_MAX 32

typedef struct {
    yaml_parser_t parser;
    const char *file;
} Reader;

static G_GNUC_PRINTF(4, 5) void fail(const Reader *reader, yaml_mark_t mark, GError **error,
                                     const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s:%zu: %s", reader->file, mark.line + 1,
                what);
}

static gboolean next(Reader *reader, yaml_event_t *event, GError **error)
{
    if (yaml_parser_parse(&reader->parser, event))
        return TRUE;
    const char *problem = reader->parser.problem ? reader->parser.problem : "cannot be read";
    fail(reader, reader->parser.problem_mark, error, "not valid YAML: %s", problem);
    return FALSE;
}

/* ---- scalars ---- */

static json_t *resolve_true(const char *text)
{
    (void)text;
    return json_true();
}

static json_t *resolve_false(const char *text)
{
    (void)text;
    return json_false();
}

static json_t *resolve_null(const char *text)
{
    (void)text;
    return json_null();
}

static json_t *resolve_integer(const char *text)
{
    const gboolean negative = text[0] == '-';
    const char *digits = text + (negative || text[0] == '+');
    const int base = g_str_has_prefix(digits, "0b")   ? 2
                     : g_str_has_prefix(digits, "0x") ? 16
                     : digits[0] == '0'               ? 8
                                                      : 10;
    const int skipped = base == 2 || base == 16 ? 2 : 0;
    g_autofree char *number = g_strconcat(negative ? "-" : "", digits + skipped, NULL);

    errno = 0;
    const gint64 value = g_ascii_strtoll(number, NULL, base);
    return errno ? NULL : json_integer(value);
}

static json_t *resolve_real(const char *text)
{
    const double value = g_ascii_strtod(text, NULL);
    return isfinite(value) ? json_real(value) : NULL;
}

static json_t *resolve_none(const char *text)
{
    (void)text;
    return NULL;
}

/* The first pattern that a plain scalar matches says what it is; none: a string. Underscores
 * are gone by then. `must` completes a message when it has no value. */
static const struct {
    const char *pattern;
    json_t *(*resolve)(const char *text);
    const char *must;
} plain_scalars[] = {
    {"^(yes|Yes|YES|true|True|TRUE|on|On|ON)$", resolve_true, NULL},
    {"^(no|No|NO|false|False|FALSE|off|Off|OFF)$", resolve_false, NULL},
    {"^(~|null|Null|NULL|)$", resolve_null, NULL},
    {"^[-+]?(0b[01]+|0x[0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)$", resolve_integer,
     "an integer that fits 64 bits"},
    {"^[-+]?([0-9]+\\.[0-9]*|\\.[0-9]+)([eE][-+][0-9]+)?$", resolve_real, "a finite number"},
    {"^([-+]?\\.(inf|Inf|INF)|\\.(nan|NaN|NAN))$", resolve_none, "a finite number"},
    {"^[-+]?[0-9]+(:[0-5]?[0-9])+(\\.[0-9]*)?$", resolve_none,
     "in quotes: YAML 1.1 reads this as a number of base 60"},
};

static json_t *resolve_plain(const Reader *reader, const char *text, yaml_mark_t mark,
                             GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, "_", -1);
    g_autofree char *joined = g_strjoinv("", parts);
    const char *bare = g_ascii_isdigit(text[0]) || strchr("+-.", text[0]) ? joined : text;

    for (gsize i = 0; i < G_N_ELEMENTS(plain_scalars); i++) {
        if (!g_regex_match_simple(plain_scalars[i].pattern, bare, G_REGEX_DOLLAR_ENDONLY, 0))
            continue;
        json_t *value = plain_scalars[i].resolve(bare);
        g_autofree char *quoted = error_quote(text);
        if (!value)
            fail(reader, mark, error, "%s must be %s", quoted, plain_scalars[i].must);
        return value;
    }
    return json_string(text);
}

static gboolean check_scalar(const Reader *reader, const yaml_event_t *event, GError **error)
{
    const char *text = (const char *)event->data.scalar.value;

    if (event->data.scalar.anchor || event->data.scalar.tag) {
        fail(reader, event->start_mark, error, "anchors and tags are not read");
        return FALSE;
    }
    if (strlen(text) != event->data.scalar.length) {
        fail(reader, event->start_mark, error, "a zero byte in a text");
        return FALSE;
    }
    return TRUE;
}

static json_t *read_scalar(const Reader *reader, const yaml_event_t *event, GError **error)
{
    const char *text = (const char *)event->data.scalar.value;

    if (!check_scalar(reader, event, error))
        return NULL;
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
               ? resolve_plain(reader, text, event->start_mark, error)
               : json_string(text);
}

/* ---- collections ---- */

static json_t *read_node(Reader *reader, const yaml_event_t *event, int depth, GError **error);

static gboolean check_collection(const Reader *reader, const yaml_event_t *event, int depth,
                                 GError **error)
{
    const gboolean mapping = event->type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *anchor =
        mapping ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    const yaml_char_t *tag =
        mapping ? event->data.mapping_start.tag : event->data.sequence_start.tag;

    if (anchor || tag)
        fail(reader, event->start_mark, error, "anchors and tags are not read");
    else if (depth == DEPTH_MAX)
        fail(reader, event->start_mark, error, "nested deeper than %d", DEPTH_MAX);
    return !anchor && !tag && depth < DEPTH_MAX;
}

/* A mapping's key as text, whatever it would mean as a value. */
static gboolean check_key(const Reader *reader, const yaml_event_t *event,
                          const json_t *mapping, GError **error)
{
    const char *text = (const char *)event->data.scalar.value;

    if (event->type != YAML_SCALAR_EVENT) {
        fail(reader, event->start_mark, error, "a mapping's key must be a word");
        return FALSE;
    }
    if (!check_scalar(reader, event, error))
        return FALSE;
    g_autofree char *quoted = error_quote(text);
    const gboolean merge = strcmp(text, "<<") == 0;
    if (merge)
        fail(reader, event->start_mark, error, "merge keys (<<) are not read");
    else if (json_object_get(mapping, text))
        fail(reader, event->start_mark, error, "%s is set twice", quoted);
    return !merge && !json_object_get(mapping, text);
}

static gboolean read_pair(Reader *reader, const yaml_event_t *key, json_t *mapping, int depth,
                          GError **error)
{
    yaml_event_t event;

    if (!check_key(reader, key, mapping, error) || !next(reader, &event, error))
        return FALSE;
    json_t *value = read_node(reader, &event, depth, error);
    yaml_event_delete(&event);
    return value &&
           json_object_set_new(mapping, (const char *)key->data.scalar.value, value) == 0;
}

static gboolean read_item(Reader *reader, const yaml_event_t *event, json_t *sequence,
                          int depth, GError **error)
{
    json_t *value = read_node(reader, event, depth, error);
    return value && json_array_append_new(sequence, value) == 0;
}

static json_t *read_collection(Reader *reader, gboolean mapping, int depth, GError **error)
{
    g_autoptr(json_t) collection = mapping ? json_object() : json_array();

    for (;;) {
        yaml_event_t event;
        if (!next(reader, &event, error))
            return NULL;
        const gboolean last =
            event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT;
        const gboolean ok =
            last || (mapping ? read_pair(reader, &event, collection, depth, error)
                             : read_item(reader, &event, collection, depth, error));
        yaml_event_delete(&event);
        if (!ok)
            return NULL;
        if (last)
            return g_steal_pointer(&collection);
    }
}

static json_t *read_node(Reader *reader, const yaml_event_t *event, int depth, GError **error)
{
    if (event->type == YAML_SCALAR_EVENT)
        return read_scalar(reader, event, error);
    if (event->type == YAML_ALIAS_EVENT) {
        fail(reader, event->start_mark, error, "aliases (*name) are not read");
        return NULL;
    }
    if (!check_collection(reader, event, depth, error))
        return NULL;
    return read_collection(reader, event->type == YAML_MAPPING_START_EVENT, depth + 1, error);
}

/* ---- the document ---- */

/* The next event must be of this type. */
static gboolean expect(Reader *reader, yaml_event_type_t type, const char *what, GError **error)
{
    yaml_event_t event;

    if (!next(reader, &event, error))
        return FALSE;
    const gboolean ok = event.type == type;
    if (!ok)
        fail(reader, event.start_mark, error, "%s", what);
    yaml_event_delete(&event);
    return ok;
}

static json_t *read_document(Reader *reader, GError **error)
{
    static const char *const mapping = "must be a mapping (key: value)";
    yaml_event_t event;

    if (!expect(reader, YAML_STREAM_START_EVENT, mapping, error) ||
        !expect(reader, YAML_DOCUMENT_START_EVENT, mapping, error) ||
        !next(reader, &event, error))
        return NULL;
    if (event.type != YAML_MAPPING_START_EVENT)
        fail(reader, event.start_mark, error, "the top level %s", mapping);
    g_autoptr(json_t) root =
        event.type == YAML_MAPPING_START_EVENT ? read_node(reader, &event, 0, error) : NULL;
    yaml_event_delete(&event);
    if (!root || !expect(reader, YAML_DOCUMENT_END_EVENT, "must end here", error) ||
        !expect(reader, YAML_STREAM_END_EVENT, "a second document: must be one", error))
        return NULL;
    return g_steal_pointer(&root);
}

json_t *yaml_in_load(const char *file, GError **error)
{
    Reader reader = {.file = file};
    gsize length;
    g_autofree char *text = json_in_read_text(file, FILE_MAX_BYTES, &length, error);

    if (!text)
        return NULL;
    g_assert(yaml_parser_initialize(&reader.parser));
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, length);
    json_t *root = read_document(&reader, error);
    yaml_parser_delete(&reader.parser);
    return root;
}
