/* SPDX-License-Identifier: MIT */
/* The columns of a page's table, and the sentences beside it: accuracy, versions, files. */
#include "results_table.h"

#include <math.h>
#include <string.h>

#define EXPERIMENT "inputs.experiment."

typedef struct {
    ResultsColumn column;
    const char *path;
    const char *format; /* of a number; NULL: as it is written */
    double scale;
} ColumnRow;

static const ColumnRow column_rows[] = {
    {{"model", "", FALSE, TRUE}, EXPERIMENT "model.config", NULL, 0},
    {{"platform", "", FALSE, TRUE}, EXPERIMENT "cluster.platform", NULL, 0},
    {{"framework", "", FALSE, TRUE}, EXPERIMENT "training.framework", NULL, 0},
    {{"strategy", "", FALSE, FALSE}, EXPERIMENT "training.strategy", NULL, 0},
    {{"GPUs", "", TRUE, TRUE}, "n_ranks", "%.0f", 1},
    {{"micro-batch", "", TRUE, TRUE}, EXPERIMENT "training.micro_batch", "%.0f", 1},
    {{"accumulation", "", TRUE, TRUE}, EXPERIMENT "training.gradient_accumulation", "%.0f", 1},
    {{"checkpointing", "", FALSE, TRUE},
     EXPERIMENT "training.activation_checkpointing",
     NULL,
     0},
    {{"step time", "s", TRUE, FALSE}, "step_time_s", "%.4g", 1},
    {{"throughput", "tokens/s/GPU", TRUE, FALSE}, "tokens_per_s_per_gpu", "%.0f", 1},
    {{"MFU", "%", TRUE, FALSE}, "mfu_frac", "%.1f", 100},
    {{"exposed comm.", "s", TRUE, FALSE}, "time_split_s.exposed_comm", "%.4f", 1},
    {{"sent", "GB/rank", TRUE, FALSE}, "comm.sent_bytes_per_rank", "%.2f", 1e-9},
    {{"memory peak", "GiB", TRUE, FALSE}, "memory.peak_bytes", "%.1f", 1 / 0x1p30},
    {{"capacity", "GiB", TRUE, TRUE}, "memory.capacity_bytes", "%.1f", 1 / 0x1p30},
    {{"fits", "", FALSE, FALSE}, "memory.fits", NULL, 0},
    {{"cost", "USD/million tokens", TRUE, FALSE}, "cost.usd_per_million_tokens", "%.4g", 1},
};

void results_table_free(ResultsTable *table)
{
    if (table == NULL)
        return;
    g_array_unref(table->columns);
    g_ptr_array_unref(table->rows);
    g_free(table->common);
    g_free(table);
}

const char *results_table_cell(const ResultsTable *table, guint row, guint column)
{
    return ((const GPtrArray *)table->rows->pdata[row])->pdata[column];
}

static char *cell_text(const json_t *result, const ColumnRow *row)
{
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    if (row->format != NULL) {
        double value = results_in_number(result, row->path);
        if (!isfinite(value))
            return g_strdup("");
        return g_strdup(
            g_ascii_formatd(number, sizeof number, row->format, value * row->scale));
    }
    const json_t *member = results_in_member(result, row->path);
    if (json_is_boolean(member))
        return g_strdup(json_is_true(member) ? "yes" : "no");
    char *text = results_in_text(result, row->path);
    if (g_str_has_suffix(text, ".json"))
        text[strlen(text) - strlen(".json")] = '\0';
    return text;
}

typedef enum { COLUMN_EMPTY, COLUMN_EQUAL, COLUMN_DIFFERS } ColumnContent;

static ColumnContent content_of(const ResultsIn *in, const ColumnRow *row)
{
    g_autofree char *first =
        in->results->len == 0 ? g_strdup("") : cell_text(in->results->pdata[0], row);
    for (guint i = 1; i < in->results->len; i++) {
        g_autofree char *text = cell_text(in->results->pdata[i], row);
        if (!g_str_equal(text, first))
            return COLUMN_DIFFERS;
    }
    return *first == '\0' ? COLUMN_EMPTY : COLUMN_EQUAL;
}

static void append_common(GString *common, const ColumnRow *row, const json_t *result)
{
    g_autofree char *text = cell_text(result, row);
    g_string_append_printf(common, "%s%s %s%s%s", common->len > 0 ? ", " : "", row->column.head,
                           text, *row->column.unit ? " " : "", row->column.unit);
}

ResultsTable *results_table_new(const ResultsIn *in)
{
    ResultsTable *table = g_new0(ResultsTable, 1);
    GString *common = g_string_new(NULL);
    table->columns = g_array_new(FALSE, FALSE, sizeof(ResultsColumn));
    table->rows = g_ptr_array_new_with_free_func((GDestroyNotify)g_ptr_array_unref);
    for (guint i = 0; i < in->results->len; i++)
        g_ptr_array_add(table->rows, g_ptr_array_new_with_free_func(g_free));
    for (gsize c = 0; c < G_N_ELEMENTS(column_rows); c++) {
        const ColumnRow *row = &column_rows[c];
        ColumnContent content = content_of(in, row);
        if (content == COLUMN_EMPTY)
            continue;
        if (content == COLUMN_EQUAL && row->column.is_input && in->results->len > 1) {
            append_common(common, row, in->results->pdata[0]);
            continue;
        }
        g_array_append_val(table->columns, row->column);
        for (guint i = 0; i < in->results->len; i++)
            g_ptr_array_add(table->rows->pdata[i], cell_text(in->results->pdata[i], row));
    }
    table->common = g_string_free(common, FALSE);
    return table;
}

