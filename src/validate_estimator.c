/* SPDX-License-Identifier: MIT */
/* DeepSpeed's estimators. Their default buffer factor is 1.5. */
#include "validate_estimator.h"

#define BUFFER_FACTOR 1.5

double estimator_gpu_bytes(const EstimatorInput *in)
{
    const double p = in->parameters, n = in->n_gpus;
    if (in->stage3)
        return 4 * in->largest_layer_parameters + (in->offload_parameters  ? 0
                                                   : in->offload_optimizer ? 2 * p / n
                                                                           : 18 * p / n);
    if (in->offload_optimizer)
        return 2 * p;
    return in->old ? 4 * p + 16 * p / n : 2 * p + 18 * p / n;
}

double estimator_cpu_bytes(const EstimatorInput *in)
{
    const double p = in->parameters, g = in->gpus_per_node;
    const double nodes = MAX((double)in->n_gpus / g, 1);
    if (!in->stage3)
        return p * (in->offload_optimizer ? MAX(4.0 * in->n_gpus, 16) : 4 * g) * BUFFER_FACTOR;
    if (!in->offload_optimizer)
        return (in->zero_init ? in->largest_layer_parameters : p) * 4 * g * BUFFER_FACTOR;
    const double states = (in->offload_parameters ? 18 : 16) / nodes;
    return p * (in->zero_init ? states : MAX(4 * g, states)) * BUFFER_FACTOR;
}
