/* SPDX-License-Identifier: MIT */
/* How long flows take that begin together and share links max-min fairly, when nothing else
 * crosses these links: what SimGrid would find by simulating them. Private to sim_*.c. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
    const int *links; /* indices; one may stand more than once */
    int n_links;      /* 1 or more */
    double bytes;
} SimMaxMinFlow;

/* Until the last one ends. bytes_per_s: by link, above 0. */
double sim_maxmin_time_s(const SimMaxMinFlow *flows, int n_flows, const double *bytes_per_s,
                         int n_links);

G_END_DECLS
