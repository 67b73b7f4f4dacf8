/* SPDX-License-Identifier: MIT */
/* Finds out what a file is, takes its results apart, and checks that each has the members that
 * every result has, so that whoever reads them needs to check no more. */
#include "results_in.h"

#include "error.h"

#include <math.h>
#include <string.h>

#define EXPERIMENT "inputs.experiment."

/* What every result has; all but the last are numbers. */
static const char *const required[] = {
    "n_ranks",
    "n_parameters",
    "step_time_s",
    "tokens_per_s_per_gpu",
    "mfu_frac",
    "time_split_s.forward",
    "time_split_s.backward",
    "time_split_s.update",
    "time_split_s.exposed_comm",
    "time_split_s.idle",
    "comm.sent_bytes_per_rank",
    "memory.peak_bytes",
    "memory.capacity_bytes",
};

static const char *const required_texts[] = {
    "memory.fits",
    EXPERIMENT "training.strategy",
    EXPERIMENT "model.config",
};

void results_in_free(ResultsIn *in)
{
    if (in == NULL)
        return;
    g_ptr_array_unref(in->results);
    g_ptr_array_unref(in->origins);
    json_decref(in->trace);
    g_free(in->trace_file);
    csv_table_free(in->memory);
    csv_table_free(in->validation);
    g_free(in);
}

const json_t *results_in_member(const json_t *result, const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, ".", -1);
    for (int i = 0; result != NULL && names[i] != NULL; i++)
        result = json_object_get(result, names[i]);
    return result;
}

double results_in_number(const json_t *result, const char *path)
{
    const json_t *member = results_in_member(result, path);
    return json_is_number(member) ? json_number_value(member) : NAN;
}

gboolean results_in_fits(const json_t *result)
{
    return json_is_true(results_in_member(result, "memory.fits"));
}

char *results_in_text(const json_t *result, const char *path)
{
    const json_t *member = results_in_member(result, path);
    if (member == NULL || json_is_null(member) || json_is_object(member))
        return g_strdup("");
    if (json_is_string(member))
        return g_strdup(json_string_value(member));
    char *dumped = json_dumps(member, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
    char *text = g_strdup(dumped);
    free(dumped);
    return text;
}

static gboolean member_fail(const char *origin, const char *path, const char *what,
                            GError **error)
{
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s: %s", origin, path, what);
    return FALSE;
}

static gboolean check_result(const json_t *result, const char *origin, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(required); i++)
        if (!isfinite(results_in_number(result, required[i])))
            return member_fail(origin, required[i], "must be a number", error);
    for (gsize i = 0; i < G_N_ELEMENTS(required_texts); i++) {
        const json_t *member = results_in_member(result, required_texts[i]);
        if (!json_is_string(member) && !json_is_boolean(member))
            return member_fail(origin, required_texts[i], "is missing", error);
    }
    if (results_in_number(result, "step_time_s") <= 0 ||
        results_in_number(result, "n_ranks") < 1)
        return member_fail(origin, "step_time_s and n_ranks", "must be positive", error);
    return TRUE;
}

static gboolean add_result(ResultsIn *in, const char *file, json_t *result, GError **error)
{
    g_autofree char *origin = g_strdup_printf("%s: result %u", file, in->results->len + 1);
    if (!check_result(result, origin, error))
        return FALSE;
    g_ptr_array_add(in->results, json_incref(result));
    g_ptr_array_add(in->origins, g_steal_pointer(&origin));
    return TRUE;
}

static gboolean add_trace(ResultsIn *in, const char *file, json_t *trace, GError **error)
{
    if (in->trace != NULL) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: is a second trace beside %s", file,
                    in->trace_file);
        return FALSE;
    }
    in->trace = json_incref(trace);
    in->trace_file = g_strdup(file);
    return TRUE;
}

static gboolean add_results(ResultsIn *in, const char *file, const json_t *all, GError **error)
{
    const json_t *list = json_object_get(all, "results");
    if (!json_is_array(list))
        return member_fail(file, "results", "must be an array", error);
    for (gsize i = 0; i < json_array_size(list); i++)
        if (!add_result(in, file, json_array_get(list, i), error))
            return FALSE;
    return TRUE;
}

static gboolean add_object(ResultsIn *in, const char *file, json_t *object, GError **error)
{
    const char *schema = json_string_value(json_object_get(object, "schema"));
    const char *trace = json_string_value(results_in_member(object, "otherData.schema"));
    if (g_strcmp0(schema, "zerosim-result/1") == 0)
        return add_result(in, file, object, error);
    if (g_strcmp0(schema, "zerosim-results/1") == 0)
        return add_results(in, file, object, error);
    if (g_strcmp0(trace, "zerosim-trace/1") == 0)
        return add_trace(in, file, object, error);
    g_set_error(
        error, ZEROSIM_ERROR, ERROR_INPUT,
        "%s: schema: must be zerosim-result/1, zerosim-results/1 or a trace of `zerosim "
        "run --trace`",
        file);
    return FALSE;
}

/* One object after the other: JSON Lines, or a single one over many lines. */
static gboolean read_json(ResultsIn *in, const char *file, const char *text, GError **error)
{
    int line = 0; /* lines before the text that is left */
    for (text += strspn(text, " \t\r\n"); *text != '\0'; text += strspn(text, " \t\r\n")) {
        json_error_t fault;
        g_autoptr(json_t) object =
            json_loads(text, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &fault);
        if (object == NULL) {
            g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s:%d: %s", file, line + fault.line,
                        fault.text);
            return FALSE;
        }
        if (!add_object(in, file, object, error))
            return FALSE;
        for (int i = 0; i < fault.position; i++)
            line += text[i] == '\n';
        text += fault.position;
    }
    return TRUE;
}

