/* SPDX-License-Identifier: MIT */
/* Reading an experiment: the lines of the file, the overrides, and the members of
 * ds_config.json that either may set. GKeyFile parses, but it keeps the last of duplicate keys
 * and knows no line numbers, so the lines are scanned first. */
#include "experiment.h"

#include "error.h"
#include "experiment_keys.h"

#include <string.h>

#define FILE_MAX_BYTES (1024 * 1024)
#define MEMBER_MAX_DEPTH 8

/* Where an assignment comes from; an override has no file. */
typedef struct {
    const char *file;
    const char *base; /* directory its paths are relative to; NULL: the working directory */
    int line;
} Origin;

static G_GNUC_PRINTF(5, 6) gboolean
    fail(GError **error, const Origin *origin, const char *section, const char *key,
         const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *name = key ? g_strconcat(section, ".", key, NULL) : g_strdup(section);
    g_autofree char *escaped = NULL;

    for (const char *p = name; *p && !escaped; p++)
        if (!g_ascii_isgraph(*p) || p - name > 80)
            escaped = error_quote(name);
    if (origin->file)
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s:%d: %s: %s", origin->file,
                    origin->line, escaped ? escaped : name, what);
    else
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "-s %s: %s", escaped ? escaped : name,
                    what);
    return FALSE;
}

/* ---- the members of ds_config.json ---- */

static gboolean is_word(const char *text)
{
    if (!g_ascii_isalpha(text[0]))
        return FALSE;
    for (const char *p = text; *p; p++)
        if (!g_ascii_isalnum(*p) && !strchr("_.-", *p))
            return FALSE;
    return TRUE;
}

/* A JSON scalar, or a bare word, which is a string (auto, none, AdamW). NULL: neither. */
static json_t *parse_member(const char *text)
{
    g_autoptr(json_t) value = json_loads(text, JSON_DECODE_ANY, NULL);
    if (value)
        return json_is_object(value) || json_is_array(value) ? NULL : g_steal_pointer(&value);
    return is_word(text) ? json_string(text) : NULL;
}

/* Sets root.a.b.c = value, making objects on the way; FALSE when a or a.b is not one, or
 * a.b.c already is. */
static gboolean set_nested(json_t *root, char **path, json_t *value)
{
    json_t *object = root;
    for (; path[1]; path++) {
        json_t *child = json_object_get(object, path[0]);
        if (!child) {
            child = json_object();
            json_object_set_new(object, path[0], child);
        }
        if (!json_is_object(child))
            return FALSE;
        object = child;
    }
    if (json_is_object(json_object_get(object, path[0])))
        return FALSE;
    return json_object_set(object, path[0], value) == 0;
}

static gboolean assign_member(Experiment *experiment, const char *key, const char *text,
                              const Origin *origin, GError **error)
{
    g_auto(GStrv) path = g_strsplit(key, ".", MEMBER_MAX_DEPTH + 1);
    if (g_strv_length(path) > MEMBER_MAX_DEPTH || !path[0])
        return fail(error, origin, "deepspeed", key, "not the path of a ds_config.json member");
    for (char **part = path; *part; part++)
        if (!is_word(*part))
            return fail(error, origin, "deepspeed", key,
                        "not the path of a ds_config.json member, "
                        "such as deepspeed.zero_optimization.overlap_comm");

    g_autoptr(json_t) value = parse_member(text);
    if (!value) {
        g_autofree char *quoted = error_quote(text);
        return fail(error, origin, "deepspeed", key,
                    "must be true, false, null, a number or a word, not %s", quoted);
    }
    json_t *changed = json_deep_copy(experiment->deepspeed);
    if (!set_nested(changed, path, value)) {
        json_decref(changed);
        return fail(error, origin, "deepspeed", key,
                    "one key makes a section of what another makes a value");
    }
    json_decref(experiment->deepspeed);
    experiment->deepspeed = changed;
    if (!origin->file)
        set_nested(experiment->deepspeed_overrides, path, value);
    return TRUE;
}

/* ---- one assignment ---- */

static gboolean is_other_cluster_key(const char *name)
{
    return g_str_has_prefix(name, "cluster.") && strcmp(name, "cluster.xml") != 0;
}

/* cluster.xml stands alone: an override of it drops the file's cluster keys, anything else that
 * sets both is a contradiction. */
static gboolean settle_cluster(Experiment *experiment, const ExperimentKey *key,
                               const char *name, const Origin *origin, GError **error)
{
    GHashTableIter iterator;
    const char *set;

    if (is_other_cluster_key(name) && experiment_is_set(experiment, "cluster.xml"))
        return fail(error, origin, key->section, key->key,
                    "cluster.xml replaces the other cluster keys: set one or the other");
    if (strcmp(name, "cluster.xml") != 0)
        return TRUE;
    g_hash_table_iter_init(&iterator, experiment->values);
    while (g_hash_table_iter_next(&iterator, (void **)&set, NULL)) {
        const gboolean from_file = !g_hash_table_contains(experiment->overridden, set);
        if (is_other_cluster_key(set) && (origin->file || !from_file))
            return fail(error, origin, key->section, key->key,
                        "replaces the other cluster keys, but one of them is set too: "
                        "set one or the other");
    }
    g_hash_table_iter_init(&iterator, experiment->values);
    while (g_hash_table_iter_next(&iterator, (void **)&set, NULL))
        if (is_other_cluster_key(set))
            g_hash_table_iter_remove(&iterator);
    return TRUE;
}

