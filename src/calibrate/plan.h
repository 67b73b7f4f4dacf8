/* SPDX-License-Identifier: MIT */
/* What zerosim-calibrate measures: the list of measurements in the order of their use to a
 * prediction, and the seconds each is expected to take. Plain C that knows neither CUDA nor
 * GLib: the list can be printed and tested where there is no GPU. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PLAN_MAX_DIMENSIONS 6

typedef enum { TYPE_FP32, TYPE_TF32, TYPE_BF16, TYPE_FP16, TYPE_FP8, N_TYPES } Type;

/* How a matrix product's operands lie in memory, as cuBLAS (column-major) names it, of
 * C[m,n] = A[m,k] B[k,n] in row-major terms. */
typedef enum {
    LAYOUT_TN, /* B is stored [n,k]: forward of a linear layer */
    LAYOUT_NN, /* both as written: gradient of its input */
    LAYOUT_NT, /* A is stored [k,m]: gradient of its weight */
} Layout;

typedef enum {
    MEASURE_KERNEL,       /* one kernel, shape and type: an entry of "kernels" */
    MEASURE_SUSTAINED,    /* the same kernel in a loop of a second, under its own heat */
    MEASURE_INTERFERENCE, /* a kernel beside a copy that holds some multiprocessors */
    MEASURE_CHAIN,        /* the kernels of a whole layer in a row */
    MEASURE_LAUNCH,       /* launch costs */
    MEASURE_TRANSFER,     /* copies between host and device */
    MEASURE_COLLECTIVE,   /* NCCL, with several GPUs */
    N_MEASURE_KINDS
} MeasureKind;

/* One row of the vocabulary that profiles share with the simulator. */
typedef struct {
    const char *name;
    const char *dimensions[PLAN_MAX_DIMENSIONS];
    const char
        *library; /* what runs it: "cuBLASLt", "cuDNN", "NCCL" or NULL: our own kernels */
} PlanOp;

typedef struct {
    MeasureKind kind;
    const PlanOp *op;
    Type type;
    int64_t dimension[PLAN_MAX_DIMENSIONS];
    bool probe;        /* judges interpolation, and isn't used for it */
    int stage;         /* index of its stage: earlier ones first */
    double estimate_s; /* of measuring it, fills and checks included */
} Measurement;

typedef struct {
    Measurement *items;
    size_t n, n_allocated;
    size_t *slots; /* open-addressing index of the items, to drop repetitions */
    size_t n_slots;
} Plan;

/* The stages in order: why something is measured where it is. */
typedef struct {
    const char *name;
    void (*add)(Plan *plan, int stage);
} PlanStage;

/* Everything that can be measured, sorted; `gpus` counts those present. */
Plan *plan_new(int gpus);
void plan_free(Plan *plan);

/* Ends the program when memory ends. */
void plan_add(Plan *plan, const Measurement *measurement);

const PlanOp *plan_op_find(const char *name);
const char *plan_kind_name(MeasureKind kind);
const char *plan_type_name(Type type);
int plan_type_bytes(Type type);
const char *plan_stage_name(int stage);
size_t plan_n_dimensions(const PlanOp *op);

/* Equal kind, op, type and dimensions. */
bool plan_same(const Measurement *a, const Measurement *b);

/* "gemm bf16 batch=1 m=4096 n=4096 k=4096 layout=0" */
void plan_describe(const Measurement *measurement, char *text, size_t size);

/* -- plan_models.c, plan_grid.c: the stages */
void plan_add_kernel(Plan *plan, int stage, const char *op, Type type,
                     const int64_t *dimension);
void plan_facts(Plan *plan, int stage);
void plan_models_usual(Plan *plan, int stage);
void plan_models_attention(Plan *plan, int stage);
void plan_models_elementwise(Plan *plan, int stage);
void plan_models_sustained(Plan *plan, int stage);
void plan_models_chains(Plan *plan, int stage);
void plan_models_all_tokens(Plan *plan, int stage);
void plan_models_autocast(Plan *plan, int stage);
void plan_models_further(Plan *plan, int stage);
void plan_models_shipped(Plan *plan, int stage);
void plan_models_eager(Plan *plan, int stage);
void plan_models_types(Plan *plan, int stage);
void plan_optimizers(Plan *plan, int stage);
void plan_interference(Plan *plan, int stage);
void plan_gemm_probes(Plan *plan, int stage);
void plan_gemm_irregular(Plan *plan, int stage);
void plan_gemm_grid(Plan *plan, int stage);
void plan_attention_grid(Plan *plan, int stage);
void plan_memory_grid(Plan *plan, int stage);
void plan_cnn(Plan *plan, int stage);
void plan_collectives(Plan *plan, int stage);

#ifdef __cplusplus
}
#endif
