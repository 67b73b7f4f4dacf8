/* SPDX-License-Identifier: MIT */
/* The table of figures, and gnuplot, which draws them in a folder of its own: a file gets its
 * name once gnuplot is done. */
#include "plot.h"

#include "error.h"
#include "experiment.h"
#include "out_file.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

const Figure plot_figures[] = {
    {"step-time", "Where the time of a step goes, exposed communication on top", "results",
     plot_step_time_write},
    {"memory", "Memory of a rank at its peak by category, and what the GPU holds", "results",
     plot_memory_write},
    {"collectives", "Bytes that a rank sends in a step, by collective",
     "results with comm.by_collective (JSON)", plot_collectives_write},
    {"link-classes", "Bytes that links carry in a step, by class of link",
     "results with comm.by_link_class (JSON)", plot_link_classes_write},
    {"memory-over-time", "Memory of a rank during a step, its peak marked",
     "a file of run --memory-csv", plot_memory_over_time_write},
    {"weak-scaling", "Throughput and efficiency with a fixed batch a GPU",
     "results of one model at several cluster.nodes, one micro-batch", plot_weak_write},
    {"strong-scaling", "Throughput and efficiency with a fixed global batch",
     "results of one model at several cluster.nodes, one global batch", plot_strong_write},
    {"bandwidth", "Step time against the bandwidth between nodes",
     "results of one model at several cluster.nic_bytes_per_s", plot_bandwidth_write},
    {"largest-model", "Largest model that fits, against the number of GPUs",
     "results of several models at several cluster.nodes", plot_largest_model_write},
    {"pareto", "Time and cost of training on a billion tokens, and the Pareto front",
     "results with cost (compare --price)", plot_pareto_write},
    {"link-use", "Use of each rank's links during a step", "a file of run --trace=FILE.json",
     plot_link_use_write},
    {"gantt", "What runs when in a step", "a file of run --trace=FILE.json", plot_gantt_write},
    {"roofline", "Matrix products and attention of a step under the GPU's roofline",
     "a file of run --trace=FILE.json", plot_roofline_write},
    {"validation", "Predicted against measured", "a file of validate --format=csv",
     plot_validation_write},
    {NULL, NULL, NULL, NULL},
};

const char *const plot_strategies[] = {"ddp", "zero1", "zero2", "zero3", NULL};

const Figure *plot_figure(const char *name, GError **error)
{
    const char *names[G_N_ELEMENTS(plot_figures)];
    for (gsize i = 0; i < G_N_ELEMENTS(plot_figures); i++) {
        names[i] = plot_figures[i].name;
        if (names[i] != NULL && strcmp(names[i], name) == 0)
            return &plot_figures[i];
    }
    g_autofree char *quoted = error_quote(name);
    const char *nearest = error_nearest(name, names);
    g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE, "--figure=%s: there is no such figure%s%s%s",
                quoted, nearest ? "; did you mean " : " (zerosim plot --list)",
                nearest ? nearest : "", nearest ? "?" : "");
    return NULL;
}

gboolean plot_fail(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, ZEROSIM_ERROR, ERROR_INPUT, message);
    return FALSE;
}

static void csv_separate(PlotCsv *csv, gboolean is_first)
{
    if (!is_first)
        fputc(',', csv->out);
}

/* gnuplot knows no doubled quotes and ends a label at a comma; LaTeX has characters of its own.
 */
void plot_text(PlotCsv *csv, const char *text)
{
    fputc('"', csv->out);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || g_ascii_iscntrl(*c))
            continue;
        if (csv->tex && strchr("#$%&_{}", *c) != NULL)
            fputc('\\', csv->out);
        gboolean is_lost = *c == ',' || (csv->tex && strchr("\\~^", *c) != NULL);
        fputc(is_lost ? ' ' : *c, csv->out);
    }
    fputs("\",", csv->out);
}

void plot_number(PlotCsv *csv, double value)
{
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    if (isfinite(value))
        fputs(g_ascii_formatd(number, sizeof number, "%.9g", value), csv->out);
    fputc(',', csv->out);
}

