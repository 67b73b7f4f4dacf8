/* SPDX-License-Identifier: MIT */
/* What a person reads of a comparison: one aligned row a strategy, the best values marked, and
 * a sentence on why the winner wins. A single run's block is in report_table_run.c. */
#include "report_table.h"
#include "report_formats.h"
#include "report_grid.h"

#define GIB 0x1p30
#define GB 1e9

static double step_time(const Result *result)
{
    return result->step_time_s;
}

static double throughput(const Result *result)
{
    return result->tokens_per_s_per_gpu;
}

static double mfu_percent(const Result *result)
{
    return 100 * result->mfu_frac;
}

static double exposed(const Result *result)
{
    return result->time_split_s.exposed_comm;
}

static double exposed_percent(const Result *result)
{
    return 100 * result->time_split_s.exposed_comm / result->step_time_s;
}

static double sent(const Result *result)
{
    return result->sent_bytes_per_rank / GB;
}

static double peak(const Result *result)
{
    return (double)result->memory.peak_bytes / GIB;
}

static double reserved(const Result *result)
{
    return (double)result->memory.reserved_bytes / GIB;
}

typedef enum { BEST_NONE, BEST_LOWEST, BEST_HIGHEST } Best;

typedef struct {
    const char *head, *unit;
    const char *format;
    double (*value)(const Result *result);
    Best best;
} Column;

static const Column columns[] = {
    {"step time", "[s]", "%.4g", step_time, BEST_LOWEST},
    {"throughput", "[tokens/s/GPU]", "%.0f", throughput, BEST_HIGHEST},
    {"MFU", "[%]", "%.1f", mfu_percent, BEST_HIGHEST},
    {"exposed comm", "[s]", "%.4f", exposed, BEST_LOWEST},
    {"of step", "[%]", "%.1f", exposed_percent, BEST_NONE},
    {"sent", "[GB/rank]", "%.2f", sent, BEST_LOWEST},
    {"memory peak", "[GiB]", "%.1f", peak, BEST_LOWEST},
    {"reserved", "[GiB]", "%.1f", reserved, BEST_LOWEST},
};

/* What results of one comparison may have chosen for themselves; shown where they differ. */
typedef struct {
    const char *head;
    char *(*text)(const Result *result);
} Choice;

static char *micro_batch_text(const Result *result)
{
    return g_strdup_printf("%" G_GINT64_FORMAT, result->training.micro_batch);
}

static char *accumulation_text(const Result *result)
{
    return g_strdup_printf("%" G_GINT64_FORMAT, result->training.gradient_accumulation);
}

static char *global_batch_text(const Result *result)
{
    return g_strdup_printf("%" G_GINT64_FORMAT, result->training.global_batch);
}

static char *checkpointing_text(const Result *result)
{
    return g_strdup(checkpointing_name(result->training.checkpointing));
}

static const Choice choices[] = {
    {"micro-batch", micro_batch_text},
    {"global batch", global_batch_text},
    {"accumulation", accumulation_text},
    {"checkpointing", checkpointing_text},
};

static gboolean choice_differs(const Choice *choice, const GPtrArray *results)
{
    g_autofree char *first = choice->text(results->pdata[0]);
    for (guint i = 1; i < results->len; i++) {
        g_autofree char *text = choice->text(results->pdata[i]);
        if (!g_str_equal(text, first))
            return TRUE;
    }
    return FALSE;
}

/* Only a result that fits can be best; what prints alike is equally good. */
static gboolean is_best(const Column *column, const GPtrArray *results, const Result *result)
{
    double value = column->value(result);
    if (column->best == BEST_NONE || !result->memory.fits)
        return FALSE;
    for (guint i = 0; i < results->len; i++) {
        const Result *other = results->pdata[i];
        double other_value = column->value(other);
        gboolean better =
            column->best == BEST_LOWEST ? other_value < value : other_value > value;
        if (other->memory.fits && better)
            return FALSE;
    }
    return TRUE;
}

