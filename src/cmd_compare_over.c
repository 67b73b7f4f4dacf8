/* SPDX-License-Identifier: MIT */
/* `compare --over`: every point in a forked child, on all cores. A point's results are appended
 * to the file in one go as it ends; when all are there the file is put in the order of the
 * points, so that it has the same bytes however the work was shared. */
#include "cmd_compare.h"
#include "cmd_over.h"
#include "error.h"
#include "out_file.h"
#include "pool.h"
#include "training.h"

#include <errno.h>
#include <string.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

typedef struct {
    const CompareOver *command;
    const CmdOptions *options;
    Experiment *experiment;
    Over *over;
    char **ids;   /* of each point */
    char **lines; /* of each point; NULL: not there yet */
    int *todo;    /* points to run */
    int n_todo, n_done, n_printed;
    GString *foreign; /* lines of the resumed file that are no point's */
    FILE *out;
    CmdProgress *progress;
    int n_failed;
    GError *first_failure;
} Sweep;

static void sweep_clear(Sweep *sweep)
{
    for (int p = 0; sweep->over != NULL && p < sweep->over->n_points; p++) {
        g_free(sweep->ids[p]);
        g_free(sweep->lines[p]);
    }
    g_free(sweep->ids);
    g_free(sweep->lines);
    g_free(sweep->todo);
    experiment_free(sweep->experiment);
    over_free(sweep->over);
    if (sweep->foreign != NULL)
        g_string_free(sweep->foreign, TRUE);
    if (sweep->out != NULL && sweep->out != stdout)
        fclose(sweep->out);
    cmd_progress_free(sweep->progress);
    g_clear_error(&sweep->first_failure);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Sweep, sweep_clear)

static gboolean run_point(int job, FILE *out, void *data, GError **error)
{
    Sweep *sweep = data;
    int point = sweep->todo[job];
    g_autoptr(GPtrArray) results = g_ptr_array_new_with_free_func((GDestroyNotify)result_free);
    g_autoptr(Experiment) experiment =
        over_experiment(sweep->over, point, sweep->experiment, error);
    if (experiment == NULL || !cmd_compare_point(experiment, sweep->options,
                                                 sweep->command->best, NULL, results, error))
        return FALSE;
    for (guint i = 0; i < results->len; i++) {
        cmd_options_price(sweep->options, experiment, results->pdata[i]);
        g_autoptr(json_t) object = report_json_object(results->pdata[i]);
        json_object_set_new(object, "sweep",
                            json_pack("{s:s, s:o}", "id", sweep->ids[point], "point",
                                      over_point_json(sweep->over, point)));
        report_json_line_write(object, out);
    }
    return TRUE;
}

static gboolean write_text(const Sweep *sweep, const char *text, GError **error)
{
    if (fputs(text, sweep->out) >= 0 && fflush(sweep->out) == 0)
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "%s: %s",
                sweep->out == stdout ? "standard output" : "results", g_strerror(errno));
    return FALSE;
}

/* On stdout in the order of the points: what comes early waits for those before it. */
static gboolean print_ready(Sweep *sweep, GError **error)
{
    while (sweep->n_printed < sweep->over->n_points && sweep->lines[sweep->n_printed] != NULL)
        if (!write_text(sweep, sweep->lines[sweep->n_printed++], error))
            return FALSE;
    return TRUE;
}

static gboolean point_ended(int job, const char *text, const GError *failure, void *data,
                            GError **error)
{
    Sweep *sweep = data;
    int point = sweep->todo[job];
    cmd_progress_set(sweep->progress, ++sweep->n_done, sweep->n_todo, "comparing");
    sweep->lines[point] = g_strdup(text != NULL ? text : "");
    if (failure == NULL)
        return sweep->out == stdout ? print_ready(sweep, error)
                                    : write_text(sweep, text, error);
    g_autofree char *where = over_point_text(sweep->over, point);
    if (sweep->n_failed++ == 0)
        sweep->first_failure =
            g_error_new(failure->domain, failure->code, "at %s: %s", where, failure->message);
    return sweep->out != stdout || print_ready(sweep, error);
}

static int point_of_id(const Sweep *sweep, const char *id)
{
    for (int p = 0; id != NULL && p < sweep->over->n_points; p++)
        if (strcmp(sweep->ids[p], id) == 0)
            return p;
    return -1;
}

/* A point counts when all its strategies are there. */
static void drop_incomplete(Sweep *sweep, const int *n_lines)
{
    for (int p = 0; p < sweep->over->n_points; p++)
        if (n_lines[p] != N_STRATEGIES)
            g_clear_pointer(&sweep->lines[p], g_free);
}

static void keep_line(Sweep *sweep, int point, const char *line, int *n_lines)
{
    if (point < 0) {
        g_string_append_printf(sweep->foreign, "%s\n", line);
        return;
    }
    char *before = sweep->lines[point];
    sweep->lines[point] = g_strdup_printf("%s%s\n", before != NULL ? before : "", line);
    g_free(before);
    n_lines[point]++;
}

