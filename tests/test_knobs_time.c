/* SPDX-License-Identifier: MIT */
/* What knobs of overlap do to time: the part of a collective's time that no kernel hides, by
 * experiments as a user sets them. Parts that follow from the order of issue are exact: a
 * collective behind all kernels is wholly exposed, one of twelve gathers has something to hide
 * behind. */
#include "knob_runs.h"
#include "suite_run.h"

#include <check.h>

#define BATCH "training.micro_batch=8 "
#define DDP BATCH "training.strategy=ddp training.precision=autocast-bf16"
#define FSDP BATCH "training.strategy=zero3 training.precision=autocast-bf16"
#define FSDP1 FSDP " fsdp.version=1"
#define DEEPSPEED(strategy)                                                                    \
    BATCH "training.framework=deepspeed training.precision=bf16 training.strategy=" strategy
#define ZERO "deepspeed.zero_optimization."
#define SMALL_BUCKETS " " ZERO "reduce_bucket_size=8000000"

/* Gathers of blocks in backward: the last block's is issued while the head computes. */
#define ALL_BUT_ONE (11.0 / 12)
#define HIDDEN 0.5 /* at most, where kernels are there to hide most of it */

typedef struct {
    const char *base, *change;
    CollectiveKind kind;
    Phase phase;
    double low, high;                 /* exposed part before */
    double changed_low, changed_high; /* and with the knob */
} TimeKnob;

static const TimeKnob knobs[] = {
    {DDP, "ddp.bucket_cap_mb=1e6", COLLECTIVE_ALL_REDUCE, PHASE_BACKWARD, 0, HIDDEN, 1, 1},
    {FSDP, "fsdp.backward_prefetch_units=0", COLLECTIVE_ALL_GATHER, PHASE_BACKWARD, 0, 0,
     ALL_BUT_ONE, ALL_BUT_ONE},
    {FSDP1, "fsdp.backward_prefetch=none", COLLECTIVE_ALL_GATHER, PHASE_BACKWARD, 0, 0,
     ALL_BUT_ONE, ALL_BUT_ONE},
    /* One bucket of 5e8 elements has nothing to overlap with; stage 1 without overlap_comm
     * begins behind backward. */
    {DEEPSPEED("zero2"), ZERO "overlap_comm=true", COLLECTIVE_ALL_REDUCE, PHASE_BACKWARD, 1, 1,
     1, 1},
    {DEEPSPEED("zero2") SMALL_BUCKETS, ZERO "overlap_comm=true", COLLECTIVE_ALL_REDUCE,
     PHASE_BACKWARD, 1, 1, 0, HIDDEN},
    {DEEPSPEED("zero1") SMALL_BUCKETS, ZERO "overlap_comm=true", COLLECTIVE_ALL_REDUCE,
     PHASE_BACKWARD, 1, 1, 0, HIDDEN},
    {DEEPSPEED("zero3") SMALL_BUCKETS, ZERO "overlap_comm=false", COLLECTIVE_REDUCE_SCATTER,
     PHASE_BACKWARD, 0, HIDDEN, 1, 1},
    /* BF16_Optimizer reduces behind backward, whatever the bucket. */
    {DEEPSPEED("zero1") SMALL_BUCKETS " " ZERO "overlap_comm=true",
     "deepspeed.data_types.grad_accum_dtype=fp32", COLLECTIVE_ALL_REDUCE, PHASE_BACKWARD, 0,
     HIDDEN, 1, 1},
};

static double exposed_frac(const char *base, const char *change, const TimeKnob *knob)
{
    GError *error = NULL;
    g_autoptr(Inputs) inputs = knob_inputs(base, change);
    g_autoptr(Result) result = predict(inputs, &error);
    double busy_s = 0, exposed_s = 0;

    ck_assert_msg(result != NULL, "%s", error ? error->message : "");
    for (guint i = 0; i < result->collectives->len; i++) {
        const CollectiveTotal *total = &g_array_index(result->collectives, CollectiveTotal, i);
        if (total->kind != knob->kind || total->phase != knob->phase)
            continue;
        busy_s += total->busy_s;
        exposed_s += total->exposed_s;
    }
    ck_assert_double_gt(busy_s, 0);
    return exposed_s / busy_s;
}

static void check_between(const char *change, double frac, double low, double high)
{
    ck_assert_msg(frac >= low - 1e-9 && frac <= high + 1e-9, "%s: %.12g, not %g to %g", change,
                  frac, low, high);
}

START_TEST(test_knob)
{
    const TimeKnob *knob = &knobs[_i];

    check_between("as it is", exposed_frac(knob->base, "", knob), knob->low, knob->high);
    check_between(knob->change, exposed_frac(knob->base, knob->change, knob), knob->changed_low,
                  knob->changed_high);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("knobs_time");
    TCase *tcase = tcase_create("knobs_time");

    tcase_set_timeout(tcase, 240);
    tcase_add_loop_test(tcase, test_knob, 0, G_N_ELEMENTS(knobs));
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
