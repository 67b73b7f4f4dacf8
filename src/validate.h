/* SPDX-License-Identifier: MIT */
/* How far predictions are from what others published: rows of measurements become experiments
 * on platforms built from the row, are predicted in forked workers, and come back as one
 * outcome a quantity. Rows of four kinds, told apart by their columns: training steps, memory,
 * largest trainable model, collectives. Printing is validate_report.h's business. */
#pragma once

#include "validate_csv.h"

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
    VALIDATE_STEPS,
    VALIDATE_MEMORY,
    VALIDATE_CAPACITY,
    VALIDATE_NCCL,
    N_VALIDATE_KINDS
} ValidateKind;

/* One measured quantity of a row, and what was predicted for it. */
typedef struct {
    ValidateKind kind;
    char *id;
    const char *quantity, *unit; /* static */
    double predicted, measured;  /* NAN: none */
    gboolean used_for_fit;       /* a constant that the prediction rests on, on this row */
    double held_out_error_frac;  /* of such a row, by a fit that hasn't seen it; NAN: none */
    gboolean too_large;          /* it ran, and is predicted not to fit in memory */
    char *assumed;               /* what the row doesn't say, joined by "; "; "": nothing */
    char *reason;                /* why there is no prediction; "": there is one */
    /* what errors are grouped by */
    char *source, *strategy, *gpu;
    char *stack;      /* "pytorch", "deepspeed", "llm.c", "jax-xla" or "": who ran it */
    char *provenance; /* of the GPU's kernel times: "measured", "derived", "roofline" */
    char *quality;    /* "A", "B", "C" or "" */
    int n_gpus;
    double parameters;
    double size_bytes; /* of a collective */
} Outcome;

Outcome *outcome_new(ValidateKind kind, const char *id, const char *quantity, const char *unit);
void outcome_free(Outcome *outcome);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Outcome, outcome_free)

/* predicted / measured - 1; NAN unless there are both. */
double outcome_error_frac(const Outcome *outcome);

/* Adds `what` to the outcome's assumptions, once. */
void outcome_assume(Outcome *outcome, const char *what);

const char *validate_kind_name(ValidateKind kind);

/* The kind of the file's rows. The error names the columns that tell. */
gboolean validate_kind_of(const CsvTable *table, ValidateKind *kind, GError **error);

/* Tells how far it is; `data` is the caller's. */
typedef void (*ValidateProgress)(int n_done, int n_total, const char *id, gpointer data);

/* Predicts all rows of `tables`, at most n_workers at once. Outcome * in the order of the rows.
 * A row that fails has a reason; only an error of ours or of the operating system is an error.
 */
GPtrArray *validate_tables(const GPtrArray *tables, int n_workers, ValidateProgress progress,
                           gpointer data, GError **error);

/* What a worker does: appends the row's outcomes. Without `predict_it` they hold what was
 * measured and no more. */
void validate_row(ValidateKind kind, const CsvRow *row, gboolean predict_it,
                  GPtrArray *outcomes);

G_END_DECLS
