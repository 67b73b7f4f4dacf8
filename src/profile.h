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

/* One measured kernel. */
typedef struct {
    Kernel kernel;
    double time_s;      /* the median of short bursts */
    double sustained_s; /* in a loop under its own heat; 0: not measured */
    gboolean probe;     /* judges interpolation, and isn't interpolated from */
    TimeSource source;  /* TIME_MEASURED or TIME_DERIVED */
    int file;           /* 1: the profile's own, then its overlays'; 0: none */
} ProfileEntry;

/* Kernels that a copy beside them slows down alike. */
typedef enum {
    INTERFERENCE_PRODUCT, /* matrix products and convolutions */
    INTERFERENCE_ATTENTION,
    INTERFERENCE_MEMORY, /* all that memory bounds */
    N_INTERFERENCE_GROUPS
} InterferenceGroup;

/* How many times longer both take while a copy holds so many multiprocessors. */
typedef struct {
    int n_sms;
    double kernel, copy;
} SlowDown;

typedef enum { TRANSFER_TO_DEVICE, TRANSFER_TO_HOST, TRANSFER_BOTH, N_TRANSFERS } TransferKind;

/* Measured beside single kernels: what they do to each other, and what issuing them takes. */
typedef struct {
    GPtrArray *slow_downs[N_INTERFERENCE_GROUPS]; /* GArray * of SlowDown, a kernel each */
    double chain_ratio; /* of a layer to the sum of its kernels; 1: not measured */
    int n_chains;       /* of which it is the median */
    double eager_launch_s, graph_gap_s, framework_launch_s; /* 0: not measured */
    double transfer_bytes_per_s[N_TRANSFERS];               /* the best; 0: not measured */
} ProfileFactors;

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
    double host_launch_s; /* the host's time to issue a kernel from the framework */
    gint64 context_bytes; /* CUDA context and loaded kernels */
    gint64 cublas_workspace_bytes;
    ProfileFactors factors;
    char *derived_from;  /* another GPU's profile, whose times were scaled; NULL: none */
    GPtrArray *overlays; /* char *: files laid over this one, in order */
    int n_files;         /* read so far: its own and overlays */
    GHashTable *entries; /* Kernel * to ProfileEntry *; empty in a data-sheet profile */
    /* The same entries by operation and data type; NULL: none. */
    GPtrArray *groups[N_KERNELS][N_DTYPES];
    /* What a sustained loop takes over a burst: the median of those measured both ways. */
    double sustained_ratio[N_KERNELS][N_DTYPES];
} Profile;

Profile *profile_load(const char *file, GError **error);
/* Lays the kernels of `file` over the profile: they win. A profile of the same GPU, an overlay
 * that has no facts, or the Chrome trace of a step by torch.profiler. `warnings` gets lines. */
gboolean profile_overlay(Profile *profile, const char *file, GPtrArray *warnings,
                         GError **error);
void profile_free(Profile *profile);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Profile, profile_free)

/* Exactly this kernel measured; else between measured neighbours; else roofline. Never fails,
 * and says which. */
KernelTime profile_lookup(const Profile *profile, const Kernel *kernel);

/* Whether any kernel was timed beside a copy. */
gboolean profile_has_interference(const Profile *profile);
/* What kernels of a class and a collective on n_sms multiprocessors do to each other. 1 and 1
 * where nothing was measured. Kernels that weren't measured are as those that memory bounds, or
 * else as matrix products. */
SlowDown profile_slow_down(const Profile *profile, KernelClass kernel_class, int n_sms);
/* What a kernel in its layer takes of its time alone: chain_ratio for those that chains hold.
 */
double profile_chain_ratio(const Profile *profile, KernelOp op);

const char *time_source_name(TimeSource source);

/* The kernel by which entries are found: what counts bytes has one data type. */
Kernel profile_key(const Kernel *kernel);
/* What an entry predicts: its time in a sustained loop, measured or by its group's ratio. */
double profile_entry_s(const Profile *profile, const ProfileEntry *entry);
/* Adds or replaces; sorts into groups when all are in. */
void profile_add_entry(Profile *profile, const ProfileEntry *entry);
void profile_group_entries(Profile *profile);

G_END_DECLS
