/* SPDX-License-Identifier: MIT */
/* zerosim run: one experiment, one result. */
#include "cmd.h"
#include "cmd_options.h"
#include "cmd_progress.h"
#include "error.h"
#include "predict.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>

#define EXAMPLE                                                                                \
    "Example: zerosim run workloads/llama-2-7b-dgx-h100.conf -s training.strategy=zero2\n\n"

static gboolean file_fail(const char *file, int cause, GError **error)
{
    g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "%s: %s", file, g_strerror(cause));
    return FALSE;
}

/* Where the file's content goes until it is complete: a file beside it, or the file itself
 * where it is no regular one, such as /dev/null. */
static FILE *file_open(const char *file, char **target, char **temporary, GError **error)
{
    char *real = realpath(file, NULL);
    FILE *out;
    *target = g_strdup(real != NULL ? real : file);
    free(real);
    *temporary = NULL;
    if (g_file_test(*target, G_FILE_TEST_EXISTS) &&
        !g_file_test(*target, G_FILE_TEST_IS_REGULAR)) {
        out = fopen(*target, "w");
    } else {
        *temporary = g_strconcat(*target, ".XXXXXX", NULL);
        int descriptor = g_mkstemp_full(*temporary, O_WRONLY | O_CLOEXEC, 0666);
        out = descriptor < 0 ? NULL : fdopen(descriptor, "w");
    }
    if (out == NULL)
        file_fail(file, errno, error);
    return out;
}

/* Nobody ever sees half a file: it has its name once it is whole. */
static gboolean file_finish(const char *file, FILE *out, const char *target,
                            const char *temporary, gboolean keep, GError **error)
{
    gboolean written = !ferror(out);
    written = fclose(out) == 0 && written;
    int cause = errno;
    if (temporary == NULL)
        return written || !keep || file_fail(file, cause, error);
    if (keep && written && g_rename(temporary, target) == 0)
        return TRUE;
    cause = written ? errno : cause;
    g_unlink(temporary);
    return !keep || file_fail(file, cause, error);
}

static Result *predict_into(const Inputs *inputs, const char *memory_file, GError **error)
{
    g_autofree char *target = NULL;
    g_autofree char *temporary = NULL;
    if (memory_file == NULL)
        return predict(inputs, error);
    FILE *out = file_open(memory_file, &target, &temporary, error);
    if (out == NULL)
        return NULL;
    g_autoptr(Result) result = predict_with_memory_csv(inputs, out, error);
    gboolean keep = result != NULL;
    if (!file_finish(memory_file, out, target, temporary, keep, error))
        return NULL;
    return g_steal_pointer(&result);
}

gboolean cmd_run(int argc, char **argv, GError **error)
{
    g_autofree char *memory_file = NULL;
    const GOptionEntry own[] = {
        {"memory-csv", 0, 0, G_OPTION_ARG_FILENAME, &memory_file,
         "write the memory over time of the rank with the highest peak", "FILE"},
        G_OPTION_ENTRY_NULL,
    };
    g_auto(CmdOptions) options = {0};
    if (!cmd_options_parse(&options, argc, argv, TRUE, own, error))
        return FALSE;
    if (options.help) {
        printf(EXAMPLE "%s", options.help_text);
        return TRUE;
    }
    g_autoptr(CmdProgress) progress = cmd_progress_new();
    cmd_progress_set(progress, 0, 0, "simulating");
    g_autoptr(Experiment) experiment = cmd_options_experiment(&options, error);
    if (experiment == NULL)
        return FALSE;
    g_autoptr(Inputs) inputs = inputs_load(experiment, FALSE, options.strict, error);
    if (inputs == NULL)
        return FALSE;
    g_autoptr(GPtrArray) results = g_ptr_array_new_with_free_func((GDestroyNotify)result_free);
    Result *result = predict_into(inputs, memory_file, error);
    if (result == NULL)
        return FALSE;
    g_ptr_array_add(results, result);
    g_clear_pointer(&progress, cmd_progress_free);
    options.format->write(results, FALSE, options.table, stdout);
    return TRUE;
}
