/* SPDX-License-Identifier: MIT */
/* A file that has its name only once it is whole. */
#pragma once

#include <glib.h>
#include <stdio.h>

G_BEGIN_DECLS

typedef struct {
    FILE *stream;
    /* private to out_file.c */
    char *name;      /* as the user wrote it */
    char *target;    /* where it is, links followed */
    char *temporary; /* beside it; NULL: the target is written itself, being no regular file */
} OutFile;

OutFile *out_file_open(const char *name, GError **error);
/* Gives the file its name, when nothing failed to be written. */
gboolean out_file_commit(OutFile *file, GError **error);
/* What wasn't committed is removed. */
void out_file_free(OutFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OutFile, out_file_free)

G_END_DECLS
