/* SPDX-License-Identifier: MIT */
/* `compare` at one point of the experiment, and over many. */
#pragma once

#include "cmd_options.h"
#include "cmd_progress.h"

G_BEGIN_DECLS

/* Adds one Result * a strategy. Changes the experiment. */
gboolean cmd_compare_point(Experiment *experiment, const CmdOptions *options, gboolean best,
                           CmdProgress *progress, GPtrArray *results, GError **error);

typedef struct {
    char **over;       /* "SECTION.KEY=V1,V2,…" */
    char *output_file; /* NULL: stdout */
    char *resume_file; /* NULL: start from nothing */
    int n_jobs;        /* at a time; 0: one a core */
    gboolean best;
} CompareOver;

/* Compares at every point, in children, and writes JSON Lines. */
gboolean cmd_compare_over(const CompareOver *over, const CmdOptions *options, GError **error);

G_END_DECLS
