/* SPDX-License-Identifier: MIT */
/* One steady training step as a schedule: model x training x profile. step.c walks the model
 * (forward, backward, update) and calls the framework's hooks; step_<framework>.c holds those
 * hooks and nothing of the walk. */
#pragma once

#include "schedule.h"
#include "training.h"

G_BEGIN_DECLS

/* The job of n_ranks ranks: one program where all shares are equal, else one per distinct
 * share. Errors: what the framework would refuse, or what isn't modelled. */
Job *step_build(const Model *model, const Training *training, const Profile *profile,
                int n_ranks, GError **error);

/* The same where ranks have GPUs of several kinds: a profile a rank. Ranks of one kind with
 * equal shares run one program. */
Job *step_build_on(const Model *model, const Training *training,
                   const Profile *const *profile_of_rank, int n_ranks, GError **error);

G_END_DECLS