/* The last line may be cut off: that is what an interrupted writer leaves. */
static gboolean read_resumed(Sweep *sweep, const char *file, GError **error)
{
    if (!g_file_test(file, G_FILE_TEST_EXISTS))
        return TRUE;
    g_autofree char *text = json_in_read_text(file, JSON_IN_MAX_BYTES, NULL, error);
    if (text == NULL)
        return FALSE;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree int *n_lines = g_new0(int, sweep->over->n_points);
    for (int i = 0; lines[i] != NULL && lines[i + 1] != NULL; i++) {
        g_autoptr(json_t) object = json_loads(lines[i], JSON_REJECT_DUPLICATES, NULL);
        const char *schema = json_string_value(json_object_get(object, "schema"));
        const char *id =
            json_string_value(json_object_get(json_object_get(object, "sweep"), "id"));
        if (g_strcmp0(schema, "zerosim-result/1") != 0) {
            g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                        "%s:%d: is no result that `compare --over` writes", file, i + 1);
            return FALSE;
        }
        keep_line(sweep, point_of_id(sweep, id), lines[i], n_lines);
    }
    drop_incomplete(sweep, n_lines);
    return TRUE;
}

/* Everything there is, in order, under the file's name. */
static gboolean rewrite(const Sweep *sweep, const char *file, GError **error)
{
    g_autoptr(OutFile) out = out_file_open(file, error);
    if (out == NULL)
        return FALSE;
    fputs(sweep->foreign->str, out->stream);
    for (int p = 0; p < sweep->over->n_points; p++)
        fputs(sweep->lines[p] != NULL ? sweep->lines[p] : "", out->stream);
    return out_file_commit(out, error);
}

static gboolean open_output(Sweep *sweep, const char *file, GError **error)
{
    if (file == NULL) {
        sweep->out = stdout;
        return TRUE;
    }
    if (!rewrite(sweep, file, error))
        return FALSE;
    sweep->out = fopen(file, "a");
    if (sweep->out != NULL)
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "%s: %s", file, g_strerror(errno));
    return FALSE;
}

static void name_points(Sweep *sweep)
{
    g_autofree char *prices =
        sweep->options->prices ? g_strjoinv(" ", sweep->options->prices) : g_strdup("");
    g_autofree char *context = g_strdup_printf(
        "%s %d %d %s", PACKAGE_VERSION, sweep->command->best, sweep->options->strict, prices);
    int n_points = sweep->over->n_points;
    sweep->ids = g_new0(char *, n_points);
    sweep->lines = g_new0(char *, n_points);
    sweep->todo = g_new0(int, n_points);
    for (int p = 0; p < n_points; p++) {
        g_autoptr(Experiment) experiment =
            over_experiment(sweep->over, p, sweep->experiment, NULL);
        sweep->ids[p] = experiment != NULL ? over_experiment_id(experiment, context)
                                           : over_point_text(sweep->over, p);
    }
}

static gboolean conclude(const Sweep *sweep, const char *file, GError **error)
{
    if (file != NULL && !rewrite(sweep, file, error))
        return FALSE;
    if (sweep->n_failed == 0)
        return TRUE;
    g_set_error(error, sweep->first_failure->domain, sweep->first_failure->code,
                "%d of %d points failed; the first %s", sweep->n_failed, sweep->over->n_points,
                sweep->first_failure->message);
    return FALSE;
}

gboolean cmd_compare_over(const CompareOver *over, const CmdOptions *options, GError **error)
{
    const char *file = over->output_file != NULL ? over->output_file : over->resume_file;
    g_auto(Sweep) sweep = {.command = over, .options = options, .foreign = g_string_new(NULL)};
    sweep.experiment = cmd_options_experiment(options, error);
    if (sweep.experiment == NULL)
        return FALSE;
    Over *points = over_parse((const char *const *)over->over, sweep.experiment, error);
    if (points == NULL)
        return FALSE;
    sweep.over = points;
    name_points(&sweep);
    if (over->resume_file != NULL && !read_resumed(&sweep, over->resume_file, error))
        return FALSE;
    for (int p = 0; p < points->n_points; p++)
        if (sweep.lines[p] == NULL)
            sweep.todo[sweep.n_todo++] = p;
    if (!open_output(&sweep, file, error))
        return FALSE;
    sweep.progress = options->quiet ? NULL : cmd_progress_new();
    PoolWork work = {.run = run_point, .ended = point_ended, .data = &sweep};
    int n_jobs = over->n_jobs > 0 ? over->n_jobs : (int)g_get_num_processors();
    return pool_run(sweep.n_todo, n_jobs, &work, error) && conclude(&sweep, file, error);
}
