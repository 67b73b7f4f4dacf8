/* SPDX-License-Identifier: MIT */
/* Kernel times between measured shapes. */
#pragma once

#include "profile.h"

G_BEGIN_DECLS

/* FALSE where the kernel doesn't lie between measured neighbours of its kind. `kernel` is a
 * profile_key(); `without` (may be NULL) is an entry to leave out, for judging. */
gboolean profile_interpolate_s(const Profile *profile, const Kernel *kernel,
                               const ProfileEntry *without, double *time_s);

G_END_DECLS
