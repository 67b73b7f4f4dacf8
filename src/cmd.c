/* SPDX-License-Identifier: MIT */
/* What every command line has: options, and --help, which GLib's own would print and exit on.
 */
#include "cmd.h"

gboolean cmd_parse(GOptionContext *context, int argc, char **argv, char **help, GError **error)
{
    gboolean wanted = FALSE;
    const GOptionEntry entries[] = {
        {"help", 'h', 0, G_OPTION_ARG_NONE, &wanted, "show this help", NULL},
        G_OPTION_ENTRY_NULL,
    };
    g_option_context_set_help_enabled(context, FALSE);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, error))
        return FALSE;
    *help = wanted ? g_option_context_get_help(context, TRUE, NULL) : NULL;
    return TRUE;
}
