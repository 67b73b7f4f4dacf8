/* SPDX-License-Identifier: MIT */
/* Interference as the profile has it measured, for as many multiprocessors as the collective
 * has channels: kernels slow down as a step's mix of their classes does on average, and the
 * channels stream less. Without measurements NCCL's kernel holds a multiprocessor for each of
 * its channels, others share the rest, and nothing slows the collective: what it takes of the
 * memory's bandwidth is left out, so that kernels that memory bounds lose less than their
 * multiprocessors' share by the one and more by the other. */
#include "sim_interference.h"

/* Collectives run beside forward and backward; few beside the update. */
static void shares_add(const Schedule *schedule, double share_frac[N_KERNEL_CLASSES])
{
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->kind != OP_COMPUTE || op->phase == PHASE_UPDATE)
            continue;
        for (int c = 0; c < N_KERNEL_CLASSES; c++)
            share_frac[c] += op->class_s[c];
    }
}

SimInterference sim_interference_of(const Profile *profile, const Job *job)
{
    SimInterference result = {.profile = profile};
    double sum = 0;
    if (!profile || !profile_has_interference(profile))
        return result;
    for (guint p = 0; p < job->programs->len; p++)
        shares_add(g_ptr_array_index(job->programs, p), result.share_frac);
    for (int c = 0; c < N_KERNEL_CLASSES; c++)
        sum += result.share_frac[c];
    for (int c = 0; c < N_KERNEL_CLASSES; c++)
        result.share_frac[c] = sum > 0 ? result.share_frac[c] / sum : 1.0 / N_KERNEL_CLASSES;
    result.is_measured = TRUE;
    return result;
}

/* Of a second of kernels alone: what it takes beside the collective, and the collective's. */
static SlowDown mixed(const SimInterference *interference, int channels)
{
    SlowDown sum = {.n_sms = channels};
    for (int c = 0; c < N_KERNEL_CLASSES; c++) {
        const SlowDown of = profile_slow_down(interference->profile, (KernelClass)c, channels);
        sum.kernel += interference->share_frac[c] * of.kernel;
        sum.copy += interference->share_frac[c] * of.copy;
    }
    return sum;
}

double sim_interference_frac(const SimInterference *interference, const CollectivePlan *plan)
{
    if (!interference->profile || plan->flows->len == 0)
        return 0;
    if (interference->is_measured)
        return 1 - 1 / mixed(interference, plan->channels).kernel;
    return MIN((double)plan->channels / interference->profile->n_sms, 1);
}

double sim_interference_stretch(const SimInterference *interference, const CollectivePlan *plan)
{
    return interference->is_measured ? mixed(interference, plan->channels).copy : 1;
}
