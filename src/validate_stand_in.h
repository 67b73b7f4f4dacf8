/* SPDX-License-Identifier: MIT */
/* Inside the validate module: a model that has about as many parameters as a row says and no
 * more is known of, and what its memory is by kind. */
#pragma once

#include "validate_case.h"

G_BEGIN_DECLS

/* A GPT-2 of 100 times as much width as depth, with heads of 64 and a small vocabulary. */
ModelFacts stand_in_model(double parameters, gint64 sequence_length);

/* A platform for n_ranks GPUs of that name. */
gboolean stand_in_platform(ValidateCase *c, const char *gpu, int n_ranks, GError **error);

/* Of the rank that has most: what a step needs at its peak, and what stays between steps. */
typedef struct {
    Memory memory;
    double persistent_bytes[N_MEMORY_CATEGORIES];
    double model_state_bytes;
    double n_parameters;
} StandInMemory;

gboolean stand_in_memory(ValidateCase *c, StandInMemory *memory, GError **error);

G_END_DECLS
