/* SPDX-License-Identifier: MIT */
/* The formats: the JSON object's members, numbers that read back the same, CSV quoting, and
 * what the table marks. */
#include "report.h"
#include "report_formats.h"

#include "error.h"
#include "suite_run.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define GIB ((gint64)1 << 30)

static void add_collective(Result *result, CollectiveKind kind, Phase phase, double exposed_s)
{
    CollectiveTotal total = {.kind = kind,
                             .phase = phase,
                             .group = "world",
                             .count = 3,
                             .payload_bytes = 3000,
                             .sent_bytes_per_rank = 5250.5,
                             .busy_s = 0.5,
                             .exposed_s = exposed_s,
                             .algorithm = "Ring LL,Ring Simple"};
    g_array_append_val(result->collectives, total);
}

/* A result of 8 ranks whose step takes step_time_s, all but 1 s of it exposed. */
static Result *result_new(const char *label, Strategy strategy, double step_time_s,
                          gboolean fits)
{
    Result *result = g_new0(Result, 1);
    result->inputs = json_pack("{s:{s:{s:s}}}", "experiment", "training", "strategy",
                               strategy_name(strategy));
    result->label = g_strdup(label);
    result->model_name = g_strdup("tiny, \"the\" model");
    result->cluster_name = g_strdup("cluster");
    result->gpu_name = g_strdup("gpu");
    result->training = (Training){.strategy = strategy,
                                  .micro_batch = 1,
                                  .gradient_accumulation = 2,
                                  .global_batch = 16,
                                  .sequence_length = 4096};
    result->n_ranks = 8;
    result->n_parameters = 6738415616;
    result->warnings = g_ptr_array_new_with_free_func(g_free);
    result->step_time_s = step_time_s;
    result->tokens_per_s_per_gpu = 8192 / step_time_s;
    result->model_flops_per_step = 1e15;
    result->mfu_frac = 0.5 / step_time_s;
    result->hfu_frac = 0.1;
    result->time_split_s = (TimeSplit){.forward = 1, .exposed_comm = step_time_s - 1};
    result->sent_bytes_per_rank = 5250.5;
    result->collectives = g_array_new(FALSE, TRUE, sizeof(CollectiveTotal));
    result->link_classes = g_array_new(FALSE, TRUE, sizeof(LinkClassTotal));
    LinkClassTotal nic = {LINK_NIC, 42000, "nic:0:up", 0.97, 0.5};
    g_array_append_val(result->link_classes, nic);
    add_collective(result, COLLECTIVE_REDUCE_SCATTER, PHASE_BACKWARD, step_time_s - 1);
    result->memory = (Memory){.peak_bytes = 5 * GIB,
                              .by_category_at_peak = {3 * GIB, 2 * GIB},
                              .reserved_bytes = 6 * GIB,
                              .capacity_bytes = fits ? 8 * GIB : 4 * GIB,
                              .fits = fits};
    result->peak_label = g_strdup("forward loss");
    result->model_state_bytes = 12 * GIB;
    result->kernel_source_frac[TIME_ROOFLINE] = 1;
    result->comm_modelled_frac = 1;
    result->reason = g_strdup("waits");
    return result;
}

static GPtrArray *comparison_new(void)
{
    GPtrArray *results = g_ptr_array_new_with_free_func((GDestroyNotify)result_free);
    g_ptr_array_add(results, result_new("DDP", STRATEGY_DDP, 1.5, FALSE));
    g_ptr_array_add(results, result_new("ZeRO-2", STRATEGY_ZERO2, 2, TRUE));
    g_ptr_array_add(results, result_new("ZeRO-3", STRATEGY_ZERO3, 4, TRUE));
    return results;
}

static char *written(const char *format, const GPtrArray *results, gboolean compare,
                     const char *table)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    report_format(format, NULL)->write(results, compare, table, out);
    fclose(out);
    return text;
}

