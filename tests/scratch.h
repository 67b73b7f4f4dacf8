/* SPDX-License-Identifier: MIT */
/* A folder of a test's own for the files that it writes, as a checked fixture. */
#pragma once

#include <glib.h>

void scratch_set_up(void);
/* The folder goes with all files in it. */
void scratch_tear_down(void);

const char *scratch_folder(void);
/* Owned by the caller: the file needn't be there. */
char *scratch_path(const char *base);
/* Likewise of a file with this text. */
char *scratch_write(const char *base, const char *text);
