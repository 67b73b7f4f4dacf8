/* SPDX-License-Identifier: MIT */
/* Tables and outcomes from text. */
#include "validate_inputs.h"

#include "suite_run.h"

#include <glib/gstdio.h>

static char *directory;

char *file_with(const char *name, const char *text)
{
    char *file = g_build_filename(directory, name, NULL);
    ck_assert(g_file_set_contents(file, text, -1, NULL));
    return file;
}

CsvTable *table_of(const char *text, GError **error)
{
    g_autofree char *file = file_with("table.csv", text);
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

static void directory_remove(void)
{
    g_autoptr(GDir) files = g_dir_open(directory, 0, NULL);
    const char *name;
    while (files != NULL && (name = g_dir_read_name(files)) != NULL) {
        g_autofree char *file = g_build_filename(directory, name, NULL);
        g_unlink(file);
    }
    g_rmdir(directory);
    g_clear_pointer(&directory, g_free);
}

int validate_inputs_run(Suite *suite)
{
    directory = g_dir_make_tmp("zerosim-test-XXXXXX", NULL);
    const int status = suite_run(suite);
    directory_remove();
    return status;
}
