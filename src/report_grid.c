/* SPDX-License-Identifier: MIT */
/* Aligned columns of text; widths are in characters, not bytes. */
#include "report_grid.h"

#include "report_colour.h"

#define GAP "  "

ReportGrid *report_grid_new(int n_columns, int n_header_rows)
{
    ReportGrid *grid = g_new0(ReportGrid, 1);
    grid->n_columns = n_columns;
    grid->n_header_rows = n_header_rows;
    grid->cells = g_ptr_array_new_with_free_func(g_free);
    return grid;
}

void report_grid_free(ReportGrid *grid)
{
    if (grid == NULL)
        return;
    g_ptr_array_unref(grid->cells);
    g_free(grid);
}

void report_grid_add(ReportGrid *grid, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_ptr_array_add(grid->cells, g_strdup_vprintf(format, arguments));
    va_end(arguments);
}

static int *column_widths(const ReportGrid *grid)
{
    int *widths = g_new0(int, grid->n_columns);
    for (guint i = 0; i < grid->cells->len; i++) {
        int column = (int)i % grid->n_columns;
        widths[column] = MAX(widths[column], (int)g_utf8_strlen(grid->cells->pdata[i], -1));
    }
    return widths;
}

/* Blanks at the end of a row are left out. */
static void print_row(const ReportGrid *grid, const int *widths, int row, int indent, FILE *out)
{
    g_autoptr(GString) line = g_string_new(NULL);
    g_string_append_printf(line, "%*s", indent, "");
    for (int column = 0; column < grid->n_columns; column++) {
        const char *cell = grid->cells->pdata[row * grid->n_columns + column];
        int blanks = widths[column] - (int)g_utf8_strlen(cell, -1);
        gboolean alarms = g_strcmp0(cell, grid->alarm) == 0;
        g_autofree char *shown = alarms ? report_colour_alarmed(out, cell) : g_strdup(cell);
        if (column == 0)
            g_string_append_printf(line, "%s%*s", shown, blanks, "");
        else
            g_string_append_printf(line, GAP "%*s%s", blanks, "", shown);
    }
    fprintf(out, "%s\n", g_strchomp(line->str));
}

static void print_rule(const ReportGrid *grid, const int *widths, int indent, FILE *out)
{
    fprintf(out, "%*s", indent, "");
    for (int column = 0; column < grid->n_columns; column++) {
        g_autofree char *dashes = g_strnfill((gsize)widths[column], '-');
        fprintf(out, "%s%s", column > 0 ? GAP : "", dashes);
    }
    fputc('\n', out);
}

void report_grid_print(const ReportGrid *grid, int indent, FILE *out)
{
    g_autofree int *widths = column_widths(grid);
    int n_rows = (int)grid->cells->len / grid->n_columns;
    g_assert(n_rows * grid->n_columns == (int)grid->cells->len);
    for (int row = 0; row < n_rows; row++) {
        if (row > 0 && row == grid->n_header_rows)
            print_rule(grid, widths, indent, out);
        print_row(grid, widths, row, indent, out);
    }
}
