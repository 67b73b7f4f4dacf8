/* SPDX-License-Identifier: MIT */
/* The host of a rank in a replay: when it begins each epoch of the list. It issues ops one
 * after the other, waits where the list says so, and runs ahead of the GPU otherwise, into the
 * next step too. Private to sim_*.c. */
#pragma once

#include "sim_program.h"

G_BEGIN_DECLS

typedef struct _SimHost SimHost;

SimHost *sim_host_new(const SimProgram *program);

/* When an epoch of a step began. Steps in order; what the epoch needs must have ended: end_s
 * are the ends of the step's segments by stream. */
double sim_host_epoch_s(SimHost *host, int step, int epoch,
                        double *const segment_end_s[N_STREAMS]);

/* Something could have started, had the host issued it. */
void sim_host_note_late(SimHost *host);

/* After step `last`, which lasted from begin_s to end_s on this rank: whether the next one
 * finds the host as far ahead as that one did, or far enough for nothing to wait for it. */
gboolean sim_host_is_steady(SimHost *host, int last, double begin_s, double end_s,
                            double *const segment_end_s[N_STREAMS]);

G_END_DECLS
