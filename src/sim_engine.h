/* SPDX-License-Identifier: MIT */
/* How SimGrid is started, the same for the probe that reads a platform and for the replay.
 * Private to sim_*.c, and for forked children only: a process can run SimGrid once. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Starts the engine: links shared by the plain fluid model (CM02 without TCP's window and
 * without cross traffic), messages below errors and deadlock reports muted. SimGrid never sees
 * the program's command line, of which it would swallow --help. */
void sim_engine_init(void);

/* The same and loads the platform. SimGrid aborts on a platform that it can't read: its first
 * line on stderr says why. */
void sim_engine_load(const char *xml_file);

G_END_DECLS