/* Each cell is followed by a comma, so that an empty last cell is still one. */
void plot_end(PlotCsv *csv)
{
    fputs("0\n", csv->out);
}

void plot_header(PlotCsv *csv, const char *const *columns)
{
    for (int i = 0; columns[i] != NULL; i++) {
        csv_separate(csv, i == 0);
        fputs(columns[i], csv->out);
    }
    fputs(",end\n", csv->out);
}

gboolean plot_need_results(const ResultsIn *in, GError **error)
{
    return in->results->len > 0 ||
           plot_fail(error,
                     "the figure needs results, as `zerosim compare --format=json` writes "
                     "them");
}

gboolean plot_need_same(const ResultsIn *in, const char *path, GError **error)
{
    g_autofree char *full = g_strconcat("inputs.experiment.", path, NULL);
    g_autofree char *first = results_in_text(in->results->pdata[0], full);
    for (guint i = 1; i < in->results->len; i++) {
        g_autofree char *text = results_in_text(in->results->pdata[i], full);
        if (g_str_equal(first, text))
            continue;
        g_autofree char *one = error_quote(first);
        g_autofree char *other = error_quote(text);
        return plot_fail(
            error,
            "the figure needs results of one %s, these have %s and %s: choose with "
            "--where %s=%s",
            path, one, other, path, first);
    }
    return TRUE;
}

gboolean plot_strategy(const ResultsIn *in, guint index, int *strategy, GError **error)
{
    g_autofree char *name =
        results_in_text(in->results->pdata[index], "inputs.experiment.training.strategy");
    for (*strategy = 0; *strategy < PLOT_N_STRATEGIES; ++*strategy)
        if (g_str_equal(plot_strategies[*strategy], name))
            return TRUE;
    g_autofree char *quoted = error_quote(name);
    return plot_fail(error, "%s: training.strategy: %s is none of ddp, zero1, zero2, zero3",
                     (const char *)in->origins->pdata[index], quoted);
}

/* What gnuplot says is several lines: a drawing of where it was, then the reason. */
static char *gnuplot_complaint(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    const char *last = "";
    for (int i = 0; lines[i] != NULL; i++) {
        g_strstrip(lines[i]);
        if (strstr(lines[i], "line ") != NULL && strchr(lines[i], ':') != NULL)
            return g_utf8_make_valid(lines[i], -1);
        last = *lines[i] != '\0' ? lines[i] : last;
    }
    return g_utf8_make_valid(last, -1);
}

static gboolean run_gnuplot(const char *script, const char *folder, const char *csv,
                            const char *output, GError **error)
{
    g_autofree char *library = g_path_get_dirname(script);
    g_auto(GStrv) environment = g_environ_setenv(g_get_environ(), "GNUPLOT_LIB", library, TRUE);
    environment = g_environ_setenv(environment, "LC_ALL", "C.UTF-8", TRUE);
    const char *const arguments[] = {"gnuplot", "-d", "-c", script, csv, output, NULL};
    g_autofree char *said = NULL;
    g_autofree char *complaint = NULL;
    g_autoptr(GError) cause = NULL;
    int status;
    if (!g_spawn_sync(folder, (char **)arguments, environment, G_SPAWN_SEARCH_PATH, NULL, NULL,
                      &said, &complaint, &status, &cause)) {
        g_set_error(
            error, ZEROSIM_ERROR, ERROR_SIMULATION,
            "gnuplot can't be started; install it (Debian: apt-get install gnuplot-nox): "
            "%s",
            cause->message);
        return FALSE;
    }
    g_autofree char *path = g_build_filename(folder, output, NULL);
    GStatBuf info;
    if (status == 0 && g_stat(path, &info) == 0 && info.st_size > 0)
        return TRUE;
    g_autofree char *line = gnuplot_complaint(complaint);
    g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "gnuplot failed on %s: %s", script,
                *line != '\0' ? line : "it says nothing");
    return FALSE;
}

static void folder_remove(const char *folder)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_unlink(path);
    }
    g_clear_pointer(&dir, g_dir_close);
    g_rmdir(folder);
}

