/* SPDX-License-Identifier: MIT */
/* Results as CSV (RFC 4180): one row a result whose columns are the JSON object's paths, or one
 * row an element of one of its arrays. */
#include "report_formats.h"

#include <string.h>

/* Columns in order of first appearance, and rows: path → owned text. */
typedef struct {
    GPtrArray *columns;
    GHashTable *known;
    GPtrArray *rows; /* GHashTable * */
} Sheet;

static void sheet_init(Sheet *sheet)
{
    sheet->columns = g_ptr_array_new_with_free_func(g_free);
    sheet->known = g_hash_table_new(g_str_hash, g_str_equal);
    sheet->rows = g_ptr_array_new_with_free_func((GDestroyNotify)g_hash_table_unref);
}

static void sheet_clear(Sheet *sheet)
{
    g_hash_table_unref(sheet->known);
    g_ptr_array_unref(sheet->columns);
    g_ptr_array_unref(sheet->rows);
}

static void sheet_add_row(Sheet *sheet)
{
    g_ptr_array_add(sheet->rows, g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free));
}

/* The sheet's own copy of the column's name. */
static char *sheet_column(Sheet *sheet, const char *path)
{
    char *column = g_hash_table_lookup(sheet->known, path);
    if (column != NULL)
        return column;
    column = g_strdup(path);
    g_ptr_array_add(sheet->columns, column);
    g_hash_table_insert(sheet->known, column, column);
    return column;
}

static void sheet_set(Sheet *sheet, const char *path, char *text)
{
    GHashTable *row = sheet->rows->pdata[sheet->rows->len - 1];
    g_hash_table_insert(row, sheet_column(sheet, path), text);
}

static char *scalar_text(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return g_strdup(json_string_value(value));
    case JSON_INTEGER:
        return g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    case JSON_REAL:
        return report_real_text(json_real_value(value));
    case JSON_TRUE:
        return g_strdup("true");
    case JSON_FALSE:
        return g_strdup("false");
    case JSON_NULL:
        return g_strdup("");
    case JSON_OBJECT:
    case JSON_ARRAY:
        break;
    }
    g_assert_not_reached();
}

/* Warnings are one cell, so that a row by itself still shows them. */
static char *joined_strings(const json_t *array)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (gsize i = 0; i < json_array_size(array); i++)
        g_string_append_printf(text, "%s%s", i > 0 ? "; " : "",
                               json_string_value(json_array_get(array, i)));
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static void sheet_set_members(Sheet *sheet, const char *prefix, const json_t *object)
{
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)object, key, member)
    {
        g_autofree char *path =
            *prefix == '\0' ? g_strdup(key) : g_strconcat(prefix, ".", key, NULL);
        if (json_is_object(member))
            sheet_set_members(sheet, path, member);
        else if (!json_is_array(member))
            sheet_set(sheet, path, scalar_text(member));
        else if (strcmp(path, "warnings") == 0)
            sheet_set(sheet, path, joined_strings(member));
    }
}

/* What tells the results of one comparison apart, in front of an array's own columns. */
static const char *const leading_columns[] = {"model", "strategy", "n_ranks"};

static void sheet_add_elements(Sheet *sheet, const Result *result, const json_t *object,
                               const char *table)
{
    const json_t *array = json_object_get(json_object_get(object, "comm"), table);
    for (gsize i = 0; i < G_N_ELEMENTS(leading_columns); i++)
        sheet_column(sheet, leading_columns[i]);
    for (gsize i = 0; i < json_array_size(array); i++) {
        sheet_add_row(sheet);
        sheet_set(sheet, "model", g_strdup(result->model_name));
        sheet_set(sheet, "strategy", g_strdup(strategy_name(result->training.strategy)));
        sheet_set(sheet, "n_ranks", g_strdup_printf("%d", result->n_ranks));
        sheet_set_members(sheet, "", json_array_get(array, i));
    }
}

static void write_cell(const char *text, FILE *out)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (const char *c = text; *c != '\0'; c++)
        fputs(*c == '"' ? "\"\"" : (char[]){*c, '\0'}, out);
    fputc('"', out);
}

static void sheet_write(const Sheet *sheet, FILE *out)
{
    for (guint c = 0; c < sheet->columns->len; c++) {
        fputs(c > 0 ? "," : "", out);
        write_cell(sheet->columns->pdata[c], out);
    }
    fputc('\n', out);
    for (guint r = 0; r < sheet->rows->len; r++) {
        for (guint c = 0; c < sheet->columns->len; c++) {
            const char *text =
                g_hash_table_lookup(sheet->rows->pdata[r], sheet->columns->pdata[c]);
            fputs(c > 0 ? "," : "", out);
            write_cell(text == NULL ? "" : text, out);
        }
        fputc('\n', out);
    }
}

static void write_arrays(const GPtrArray *results, const char *table, FILE *out)
{
    Sheet sheet;
    sheet_init(&sheet);
    for (guint i = 0; i < results->len; i++) {
        g_autoptr(json_t) object = report_json_object(results->pdata[i]);
        sheet_add_elements(&sheet, results->pdata[i], object, table);
    }
    sheet_write(&sheet, out);
    sheet_clear(&sheet);
}

void report_csv_objects_write(const GPtrArray *objects, FILE *out)
{
    Sheet sheet;
    sheet_init(&sheet);
    for (guint i = 0; i < objects->len; i++) {
        sheet_add_row(&sheet);
        sheet_set_members(&sheet, "", objects->pdata[i]);
    }
    sheet_write(&sheet, out);
    sheet_clear(&sheet);
}

void report_csv_write(const GPtrArray *results, gboolean compare, const char *table, FILE *out)
{
    (void)compare;
    if (table != NULL) {
        write_arrays(results, table, out);
        return;
    }
    g_autoptr(GPtrArray) objects = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
    for (guint i = 0; i < results->len; i++)
        g_ptr_array_add(objects, report_json_object(results->pdata[i]));
    report_csv_objects_write(objects, out);
}
