/* SPDX-License-Identifier: MIT */
/* What every page begins and ends with, and how its text is written; private to report_html*.c.
 */
#pragma once

#include "results_in.h"

#include <stdio.h>

G_BEGIN_DECLS

/* Up to the start of the content: style for screens, light and dark, and for paper. */
extern const char report_html_head[];
/* From the content's end: the script that sorts tables. */
extern const char report_html_foot[];

/* Escaped. */
void report_html_text(FILE *out, const char *text);
void report_html_element(FILE *out, const char *name, const char *text);

/* The section on explanations (report_html_explain.c); nothing when no result has one. */
void report_html_explain(FILE *out, const ResultsIn *in);

G_END_DECLS
