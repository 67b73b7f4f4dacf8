/* SPDX-License-Identifier: MIT */
/* The page's parts in their order. Its style and script are in report_html_parts.c. */
#include "report_html.h"

#include "error.h"
#include "report_html_parts.h"
#include "results_table.h"

#include <string.h>

typedef struct {
    FILE *out;
    int n_figures;
    GPtrArray *left_out; /* char *: why a figure isn't there */
} Page;

/* Several drawings share one page, so their identifiers get the figure's number. */
static char *number_identifiers(const char *svg, int number)
{
    static const char *const marks[] = {"id=\"", "id='", "href='#", "href=\"#", "url(#"};
    GString *text = g_string_new(svg);
    g_autofree char *prefix = g_strdup_printf("f%d-", number);
    for (gsize i = 0; i < G_N_ELEMENTS(marks); i++) {
        g_autofree char *numbered = g_strconcat(marks[i], prefix, NULL);
        g_string_replace(text, marks[i], numbered, 0);
    }
    return g_string_free(text, FALSE);
}

/* From gnuplot's file: what an HTML page may hold. */
static char *inline_svg(const char *file, int number, const char *title)
{
    const char *start = strstr(file, "<svg");
    g_autofree char *escaped = g_markup_escape_text(title, -1);
    g_autofree char *named = g_strdup_printf("<title>%s</title>", escaped);
    GString *text = g_string_new(start != NULL ? start : "");
    g_string_replace(text, "<title>Gnuplot</title>", named, 1);
    g_string_replace(text, "<svg", "<svg role=\"img\"", 1);
    g_autofree char *svg = g_string_free(text, FALSE);
    return number_identifiers(svg, number);
}

/* Whether it was drawn for two columns of a journal. */
static gboolean is_double(const char *svg)
{
    const char *box = strstr(svg, "viewBox=\"0 0 ");
    return box != NULL && g_ascii_strtod(box + strlen("viewBox=\"0 0 "), NULL) > 600;
}

