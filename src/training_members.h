/* SPDX-License-Identifier: MIT */
/* Checks the members of another program's configuration against the three lists of what is
 * modelled, irrelevant to the prediction, or changes it and isn't modelled. */
#pragma once

#include "json_in.h"

G_BEGIN_DECLS

/* `off`: the values without effect as JSON, "a|b"; "{}" is a section whose "enabled" is false
 * or absent. */
typedef struct {
    const char *path, *off;
} UnmodelledMember;

/* Paths are dotted. An object that `irrelevant` names is not looked into. */
typedef struct {
    const char *file_kind; /* "ds_config.json" */
    const char *prefix;    /* of a key that is suggested; "" or "section." */
    const char *const *modelled, *const *irrelevant; /* NULL-terminated */
    const UnmodelledMember *unmodelled;              /* the last has no path */
} MemberLists;

/* With `strict`, an unknown member is an error that names the nearest known one; else it adds a
 * line to `warnings` (may be NULL). */
gboolean training_members_check(const MemberLists *lists, const JsonIn *in, gboolean strict,
                                GPtrArray *warnings, GError **error);

G_END_DECLS
