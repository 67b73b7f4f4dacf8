/* SPDX-License-Identifier: MIT */
/* Inside the profile module: the sections of a file. `unknown` gets a line for each member that
 * nobody knows. */
#pragma once

#include "json_in.h"
#include "profile.h"

G_BEGIN_DECLS

/* Those that hold arrays of objects; NULL-terminated. */
extern const char *const profile_sections[];

gboolean profile_check_sections(const JsonIn *root, GError **error);
gboolean profile_read_facts(const JsonIn *root, GPtrArray *unknown, Profile *profile,
                            GError **error);
gboolean profile_read_kernels(const JsonIn *root, GPtrArray *unknown, Profile *profile,
                              GError **error);

G_END_DECLS