static void add_header(ReportGrid *grid, const gboolean *shown)
{
    report_grid_add(grid, "strategy");
    for (gsize c = 0; c < G_N_ELEMENTS(choices); c++)
        if (shown[c])
            report_grid_add(grid, "%s", choices[c].head);
    for (gsize c = 0; c < G_N_ELEMENTS(columns); c++)
        report_grid_add(grid, "%s ", columns[c].head);
    report_grid_add(grid, "fits");
    report_grid_add(grid, "%s", "");
    for (gsize c = 0; c < G_N_ELEMENTS(choices); c++)
        if (shown[c])
            report_grid_add(grid, "%s", "");
    for (gsize c = 0; c < G_N_ELEMENTS(columns); c++)
        report_grid_add(grid, "%s ", columns[c].unit);
    report_grid_add(grid, "%s", "");
}

static void add_result(ReportGrid *grid, const GPtrArray *results, const Result *result,
                       const gboolean *shown)
{
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    report_grid_add(grid, "%s", result->label);
    for (gsize c = 0; c < G_N_ELEMENTS(choices); c++) {
        g_autofree char *text = choices[c].text(result);
        if (shown[c])
            report_grid_add(grid, "%s", text);
    }
    for (gsize c = 0; c < G_N_ELEMENTS(columns); c++) {
        g_ascii_formatd(number, sizeof number, columns[c].format, columns[c].value(result));
        report_grid_add(grid, "%s%s", number,
                        is_best(&columns[c], results, result) ? "*" : " ");
    }
    report_grid_add(grid, "%s", result->memory.fits ? "yes" : "DOES NOT FIT");
}

static void print_rows(const GPtrArray *results, FILE *out)
{
    gboolean shown[G_N_ELEMENTS(choices)];
    int n_columns = 2 + (int)G_N_ELEMENTS(columns);
    for (gsize c = 0; c < G_N_ELEMENTS(choices); c++) {
        shown[c] = choice_differs(&choices[c], results);
        n_columns += shown[c];
    }
    g_autoptr(ReportGrid) grid = report_grid_new(n_columns, 2);
    grid->alarm = "DOES NOT FIT";
    add_header(grid, shown);
    for (guint i = 0; i < results->len; i++)
        add_result(grid, results, results->pdata[i], shown);
    report_grid_print(grid, 0, out);
}

static gboolean any_fits(const GPtrArray *results)
{
    return report_fastest(results, -1) >= 0;
}

/* Warnings of all results, each once. */
static void print_warnings(const GPtrArray *results, FILE *out)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < results->len; i++) {
        const GPtrArray *warnings = ((const Result *)results->pdata[i])->warnings;
        for (guint j = 0; j < warnings->len; j++)
            if (g_hash_table_add(seen, warnings->pdata[j]))
                fprintf(out, "warning: %s\n", (const char *)warnings->pdata[j]);
    }
}

/* Of the winner, or of the first where none fits. */
static void print_path(const GPtrArray *results, FILE *out)
{
    int fastest = report_fastest(results, -1);
    const Result *result = results->pdata[MAX(fastest, 0)];
    if (result->path_summary != NULL)
        fprintf(out, "%s's critical path: %s.\n", result->label, result->path_summary);
}

static void write_comparison(const GPtrArray *results, FILE *out)
{
    const Result *first = results->pdata[0];
    report_table_title(results, out);
    fputc('\n', out);
    print_rows(results, out);
    fprintf(out, "%sA GPU holds %.1f GiB.\n\n",
            any_fits(results) ? "* best of those that fit. " : "",
            (double)first->memory.capacity_bytes / GIB);
    g_autofree char *why = report_why(results);
    fprintf(out, "%s\n", why);
    print_path(results, out);
    print_warnings(results, out);
}

void report_table_write(const GPtrArray *results, gboolean compare, const char *table,
                        FILE *out)
{
    (void)table;
    if (compare) {
        write_comparison(results, out);
        return;
    }
    report_table_run(results->pdata[0], out);
    print_warnings(results, out);
}
