/* SPDX-License-Identifier: MIT */
/* The command line that `run`, `compare` and `schedule` have in common. */
#include "cmd_options.h"

#include "error.h"

void cmd_options_clear(CmdOptions *options)
{
    g_strfreev(options->files);
    g_strfreev(options->overrides);
    g_free(options->format_name);
    g_free(options->table);
    g_free(options->help_text);
}

static gboolean check(CmdOptions *options, const char *command, GError **error)
{
    if (options->help)
        return TRUE;
    if (options->files == NULL || g_strv_length(options->files) != 1) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                    "%s: one experiment file is required, as in: zerosim %s "
                    "workloads/llama-2-7b-dgx-h100.conf",
                    command, command);
        return FALSE;
    }
    options->format =
        report_format(options->format_name ? options->format_name : "table", error);
    return options->format != NULL &&
           report_table_check(options->format, options->table, error);
}

gboolean cmd_options_parse(CmdOptions *options, int argc, char **argv, gboolean reports,
                           const GOptionEntry *own, GError **error)
{
    /* File names are bytes in the file system's encoding: FILENAME options pass them as they
     * are in every locale. */
    const GOptionEntry common[] = {
        {"set", 's', 0, G_OPTION_ARG_FILENAME_ARRAY, &options->overrides,
         "override a key of the experiment; may be repeated", "SECTION.KEY=VALUE"},
        {"strict", 0, 0, G_OPTION_ARG_NONE, &options->strict,
         "unknown members of JSON files are errors, not warnings", NULL},
        {"help", 'h', 0, G_OPTION_ARG_NONE, &options->help, "show this help", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->files, NULL, "FILE"},
        G_OPTION_ENTRY_NULL,
    };
    const GOptionEntry formats[] = {
        {"format", 0, 0, G_OPTION_ARG_STRING, &options->format_name,
         "format of the result (table)", "table|json|jsonl|csv"},
        {"table", 0, 0, G_OPTION_ARG_STRING, &options->table,
         "with --format=csv: a row an element of this array, instead of a row a result",
         "by_collective|by_link_class"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_set_help_enabled(context, FALSE);
    if (own != NULL)
        g_option_context_add_main_entries(context, own, NULL);
    if (reports)
        g_option_context_add_main_entries(context, formats, NULL);
    g_option_context_add_main_entries(context, common, NULL);
    options->help_text = g_option_context_get_help(context, TRUE, NULL);
    const char *command = argv[0];
    return g_option_context_parse(context, &argc, &argv, error) &&
           check(options, command, error);
}

Experiment *cmd_options_experiment(const CmdOptions *options, GError **error)
{
    return experiment_load(options->files[0], (const char *const *)options->overrides, error);
}
