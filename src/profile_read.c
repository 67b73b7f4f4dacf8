/* SPDX-License-Identifier: MIT */
/* Reads facts, each with its source; profile_kernels.c reads measured kernels,
 * profile_factors.c what isn't one kernel's time. What is absent and collectives are for people
 * and other programs: they must be arrays of objects and are left at that. */
#include "profile_read.h"

#include "constants.h"
#include "error.h"

#include <stddef.h>
#include <string.h>

typedef enum { FACT_INT, FACT_INT64, FACT_DOUBLE } FactType;

typedef struct {
    const char *name;
    gboolean required;
    FactType type;
    double minimum, maximum;
    size_t offset;
} Fact;

const char *const profile_sections[] = {"kernels", "absent",    "interference", "factors",
                                        "launch",  "transfers", "collectives",  NULL};

#define PEAK(dtype) offsetof(Profile, peak_flop_per_s[dtype])
#define ACHIEVABLE(dtype) offsetof(Profile, achievable_flop_per_s[dtype])

static const Fact facts[] = {
    {"compute_capability", TRUE, FACT_INT, 10, 999, offsetof(Profile, compute_capability)},
    {"n_sms", TRUE, FACT_INT, 1, 100000, offsetof(Profile, n_sms)},
    {"memory_bytes", TRUE, FACT_INT64, 1, 1e15, offsetof(Profile, memory_bytes)},
    {"context_bytes", TRUE, FACT_INT64, 0, 1e12, offsetof(Profile, context_bytes)},
    {"cublas_workspace_bytes", TRUE, FACT_INT64, 0, 1e12,
     offsetof(Profile, cublas_workspace_bytes)},
    {"peak_fp32_flop_per_s", TRUE, FACT_DOUBLE, 1e6, 1e18, PEAK(DTYPE_FP32)},
    {"peak_tf32_flop_per_s", FALSE, FACT_DOUBLE, 1e6, 1e18, PEAK(DTYPE_TF32)},
    {"peak_bf16_flop_per_s", FALSE, FACT_DOUBLE, 1e6, 1e18, PEAK(DTYPE_BF16)},
    {"peak_fp16_flop_per_s", FALSE, FACT_DOUBLE, 1e6, 1e18, PEAK(DTYPE_FP16)},
    {"peak_fp8_flop_per_s", FALSE, FACT_DOUBLE, 1e6, 1e18, PEAK(DTYPE_FP8)},
    {"achievable_fp32_flop_per_s", TRUE, FACT_DOUBLE, 1e6, 1e18, ACHIEVABLE(DTYPE_FP32)},
    {"achievable_tf32_flop_per_s", FALSE, FACT_DOUBLE, 1e6, 1e18, ACHIEVABLE(DTYPE_TF32)},
    {"achievable_bf16_flop_per_s", FALSE, FACT_DOUBLE, 1e6, 1e18, ACHIEVABLE(DTYPE_BF16)},
    {"achievable_fp16_flop_per_s", FALSE, FACT_DOUBLE, 1e6, 1e18, ACHIEVABLE(DTYPE_FP16)},
    {"achievable_fp8_flop_per_s", FALSE, FACT_DOUBLE, 1e6, 1e18, ACHIEVABLE(DTYPE_FP8)},
    {"memory_bytes_per_s", TRUE, FACT_DOUBLE, 1e6, 1e15, offsetof(Profile, memory_bytes_per_s)},
    {"achievable_memory_bytes_per_s", TRUE, FACT_DOUBLE, 1e6, 1e15,
     offsetof(Profile, achievable_memory_bytes_per_s)},
    {"attention_forward_frac", FALSE, FACT_DOUBLE, 0.01, 1,
     offsetof(Profile, attention_forward_frac)},
    {"attention_backward_frac", FALSE, FACT_DOUBLE, 0.01, 1,
     offsetof(Profile, attention_backward_frac)},
    {"cudnn_attention_forward_frac", FALSE, FACT_DOUBLE, 0.01, 1,
     offsetof(Profile, cudnn_attention_forward_frac)},
    {"cudnn_attention_backward_frac", FALSE, FACT_DOUBLE, 0.01, 1,
     offsetof(Profile, cudnn_attention_backward_frac)},
    {"launch_s", TRUE, FACT_DOUBLE, 1e-9, 1, offsetof(Profile, launch_s)},
    {"host_launch_s", FALSE, FACT_DOUBLE, 1e-9, 1, offsetof(Profile, host_launch_s)},
};

