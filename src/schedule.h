/* SPDX-License-Identifier: MIT */
/* The waist of zerosim: everything one rank does in one training step, as a plain list of ops
 * in the order in which the host issues them, on a few CUDA-like streams. Time (sim), memory
 * (memory) and volume (metrics) are three readings of this list.
 *
 * Each stream runs its ops one after the other; an op also waits for the ops listed in its
 * waits. ALLOC and FREE take no time and take effect in the order of the list, as PyTorch's
 * caching allocator does at issue time. Knows nothing of models or strategies. */
#pragma once

#include "collective.h"
#include "kernel.h"
#include "profile.h"

#include <glib.h>
#include <stdio.h>

G_BEGIN_DECLS

typedef enum { OP_COMPUTE, OP_COLLECTIVE, OP_ALLOC, OP_FREE } OpKind;
typedef enum { PHASE_FORWARD, PHASE_BACKWARD, PHASE_UPDATE, N_PHASES } Phase;

/* A communicator runs its collectives in issue order, beside those of other communicators:
 * communicator c has the FIFO STREAM_NCCL + c, and STREAM_NCCL is the world's. One more
 * communicator needs one more stream here and its name in schedule.c. */
typedef enum {
    STREAM_COMPUTE,
    STREAM_ALL_GATHER,
    STREAM_REDUCE,
    STREAM_NCCL,
    STREAM_NCCL_2,
    STREAM_NCCL_3,
    STREAM_NCCL_4,
    STREAM_NCCL_5,
    N_STREAMS
} Stream;

#define MAX_COMMUNICATORS ((int)N_STREAMS - (int)STREAM_NCCL)

typedef enum {
    MEMORY_PARAMETERS,
    MEMORY_GRADIENTS,
    MEMORY_OPTIMIZER_STATES,
    MEMORY_MASTER_WEIGHTS,
    MEMORY_ACTIVATIONS,
    MEMORY_GATHERED_PARAMETERS,
    MEMORY_COMMUNICATION_BUFFERS,
    MEMORY_TEMPORARIES,
    MEMORY_FRAMEWORK,
    N_MEMORY_CATEGORIES
} MemoryCategory;

typedef struct {
    OpKind kind;
    Phase phase;
    Stream stream;
    int label;               /* index in Schedule.labels: "forward layers.3.mlp.up_proj" */
    int first_wait, n_waits; /* slice of Schedule.waits: op indices, each below this op's */
    /* COMPUTE: a run of kernels */
    double work_s;                    /* at the profile's speed, with launches */
    double source_s[N_TIME_SOURCES];  /* work_s by provenance */
    double class_s[N_KERNEL_CLASSES]; /* work_s by class of kernel */
    double flops;
    int n_launches;
    double host_s;               /* also of COLLECTIVE: what the host takes to issue it */
    int first_kernel, n_kernels; /* slice of Schedule.kernels */
    /* COLLECTIVE */
    CollectiveKind collective;
    int communicator; /* index in Job.communicators; 0: the world */
    gint64 payload_bytes;
    int root;          /* of broadcast and reduce: index among the group's members */
    gboolean averages; /* ncclAvg: NVSwitches can't reduce it */
    /* ALLOC and FREE */
    MemoryCategory category;
    gint64 bytes;
    int alloc; /* FREE: index of the ALLOC op */
} Op;

/* The host blocks before it issues op `before` until `op` has ended: a norm that is read, an
 * event that is synchronised. Later ops of all streams begin after that, and are issued after
 * it. */
typedef struct {
    int before, op;
} HostWait;

/* Memory that is there when the step begins and when it ends. */
typedef struct {
    MemoryCategory category;
    int label;
    gint64 bytes;
} PersistentBlock;

typedef struct {
    GArray *ops;              /* Op */
    GArray *waits;            /* int */
    GArray *host_waits;       /* HostWait, in the order of the list */
    GArray *kernels;          /* Kernel */
    GPtrArray *labels;        /* char * */
    GArray *persistent;       /* PersistentBlock */
    gint64 model_state_bytes; /* parameters, gradients, master weights, states; no buffers */
    int n_micro_steps;
    /* What the host takes to issue a kernel and a collective: set before ops are appended; 0,
     * the default: nothing. */
    double host_launch_s, host_collective_s;
    /* Likewise for each parameter that a framework's Python turns from a shard into the whole
     * and back, or whose gradient it takes over. */
    double host_parameter_s;
    /* private to schedule.c */
    GHashTable *label_index;
    int pending_wait[N_STREAMS]
                    [N_STREAMS];      /* op of the second that the first's next op waits for */
    int waited[N_STREAMS][N_STREAMS]; /* latest op of the second that the first waited for */
    int last_op[N_STREAMS];           /* latest timed op; -1: none */
    double pending_host_s;            /* the host's own work before the next timed op */
    int host_waited[N_STREAMS];       /* latest op that the host waited for; -1: none */
} Schedule;

