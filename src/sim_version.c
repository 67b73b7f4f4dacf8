/* SPDX-License-Identifier: MIT */
/* SimGrid's version, without starting its engine. */
#include "sim_version.h"

#include <xbt/base.h> /* version.h needs it and does not include it */

#include <simgrid/version.h>

char *sim_version(void)
{
    int major, minor, patch;
    sg_version_get(&major, &minor, &patch);
    return patch == 0 ? g_strdup_printf("%d.%d", major, minor)
                      : g_strdup_printf("%d.%d.%d", major, minor, patch);
}
