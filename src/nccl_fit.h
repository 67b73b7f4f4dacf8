/* SPDX-License-Identifier: MIT */
/* Finds a calibration's constants from measured rows, and how well they predict rows that they
 * haven't seen. */
#pragma once

#include "nccl_calibration.h"
#include "nccl_rows.h"

G_BEGIN_DECLS

/* Sizes that a fit uses and judges. */
#define NCCL_FIT_MIN_BYTES 65536
#define NCCL_FIT_MAX_BYTES (G_GINT64_CONSTANT(8) << 30)

/* Errors are e to the mean absolute logarithm of predicted over measured, less 1. */
typedef struct {
    NcclCalibration *calibration; /* constants only */
    int n_rows, n_groups;
    double model_error_frac;    /* of NCCL's own model */
    double fitted_error_frac;   /* of the rows that were fitted */
    double held_out_error_frac; /* of rows left out of the fit that predicts them */
    /* By row: predicted over measured, less 1, by a fit that hasn't seen it; NAN: of no size
     * that counts. */
    GArray *held_out_frac; /* double */
    gboolean by_group; /* whole groups were left out in turn; else every other size, in turn */
} NcclFit;

/* Rows have been through nccl_rows_plan(). */
NcclFit *nccl_fit(const GArray *rows, GError **error);
void nccl_fit_free(NcclFit *fit);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NcclFit, nccl_fit_free)

double nccl_fit_predict_s(const NcclCalibration *calibration, const NcclRow *row);
/* Over rows of sizes that count; NULL: NCCL's model. */
double nccl_fit_error_frac(const NcclCalibration *calibration, const GArray *rows);

G_END_DECLS
