/* SPDX-License-Identifier: MIT */
/* How SimGrid is started, the same for the probe that reads a platform and for the replay: one
 * configuration, and a forked child for each start, since a process can run SimGrid once and
 * SimGrid aborts where others return an error. Private to sim_*.c. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Starts the engine: links shared by the plain fluid model (CM02 without TCP's window and
 * without cross traffic), messages below errors and deadlock reports muted. SimGrid never sees
 * the program's command line, of which it would swallow --help. In a child only. */
void sim_engine_init(void);

/* The same and loads the platform. SimGrid aborts on a platform that it can't read: its first
 * line on stderr says why. */
void sim_engine_load(const char *xml_file);

typedef enum { SIM_CHILD_DONE, SIM_CHILD_DIED, SIM_CHILD_TIMED_OUT } SimChildEnd;

/* Runs body(data) in a forked child and waits for its end; `body` gives its results through
 * shared memory or an open file, and returns. timeout_s 0: none. Unless the child is done,
 * *complaint is the first line that it wrote on stderr, without SimGrid's preamble, or what
 * ended it; owned. */
SimChildEnd sim_engine_run_child(void (*body)(void *data), void *data, guint timeout_s,
                                 char **complaint);

G_END_DECLS
