/* SPDX-License-Identifier: MIT */
/* Inside the validate module: an experiment under construction from a row of facts. Its node
 * type and model file are temporary files; what the row doesn't say comes from a preset or a
 * default, and is noted as assumed. */
#pragma once

#include "predict.h"
#include "validate.h"

G_BEGIN_DECLS

typedef struct {
    Experiment *experiment;
    char *directory;      /* of the temporary files */
    Outcome *outcome;     /* borrowed: takes the assumptions */
    GPtrArray *fallbacks; /* Fallback * */
    int gpus_per_node;    /* that the job uses; 0 until validate_case_platform */
} ValidateCase;

ValidateCase *validate_case_new(Outcome *outcome, GError **error);
void validate_case_free(ValidateCase *c); /* removes the files */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ValidateCase, validate_case_free)

/* Sets "section.key=value". */
gboolean validate_case_set(ValidateCase *c, GError **error, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* The same, and `instead` where the program doesn't know the value or doesn't model it; the
 * outcome then assumes `what`. */
gboolean validate_case_wish(ValidateCase *c, const char *assignment, const char *instead,
                            const char *what, GError **error);

void validate_case_assume(ValidateCase *c, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* The inputs, with fallbacks taken where they are needed. */
Inputs *validate_case_inputs(ValidateCase *c, GError **error);

/* -- validate_platform.c */

typedef struct {
    const char *gpu;   /* as the row calls it */
    int gpus_per_node; /* 0: the row doesn't say */
    int n_gpus;
    double nic_bytes_per_s; /* a GPU's, one direction; 0: the row doesn't say */
    const char *intra_node; /* what the row says of the links inside a node */
    const char *source;     /* text that may name a preset as a word of its own */
} PlatformFacts;

/* Sets cluster.* and gpu.profile, and fills the outcome's gpu and provenance. */
gboolean validate_case_platform(ValidateCase *c, const PlatformFacts *facts, GError **error);

/* The profile that a GPU's name means: chip first, then memory, then form. NULL with an error
 * when no profile's chip begins the name. *exact: chip and memory agree. */
char *validate_profile_find(const char *gpu, gboolean *exact, GError **error);

/* -- validate_model.c */

typedef struct {
    const char *name; /* as the row calls it: the family is read from it */
    gint64 n_layer, d_model, n_head, n_kv_head, d_ff, vocabulary; /* 0: the row doesn't say */
    gint64 sequence_length;
    double parameters; /* 0: the row doesn't say */
} ModelFacts;

/* The file of the shipped model that the facts mean, by name or by family and size, unless they
 * contradict its shape; NULL: none. Owned by the caller. (validate_shipped.c) */
char *validate_shipped_model(const ModelFacts *facts);

/* A model's name without the hub's owner in front ("meta-llama/Llama-2-7b-hf" is
 * "Llama-2-7b"). */
char *validate_model_name(const char *text);

/* Sets model.*: a shipped model, or a config.json that it writes. */
gboolean validate_case_model(ValidateCase *c, const ModelFacts *facts, GError **error);

G_END_DECLS
