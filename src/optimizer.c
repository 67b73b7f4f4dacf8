/* SPDX-License-Identifier: MIT */
/* Optimizers: bytes of state, temporaries, and memory traffic of a step. A step is bound by
 * memory, so a row counts how often each element of each tensor is read or written. What an
 * optimizer computes is left out. */
#include "optimizer.h"

/* Full-size tensors are of two kinds: parameters, gradients (and copies of gradients), stored
 * in the parameter's type; states (and the temporaries made of them), stored in the state's
 * type. Accesses are reads plus writes of one element. */
typedef struct {
    const char *name;
    int n_states;
    struct {
        int parameter, state; /* accesses; 0: nobody wrote that kernel */
    } fused, foreach;
    int foreach_passes;      /* kernels over everything */
    int foreach_temporaries; /* full-size, in the parameter's type */
    gboolean l2;             /* weight decay is added to a copy of the gradient */
} Row;

/* fused: Adam reads p, g, m, v and writes p, m, v: 28 B a parameter in fp32. LAMB runs in two
 * stages with norms between them (Apex multi_tensor_lamb.cu): g for the global norm; p, g, m, v
 * in, update, m, v out; p and update for their norms; p and update in, p out.
 *
 * foreach: the passes of torch/optim/<name>.py, _multi_tensor_<name>(), counted one by one.
 *   adamw    p *= 2; m.lerp(g) 3; v *= 2; v.addcmul(g, g) 3; t = sqrt(v) 2; t /= 2; t += 2;
 *            p.addcdiv(m, t) 4: 20 accesses, 80 B in fp32, 2.9 times the fused kernel
 *   adam     the same without p *= (L2 decay: + g' = g + wd p 3)
 *   sgd      p += g 3;  momentum: b *= 2, b += g 3, p += b 3
 *   adagrad  s.addcmul 3; t = sqrt(s) 2; t += 2; n = g * lr 2; p.addcdiv(n, t) 4
 *   rmsprop  s *= 2; s.addcmul 3; t = sqrt(s) 2; t += 2; p.addcdiv(g, t) 4
 *   lion     p *= 2; u = lerp(m, g) 3; sign(u) 2; p += u 3; m.lerp(g) 3
 *   lamb     adamw's without p.addcdiv, u = m / t 3, u += wd p 3, norms of p and u 2, p += u 3
 *   adafactor (per tensor) u = g * g 2; means over rows and columns 2; estimate written 1; u =
 * g * estimate 3; norm 1; u / d 2; u * lr 2; p += u 3 */
static const Row rows[N_OPTIMIZERS] = {
    [OPTIMIZER_SGD] = {"sgd", 0, {3, 0}, {3, 0}, 1, 0, TRUE},
    [OPTIMIZER_MOMENTUM] = {"momentum", 1, {3, 2}, {3, 5}, 3, 0, TRUE},
    [OPTIMIZER_ADAGRAD] = {"adagrad", 1, {0, 0}, {6, 7}, 5, 2, FALSE},
    [OPTIMIZER_RMSPROP] = {"rmsprop", 1, {0, 0}, {4, 9}, 5, 1, TRUE},
    [OPTIMIZER_ADAM] = {"adam", 2, {3, 4}, {4, 14}, 7, 1, TRUE},
    [OPTIMIZER_ADAMW] = {"adamw", 2, {3, 4}, {6, 14}, 8, 1, FALSE},
    [OPTIMIZER_LAMB] = {"lamb", 2, {9, 4}, {14, 13}, 12, 2, FALSE},
    [OPTIMIZER_ADAFACTOR] = {"adafactor", 0, {0, 0}, {16, 0}, 10, 2, FALSE},
    [OPTIMIZER_LION] = {"lion", 1, {3, 2}, {10, 3}, 5, 1, FALSE},
    [OPTIMIZER_ADAM8BIT] = {"adam8bit", 2, {3, 4}, {0, 0}, 0, 0, FALSE},
};

/* bitsandbytes: an fp32 scale a block and state; small tensors keep fp32 states. */
#define ADAM8BIT_BLOCK 256
#define ADAM8BIT_MIN_SIZE 4096

/* ATen/native/cuda/MultiTensorApply.cuh: a launch takes up to 320 blocks of 65,536 elements,
 * and up to 48 tensors of 3 lists each, 36 of 4. Apex's and DeepSpeed's copies are the same. */
