/* SPDX-License-Identifier: MIT */
/* Time passes here and nowhere else: a job replayed on a SimGrid platform. Each simulation runs
 * in a forked child, since a process can run SimGrid once. */
#pragma once

#include "cluster.h"
#include "schedule.h"
#include "timeline.h"

#include <glib.h>

G_BEGIN_DECLS

/* How it is known what kernels and the collectives beside them take from each other. */
typedef enum {
    SIM_OVERLAP_NONE, /* no collective, or no profile */
    SIM_OVERLAP_MODELLED,
    SIM_OVERLAP_MEASURED
} SimOverlap;

typedef struct {
    char *name;
    LinkClass link_class;
    double bandwidth_bytes_per_s;
    double bytes; /* wire bytes carried in the steady step */
    /* Highest rate over any one collective; those of a communicator's groups count together. */
    double peak_utilisation_frac;
} LinkUse;

/* How one collective op ran. */
typedef struct {
    Algorithm algorithm;
    Protocol protocol;
    gboolean fitted; /* time by a calibration's constants */
    /* Of the time that it takes: what it sleeps before bytes flow, and what the bytes need at
     * least on NCCL's channels and on each class's busiest link, groups of its communicator
     * together. */
    double latency_s, channels_s;
    double link_s[N_LINK_CLASSES];
} CollectiveUse;

typedef struct {
    Timeline *timeline;
    GArray *links;       /* LinkUse, in order of name; no engine links */
    GArray *collectives; /* CollectiveUse, of rank 0's collectives in the order of its list */
    gint64 n_flows;
    SimOverlap overlap;
    int n_steps;        /* simulated until steady */
    gboolean is_steady; /* FALSE: steps still differed when it gave up */
} SimResult;

/* The profile says what a collective takes from kernels beside it; NULL: nothing. Errors:
 * ERROR_SIMULATION for a deadlock (names the first stuck op and rank) or a crash; ERROR_INPUT
 * for a route that the platform lacks. */
SimResult *sim_run(const Cluster *cluster, const Job *job, const Profile *profile,
                   const NcclOptions *nccl, GError **error);
/* The same without short cuts: every rank, and every flow of every collective. The times are
 * equal, to rounding. */
SimResult *sim_run_whole(const Cluster *cluster, const Job *job, const Profile *profile,
                         const NcclOptions *nccl, GError **error);
void sim_result_free(SimResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SimResult, sim_result_free)

/* Loads an XML file in a forked child and reads the facts back; SimGrid's own complaint becomes
 * the error. `xml_file` is what messages call it. */
gboolean sim_platform_read(const char *xml_file, Cluster *cluster, GPtrArray *warnings,
                           GError **error);

G_END_DECLS
