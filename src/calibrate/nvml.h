/* SPDX-License-Identifier: MIT */
/* Driver, clocks, power and temperature by NVIDIA's management library, found when the program
 * runs; without it these stay zero and empty. */
#pragma once

#include "bench.h"

#ifdef __cplusplus
extern "C" {
#endif

/* GPUs by their place on the bus, as cudaDeviceGetPCIBusId() has it: NVML counts all GPUs in
 * the order of the bus, CUDA those that are visible, the fastest first. */

/* Fills in what NVML knows of the GPU. */
void nvml_describe(const char *pci_bus_id, Machine *machine);

/* Memory in use on the GPU by anyone; 0 without NVML. */
int64_t nvml_used_bytes(const char *pci_bus_id);

#ifdef __cplusplus
}
#endif
