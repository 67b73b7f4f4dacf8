/* SPDX-License-Identifier: MIT */
/* One table and its notes in two markups, which differ in how they escape, begin a row, part
 * its cells and end it. */
#include "report_markdown.h"

#include <string.h>

typedef struct {
    const char *row_begin, *cell_gap, *row_end;
    const char *item; /* begins a note */
    void (*write_text)(const char *text, FILE *out);
} Markup;

static void write_markdown_text(const char *text, FILE *out)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (strchr("|\\`*_<>[]", *c) != NULL)
            fputc('\\', out);
        fputc(g_ascii_iscntrl(*c) ? ' ' : *c, out);
    }
}

static void write_latex_text(const char *text, FILE *out)
{
    static const struct {
        char character;
        const char *latex;
    } escapes[] = {
        {'\\', "\\textbackslash{}"}, {'~', "\\textasciitilde{}"}, {'^', "\\textasciicircum{}"}};
    for (const char *c = text; *c != '\0'; c++) {
        gsize e = 0;
        while (e < G_N_ELEMENTS(escapes) && escapes[e].character != *c)
            e++;
        if (e < G_N_ELEMENTS(escapes)) {
            fputs(escapes[e].latex, out);
            continue;
        }
        if (strchr("#$%&_{}", *c) != NULL)
            fputc('\\', out);
        fputc(g_ascii_iscntrl(*c) ? ' ' : *c, out);
    }
}

static const Markup markdown = {"| ", " | ", " |\n", "- ", write_markdown_text};
static const Markup latex = {"  ", " & ", " \\\\\n", "\n", write_latex_text};

static void write_header(const Markup *markup, const ResultsTable *table, FILE *out)
{
    fputs(markup->row_begin, out);
    for (guint c = 0; c < table->columns->len; c++) {
        const ResultsColumn *column = &g_array_index(table->columns, ResultsColumn, c);
        g_autofree char *head = *column->unit == '\0'
                                    ? g_strdup(column->head)
                                    : g_strdup_printf("%s (%s)", column->head, column->unit);
        fputs(c > 0 ? markup->cell_gap : "", out);
        markup->write_text(head, out);
    }
    fputs(markup->row_end, out);
}

static void write_rows(const Markup *markup, const ResultsTable *table, FILE *out)
{
    for (guint r = 0; r < table->rows->len; r++) {
        fputs(markup->row_begin, out);
        for (guint c = 0; c < table->columns->len; c++) {
            fputs(c > 0 ? markup->cell_gap : "", out);
            markup->write_text(results_table_cell(table, r, c), out);
        }
        fputs(markup->row_end, out);
    }
}

/* Takes the list. */
static void write_notes(const Markup *markup, const char *prefix, GPtrArray *notes, FILE *out)
{
    for (guint i = 0; i < notes->len; i++) {
        fputs(markup->item, out);
        markup->write_text(prefix, out);
        markup->write_text(notes->pdata[i], out);
        fputc('\n', out);
    }
    g_ptr_array_unref(notes);
}

static void write_all_notes(const Markup *markup, const ResultsTable *table,
                            const ResultsIn *in, FILE *out)
{
    if (*table->common != '\0') {
        fprintf(out, "%sAll: ", markup->item);
        markup->write_text(table->common, out);
        fputs(".\n", out);
    }
    write_notes(markup, "", results_table_accuracy(in), out);
    write_notes(markup, "Computed by ", results_table_versions(in), out);
    write_notes(markup, "Warning: ", results_table_warnings(in), out);
}

static void write_alignment(const ResultsTable *table, const char *text, const char *number,
                            FILE *out)
{
    for (guint c = 0; c < table->columns->len; c++)
        fputs(g_array_index(table->columns, ResultsColumn, c).is_number ? number : text, out);
}

void report_markdown_write(const ResultsIn *in, FILE *out)
{
    g_autoptr(ResultsTable) table = results_table_new(in);
    write_header(&markdown, table, out);
    fputc('|', out);
    write_alignment(table, " --- |", " ---: |", out);
    fputc('\n', out);
    write_rows(&markdown, table, out);
    fputc('\n', out);
    write_all_notes(&markdown, table, in, out);
}

void report_latex_write(const ResultsIn *in, FILE *out)
{
    g_autoptr(ResultsTable) table = results_table_new(in);
    fputs("\\begin{tabular}{", out);
    write_alignment(table, "l", "r", out);
    fputs("}\n  \\hline\n", out);
    write_header(&latex, table, out);
    fputs("  \\hline\n", out);
    write_rows(&latex, table, out);
    fputs("  \\hline\n\\end{tabular}\n", out);
    write_all_notes(&latex, table, in, out);
}
