/* SPDX-License-Identifier: MIT */
/* Where files are: paths relative to an experiment or the working directory, and the directory
 * of installed data. Reads nothing of the files. */
#include "experiment.h"

#include "error.h"

#include <string.h>

#ifndef PKGDATADIR /* configure knows where */
#define PKGDATADIR "/usr/local/share/zerosim"
#endif

static gboolean has_data(const char *directory)
{
    g_autofree char *nodes = g_build_filename(directory, "platforms", "nodes", NULL);
    g_autofree char *models = g_build_filename(directory, "workloads", "models", NULL);
    return g_file_test(nodes, G_FILE_TEST_IS_DIR) && g_file_test(models, G_FILE_TEST_IS_DIR);
}

/* The nearest directory above the program that holds the data: its source tree, or share/
 * beside the bin/ it was installed in. */
static char *find_above_program(void)
{
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);

    while (program && strcmp(program, "/") != 0 && strcmp(program, ".") != 0) {
        g_autofree char *directory = g_path_get_dirname(program);
        g_autofree char *share = g_build_filename(directory, "share", "zerosim", NULL);
        if (has_data(directory))
            return g_steal_pointer(&directory);
        if (has_data(share))
            return g_steal_pointer(&share);
        g_free(program);
        program = g_steal_pointer(&directory);
    }
    return NULL;
}

const char *experiment_data_dir(void)
{
    const char *set = g_getenv("ZEROSIM_DATA_DIR");
    if (set && set[0])
        return g_intern_string(set);
    g_autofree char *found = find_above_program();
    return g_intern_string(found ? found : PKGDATADIR);
}

char *experiment_find_file(const char *path, const char *base)
{
    const char *data = experiment_data_dir();
    g_autofree char *workloads = g_build_filename(data, "workloads", NULL);
    const char *const places[] = {base, data, workloads};

    if (g_path_is_absolute(path))
        return g_file_test(path, G_FILE_TEST_EXISTS) ? g_strdup(path) : NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *candidate =
            places[i] ? g_build_filename(places[i], path, NULL) : g_strdup(path);
        if (g_file_test(candidate, G_FILE_TEST_EXISTS))
            return g_steal_pointer(&candidate);
    }
    return NULL;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

GPtrArray *experiment_shipped_names(const char *folder)
{
    g_autofree char *directory =
        g_build_filename(experiment_data_dir(), "workloads", folder, NULL);
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) files = g_dir_open(directory, 0, NULL);
    const char *base;
    while (files && (base = g_dir_read_name(files)))
        if (g_str_has_suffix(base, ".json"))
            g_ptr_array_add(names, g_strndup(base, strlen(base) - strlen(".json")));
    g_ptr_array_sort(names, compare_names);
    return names;
}

char *experiment_find_shipped(const char *name, const char *folder, const char **nearest)
{
    g_autofree char *directory =
        g_build_filename(experiment_data_dir(), "workloads", folder, NULL);
    g_autofree char *base = g_strconcat(name, ".json", NULL);
    g_autofree char *file = g_build_filename(directory, base, NULL);
    if (nearest)
        *nearest = NULL;
    if (strchr(name, '/'))
        return NULL;
    if (g_file_test(file, G_FILE_TEST_EXISTS))
        return g_steal_pointer(&file);
    if (nearest) {
        g_autoptr(GPtrArray) names = experiment_shipped_names(folder);
        g_ptr_array_add(names, NULL);
        *nearest = g_intern_string(error_nearest(name, (const char *const *)names->pdata));
    }
    return NULL;
}
