/* SPDX-License-Identifier: MIT */
/* What figures are made of: results read back from their formats, filtered, and picked into the
 * columns that the scripts read. */
#include "plot.h"

#include "error.h"
#include "suite_run.h"

#include <check.h>
#include <glib/gstdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *folder;

static char *file_new(const char *name, const char *text)
{
    char *path = g_build_filename(folder, name, NULL);
    ck_assert(g_file_set_contents(path, text, -1, NULL));
    return path;
}

/* A result of that many GPUs, each making 100 tokens a second less 1 for each other GPU. */
static char *result_text(const char *strategy, int n_ranks, double usd, gboolean fits)
{
    return g_strdup_printf(
        "{\"schema\": \"zerosim-result/1\", \"inputs\": {\"experiment\": {\"model\": "
        "{\"config\": \"tiny.json\", \"sequence_length\": 8}, \"cluster\": {\"platform\": "
        "\"p\", \"nodes\": %d}, \"training\": {\"strategy\": \"%s\", \"micro_batch\": 1, "
        "\"gradient_accumulation\": 1, \"global_batch\": %d}}}, \"n_ranks\": %d, "
        "\"n_parameters\": 1000000000, \"warnings\": [], \"step_time_s\": 2.0, "
        "\"tokens_per_s_per_gpu\": %d, \"mfu_frac\": 0.5, \"time_split_s\": {\"forward\": 0.5, "
        "\"backward\": 1.0, \"update\": 0.25, \"exposed_comm\": 0.125, \"idle\": 0.125}, "
        "\"comm\": {\"sent_bytes_per_rank\": 3e9, \"by_collective\": [{\"collective\": "
        "\"all_reduce\", \"sent_bytes_per_rank\": 1e9}, {\"collective\": \"all_reduce\", "
        "\"sent_bytes_per_rank\": 2e9}]}, \"memory\": {\"peak_bytes\": 2147483648, "
        "\"capacity_bytes\": 4294967296, \"fits\": %s, \"by_category_at_peak\": "
        "{\"parameters\": 1073741824}}, \"cost\": {\"usd_per_million_tokens\": %g}}",
        n_ranks, strategy, n_ranks, n_ranks, 100 - n_ranks, fits ? "true" : "false", usd);
}

static ResultsIn *load(const char *file, GError **error)
{
    const char *const files[] = {file, NULL};
    return results_in_load(files, error);
}

/* zero1 at 1, 2 and 4 GPUs, cheapest at 2; zero3, which doesn't fit on 1. */
static const struct {
    const char *strategy;
    int n_ranks;
    double usd;
    gboolean fits;
} curve[] = {{"zero1", 1, 3, TRUE},
             {"zero1", 2, 1, TRUE},
             {"zero1", 4, 2, TRUE},
             {"zero3", 1, 2, FALSE},
             {"zero3", 2, 2, TRUE}};

static ResultsIn *curve_new(void)
{
    GString *text = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(curve); i++) {
        g_autofree char *line =
            result_text(curve[i].strategy, curve[i].n_ranks, curve[i].usd, curve[i].fits);
        g_string_append_printf(text, "%s\n", line);
    }
    g_autofree char *file = file_new("curve.jsonl", text->str);
    g_string_free(text, TRUE);
    GError *error = NULL;
    ResultsIn *in = load(file, &error);
    ck_assert_msg(in != NULL, "%s", error != NULL ? error->message : "");
    return in;
}

/* The figure's CSV, or its error's message. */
static char *drawn(const char *figure, const ResultsIn *in)
{
    char *text = NULL;
    size_t length;
    g_autoptr(GError) error = NULL;
    PlotCsv csv = {.out = open_memstream(&text, &length)};
    gboolean ok = plot_figure(figure, NULL)->write(in, &csv, &error);
    fclose(csv.out);
    ck_assert(ok == (error == NULL));
    if (ok)
        return text;
    free(text);
    return g_strdup(error->message);
}

