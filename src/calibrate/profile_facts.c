/* SPDX-License-Identifier: MIT */
/* The facts of a profile that follow from the machine and its measurements. Peaks come from a
 * data sheet if the file has them; else they are computed from the device's clock and the
 * operations that a multiprocessor of its generation finishes in a clock. */
#include "profile_out.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    const char *device, *name;
} NameRow;

static const NameRow names[] = {
    {"GH200", "gh200"},
    {"H100 80GB HBM3", "h100-sxm5-80gb"},
    {"H100 PCIe", "h100-pcie-80gb"},
    {"H100 NVL", "h100-nvl-94gb"},
    {"H200 NVL", "h200-nvl-141gb"},
    {"H200", "h200-sxm5-141gb"},
    {"A100-SXM4-80GB", "a100-sxm4-80gb"},
    {"A100-SXM4-40GB", "a100-sxm4-40gb"},
    {"A100 80GB PCIe", "a100-pcie-80gb"},
    {"A100-PCIE-40GB", "a100-pcie-40gb"},
    {"GB200", "gb200"},
    {"B200", "b200"},
    {"RTX 4090", "rtx4090"},
};

void profile_facts_name(const char *device, char *name, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strstr(device, names[i].device)) {
            snprintf(name, size, "%s", names[i].name);
            return;
        }
    }
    const char *from = strncmp(device, "NVIDIA ", 7) == 0 ? device + 7 : device;
    for (; *from && used + 1 < size; from++)
        name[used++] =
            isalnum((unsigned char)*from) ? (char)tolower((unsigned char)*from) : '-';
    name[used] = '\0';
}

static void set_fact(json_t *facts, const char *name, json_t *value, const char *source)
{
    json_object_set_new(facts, name, json_pack("{s:o, s:s}", "value", value, "source", source));
}

static double fact(const json_t *facts, const char *name)
{
    return json_number_value(json_object_get(json_object_get(facts, name), "value"));
}

/* Floating-point operations a clock and multiprocessor, dense (CUDA C++ Programming Guide,
 * arithmetic instructions; NVIDIA's white papers of each generation). */
typedef struct {
    int capability;
    int flop_a_clock[N_TYPES];
} GenerationRow;

static const GenerationRow generations[] = {
    {70, {[TYPE_FP32] = 128, [TYPE_FP16] = 1024}},
    {75, {[TYPE_FP32] = 128, [TYPE_FP16] = 1024}},
    {80, {[TYPE_FP32] = 128, [TYPE_TF32] = 1024, [TYPE_BF16] = 2048, [TYPE_FP16] = 2048}},
    {86, {[TYPE_FP32] = 256, [TYPE_TF32] = 512, [TYPE_BF16] = 1024, [TYPE_FP16] = 1024}},
    {89,
     {[TYPE_FP32] = 256,
      [TYPE_TF32] = 512,
      [TYPE_BF16] = 1024,
      [TYPE_FP16] = 1024,
      [TYPE_FP8] = 2048}},
    {90,
     {[TYPE_FP32] = 256,
      [TYPE_TF32] = 2048,
      [TYPE_BF16] = 4096,
      [TYPE_FP16] = 4096,
      [TYPE_FP8] = 8192}},
    {100,
     {[TYPE_FP32] = 256,
      [TYPE_TF32] = 4096,
      [TYPE_BF16] = 8192,
      [TYPE_FP16] = 8192,
      [TYPE_FP8] = 16384}},
    {120,
     {[TYPE_FP32] = 256,
      [TYPE_TF32] = 512,
      [TYPE_BF16] = 1024,
      [TYPE_FP16] = 1024,
      [TYPE_FP8] = 2048}},
};

static const GenerationRow *generation(int capability)
{
    const GenerationRow *best = &generations[0];
    for (size_t i = 0; i < sizeof generations / sizeof *generations; i++) {
        if (generations[i].capability <= capability)
            best = &generations[i];
    }
    return best;
}

static double dimension(const json_t *entry, const char *name)
{
    return json_number_value(json_object_get(json_object_get(entry, "dimensions"), name));
}

static bool entry_is(const json_t *entry, const char *op, const char *type)
{
    const char *is_op = json_string_value(json_object_get(entry, "op"));
    const char *is_type = json_string_value(json_object_get(entry, "dtype"));
    return is_op && is_type && strcmp(is_op, op) == 0 && (!type || strcmp(is_type, type) == 0);
}

static double time_of(const json_t *entry)
{
    return json_number_value(json_object_get(entry, "time_s"));
}

/* The best product of this type; 0 where none was measured. */
static double best_rate(const json_t *kernels, Type type)
{
    double best = 0;
    size_t i = 0;
    const json_t *entry = NULL;
    json_array_foreach((json_t *)kernels, i, entry)
    {
        if (!entry_is(entry, "gemm", plan_type_name(type)))
            continue;
        const double flops = 2 * dimension(entry, "batch") * dimension(entry, "m") *
                             dimension(entry, "n") * dimension(entry, "k");
        const double rate = flops / time_of(entry);
        best = rate > best ? rate : best;
    }
    return best;
}

