/* SPDX-License-Identifier: MIT */
/* Kernel times from data-sheet facts, for shapes that nobody measured. */
#pragma once

#include "profile.h"

G_BEGIN_DECLS

/* The larger of computing time, memory time and launch time. Always finite and positive. */
double profile_roofline_s(const Profile *profile, const Kernel *kernel);

G_END_DECLS
