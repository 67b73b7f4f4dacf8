/* SPDX-License-Identifier: MIT */
/* Which SimGrid replays the steps. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* "3.32", of the library that runs; owned. */
char *sim_version(void);

G_END_DECLS
