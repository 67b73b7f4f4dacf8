/* SPDX-License-Identifier: MIT */
/* A profile for a GPU that nobody has measured, from one that somebody has. */
#pragma once

#include "json_in.h"
#include "profile.h"

G_BEGIN_DECLS

/* The profile of `target`, which holds data-sheet facts, with the kernels of `source` scaled by
 * what the two data sheets say of each; the result names its source, and so does every answer
 * it gives. Errors: the target was measured itself, the source wasn't. */
json_t *profile_derive(const Profile *target, const Profile *source, GError **error);

G_END_DECLS
