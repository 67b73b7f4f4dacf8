/* SPDX-License-Identifier: MIT */
/* What the plain C part of zerosim-calibrate asks of its CUDA part: open the GPU, measure one
 * item of the plan, describe the machine. Nothing here throws or prints. */
#pragma once

#include "plan.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Bench Bench;

typedef enum {
    RESULT_MEASURED,
    RESULT_ABSENT, /* this GPU, this build or this library can't: the reason says which */
    RESULT_WRONG,  /* the kernel's result disagrees with the reference: not timed */
    RESULT_BROKEN, /* the GPU no longer answers: nothing more can be measured */
} ResultStatus;

#define RESULT_MAX_VALUES 24

/* Values beside a kernel's time, such as the slow-down beside a copy on 8 multiprocessors. */
typedef struct {
    char name[32];
    double value;
} ResultValue;

typedef struct {
    ResultStatus status;
    char implementation[64];
    char reason[192];
    double time_s, p10_s, p90_s;
    double sustained_s; /* 0: not measured */
    ResultValue values[RESULT_MAX_VALUES];
    int n_values;
} Result;

typedef struct {
    char name[256];
    int compute_capability, n_sms, n_gpus;
    int64_t memory_bytes, context_bytes, l2_bytes;
    double max_sm_clock_hz, max_memory_clock_hz, memory_bus_bits;
    char driver[96], cuda[48], cublaslt[48], cudnn[48], nccl[48];
    /* By NVML; 0 where it isn't there. */
    double power_limit_w, temperature_c, sm_clock_hz;
} Machine;

/* What the build found: "13.0", or NULL. */
typedef struct {
    const char *cuda, *cublaslt, *cudnn, *nccl, *architectures;
} BuildFacts;

BuildFacts bench_build_facts(void);

/* GPUs that answer; 0 with one line why. */
int bench_count_gpus(char *reason, size_t size);

/* NULL with one line why. */
Bench *bench_open(char *reason, size_t size);
void bench_close(Bench *bench);

void bench_describe(const Bench *bench, Machine *machine);
void bench_measure(Bench *bench, const Measurement *measurement, Result *result);

#ifdef __cplusplus
}
#endif
