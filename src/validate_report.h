/* SPDX-License-Identifier: MIT */
/* Outcomes as a person or a program reads them: errors by group with their number and coverage,
 * or one row an outcome. */
#pragma once

#include "validate.h"

#include <stdio.h>

G_BEGIN_DECLS

typedef struct {
    const char *name; /* "csv" */
    void (*write)(const GPtrArray *outcomes, FILE *out);
} ValidateFormat;

/* NULL and ERROR_USAGE naming the formats when there is none of that name. */
const ValidateFormat *validate_format(const char *name, GError **error);

G_END_DECLS
