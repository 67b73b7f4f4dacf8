/* SPDX-License-Identifier: MIT */
/* The points of `compare --over`: "SECTION.KEY=V1,V2,…" or ranges, and their cross product. */
#pragma once

#include "experiment.h"

G_BEGIN_DECLS

typedef struct {
    char *key;
    char **values;
    int n_values;
} OverAxis;

typedef struct {
    GPtrArray *axes; /* OverAxis *, the first one changing slowest */
    int n_points;
} Over;

/* `texts` as on the command line. Every value is checked by the key's type and range. */
Over *over_parse(const char *const *texts, const Experiment *experiment, GError **error);
void over_free(Over *over);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Over, over_free)

/* A copy of the experiment with the point's values set. */
Experiment *over_experiment(const Over *over, int point, const Experiment *experiment,
                            GError **error);
/* {"cluster.nodes": "8"} */
json_t *over_point_json(const Over *over, int point);
/* "cluster.nodes=8 nccl.protocol=ll" */
char *over_point_text(const Over *over, int point);

/* Tells experiments apart by what they say, the files that they name and `context`. */
char *over_experiment_id(const Experiment *experiment, const char *context);

G_END_DECLS
