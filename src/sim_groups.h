/* SPDX-License-Identifier: MIT */
/* The groups of ranks that meet in collectives, with the plan of each collective. Private to
 * sim_*.c. */
#pragma once

#include "sim_replay.h"

G_BEGIN_DECLS

/* Checks that the programs of each group's members agree in their collectives, and plans these.
 * SimGroup *, by communicator and group; without those that have no collectives. */
GPtrArray *sim_groups_build(const SimReplay *replay, const NcclOptions *nccl, GError **error);

/* CollectiveUse of rank 0's collectives in the order of its list. *n_flows: of all groups. */
GArray *sim_groups_uses(const SimReplay *replay, gint64 *n_flows);

G_END_DECLS