/* "12 %", or "10 to 35 %" where results differ; NULL: no result has it. */
static char *percent_range(const ResultsIn *in, const char *path)
{
    double low = INFINITY, high = -INFINITY;
    for (guint i = 0; i < in->results->len; i++) {
        double value = 100 * results_in_number(in->results->pdata[i], path);
        if (!isfinite(value))
            continue;
        low = MIN(low, value);
        high = MAX(high, value);
    }
    if (high < low)
        return NULL;
    if (high - low < 0.5)
        return g_strdup_printf("%.0f %%", high);
    return g_strdup_printf("%.0f to %.0f %%", low, high);
}

typedef struct {
    const char *path, *text;
} Share;

/* "Of the kernels' time 3 % comes from measurements, 97 % from …" */
static char *shares_sentence(const ResultsIn *in, const char *begin, const Share *shares,
                             gsize n_shares)
{
    g_autoptr(GString) sentence = g_string_new(begin);
    gboolean any = FALSE;
    for (gsize i = 0; i < n_shares; i++) {
        g_autofree char *range = percent_range(in, shares[i].path);
        if (range == NULL || strcmp(range, "0 %") == 0)
            continue;
        g_string_append_printf(sentence, "%s %s %s", any ? "," : "", range, shares[i].text);
        any = TRUE;
    }
    g_string_append_c(sentence, '.');
    return any ? g_string_free(g_steal_pointer(&sentence), FALSE) : NULL;
}

GPtrArray *results_table_accuracy(const ResultsIn *in)
{
    static const Share kernels[] = {
        {"confidence.kernels.measured_frac", "is measured at the same shape"},
        {"confidence.kernels.interpolated_frac", "is interpolated between measured shapes"},
        {"confidence.kernels.derived_frac", "is measured on another GPU and scaled"},
        {"confidence.kernels.roofline_frac", "follows from data sheets (roofline)"},
    };
    static const Share comm[] = {
        {"confidence.comm.fitted_frac", "rests on fits to measurements"},
        {"confidence.comm.modelled_frac", "rests on NCCL's own model alone"},
    };
    GPtrArray *sentences = g_ptr_array_new_with_free_func(g_free);
    char *text = shares_sentence(in, "Of the kernels' time", kernels, G_N_ELEMENTS(kernels));
    if (text != NULL)
        g_ptr_array_add(sentences, text);
    text = shares_sentence(in, "Of the collectives' time", comm, G_N_ELEMENTS(comm));
    if (text != NULL)
        g_ptr_array_add(sentences, text);
    g_autofree char *p50 = percent_range(in, "confidence.expected_error_frac.p50");
    g_autofree char *p90 = percent_range(in, "confidence.expected_error_frac.p90");
    if (p50 != NULL && p90 != NULL)
        text = g_strdup_printf("Where published measurements exist for setups like these, half "
                               "of the predicted step times were off by at most %s, nine in "
                               "ten by at most %s.",
                               p50, p90);
    else
        text = g_strdup("No error is stated: no published measurements of setups like these "
                        "were compared.");
    g_ptr_array_add(sentences, text);
    return sentences;
}

/* Adds what isn't there yet; takes the text. */
static void add_once(GPtrArray *list, char *text)
{
    for (guint i = 0; i < list->len; i++)
        if (strcmp(list->pdata[i], text) == 0) {
            g_free(text);
            return;
        }
    g_ptr_array_add(list, text);
}

GPtrArray *results_table_versions(const ResultsIn *in)
{
    GPtrArray *versions = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < in->results->len; i++) {
        const json_t *result = in->results->pdata[i];
        g_autofree char *zerosim = results_in_text(result, "inputs.versions.zerosim");
        g_autofree char *simgrid = results_in_text(result, "inputs.versions.simgrid");
        add_once(versions, g_strdup_printf("zerosim %s, SimGrid %s", zerosim, simgrid));
    }
    return versions;
}

GPtrArray *results_table_warnings(const ResultsIn *in)
{
    GPtrArray *warnings = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < in->results->len; i++) {
        const json_t *list = results_in_member(in->results->pdata[i], "warnings");
        if (json_is_string(list) && *json_string_value(list) != '\0')
            add_once(warnings, g_strdup(json_string_value(list)));
        for (gsize w = 0; w < json_array_size(list); w++) {
            const char *text = json_string_value(json_array_get(list, w));
            if (text != NULL)
                add_once(warnings, g_strdup(text));
        }
    }
    return warnings;
}

static void file_free(gpointer data)
{
    ResultsFile *file = data;
    g_free(file->role);
    g_free(file->name);
    g_free(file->sha256);
    g_free(file);
}

static void add_file(GPtrArray *files, const char *role, const json_t *object)
{
    const char *name = json_string_value(json_object_get(object, "name"));
    const char *sha256 = json_string_value(json_object_get(object, "sha256"));
    if (name == NULL || sha256 == NULL)
        return;
    for (guint i = 0; i < files->len; i++) {
        const ResultsFile *known = files->pdata[i];
        if (strcmp(known->sha256, sha256) == 0 && strcmp(known->name, name) == 0)
            return;
    }
    ResultsFile *file = g_new0(ResultsFile, 1);
    *file =
        (ResultsFile){g_strdelimit(g_strdup(role), "_", ' '), g_strdup(name), g_strdup(sha256)};
    g_ptr_array_add(files, file);
}

GPtrArray *results_table_files(const ResultsIn *in)
{
    GPtrArray *files = g_ptr_array_new_with_free_func(file_free);
    for (guint i = 0; i < in->results->len; i++) {
        json_t *here = (json_t *)results_in_member(in->results->pdata[i], "inputs.files");
        const char *role;
        json_t *object;
        json_object_foreach(here, role, object) add_file(files, role, object);
    }
    return files;
}
