/* SPDX-License-Identifier: MIT */
/* The error domain, the exit status of each error, and the quoting and
 * spelling help that messages share. Printing is left to main.c. */
#include "error.h"

#include <string.h>

#define QUOTE_MAX_CHARACTERS 60

G_DEFINE_QUARK(zerosim - error - quark, error)

gboolean error_input(GError **error, const char *file, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s", file, what);
    return FALSE;
}

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

#define WORD_MAX_BYTES 63

/* Levenshtein distance; both words are at most WORD_MAX_BYTES long. */
static int edit_distance(const char *a, const char *b)
{
    int row[WORD_MAX_BYTES + 1];
    const int n = (int)strlen(b);

    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            const int substituted = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = MIN(substituted, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[n];
}

const char *error_nearest(const char *word, const char *const *candidates)
{
    const char *nearest = NULL;
    int best = G_MAXINT;

    if (strlen(word) > WORD_MAX_BYTES)
        return NULL;
    for (; *candidates; candidates++) {
        if (strlen(*candidates) > WORD_MAX_BYTES)
            continue;
        const int distance = edit_distance(word, *candidates);
        if (distance < best) {
            best = distance;
            nearest = *candidates;
        }
    }
    /* Farther than half the word it is another word, not a misspelling. */
    return best <= 1 + (int)strlen(word) / 2 ? nearest : NULL;
}
