/* SPDX-License-Identifier: MIT */
/* Why a step takes as long as it does: the critical path through ops, hosts and links, what it
 * is made of, which links bind it, and which bandwidth between nodes would do. Read from the
 * job and its timeline; only explain_bandwidth() simulates. What the path leaves out would have
 * to be slower to matter: it says nothing of what would be critical next. */
#pragma once

#include "sim.h"

#include <glib.h>

G_BEGIN_DECLS

/* HOST: the rank's host issues ops, and the GPU waits for it. */
typedef enum { PATH_KERNELS, PATH_COLLECTIVE, PATH_HOST, N_PATH_KINDS } PathKind;

typedef struct {
    PathKind kind;
    double begin_s, end_s;
    int rank;        /* of a collective: one that waits for its end */
    int op;          /* HOST: the op that it issues */
    int link_class;  /* COLLECTIVE: that its bytes use most, once explain_links() says; -1 */
    double slowed_s; /* KERNELS: of their time, lost to collectives beside them */
} PathElement;

/* PathElement, in order of time, from 0 to the step's end: each begins at the instant at which
 * the one before it ends. What precedes an op is whatever it waited for that ended last: the op
 * before it on its stream, an op that it or the host was told to wait for, the end of its
 * rank's step before, or the host. From the end of the step's last op the path goes back until
 * it leaves a step as it left the one behind that, and is told as if that step were this one:
 * what a last step ends with and no other (kernels behind a host that is late anyway) is no
 * reason for the time that steps take. */
GArray *explain_path(const Job *job, const Timeline *timeline);

/* Elements of the same kind, phase and rank, one after the other. */
typedef struct {
    PathKind kind;
    Phase phase;
    gboolean recomputes; /* KERNELS: a forward pass over again */
    double begin_s, end_s;
    int rank, n_ops;
    char *first_label, *last_label;
    char *what;     /* "all_gather in forward", "kernels in backward" */
    int link_class; /* COLLECTIVE: that its bytes use most; -1: none */
} PathStretch;

/* Path time of one class of kernels in a phase as if they ran alone, of what kernels lose to
 * collectives beside them, of one kind of collective in a phase, or of the host. */
typedef struct {
    PathKind kind;
    char *label; /* "matrix products in backward" */
    double time_s;
    double link_class_s[N_LINK_CLASSES]; /* COLLECTIVE: by the links that its bytes use most */
} PathContributor;

/* What the collectives on the path wait for. */
typedef struct {
    double collectives_s;    /* on the path; 0: nothing binds it, and the rest means nothing */
    double latency_s;        /* of that, before any byte flows */
    int link_class;          /* most used while bytes flow, by time on the path; -1: none */
    double utilisation_frac; /* of that class's busiest links while bytes flow */
    double channels_utilisation_frac; /* of NCCL's channels, which may be narrower */
} Bottleneck;

typedef enum {
    BANDWIDTH_ONE_NODE, /* there are no links between nodes */
    BANDWIDTH_ENOUGH,   /* the step is close to communication-free as it is */
    BANDWIDTH_MORE,     /* it would be with more */
    BANDWIDTH_NEVER,    /* not even with the most that is tried */
    N_BANDWIDTH_ANSWERS
} BandwidthAnswer;

/* How close to communication-free, and between which multiples of today's bandwidth is sought,
 * to which relative precision. */
#define EXPLAIN_WITHIN_FRAC 0.05
#define EXPLAIN_MOST_SCALE 1024.0
#define EXPLAIN_PRECISION_FRAC 0.02
/* One without communication, one at an end of the range, ten doublings, six halvings. */
#define EXPLAIN_MOST_SIMULATIONS 18

typedef struct {
    BandwidthAnswer answer;
    double free_step_s; /* communication-free: collectives keep their order, take no time and
                           nothing from kernels; hosts issue them all the same */
    double today_bytes_per_s; /* of the slowest NIC's link, one direction */
    double scale;             /* the least that is close enough; NEVER: the most tried */
    gboolean at_limit;        /* ENOUGH: even the least that was tried is */
    double step_s;            /* at that scale */
    Bottleneck bound;         /* NEVER: of the step at that scale */
    int n_simulations;
} BandwidthSearch;

typedef struct {
    int rank;                              /* that finishes last */
    double path_s[N_PHASES][N_PATH_KINDS]; /* sums to the step */
    double slowed_s;                       /* KERNELS: lost to collectives beside them */
    GArray *stretches;                     /* PathStretch */
    GArray *contributors;                  /* PathContributor, largest first */
    Bottleneck bottleneck;
    gboolean has_bandwidth;
    BandwidthSearch bandwidth;
} Explanation;

/* All but the bandwidth. */
Explanation *explain_new(const Cluster *cluster, const Job *job, const SimResult *sim);
void explain_free(Explanation *explanation);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Explanation, explain_free)

/* "41 % matrix products in backward, 2 % collectives, bound by nic links": one clause. */
char *explain_summary(const Explanation *explanation);
/* The class of links of which most of the contributor's time is; -1: none. */
int explain_contributor_class(const PathContributor *contributor);
/* What binds the collectives: "nic links, 93 % used while bytes flow". */
char *explain_bottleneck_text(const Bottleneck *bottleneck);
/* "none", "latency" or the name of a link class. */
const char *explain_bottleneck_name(const Bottleneck *bottleneck);

/* For explain_bandwidth(): n simulations are done. */
typedef void (*ExplainProgress)(int n_simulations, void *data);

/* By simulating the job again: the least bandwidth of the links between nodes (NIC, leaf, spine
 * and WAN together) at which the step is at most EXPLAIN_WITHIN_FRAC longer than
 * communication-free. NCCL chooses anew at each, as it would on such NICs (its channels have
 * speeds from a table, so time isn't strictly monotonic in bandwidth: what is found is one
 * crossing). step_time_s is the step's as it is. */
gboolean explain_bandwidth(const Cluster *cluster, const Job *job, const Profile *profile,
                           const NcclOptions *nccl, double step_time_s,
                           ExplainProgress progress, void *data, BandwidthSearch *search,
                           GError **error);

/* Private to explain*.c. */

/* Fills in the elements' slowed_s. */
void explain_slowed(const Cluster *cluster, const Job *job, const Timeline *timeline,
                    GArray *path);
/* What binds the collectives of a path; fills in the elements' link_class. */
Bottleneck explain_links(const Job *job, const SimResult *sim, GArray *path);
/* PathContributor, largest first. */
GArray *explain_contributors(const Job *job, const GArray *path);
gboolean explain_is_latency(const Bottleneck *bottleneck);
gboolean explain_recomputes(const Schedule *schedule, const Op *op);
/* "all_gather in forward (shard)"; owned. */
char *explain_collective_label(const Job *job, const Op *op);

G_END_DECLS