Schedule *schedule_new(void);
void schedule_free(Schedule *schedule);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Schedule, schedule_free)

/* All append functions return the new op's index. */
int schedule_compute(Schedule *schedule, Stream stream, Phase phase, const char *label,
                     const Kernel *kernels, int n_kernels, const Profile *profile);
/* On the world. */
int schedule_collective(Schedule *schedule, Phase phase, const char *label, CollectiveKind kind,
                        gint64 payload_bytes, int root);
/* Among the rank's group of `communicator`, below MAX_COMMUNICATORS. */
int schedule_collective_on(Schedule *schedule, int communicator, Phase phase, const char *label,
                           CollectiveKind kind, gint64 payload_bytes, int root);
int schedule_alloc(Schedule *schedule, Stream stream, Phase phase, const char *label,
                   MemoryCategory category, gint64 bytes);
/* Frees what schedule_alloc returned; -1 and blocks of 0 bytes are ignored and give -1. */
int schedule_release(Schedule *schedule, Stream stream, Phase phase, int alloc);
void schedule_persistent(Schedule *schedule, const char *label, MemoryCategory category,
                         gint64 bytes);

/* cudaStreamWaitEvent: the next timed op on `stream` starts after `op` has ended; -1: nothing.
 */
void schedule_wait(Schedule *schedule, Stream stream, int op);
/* The same for everything that `other` was given so far. */
void schedule_wait_stream(Schedule *schedule, Stream stream, Stream other);
/* The host is busy with `n` parameters, and only then goes on issuing. */
void schedule_host_parameters(Schedule *schedule, int n);
/* The host blocks until `op` has ended, and only then goes on issuing; -1: nothing. */
void schedule_host_wait(Schedule *schedule, int op);
/* cudaDeviceSynchronize. */
void schedule_synchronize(Schedule *schedule);

const Op *schedule_op(const Schedule *schedule, int index);
int schedule_n_ops(const Schedule *schedule);
const char *schedule_label(const Schedule *schedule, int label);

/* Waits point backwards, blocks are freed once and all, streams exist, numbers are finite: a
 * schedule that fails is our mistake, and the message says which op. */
gboolean schedule_validate(const Schedule *schedule, GError **error);

/* One line an op: index, stream, kind, label, time or bytes, waits. */
void schedule_print(const Schedule *schedule, FILE *out);

const char *stream_name(Stream stream);
/* FIFO of a communicator. */
Stream stream_of_communicator(int communicator);
gboolean stream_is_communicator(Stream stream);
const char *phase_name(Phase phase);
const char *memory_category_name(MemoryCategory category);

/* Ranks in groups that are disjoint and together all of them, each a communicator of NCCL's. */
typedef struct {
    char *name; /* "world", "shard", "replicate" */
    int *group_of_rank;
    int n_groups;
    int *group_size; /* by group */
} Communicator;

/* The programs of a job, who runs which, and who communicates with whom. */
typedef struct {
    GPtrArray *programs; /* Schedule * */
    int *program_of_rank;
    int n_ranks;
    GPtrArray *communicators; /* Communicator *; the first is the world, one group */
} Job;

/* Without programs, all ranks on program 0, and the world as the only communicator. */
Job *job_new(int n_ranks);
void job_free(Job *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Job, job_free)
const Schedule *job_program(const Job *job, int rank);

/* Returns its index. group_of_rank is copied: 0 … n_groups - 1, each at least once. */
int job_add_communicator(Job *job, const char *name, const int *group_of_rank, int n_groups);
const Communicator *job_communicator(const Job *job, int communicator);
/* Ranks that are in the rank's group, itself included. */
int job_group_size(const Job *job, int communicator, int rank);
/* The group's ranks in ascending order; owned by the caller. */
int *job_group_members(const Job *job, int communicator, int group, int *n_members);

G_END_DECLS
