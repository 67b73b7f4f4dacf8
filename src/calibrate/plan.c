/* SPDX-License-Identifier: MIT */
/* The list of measurements: stages in the order of their worth, so that a budget that ends
 * early has bought the most. Which shapes stand in a stage is in plan_models.c and plan_grid.c.
 */
#include "plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const PlanStage stages[] = {
    {"ceilings, launches, copies", plan_facts},
    {"16-bit layers of the models at usual token counts", plan_models_usual},
    {"fused attention of the models", plan_models_attention},
    {"memory-bound kernels of the models", plan_models_elementwise},
    {"optimizers", plan_optimizers},
    {"interference with a copy kernel", plan_interference},
    {"matrix products and attention, sustained", plan_models_sustained},
    {"whole layers", plan_models_chains},
    {"collectives", plan_collectives},
    {"autocast's kernels", plan_models_autocast},
    {"probes of interpolation", plan_gemm_probes},
    {"grid of matrix products", plan_gemm_grid},
    {"irregular matrix products", plan_gemm_irregular},
    {"grid of attention", plan_attention_grid},
    {"grid of memory-bound kernels", plan_memory_grid},
    {"all shipped models at 4,096 tokens", plan_models_further},
    {"layers at all token counts", plan_models_all_tokens},
    {"eager attention", plan_models_eager},
    {"fp8, fp16, tf32 and fp32 layers", plan_models_types},
    {"convolutions", plan_cnn},
    {"linear layers of all shipped models at all token counts", plan_models_shipped},
};

#define N_STAGES ((int)(sizeof stages / sizeof *stages))

static void *allocate(void *old, size_t size)
{
    void *memory = realloc(old, size);
    if (!memory)
        abort();
    return memory;
}

bool plan_same(const Measurement *a, const Measurement *b)
{
    return a->kind == b->kind && a->op == b->op && a->type == b->type &&
           memcmp(a->dimension, b->dimension, sizeof a->dimension) == 0;
}

static size_t hash(const Measurement *m)
{
    uint64_t value = (uint64_t)m->kind * 31 + (uint64_t)m->type + (uint64_t)(uintptr_t)m->op;
    for (int i = 0; i < PLAN_MAX_DIMENSIONS; i++)
        value = (value ^ (uint64_t)m->dimension[i]) * UINT64_C(1099511628211);
    return (size_t)(value ^ (value >> 29));
}

/* The slot of an equal measurement, or the empty one where it belongs; slots hold index + 1. */
static size_t find_slot(const Plan *plan, const Measurement *m)
{
    size_t slot = hash(m) % plan->n_slots;
    while (plan->slots[slot] != 0 && !plan_same(&plan->items[plan->slots[slot] - 1], m))
        slot = (slot + 1) % plan->n_slots;
    return slot;
}

static void grow(Plan *plan)
{
    plan->n_allocated = plan->n_allocated ? 2 * plan->n_allocated : 1024;
    plan->n_slots = 4 * plan->n_allocated;
    plan->items = allocate(plan->items, plan->n_allocated * sizeof *plan->items);
    plan->slots = allocate(plan->slots, plan->n_slots * sizeof *plan->slots);
    memset(plan->slots, 0, plan->n_slots * sizeof *plan->slots);
    for (size_t i = 0; i < plan->n; i++)
        plan->slots[find_slot(plan, &plan->items[i])] = i + 1;
}

void plan_add(Plan *plan, const Measurement *measurement)
{
    if (plan->n == plan->n_allocated)
        grow(plan);
    size_t slot = find_slot(plan, measurement);
    if (plan->slots[slot] != 0)
        return;
    plan->items[plan->n++] = *measurement;
    plan->slots[slot] = plan->n;
}

/* What a measurement of a short kernel takes; a long one's runs come on top. Rates of a large
 * GPU of 2022; they only sort out how far a budget reaches. */
#define KERNEL_ESTIMATE_S 0.08
#define CUDNN_ESTIMATE_S 0.3 /* its graphs are compiled when they are first run; assumed */
#define RUNS_ESTIMATE 14
#define ESTIMATE_FLOP_PER_S 4e14
#define ESTIMATE_BYTES_PER_S 2e12

static double run_estimate_s(const Measurement *m)
{
    const int64_t *d = m->dimension;
    const double e = plan_type_bytes(m->type);
    const double slower = e == 4 ? 8 : 1;
    if (strcmp(m->op->name, "gemm") == 0)
        return 2.0 * slower * (double)d[0] * (double)d[1] * (double)d[2] * (double)d[3] /
               ESTIMATE_FLOP_PER_S;
    if (strncmp(m->op->name, "cudnn_attention", 15) == 0)
        return 10.0 * (double)d[0] * (double)d[1] * (double)d[1] * (double)d[2] * (double)d[4] /
               ESTIMATE_FLOP_PER_S;
    if (strcmp(m->op->name, "optimizer_step") == 0 || strcmp(m->op->name, "cast") == 0)
        return (double)d[0] * (double)d[1] / ESTIMATE_BYTES_PER_S;
    if (plan_n_dimensions(m->op) == 1)
        return (double)d[0] / ESTIMATE_BYTES_PER_S;
    return 8 * e * (double)d[0] * (double)d[1] / ESTIMATE_BYTES_PER_S;
}

void plan_add_kernel(Plan *plan, int stage, const char *op, Type type, const int64_t *dimension)
{
    Measurement m = {.kind = MEASURE_KERNEL,
                     .op = plan_op_find(op),
                     .type = type,
                     .stage = stage,
                     .estimate_s = KERNEL_ESTIMATE_S};
    if (!m.op)
        abort();
    memcpy(m.dimension, dimension, plan_n_dimensions(m.op) * sizeof *dimension);
    if (m.op->library && strcmp(m.op->library, "cuDNN") == 0)
        m.estimate_s = CUDNN_ESTIMATE_S;
    m.estimate_s += RUNS_ESTIMATE * run_estimate_s(&m);
    plan_add(plan, &m);
}

Plan *plan_new(int gpus)
{
    Plan *plan = allocate(NULL, sizeof *plan);
    memset(plan, 0, sizeof *plan);
    for (int i = 0; i < N_STAGES; i++) {
        if (stages[i].add != plan_collectives || gpus > 1)
            stages[i].add(plan, i);
    }
    return plan;
}

void plan_free(Plan *plan)
{
    free(plan->items);
    free(plan->slots);
    free(plan);
}

const char *plan_stage_name(int stage)
{
    return stage < N_STAGES ? stages[stage].name : NULL;
}

void plan_describe(const Measurement *m, char *text, size_t size)
{
    int used = snprintf(text, size, "%s %s", m->op->name, plan_type_name(m->type));
    for (size_t i = 0; i < plan_n_dimensions(m->op); i++) {
        if (used < 0 || (size_t)used >= size)
            return;
        used += snprintf(text + used, size - (size_t)used, " %s=%" PRId64, m->op->dimensions[i],
                         m->dimension[i]);
    }
}
