/* SPDX-License-Identifier: MIT */
/* Inside the validate module: an outcome as a JSON object and back, for the pipe between worker
 * and parent, and for --format=json. */
#pragma once

#include "validate.h"

#include <jansson.h>

G_BEGIN_DECLS

json_t *outcome_record(const Outcome *outcome);
/* NULL when it isn't one. */
Outcome *outcome_from_record(const json_t *record);

G_END_DECLS
