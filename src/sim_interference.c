/* SPDX-License-Identifier: MIT */
/* Interference until a profile has it measured: NCCL's kernel holds a streaming multiprocessor
 * for each of its channels, and others share the rest. What it takes of the memory's bandwidth
 * is left out: kernels that memory bounds lose less than their multiprocessors' share by the
 * one and more by the other. Nor do kernels slow the collective. */
#include "sim_interference.h"

double sim_interference_frac(const Profile *profile, const CollectivePlan *plan)
{
    if (!profile || plan->flows->len == 0)
        return 0;
    return MIN((double)plan->channels / profile->n_sms, 1);
}
