/* SPDX-License-Identifier: MIT */
/* An experiment's whole way to its result: read the inputs, build the step, replay it, measure.
 * The one place where the layers meet; `run`, `compare` and `schedule` call it. */
#pragma once

#include "metrics.h"
#include "step.h"

G_BEGIN_DECLS

/* The inputs of one prediction, resolved. */
typedef struct {
    Experiment *experiment;
    Cluster *cluster;
    Model *model;
    Training *training;
    Profile *profile;           /* of rank 0 */
    GPtrArray *profiles;        /* Profile *, one a kind of GPU; the first is `profile` */
    GHashTable *profile_of_gpu; /* ClusterGpu.gpu → its Profile; empty where one is for all */
    NcclOptions nccl;
    GPtrArray *calibrations; /* NcclCalibration *, that nccl looks in; NULL: none */
    GPtrArray *warnings;     /* char * */
    gboolean comparing, strict;
    guint n_platform_warnings; /* the first of the warnings: those that stay when keys change */
} Inputs;

/* `comparing` as in training_build(). With strict, a warning is an error. `micro_batch = auto`
 * is resolved here to the largest that fits (1 where none does). */
Inputs *inputs_load(const Experiment *experiment, gboolean comparing, gboolean strict,
                    GError **error);
void inputs_free(Inputs *inputs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Inputs, inputs_free)

/* Sets model and training keys ("training.strategy=zero1", NULL-terminated) and resolves again
 * on the same cluster. On an error the inputs are fit for inputs_free() only. */
gboolean inputs_set(Inputs *inputs, const char *const *assignments, GError **error);

/* The largest micro-batch that fits; with a fixed global batch, of those that divide it. 0: not
 * even 1 fits. Leaves the inputs at that micro-batch, or at 1. */
gboolean inputs_largest_micro_batch(Inputs *inputs, gint64 *largest, GError **error);

/* Kernel times of a rank's GPU. */
const Profile *inputs_profile(const Inputs *inputs, int rank);

/* The schedules of a step; checked. */
Job *predict_job(const Inputs *inputs, GError **error);

/* Memory of the rank with the highest peak, without simulating time. */
gboolean predict_memory(const Inputs *inputs, Memory *memory, GError **error);

/* Kernel time of the compute stream on the fastest GPU: no step is shorter. */
gboolean predict_shortest_s(const Inputs *inputs, double *shortest_s, GError **error);

Result *predict(const Inputs *inputs, GError **error);

/* The same, and shows the simulated step to `observe` (NULL: nobody) before it is forgotten. */
typedef void (*PredictObserver)(const Inputs *inputs, const Job *job, const SimResult *sim,
                                void *data);
Result *predict_observed(const Inputs *inputs, PredictObserver observe, void *data,
                         GError **error);

/* An observer that writes the memory over time of the rank with the highest peak as CSV to the
 * FILE * that it is given. */
void predict_write_memory_csv(const Inputs *inputs, const Job *job, const SimResult *sim,
                              void *out);

/* The result's `inputs`: every key as resolved, SHA-256 of the files, versions. */
json_t *inputs_record(const Inputs *inputs, GError **error);

G_END_DECLS
