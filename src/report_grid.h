/* SPDX-License-Identifier: MIT */
/* A table of text cells in aligned columns: the first one to the left, the others to the
 * right. */
#pragma once

#include <glib.h>
#include <stdio.h>

G_BEGIN_DECLS

typedef struct {
    int n_columns;
    int n_header_rows;
    GPtrArray *cells;  /* char *, row by row */
    const char *alarm; /* cells of this text stand out on a terminal; NULL: none */
} ReportGrid;

ReportGrid *report_grid_new(int n_columns, int n_header_rows);
void report_grid_free(ReportGrid *grid);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ReportGrid, report_grid_free)

/* The next cell, left to right and top to bottom, in printf's format. */
void report_grid_add(ReportGrid *grid, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Prints the rows with `indent` blanks in front, a rule below the header. */
void report_grid_print(const ReportGrid *grid, int indent, FILE *out);

G_END_DECLS
