/* SPDX-License-Identifier: MIT */
/* Inside the validate module: what DeepSpeed's memory estimators print, by their own formulas
 * (runtime/zero/stage_1_and_2.py and stage3.py, estimate_zero*_model_states_mem_needs). They
 * leave out activations, buffers and fragmentation. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
    double parameters, largest_layer_parameters;
    int n_gpus, gpus_per_node;
    gboolean stage3;
    gboolean offload_optimizer, offload_parameters;
    gboolean zero_init;
    gboolean old; /* stage 2 as documented before it counted fp32 gradients */
} EstimatorInput;

double estimator_gpu_bytes(const EstimatorInput *in);
double estimator_cpu_bytes(const EstimatorInput *in); /* a node's */

G_END_DECLS
