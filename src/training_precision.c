/* SPDX-License-Identifier: MIT */
/* The table of precisions: who keeps what in which type. Rows are the three ways to mix types:
 * a replica that torch.autocast casts on the fly, FSDP2's MixedPrecisionPolicy, and 16-bit
 * training over an fp32 master copy as DeepSpeed and the ZeRO paper do it. */
#include "training_precision.h"

#include "error.h"

typedef enum { MIX_REPLICA, MIX_FSDP, MIX_MASTER, N_MIXES } Mix;

#define SAME(type)                                                                             \
    {                                                                                          \
        type, type, type, type, type, type, type, FALSE, FALSE                                 \
    }
#define F DTYPE_FP32
#define B DTYPE_BF16
#define H DTYPE_FP16

/* parameter, gather, forward, compute, gradient, reduce, state, master, autocast */
static const Precision precisions[N_MIXES][N_PRECISIONS] = {
    [MIX_REPLICA] = {[PRECISION_FP32] = SAME(F),
                     [PRECISION_BF16] = SAME(B),
                     [PRECISION_FP16] = SAME(H),
                     [PRECISION_AUTOCAST_BF16] = {F, F, F, B, F, F, F, FALSE, TRUE},
                     [PRECISION_AUTOCAST_FP16] = {F, F, F, H, F, F, F, FALSE, TRUE},
                     [PRECISION_FP8] = {F, F, F, DTYPE_FP8, F, F, F, FALSE, TRUE}},
    [MIX_FSDP] = {[PRECISION_FP32] = SAME(F),
                  [PRECISION_BF16] = SAME(B),
                  [PRECISION_FP16] = SAME(H),
                  [PRECISION_AUTOCAST_BF16] = {F, B, B, B, F, B, F, FALSE, FALSE},
                  [PRECISION_AUTOCAST_FP16] = {F, H, H, H, F, H, F, FALSE, FALSE},
                  [PRECISION_FP8] = {F, B, B, DTYPE_FP8, F, B, F, FALSE, FALSE}},
    /* DeepSpeed clones its partition in fp32 even where the model is fp32 already. */
    [MIX_MASTER] = {[PRECISION_FP32] = {F, F, F, F, F, F, F, TRUE, FALSE},
                    [PRECISION_BF16] = {B, B, B, B, B, B, F, TRUE, FALSE},
                    [PRECISION_FP16] = {H, H, H, H, H, H, F, TRUE, FALSE}},
};

#undef SAME
#undef F
#undef B
#undef H

const char *precision_name(PrecisionName name)
{
    static const char *const names[N_PRECISIONS] = {"fp32",          "bf16",          "fp16",
                                                    "autocast-bf16", "autocast-fp16", "fp8"};
    return names[name];
}

DType precision_compute(PrecisionName name)
{
    return name == PRECISION_FP8 ? DTYPE_BF16 : precisions[MIX_REPLICA][name].compute;
}

static Mix mix_of(Framework framework, Strategy strategy)
{
    if (framework != FRAMEWORK_PYTORCH)
        return MIX_MASTER;
    return strategy >= STRATEGY_ZERO2 ? MIX_FSDP : MIX_REPLICA;
}

gboolean precision_resolve(Framework framework, Strategy strategy, PrecisionName name,
                           Precision *precision, GError **error)
{
    if (framework != FRAMEWORK_PYTORCH && name >= PRECISION_AUTOCAST_BF16) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s is PyTorch's: with framework %s say %s", precision_name(name),
                    framework_name(framework), dtype_name(precision_compute(name)));
        return FALSE;
    }
    if (framework == FRAMEWORK_PAPER && name == PRECISION_FP32) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "the ZeRO paper's volumes are of 16-bit training (w = 2, K = 12): "
                    "say bf16 or fp16");
        return FALSE;
    }
    *precision = precisions[mix_of(framework, strategy)][name];
    return TRUE;
}
