/* SPDX-License-Identifier: MIT */
/* One line on a terminal that says how far a command is, once it has taken two seconds. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct CmdProgress CmdProgress;

/* NULL, which the other functions take, when stderr isn't a terminal. Call before SimGrid
 * starts: it forks. */
CmdProgress *cmd_progress_new(void);
/* Wipes the line. */
void cmd_progress_free(CmdProgress *progress);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CmdProgress, cmd_progress_free)

/* n_done of n_total parts are done; `what` is being worked on. n_total 0: unknown. */
void cmd_progress_set(CmdProgress *progress, int n_done, int n_total, const char *what);

G_END_DECLS