/* The members and their order are the contract that readers rely on. */
START_TEST(test_json_has_the_promised_members)
{
    static const char *const paths[] = {"schema",
                                        "inputs",
                                        "n_ranks",
                                        "n_parameters",
                                        "warnings",
                                        "step_time_s",
                                        "tokens_per_s_per_gpu",
                                        "model_flops_per_step",
                                        "mfu_frac",
                                        "hfu_frac",
                                        "flops_convention",
                                        "time_split_s",
                                        "comm",
                                        "memory",
                                        "confidence"};
    static const char *const memory_members[] = {
        "peak_bytes",     "peak_at_s", "peak_op",           "reserved_bytes",
        "capacity_bytes", "fits",      "model_state_bytes", "by_category_at_peak"};
    g_autoptr(Result) result = result_new("ZeRO-2", STRATEGY_ZERO2, 2, TRUE);
    g_autoptr(json_t) object = report_json_object(result);
    const char *key;
    json_t *member;
    gsize i = 0;

    json_object_foreach(object, key, member) ck_assert_str_eq(key, paths[i++]);
    ck_assert_uint_eq(i, G_N_ELEMENTS(paths));
    i = 0;
    json_object_foreach(json_object_get(object, "memory"), key, member)
        ck_assert_str_eq(key, memory_members[i++]);
    ck_assert_uint_eq(i, G_N_ELEMENTS(memory_members));
    ck_assert_str_eq(json_string_value(json_object_get(object, "schema")), "zerosim-result/1");
    ck_assert_uint_eq(json_object_size(json_object_get(json_object_get(object, "memory"),
                                                       "by_category_at_peak")),
                      N_MEMORY_CATEGORIES);
    ck_assert(json_is_null(
        json_object_get(json_object_get(object, "confidence"), "expected_error_frac")));
}
END_TEST

/* What is written parses as JSON and equals the object: no digit is lost. */
START_TEST(test_json_text_reads_back_equal)
{
    g_autoptr(GPtrArray) results = comparison_new();
    ((Result *)results->pdata[1])->step_time_s = 0.1 + 0.2;
    char *text = written("json", results, TRUE, NULL);
    char *lines = written("jsonl", results, TRUE, NULL);
    g_autoptr(json_t) all = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    g_auto(GStrv) line = g_strsplit(lines, "\n", -1);

    ck_assert_ptr_nonnull(all);
    ck_assert_str_eq(json_string_value(json_object_get(all, "schema")), "zerosim-results/1");
    for (guint i = 0; i < results->len; i++) {
        g_autoptr(json_t) object = report_json_object(results->pdata[i]);
        g_autoptr(json_t) one = json_loads(line[i], JSON_REJECT_DUPLICATES, NULL);
        ck_assert(json_equal(json_array_get(json_object_get(all, "results"), i), object));
        ck_assert(json_equal(one, object));
    }
    ck_assert_str_eq(line[results->len], "");
    free(text);
    free(lines);
}
END_TEST

/* Shortest form, and a real stays a real. */
START_TEST(test_real_numbers_are_short_and_exact)
{
    static const struct {
        double value;
        const char *text;
    } rows[] = {{0.1, "0.1"},
                {0, "0.0"},
                {2, "2.0"},
                {0.1 + 0.2, "0.30000000000000004"},
                {1e300, "1e+300"},
                {1e9, "1000000000.0"},
                {1.0 / 3, "0.3333333333333333"}};
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = report_real_text(rows[i].value);
        ck_assert_str_eq(text, rows[i].text);
    }
}
END_TEST

/* One row a result under dotted paths; arrays are left to --table. */
START_TEST(test_csv_columns_are_json_paths)
{
    g_autoptr(GPtrArray) results = comparison_new();
    char *text = written("csv", results, TRUE, NULL);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_auto(GStrv) columns = g_strsplit(lines[0], ",", -1);
    const char *const *names = (const char *const *)columns;

    ck_assert_uint_eq(g_strv_length(lines), 5);
    ck_assert_str_eq(columns[0], "schema");
    ck_assert(g_strv_contains(names, "inputs.experiment.training.strategy"));
    ck_assert(g_strv_contains(names, "time_split_s.exposed_comm"));
    ck_assert(g_strv_contains(names, "memory.by_category_at_peak.parameters"));
    ck_assert(g_strv_contains(names, "confidence.kernels.roofline_frac"));
    ck_assert(!g_strv_contains(names, "comm.by_collective"));
    free(text);
}
END_TEST

