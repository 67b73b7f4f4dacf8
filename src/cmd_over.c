/* SPDX-License-Identifier: MIT */
/* Axes of a sweep as text: a list of values, in which 8..512*2 is a geometric range, 1..8 and
 * 2..16+2 arithmetic ones. Running the points is cmd_compare_over.c's part. */
#include "cmd_over.h"

#include "error.h"

#include <math.h>
#include <string.h>

#define MAX_VALUES 10000
#define MAX_POINTS 100000

static void axis_free(gpointer data)
{
    OverAxis *axis = data;
    g_free(axis->key);
    g_strfreev(axis->values);
    g_free(axis);
}

void over_free(Over *over)
{
    if (over == NULL)
        return;
    g_ptr_array_unref(over->axes);
    g_free(over);
}

static gboolean over_fail(const char *text, const char *what, GError **error)
{
    g_autofree char *quoted = error_quote(text);
    g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE, "--over=%s: %s", quoted, what);
    return FALSE;
}

/* Reads a number and moves on behind it. A range's dots end it: 8..16 starts with 8. */
static gboolean take_number(const char **text, double *value, gboolean *is_integer)
{
    gsize n = strspn(*text, "0123456789");
    if (n == 0)
        return FALSE;
    if ((*text)[n] == '.' && (*text)[n + 1] != '.')
        n += 1 + strspn(*text + n + 1, "0123456789");
    if (((*text)[n] == 'e' || (*text)[n] == 'E')) {
        gsize sign = strchr("+-", (*text)[n + 1]) != NULL && (*text)[n + 1] != '\0';
        gsize digits = strspn(*text + n + 1 + sign, "0123456789");
        n += digits > 0 ? 1 + sign + digits : 0;
    }
    g_autofree char *number = g_strndup(*text, n);
    *value = g_ascii_strtod(number, NULL);
    *is_integer = *is_integer && strspn(number, "0123456789") == n;
    *text += n;
    return isfinite(*value);
}

static char *number_text(double value, gboolean is_integer)
{
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    g_ascii_formatd(number, sizeof number, is_integer ? "%.0f" : "%.12g", value);
    return g_strdup(number);
}

/* Adds "8..512*2"; `handled` is FALSE when the item is no range but one value. */
static gboolean add_range(const char *item, GPtrArray *values, gboolean *handled)
{
    const char *text = item;
    double first, last, step = 1;
    gboolean is_integer = TRUE;
    *handled = FALSE;
    if (!take_number(&text, &first, &is_integer) || !g_str_has_prefix(text, ".."))
        return TRUE;
    *handled = TRUE;
    text += 2;
    if (!take_number(&text, &last, &is_integer))
        return FALSE;
    char operation = *text == '\0' ? '+' : *text++;
    if (text[-1] == operation && !take_number(&text, &step, &is_integer))
        return FALSE;
    gboolean grows = operation == '*' ? step > 1 && first > 0 : operation == '+' && step > 0;
    if (*text != '\0' || !grows || first > last)
        return FALSE;
    /* A whole ratio leaves no rounding; a fractional one may overshoot the last by an ulp. */
    for (double value = first; value <= last * (1 + 1e-12) && values->len < MAX_VALUES;
         value = operation == '*' ? value * step : value + step)
        g_ptr_array_add(values, number_text(value, is_integer));
    return TRUE;
}

static gboolean add_values(const char *text, const char *list, GPtrArray *values,
                           GError **error)
{
    g_auto(GStrv) items = g_strsplit(list, ",", -1);
    for (int i = 0; items[i] != NULL; i++) {
        gboolean handled;
        if (*items[i] == '\0')
            return over_fail(text, "has an empty value", error);
        if (!add_range(items[i], values, &handled))
            return over_fail(text,
                             "a range is FIRST..LAST, FIRST..LAST+STEP or "
                             "FIRST..LAST*FACTOR, and must grow",
                             error);
        if (!handled)
            g_ptr_array_add(values, g_strdup(items[i]));
    }
    if (values->len == 0 || values->len >= MAX_VALUES)
        return over_fail(text, "must be 1 to 9999 values, as in cluster.nodes=1..8*2", error);
    return TRUE;
}

static OverAxis *axis_parse(const char *text, GError **error)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text) {
        over_fail(text, "must be SECTION.KEY=V1,V2,… as in cluster.nodes=1..8*2", error);
        return NULL;
    }
    g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func(g_free);
    if (!add_values(text, equals + 1, values, error))
        return NULL;
    OverAxis *axis = g_new0(OverAxis, 1);
    axis->key = g_strndup(text, (gsize)(equals - text));
    axis->n_values = (int)values->len;
    g_ptr_array_add(values, NULL);
    g_ptr_array_set_free_func(values, NULL);
    axis->values = g_new0(char *, values->len);
    memcpy(axis->values, values->pdata, values->len * sizeof(char *));
    return axis;
}

