/* SPDX-License-Identifier: MIT */
/* What `run`, `compare` and `schedule` share: an experiment file with overrides, and the format
 * of results. */
#pragma once

#include "experiment.h"
#include "metrics.h"
#include "report.h"

G_BEGIN_DECLS

typedef struct {
    gboolean strict, quiet;
    char **files;     /* exactly one unless help */
    char **overrides; /* -s, in order */
    char **prices;    /* --price, in order */
    char *overlay;    /* --profile */
    char *format_name, *table;
    const ReportFormat *format;
    char *help; /* what --help prints; NULL: not asked for */
} CmdOptions;

void cmd_options_clear(CmdOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CmdOptions, cmd_options_clear)

/* Reads argv with the common options and the command's `own` ones. Without `reports` there are
 * no format options. */
gboolean cmd_options_parse(CmdOptions *options, int argc, char **argv, gboolean reports,
                           const GOptionEntry *own, GError **error);

Experiment *cmd_options_experiment(const CmdOptions *options, GError **error);

/* What --price says a GPU of the result's platform costs. */
void cmd_options_price(const CmdOptions *options, const Experiment *experiment, Result *result);

G_END_DECLS
