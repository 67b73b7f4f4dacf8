/* SPDX-License-Identifier: MIT */
/* Inside the profile module: what tiles and waves explain of a matrix product's time. */
#pragma once

#include "profile.h"

G_BEGIN_DECLS

/* Sets of kernels that a GPU's library may have. */
#define N_TILE_LIBRARIES 4

/* Seconds of a product by one of the sets, 0 up to N_TILE_LIBRARIES. Measured times are divided
 * by it, so only its changes from shape to shape count. */
double profile_tiles_s(const Profile *profile, const Kernel *gemm, int set);

G_END_DECLS
