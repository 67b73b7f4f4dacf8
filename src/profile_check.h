/* SPDX-License-Identifier: MIT */
/* How far interpolation is off, by the profile's own measurements. */
#pragma once

#include "profile.h"

G_BEGIN_DECLS

/* Errors are |predicted / measured - 1|. */
typedef struct {
    int n;           /* predicted */
    int n_outside;   /* not between neighbours: answered by the roofline, and not counted */
    double p50, p90; /* NAN where n is 0 */
} ProfileErrors;

typedef struct {
    KernelOp op;
    DType dtype;
    int n_entries, n_sustained;
    double sustained_ratio;
    ProfileErrors left_out; /* each entry from the others */
    ProfileErrors probes;   /* shapes that were kept out of interpolation */
} ProfileCheck;

/* ProfileCheck, a row an operation and data type that was measured. */
GArray *profile_check(const Profile *profile);

G_END_DECLS