static char *resolve_path(const ExperimentKey *key, const char *text, const Origin *origin,
                          GError **error)
{
    const char *folder = strcmp(key->section, "model") == 0 ? "models" : "training";
    const char *nearest = NULL;
    char *path = experiment_find_file(text, origin->base);
    if (!path)
        path = experiment_find_shipped(text, folder, &nearest);
    if (!path) {
        g_autofree char *quoted = error_quote(text);
        fail(error, origin, key->section, key->key, "no file %s in %s or %s%s%s%s", quoted,
             origin->base ? origin->base : "the working directory", experiment_data_dir(),
             nearest ? ": did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
    }
    return path;
}

static gboolean assign(Experiment *experiment, const char *section, const char *key_name,
                       const char *text, const Origin *origin, GError **error)
{
    const ExperimentKey *key = experiment_key_lookup(section, key_name);
    g_autofree char *name = g_strconcat(section, ".", key_name, NULL);
    g_autoptr(GError) reason = NULL;

    if (!key && strcmp(section, "deepspeed") == 0)
        return assign_member(experiment, key_name, text, origin, error);
    if (!key) {
        g_autofree char *suggestion = experiment_key_suggestion(section, key_name);
        return fail(error, origin, section, key_name, "no such key: %s", suggestion);
    }
    if (!experiment_key_check(key, text, &reason))
        return fail(error, origin, section, key_name, "%s", reason->message);
    g_autofree char *value = experiment_key_is_path(key, text)
                                 ? resolve_path(key, text, origin, error)
                                 : g_strdup(text);
    if (!value || !settle_cluster(experiment, key, name, origin, error))
        return FALSE;
    if (!origin->file)
        g_hash_table_add(experiment->overridden, g_strdup(name));
    g_hash_table_replace(experiment->values, g_steal_pointer(&name), g_steal_pointer(&value));
    return TRUE;
}

gboolean experiment_set(Experiment *experiment, const char *assignment, GError **error)
{
    const char *equals = strchr(assignment, '=');
    const char *dot = strchr(assignment, '.');
    const Origin origin = {.file = NULL};

    if (!equals || !dot || dot > equals || !g_utf8_validate(assignment, -1, NULL)) {
        g_autofree char *quoted = error_quote(assignment);
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE, "-s %s: must be section.key=value",
                    quoted);
        return FALSE;
    }
    g_autofree char *section = g_strstrip(g_strndup(assignment, (gsize)(dot - assignment)));
    g_autofree char *key = g_strstrip(g_strndup(dot + 1, (gsize)(equals - dot - 1)));
    g_autofree char *value = g_strstrip(g_strdup(equals + 1));
    return assign(experiment, section, key, value, &origin, error);
}

/* ---- the file ---- */

/* Notes the line of a section or key in `lines`; a second one is an error. */
static gboolean note_line(GHashTable *lines, const char *section, const char *key,
                          const Origin *origin, GError **error)
{
    g_autofree char *name = g_strconcat(section, ".", key, NULL);
    const int first = GPOINTER_TO_INT(g_hash_table_lookup(lines, name));

    if (first)
        return fail(error, origin, section, key, "set twice, first on line %d", first);
    g_hash_table_insert(lines, g_steal_pointer(&name), GINT_TO_POINTER(origin->line));
    return TRUE;
}

static gboolean scan_line(char *line, char **section, GHashTable *lines, const Origin *origin,
                          GError **error)
{
    const gsize length = strlen(line);
    char *equals = strchr(line, '=');

    if (!length || line[0] == '#')
        return TRUE;
    if (line[0] == '[' && strcspn(line, "]") == length - 1) {
        g_free(*section);
        *section = g_strndup(line + 1, length - 2);
        return note_line(lines, *section, NULL, origin, error);
    }
    if (line[0] == '[' || !equals || equals == line || !*section) {
        g_autofree char *quoted = error_quote(line);
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s:%d: %s %s", origin->file,
                    origin->line, quoted,
                    *section || line[0] == '['
                        ? "is neither [section] nor key = value nor # comment"
                        : "stands before the first [section]");
        return FALSE;
    }
    *equals = '\0';
    return note_line(lines, *section, g_strstrip(line), origin, error);
}

/* "section." and "section.key" → line number. */
static GHashTable *scan_lines(const char *text, Origin *origin, GError **error)
{
    g_autoptr(GHashTable) lines = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_auto(GStrv) split = g_strsplit(text, "\n", -1);
    g_autofree char *section = NULL;

    for (int i = 0; split[i]; i++) {
        origin->line = i + 1;
        if (!scan_line(g_strstrip(split[i]), &section, lines, origin, error))
            return NULL;
    }
    return g_steal_pointer(&lines);
}

