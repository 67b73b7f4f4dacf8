/* SPDX-License-Identifier: MIT */
/* A page that needs nothing else: figures as inline SVG, tables that sort by a click, what was
 * put in and how far it can be trusted. */
#pragma once

#include "plot.h"

G_BEGIN_DECLS

/* Draws every figure that the results allow, and says which they don't. Errors: gnuplot. */
gboolean report_html_write(const ResultsIn *in, FILE *out, GError **error);

G_END_DECLS
