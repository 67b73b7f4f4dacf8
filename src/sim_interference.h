/* SPDX-License-Identifier: MIT */
/* What kernels and the collectives beside them take from each other. Private to sim_*.c. */
#pragma once

#include "collective.h"
#include "profile.h"
#include "schedule.h"

G_BEGIN_DECLS

typedef struct {
    const Profile *profile; /* NULL: they take nothing */
    gboolean is_measured;
    double share_frac[N_KERNEL_CLASSES]; /* of the kernels' time that collectives may meet */
} SimInterference;

SimInterference sim_interference_of(const Profile *profile, const Job *job);

/* The part of a GPU that the collective's kernel holds from its launch to its end, and that
 * other kernels miss. */
double sim_interference_frac(const SimInterference *interference, const CollectivePlan *plan);

/* How many times longer the collective's channels take for their bytes beside kernels. */
double sim_interference_stretch(const SimInterference *interference,
                                const CollectivePlan *plan);

G_END_DECLS
