/* SPDX-License-Identifier: MIT */
/* Checks the members of another program's configuration against the three lists of what is
 * modelled, irrelevant, or neither. The lists stand with their readers. */
#include "training_members.h"

#include "error.h"

#include <string.h>

typedef struct {
    const MemberLists *lists;
    const JsonIn *in;
    gboolean strict;
    GPtrArray *warnings;
} Check;

static const char *off_values(const MemberLists *lists, const char *path)
{
    for (const UnmodelledMember *member = lists->unmodelled; member->path; member++)
        if (strcmp(member->path, path) == 0)
            return member->off;
    return NULL;
}

static gboolean is_section(const MemberLists *lists, const char *path)
{
    g_autofree char *prefix = g_strconcat(path, ".", NULL);
    const char *const *const known[] = {lists->modelled, lists->irrelevant};

    for (gsize l = 0; l < G_N_ELEMENTS(known); l++)
        for (const char *const *name = known[l]; *name; name++)
            if (g_str_has_prefix(*name, prefix))
                return TRUE;
    for (const UnmodelledMember *member = lists->unmodelled; member->path; member++)
        if (g_str_has_prefix(member->path, prefix))
            return TRUE;
    return FALSE;
}

static gboolean is_off(const json_t *value, const char *off)
{
    if (json_is_null(value))
        return TRUE;
    if (strcmp(off, "{}") == 0) {
        const json_t *enabled = json_object_get(value, "enabled");
        return json_is_object(value) &&
               (json_is_false(enabled) || (!enabled && json_object_size(value) == 0));
    }
    g_auto(GStrv) values = g_strsplit(off, "|", -1);
    for (char **text = values; *text; text++) {
        g_autoptr(json_t) neutral = json_loads(*text, JSON_DECODE_ANY, NULL);
        const gboolean numbers = json_is_number(neutral) && json_is_number(value);
        if (json_equal(neutral, value) ||
            (numbers && json_number_value(neutral) == json_number_value(value)))
            return TRUE;
    }
    return FALSE;
}

/* Where the member stands in the user's words. */
static char *place(const Check *check, const char *path)
{
    g_autofree char *full =
        check->in->path[0] ? g_strconcat(check->in->path, ".", path, NULL) : g_strdup(path);
    for (const char *p = full; *p; p++)
        if (!g_ascii_isgraph(*p) || p - full > 120) {
            g_autofree char *quoted = error_quote(full);
            return g_strconcat(check->in->file, ": ", quoted, NULL);
        }
    return g_strconcat(check->in->file, ": ", full, NULL);
}

static const char *nearest(const MemberLists *lists, const char *path)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    for (const char *const *name = lists->modelled; *name; name++)
        g_ptr_array_add(all, (void *)*name);
    for (const char *const *name = lists->irrelevant; *name; name++)
        g_ptr_array_add(all, (void *)*name);
    g_ptr_array_add(all, NULL);
    return error_nearest(path, (const char *const *)all->pdata);
}

static gboolean report_unknown(const Check *check, const char *path, GError **error)
{
    g_autofree char *where = place(check, path);

    if (!check->strict) {
        if (check->warnings)
            g_ptr_array_add(check->warnings, g_strdup_printf("%s: not known, ignored", where));
        return TRUE;
    }
    const MemberLists *lists = check->lists;
    const char *near = nearest(lists, path);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "%s: no such key, and no member of %s that is known%s%s%s%s", where,
                lists->file_kind, near ? ": did you mean " : "", near ? lists->prefix : "",
                near ? near : "", near ? "?" : "");
    return FALSE;
}

static gboolean report_unmodelled(const Check *check, const char *path, const char *off,
                                  GError **error)
{
    g_autofree char *where = place(check, path);
    g_autofree char *values = strcmp(off, "{}") == 0 ? g_strdup("\"enabled\": false")
                                                     : g_strdelimit(g_strdup(off), "|", ' ');

    g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                "%s: changes the prediction and is not modelled (without effect: %s)", where,
                values);
    return FALSE;
}

/* Recursion is bounded: only sections of the lists are entered. */
static gboolean check_object(const Check *check, const json_t *object, const char *prefix,
                             GError **error)
{
    const MemberLists *lists = check->lists;
    void *iterator = json_object_iter((json_t *)object);

    for (; iterator; iterator = json_object_iter_next((json_t *)object, iterator)) {
        g_autofree char *path = g_strconcat(prefix, json_object_iter_key(iterator), NULL);
        const json_t *value = json_object_iter_value(iterator);
        const char *off = off_values(check->lists, path);

        if (g_strv_contains(lists->modelled, path) || g_strv_contains(lists->irrelevant, path))
            continue;
        if (off) {
            if (!is_off(value, off))
                return report_unmodelled(check, path, off, error);
        } else if (is_section(lists, path) && json_is_object(value)) {
            g_autofree char *inner = g_strconcat(path, ".", NULL);
            if (!check_object(check, value, inner, error))
                return FALSE;
        } else if (is_section(lists, path) && !json_is_null(value)) {
            g_autofree char *where = place(check, path);
            g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: must be an object { ... }",
                        where);
            return FALSE;
        } else if (!is_section(lists, path) && !report_unknown(check, path, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

gboolean training_members_check(const MemberLists *lists, const JsonIn *in, gboolean strict,
                                GPtrArray *warnings, GError **error)
{
    const Check check = {lists, in, strict, warnings};
    return check_object(&check, in->object, "", error);
}