static gboolean write_csv(const Figure *figure, const ResultsIn *in, gboolean tex, FILE *out,
                          GError **error)
{
    PlotCsv csv = {.out = out, .tex = tex};
    g_autoptr(GError) cause = NULL;
    if (figure->write(in, &csv, &cause))
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, cause->code, "%s: %s", figure->name, cause->message);
    return FALSE;
}

/* Makes figure.csv and `output` in the folder. */
static gboolean draw_in(const char *folder, const Figure *figure, const ResultsIn *in,
                        const char *output, GError **error)
{
    g_autofree char *csv = g_build_filename(folder, "figure.csv", NULL);
    g_autofree char *name = g_strconcat(figure->name, ".gp", NULL);
    g_autofree char *script = g_build_filename(experiment_data_dir(), "results", name, NULL);
    g_autoptr(OutFile) out = out_file_open(csv, error);
    if (out == NULL ||
        !write_csv(figure, in, g_str_has_suffix(output, ".tex"), out->stream, error) ||
        !out_file_commit(out, error))
        return FALSE;
    if (!g_file_test(script, G_FILE_TEST_IS_REGULAR)) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "%s: there is no such script",
                    script);
        return FALSE;
    }
    return run_gnuplot(script, folder, "figure.csv", output, error);
}

/* From the folder to where the user wants it. */
static gboolean deliver(const char *folder, const char *name, const char *file, GError **error)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *content = NULL;
    gsize length;
    if (!g_file_get_contents(path, &content, &length, error))
        return FALSE;
    g_autoptr(OutFile) out = out_file_open(file, error);
    if (out == NULL)
        return FALSE;
    fwrite(content, 1, length, out->stream);
    return out_file_commit(out, error);
}

static gboolean draw_and_deliver(const char *folder, const Figure *figure, const ResultsIn *in,
                                 const char *file, GError **error)
{
    static const char *const endings[] = {".svg", ".pdf", ".png", ".tex", NULL};
    g_autofree char *name = g_path_get_basename(file);
    for (int i = 0; endings[i] != NULL; i++) {
        if (!g_str_has_suffix(name, endings[i]))
            continue;
        if (!draw_in(folder, figure, in, name, error))
            return FALSE;
        if (!g_str_equal(endings[i], ".tex"))
            return deliver(folder, name, file, error);
        g_autofree char *stem = g_strndup(file, strlen(file) - 4);
        g_autofree char *beside = g_strconcat(stem, ".pdf", NULL);
        g_autofree char *beside_name = g_path_get_basename(beside);
        return deliver(folder, beside_name, beside, error) &&
               deliver(folder, name, file, error);
    }
    g_autofree char *quoted = error_quote(file);
    g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                "-o %s: must end in .svg, .pdf, .png, .tex or .csv", quoted);
    return FALSE;
}

static char *folder_new(GError **error)
{
    g_autoptr(GError) cause = NULL;
    char *folder = g_dir_make_tmp("zerosim-plot-XXXXXX", &cause);
    if (folder == NULL)
        g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "no temporary folder: %s",
                    cause->message);
    return folder;
}

gboolean plot_draw(const Figure *figure, const ResultsIn *in, const char *file, GError **error)
{
    if (g_str_has_suffix(file, ".csv")) {
        g_autoptr(OutFile) out = out_file_open(file, error);
        return out != NULL && write_csv(figure, in, FALSE, out->stream, error) &&
               out_file_commit(out, error);
    }
    g_autofree char *folder = folder_new(error);
    if (folder == NULL)
        return FALSE;
    gboolean drawn = draw_and_deliver(folder, figure, in, file, error);
    folder_remove(folder);
    return drawn;
}

char *plot_svg(const Figure *figure, const ResultsIn *in, GError **error)
{
    g_autofree char *folder = folder_new(error);
    char *text = NULL;
    if (folder == NULL)
        return NULL;
    if (draw_in(folder, figure, in, "figure.svg", error)) {
        g_autofree char *path = g_build_filename(folder, "figure.svg", NULL);
        g_file_get_contents(path, &text, NULL, error);
    }
    folder_remove(folder);
    return text;
}
