/* SPDX-License-Identifier: MIT */
/* The commands of the program. Each reads its own options, prints its result on stdout, and
 * leaves errors to main.c. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
    const char *name;
    const char *summary;
    /* argv[0] is the command's name. */
    gboolean (*run)(int argc, char **argv, GError **error);
} Command;

/* Reads argv by the context's entries and by --help. `help`: what --help prints behind the
 * command's example; NULL: it isn't asked for. */
gboolean cmd_parse(GOptionContext *context, int argc, char **argv, char **help, GError **error);

gboolean cmd_run(int argc, char **argv, GError **error);
gboolean cmd_compare(int argc, char **argv, GError **error);
gboolean cmd_schedule(int argc, char **argv, GError **error);
gboolean cmd_model(int argc, char **argv, GError **error);
gboolean cmd_profile(int argc, char **argv, GError **error);
gboolean cmd_platform(int argc, char **argv, GError **error);
gboolean cmd_validate(int argc, char **argv, GError **error);
gboolean cmd_nccl(int argc, char **argv, GError **error);
gboolean cmd_plot(int argc, char **argv, GError **error);
gboolean cmd_report(int argc, char **argv, GError **error);

G_END_DECLS
