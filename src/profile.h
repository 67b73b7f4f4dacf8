/* SPDX-License-Identifier: MIT */
/* What a GPU can do: data-sheet facts and kernel times with their provenance, read from
 * platforms/gpus/<gpu>.json. Every time it gives says where it comes from. */
#pragma once

#include "kernel.h"

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
    TIME_MEASURED,     /* this kernel, this shape, this GPU */
    TIME_INTERPOLATED, /* between measured neighbours */
    TIME_DERIVED,      /* measured on another GPU, scaled by data-sheet ratios */
    TIME_ROOFLINE,     /* data-sheet ceilings */
    N_TIME_SOURCES
} TimeSource;

typedef struct {
    double time_s;
    TimeSource source;
} KernelTime;

typedef struct {
    char *name; /* "h100-sxm5-80gb" */
    char *file;
    char *sha256;           /* of the file, hexadecimal */
    int compute_capability; /* 90: SM 9.0 */
    int n_sms;
    gint64 memory_bytes;                    /* visible to a process */
    double peak_flop_per_s[N_DTYPES];       /* data sheet, dense; 0: unsupported */
    double achievable_flop_per_s[N_DTYPES]; /* best matmul seen, of any shape */
    double memory_bytes_per_s;              /* data sheet */
    double achievable_memory_bytes_per_s;
    /* Fused attention, as parts of peak_flop_per_s: the flash kernels and cuDNN's. */
    double attention_forward_frac, attention_backward_frac;
    double cudnn_attention_forward_frac, cudnn_attention_backward_frac;
    double launch_s;      /* shortest kernel, start to start, back to back */
    gint64 context_bytes; /* CUDA context and loaded kernels */
    gint64 cublas_workspace_bytes;
    GHashTable
        *entries; /* Kernel * to double *, measured seconds; none in a data-sheet profile */
} Profile;

Profile *profile_load(const char *file, GError **error);
void profile_free(Profile *profile);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Profile, profile_free)

/* Never fails: what no measurement covers is roofline, and says so. */
KernelTime profile_lookup(const Profile *profile, const Kernel *kernel);

const char *time_source_name(TimeSource source);

G_END_DECLS
