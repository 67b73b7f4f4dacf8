/* SPDX-License-Identifier: MIT */
/* Inside the profile module: what isn't one kernel's time. */
#pragma once

#include "json_in.h"
#include "profile.h"

G_BEGIN_DECLS

/* Nothing measured. */
void profile_factors_init(ProfileFactors *factors);
void profile_factors_clear(ProfileFactors *factors);

/* Reads the sections interference, factors, launch and transfers. One that the file has
 * replaces what was read before. */
gboolean profile_read_factors(const JsonIn *root, GPtrArray *unknown, Profile *profile,
                              GError **error);

G_END_DECLS
