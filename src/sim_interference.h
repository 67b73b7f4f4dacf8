/* SPDX-License-Identifier: MIT */
/* What a collective takes from the kernels that run beside it. Private to sim_*.c. */
#pragma once

#include "collective.h"
#include "profile.h"

G_BEGIN_DECLS

/* The part of a GPU that the collective's kernel holds from its launch to its end, and that
 * other kernels miss. profile NULL: nothing. */
double sim_interference_frac(const Profile *profile, const CollectivePlan *plan);

G_END_DECLS