#define ELEMENTS_A_LAUNCH (G_GINT64_CONSTANT(320) * 65536)
#define FOREACH_TENSORS_A_LAUNCH 48
#define FUSED_TENSORS_A_LAUNCH 36

const char *optimizer_name(OptimizerKind kind)
{
    return rows[kind].name;
}

const char *implementation_name(Implementation implementation)
{
    static const char *const names[] = {"fused", "foreach", "loop"};
    return names[implementation];
}

gboolean optimizer_has(OptimizerKind kind, Implementation implementation)
{
    const Row *row = &rows[kind];
    return (implementation == IMPLEMENTATION_FUSED ? row->fused : row->foreach).parameter > 0;
}

static gint64 divide_up(gint64 a, gint64 b)
{
    return (a + b - 1) / b;
}

gint64 optimizer_state_bytes(const Optimizer *optimizer, gint64 n_rows, gint64 columns,
                             DType state)
{
    const gint64 numel = n_rows * columns;

    if (optimizer->kind == OPTIMIZER_ADAFACTOR)
        return (columns > 1 ? n_rows + columns : numel) * dtype_bytes(state);
    if (optimizer->kind == OPTIMIZER_ADAM8BIT) {
        if (numel < ADAM8BIT_MIN_SIZE)
            return 2 * 4 * numel;
        return 2 * (numel + 4 * divide_up(numel, ADAM8BIT_BLOCK));
    }
    return rows[optimizer->kind].n_states * numel * dtype_bytes(state);
}

gint64 optimizer_temporary_bytes(const Optimizer *optimizer, gint64 numel, gint64 largest_numel,
                                 DType dtype)
{
    const Row *row = &rows[optimizer->kind];
    const int n = row->foreach_temporaries + (row->l2 && optimizer->weight_decay != 0);

    switch (optimizer->implementation) {
    case IMPLEMENTATION_FUSED:
        return 0;
    case IMPLEMENTATION_FOREACH:
        return n * numel * dtype_bytes(dtype);
    case IMPLEMENTATION_LOOP:
        return n * largest_numel * dtype_bytes(dtype);
    }
    g_assert_not_reached();
}

static gint64 launches(const Optimizer *optimizer, int passes, gint64 numel, gint64 n_tensors)
{
    const gint64 chunks = divide_up(numel, ELEMENTS_A_LAUNCH);

    /* bitsandbytes launches a kernel a tensor. */
    if (optimizer->kind == OPTIMIZER_ADAM8BIT)
        return n_tensors;
    switch (optimizer->implementation) {
    case IMPLEMENTATION_FUSED:
        return passes * MAX(chunks, divide_up(n_tensors, FUSED_TENSORS_A_LAUNCH));
    case IMPLEMENTATION_FOREACH:
        return passes * MAX(chunks, divide_up(n_tensors, FOREACH_TENSORS_A_LAUNCH));
    case IMPLEMENTATION_LOOP:
        return passes * n_tensors;
    }
    g_assert_not_reached();
}

Kernel optimizer_kernel(const Optimizer *optimizer, gint64 numel, gint64 n_tensors, DType dtype,
                        DType state)
{
    const Row *row = &rows[optimizer->kind];
    const gboolean fused = optimizer->implementation == IMPLEMENTATION_FUSED;
    const gboolean decays = !fused && row->l2 && optimizer->weight_decay != 0;
    const int state_size = optimizer->kind == OPTIMIZER_ADAM8BIT ? 1 : dtype_bytes(state);
    const int fused_passes = optimizer->kind == OPTIMIZER_LAMB ? 4 : 1;

    g_assert(optimizer_has(optimizer->kind, optimizer->implementation));
    /* The decay's pass reads gradient and parameter and writes the copy. */
    const int parameter =
        (fused ? row->fused.parameter : row->foreach.parameter) + (decays ? 3 : 0);
    const int states = fused ? row->fused.state : row->foreach.state;
    const int passes = (fused ? fused_passes : row->foreach_passes) + decays;
    return (Kernel){
        .op = KERNEL_OPTIMIZER_STEP,
        .dtype = dtype,
        .dimension = {numel, parameter * dtype_bytes(dtype) + states * state_size,
                      launches(optimizer, passes, numel, n_tensors)},
    };
}
