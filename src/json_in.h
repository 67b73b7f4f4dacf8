/* SPDX-License-Identifier: MIT */
/* Typed, strict reading of JSON files on top of jansson: every message names the file and the
 * member's path. Duplicate members, trailing garbage and files over JSON_IN_MAX_BYTES are
 * errors. Knows nothing of what the members mean. */
#pragma once

#include <glib.h>
#include <jansson.h>

G_BEGIN_DECLS

#define JSON_IN_MAX_BYTES (64 * 1024 * 1024)

/* One JSON object being read: `path` is where it sits in the file ("" at the top). */
typedef struct {
    const json_t *object; /* borrowed */
    const char *file;
    const char *path;
} JsonIn;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(json_t, json_decref)

/* Reads a whole file of at most max_bytes as text; it ends in a zero byte that *length (may be
 * NULL) doesn't count. Errors: unreadable, too big, not UTF-8, or a zero byte inside. */
char *json_in_read_text(const char *file, gsize max_bytes, gsize *length, GError **error);

/* Reads a file whose top level must be an object. */
json_t *json_in_load(const char *file, GError **error);
/* The same of a text that was read already; `file` is for messages. */
json_t *json_in_parse(const char *file, const char *text, gsize length, GError **error);

gboolean json_in_has(const JsonIn *in, const char *key);

/* FALSE and an error that names file and member, and says what is wrong with it. */
gboolean json_in_refuse(const JsonIn *in, const char *key, GError **error, const char *format,
                        ...) G_GNUC_PRINTF(4, 5);

/* Each reads member `key` into `value`. A missing member leaves `value` as it is and succeeds,
 * unless `required`; null counts as missing. A wrong type or a value out of range is an error.
 * An integer may be written as a whole real (5e8). */
gboolean json_in_int(const JsonIn *in, const char *key, gboolean required, gint64 min,
                     gint64 max, gint64 *value, GError **error);
gboolean json_in_double(const JsonIn *in, const char *key, gboolean required, double min,
                        double max, double *value, GError **error);
gboolean json_in_bool(const JsonIn *in, const char *key, gboolean required, gboolean *value,
                      GError **error);
/* The string is borrowed from the document. */
gboolean json_in_string(const JsonIn *in, const char *key, gboolean required,
                        const char **value, GError **error);
/* `child->path` is allocated in the caller's string chunk; a missing member gives a `child`
 * whose object is NULL, which reads like an empty object. */
gboolean json_in_object(const JsonIn *in, const char *key, gboolean required,
                        GStringChunk *paths, JsonIn *child, GError **error);

/* Checks the object's members against NULL-terminated lists of names: `modelled` and
 * `irrelevant` pass; a member of `unmodelled` is an ERROR_UNMODELLED; any other adds a line to
 * `warnings` (an element is an owned char *). Any list may be NULL. */
gboolean json_in_check_members(const JsonIn *in, const char *const *modelled,
                               const char *const *irrelevant, const char *const *unmodelled,
                               GPtrArray *warnings, GError **error);

G_END_DECLS