static gboolean read_section(Experiment *experiment, GKeyFile *keys, const char *section,
                             GHashTable *lines, Origin *origin, GError **error)
{
    g_auto(GStrv) names = g_key_file_get_keys(keys, section, NULL, NULL);
    g_autofree char *header = g_strconcat(section, ".", NULL);

    origin->line = GPOINTER_TO_INT(g_hash_table_lookup(lines, header));
    if (!experiment_key_is_section(section)) {
        g_autofree char *suggestion = experiment_key_suggestion(section, "");
        return fail(error, origin, section, NULL, "no such section: %s", suggestion);
    }
    for (char **key = names; *key; key++) {
        g_autofree char *name = g_strconcat(section, ".", *key, NULL);
        g_autoptr(GError) escape = NULL;
        g_autofree char *value = g_key_file_get_string(keys, section, *key, &escape);
        origin->line = GPOINTER_TO_INT(g_hash_table_lookup(lines, name));
        if (escape) { /* an unknown escape sets the error and gives a value all the same */
            g_autofree char *quoted = error_quote(escape->message);
            return fail(error, origin, section, *key, "cannot be read: %s", quoted);
        }
        if (!assign(experiment, section, *key, g_strstrip(value), origin, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean read_file(Experiment *experiment, GError **error)
{
    g_autofree char *base = g_path_get_dirname(experiment->file);
    g_autofree char *text = json_in_read_text(experiment->file, FILE_MAX_BYTES, NULL, error);
    g_autoptr(GKeyFile) keys = g_key_file_new();
    g_autoptr(GError) syntax = NULL;
    Origin origin = {.file = experiment->file, .base = base};

    if (!text)
        return FALSE;
    g_autoptr(GHashTable) lines = scan_lines(text, &origin, error);
    if (!lines)
        return FALSE;
    /* Keys with a locale ("nodes[de]") would vanish otherwise, unread. */
    if (!g_key_file_load_from_data(keys, text, strlen(text), G_KEY_FILE_KEEP_TRANSLATIONS,
                                   &syntax)) {
        g_autofree char *quoted = error_quote(syntax->message);
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s", experiment->file, quoted);
        return FALSE;
    }
    g_auto(GStrv) sections = g_key_file_get_groups(keys, NULL);
    for (char **section = sections; *section; section++)
        if (!read_section(experiment, keys, *section, lines, &origin, error))
            return FALSE;
    return TRUE;
}

/* ---- life ---- */

static Experiment *experiment_new(void)
{
    Experiment *experiment = g_new0(Experiment, 1);
    experiment->values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    experiment->overridden = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    experiment->deepspeed = json_object();
    experiment->deepspeed_overrides = json_object();
    experiment->imported = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    experiment->imported_where = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return experiment;
}

Experiment *experiment_load(const char *file, const char *const *overrides, GError **error)
{
    g_autoptr(Experiment) experiment = experiment_new();

    if (file) {
        experiment->file = experiment_find_file(file, NULL);
        if (!experiment->file)
            experiment->file = g_strdup(file); /* reading it says what is wrong */
        if (!read_file(experiment, error))
            return NULL;
    }
    for (; overrides && *overrides; overrides++)
        if (!experiment_set(experiment, *overrides, error))
            return NULL;
    return g_steal_pointer(&experiment);
}

static void copy_texts(GHashTable *from, GHashTable *to)
{
    GHashTableIter iterator;
    const char *name, *value;

    g_hash_table_iter_init(&iterator, from);
    while (g_hash_table_iter_next(&iterator, (void **)&name, (void **)&value))
        g_hash_table_insert(to, g_strdup(name), g_strdup(value));
}

Experiment *experiment_copy(const Experiment *experiment)
{
    Experiment *copy = experiment_new();
    GHashTableIter iterator;
    const char *name;

    copy->file = g_strdup(experiment->file);
    copy_texts(experiment->values, copy->values);
    copy_texts(experiment->imported, copy->imported);
    copy_texts(experiment->imported_where, copy->imported_where);
    copy->imported_deepspeed = json_deep_copy(experiment->imported_deepspeed);
    g_hash_table_iter_init(&iterator, experiment->overridden);
    while (g_hash_table_iter_next(&iterator, (void **)&name, NULL))
        g_hash_table_add(copy->overridden, g_strdup(name));
    json_decref(copy->deepspeed);
    copy->deepspeed = json_deep_copy(experiment->deepspeed);
    json_decref(copy->deepspeed_overrides);
    copy->deepspeed_overrides = json_deep_copy(experiment->deepspeed_overrides);
    return copy;
}

void experiment_free(Experiment *experiment)
{
    if (!experiment)
        return;
    g_free(experiment->file);
    g_hash_table_unref(experiment->values);
    g_hash_table_unref(experiment->overridden);
    json_decref(experiment->deepspeed);
    json_decref(experiment->deepspeed_overrides);
    g_hash_table_unref(experiment->imported);
    g_hash_table_unref(experiment->imported_where);
    json_decref(experiment->imported_deepspeed);
    g_free(experiment);
}
