/* SPDX-License-Identifier: MIT */
/* DeepSpeed's ds_config.json as it is, with the experiment's [deepspeed] members on top. Says
 * what was given; how it meets the experiment's own keys is training.c's business. */
#pragma once

#include "training.h"
#include "training_batch.h"

G_BEGIN_DECLS

/* A number below 0 (0 for batch sizes): not given, or "auto". */
typedef struct {
    gboolean given; /* there is a ds_config.json or a [deepspeed] member */
    int stage;      /* 0 when a ds_config.json has none, as in DeepSpeed */
    Batch batch;    /* complete, or all zeros */
    int bf16, fp16;
    int optimizer; /* OptimizerKind */
    int adam_w_mode, torch_adam;
    double weight_decay;
    double gradient_clipping;
    int overlap_comm;
    int communication_data_type, grad_accum_dtype; /* DType */
    DeepspeedKnobs knobs; /* the rest, defaults filled in; version too */
} DeepspeedConfig;

/* Nothing given, DeepSpeed's defaults. */
void deepspeed_config_init(DeepspeedConfig *config);

/* Reads training.deepspeed_config (may be unset) and the [deepspeed] section. Errors as
 * training_build(). */
gboolean deepspeed_config_read(const Experiment *experiment, int n_ranks, gint64 hidden_size,
                               GPtrArray *warnings, DeepspeedConfig *config, GError **error);

/* Resolves what depends on stage and precision together: how gradients accumulate, by which
 * optimizer. `training` has both already; `file` is where messages point. */
gboolean deepspeed_rules_apply(const DeepspeedConfig *config, const char *file,
                               Training *training, GPtrArray *warnings, GError **error);

/* Adds a line for each member that DeepSpeed reads and, here, does nothing with. */
void deepspeed_warn_without_effect(const Training *training, GPtrArray *warnings);

/* Checks every member of `in` against the lists of what is modelled, irrelevant or neither.
 * With `strict`, an unknown member is an error that names the nearest known one. */
gboolean deepspeed_members_check(const JsonIn *in, gboolean strict, GPtrArray *warnings,
                                 GError **error);

G_END_DECLS
