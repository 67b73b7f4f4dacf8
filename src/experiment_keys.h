/* SPDX-License-Identifier: MIT */
/* Looking up keys in the one table and checking a value's text against its row. Used by
 * experiment.c alone; everyone else sees experiment.h. */
#pragma once

#include "experiment.h"

G_BEGIN_DECLS

/* NULL when the table has no such key. */
const ExperimentKey *experiment_key_lookup(const char *section, const char *key);
gboolean experiment_key_is_section(const char *section);
/* What the user may have meant: ", did you mean section.key?" or a list of what exists. */
char *experiment_key_suggestion(const char *section, const char *key);

/* Checks `text` by the row's type and range. The error is without place: "must be ...". */
gboolean experiment_key_check(const ExperimentKey *key, const char *text, GError **error);
/* Index of `text` among "a|b|c", -1 if it isn't there. */
int experiment_key_choice(const char *choices, const char *text);
/* Whether the value is a file's path. */
gboolean experiment_key_is_path(const ExperimentKey *key, const char *text);

G_END_DECLS
