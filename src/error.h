/* SPDX-License-Identifier: MIT */
/* The error domain of zerosim: what went wrong, and the exit status that says so.
 * Printing is left to main.c. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define ZEROSIM_ERROR (error_quark())

typedef enum {
    ERROR_USAGE,      /* the command line: exit 2 */
    ERROR_INPUT,      /* a file or a value the user gave: exit 2 */
    ERROR_UNMODELLED, /* a feature the program knows of and doesn't model: exit 2 */
    ERROR_SIMULATION, /* the simulation failed (deadlock, crash, I/O): exit 1 */
} ErrorCode;

GQuark error_quark(void);

/* FALSE and an ERROR_INPUT that says what is wrong with the file. */
gboolean error_input(GError **error, const char *file, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* Exit status for an error of any domain; NULL is 0. Errors of GOption are usage errors. */
int error_exit_status(const GError *error);

/* `text` in double quotes, shortened, control characters escaped: for a user's words inside a
 * message, which must stay one line. */
char *error_quote(const char *text);

/* The candidate (NULL-terminated list) that `word` is most likely a misspelling of, or NULL
 * when none is near. */
const char *error_nearest(const char *word, const char *const *candidates);

G_END_DECLS
