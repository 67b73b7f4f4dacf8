/* SPDX-License-Identifier: MIT */
/* The three formats of `zerosim validate`. CSV has the columns that others read by name; the
 * table groups; JSON has both. */
#include "validate_report.h"

#include "error.h"
#include "report_formats.h"
#include "report_grid.h"
#include "validate_record.h"
#include "validate_summary.h"

#include <csv.h>
#include <math.h>
#include <string.h>

/* ---- CSV ---- */

static void csv_text(const char *text, gboolean last, FILE *out)
{
    if (strpbrk(text, ",\"\r\n") != NULL)
        csv_fwrite(out, text, strlen(text));
    else
        fputs(text, out);
    fputs(last ? "\n" : ",", out);
}

static void csv_number(double value, FILE *out)
{
    g_autofree char *text = isfinite(value) ? report_real_text(value) : g_strdup("");
    csv_text(text, FALSE, out);
}

static void csv_write_outcomes(const GPtrArray *outcomes, FILE *out)
{
    fputs("id,quantity,unit,predicted,measured,error_frac,used_for_fit,assumed,reason\n", out);
    for (guint i = 0; i < outcomes->len; i++) {
        const Outcome *outcome = outcomes->pdata[i];
        csv_text(outcome->id, FALSE, out);
        csv_text(outcome->quantity, FALSE, out);
        csv_text(outcome->unit, FALSE, out);
        csv_number(outcome->predicted, out);
        csv_number(outcome->measured, out);
        csv_number(outcome_error_frac(outcome), out);
        csv_text(outcome->used_for_fit ? "true" : "false", FALSE, out);
        csv_text(outcome->assumed, FALSE, out);
        csv_text(outcome->reason, TRUE, out);
    }
}

/* ---- table ---- */

static void grid_percent(ReportGrid *grid, double frac)
{
    if (isfinite(frac))
        report_grid_add(grid, "%.1f", 100 * frac);
    else
        report_grid_add(grid, "-");
}

static void grid_group(ReportGrid *grid, const char *by, const GroupErrors *group)
{
    report_grid_add(grid, "%s%s", by, group->name);
    report_grid_add(grid, "%d", group->n_rows);
    report_grid_add(grid, "%d", group->n_predicted);
    report_grid_add(grid, "%.0f", 100.0 * group->n_predicted / group->n_rows);
    grid_percent(grid, group->median_error_frac);
    grid_percent(grid, group->p90_error_frac);
    grid_percent(grid, group->worst_error_frac);
    grid_percent(grid, group->median_bias_frac);
    grid_percent(grid, group->geometric_mean_error_frac);
    report_grid_add(grid, group->n_predicted < VALIDATED_MIN ? "not validated" : "");
}

static void grid_header(ReportGrid *grid)
{
    static const char *const header[2][10] = {
        {"", "rows", "predicted", "coverage", "median", "p90", "worst", "bias", "geo-mean", ""},
        {"", "", "", "[%]", "[%]", "[%]", "[%]", "[%]", "[%]", ""},
    };
    for (int line = 0; line < 2; line++)
        for (int column = 0; column < 10; column++)
            report_grid_add(grid, "%s", header[line][column]);
}

static void table_write_class(const GPtrArray *outcomes, const Class *class, FILE *out)
{
    g_autoptr(ReportGrid) grid = report_grid_new(10, 2);
    grid_header(grid);
    for (int grouping = 0; grouping < N_GROUPINGS; grouping++) {
        g_autoptr(GPtrArray) groups = summary_compute(outcomes, class, (Grouping)grouping);
        if (groups->len == 0)
            return;
        for (guint i = 0; i < groups->len; i++)
            grid_group(grid, grouping == GROUP_ALL ? "" : "  ", groups->pdata[i]);
    }
    fprintf(out, "%s\n", class->title);
    report_grid_print(grid, 2, out);
    fputc('\n', out);
}

/* Why rows have no prediction: each reason once, with how many rows have it and the first. */
static void table_write_missed(const GPtrArray *outcomes, FILE *out)
{
    g_autoptr(GPtrArray) reasons = g_ptr_array_new();
    g_autoptr(GHashTable) counts = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) first = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < outcomes->len; i++) {
        Outcome *outcome = outcomes->pdata[i];
        if (*outcome->reason == '\0')
            continue;
        const int count = GPOINTER_TO_INT(g_hash_table_lookup(counts, outcome->reason));
        if (count == 0) {
            g_ptr_array_add(reasons, outcome->reason);
            g_hash_table_insert(first, outcome->reason, outcome->id);
        }
        g_hash_table_insert(counts, outcome->reason, GINT_TO_POINTER(count + 1));
    }
    if (reasons->len > 0)
        fprintf(out, "Without a prediction:\n");
    for (guint i = 0; i < reasons->len; i++) {
        const char *reason = reasons->pdata[i];
        const int count = GPOINTER_TO_INT(g_hash_table_lookup(counts, reason));
        fprintf(out, "  %d %s (%s%s): %s\n", count, count == 1 ? "quantity" : "quantities",
                (const char *)g_hash_table_lookup(first, reason), count == 1 ? "" : ", ...",
                reason);
    }
}

