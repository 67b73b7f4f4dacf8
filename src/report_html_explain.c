/* SPDX-License-Identifier: MIT */
/* The page's section on why steps take as long as they do, of results of `run --explain`. */
#include "report_html_parts.h"

#include <math.h>

static void write_sentence(FILE *out, const char *what, const char *text)
{
    g_autofree char *sentence = g_strdup_printf("%s%s", what, text);
    if (*text != '\0')
        report_html_element(out, "li", sentence);
}

/* A table of CSV has no arrays: no contributors then. */
static void write_contributors(FILE *out, const json_t *result)
{
    const json_t *contributors = results_in_member(result, "explain.contributors");
    if (json_array_size(contributors) == 0)
        return;
    fputs("<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">largest parts of the "
          "critical path</th><th scope=\"col\" class=\"number\">time "
          "<span class=\"unit\">[s]</span></th><th scope=\"col\" class=\"number\">of the step "
          "<span class=\"unit\">[%]</span></th></tr></thead>\n<tbody>\n",
          out);
    for (gsize i = 0; i < json_array_size(contributors); i++) {
        const json_t *one = json_array_get(contributors, i);
        g_autofree char *what = results_in_text(one, "what");
        fputs("<tr><td>", out);
        report_html_text(out, what);
        fprintf(out, "</td><td class=\"number\">%.4f</td><td class=\"number\">%.1f</td></tr>\n",
                results_in_number(one, "time_s"), 100 * results_in_number(one, "step_frac"));
    }
    fputs("</tbody></table></div>\n", out);
}

static void write_bandwidth(FILE *out, const json_t *result)
{
    g_autofree char *answer = results_in_text(result, "explain.bandwidth.text");
    double free_step_s = results_in_number(result, "explain.bandwidth.free_step_s");
    if (isnan(free_step_s))
        return;
    g_autofree char *what = g_strdup_printf(
        "Without communication the step takes %.4g s. Bandwidth between nodes for a step "
        "within %g %% of that: ",
        free_step_s, 100 * results_in_number(result, "explain.bandwidth.within_frac"));
    write_sentence(out, what, answer);
}

static void write_one(FILE *out, const json_t *result)
{
    g_autofree char *model = results_in_text(result, "inputs.experiment.model.config");
    g_autofree char *strategy = results_in_text(result, "inputs.experiment.training.strategy");
    g_autofree char *bottleneck = results_in_text(result, "explain.bottleneck.text");
    g_autofree char *title = g_strdup_printf("%s, %s, %.0f GPUs: step %.4g s", model, strategy,
                                             results_in_number(result, "n_ranks"),
                                             results_in_number(result, "step_time_s"));
    report_html_element(out, "h3", title);
    write_contributors(out, result);
    fputs("<ul>\n", out);
    write_sentence(out, "Bottleneck: ", bottleneck);
    write_bandwidth(out, result);
    fputs("</ul>\n", out);
}

void report_html_explain(FILE *out, const ResultsIn *in)
{
    gboolean any = FALSE;
    for (guint i = 0; i < in->results->len; i++) {
        const json_t *result = in->results->pdata[i];
        if (results_in_member(result, "explain") == NULL)
            continue;
        if (!any)
            report_html_element(out, "h2", "Why steps take as long as they do");
        any = TRUE;
        write_one(out, result);
    }
}
