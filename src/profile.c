/* SPDX-License-Identifier: MIT */
/* Reads a GPU profile and answers how long a kernel takes. The file is strict JSON:
 *
 *   {
 *     "format": "zerosim-profile", "version": 1,
 *     "gpu": "h100-sxm5-80gb",
 *     "facts": {"n_sms": {"value": 132, "source": "NVIDIA H100 data sheet"}, ...},
 *     "provenance": {...},
 *     "kernels": [{"op": "gemm", "dtype": "bf16",
 *                  "dimensions": {"batch": 1, "m": 4096, "n": 4096, "k": 4096},
 *                  "time_s": 2.1e-4, "p10_s": 2.0e-4, "p90_s": 2.3e-4,
 *                  "implementation": "cuBLAS"}, ...]
 *   }
 *
 * Each fact of the table below is an object of a value and where it comes from. `provenance`
 * (machine, driver, library versions, date of the measurement) is for the reader and is not
 * interpreted. A kernel's time is the median of its runs; p10_s, p90_s and implementation are
 * optional. A data-sheet profile has no kernels.
 *
 * A kernel that was measured with exactly this shape is answered by that time; every other one
 * by profile_roofline.c. Interpolation between measured shapes is left out. */
#include "profile.h"

#include "error.h"
#include "json_in.h"
#include "profile_roofline.h"

#include <stddef.h>
#include <string.h>

#define LARGEST_SIZE (G_GINT64_CONSTANT(1) << 50)

typedef enum { FACT_INT, FACT_INT64, FACT_DOUBLE } FactType;

typedef struct {
    const char *name;
    gboolean required;
    FactType type;
    double minimum, maximum;
    size_t offset;
} Fact;

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
    {"attention_forward_frac", TRUE, FACT_DOUBLE, 0.01, 1,
     offsetof(Profile, attention_forward_frac)},
    {"attention_backward_frac", TRUE, FACT_DOUBLE, 0.01, 1,
     offsetof(Profile, attention_backward_frac)},
    {"cudnn_attention_forward_frac", TRUE, FACT_DOUBLE, 0.01, 1,
     offsetof(Profile, cudnn_attention_forward_frac)},
    {"cudnn_attention_backward_frac", TRUE, FACT_DOUBLE, 0.01, 1,
     offsetof(Profile, cudnn_attention_backward_frac)},
    {"launch_s", TRUE, FACT_DOUBLE, 1e-9, 1, offsetof(Profile, launch_s)},
};

static const char *const time_source_names[N_TIME_SOURCES] = {"measured", "interpolated",
                                                              "derived", "roofline"};

const char *time_source_name(TimeSource source)
{
    return time_source_names[source];
}

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

static gboolean facts_read(const JsonIn *root, GPtrArray *unknown, Profile *profile,
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
    return rates_check(profile, error);
}

static gboolean name_error(const JsonIn *in, const char *key, const char *value, GError **error)
{
    g_autofree char *quoted = g_strescape(value, NULL);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s.%s: there is no %s \"%.60s\"",
                in->file, in->path, key, key, quoted);
    return FALSE;
}

static gboolean dimensions_read(const JsonIn *entry, GPtrArray *unknown, Kernel *kernel,
                                GError **error)
{
    g_autoptr(GStringChunk) paths = g_string_chunk_new(64);
    const char *const *names = kernel_dimension_names(kernel->op);
    const char *members[KERNEL_MAX_DIMENSIONS + 1] = {NULL};
    JsonIn in = {0};
    if (!json_in_object(entry, "dimensions", TRUE, paths, &in, error))
        return FALSE;
    for (int i = 0; i < KERNEL_MAX_DIMENSIONS && names[i]; i++) {
        members[i] = names[i];
        const gboolean optional = kernel_dimension_is_optional(names[i]);
        const gboolean may_be_zero = optional || strcmp(names[i], "causal") == 0;
        if (!json_in_int(&in, names[i], !optional, may_be_zero ? 0 : 1, LARGEST_SIZE,
                         &kernel->dimension[i], error))
            return FALSE;
    }
    return json_in_check_members(&in, members, NULL, NULL, unknown, error);
}