static json_t *cell_value(const char *text)
{
    char *end;
    double number = g_ascii_strtod(text, &end);
    if (*text == '\0')
        return json_null();
    if (g_str_equal(text, "true") || g_str_equal(text, "false"))
        return json_boolean(*text == 't');
    if (*end != '\0' || !isfinite(number))
        return json_string(text);
    return strpbrk(text, ".eE") == NULL ? json_integer(g_ascii_strtoll(text, NULL, 10))
                                        : json_real(number);
}

static void set_member(json_t *object, const char *path, json_t *value)
{
    g_auto(GStrv) names = g_strsplit(path, ".", -1);
    for (int i = 0; names[i] != NULL; i++) {
        json_t *child = json_object_get(object, names[i]);
        if (names[i + 1] == NULL) {
            json_object_set_new(object, names[i], value);
            return;
        }
        if (!json_is_object(child)) {
            child = json_object();
            json_object_set_new(object, names[i], child);
        }
        object = child;
    }
    json_decref(value);
}

/* A result's row: columns are the paths of its members. */
static gboolean read_result_rows(ResultsIn *in, const CsvTable *csv, GError **error)
{
    for (guint row = 0; row < csv->rows->len; row++) {
        g_autoptr(json_t) result = json_object();
        for (guint c = 0; c < csv->columns->len; c++)
            set_member(result, csv->columns->pdata[c],
                       cell_value(csv_row_text(csv->rows->pdata[row], csv->columns->pdata[c])));
        if (!add_result(in, csv->file, result, error))
            return FALSE;
    }
    return TRUE;
}

/* Tables of which there is one: keeps it. */
static gboolean keep_table(CsvTable **kept, CsvTable *csv, GError **error)
{
    if (*kept != NULL) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: is a second one beside %s",
                    csv->file, (*kept)->file);
        csv_table_free(csv);
        return FALSE;
    }
    *kept = csv;
    return TRUE;
}

static gboolean read_csv(ResultsIn *in, const char *file, GError **error)
{
    g_autoptr(CsvTable) csv = csv_table_load(file, error);
    if (csv == NULL)
        return FALSE;
    if (csv_table_has(csv, "schema"))
        return read_result_rows(in, csv, error);
    if (csv_table_has(csv, "time_s") && csv_table_has(csv, "total_bytes"))
        return keep_table(&in->memory, g_steal_pointer(&csv), error);
    if (csv_table_has(csv, "predicted") && csv_table_has(csv, "measured"))
        return keep_table(&in->validation, g_steal_pointer(&csv), error);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "%s: its columns are none that zerosim writes for results, memory over time or "
                "a validation",
                file);
    return FALSE;
}

static gboolean read_file(ResultsIn *in, const char *file, GError **error)
{
    g_autofree char *text = json_in_read_text(file, JSON_IN_MAX_BYTES, NULL, error);
    if (text == NULL)
        return FALSE;
    const char *start = text + strspn(text, " \t\r\n");
    if (*start == '\0') {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: is empty", file);
        return FALSE;
    }
    return *start == '{' ? read_json(in, file, text, error) : read_csv(in, file, error);
}

ResultsIn *results_in_load(const char *const *files, GError **error)
{
    g_autoptr(ResultsIn) in = g_new0(ResultsIn, 1);
    in->results = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
    in->origins = g_ptr_array_new_with_free_func(g_free);
    for (int i = 0; files[i] != NULL; i++)
        if (!read_file(in, files[i], error))
            return NULL;
    if (in->results->len > 0 || in->trace != NULL || in->memory != NULL ||
        in->validation != NULL)
        return g_steal_pointer(&in);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: holds no results", files[0]);
    return NULL;
}

/* Member that a condition names, in full or without its "inputs.experiment.". */
static char *condition_text(const json_t *result, const char *path)
{
    g_autofree char *full = g_strconcat(EXPERIMENT, path, NULL);
    return results_in_text(result, results_in_member(result, path) != NULL ? path : full);
}

static gboolean condition_parse(const char *condition, char **path, const char **value,
                                GError **error)
{
    const char *equals = strchr(condition, '=');
    if (equals != NULL && equals != condition) {
        *path = g_strndup(condition, (gsize)(equals - condition));
        *value = equals + 1;
        return TRUE;
    }
    g_autofree char *quoted = error_quote(condition);
    g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                "--where=%s: must be PATH=VALUE, as in training.strategy=zero3", quoted);
    return FALSE;
}

gboolean results_in_filter(ResultsIn *in, const char *const *conditions, GError **error)
{
    for (int i = 0; conditions != NULL && conditions[i] != NULL; i++) {
        g_autofree char *path = NULL;
        const char *value;
        if (!condition_parse(conditions[i], &path, &value, error))
            return FALSE;
        for (guint r = in->results->len; r-- > 0;) {
            g_autofree char *text = condition_text(in->results->pdata[r], path);
            if (g_str_equal(text, value))
                continue;
            g_ptr_array_remove_index(in->results, r);
            g_ptr_array_remove_index(in->origins, r);
        }
        if (in->results->len > 0)
            continue;
        g_autofree char *quoted = error_quote(conditions[i]);
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE, "--where=%s: no result is like that",
                    quoted);
        return FALSE;
    }
    return TRUE;
}
