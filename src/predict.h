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
    Profile *profile;
    GPtrArray *warnings;
} Inputs;

/* `comparing` as in training_build(). With strict, a warning is an error. `micro_batch = auto`
 * is resolved here to the largest that fits (1 where none does). */
Inputs *inputs_load(const Experiment *experiment, gboolean comparing, gboolean strict,
                    GError **error);
void inputs_free(Inputs *inputs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Inputs, inputs_free)

/* Memory of the rank with the highest peak, without simulating time. */
gboolean predict_memory(const Inputs *inputs, Memory *memory, GError **error);

Result *predict(const Inputs *inputs, GError **error);

G_END_DECLS