static void set_peak(json_t *facts, const Machine *m, Type type, const char *name)
{
    char source[128];
    const int flop_a_clock = generation(m->compute_capability)->flop_a_clock[type];
    if (json_object_get(facts, name) || flop_a_clock == 0)
        return;
    snprintf(source, sizeof source,
             "computed, not a data sheet's: %d multiprocessors x %.0f MHz x %d a clock",
             m->n_sms, m->max_sm_clock_hz / 1e6, flop_a_clock);
    set_fact(facts, name, json_real(m->n_sms * m->max_sm_clock_hz * flop_a_clock), source);
}

/* The reader wants a peak and what products reach of it together, or neither. */
static void set_rates(json_t *facts, const json_t *kernels, const Machine *m, Type type)
{
    char name[48], peak_name[48];
    const double best = best_rate(kernels, type);
    snprintf(name, sizeof name, "achievable_%s_flop_per_s", plan_type_name(type));
    snprintf(peak_name, sizeof peak_name, "peak_%s_flop_per_s", plan_type_name(type));
    if (best == 0)
        return;
    set_peak(facts, m, type, peak_name);
    const double peak = fact(facts, peak_name);
    if (peak == 0)
        return;
    set_fact(facts, name, json_real(best < peak ? best : peak),
             best < peak ? "measured: the best of this file's products"
                         : "measured at or over the peak given here, which stands instead");
}

static void set_bandwidth(json_t *facts, const json_t *kernels)
{
    double best = 0;
    size_t i = 0;
    const json_t *entry = NULL;
    json_array_foreach((json_t *)kernels, i, entry)
    {
        if (!entry_is(entry, "copy", NULL) || dimension(entry, "bytes") < (1 << 28))
            continue;
        const double rate = 2 * dimension(entry, "bytes") / time_of(entry);
        best = rate > best ? rate : best;
    }
    if (best > 0)
        set_fact(facts, "achievable_memory_bytes_per_s", json_real(best),
                 "measured: the best of this file's large copies, reads and writes");
}

/* The best part of the peak that cuDNN's attention reaches. */
static void set_attention(json_t *facts, const json_t *kernels, const char *op,
                          const char *name, double products)
{
    const double peak = fact(facts, "peak_bf16_flop_per_s");
    double best = 0;
    size_t i = 0;
    const json_t *entry = NULL;
    json_array_foreach((json_t *)kernels, i, entry)
    {
        if (!entry_is(entry, op, "bf16"))
            continue;
        const double square = dimension(entry, "sequence") * dimension(entry, "sequence");
        const double flops = products * 2 * dimension(entry, "batch") *
                             dimension(entry, "heads") * square * dimension(entry, "head_dim") /
                             (1 + dimension(entry, "causal"));
        const double part = flops / time_of(entry) / peak;
        best = part > best ? part : best;
    }
    if (best > 0 && peak > 0)
        set_fact(facts, name, json_real(best < 1 ? best : 1),
                 "measured: the best of this file's entries");
}

static void set_launch(json_t *facts, const json_t *launch)
{
    size_t i = 0;
    const json_t *entry = NULL;
    json_array_foreach((json_t *)launch, i, entry)
    {
        if (entry_is(entry, "launch_back_to_back", NULL))
            set_fact(facts, "launch_s", json_real(time_of(entry)),
                     "measured: empty kernels launched back to back");
    }
}

void profile_facts_set(json_t *facts, const json_t *kernels, const json_t *launch,
                       const Machine *m)
{
    set_fact(facts, "compute_capability", json_integer(m->compute_capability), "the device");
    set_fact(facts, "n_sms", json_integer(m->n_sms), "the device");
    set_fact(facts, "memory_bytes", json_integer(m->memory_bytes), "cudaMemGetInfo");
    if (m->context_bytes > 0)
        set_fact(facts, "context_bytes", json_integer(m->context_bytes),
                 "measured: memory in use after the context was made less before, by NVML");
    if (!json_object_get(facts, "context_bytes"))
        set_fact(facts, "context_bytes", json_integer(0), "not measured: there was no NVML");
    set_fact(facts, "cublas_workspace_bytes",
             json_integer(m->compute_capability >= 90 ? 32 << 20 : 8519680),
             "PyTorch ATen/cuda/CublasHandlePool.cpp");
    for (int type = 0; type < N_TYPES; type++)
        set_rates(facts, kernels, m, (Type)type);
    if (!json_object_get(facts, "memory_bytes_per_s"))
        set_fact(
            facts, "memory_bytes_per_s",
            json_real(2 * m->max_memory_clock_hz * m->memory_bus_bits / 8),
            "computed, not a data sheet's: memory clock x bus width, two transfers a clock");
    set_bandwidth(facts, kernels);
    set_attention(facts, kernels, "cudnn_attention_forward", "cudnn_attention_forward_frac", 2);
    set_attention(facts, kernels, "cudnn_attention_backward", "cudnn_attention_backward_frac",
                  5);
    set_launch(facts, launch);
}
