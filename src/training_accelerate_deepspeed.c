/* SPDX-License-Identifier: MIT */
/* deepspeed_config of accelerate's YAML: the ds_config.json that it names, or the one that
 * accelerate makes of its members (DeepSpeedPlugin in utils/dataclasses.py). */
#include "training_accelerate.h"

#include "error.h"

#include <string.h>

#define FILE_MEMBER "deepspeed_config_file"
#define ACCUMULATION_MAX 4096

/* Accelerate refuses a member that the file of DeepSpeed's has as well. */
static gboolean check_file_alone(const JsonIn *in, GError **error)
{
    static const char *const others[] = {"zero_stage", "gradient_accumulation_steps",
                                         "gradient_clipping", "offload_optimizer_device",
                                         "offload_param_device"};
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++)
        if (json_in_has(in, others[i]))
            return import_fail(in, others[i], ERROR_INPUT, error,
                               "beside " FILE_MEMBER ": set it in that file");
    return TRUE;
}

/* "auto" leaves it to the experiment. */
static gboolean is_auto(const JsonIn *in, const char *member)
{
    const char *text =
        json_string_value(in->object ? json_object_get(in->object, member) : NULL);
    return g_strcmp0(text, "auto") == 0;
}

/* Without a file of its own, DeepSpeed wraps the script's torch optimizer, which is foreach. */
static gboolean add_members(const JsonIn *in, json_t *config, GError **error)
{
    gint64 stage = 2, accumulation = 1;
    double clipping = 0;

    if (!json_in_int(in, "zero_stage", FALSE, 0, 3, &stage, error) ||
        (!is_auto(in, "gradient_accumulation_steps") &&
         !json_in_int(in, "gradient_accumulation_steps", FALSE, 1, ACCUMULATION_MAX,
                      &accumulation, error)) ||
        (!is_auto(in, "gradient_clipping") &&
         !json_in_double(in, "gradient_clipping", FALSE, 0, 1e9, &clipping, error)))
        return FALSE;
    json_object_set_new(config, "zero_optimization",
                        json_pack("{s:I}", "stage", (json_int_t)stage));
    json_object_set_new(config, "gradient_accumulation_steps", json_integer(accumulation));
    json_object_set_new(config, "gradient_clipping", json_real(clipping));
    json_object_set_new(config, "optimizer", json_pack("{s:{s:b}}", "params", "torch_adam", 1));
    return TRUE;
}

/* fp16 and bf16 are sections of ds_config.json; what its file says stands above these. */
static gboolean add_precision(const JsonIn *top, json_t *config, GError **error)
{
    gboolean ok;
    g_autofree char *text = import_text(top, "mixed_precision", &ok, error);

    if (!ok)
        return FALSE;
    if (!text || strcmp(text, "no") == 0)
        return TRUE;
    if (strcmp(text, "fp16") == 0 || strcmp(text, "bf16") == 0)
        return json_object_set_new(config, text, json_pack("{s:b}", "enabled", 1)) == 0;
    g_autofree char *quoted = error_quote(text);
    return import_fail(top, "mixed_precision", ERROR_UNMODELLED, error,
                       "must be 'no' (in quotes), fp16 or bf16 with DEEPSPEED, not %s", quoted);
}

gboolean accelerate_import_deepspeed(const Import *import, const JsonIn *top, GError **error)
{
    g_autoptr(json_t) config = json_object();
    JsonIn in;
    const char *file = NULL;

    if (!accelerate_section(import, top, "deepspeed_config", &accelerate_deepspeed_lists, &in,
                            error) ||
        !json_in_string(&in, FILE_MEMBER, FALSE, &file, error) ||
        !add_precision(top, config, error))
        return FALSE;
    if (file && strcmp(file, "none") != 0) {
        if (!check_file_alone(&in, error) ||
            !import_key(import, &in, FILE_MEMBER, "training.deepspeed_config", file, error))
            return FALSE;
    } else if (!add_members(&in, config, error)) {
        return FALSE;
    }
    import->experiment->imported_deepspeed = g_steal_pointer(&config);
    return TRUE;
}
