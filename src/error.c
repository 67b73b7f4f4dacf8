/* SPDX-License-Identifier: MIT */
/* The error domain, the exit status of each error, and the quoting that keeps a message on one
 * line whatever the user typed. Printing is left to main.c. */
#include "error.h"

#define QUOTE_MAX_CHARACTERS 60

G_DEFINE_QUARK(zerosim - error - quark, error)

int error_exit_status(const GError *error)
{
    if (!error)
        return 0;
    if (error->domain == G_OPTION_ERROR)
        return 2;
    if (error->domain != ZEROSIM_ERROR)
        return 1;
    switch ((ErrorCode)error->code) {
    case ERROR_USAGE:
    case ERROR_INPUT:
    case ERROR_UNMODELLED:
        return 2;
    case ERROR_SIMULATION:
        return 1;
    }
    return 1;
}

char *error_quote(const char *text)
{
    GString *quoted = g_string_new("\"");
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    int n = 0;

    for (const char *p = valid; *p; p = g_utf8_next_char(p), n++) {
        const gunichar c = g_utf8_get_char(p);
        if (n == QUOTE_MAX_CHARACTERS) {
            g_string_append(quoted, "...");
            break;
        }
        if (c == '\n')
            g_string_append(quoted, "\\n");
        else if (!g_unichar_isprint(c))
            g_string_append_printf(quoted, "\\u%04x", c);
        else
            g_string_append_unichar(quoted, c);
    }
    g_string_append_c(quoted, '"');
    return g_string_free(quoted, FALSE);
}
