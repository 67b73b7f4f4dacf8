/* SPDX-License-Identifier: MIT */
/* The folder lies where GLib has temporary files; a test that crashes leaves it there. */
#include "scratch.h"

#include <check.h>
#include <glib/gstdio.h>

static char *folder;

void scratch_set_up(void)
{
    folder = g_dir_make_tmp("zerosim-test-XXXXXX", NULL);
    ck_assert_ptr_nonnull(folder);
}

void scratch_tear_down(void)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *base;
    while ((base = g_dir_read_name(dir))) {
        g_autofree char *file = scratch_path(base);
        g_remove(file);
    }
    g_rmdir(folder);
    g_clear_pointer(&folder, g_free);
}

const char *scratch_folder(void)
{
    return folder;
}

char *scratch_path(const char *base)
{
    return g_build_filename(folder, base, NULL);
}

char *scratch_write(const char *base, const char *text)
{
    char *file = scratch_path(base);
    ck_assert(g_file_set_contents(file, text, -1, NULL));
    return file;
}