/* Cells with commas and quotes are quoted as RFC 4180 says; an array's rows carry their result.
 */
START_TEST(test_csv_table_of_an_array)
{
    g_autoptr(GPtrArray) results = comparison_new();
    char *text = written("csv", results, TRUE, "by_collective");
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *expected =
        g_strdup_printf("\"tiny, \"\"the\"\" model\",%s,8,%s,%s,world,3,3000,5250.5,0.5,1.0,"
                        "\"Ring LL,Ring Simple\"",
                        strategy_name(STRATEGY_ZERO2),
                        collective_name(COLLECTIVE_REDUCE_SCATTER), phase_name(PHASE_BACKWARD));

    ck_assert_str_eq(lines[0], "model,strategy,n_ranks,collective,phase,group,count,"
                               "payload_bytes,sent_bytes_per_rank,busy_s,exposed_s,algorithm");
    ck_assert_str_eq(lines[2], expected);
    free(text);
}
END_TEST

static char *line_with(const char *text, const char *word)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        if (strstr(*line, word) != NULL)
            return g_strdup(*line);
    ck_abort_msg("no line with %s in:\n%s", word, text);
}

/* DDP is fastest but doesn't fit: it says so, and the best mark goes to ZeRO-2. */
START_TEST(test_table_marks_best_of_those_that_fit)
{
    g_autoptr(GPtrArray) results = comparison_new();
    char *text = written("table", results, TRUE, NULL);
    g_autofree char *ddp = line_with(text, "DDP ");
    g_autofree char *zero2 = line_with(text, "ZeRO-2 ");
    g_autofree char *why = line_with(text, "fastest");

    ck_assert_ptr_nonnull(strstr(ddp, "DOES NOT FIT"));
    ck_assert_ptr_null(strchr(ddp, '*'));
    ck_assert_ptr_nonnull(strstr(zero2, " 2* "));
    ck_assert_ptr_nonnull(strstr(zero2, "yes"));
    ck_assert(g_str_has_prefix(why, "ZeRO-2 is fastest, 2 s (50 %) ahead of ZeRO-3: "));
    ck_assert_ptr_nonnull(strstr(why, link_class_name(LINK_NIC)));
    ck_assert_ptr_nonnull(strstr(why, collective_name(COLLECTIVE_REDUCE_SCATTER)));
    free(text);
}
END_TEST

/* With one or none that fits the sentence says that instead. */
START_TEST(test_table_says_when_none_fits)
{
    g_autoptr(GPtrArray) results = comparison_new();
    ((Result *)results->pdata[2])->memory.fits = FALSE;
    g_autofree char *one = report_why(results);
    ((Result *)results->pdata[1])->memory.fits = FALSE;
    g_autofree char *none = report_why(results);

    ck_assert_str_eq(one, "ZeRO-2 is the only one that fits; it waits.");
    ck_assert(g_str_has_prefix(none, "None fits: "));
}
END_TEST

/* Columns line up: every row of the table is equally wide, trailing blanks aside. */
START_TEST(test_table_is_aligned_and_plain_ascii)
{
    g_autoptr(GPtrArray) results = comparison_new();
    char *text = written("table", results, TRUE, NULL);
    g_autofree char *zero2 = line_with(text, "ZeRO-2 ");
    g_autofree char *zero3 = line_with(text, "ZeRO-3 ");
    g_autofree char *rule = line_with(text, "----");

    ck_assert(g_str_is_ascii(text));
    ck_assert_uint_eq(strlen(zero2), strlen(rule));
    ck_assert_uint_eq(strlen(zero3), strlen(rule));
    ck_assert_ptr_null(strstr(text, " \n"));
    free(text);
}
END_TEST

