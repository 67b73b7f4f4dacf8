/* SPDX-License-Identifier: MIT */
/* Nobody ever sees half a file: what is written goes to a temporary name beside it, which is
 * then renamed. Devices and pipes are written as they are. */
#include "out_file.h"

#include "error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>

static gboolean file_fail(const char *name, int cause, GError **error)
{
    g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "%s: %s", name, g_strerror(cause));
    return FALSE;
}

OutFile *out_file_open(const char *name, GError **error)
{
    g_autoptr(OutFile) file = g_new0(OutFile, 1);
    char *real = realpath(name, NULL);
    file->name = g_strdup(name);
    file->target = g_strdup(real != NULL ? real : name);
    free(real);
    if (g_file_test(file->target, G_FILE_TEST_EXISTS) &&
        !g_file_test(file->target, G_FILE_TEST_IS_REGULAR)) {
        file->stream = fopen(file->target, "w");
    } else {
        file->temporary = g_strconcat(file->target, ".XXXXXX", NULL);
        int descriptor = g_mkstemp_full(file->temporary, O_WRONLY | O_CLOEXEC, 0666);
        int cause = errno;
        if (descriptor < 0)
            g_clear_pointer(&file->temporary, g_free);
        file->stream = descriptor < 0 ? NULL : fdopen(descriptor, "w");
        errno = descriptor < 0 ? cause : errno;
    }
    if (file->stream != NULL)
        return g_steal_pointer(&file);
    file_fail(name, errno, error);
    return NULL;
}

gboolean out_file_commit(OutFile *file, GError **error)
{
    gboolean written = !ferror(file->stream);
    written = fclose(file->stream) == 0 && written;
    int cause = errno;
    file->stream = NULL;
    if (!written)
        return file_fail(file->name, cause, error);
    if (file->temporary == NULL)
        return TRUE;
    if (g_rename(file->temporary, file->target) != 0)
        return file_fail(file->name, errno, error);
    g_clear_pointer(&file->temporary, g_free);
    return TRUE;
}

void out_file_free(OutFile *file)
{
    if (file == NULL)
        return;
    g_clear_pointer(&file->stream, fclose);
    if (file->temporary != NULL)
        g_unlink(file->temporary);
    g_free(file->temporary);
    g_free(file->target);
    g_free(file->name);
    g_free(file);
}