/* Reads {"value": ..., "source": "..."}; the source is required so that no number is an orphan.
 */
static gboolean fact_read(const JsonIn *in, const Fact *fact, GPtrArray *unknown,
                          Profile *profile, GError **error)
{
    static const char *const members[] = {"value", "source", NULL};
    g_autoptr(GStringChunk) paths = g_string_chunk_new(64);
    JsonIn member = {0};
    if (!json_in_object(in, fact->name, fact->required, paths, &member, error))
        return FALSE;
    if (!member.object)
        return TRUE;
    const char *source = NULL;
    if (!json_in_string(&member, "source", TRUE, &source, error) ||
        !json_in_check_members(&member, members, NULL, NULL, unknown, error))
        return FALSE;
    gint64 integer = 0;
    double real = 0;
    gboolean ok =
        fact->type == FACT_DOUBLE
            ? json_in_double(&member, "value", TRUE, fact->minimum, fact->maximum, &real, error)
            : json_in_int(&member, "value", TRUE, (gint64)fact->minimum, (gint64)fact->maximum,
                          &integer, error);
    if (!ok)
        return FALSE;
    void *field = (char *)profile + fact->offset;
    switch (fact->type) {
    case FACT_INT:
        *(int *)field = (int)integer;
        break;
    case FACT_INT64:
        *(gint64 *)field = integer;
        break;
    case FACT_DOUBLE:
        *(double *)field = real;
        break;
    }
    return TRUE;
}

/* A data type the GPU computes in has both a peak and what matrix products reach of it. */
static gboolean rates_check(const Profile *profile, GError **error)
{
    for (int i = 0; i < N_DTYPES; i++) {
        const double peak = profile->peak_flop_per_s[i];
        const double achievable = profile->achievable_flop_per_s[i];
        if ((peak > 0) == (achievable > 0) && achievable <= peak)
            continue;
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: facts.achievable_%s_flop_per_s must be given together with "
                    "peak_%s_flop_per_s and be no larger",
                    profile->file, dtype_name(i), dtype_name(i));
        return FALSE;
    }
    return TRUE;
}

/* Shah et al., "FlashAttention-3" (2024): FlashAttention-2 reaches 35 % of peak on an H100.
 * Taken where a file has no part of the peak for a kind of attention, so that its roofline
 * isn't the peak itself. */
#define ASSUMED_ATTENTION_FRAC 0.35

static void assume_attention(Profile *profile)
{
    double *const fracs[] = {
        &profile->attention_forward_frac, &profile->attention_backward_frac,
        &profile->cudnn_attention_forward_frac, &profile->cudnn_attention_backward_frac};
    for (gsize i = 0; i < G_N_ELEMENTS(fracs); i++) {
        if (*fracs[i] == 0)
            *fracs[i] = ASSUMED_ATTENTION_FRAC;
    }
}

gboolean profile_read_facts(const JsonIn *root, GPtrArray *unknown, Profile *profile,
                            GError **error)
{
    g_autoptr(GStringChunk) paths = g_string_chunk_new(64);
    const char *names[G_N_ELEMENTS(facts) + 1] = {NULL};
    JsonIn in = {0};
    if (!json_in_object(root, "facts", TRUE, paths, &in, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(facts); i++)
        names[i] = facts[i].name;
    if (!json_in_check_members(&in, names, NULL, NULL, unknown, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(facts); i++) {
        if (!fact_read(&in, &facts[i], unknown, profile, error))
            return FALSE;
    }
    assume_attention(profile);
    if (profile->host_launch_s == 0)
        profile->host_launch_s = constant(CONSTANT_HOST_LAUNCH_S);
    return rates_check(profile, error);
}

gboolean profile_check_sections(const JsonIn *root, GError **error)
{
    for (const char *const *name = profile_sections; *name; name++) {
        const json_t *section = json_object_get(root->object, *name);
        if (section && !json_is_array(section)) {
            g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s: must be an array",
                        root->file, *name);
            return FALSE;
        }
        for (size_t i = 0; i < json_array_size(section); i++) {
            if (json_is_object(json_array_get(section, i)))
                continue;
            g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s[%zu]: must be an object",
                        root->file, *name, i);
            return FALSE;
        }
    }
    return TRUE;
}
