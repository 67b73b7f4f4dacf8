/* SPDX-License-Identifier: MIT */
/* Whether there is colour, and its escape sequences: bold red, whose boldness also tells where
 * red doesn't. */
#include "report_colour.h"

#include <unistd.h>

static gboolean has_colour(FILE *out)
{
    const char *refused = g_getenv("NO_COLOR"), *terminal = g_getenv("TERM");
    if ((refused != NULL && *refused != '\0') || g_strcmp0(terminal, "dumb") == 0)
        return FALSE;
    return isatty(fileno(out));
}

char *report_colour_alarmed(FILE *out, const char *text)
{
    return has_colour(out) ? g_strconcat("\033[1;31m", text, "\033[0m", NULL) : g_strdup(text);
}
