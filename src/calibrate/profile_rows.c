/* SPDX-License-Identifier: MIT */
/* A profile of thousands of kernels names their members once: those of one operation, type and
 * implementation that hold the same members are written as a table, a row each. In memory each
 * kernel stays an object of its own. Entries of another form are left as they are. */
#include "plan.h"
#include "profile_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_COLUMNS (PLAN_MAX_DIMENSIONS + 4)

static const char *const times[] = {"time_s", "p10_s", "p90_s", "sustained_s"};
static const char *const shared[] = {"op", "dtype", "implementation", "probe"};

#define N_TIMES (sizeof times / sizeof *times)
#define N_SHARED (sizeof shared / sizeof *shared)

static bool is_shared(const char *name)
{
    for (size_t i = 0; i < N_SHARED; i++)
        if (strcmp(shared[i], name) == 0)
            return true;
    return false;
}

/* -- tables to entries */

static json_t *entry_of_row(const json_t *table, const json_t *columns, const json_t *row)
{
    json_t *entry = json_object(), *dimensions = json_object();
    for (size_t i = 0; i < N_SHARED; i++)
        json_object_set(entry, shared[i], json_object_get(table, shared[i]));
    json_object_set_new(entry, "dimensions", dimensions);
    for (size_t i = 0; i < json_array_size(columns); i++) {
        const char *name = json_string_value(json_array_get(columns, i));
        bool is_time = false;
        for (size_t t = 0; name && t < N_TIMES; t++)
            is_time = is_time || strcmp(times[t], name) == 0;
        json_object_set(is_time ? entry : dimensions, name, json_array_get(row, i));
    }
    return entry;
}

json_t *profile_rows_unpack(const json_t *kernels)
{
    json_t *entries = json_array();
    for (size_t i = 0; i < json_array_size(kernels); i++) {
        json_t *entry = json_array_get(kernels, i);
        const json_t *columns = json_object_get(entry, "columns");
        const json_t *rows = json_object_get(entry, "rows");
        if (!json_is_array(columns) || !json_is_array(rows)) {
            json_array_append(entries, entry);
            continue;
        }
        for (size_t r = 0; r < json_array_size(rows); r++)
            json_array_append_new(entries,
                                  entry_of_row(entry, columns, json_array_get(rows, r)));
    }
    return entries;
}

/* -- entries to tables */

/* The columns that hold what this entry's table doesn't share; NULL: it fits no table. */
static json_t *columns_of(const json_t *entry)
{
    const char *op = json_string_value(json_object_get(entry, "op"));
    const json_t *dimensions = json_object_get(entry, "dimensions");
    const PlanOp *known = op ? plan_op_find(op) : NULL;
    size_t n_shared = 0;
    if (!known || json_object_size(dimensions) == 0)
        return NULL;
    json_t *columns = json_array();
    for (size_t i = 0; i < plan_n_dimensions(known); i++)
        if (json_object_get(dimensions, known->dimensions[i]))
            json_array_append_new(columns, json_string(known->dimensions[i]));
    const bool whole = json_array_size(columns) == json_object_size(dimensions);
    for (size_t i = 0; i < N_TIMES; i++)
        if (json_object_get(entry, times[i]))
            json_array_append_new(columns, json_string(times[i]));
    for (size_t i = 0; i < N_SHARED; i++)
        n_shared += json_object_get(entry, shared[i]) != NULL;
    const size_t n_told = json_array_size(columns) - json_object_size(dimensions) + n_shared;
    if (whole && n_told + 1 == json_object_size(entry)) /* all but "dimensions" */
        return columns;
    json_decref(columns);
    return NULL;
}

static json_t *row_of(const json_t *entry, const json_t *columns)
{
    const json_t *dimensions = json_object_get(entry, "dimensions");
    json_t *row = json_array();
    for (size_t i = 0; i < json_array_size(columns); i++) {
        const char *name = json_string_value(json_array_get(columns, i));
        json_t *value = json_object_get(dimensions, name);
        json_array_append(row, value ? value : json_object_get(entry, name));
    }
    return row;
}

/* Of the same members, in the same order: what an earlier entry began, or a new one. */
static json_t *table_of(json_t *tables, json_t *index, const json_t *entry, json_t *columns)
{
    json_t *head = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)entry, key, value)
    {
        if (is_shared(key))
            json_object_set(head, key, value);
    }
    json_object_set(head, "columns", columns);
    char *name = json_dumps(head, JSON_COMPACT);
    json_t *table = name ? json_object_get(index, name) : NULL;
    if (!table) {
        table = head;
        json_object_set_new(table, "rows", json_array());
        json_array_append(tables, table);
        json_object_set(index, name, table);
    }
    free(name);
    json_decref(head);
    return table;
}

json_t *profile_rows_pack(const json_t *kernels)
{
    json_t *tables = json_array(), *index = json_object();
    for (size_t i = 0; i < json_array_size(kernels); i++) {
        json_t *entry = json_array_get(kernels, i), *columns = columns_of(entry);
        if (!columns) {
            json_array_append(tables, entry);
            continue;
        }
        json_t *table = table_of(tables, index, entry, columns);
        json_array_append_new(json_object_get(table, "rows"), row_of(entry, columns));
        json_decref(columns);
    }
    json_decref(index);
    return tables;
}

static void write_json(FILE *file, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    fputs(text ? text : "null", file);
    free(text);
}

/* Its own members on one line, each row on another. */
static void write_table(FILE *file, const json_t *table)
{
    const json_t *rows = json_object_get(table, "rows");
    const char *key;
    json_t *value;
    fputc('{', file);
    json_object_foreach((json_t *)table, key, value)
    {
        if (value == rows)
            continue;
        fprintf(file, "\"%s\": ", key);
        write_json(file, value);
        fputs(", ", file);
    }
    fputs("\"rows\": [", file);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        fputs(i > 0 ? ",\n      " : "\n      ", file);
        write_json(file, json_array_get(rows, i));
    }
    fputs("]}", file);
}

void profile_rows_write(FILE *file, const json_t *entry)
{
    if (json_is_array(json_object_get(entry, "rows")))
        write_table(file, entry);
    else
        write_json(file, entry);
}