static gboolean write_figure(Page *page, const Figure *figure, const ResultsIn *in,
                             GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *file = plot_svg(figure, in, &failure);
    if (file == NULL && !g_error_matches(failure, ZEROSIM_ERROR, ERROR_INPUT)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    if (file == NULL) {
        g_ptr_array_add(page->left_out, g_strdup(failure->message));
        return TRUE;
    }
    g_autofree char *svg = inline_svg(file, ++page->n_figures, figure->summary);
    fprintf(page->out, "<figure id=\"figure-%d\"%s>\n%s<figcaption>", page->n_figures,
            is_double(file) ? " class=\"double\"" : "", svg);
    report_html_text(page->out, figure->summary);
    fputs(".</figcaption>\n</figure>\n", page->out);
    return TRUE;
}

static void write_header_cells(FILE *out, const ResultsTable *table)
{
    fputs("<thead><tr>", out);
    for (guint c = 0; c < table->columns->len; c++) {
        const ResultsColumn *column = &g_array_index(table->columns, ResultsColumn, c);
        fprintf(out, "<th scope=\"col\"%s><button type=\"button\">",
                column->is_number ? " class=\"number\"" : "");
        report_html_text(out, column->head);
        if (*column->unit != '\0') {
            fputs(" <span class=\"unit\">[", out);
            report_html_text(out, column->unit);
            fputs("]</span>", out);
        }
        fputs("</button></th>", out);
    }
    fputs("</tr></thead>\n", out);
}

static void write_results_table(FILE *out, const ResultsIn *in)
{
    g_autoptr(ResultsTable) table = results_table_new(in);
    if (*table->common != '\0') {
        fputs("<p>All: ", out);
        report_html_text(out, table->common);
        fputs(".</p>\n", out);
    }
    fputs("<div class=\"wide\"><table class=\"sortable\">\n", out);
    write_header_cells(out, table);
    fputs("<tbody>\n", out);
    for (guint r = 0; r < table->rows->len; r++) {
        fprintf(out, "<tr%s>",
                results_in_fits(in->results->pdata[r]) ? "" : " class=\"too-big\"");
        for (guint c = 0; c < table->columns->len; c++) {
            gboolean is_number = g_array_index(table->columns, ResultsColumn, c).is_number;
            fputs(is_number ? "<td class=\"number\">" : "<td>", out);
            report_html_text(out, results_table_cell(table, r, c));
            fputs("</td>", out);
        }
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
}

/* Takes the list. */
static void write_list(FILE *out, GPtrArray *items)
{
    fputs("<ul>\n", out);
    for (guint i = 0; i < items->len; i++)
        report_html_element(out, "li", items->pdata[i]);
    fputs("</ul>\n", out);
    g_ptr_array_unref(items);
}

static void write_files(FILE *out, const ResultsIn *in)
{
    g_autoptr(GPtrArray) files = results_table_files(in);
    if (files->len == 0)
        return;
    fputs("<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">input</th>"
          "<th scope=\"col\">file</th><th scope=\"col\">SHA-256</th></tr></thead>\n<tbody>\n",
          out);
    for (guint i = 0; i < files->len; i++) {
        const ResultsFile *file = files->pdata[i];
        fputs("<tr><td>", out);
        report_html_text(out, file->role);
        fputs("</td><td>", out);
        report_html_text(out, file->name);
        fputs("</td><td class=\"checksum\">", out);
        report_html_text(out, file->sha256);
        fputs("</td></tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
}

/* The resolved experiment, for whoever wants to run it again. */
static void write_experiment(FILE *out, const json_t *result)
{
    const json_t *experiment = results_in_member(result, "inputs.experiment");
    char *text = experiment == NULL ? NULL : json_dumps(experiment, JSON_INDENT(2));
    if (text == NULL)
        return;
    fputs("<details><summary>The first result's experiment as resolved</summary>\n<pre>", out);
    report_html_text(out, text);
    fputs("</pre></details>\n", out);
    free(text);
}

static void write_results(Page *page, const ResultsIn *in)
{
    FILE *out = page->out;
    if (in->results->len == 0)
        return;
    report_html_element(out, "h2", "Results");
    fputs("<p>A click on a column's head sorts by it. Rows in italics don't fit in memory: "
          "they are what the step would take if they did.</p>\n",
          out);
    write_results_table(out, in);
}

static void write_background(Page *page, const ResultsIn *in)
{
    FILE *out = page->out;
    g_autoptr(GPtrArray) warnings = results_table_warnings(in);
    if (in->results->len == 0)
        return;
    report_html_element(out, "h2", "Accuracy");
    write_list(out, results_table_accuracy(in));
    if (warnings->len > 0) {
        report_html_element(out, "h2", "Warnings");
        write_list(out, g_ptr_array_ref(warnings));
    }
    report_html_element(out, "h2", "Inputs");
    write_files(out, in);
    write_experiment(out, in->results->pdata[0]);
    report_html_element(out, "h2", "Versions");
    write_list(out, results_table_versions(in));
}

/* "llama-2-7b on dgx-h100" */
static char *group_name(const json_t *result)
{
    g_autofree char *model = results_in_text(result, "inputs.experiment.model.config");
    g_autofree char *platform = results_in_text(result, "inputs.experiment.cluster.platform");
    if (g_str_has_suffix(model, ".json"))
        model[strlen(model) - strlen(".json")] = '\0';
    return *platform == '\0' ? g_strdup(model) : g_strdup_printf("%s on %s", model, platform);
}

/* Results by model and platform: name → ResultsIn *, in order of first appearance. */
static GPtrArray *group_results(const ResultsIn *in, GPtrArray *names)
{
    GPtrArray *groups = g_ptr_array_new_with_free_func((GDestroyNotify)results_in_free);
    for (guint i = 0; i < in->results->len; i++) {
        g_autofree char *name = group_name(in->results->pdata[i]);
        guint g = 0;
        while (g < names->len && strcmp(names->pdata[g], name) != 0)
            g++;
        if (g == names->len) {
            ResultsIn *group = g_new0(ResultsIn, 1);
            group->results = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
            group->origins = g_ptr_array_new_with_free_func(g_free);
            g_ptr_array_add(groups, group);
            g_ptr_array_add(names, g_steal_pointer(&name));
        }
        ResultsIn *group = groups->pdata[g];
        g_ptr_array_add(group->results, json_incref(in->results->pdata[i]));
        g_ptr_array_add(group->origins, g_strdup(in->origins->pdata[i]));
    }
    return groups;
}

static gboolean write_all_figures(Page *page, const ResultsIn *in, GError **error)
{
    fputs("<div class=\"figures\">\n", page->out);
    for (const Figure *figure = plot_figures; figure->name != NULL; figure++)
        if (!write_figure(page, figure, in, error))
            return FALSE;
    fputs("</div>\n", page->out);
    return TRUE;
}

/* All results in one set of figures, and with several models or platforms each by itself. */
static gboolean write_figures(Page *page, const ResultsIn *in, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) groups = group_results(in, names);
    report_html_element(page->out, "h2", "Figures");
    if (!write_all_figures(page, in, error))
        return FALSE;
    for (guint g = 0; groups->len > 1 && g < groups->len; g++) {
        report_html_element(page->out, "h3", names->pdata[g]);
        if (!write_all_figures(page, groups->pdata[g], error))
            return FALSE;
    }
    if (page->left_out->len == 0)
        return TRUE;
    fputs("<details><summary>Figures that these results don't allow</summary>\n", page->out);
    write_list(page->out, g_ptr_array_ref(page->left_out));
    fputs("</details>\n", page->out);
    return TRUE;
}

gboolean report_html_write(const ResultsIn *in, FILE *out, GError **error)
{
    g_autoptr(GPtrArray) left_out = g_ptr_array_new_with_free_func(g_free);
    Page page = {.out = out, .left_out = left_out};
    fputs(report_html_head, out);
    report_html_element(out, "h1", "Predicted training steps");
    write_results(&page, in);
    if (!write_figures(&page, in, error))
        return FALSE;
    report_html_explain(out, in);
    write_background(&page, in);
    fputs(report_html_foot, out);
    return TRUE;
}