/* What ran must fit: a check of the memory that needs no measured peak. */
static void table_write_too_large(const GPtrArray *outcomes, FILE *out)
{
    g_autoptr(GString) ids = g_string_new(NULL);
    int n_steps = 0, n_too_large = 0;
    for (guint i = 0; i < outcomes->len; i++) {
        const Outcome *outcome = outcomes->pdata[i];
        if (strcmp(outcome->quantity, "step_time_s") != 0 || !isfinite(outcome->predicted))
            continue;
        n_steps++;
        if (!outcome->too_large)
            continue;
        n_too_large++;
        g_string_append_printf(ids, "%s%s", ids->len > 0 ? ", " : ": ", outcome->id);
    }
    if (n_steps > 0)
        fprintf(out, "Of %d steps that ran, %d are predicted not to fit in memory%s.\n",
                n_steps, n_too_large, ids->str);
}

static void table_write_outcomes(const GPtrArray *outcomes, FILE *out)
{
    for (int i = 0; i < validate_n_classes; i++)
        table_write_class(outcomes, &validate_classes[i], out);
    fprintf(out,
            "Errors are |predicted / measured - 1|; bias is the median of the signed ones "
            "(positive: predicted too much);\ncoverage counts rows with a measured value; "
            "groups of fewer than %d predictions are not validated.\n",
            VALIDATED_MIN);
    table_write_too_large(outcomes, out);
    table_write_missed(outcomes, out);
}

/* ---- JSON ---- */

static json_t *json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *json_group(const Class *class, Grouping grouping, const GroupErrors *group)
{
    json_t *object = json_object();
    json_object_set_new(object, "class", json_string(class->title));
    json_object_set_new(object, "by", json_string(grouping_name(grouping)));
    json_object_set_new(object, "group", json_string(group->name));
    json_object_set_new(object, "n_rows", json_integer(group->n_rows));
    json_object_set_new(object, "n_predicted", json_integer(group->n_predicted));
    json_object_set_new(object, "validated", json_boolean(group->n_predicted >= VALIDATED_MIN));
    json_object_set_new(object, "coverage_frac",
                        json_real((double)group->n_predicted / group->n_rows));
    json_object_set_new(object, "median_error_frac", json_number(group->median_error_frac));
    json_object_set_new(object, "p90_error_frac", json_number(group->p90_error_frac));
    json_object_set_new(object, "worst_error_frac", json_number(group->worst_error_frac));
    json_object_set_new(object, "median_bias_frac", json_number(group->median_bias_frac));
    json_object_set_new(object, "geometric_mean_error_frac",
                        json_number(group->geometric_mean_error_frac));
    return object;
}

static json_t *json_rows(const GPtrArray *outcomes)
{
    json_t *rows = json_array();
    for (guint i = 0; i < outcomes->len; i++) {
        const Outcome *outcome = outcomes->pdata[i];
        json_t *row = outcome_record(outcome);
        json_object_set_new(row, "kind", json_string(validate_kind_name(outcome->kind)));
        json_object_set_new(row, "error_frac", json_number(outcome_error_frac(outcome)));
        json_array_append_new(rows, row);
    }
    return rows;
}

static void json_write_outcomes(const GPtrArray *outcomes, FILE *out)
{
    g_autoptr(json_t) object = json_object();
    json_t *groups = json_array();
    json_object_set_new(object, "schema", json_string("zerosim-validation/1"));
    for (int i = 0; i < validate_n_classes; i++)
        for (int by = 0; by < N_GROUPINGS; by++) {
            g_autoptr(GPtrArray) computed =
                summary_compute(outcomes, &validate_classes[i], (Grouping)by);
            for (guint g = 0; g < computed->len; g++)
                json_array_append_new(
                    groups, json_group(&validate_classes[i], (Grouping)by, computed->pdata[g]));
        }
    json_object_set_new(object, "errors", groups);
    json_object_set_new(object, "rows", json_rows(outcomes));
    json_dumpf(object, out, JSON_COMPACT | JSON_REAL_PRECISION(10));
    fputc('\n', out);
}

/* ---- formats ---- */

static const ValidateFormat formats[] = {
    {"table", table_write_outcomes},
    {"csv", csv_write_outcomes},
    {"json", json_write_outcomes},
};

const ValidateFormat *validate_format(const char *name, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    g_autofree char *quoted = error_quote(name);
    g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                "--format: must be table, csv or json, not %s", quoted);
    return NULL;
}
