/* SPDX-License-Identifier: MIT */
/* The parts of the table format; private to report_table*.c. */
#pragma once

#include "metrics.h"

#include <stdio.h>

G_BEGIN_DECLS

/* Model, cluster, framework and batch, which all results share or, where they chose for
 * themselves, the global batch alone. */
void report_table_title(const GPtrArray *results, FILE *out);

/* One result as a short block. */
void report_table_run(const Result *result, FILE *out);

G_END_DECLS
