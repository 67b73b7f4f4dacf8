/* SPDX-License-Identifier: MIT */
/* The experiment file (.conf, a GLib key file) and -s section.key=value overrides, read by the
 * one table of keys. Holds what the user wrote, checked by type and range; precedence over
 * ds_config.json and framework defaults is training.c's business. */
#pragma once

#include "json_in.h"

#include <glib.h>

G_BEGIN_DECLS

/* A key the user may set. The table is the only list of keys: reader, --help, man page and the
 * resolved `inputs` of a result come from it. */
typedef enum {
    KEY_STRING,
    KEY_PATH,
    KEY_NAME_OR_PATH, /* a path when it has a slash or ends in .json or .conf */
    KEY_CHOICE,
    KEY_INT,
    KEY_INT_OR_AUTO,
    KEY_INT_OR_BOOL, /* an integer, true or false */
    KEY_DOUBLE,
    KEY_BOOL
} KeyType;

typedef struct {
    const char *section;
    const char *key;
    KeyType type;
    const char *choices;       /* KEY_CHOICE: "a|b|c" */
    double minimum, maximum;   /* numbers */
    const char *default_value; /* as text; NULL: none, or the framework's (help says which) */
    const char *help;
} ExperimentKey;

extern const ExperimentKey experiment_keys[];
extern const int experiment_n_keys;

typedef struct {
    char *file; /* as given; NULL when everything comes from overrides */
    GHashTable
        *values; /* "section.key" → char *, checked; paths resolved; only keys that were set */
    GHashTable *overridden; /* the set of names that came from overrides */
    json_t *deepspeed; /* [deepspeed] members beside `version`, nested as in ds_config.json */
    json_t *deepspeed_overrides; /* those of them that came from overrides, for messages */
    /* What a launcher's own file says (training_import.h): below what the user set, above the
     * table's defaults. */
    GHashTable *imported;       /* "section.key" → char * */
    GHashTable *imported_where; /* "section.key" → "FILE: member" */
    json_t *imported_deepspeed; /* members of a ds_config.json, NULL: none */
} Experiment;

/* Reads `file` and applies `overrides` ("section.key=value", later ones win). A path in the
 * file is relative to the file, then to the installed data; in an override (and `file` itself)
 * to the working directory, then to the installed data. cluster.xml beside another cluster key
 * is an error, except that an override of cluster.xml replaces the file's cluster keys. */
Experiment *experiment_load(const char *file, const char *const *overrides, GError **error);
Experiment *experiment_copy(const Experiment *experiment);
void experiment_free(Experiment *experiment);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Experiment, experiment_free)

/* Sets one key as an override does; on an error the experiment is as before. */
gboolean experiment_set(Experiment *experiment, const char *assignment, GError **error);

/* Gives a key the value that another program's file says at `where` ("FILE: member"), checked
 * as the user's own; a path is relative to that file's folder, `base`, which only paths need.
 * What the user set stays in force. */
gboolean experiment_import(Experiment *experiment, const char *name, const char *text,
                           const char *where, const char *base, GError **error);
void experiment_import_clear(Experiment *experiment);

/* `name` is "section.key" and must be in the table. */
gboolean experiment_is_set(const Experiment *experiment, const char *name); /* or imported */
gboolean experiment_is_own(const Experiment *experiment, const char *name); /* not imported */
/* The value set, else imported, else the table's default, else NULL / 0. */
const char *experiment_string(const Experiment *experiment, const char *name);
gint64 experiment_int(const Experiment *experiment, const char *name); /* "auto" is -1 */
double experiment_double(const Experiment *experiment, const char *name);
gboolean experiment_bool(const Experiment *experiment, const char *name);
/* Index of the value among the choices; -1 when it has neither value nor default. */
int experiment_choice(const Experiment *experiment, const char *name);

/* experiment_string() of a key that must have a value; the error says where to set it. */
const char *experiment_require(const Experiment *experiment, const char *name, GError **error);
/* Where a message about `name` should point: "FILE: section.key", "-s section.key" or,
 * imported, "FILE: member". */
char *experiment_where(const Experiment *experiment, const char *name);

/* `path` relative to `base` (NULL: the working directory), else to the installed data, else to
 * its workloads; NULL when no such file exists. */
char *experiment_find_file(const char *path, const char *base);
/* Shipped files are known by name: "llama-2-7b" in the folder "models" of the workloads is its
 * llama-2-7b.json. NULL when there is none; *nearest, if not NULL: an interned name that comes
 * close, or NULL. */
char *experiment_find_shipped(const char *name, const char *folder, const char **nearest);
/* The names in that folder, sorted; owned strings. */
GPtrArray *experiment_shipped_names(const char *folder);
/* Directory of installed data files (platforms/, workloads/): ZEROSIM_DATA_DIR, else the source
 * tree when the program runs uninstalled, else the configured one. */
const char *experiment_data_dir(void);

G_END_DECLS
