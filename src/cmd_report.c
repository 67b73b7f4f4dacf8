/* SPDX-License-Identifier: MIT */
/* zerosim report: results as a page or as tables for a paper. */
#include "cmd.h"
#include "error.h"
#include "out_file.h"
#include "report.h"
#include "report_html.h"
#include "report_markdown.h"

#include <string.h>

#define EXAMPLE                                                                                \
    "Example: zerosim compare workloads/llama-2-7b-dgx-h100.conf --format=json "               \
    ">results.json\n"                                                                          \
    "         zerosim report results.json -o report.html\n\n"

typedef struct {
    char *format, *output;
    char **where, **files;
} Options;

static void options_clear(Options *options)
{
    g_free(options->format);
    g_free(options->output);
    g_strfreev(options->where);
    g_strfreev(options->files);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

static gboolean write_markdown(const ResultsIn *in, FILE *out, GError **error)
{
    (void)error;
    report_markdown_write(in, out);
    return TRUE;
}

static gboolean write_latex(const ResultsIn *in, FILE *out, GError **error)
{
    (void)error;
    report_latex_write(in, out);
    return TRUE;
}

static gboolean write_csv(const ResultsIn *in, FILE *out, GError **error)
{
    (void)error;
    report_csv_objects_write(in->results, out);
    return TRUE;
}

static const struct {
    const char *name, *endings;
    gboolean (*write)(const ResultsIn *in, FILE *out, GError **error);
    gboolean needs_results;
} formats[] = {
    {"html", ".html .htm", report_html_write, FALSE},
    {"markdown", ".md .markdown", write_markdown, TRUE},
    {"latex", ".tex", write_latex, TRUE},
    {"csv", ".csv", write_csv, TRUE},
};

/* By --format, else by the file's ending, else HTML; -1: there is none of that name. */
static int find_format(const Options *options)
{
    const char *ending = options->output == NULL ? NULL : strrchr(options->output, '.');
    for (gsize f = 0; f < G_N_ELEMENTS(formats); f++) {
        g_auto(GStrv) endings = g_strsplit(formats[f].endings, " ", -1);
        if (options->format != NULL
                ? g_str_equal(formats[f].name, options->format)
                : ending != NULL && g_strv_contains((const char *const *)endings, ending))
            return (int)f;
    }
    return options->format == NULL ? 0 : -1;
}

static gboolean fail(GError **error, const char *message)
{
    g_set_error_literal(error, ZEROSIM_ERROR, ERROR_USAGE, message);
    return FALSE;
}

static gboolean write_report(const Options *options, GError **error)
{
    int format = find_format(options);
    if (format < 0)
        return fail(error, "--format: must be one of html, markdown, latex, csv");
    if (options->files == NULL)
        return fail(error, "report: a file of results is required, as in: zerosim report "
                           "results.json -o report.html");
    g_autoptr(ResultsIn) in = results_in_load((const char *const *)options->files, error);
    if (in == NULL || !results_in_filter(in, (const char *const *)options->where, error))
        return FALSE;
    if (formats[format].needs_results && in->results->len == 0)
        return fail(error, "report: the files hold no results, as `zerosim compare "
                           "--format=json` writes them");
    if (options->output == NULL)
        return formats[format].write(in, stdout, error);
    g_autoptr(OutFile) out = out_file_open(options->output, error);
    return out != NULL && formats[format].write(in, out->stream, error) &&
           out_file_commit(out, error);
}

gboolean cmd_report(int argc, char **argv, GError **error)
{
    g_auto(Options) options = {0};
    const GOptionEntry entries[] = {
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &options.output,
         "where to; its ending says the format (stdout)", "FILE"},
        {"format", 0, 0, G_OPTION_ARG_STRING, &options.format,
         "format of the report (html); csv is of one row a result, which plot and report read",
         "html|markdown|latex|csv"},
        {"where", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options.where,
         "only results with this value, as in training.strategy=zero3; may be repeated",
         "PATH=VALUE"},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options.files, NULL,
         "RESULTS…"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_add_main_entries(context, entries, NULL);
    g_autofree char *help = NULL;
    if (!cmd_parse(context, argc, argv, &help, error))
        return FALSE;
    if (!help)
        return write_report(&options, error);
    printf(EXAMPLE "%s", help);
    return TRUE;
}
