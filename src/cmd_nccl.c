/* SPDX-License-Identifier: MIT */
/* zerosim nccl: `fit` turns measured collectives into a calibration. */
#include "cmd.h"
#include "error.h"
#include "nccl_fit.h"
#include "nccl_write.h"

#include <stdio.h>
#include <string.h>

#define EXAMPLE                                                                                \
    "Example: zerosim nccl fit --platform=dgx-h100 --name=ours all_reduce.log\n"               \
    "         zerosim run workloads/llama-2-7b-dgx-h100.conf -s "                              \
    "nccl.calibration=ours.json\n\n"

/* Sound logs are fitted to 2 to 9 %. */
#define UNLIKELY_ERROR_FRAC 0.3

typedef struct {
    char *platform, *name, *output, *collective, *gpus, *only_on;
    char **files;
    char *help;
} Arguments;

static void arguments_clear(Arguments *arguments)
{
    g_free(arguments->platform);
    g_free(arguments->name);
    g_free(arguments->output);
    g_free(arguments->collective);
    g_free(arguments->gpus);
    g_free(arguments->only_on);
    g_strfreev(arguments->files);
    g_free(arguments->help);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Arguments, arguments_clear)

static gboolean usage(GError **error, const char *what)
{
    g_set_error_literal(error, ZEROSIM_ERROR, ERROR_USAGE, what);
    return FALSE;
}

static gboolean arguments_check(const Arguments *arguments, GError **error)
{
    if (!arguments->files || strcmp(arguments->files[0], "fit") != 0)
        return usage(error, "what to do with NCCL is required, as in: zerosim nccl fit "
                            "--platform=dgx-h100 --name=ours all_reduce.log");
    if (!arguments->files[1])
        return usage(error, "a log of nccl-tests or a CSV file of measurements is required, as "
                            "in: zerosim nccl fit --platform=dgx-h100 --name=ours "
                            "all_reduce.log");
    if (!arguments->platform)
        return usage(error, "--platform is required: the node type that the measurements ran "
                            "on (`zerosim platform --list` names them)");
    return arguments->name != NULL || usage(error, "--name is required: the calibration's");
}

static gboolean arguments_parse(Arguments *arguments, int argc, char **argv, GError **error)
{
    const GOptionEntry entries[] = {
        {"platform", 'p', 0, G_OPTION_ARG_STRING, &arguments->platform,
         "node type that was measured, a preset or a file", "NAME"},
        {"name", 'n', 0, G_OPTION_ARG_STRING, &arguments->name, "the calibration's name",
         "NAME"},
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &arguments->output,
         "where to write it (default: NAME.json)", "FILE"},
        {"collective", 'c', 0, G_OPTION_ARG_STRING, &arguments->collective,
         "which one the logs measured, where they don't say", "NAME"},
        {"gpus", 0, 0, G_OPTION_ARG_STRING, &arguments->gpus,
         "GPUs that it holds for, as names begin, or any (default: the node type's)",
         "h100,h200"},
        {"only-on", 0, 0, G_OPTION_ARG_STRING, &arguments->only_on,
         "platforms that it holds for (default: any of those GPUs)", "NAME,NAME"},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->files, NULL,
         "fit FILE..."},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_add_main_entries(context, entries, NULL);
    return cmd_parse(context, argc, argv, &arguments->help, error) &&
           (arguments->help || arguments_check(arguments, error));
}

static gboolean kind_parse(const char *name, CollectiveKind *kind, GError **error)
{
    const char *names[N_COLLECTIVES + 1] = {NULL};
    *kind = N_COLLECTIVES;
    for (int k = 0; k < N_COLLECTIVES; k++) {
        names[k] = collective_name((CollectiveKind)k);
        if (name && strcmp(name, names[k]) == 0)
            *kind = (CollectiveKind)k;
    }
    if (!name || *kind != N_COLLECTIVES)
        return TRUE;
    g_autofree char *quoted = error_quote(name);
    g_autofree char *all = g_strjoinv(", ", (char **)names);
    g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE, "--collective: %s is none of %s", quoted,
                all);
    return FALSE;
}

