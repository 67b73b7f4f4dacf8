/* SPDX-License-Identifier: MIT */
/* The host's clock, reckoned from the ends of what it waits for. That it blocks when the GPU's
 * queue is full (1,024 launches) is left out: it is then ahead anyway. */
#include "sim_host.h"

#include <math.h>

/* Hosts are equally far ahead to this share of a step. */
#define STEADY_FRAC 1e-9

struct _SimHost {
    const SimProgram *program;
    int step;        /* that epoch_s is of */
    int n_known;     /* epochs */
    double *epoch_s; /* begins, by epoch */
    double step_s;   /* begin of the step's first epoch */
    gboolean was_late;
};

SimHost *sim_host_new(const SimProgram *program)
{
    SimHost *host = g_new0(SimHost, 1);
    host->program = program;
    host->epoch_s = g_new0(double, program->epochs->len);
    host->n_known = 1;
    return host;
}

static void epochs_reckon(SimHost *host, int epoch, double *const segment_end_s[N_STREAMS])
{
    for (; host->n_known <= epoch; host->n_known++) {
        const SimEpoch *before = sim_program_epoch(host->program, host->n_known - 1);
        const SimEpoch *now = sim_program_epoch(host->program, host->n_known);
        double begin_s = host->epoch_s[host->n_known - 1] + before->host_s;
        for (int s = 0; s < N_STREAMS; s++)
            if (now->needed[s] > 0)
                begin_s = MAX(begin_s, segment_end_s[s][now->needed[s] - 1]);
        host->epoch_s[host->n_known] = begin_s;
    }
}

/* When the host has issued the whole step. */
static double step_issued_s(SimHost *host, double *const segment_end_s[N_STREAMS])
{
    int last = (int)host->program->epochs->len - 1;
    epochs_reckon(host, last, segment_end_s);
    return host->epoch_s[last] + sim_program_epoch(host->program, last)->host_s;
}

double sim_host_epoch_s(SimHost *host, int step, int epoch,
                        double *const segment_end_s[N_STREAMS])
{
    if (step > host->step) {
        g_assert(step == host->step + 1);
        host->step_s = host->epoch_s[0] = step_issued_s(host, segment_end_s);
        host->n_known = 1;
        host->was_late = FALSE;
        host->step = step;
    }
    epochs_reckon(host, epoch, segment_end_s);
    return host->epoch_s[epoch];
}

void sim_host_note_late(SimHost *host)
{
    host->was_late = TRUE;
}

gboolean sim_host_is_steady(SimHost *host, int last, double begin_s, double end_s,
                            double *const segment_end_s[N_STREAMS])
{
    if (host->step < last) /* nothing to issue */
        return TRUE;
    double ahead_s = begin_s - host->step_s;
    double next_ahead_s = end_s - step_issued_s(host, segment_end_s);
    if (!host->was_late && next_ahead_s >= ahead_s)
        return TRUE;
    return fabs(next_ahead_s - ahead_s) <= STEADY_FRAC * (end_s - begin_s);
}
