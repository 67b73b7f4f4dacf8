/* SPDX-License-Identifier: MIT */
/* The formats' writers and what they share; private to report*.c. */
#pragma once

#include "report.h"

G_BEGIN_DECLS

void report_table_write(const GPtrArray *results, gboolean compare, const char *table,
                        FILE *out);
void report_json_write(const GPtrArray *results, gboolean compare, const char *table,
                       FILE *out);
void report_jsonl_write(const GPtrArray *results, gboolean compare, const char *table,
                        FILE *out);
void report_csv_write(const GPtrArray *results, gboolean compare, const char *table, FILE *out);

/* Shortest decimal that reads back as the same double, always with a point or an exponent. */
char *report_real_text(double value);

/* One sentence on why the fastest result that fits is faster than the next, or that none or
 * only one fits. */
char *report_why(const GPtrArray *results);

/* Index of the fastest result that fits, -1: none does; `except` is left out (-1: nothing). */
int report_fastest(const GPtrArray *results, int except);

G_END_DECLS