START_TEST(test_step_time)
{
    g_autoptr(ResultsIn) in = curve_new();
    g_autofree char *csv = drawn("step-time", in);
    g_auto(GStrv) lines = g_strsplit(csv, "\n", -1);
    ck_assert_str_eq(lines[0], "label,fits,forward_s,backward_s,update_s,idle_s,"
                               "exposed_comm_s,end");
    ck_assert_str_eq(lines[1], "\"ZeRO-1 1 GPUs\",1,0.5,1,0.25,0.125,0.125,0");
    ck_assert_str_eq(lines[4], "\"ZeRO-3 1 GPUs *\",0,0.5,1,0.25,0.125,0.125,0");
}
END_TEST

START_TEST(test_memory_and_volume_have_units)
{
    g_autoptr(ResultsIn) in = curve_new();
    g_autofree char *memory = drawn("memory", in);
    g_autofree char *volume = drawn("collectives", in);
    ck_assert_ptr_nonnull(strstr(memory, "\"ZeRO-1 1 GPUs\",1,0,1,0,0,0,0,0,0,0,4,0\n"));
    ck_assert_ptr_nonnull(strstr(volume, "\"ZeRO-1 1 GPUs\",1,3,0,0,0,0,0\n"));
}
END_TEST

/* 98 tokens a second of 99 are 98.99 %; what doesn't fit is an empty cell. */
START_TEST(test_scaling_counts_from_the_fewest_gpus_that_fit)
{
    g_autoptr(ResultsIn) in = curve_new();
    g_autofree char *csv = drawn("weak-scaling", in);
    ck_assert_ptr_nonnull(strstr(csv, "\n1,,,99,100,,,,,0\n"));
    ck_assert_ptr_nonnull(strstr(csv, "\n2,,,196,98.989899,,,196,100,0\n"));
    ck_assert_ptr_nonnull(strstr(csv, "\n4,,,384,96.969697,,,,,0\n"));
}
END_TEST

/* On the front: the fastest, and whatever is cheaper than all that are faster. */
START_TEST(test_pareto_front)
{
    g_autoptr(ResultsIn) in = curve_new();
    g_autofree char *csv = drawn("pareto", in);
    g_auto(GStrv) lines = g_strsplit(csv, "\n", -1);
    ck_assert_str_eq(lines[0],
                     "label,n_gpus,hours,front_usd,ddp_usd,zero1_usd,zero2_usd,zero3_usd,end");
    ck_assert_ptr_nonnull(strstr(lines[1], "\"ZeRO-1 4 GPUs\",4,"));
    ck_assert(g_str_has_suffix(lines[1], ",2000,,2000,,,0"));
    ck_assert(g_str_has_suffix(lines[2], ",1000,,1000,,,0"));
    ck_assert(g_str_has_suffix(lines[3], ",,,,,2000,0"));
    ck_assert(g_str_has_suffix(lines[4], ",,,3000,,,0"));
    ck_assert_str_eq(lines[5], "");
}
END_TEST

static const struct {
    const char *figure, *word;
} refusals[] = {
    {"strong-scaling", "training.global_batch"},
    {"bandwidth", "cluster.nodes"},
    {"largest-model", "several models"},
    {"gantt", "--trace"},
    {"roofline", "--trace"},
    {"link-use", "--trace"},
    {"memory-over-time", "--memory-csv"},
    {"validation", "validate"},
    {"link-classes", "comm.by_link_class"},
};

START_TEST(test_refusal)
{
    g_autoptr(ResultsIn) in = curve_new();
    g_autofree char *message = drawn(refusals[_i].figure, in);
    ck_assert_msg(strstr(message, refusals[_i].word) != NULL, "%s", message);
    ck_assert_ptr_null(strchr(message, '\n'));
}
END_TEST

START_TEST(test_filter)
{
    static const char *const one[] = {"training.strategy=zero1", "n_ranks=2", NULL};
    static const char *const none[] = {"n_ranks=3", NULL};
    g_autoptr(ResultsIn) in = curve_new();
    g_autoptr(GError) error = NULL;
    ck_assert(results_in_filter(in, one, &error));
    ck_assert_uint_eq(in->results->len, 1);
    ck_assert_double_eq(results_in_number(in->results->pdata[0], "n_ranks"), 2);
    ck_assert(!results_in_filter(in, none, &error));
    ck_assert_int_eq(error->code, ERROR_USAGE);
}
END_TEST

