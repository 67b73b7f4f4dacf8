/* SPDX-License-Identifier: MIT */
/* Optimizers: bytes of state, and memory traffic of a step by implementation. One table,
 * a row an optimizer, read from torch/optim and from the fused kernels of Apex, DeepSpeed and
 * bitsandbytes. */
#pragma once

#include "kernel.h"

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
    OPTIMIZER_SGD,
    OPTIMIZER_MOMENTUM,
    OPTIMIZER_ADAGRAD,
    OPTIMIZER_RMSPROP,
    OPTIMIZER_ADAM,
    OPTIMIZER_ADAMW,
    OPTIMIZER_LAMB,
    OPTIMIZER_ADAFACTOR,
    OPTIMIZER_LION,
    OPTIMIZER_ADAM8BIT,
    N_OPTIMIZERS
} OptimizerKind;

typedef enum {
    IMPLEMENTATION_FUSED,
    IMPLEMENTATION_FOREACH,
    IMPLEMENTATION_LOOP
} Implementation;

typedef struct {
    OptimizerKind kind;
    Implementation implementation;
    double weight_decay;
} Optimizer;

const char *optimizer_name(OptimizerKind kind);
const char *implementation_name(Implementation implementation);
/* Whether anyone wrote such a kernel: there is no fused RMSprop, no foreach 8-bit Adam. */
gboolean optimizer_has(OptimizerKind kind, Implementation implementation);

/* Bytes of state for a tensor of rows x columns elements (columns 1: a vector) whose states are
 * kept in `state` precision. */
gint64 optimizer_state_bytes(const Optimizer *optimizer, gint64 rows, gint64 columns,
                             DType state);
/* Temporary bytes of a step over `numel` elements stored in `dtype`, the largest tensor having
 * `largest_numel`. */
gint64 optimizer_temporary_bytes(const Optimizer *optimizer, gint64 numel, gint64 largest_numel,
                                 DType dtype);
/* The step's kernels as one, over `numel` elements in n_tensors tensors; parameter and gradient
 * in `dtype`, states in `state`. */
Kernel optimizer_kernel(const Optimizer *optimizer, gint64 numel, gint64 n_tensors, DType dtype,
                        DType state);

G_END_DECLS
