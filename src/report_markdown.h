/* SPDX-License-Identifier: MIT */
/* The table of results for papers and pages: Markdown and LaTeX. */
#pragma once

#include "results_table.h"

#include <stdio.h>

G_BEGIN_DECLS

void report_markdown_write(const ResultsIn *in, FILE *out);
/* Needs no package: a tabular, and the notes as paragraphs. */
void report_latex_write(const ResultsIn *in, FILE *out);

G_END_DECLS
