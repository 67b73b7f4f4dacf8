/* SPDX-License-Identifier: MIT */
/* torchtitan's TOML job files as keys of the experiment: FSDP2, hybrid sharding, DDP. */
#pragma once

#include "training_import.h"
#include "training_members.h"

G_BEGIN_DECLS

gboolean torchtitan_import(const Import *import, const char *file, GError **error);

/* ---- between its files ---- */

extern const MemberLists torchtitan_lists, torchtitan_float8_lists;

G_END_DECLS
