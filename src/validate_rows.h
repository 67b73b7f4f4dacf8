/* SPDX-License-Identifier: MIT */
/* Inside the validate module: one function a kind of row. Each appends the row's outcomes, with
 * a prediction or the reason why there is none. Without `predict_it` they only say what was
 * measured. */
#pragma once

#include "validate.h"

G_BEGIN_DECLS

void validate_steps_row(const CsvRow *row, gboolean predict_it, GPtrArray *outcomes);
void validate_memory_row(const CsvRow *row, gboolean predict_it, GPtrArray *outcomes);
void validate_capacity_row(const CsvRow *row, gboolean predict_it, GPtrArray *outcomes);
void validate_nccl_row(const CsvRow *row, gboolean predict_it, GPtrArray *outcomes);

/* Sets the outcome's reason from the error, which it consumes. */
void outcome_fail(Outcome *outcome, GError *error);

G_END_DECLS
