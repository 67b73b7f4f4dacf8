/* SPDX-License-Identifier: MIT */
/* What DeepSpeed's engine makes of a stage, a data type and an accumulation type, and what it
 * refuses: runtime/engine.py (_do_optimizer_sanity_check), zero/stage_1_and_2.py. */
#include "error.h"
#include "training_deepspeed.h"

/* Since this release bf16 stage 0 replicates everything; before, it was BF16_Optimizer. */
#define REPLICATED_STAGE0_VERSION 1706
/* From that release up to this one stage 1 with fp32 accumulation was taken for stage 0. */
#define SHARDED_AGAIN_VERSION 1805

typedef struct {
    const char *file;
    Training *training;
    GPtrArray *warnings;
} Rules;

static G_GNUC_PRINTF(5, 6) gboolean
    refuse(const Rules *rules, ErrorCode code, const char *member, GError **error,
           const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, ZEROSIM_ERROR, (int)code, "%s: %s: %s", rules->file, member, what);
    return FALSE;
}

static void warn(const Rules *rules, const char *member, const char *what)
{
    if (rules->warnings)
        g_ptr_array_add(rules->warnings,
                        g_strdup_printf("%s: %s: %s", rules->file, member, what));
}

#define ACCUMULATION "data_types.grad_accum_dtype"

/* `accumulation` below 0: not given; bf16 stage 0 then accumulated in fp32. */
static gboolean resolve_stage0(const Rules *rules, int accumulation, GError **error)
{
    const DType gradient = rules->training->precision.gradient;
    DeepspeedKnobs *knobs = &rules->training->deepspeed;
    const gboolean wide = accumulation < 0 || accumulation == DTYPE_FP32;

    knobs->bf16_optimizer =
        gradient == DTYPE_BF16 && knobs->version < REPLICATED_STAGE0_VERSION && wide;
    if (knobs->bf16_optimizer) {
        knobs->grad_accum_dtype = DTYPE_FP32;
        return TRUE;
    }
    if (accumulation >= 0 && (DType)accumulation != gradient)
        return refuse(
            rules, ERROR_INPUT, ACCUMULATION, error,
            "DeepSpeed's stage 0 adds %s gradients in %s: say stage 1 or leave it out",
            dtype_name(gradient), dtype_name(gradient));
    if (gradient == DTYPE_BF16 && knobs->version < REPLICATED_STAGE0_VERSION)
        return refuse(rules, ERROR_INPUT, ACCUMULATION, error,
                      "DeepSpeed before 0.17.6 adds bf16 gradients of stage 0 in fp32 only");
    return TRUE;
}

static gboolean resolve_stage1(const Rules *rules, DType accumulation, GError **error)
{
    const DType gradient = rules->training->precision.gradient;
    DeepspeedKnobs *knobs = &rules->training->deepspeed;

    if (accumulation == gradient)
        return TRUE;
    knobs->grad_accum_dtype = accumulation;
    if (gradient == DTYPE_BF16 && accumulation == DTYPE_FP32) {
        if (knobs->version >= REPLICATED_STAGE0_VERSION &&
            knobs->version < SHARDED_AGAIN_VERSION)
            return refuse(rules, ERROR_UNMODELLED, ACCUMULATION, error,
                          "releases 0.17.6 to 0.18.4 shard nothing with bf16 stage 1 and fp32, "
                          "which is not modelled: say another deepspeed.version");
        knobs->bf16_optimizer = TRUE;
        if (knobs->overlap_comm)
            warn(rules, "zero_optimization.overlap_comm",
                 "no effect with BF16_Optimizer (bf16, stage 1, fp32 accumulation)");
        return TRUE;
    }
    /* fill_grad_accum_attribute runs behind backward, so hooks would reduce too early. */
    if (knobs->overlap_comm)
        return refuse(rules, ERROR_UNMODELLED, ACCUMULATION, error,
                      "%s over %s gradients with stage 1 and overlap_comm is not modelled: "
                      "reductions would start before a gradient is accumulated",
                      dtype_name(accumulation), dtype_name(gradient));
    return TRUE;
}

static gboolean resolve_accumulation(const Rules *rules, int given, GError **error)
{
    const DType gradient = rules->training->precision.gradient;
    DeepspeedKnobs *knobs = &rules->training->deepspeed;

    switch (rules->training->strategy) {
    case STRATEGY_DDP:
        return resolve_stage0(rules, given, error);
    case STRATEGY_ZERO1:
        return resolve_stage1(rules, given < 0 ? gradient : (DType)given, error);
    case STRATEGY_ZERO2:
        if (given >= 0 && (DType)given != gradient)
            warn(rules, ACCUMULATION,
                 "no effect with stage 2, which adds gradients in their own type");
        return TRUE;
    case STRATEGY_ZERO3:
        knobs->grad_accum_dtype = given < 0 ? gradient : (DType)given;
        return TRUE;
    case N_STRATEGIES:
        break;
    }
    g_assert_not_reached();
}

/* The assertions of DeepSpeedZeroOptimizer's constructor. */
static gboolean check_division(const Rules *rules, GError **error)
{
    const DeepspeedKnobs *knobs = &rules->training->deepspeed;

    if (rules->training->strategy != STRATEGY_ZERO2 || !knobs->reduce_scatter)
        return TRUE;
    if (knobs->prescale_gradients)
        return refuse(rules, ERROR_INPUT, "prescale_gradients", error,
                      "DeepSpeed's stage 2 needs reduce_scatter = false for it");
    if (knobs->gradient_predivide_factor != 1)
        return refuse(rules, ERROR_INPUT, "gradient_predivide_factor", error,
                      "DeepSpeed's stage 2 needs reduce_scatter = false for it");
    return TRUE;
}

gboolean deepspeed_rules_apply(const DeepspeedConfig *config, const char *file,
                               Training *training, GPtrArray *warnings, GError **error)
{
    const Rules rules = {file, training, warnings};

    training->deepspeed.grad_accum_dtype = training->precision.gradient;
    return resolve_accumulation(&rules, config->grad_accum_dtype, error) &&
           check_division(&rules, error);
}
