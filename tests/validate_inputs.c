/* SPDX-License-Identifier: MIT */
/* Tables and outcomes from text. */
#include "validate_inputs.h"

#include "scratch.h"

CsvTable *table_of(const char *text, GError **error)
{
    g_autofree char *file = scratch_write("table.csv", text);
    return csv_table_load(file, error);
}

GPtrArray *outcomes_of(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) tables =
        g_ptr_array_new_with_free_func((GDestroyNotify)csv_table_free);
    CsvTable *table = table_of(text, &error);
    ck_assert_msg(table != NULL, "%s", error ? error->message : "");
    g_ptr_array_add(tables, table);
    GPtrArray *outcomes = validate_tables(tables, 2, NULL, NULL, &error);
    ck_assert_msg(outcomes != NULL, "%s", error ? error->message : "");
    return outcomes;
}

const Outcome *outcome_at(const GPtrArray *outcomes, guint i)
{
    ck_assert_uint_lt(i, outcomes->len);
    return outcomes->pdata[i];
}
