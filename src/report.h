/* SPDX-License-Identifier: MIT */
/* Results as a person or a program reads them: one file a format behind one table. */
#pragma once

#include "metrics.h"

#include <stdio.h>

G_BEGIN_DECLS

typedef struct {
    const char *name; /* "json" */
    /* `results` holds Result *; compare: several of one comparison, in order. `table` names an
     * array of the result for CSV rows; NULL: one row a result. */
    void (*write)(const GPtrArray *results, gboolean compare, const char *table, FILE *out);
} ReportFormat;

extern const ReportFormat report_formats[];

/* NULL and ERROR_USAGE naming the formats when there is none of that name. */
const ReportFormat *report_format(const char *name, GError **error);

/* Whether the format can write that array of a result; NULL is always right. */
gboolean report_table_check(const ReportFormat *format, const char *table, GError **error);

/* The result as a JSON object of schema zerosim-result/1. */
json_t *report_json_object(const Result *result);

/* A value on one line, numbers as the formats write them. */
void report_json_line_write(const json_t *value, FILE *out);

/* Objects of that schema (json_t *) as CSV: a row each, columns named by their paths. */
void report_csv_objects_write(const GPtrArray *objects, FILE *out);

G_END_DECLS
