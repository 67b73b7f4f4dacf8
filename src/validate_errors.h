/* SPDX-License-Identifier: MIT */
/* The table of errors that results expect of themselves (metrics_expected.h), from outcomes. */
#pragma once

#include "validate.h"

G_BEGIN_DECLS

/* Step times by framework, strategy, provenance and scale, as JSON; those of other trainers and
 * compilers are left out. */
gboolean validate_errors_write(const GPtrArray *outcomes, const char *file, GError **error);

G_END_DECLS
