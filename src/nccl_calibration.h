/* SPDX-License-Identifier: MIT */
/* Calibrations as files: platforms/nccl/<name>.json. */
#pragma once

#include "collective_calibration.h"
#include "experiment.h"

G_BEGIN_DECLS

/* Where each constant may lie, and what it means. */
typedef struct {
    const char *name;
    double min, max;
    const char *meaning;
} NcclConstant;

enum {
    NCCL_LAUNCH_S,
    NCCL_HOP_FRAC,
    NCCL_NET_TRIPS,
    NCCL_FILL_BYTES,
    NCCL_OWN_FRAC,
    NCCL_LOOP_S,
    NCCL_BLOCK_BYTES_PER_S,
    NCCL_BANDWIDTH_FRAC,
    NCCL_FILL_S,
    NCCL_FILL_LOOPS,
    N_NCCL_CONSTANTS
};
extern const NcclConstant nccl_constants[N_NCCL_CONSTANTS];

/* Whether the algorithm's pipeline is of loops through NVSwitches. */
gboolean nccl_has_loops(Algorithm algorithm);

NcclCalibration *nccl_calibration_load(const char *file, GError **error);

/* What nccl.calibration says: auto, all that are installed; none, NULL; else the one of that
 * name or file, which then holds everywhere. FALSE: an error. */
gboolean nccl_calibrations_of(const Experiment *experiment, GPtrArray **calibrations,
                              GError **error);

G_END_DECLS
