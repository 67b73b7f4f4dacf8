/* SPDX-License-Identifier: MIT */
/* Driver, clocks, power and temperature by NVIDIA's management library, found when the program
 * runs; without it these stay zero and empty. */
#pragma once

#include "bench.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fills in what NVML knows of the first GPU. */
void nvml_describe(Machine *machine);

/* Memory in use on the first GPU by anyone; 0 without NVML. */
int64_t nvml_used_bytes(void);

#ifdef __cplusplus
}
#endif