static gboolean axis_check(const Over *over, const OverAxis *axis, const Experiment *experiment,
                           GError **error)
{
    if (strcmp(axis->key, "training.strategy") == 0)
        return over_fail(axis->key, "compare runs all strategies at every point", error);
    for (guint i = 0; i + 1 < over->axes->len; i++)
        if (strcmp(((const OverAxis *)over->axes->pdata[i])->key, axis->key) == 0)
            return over_fail(axis->key, "is given twice", error);
    for (int v = 0; v < axis->n_values; v++) {
        g_autoptr(Experiment) copy = experiment_copy(experiment);
        g_autofree char *assignment = g_strdup_printf("%s=%s", axis->key, axis->values[v]);
        if (!experiment_set(copy, assignment, error))
            return FALSE;
    }
    return TRUE;
}

Over *over_parse(const char *const *texts, const Experiment *experiment, GError **error)
{
    g_autoptr(Over) over = g_new0(Over, 1);
    over->axes = g_ptr_array_new_with_free_func(axis_free);
    over->n_points = 1;
    for (int i = 0; texts[i] != NULL; i++) {
        OverAxis *axis = axis_parse(texts[i], error);
        if (axis == NULL)
            return NULL;
        g_ptr_array_add(over->axes, axis);
        if (!axis_check(over, axis, experiment, error))
            return NULL;
        if ((gint64)over->n_points * axis->n_values > MAX_POINTS) {
            over_fail(texts[i], "the cross product has more than 100000 points", error);
            return NULL;
        }
        over->n_points *= axis->n_values;
    }
    return g_steal_pointer(&over);
}

static const char *point_value(const Over *over, int point, guint axis)
{
    for (guint i = over->axes->len - 1; i > axis; i--)
        point /= ((const OverAxis *)over->axes->pdata[i])->n_values;
    const OverAxis *a = over->axes->pdata[axis];
    return a->values[point % a->n_values];
}

Experiment *over_experiment(const Over *over, int point, const Experiment *experiment,
                            GError **error)
{
    g_autoptr(Experiment) copy = experiment_copy(experiment);
    for (guint i = 0; i < over->axes->len; i++) {
        const OverAxis *axis = over->axes->pdata[i];
        g_autofree char *assignment =
            g_strdup_printf("%s=%s", axis->key, point_value(over, point, i));
        if (!experiment_set(copy, assignment, error))
            return NULL;
    }
    return g_steal_pointer(&copy);
}

json_t *over_point_json(const Over *over, int point)
{
    json_t *object = json_object();
    for (guint i = 0; i < over->axes->len; i++)
        json_object_set_new(object, ((const OverAxis *)over->axes->pdata[i])->key,
                            json_string(point_value(over, point, i)));
    return object;
}

char *over_point_text(const Over *over, int point)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < over->axes->len; i++)
        g_string_append_printf(text, "%s%s=%s", i > 0 ? " " : "",
                               ((const OverAxis *)over->axes->pdata[i])->key,
                               point_value(over, point, i));
    return g_string_free(text, FALSE);
}

static int compare_strings(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void checksum_text(GChecksum *checksum, const char *text)
{
    /* The zero byte too, so that "a","bc" isn't "ab","c". */
    g_checksum_update(checksum, (const guchar *)text, (gssize)strlen(text) + 1);
}

/* A value that names a file counts by the file's content as well. */
static void checksum_value(GChecksum *checksum, const char *value)
{
    g_autofree char *content = NULL;
    gsize length;
    checksum_text(checksum, value);
    if (g_file_test(value, G_FILE_TEST_IS_REGULAR) &&
        g_file_get_contents(value, &content, &length, NULL))
        g_checksum_update(checksum, (const guchar *)content, (gssize)length);
}

char *over_experiment_id(const Experiment *experiment, const char *context)
{
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
    guint n_names;
    g_autofree gpointer *names = g_hash_table_get_keys_as_array(experiment->values, &n_names);
    qsort(names, n_names, sizeof *names, compare_strings);
    checksum_text(checksum, context);
    for (guint i = 0; i < n_names; i++) {
        checksum_text(checksum, names[i]);
        checksum_value(checksum, g_hash_table_lookup(experiment->values, names[i]));
    }
    char *deepspeed = experiment->deepspeed == NULL
                          ? NULL
                          : json_dumps(experiment->deepspeed, JSON_SORT_KEYS | JSON_COMPACT);
    checksum_text(checksum, deepspeed != NULL ? deepspeed : "");
    free(deepspeed);
    return g_strndup(g_checksum_get_string(checksum), 16);
}