/* A single run shows the same numbers as the object, and the warnings. */
START_TEST(test_run_block)
{
    g_autoptr(GPtrArray) results = g_ptr_array_new_with_free_func((GDestroyNotify)result_free);
    g_ptr_array_add(results, result_new("ZeRO-2", STRATEGY_ZERO2, 2, TRUE));
    g_ptr_array_add(((Result *)results->pdata[0])->warnings, g_strdup("an unknown key"));
    char *text = written("table", results, FALSE, NULL);
    g_autofree char *step = line_with(text, "ZeRO-2: step");
    g_autofree char *peak = line_with(text, "peak at");
    g_autofree char *warning = line_with(text, "warning");

    ck_assert_ptr_nonnull(strstr(step, "step 2 s, 4096 tokens/s/GPU, MFU 25.0 %"));
    ck_assert_ptr_nonnull(strstr(peak, "forward loss"));
    ck_assert_str_eq(warning, "warning: an unknown key");
    free(text);
}
END_TEST

/* Names that don't exist are usage errors that list those that do. */
START_TEST(test_unknown_names_are_usage_errors)
{
    g_autoptr(GError) format_error = NULL;
    g_autoptr(GError) table_error = NULL;
    g_autoptr(GError) needs_csv = NULL;

    ck_assert_ptr_null(report_format("xml", &format_error));
    ck_assert_ptr_nonnull(strstr(format_error->message, "table, json, jsonl, csv"));
    ck_assert(!report_table_check(report_format("csv", NULL), "by_rank", &table_error));
    ck_assert_ptr_nonnull(strstr(table_error->message, "by_collective, by_link_class"));
    ck_assert(!report_table_check(report_format("json", NULL), "by_collective", &needs_csv));
    ck_assert_int_eq(error_exit_status(needs_csv), 2);
    ck_assert(report_table_check(report_format("csv", NULL), "by_link_class", NULL));
}
END_TEST

/* 8 GPUs at 3.6 dollars an hour cost 0.8 cents a second. */
START_TEST(test_cost_follows_from_the_price)
{
    g_autoptr(Result) result = result_new("ZeRO-2", STRATEGY_ZERO2, 2, TRUE);
    g_autoptr(json_t) unknown = report_json_object(result);
    ck_assert_ptr_null(json_object_get(unknown, "cost"));
    result->usd_per_gpu_hour = 3.6;
    g_autoptr(json_t) object = report_json_object(result);
    const json_t *cost = json_object_get(object, "cost");
    double per_step = json_real_value(json_object_get(cost, "usd_per_step"));
    double per_tokens = json_real_value(json_object_get(cost, "usd_per_million_tokens"));
    ck_assert_double_eq_tol(per_step, 0.016, 1e-12);
    /* 4096 tokens a second and GPU */
    ck_assert_double_eq_tol(per_tokens, 0.016 / (2 * 8 * 4096) * 1e6, 1e-9);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("report");
    TCase *tcase = tcase_create("report");

    tcase_add_test(tcase, test_json_has_the_promised_members);
    tcase_add_test(tcase, test_json_text_reads_back_equal);
    tcase_add_test(tcase, test_real_numbers_are_short_and_exact);
    tcase_add_test(tcase, test_csv_columns_are_json_paths);
    tcase_add_test(tcase, test_csv_table_of_an_array);
    tcase_add_test(tcase, test_table_marks_best_of_those_that_fit);
    tcase_add_test(tcase, test_table_says_when_none_fits);
    tcase_add_test(tcase, test_table_is_aligned_and_plain_ascii);
    tcase_add_test(tcase, test_run_block);
    tcase_add_test(tcase, test_unknown_names_are_usage_errors);
    tcase_add_test(tcase, test_cost_follows_from_the_price);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
