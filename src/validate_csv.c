/* SPDX-License-Identifier: MIT */
/* Reading CSV files with libcsv, which does the quoting; here are columns by name, and messages
 * that name the line. */
#include "validate_csv.h"

#include "error.h"
#include "json_in.h"

#include <csv.h>
#include <math.h>
#include <string.h>

/* A file being read. */
typedef struct {
    CsvTable *table;
    GPtrArray *cells; /* of the row so far */
    const char *text; /* whole file */
    gsize offset;     /* parsed so far */
    int line;         /* of the row so far */
    int too_long;     /* line of the first row with too many cells; 0: none */
} Reader;

static void csv_row_free(gpointer data)
{
    CsvRow *row = data;
    g_ptr_array_unref(row->cells);
    g_free(row);
}

void csv_table_free(CsvTable *table)
{
    if (table == NULL)
        return;
    g_ptr_array_unref(table->columns);
    g_ptr_array_unref(table->rows);
    g_free(table->file);
    g_free(table);
}

static void cell_end(void *text, size_t length, void *data)
{
    Reader *reader = data;
    g_ptr_array_add(reader->cells, g_strstrip(g_strndup(text, length)));
}

static void row_end(int terminator, void *data)
{
    Reader *reader = data;
    CsvTable *table = reader->table;
    (void)terminator;
    if (table->columns->len == 0) {
        g_ptr_array_unref(table->columns);
        table->columns = g_steal_pointer(&reader->cells);
    } else {
        CsvRow *row = g_new0(CsvRow, 1);
        *row = (CsvRow){table, reader->line, g_steal_pointer(&reader->cells)};
        g_ptr_array_add(table->rows, row);
        if (row->cells->len > table->columns->len && reader->too_long == 0)
            reader->too_long = row->line;
    }
    reader->cells = g_ptr_array_new_with_free_func(g_free);
}

/* One line a call, so that each row knows where it begins. */
static gboolean parse(Reader *reader, gsize length, GError **error)
{
    struct csv_parser parser;
    int line = 1;
    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL) != 0)
        g_error("csv_init failed");
    gboolean parsed = TRUE;
    while (parsed && reader->offset < length) {
        const char *start = reader->text + reader->offset;
        const char *newline = memchr(start, '\n', length - reader->offset);
        gsize n = newline == NULL ? length - reader->offset : (gsize)(newline - start) + 1;
        if (parser.pstate == 0 && reader->cells->len == 0)
            reader->line = line;
        parsed = csv_parse(&parser, start, n, cell_end, row_end, reader) == n;
        reader->offset += n;
        line++;
    }
    parsed = parsed && csv_fini(&parser, cell_end, row_end, reader) == 0;
    csv_free(&parser);
    if (!parsed)
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s:%d: a quote that is not closed, or stands inside a cell",
                    reader->table->file, reader->line);
    return parsed;
}

static gboolean check_header(const CsvTable *table, GError **error)
{
    if (table->columns->len == 0) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: no header line", table->file);
        return FALSE;
    }
    for (guint i = 0; i < table->columns->len; i++)
        for (guint j = 0; j < i; j++)
            if (strcmp(table->columns->pdata[i], table->columns->pdata[j]) == 0) {
                g_autofree char *quoted = error_quote(table->columns->pdata[i]);
                g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s:1: column %s is there twice",
                            table->file, quoted);
                return FALSE;
            }
    return TRUE;
}

CsvTable *csv_table_load(const char *file, GError **error)
{
    gsize length;
    g_autofree char *text = json_in_read_text(file, CSV_TABLE_MAX_BYTES, &length, error);
    if (text == NULL)
        return NULL;
    g_autoptr(CsvTable) table = g_new0(CsvTable, 1);
    table->file = g_strdup(file);
    table->columns = g_ptr_array_new_with_free_func(g_free);
    table->rows = g_ptr_array_new_with_free_func(csv_row_free);
    Reader reader = {table, g_ptr_array_new_with_free_func(g_free), text, 0, 1, 0};
    gboolean parsed = parse(&reader, length, error);
    g_ptr_array_unref(reader.cells);
    if (!parsed || !check_header(table, error))
        return NULL;
    if (reader.too_long > 0) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s:%d: more cells than the header has",
                    file, reader.too_long);
        return NULL;
    }
    return g_steal_pointer(&table);
}

static int column_index(const CsvTable *table, const char *column)
{
    for (guint i = 0; i < table->columns->len; i++)
        if (strcmp(table->columns->pdata[i], column) == 0)
            return (int)i;
    return -1;
}

gboolean csv_table_has(const CsvTable *table, const char *column)
{
    return column_index(table, column) >= 0;
}

const char *csv_row_text(const CsvRow *row, const char *column)
{
    const int index = column_index(row->table, column);
    return index < 0 || index >= (int)row->cells->len ? "" : row->cells->pdata[index];
}

const char *csv_text_find(const char *text, const char *word)
{
    const gsize length = strlen(word);
    for (; *text != '\0'; text++)
        if (g_ascii_strncasecmp(text, word, length) == 0)
            return text;
    return NULL;
}

/* Ways of not saying. */
static const char *const unsaid[] = {"-", "?", "n/a", "na", "nan", "unknown", NULL};

gboolean csv_text_unsaid(const char *text)
{
    g_autofree char *lower = g_ascii_strdown(text, -1);
    return *text == '\0' || g_strv_contains(unsaid, lower);
}

/* "1,048,576" without its commas; a comma elsewhere stays. */
static char *without_thousands(const char *text)
{
    const gboolean grouped =
        g_regex_match_simple("^[0-9]{1,3}(,[0-9]{3})+(\\.[0-9]*)?$", text, 0, 0);
    g_auto(GStrv) parts = g_strsplit(text, grouped ? "," : "\n", -1);
    return g_strjoinv("", parts);
}

gboolean csv_row_double(const CsvRow *row, const char *column, double minimum, double maximum,
                        double *value, GError **error)
{
    const char *text = csv_row_text(row, column);
    if (csv_text_unsaid(text))
        return TRUE;
    g_autofree char *plain = without_thousands(*text == '~' ? text + 1 : text);
    char *end;
    const double number = g_ascii_strtod(plain, &end);
    if (*plain != '\0' && *end == '\0' && isfinite(number) && number >= minimum &&
        number <= maximum) {
        *value = number;
        return TRUE;
    }
    g_autofree char *quoted = error_quote(text);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "%s:%d: %s must be a number from %g to %g, not %s", row->table->file, row->line,
                column, minimum, maximum, quoted);
    return FALSE;
}

gboolean csv_row_int(const CsvRow *row, const char *column, gint64 minimum, gint64 maximum,
                     gint64 *value, GError **error)
{
    double number = (double)*value;
    if (csv_text_unsaid(csv_row_text(row, column)))
        return TRUE;
    if (!csv_row_double(row, column, (double)minimum, (double)maximum, &number, error))
        return FALSE;
    if (number != floor(number)) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s:%d: %s must be whole, not %g",
                    row->table->file, row->line, column, number);
        return FALSE;
    }
    *value = (gint64)number;
    return TRUE;
}
