/* SPDX-License-Identifier: MIT */
/* The command line that `run`, `compare` and `schedule` have in common. */
#include "cmd_options.h"

#include "cluster.h"
#include "cmd.h"
#include "error.h"

#include <math.h>
#include <string.h>

void cmd_options_clear(CmdOptions *options)
{
    g_strfreev(options->files);
    g_strfreev(options->overrides);
    g_strfreev(options->prices);
    g_free(options->overlay);
    g_free(options->format_name);
    g_free(options->table);
    g_free(options->help);
}

/* Splits "dgx-h100=2.5"; the platform's name is owned by the caller. */
static gboolean price_parse(const char *text, char **platform, double *usd, GError **error)
{
    const char *equals = strrchr(text, '=');
    char *end = NULL;
    *usd = equals == NULL ? 0 : g_ascii_strtod(equals + 1, &end);
    if (equals == NULL || equals == text || end == equals + 1 || *end != '\0' ||
        !isfinite(*usd) || *usd <= 0) {
        g_autofree char *quoted = error_quote(text);
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                    "--price=%s: must be PLATFORM=USD_PER_GPU_HOUR, as in dgx-h100=2.5",
                    quoted);
        return FALSE;
    }
    *platform = g_strndup(text, (gsize)(equals - text));
    return TRUE;
}

static gboolean is_platform(const char *name)
{
    g_autoptr(GPtrArray) presets = node_type_list();
    /* A mixture or a file's name can't be looked up. */
    if (strpbrk(name, "*+./") != NULL)
        return TRUE;
    for (guint i = 0; i < presets->len; i++)
        if (g_str_equal(presets->pdata[i], name))
            return TRUE;
    return FALSE;
}

static gboolean prices_check(const CmdOptions *options, GError **error)
{
    for (int i = 0; options->prices != NULL && options->prices[i] != NULL; i++) {
        g_autofree char *platform = NULL;
        double usd;
        if (!price_parse(options->prices[i], &platform, &usd, error))
            return FALSE;
        if (is_platform(platform))
            continue;
        g_autofree char *quoted = error_quote(platform);
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                    "--price: there is no platform %s (zerosim platform --list)", quoted);
        return FALSE;
    }
    return TRUE;
}

void cmd_options_price(const CmdOptions *options, const Experiment *experiment, Result *result)
{
    const char *name = experiment_string(experiment, "cluster.platform");
    for (int i = 0; options->prices != NULL && options->prices[i] != NULL; i++) {
        g_autofree char *platform = NULL;
        double usd;
        if (price_parse(options->prices[i], &platform, &usd, NULL) &&
            (g_strcmp0(platform, name) == 0 || g_strcmp0(platform, result->cluster_name) == 0))
            result->usd_per_gpu_hour = usd;
    }
}

static gboolean check(CmdOptions *options, const char *command, GError **error)
{
    const guint n_files = options->files ? g_strv_length(options->files) : 0;
    if (n_files > 1 || (n_files == 0 && options->overrides == NULL)) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                    "%s: one experiment file is required, or -s for all it would say, as in: "
                    "zerosim %s workloads/llama-2-7b-dgx-h100.conf",
                    command, command);
        return FALSE;
    }
    options->format =
        report_format(options->format_name ? options->format_name : "table", error);
    return options->format != NULL &&
           report_table_check(options->format, options->table, error) &&
           prices_check(options, error);
}

gboolean cmd_options_parse(CmdOptions *options, int argc, char **argv, gboolean reports,
                           const GOptionEntry *own, GError **error)
{
    /* File names are bytes in the file system's encoding: FILENAME options pass them as they
     * are in every locale. */
    const GOptionEntry common[] = {
        {"set", 's', 0, G_OPTION_ARG_FILENAME_ARRAY, &options->overrides,
         "override a key of the experiment; may be repeated", "SECTION.KEY=VALUE"},
        {"profile", 0, 0, G_OPTION_ARG_FILENAME, &options->overlay,
         "kernel times that win over the GPU's profile, or a PyTorch trace: gpu.overlay",
         "FILE"},
        {"strict", 0, 0, G_OPTION_ARG_NONE, &options->strict,
         "unknown members of JSON files are errors, not warnings", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->files, NULL,
         "[FILE]"},
        G_OPTION_ENTRY_NULL,
    };
    const GOptionEntry formats[] = {
        {"format", 0, 0, G_OPTION_ARG_STRING, &options->format_name,
         "format of the result (table)", "table|json|jsonl|csv"},
        {"table", 0, 0, G_OPTION_ARG_STRING, &options->table,
         "with --format=csv: a row an element of this array, instead of a row a result",
         "by_collective|by_link_class"},
        {"price", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->prices,
         "add cost to results of that platform; may be repeated", "PLATFORM=USD_PER_GPU_HOUR"},
        {"quiet", 'q', 0, G_OPTION_ARG_NONE, &options->quiet, "show no progress", NULL},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    if (own != NULL)
        g_option_context_add_main_entries(context, own, NULL);
    if (reports)
        g_option_context_add_main_entries(context, formats, NULL);
    g_option_context_add_main_entries(context, common, NULL);
    const char *command = argv[0];
    return cmd_parse(context, argc, argv, &options->help, error) &&
           (options->help || check(options, command, error));
}

Experiment *cmd_options_experiment(const CmdOptions *options, GError **error)
{
    g_autoptr(GPtrArray) overrides = g_ptr_array_new();
    g_autofree char *overlay =
        options->overlay ? g_strconcat("gpu.overlay=", options->overlay, NULL) : NULL;
    for (int i = 0; options->overrides != NULL && options->overrides[i] != NULL; i++)
        g_ptr_array_add(overrides, options->overrides[i]);
    if (overlay != NULL)
        g_ptr_array_add(overrides, overlay);
    g_ptr_array_add(overrides, NULL);
    return experiment_load(options->files ? options->files[0] : NULL,
                           (const char *const *)overrides->pdata, error);
}
