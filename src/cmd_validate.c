/* SPDX-License-Identifier: MIT */
/* zerosim validate: predictions beside published measurements. */
#include "cmd.h"
#include "cmd_progress.h"
#include "error.h"
#include "validate_errors.h"
#include "validate_report.h"

#include <stdio.h>

#define EXAMPLE "Example: zerosim validate results/validation/steps.csv\n\n"

typedef struct {
    char *format_name, *write_errors;
    int n_jobs;
    char **files, **ids;
    char *help;
} Arguments;

static void arguments_clear(Arguments *arguments)
{
    g_free(arguments->format_name);
    g_free(arguments->write_errors);
    g_strfreev(arguments->files);
    g_strfreev(arguments->ids);
    g_free(arguments->help);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Arguments, arguments_clear)

static gboolean arguments_check(const Arguments *arguments, GError **error)
{
    if (arguments->files == NULL)
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                    "a CSV file of measurements is required, as in: zerosim validate "
                    "results/validation/steps.csv");
    else if (arguments->n_jobs < 0 || arguments->n_jobs > 4096)
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE, "--jobs: must be from 1 to 4096, not %d",
                    arguments->n_jobs);
    else
        return TRUE;
    return FALSE;
}

static gboolean arguments_parse(Arguments *arguments, int argc, char **argv, GError **error)
{
    const GOptionEntry entries[] = {
        {"format", 0, 0, G_OPTION_ARG_STRING, &arguments->format_name,
         "format of the result (table)", "table|csv|json"},
        {"jobs", 'j', 0, G_OPTION_ARG_INT, &arguments->n_jobs,
         "rows predicted at once (default: one a core)", "N"},
        {"id", 0, 0, G_OPTION_ARG_STRING_ARRAY, &arguments->ids,
         "only rows whose id matches, as in mpt-*; may be repeated", "PATTERN"},
        {"write-errors", 0, 0, G_OPTION_ARG_FILENAME, &arguments->write_errors,
         "write the errors that results expect of themselves", "FILE"},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->files, NULL,
         "FILE..."},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_add_main_entries(context, entries, NULL);
    return cmd_parse(context, argc, argv, &arguments->help, error) &&
           (arguments->help || arguments_check(arguments, error));
}

static gboolean id_wanted(char **patterns, const char *id)
{
    if (patterns == NULL)
        return TRUE;
    for (; *patterns != NULL; patterns++)
        if (g_pattern_match_simple(*patterns, id))
            return TRUE;
    return FALSE;
}

static GPtrArray *tables_load(const Arguments *arguments, GError **error)
{
    g_autoptr(GPtrArray) tables =
        g_ptr_array_new_with_free_func((GDestroyNotify)csv_table_free);
    for (char **file = arguments->files; *file != NULL; file++) {
        CsvTable *table = csv_table_load(*file, error);
        if (table == NULL)
            return NULL;
        g_ptr_array_add(tables, table);
        for (guint i = table->rows->len; i-- > 0;)
            if (!id_wanted(arguments->ids, csv_row_text(table->rows->pdata[i], "id")))
                g_ptr_array_remove_index(table->rows, i);
    }
    return g_steal_pointer(&tables);
}

static void show_progress(int n_done, int n_total, const char *id, gpointer data)
{
    cmd_progress_set(data, n_done, n_total, id);
}

gboolean cmd_validate(int argc, char **argv, GError **error)
{
    g_auto(Arguments) arguments = {0};
    if (!arguments_parse(&arguments, argc, argv, error))
        return FALSE;
    if (arguments.help) {
        printf(EXAMPLE "%s", arguments.help);
        return TRUE;
    }
    const ValidateFormat *format =
        validate_format(arguments.format_name ? arguments.format_name : "table", error);
    g_autoptr(GPtrArray) tables = format ? tables_load(&arguments, error) : NULL;
    if (tables == NULL)
        return FALSE;
    const int n_workers = arguments.n_jobs ? arguments.n_jobs : (int)g_get_num_processors();
    g_autoptr(CmdProgress) progress = cmd_progress_new();
    g_autoptr(GPtrArray) outcomes =
        validate_tables(tables, n_workers, show_progress, progress, error);
    if (outcomes == NULL)
        return FALSE;
    g_clear_pointer(&progress, cmd_progress_free);
    if (arguments.write_errors != NULL &&
        !validate_errors_write(outcomes, arguments.write_errors, error))
        return FALSE;
    format->write(outcomes, stdout);
    return TRUE;
}
