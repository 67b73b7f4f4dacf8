/* SPDX-License-Identifier: MIT */
/* Writes a fit: the calibration's file, and a table of its constants for people. */
#pragma once

#include "nccl_fit.h"

#include <stdio.h>

G_BEGIN_DECLS

typedef struct {
    const char *name;
    /* With commas; NULL: the node type's chip, and any platform. */
    const char *gpus, *platforms;
} NcclWriteOptions;

/* Matches what was measured: the node type's GPU, one node or several, NICs within a fifth of
 * those that the rows name. */
gboolean nccl_write(const char *file, const NcclWriteOptions *options, const NodeType *node,
                    const NcclFit *fit, const GArray *rows, GError **error);
void nccl_write_table(const NcclCalibration *calibration, const GArray *rows, FILE *out);

G_END_DECLS
