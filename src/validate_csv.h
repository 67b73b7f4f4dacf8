/* SPDX-License-Identifier: MIT */
/* A CSV file read whole, its cells found by the name of their column. Quoting is libcsv's
 * (RFC 4180). Knows nothing of what the columns mean. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define CSV_TABLE_MAX_BYTES (64 * 1024 * 1024)

typedef struct {
    char *file;
    GPtrArray *columns; /* char *, of the header */
    GPtrArray *rows;    /* CsvRow * */
} CsvTable;

typedef struct {
    const CsvTable *table;
    int line; /* where the row begins; the header is line 1 */
    GPtrArray *cells;
} CsvRow;

/* Errors: unreadable, no text, no header, a column that is there twice, a row with more cells
 * than the header has. Empty lines are skipped; missing cells at a row's end are empty. */
CsvTable *csv_table_load(const char *file, GError **error);
void csv_table_free(CsvTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CsvTable, csv_table_free)

gboolean csv_table_has(const CsvTable *table, const char *column);

/* The cell's text without the white space around it; "" when it is empty or the file has no
 * such column. */
const char *csv_row_text(const CsvRow *row, const char *column);

/* Where `word`, in lower case, stands in the text, whose case doesn't matter; NULL: nowhere. */
const char *csv_text_find(const char *text, const char *word);

/* Whether the text says nothing: "", "-", "?", "n/a", "unknown", ... */
gboolean csv_text_unsaid(const char *text);

/* A cell that says nothing leaves `value` as it is and succeeds. The error names file, line and
 * column. */
gboolean csv_row_double(const CsvRow *row, const char *column, double minimum, double maximum,
                        double *value, GError **error);
gboolean csv_row_int(const CsvRow *row, const char *column, gint64 minimum, gint64 maximum,
                     gint64 *value, GError **error);

G_END_DECLS
