/* SPDX-License-Identifier: MIT */
/* zerosim plot: one figure of results, drawn by gnuplot. */
#include "cmd.h"
#include "error.h"
#include "plot.h"

#define EXAMPLE                                                                                \
    "Example: zerosim compare workloads/llama-2-7b-dgx-h100.conf --format=json "               \
    ">results.json\n"                                                                          \
    "         zerosim plot results.json --figure=step-time -o step-time.svg\n\n"

typedef struct {
    gboolean list;
    char *figure, *output;
    char **where, **files;
} Options;

static void options_clear(Options *options)
{
    g_free(options->figure);
    g_free(options->output);
    g_strfreev(options->where);
    g_strfreev(options->files);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

static gboolean usage_fail(const char *message, GError **error)
{
    g_set_error_literal(error, ZEROSIM_ERROR, ERROR_USAGE, message);
    return FALSE;
}

static void print_list(void)
{
    for (const Figure *figure = plot_figures; figure->name != NULL; figure++)
        printf("%-17s%s. Needs %s.\n", figure->name, figure->summary, figure->needs);
}

static gboolean draw(const Options *options, GError **error)
{
    if (options->files == NULL)
        return usage_fail("plot: a file of results is required, as in: zerosim plot "
                          "results.json --figure=memory -o memory.svg",
                          error);
    if (options->figure == NULL)
        return usage_fail("plot: --figure=NAME is required (zerosim plot --list)", error);
    if (options->output == NULL)
        return usage_fail("plot: -o FILE.svg (or .pdf, .png, .tex, .csv) is required", error);
    const Figure *figure = plot_figure(options->figure, error);
    if (figure == NULL)
        return FALSE;
    g_autoptr(ResultsIn) in = results_in_load((const char *const *)options->files, error);
    return in != NULL && results_in_filter(in, (const char *const *)options->where, error) &&
           plot_draw(figure, in, options->output, error);
}

gboolean cmd_plot(int argc, char **argv, GError **error)
{
    g_auto(Options) options = {0};
    const GOptionEntry entries[] = {
        {"figure", 'f', 0, G_OPTION_ARG_STRING, &options.figure, "what to draw", "NAME"},
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &options.output,
         "where to; .csv writes what the figure's script reads",
         "FILE.svg|.pdf|.png|.tex|.csv"},
        {"where", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options.where,
         "only results with this value, as in training.strategy=zero3; may be repeated",
         "PATH=VALUE"},
        {"list", 0, 0, G_OPTION_ARG_NONE, &options.list, "list the figures and what each needs",
         NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options.files, NULL,
         "RESULTS…"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_add_main_entries(context, entries, NULL);
    g_autofree char *help = NULL;
    if (!cmd_parse(context, argc, argv, &help, error))
        return FALSE;
    if (help) {
        printf(EXAMPLE "%s", help);
        return TRUE;
    }
    if (!options.list)
        return draw(&options, error);
    print_list();
    return TRUE;
}
