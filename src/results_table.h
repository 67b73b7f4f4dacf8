/* SPDX-License-Identifier: MIT */
/* Results as one table of text cells, and what is to be said beside it; pages and papers write
 * both in their own markup. */
#pragma once

#include "results_in.h"

G_BEGIN_DECLS

typedef struct {
    const char *head;
    const char *unit; /* "": none */
    gboolean is_number;
    gboolean is_input; /* of the experiment: said once where all results agree */
} ResultsColumn;

typedef struct {
    GArray *columns; /* ResultsColumn: those in which results have or differ in something */
    GPtrArray *rows; /* GPtrArray * of char *, UTF-8 */
    char *common;    /* "model llama-2-7b, GPUs 64": what all have; "": nothing */
} ResultsTable;

ResultsTable *results_table_new(const ResultsIn *in);
void results_table_free(ResultsTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ResultsTable, results_table_free)

const char *results_table_cell(const ResultsTable *table, guint row, guint column);

/* Sentences on how far the numbers can be trusted (char *). */
GPtrArray *results_table_accuracy(const ResultsIn *in);
/* "zerosim 0.1.0, SimGrid 3.32", each once (char *). */
GPtrArray *results_table_versions(const ResultsIn *in);
/* Warnings of all results, each once (char *). */
GPtrArray *results_table_warnings(const ResultsIn *in);

/* A file that results were computed from. */
typedef struct {
    char *role, *name, *sha256;
} ResultsFile;
/* ResultsFile *, each once. */
GPtrArray *results_table_files(const ResultsIn *in);

G_END_DECLS
