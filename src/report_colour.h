/* SPDX-License-Identifier: MIT */
/* Colour on terminals, for what must not be overlooked. Files, pipes and those who set NO_COLOR
 * (no-color.org) get plain text. */
#pragma once

#include <glib.h>
#include <stdio.h>

G_BEGIN_DECLS

/* The text as it warns on `out`; owned by the caller. */
char *report_colour_alarmed(FILE *out, const char *text);

G_END_DECLS
