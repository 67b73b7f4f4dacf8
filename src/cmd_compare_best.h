/* SPDX-License-Identifier: MIT */
/* `compare --best`: the fastest way of one strategy to train the same global batch. */
#pragma once

#include "cmd_progress.h"
#include "predict.h"

G_BEGIN_DECLS

/* Searches micro-batches that divide the rank's share of global_batch, each with the least
 * checkpointing that lets it fit. When nothing fits: micro-batch 1 with full checkpointing. */
Result *cmd_compare_best(Inputs *inputs, Strategy strategy, gint64 global_batch,
                         CmdProgress *progress, GError **error);

G_END_DECLS
