/* SPDX-License-Identifier: MIT */
/* Reads back what zerosim writes: results (JSON, JSON Lines, CSV), a trace, memory over time, a
 * validation. Files are recognised by what is in them. */
#pragma once

#include "json_in.h"
#include "validate_csv.h"

G_BEGIN_DECLS

typedef struct {
    GPtrArray *results; /* json_t * of schema zerosim-result/1 */
    GPtrArray *origins; /* char *: "FILE: result 3" */
    json_t *trace;      /* NULL: none */
    char *trace_file;
    CsvTable *memory, *validation; /* NULL: none */
} ResultsIn;

/* Errors: nothing in the files, or a file that is none of these. Results must have the numbers
 * that every result has. */
ResultsIn *results_in_load(const char *const *files, GError **error);
void results_in_free(ResultsIn *in);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ResultsIn, results_in_free)

/* Keeps results whose member at "PATH=VALUE" has that value; an error when none is left.
 * "training.strategy" is short for "inputs.experiment.training.strategy". */
gboolean results_in_filter(ResultsIn *in, const char *const *conditions, GError **error);

/* Member at a dotted path; NULL when there is none. */
const json_t *results_in_member(const json_t *result, const char *path);
/* Of a number (NAN when there is none), and of any scalar as text ("" when there is none). */
double results_in_number(const json_t *result, const char *path);
char *results_in_text(const json_t *result, const char *path);
gboolean results_in_fits(const json_t *result);

G_END_DECLS
