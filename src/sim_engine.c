/* SPDX-License-Identifier: MIT */
/* Starts SimGrid with the one configuration that fits GPU links. The default network model is
 * made for TCP: it scales bandwidths and latencies and lets acknowledgements share the way
 * back. Running actors is left to the callers. */
#include "sim_engine.h"

#include <simgrid/engine.h>

static const char *const engine_arguments[] = {
    "zerosim",
    "--cfg=network/model:CM02",
    "--cfg=network/TCP-gamma:0",
    "--cfg=network/crosstraffic:0",
    "--log=root.thresh:error",
    /* A deadlock is reported by op and rank, by whoever called simgrid_run(). */
    "--log=ker_engine.app:file:/dev/null",
    "--log=no_loc",
    NULL,
};

void sim_engine_init(void)
{
    /* SimGrid removes what it understands from argv, and keeps pointers to the rest: never
     * freed. */
    char **arguments = g_strdupv((char **)engine_arguments);
    int n_arguments = (int)g_strv_length(arguments);
    simgrid_init(&n_arguments, arguments);
}

void sim_engine_load(const char *xml_file)
{
    sim_engine_init();
    simgrid_load_platform(xml_file);
}