static gboolean rows_read(const Arguments *arguments, GArray *rows, GError **error)
{
    CollectiveKind kind;
    if (!kind_parse(arguments->collective, &kind, error))
        return FALSE;
    for (char **file = arguments->files + 1; *file; file++)
        if (!(g_str_has_suffix(*file, ".csv") ? nccl_csv_read(*file, rows, error)
                                              : nccl_log_read(*file, kind, rows, error)))
            return FALSE;
    return TRUE;
}

static void print_fit(const NcclFit *fit, const GArray *rows)
{
    printf("%d measurements in %d group%s, 64 KiB to 8 GiB\n\n", fit->n_rows, fit->n_groups,
           fit->n_groups == 1 ? "" : "s");
    printf("geometric-mean error          [%%]\n");
    printf("----------------------------  -----\n");
    printf("%-28s  %5.1f\n", "NCCL's own model", 100 * fit->model_error_frac);
    printf("%-28s  %5.1f\n", "fitted", 100 * fit->fitted_error_frac);
    printf("%-28s  %5.1f\n\n",
           fit->by_group ? "each group by the others" : "every other size by the rest",
           100 * fit->held_out_error_frac);
    nccl_write_table(fit->calibration, rows, stdout);
}

/* "h100-sxm5-80gb" is an "NVIDIA H100 80GB HBM3". */
static gboolean is_of_chip(const char *gpu, const NodeType *node)
{
    g_auto(GStrv) chip = g_strsplit(node->gpu, "-", 2);
    g_autofree char *lower = g_ascii_strdown(gpu, -1);
    return strstr(lower, *chip) != NULL;
}

/* What is likely to be a mistake: another machine's log, or no log of NCCL's at all. */
static void print_warnings(const NcclFit *fit, const GArray *rows, const NodeType *node)
{
    for (guint i = 0; i < rows->len; i++) {
        const NcclRow *row = &g_array_index(rows, NcclRow, i);
        if (row->platform || !row->gpu || !*row->gpu || is_of_chip(row->gpu, node))
            continue;
        printf("\nwarning: %s was measured on %s, and %s has %s\n", row->source, row->gpu,
               node->name, node->gpu);
        break;
    }
    if (fit->fitted_error_frac > UNLIKELY_ERROR_FRAC)
        printf(
            "\nwarning: no constants explain these times on %s: rates of links, NICs or GPUs "
            "a node may be other than the node type says\n",
            node->name);
}

static gboolean fit_run(const Arguments *arguments, GError **error)
{
    g_autoptr(GArray) rows = nccl_rows_new();
    g_autoptr(NodeType) node = node_type_load(arguments->platform, error);
    if (!node || !rows_read(arguments, rows, error) || !nccl_rows_plan(rows, node, error))
        return FALSE;
    g_autoptr(NcclFit) fit = nccl_fit(rows, error);
    if (!fit)
        return FALSE;
    g_autofree char *file = arguments->output ? g_strdup(arguments->output)
                                              : g_strconcat(arguments->name, ".json", NULL);
    const NcclWriteOptions options = {
        .name = arguments->name, .gpus = arguments->gpus, .platforms = arguments->only_on};
    if (!nccl_write(file, &options, node, fit, rows, error))
        return FALSE;
    print_fit(fit, rows);
    print_warnings(fit, rows, node);
    return TRUE;
}

gboolean cmd_nccl(int argc, char **argv, GError **error)
{
    g_auto(Arguments) arguments = {0};
    if (!arguments_parse(&arguments, argc, argv, error))
        return FALSE;
    if (!arguments.help)
        return fit_run(&arguments, error);
    printf(EXAMPLE "%s", arguments.help);
    return TRUE;
}