static gboolean kernel_read(const JsonIn *in, GPtrArray *unknown, Kernel *kernel,
                            double *time_s, GError **error)
{
    static const char *const members[] = {"op",    "dtype", "dimensions",     "time_s",
                                          "p10_s", "p90_s", "implementation", NULL};
    const char *op = NULL, *dtype = NULL, *implementation = NULL;
    if (!json_in_check_members(in, members, NULL, NULL, unknown, error) ||
        !json_in_string(in, "op", TRUE, &op, error) ||
        !json_in_string(in, "dtype", TRUE, &dtype, error))
        return FALSE;
    if (!kernel_op_parse(op, &kernel->op))
        return name_error(in, "op", op, error);
    if (!dtype_parse(dtype, &kernel->dtype))
        return name_error(in, "dtype", dtype, error);
    double p10_s = 0, p90_s = 3600;
    if (!dimensions_read(in, unknown, kernel, error) ||
        !json_in_double(in, "time_s", TRUE, 1e-9, 3600, time_s, error) ||
        !json_in_double(in, "p10_s", FALSE, 1e-9, 3600, &p10_s, error) ||
        !json_in_double(in, "p90_s", FALSE, 1e-9, 3600, &p90_s, error) ||
        !json_in_string(in, "implementation", FALSE, &implementation, error))
        return FALSE;
    if (p10_s <= *time_s && *time_s <= p90_s)
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "%s: %s.time_s: the median %g must lie between p10_s and p90_s", in->file,
                in->path, *time_s);
    return FALSE;
}

static gboolean kernels_read(const JsonIn *root, GPtrArray *unknown, Profile *profile,
                             GError **error)
{
    const json_t *kernels = json_object_get(root->object, "kernels");
    if (kernels && !json_is_array(kernels)) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: kernels: must be an array",
                    profile->file);
        return FALSE;
    }
    for (size_t i = 0; i < json_array_size(kernels); i++) {
        g_autofree char *path = g_strdup_printf("kernels[%zu]", i);
        JsonIn in = {json_array_get(kernels, i), profile->file, path};
        g_autofree Kernel *kernel = g_new0(Kernel, 1);
        g_autofree double *time_s = g_new0(double, 1);
        if (!json_is_object(in.object)) {
            g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s: must be an object",
                        profile->file, path);
            return FALSE;
        }
        if (!kernel_read(&in, unknown, kernel, time_s, error))
            return FALSE;
        if (g_hash_table_contains(profile->entries, kernel)) {
            g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                        "%s: %s: the same kernel and shape stands in an earlier entry; keep "
                        "the one PyTorch runs",
                        profile->file, path);
            return FALSE;
        }
        g_hash_table_insert(profile->entries, g_steal_pointer(&kernel),
                            g_steal_pointer(&time_s));
    }
    return TRUE;
}

static gboolean header_read(const JsonIn *root, GPtrArray *unknown, Profile *profile,
                            GError **error)
{
    static const char *const members[] = {"format",     "version", "gpu", "facts",
                                          "provenance", "kernels", NULL};
    const char *format = NULL, *name = NULL;
    gint64 version = 0;
    if (!json_in_string(root, "format", TRUE, &format, error))
        return FALSE;
    if (strcmp(format, "zerosim-profile") != 0) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: format: must be \"zerosim-profile\" to be a GPU profile",
                    profile->file);
        return FALSE;
    }
    if (!json_in_int(root, "version", TRUE, 1, 1, &version, error) ||
        !json_in_string(root, "gpu", TRUE, &name, error) ||
        !json_in_check_members(root, members, NULL, NULL, unknown, error))
        return FALSE;
    profile->name = g_strdup(name);
    return TRUE;
}

Profile *profile_load(const char *file, GError **error)
{
    g_autoptr(Profile) profile = g_new0(Profile, 1);
    g_autoptr(GPtrArray) unknown = g_ptr_array_new_with_free_func(g_free);
    gsize length = 0;
    profile->file = g_strdup(file);
    profile->entries = g_hash_table_new_full(kernel_hash, kernel_equal, g_free, g_free);

    g_autoptr(json_t) document = json_in_load(file, error);
    if (!document)
        return NULL;
    g_autofree char *text = json_in_read_text(file, JSON_IN_MAX_BYTES, &length, error);
    if (!text)
        return NULL;
    profile->sha256 = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (guchar *)text, length);

    const JsonIn root = {document, file, ""};
    if (!header_read(&root, unknown, profile, error) ||
        !facts_read(&root, unknown, profile, error) ||
        !kernels_read(&root, unknown, profile, error))
        return NULL;
    if (unknown->len > 0) { /* our own format: a member nobody knows is a mistake */
        g_set_error_literal(error, ZEROSIM_ERROR, ERROR_INPUT, g_ptr_array_index(unknown, 0));
        return NULL;
    }
    return g_steal_pointer(&profile);
}

void profile_free(Profile *profile)
{
    g_free(profile->name);
    g_free(profile->file);
    g_free(profile->sha256);
    g_hash_table_unref(profile->entries);
    g_free(profile);
}

KernelTime profile_lookup(const Profile *profile, const Kernel *kernel)
{
    const double *measured_s = g_hash_table_lookup(profile->entries, kernel);
    if (measured_s)
        return (KernelTime){*measured_s, TIME_MEASURED};
    return (KernelTime){profile_roofline_s(profile, kernel), TIME_ROOFLINE};
}
