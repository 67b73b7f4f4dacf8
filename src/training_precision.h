/* SPDX-License-Identifier: MIT */
/* From a precision's name to the type of each tensor. */
#pragma once

#include "training.h"

G_BEGIN_DECLS

/* In the order of training.precision's choices. */
typedef enum {
    PRECISION_FP32,
    PRECISION_BF16,
    PRECISION_FP16,
    PRECISION_AUTOCAST_BF16,
    PRECISION_AUTOCAST_FP16,
    PRECISION_FP8,
    N_PRECISIONS
} PrecisionName;

const char *precision_name(PrecisionName name);
/* The 16-bit type it computes in, fp32 for fp32. */
DType precision_compute(PrecisionName name);
/* Errors, "why" without place: a precision the framework doesn't have, or not modelled. */
gboolean precision_resolve(Framework framework, Strategy strategy, PrecisionName name,
                           Precision *precision, GError **error);

G_END_DECLS
