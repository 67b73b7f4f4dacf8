/* SPDX-License-Identifier: MIT */
/* Gradient buckets of DistributedDataParallel: which parameters are reduced together, in which
 * order. Source: PyTorch torch/csrc/distributed/c10d/reducer.cpp,
 * compute_bucket_assignment_by_size. */
#pragma once

#include "model.h"

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
    int *parameters; /* indices, in order of assignment */
    int n_parameters;
    gint64 bytes;
} Bucket;

/* Order in which gradients become ready: reverse order of first use in the forward pass; a tied
 * parameter waits for its last contribution. As many indices as the model has parameters. */
int *bucket_ready_order(const Model *model);

/* Assigns parameters in the given order. A bucket is closed by the parameter that reaches the
 * limit and may overshoot it by any amount; the first one has a limit of its own. Elements are
 * Bucket; free with g_array_unref. */
GArray *bucket_assign(const Model *model, const int *order, int bytes_per_element,
                      gint64 first_bucket_bytes, gint64 bucket_cap_bytes);

G_END_DECLS
