/* SPDX-License-Identifier: MIT */
/* Reads a YAML file into JSON values, so that json_in's typed reading serves it too. Plain
 * scalars mean what PyYAML's safe_load (YAML 1.1) makes of them: `no` is false, `1e8` is a
 * string. Anchors, aliases, tags and second documents are errors. */
#pragma once

#include "json_in.h"

G_BEGIN_DECLS

/* Reads a file whose top level must be a mapping. Errors name file and line. */
json_t *yaml_in_load(const char *file, GError **error);

G_END_DECLS
