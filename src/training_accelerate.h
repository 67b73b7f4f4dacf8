/* SPDX-License-Identifier: MIT */
/* The YAML configuration of Hugging Face accelerate (`accelerate config`) as keys of the
 * experiment: DDP, FSDP 1 and 2, DeepSpeed. */
#pragma once

#include "training_import.h"
#include "training_members.h"

G_BEGIN_DECLS

/* num_machines and num_processes. */
gboolean accelerate_import_cluster(const Import *import, const char *file, GError **error);
/* The rest; the counts must be the cluster's. */
gboolean accelerate_import(const Import *import, const char *file, GError **error);

/* ---- between its files ---- */

extern const MemberLists accelerate_lists, accelerate_fsdp_lists, accelerate_deepspeed_lists;

/* A section of the file, checked against its lists. */
gboolean accelerate_section(const Import *import, const JsonIn *top, const char *name,
                            const MemberLists *lists, JsonIn *in, GError **error);
gboolean accelerate_import_deepspeed(const Import *import, const JsonIn *top, GError **error);

G_END_DECLS
