/* SPDX-License-Identifier: MIT */
/* libnvidia-ml comes with the driver, not with the toolkit, so it is opened by name, and the
 * functions that are used are declared here as its documentation has them. */
#include "nvml.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    unsigned long long total, free, used;
} NvmlMemory;

typedef struct {
    void *library;
    int (*start)(void);
    int (*stop)(void);
    int (*driver)(char *, unsigned);
    int (*device)(const char *, void **);
    int (*power_limit)(void *, unsigned *);
    int (*temperature)(void *, int, unsigned *);
    int (*clock)(void *, int, unsigned *);
    int (*memory)(void *, NvmlMemory *);
} Nvml;

#define NVML_CLOCK_SM 1
#define NVML_TEMPERATURE_GPU 0

static bool find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol); /* ISO C has no cast between the two */
    return symbol != NULL;
}

static bool nvml_open(Nvml *nvml, const char *pci_bus_id, void **device)
{
    nvml->library = dlopen("libnvidia-ml.so.1", RTLD_NOW);
    if (!nvml->library)
        return false;
    if (find(nvml->library, "nvmlInit_v2", &nvml->start) &&
        find(nvml->library, "nvmlShutdown", &nvml->stop) &&
        find(nvml->library, "nvmlSystemGetDriverVersion", &nvml->driver) &&
        find(nvml->library, "nvmlDeviceGetHandleByPciBusId_v2", &nvml->device) &&
        find(nvml->library, "nvmlDeviceGetEnforcedPowerLimit", &nvml->power_limit) &&
        find(nvml->library, "nvmlDeviceGetTemperature", &nvml->temperature) &&
        find(nvml->library, "nvmlDeviceGetClockInfo", &nvml->clock) &&
        find(nvml->library, "nvmlDeviceGetMemoryInfo", &nvml->memory) && nvml->start() == 0) {
        if (nvml->device(pci_bus_id, device) == 0)
            return true;
        nvml->stop();
    }
    dlclose(nvml->library);
    return false;
}

static void nvml_close(const Nvml *nvml)
{
    nvml->stop();
    dlclose(nvml->library);
}

void nvml_describe(const char *pci_bus_id, Machine *machine)
{
    Nvml nvml;
    void *device = NULL;
    unsigned value = 0;
    if (!nvml_open(&nvml, pci_bus_id, &device))
        return;
    nvml.driver(machine->driver, sizeof machine->driver);
    if (nvml.power_limit(device, &value) == 0)
        machine->power_limit_w = value / 1e3;
    if (nvml.temperature(device, NVML_TEMPERATURE_GPU, &value) == 0)
        machine->temperature_c = value;
    if (nvml.clock(device, NVML_CLOCK_SM, &value) == 0)
        machine->sm_clock_hz = value * 1e6;
    nvml_close(&nvml);
}

int64_t nvml_used_bytes(const char *pci_bus_id)
{
    Nvml nvml;
    NvmlMemory memory = {0};
    void *device = NULL;
    if (!nvml_open(&nvml, pci_bus_id, &device))
        return 0;
    if (nvml.memory(device, &memory) != 0)
        memory.used = 0;
    nvml_close(&nvml);
    return (int64_t)memory.used;
}
