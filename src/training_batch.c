/* SPDX-License-Identifier: MIT */
/* The arithmetic of batch sizes: any one of three follows from the other two and the ranks. The
 * rule is DeepSpeed's (runtime/config.py _batch_assertion), the strictness too. */
#include "training_batch.h"

#include "error.h"

#define D G_GINT64_FORMAT

static gboolean fail_unequal(const Batch *given, int n_ranks, const BatchNames *names,
                             GError **error)
{
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "%s: %s %" D " != %" D " * %" D " * %d (%s * %s * ranks)", names->place,
                names->global_batch, given->global_batch, given->micro_batch,
                given->accumulation, n_ranks, names->micro_batch, names->accumulation);
    return FALSE;
}

/* global / (factor * ranks), which must be whole. */
static gboolean divide(const Batch *given, gint64 factor, const char *factor_name, int n_ranks,
                       const BatchNames *names, gint64 *quotient, GError **error)
{
    const gint64 divisor = factor * n_ranks;

    *quotient = given->global_batch / divisor;
    if (*quotient > 0 && given->global_batch % divisor == 0)
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "%s: %s %" D " is not a multiple of %" D " * %d (%s * ranks)", names->place,
                names->global_batch, given->global_batch, factor, n_ranks, factor_name);
    return FALSE;
}

gboolean batch_resolve(Batch *batch, const Batch *given, int n_ranks, const BatchNames *names,
                       GError **error)
{
    const gint64 micro = given->micro_batch ? given->micro_batch : MAX(batch->micro_batch, 1);
    const gint64 steps =
        given->accumulation ? given->accumulation : MAX(batch->accumulation, 1);
    Batch resolved = {micro, steps, 0};

    g_assert(n_ranks > 0 && micro <= G_MAXINT32 && steps <= ACCUMULATION_MAX);
    if (given->global_batch && given->accumulation && !given->micro_batch) {
        if (!divide(given, steps, names->accumulation, n_ranks, names, &resolved.micro_batch,
                    error))
            return FALSE;
    } else if (given->global_batch && !given->accumulation) {
        if (!divide(given, micro, names->micro_batch, n_ranks, names, &resolved.accumulation,
                    error))
            return FALSE;
    }
    if (resolved.micro_batch > BATCH_MAX || resolved.accumulation > ACCUMULATION_MAX ||
        __builtin_mul_overflow(resolved.micro_batch * resolved.accumulation, (gint64)n_ranks,
                               &resolved.global_batch)) {
        g_set_error(
            error, ZEROSIM_ERROR, ERROR_INPUT,
            "%s: %s is too big: %" D " * %" D " * %d (%s, at most %d * %s, at most %d * ranks)",
            names->place, names->global_batch, resolved.micro_batch, resolved.accumulation,
            n_ranks, names->micro_batch, BATCH_MAX, names->accumulation, ACCUMULATION_MAX);
        return FALSE;
    }
    if (given->global_batch && resolved.global_batch != given->global_batch)
        return fail_unequal(given, n_ranks, names, error);
    *batch = resolved;
    return TRUE;
}
