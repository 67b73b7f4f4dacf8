/* SPDX-License-Identifier: MIT */
/* Reads a TOML file into JSON values, so that json_in's typed reading serves it too. Dates and
 * times become strings. The one header in front of C++: the parser is toml++. */
#pragma once

#include "json_in.h"

G_BEGIN_DECLS

/* Reads a file. Errors name file and line. */
json_t *toml_in_load(const char *file, GError **error);

G_END_DECLS
