/* SPDX-License-Identifier: MIT */
/* Private to step_deepspeed*.c: the knobs of every stage, and the flat 16-bit buffer whose
 * partitions stages 1 and 2 and the BF16_Optimizer give to the ranks. */
#pragma once

#include "step_walk.h"

G_BEGIN_DECLS

static inline const DeepspeedKnobs *knobs_of(const Step *step)
{
    return &step->training->deepspeed;
}

/* Elements of the flat buffer, padded to a multiple of 2 n_ranks so that partitions are equal
 * and begin at 4 bytes. */
gint64 flat_numel(const Step *step);
gint64 flat_partition_numel(const Step *step);
/* parameter → its first element in the flat buffer; owned by the caller. */
gint64 *flat_offsets(const Step *step);
/* What is there between steps: the flat parameters, and the rank's partition of fp32 master
 * weights and optimizer states. */
void flat_persistent_memory(Step *step);
/* all_gather_dp_groups: the updated partitions become the flat buffer again. */
void flat_all_gather(Step *step);

G_END_DECLS
