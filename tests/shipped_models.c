/* SPDX-License-Identifier: MIT */
/* From the source tree, which ZEROSIM_DATA_DIR names, or the working directory. */
#include "shipped_models.h"

#include <check.h>

char *shipped_model_path(const char *name)
{
    const char *data = g_getenv("ZEROSIM_DATA_DIR");
    g_autofree char *base = g_strconcat(name, ".json", NULL);
    return g_build_filename(data ? data : ".", "workloads", "models", base, NULL);
}

Model *shipped_model(const char *name, const ModelOptions *options, GPtrArray *warnings)
{
    g_autofree char *path = shipped_model_path(name);
    g_autoptr(GError) error = NULL;
    Model *model = model_load(path, options, warnings, &error);
    ck_assert_msg(model != NULL, "%s", error ? error->message : "");
    return model;
}
