/* SPDX-License-Identifier: MIT */
/* The numbers that no data sheet, source code or measurement of the user's gives: fitted to
 * published runs or assumed, each with its unit, where it comes from and what it may plausibly
 * be. Whatever is measured replaces its default here. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
    CONSTANT_HOST_LAUNCH_S,
    CONSTANT_HOST_COLLECTIVE_S,
    CONSTANT_HOST_PARAMETER_S,
    CONSTANT_GPU_SPREAD_FRAC,
    CONSTANT_TORCH_BENCH_S,
    CONSTANT_XLA_BENCH_S,
    N_CONSTANTS
} ConstantId;

typedef struct {
    const char *name, *unit;
    double value;
    double lowest, highest; /* plausible range */
    const char *meaning, *source;
} Constant;

const Constant *constant_of(ConstantId id);
double constant(ConstantId id);

G_END_DECLS
