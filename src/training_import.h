/* SPDX-License-Identifier: MIT */
/* Configurations of other programs (accelerate's YAML, torchtitan's TOML) as keys of the
 * experiment: what the files' members mean is in tables, one file a program. Below what the
 * user sets, above the table's defaults. */
#pragma once

#include "experiment.h"

G_BEGIN_DECLS

/* How many nodes and ranks the experiment's cluster has. */
typedef struct {
    int n_nodes, n_ranks;
} ImportCluster;

/* First, before there is a cluster: imports cluster.nodes and cluster.gpus_per_node where the
 * file counts machines and the experiment doesn't. */
gboolean training_import_cluster(Experiment *experiment, GPtrArray *warnings, GError **error);
/* Then the rest. With `comparing`, strategies may differ from the file's. `warnings` gets a
 * line for each member that isn't known or has no effect. Errors: what can't be mapped, counts
 * that aren't the cluster's, a framework or strategy that contradicts the file. */
gboolean training_import(Experiment *experiment, const ImportCluster *cluster,
                         gboolean comparing, GPtrArray *warnings, GError **error);

/* ---- for the readers of the files ---- */

typedef struct {
    Experiment *experiment;
    const ImportCluster *cluster;
    gboolean comparing;
    GPtrArray *warnings;
    GStringChunk *paths; /* of JsonIn */
} Import;

/* A value of a member, and of the key; without `to`, it is known and not modelled. */
typedef struct {
    const char *from, *to;
} ImportWord;

/* A member and the key it sets. Words are compared without case; NULL: it is a number. */
typedef struct {
    const char *member, *key;
    const ImportWord *words;
    const char *missing; /* the value of `key` without the member; NULL: stays unset */
} ImportRow;

/* Members of `in` as keys. What isn't modelled is an error unless the user set the key. */
gboolean import_rows(const Import *import, const JsonIn *in, const ImportRow *rows,
                     gsize n_rows, GError **error);
/* One key, whose value comes from `member`. */
gboolean import_key(const Import *import, const JsonIn *in, const char *member, const char *key,
                    const char *text, GError **error);
/* The same for a key that the user may not set to anything else. */
gboolean import_fixed(const Import *import, const JsonIn *in, const char *member,
                      const char *key, const char *text, GError **error);
/* "FILE: member: ..." as an error of `code`. Returns FALSE. */
gboolean import_fail(const JsonIn *in, const char *member, int code, GError **error,
                     const char *format, ...) G_GNUC_PRINTF(5, 6);
/* "FILE: member: ..." as a warning. */
void import_warn(const Import *import, const JsonIn *in, const char *member, const char *format,
                 ...) G_GNUC_PRINTF(4, 5);
/* A member as text: a string, number, true or false. NULL where there is none; *ok is FALSE
 * when it is anything else. The caller frees. */
char *import_text(const JsonIn *in, const char *member, gboolean *ok, GError **error);

G_END_DECLS