/* Results, one a row, are read back as the objects they were. */
START_TEST(test_csv_of_results)
{
    g_autofree char *file = file_new(
        "results.csv",
        "schema,inputs.experiment.model.config,inputs.experiment.training.strategy,n_ranks,"
        "n_parameters,step_time_s,tokens_per_s_per_gpu,mfu_frac,time_split_s.forward,"
        "time_split_s.backward,time_split_s.update,time_split_s.exposed_comm,"
        "time_split_s.idle,comm.sent_bytes_per_rank,memory.peak_bytes,memory.capacity_bytes,"
        "memory.fits\nzerosim-result/1,\"a, b.json\",zero2,8,1,2.5,1,1,1,1,1,1,1,1,1,1,true\n");
    g_autoptr(ResultsIn) in = load(file, NULL);
    ck_assert_ptr_nonnull(in);
    const json_t *result = in->results->pdata[0];
    g_autofree char *model = results_in_text(result, "inputs.experiment.model.config");
    ck_assert_str_eq(model, "a, b.json");
    ck_assert_double_eq(results_in_number(result, "step_time_s"), 2.5);
    ck_assert(results_in_fits(result));
}
END_TEST

static const struct {
    const char *text, *word;
} bad_files[] = {
    {"", "empty"},
    {" \n", "empty"},
    {"{}", "schema"},
    {"{\"schema\": \"zerosim-result/2\"}", "schema"},
    {"{\"schema\": \"zerosim-result/1\"}", "n_ranks"},
    {"{\"schema\": \"zerosim-results/1\"}", "results"},
    {"{\"schema\": \"zerosim-results/1\", \"results\": []}", "no results"},
    {"{\"schema\": \"zerosim-results/1\", \"results\": [1]}", "n_ranks"},
    {"{\"schema\": ", "bad:1"},
    {"{\"a\": 1, \"a\": 2}", "bad:1"},
    {"[1]", "columns"},
    {"a,b\n1,2\n", "columns"},
    {"time_s,total_bytes\n\"1,2\n", "bad:2"},
};

START_TEST(test_bad_file)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *file = file_new("bad", bad_files[_i].text);
    g_autoptr(ResultsIn) in = load(file, &error);
    ck_assert_ptr_null(in);
    ck_assert_int_eq(error->code, ERROR_INPUT);
    ck_assert_msg(strstr(error->message, bad_files[_i].word) != NULL, "%s", error->message);
    ck_assert_ptr_null(strchr(error->message, '\n'));
}
END_TEST

/* gnuplot would take a quote for the end of a label, and LaTeX a percent sign for a comment. */
START_TEST(test_labels_are_safe)
{
    char *text = NULL;
    size_t length;
    PlotCsv csv = {.out = open_memstream(&text, &length)};
    plot_text(&csv, "a\"b,c\n50%");
    csv.tex = TRUE;
    plot_text(&csv, "a_b\\50%");
    plot_number(&csv, NAN);
    plot_end(&csv);
    fclose(csv.out);
    ck_assert_str_eq(text, "\"ab c50%\",\"a\\_b 50\\%\",,0\n");
    free(text);
}
END_TEST

static Suite *plot_suite(void)
{
    Suite *suite = suite_create("plot");
    TCase *tests = tcase_create("plot");
    tcase_add_test(tests, test_step_time);
    tcase_add_test(tests, test_memory_and_volume_have_units);
    tcase_add_test(tests, test_scaling_counts_from_the_fewest_gpus_that_fit);
    tcase_add_test(tests, test_pareto_front);
    tcase_add_loop_test(tests, test_refusal, 0, G_N_ELEMENTS(refusals));
    tcase_add_test(tests, test_filter);
    tcase_add_test(tests, test_csv_of_results);
    tcase_add_loop_test(tests, test_bad_file, 0, G_N_ELEMENTS(bad_files));
    tcase_add_test(tests, test_labels_are_safe);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    folder = g_dir_make_tmp("zerosim-plot-XXXXXX", NULL);
    const int status = suite_run(plot_suite());
    static const char *const names[] = {"curve.jsonl", "results.csv", "bad"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(folder, names[i], NULL);
        g_unlink(path);
    }
    g_rmdir(folder);
    g_free(folder);
    return status;
}
