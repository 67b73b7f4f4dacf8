/* SPDX-License-Identifier: MIT */
/* Reads a Hugging Face config.json into a Model: checks the members, hands the sizes to the
 * family's builder, and adds up what the layers say. Members fall in three lists: modelled,
 * irrelevant to the prediction, and known to change it without being modelled, which is an
 * error. Leaves the layers of each family to model_<family>.c. */
#include "model.h"

#include "error.h"
#include "model_family.h"

#include <stdarg.h>
#include <string.h>

/* No size comes near; the product of two, a few times over, still fits gint64. */
#define LARGEST_SIZE (G_GINT64_CONSTANT(1) << 28)
#define MOST_LAYERS 10000
#define LARGEST_BYTES 1e18 /* sums of ten such still fit gint64 */

static const ModelFamily *const families[] = {
    &model_family_gpt2,    &model_family_llama,    &model_family_bert,
    &model_family_gpt_neo, &model_family_gpt_neox, &model_family_gptj,
    &model_family_opt,     &model_family_mpt,      &model_family_bloom,
    &model_family_falcon,  &model_family_mistral,  &model_family_mixtral,
    &model_family_qwen2,   &model_family_qwen3,    &model_family_phi,
    &model_family_phi3,    &model_family_gemma2,   &model_family_roberta,
    &model_family_t5,      &model_family_vit,      &model_family_xlm_roberta,
};

static const char *const attention_names[] = {"eager", "sdpa",   "flash2",
                                              "cudnn", "flash1", "sdpa-repeat"};

gboolean model_name_matches(const char *patterns, const char *name)
{
    g_auto(GStrv) list = g_strsplit_set(patterns ? patterns : "", ",;", -1);
    for (int i = 0; list[i]; i++)
        if (g_pattern_match_simple(g_strstrip(list[i]), name))
            return TRUE;
    return FALSE;
}

const char *attention_name(Attention attention)
{
    return attention_names[attention];
}

const Parameter *model_parameter(const Model *model, int index)
{
    return &g_array_index(model->parameters, Parameter, index);
}

const Layer *model_layer(const Model *model, int index)
{
    return g_ptr_array_index(model->layers, index);
}

gboolean model_read_size(const ModelBuild *build, const char *key, gint64 *value,
                         GError **error)
{
    return json_in_int(&build->config, key, *value <= 0, 1, LARGEST_SIZE, value, error);
}

gboolean model_read_layers(const ModelBuild *build, const char *key, gint64 *value,
                           GError **error)
{
    return json_in_int(&build->config, key, TRUE, 1, MOST_LAYERS, value, error);
}

gboolean model_check_heads(const ModelBuild *build, const char *whole_key, gint64 whole,
                           const char *parts_key, gint64 parts, GError **error)
{
    if (whole % parts == 0)
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "%s: %s: %" G_GINT64_FORMAT " isn't a multiple of %s %" G_GINT64_FORMAT,
                build->config.file, whole_key, whole, parts_key, parts);
    return FALSE;
}

gboolean model_check_product(const ModelBuild *build, const char *what, gint64 a, gint64 b,
                             GError **error)
{
    if (a <= LARGEST_SIZE / b)
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s is absurdly large (over 2^28)",
                build->config.file, what);
    return FALSE;
}

gboolean model_read_dropout(const ModelBuild *build, const char *key, double *value,
                            GError **error)
{
    if (!json_in_double(&build->config, key, FALSE, 0, 1, value, error))
        return FALSE;
    if (build->options->dropout >= 0)
        *value = build->options->dropout;
    return TRUE;
}

gboolean model_read_rotated_part(const ModelBuild *build, double *part, GError **error)
{
    JsonIn rope;
    if (!json_in_double(&build->config, "partial_rotary_factor", FALSE, 0, 1, part, error) ||
        !json_in_object(&build->config, "rope_parameters", FALSE, build->names, &rope, error))
        return FALSE;
    return !rope.object ||
           json_in_double(&rope, "partial_rotary_factor", FALSE, 0, 1, part, error);
}

gboolean model_read_architecture(const ModelBuild *build, const ModelFamily *family, int *index,
                                 GError **error)
{
    const json_t *list = json_object_get(build->config.object, "architectures");
    *index = 0;
    if (!list || json_is_null(list))
        return TRUE;
    const char *name = json_string_value(json_array_get(list, 0));
    if (!name || json_array_size(list) != 1) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: architectures: must be an array of one class name, like [\"%s\"]",
                    build->config.file, family->architectures[0]);
        return FALSE;
    }
    for (; family->architectures[*index]; ++*index)
        if (strcmp(name, family->architectures[*index]) == 0)
            return TRUE;
    g_autofree char *quoted = error_quote(name);
    g_autofree char *known = g_strjoinv(", ", (char **)family->architectures);
    g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                "%s: architectures: %s isn't modelled; known for %s: %s", build->config.file,
                quoted, family->model_type, known);
    return FALSE;
}

static gboolean sequence_error(const ModelBuild *build, gint64 positions, GError **error)
{
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "%s: sequence_length %" G_GINT64_FORMAT
                " is longer than the model's %" G_GINT64_FORMAT " learned positions",
                build->config.file, build->model->sequence_length, positions);
    return FALSE;
}

gboolean model_resolve_sequence(ModelBuild *build, gint64 positions, gboolean learned,
                                gint64 heads, gint64 widest, GError **error)
{
    const gint64 wanted = build->options->sequence_length;
    const gint64 length = wanted > 0 ? wanted : positions;
    build->model->sequence_length = length;
    if (length > positions && learned)
        return sequence_error(build, positions, error);
    if (length > positions)
        g_ptr_array_add(build->warnings,
                        g_strdup_printf("%s: sequence_length %" G_GINT64_FORMAT
                                        " exceeds the model's %" G_GINT64_FORMAT,
                                        build->config.file, length, positions));
    const double tokens = (double)build->options->micro_batch * length;
    const double scores =
        build->options->attention == ATTENTION_EAGER ? 16.0 * tokens * length * heads : 0;
    if (length > LARGEST_SIZE || 16.0 * tokens * widest > LARGEST_BYTES ||
        scores > LARGEST_BYTES) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: micro_batch %" G_GINT64_FORMAT " x sequence_length %" G_GINT64_FORMAT
                    " is absurdly large",
                    build->config.file, build->options->micro_batch, length);
        return FALSE;
    }
    build->tokens = build->options->micro_batch * length;
    return TRUE;
}

void model_attention_flops(ModelBuild *build, gint64 n_layers, gint64 width)
{
    build->model->flops_per_token =
        12.0 * (double)n_layers * (double)width * (double)build->model->sequence_length;
}

const char *model_name_printf(ModelBuild *build, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *name = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return g_string_chunk_insert(build->names, name);
}

void model_add_parameter(ModelBuild *build, const char *name, gint64 rows, gint64 columns)
{
    const Parameter parameter = {g_strdup(name), rows, rows * columns};
    g_array_append_val(build->model->parameters, parameter);
    g_hash_table_insert(build->parameter_index, g_strdup(name),
                        GINT_TO_POINTER((int)build->model->parameters->len));
}

void model_add_parameters(ModelBuild *build, const char *name, gint64 rows, gint64 columns,
                          gint64 bias)
{
    model_add_parameter(build, model_name_printf(build, "%s.weight", name), rows, columns);
    if (bias > 0)
        model_add_parameter(build, model_name_printf(build, "%s.bias", name), bias, 1);
}

static const ModelFamily *find_family(const JsonIn *in, GError **error)
{
    const char *model_type = NULL;
    g_autoptr(GString) known = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(families); i++)
        g_string_append_printf(known, "%s%s", i > 0 ? ", " : "", families[i]->model_type);
    if (!json_in_string(in, "model_type", FALSE, &model_type, error))
        return NULL;
    if (!model_type) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: model_type: is missing; this must be a Hugging Face config.json with "
                    "one of: %s",
                    in->file, known->str);
        return NULL;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(families); i++)
        if (strcmp(families[i]->model_type, model_type) == 0)
            return families[i];
    g_autofree char *quoted = error_quote(model_type);
    g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                "%s: model_type: %s isn't modelled; known: %s", in->file, quoted, known->str);
    return NULL;
}

/* The flash and cuDNN kernels exist for 16 bits only. */
static gboolean check_options(const char *file, const ModelOptions *options, GError **error)
{
    const gboolean sixteen = options->compute != DTYPE_FP32 && options->compute != DTYPE_TF32;
    const Attention attention = options->attention;
    if (sixteen || attention == ATTENTION_EAGER || attention == ATTENTION_SDPA ||
        attention == ATTENTION_SDPA_REPEAT)
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "%s: attention %s computes in 16 bits only, not in %s; use sdpa or eager", file,
                attention_name(attention), dtype_name(options->compute));
    return FALSE;
}

static void layer_free(gpointer data)
{
    Layer *layer = data;
    g_free(layer->name);
    g_free(layer->parameters);
    g_array_unref(layer->forward);
    g_array_unref(layer->backward);
    g_free(layer);
}

static void parameter_clear(gpointer data)
{
    g_free(((Parameter *)data)->name);
}

static Model *model_new(const char *file, const ModelFamily *family)
{
    Model *model = g_new0(Model, 1);
    g_autofree char *base = g_path_get_basename(file);
    model->name = g_strndup(base, strlen(base) - (g_str_has_suffix(base, ".json") ? 5 : 0));
    model->family = g_strdup(family->model_type);
    model->parameters = g_array_new(FALSE, FALSE, sizeof(Parameter));
    g_array_set_clear_func(model->parameters, parameter_clear);
    model->layers = g_ptr_array_new_with_free_func(layer_free);
    return model;
}

/* Sums first in floating point: of what a file says, even the total may not fit. */
static gboolean totals_check(const ModelBuild *build, GError **error)
{
    double parameters = 0, bytes = 0;
    for (guint i = 0; i < build->model->parameters->len; i++)
        parameters += (double)model_parameter(build->model, (int)i)->numel;
    for (guint i = 0; i < build->model->layers->len; i++) {
        const Layer *layer = model_layer(build->model, (int)i);
        bytes += (double)layer->saved_bytes + (double)layer->cast_bytes;
    }
    if (parameters <= LARGEST_BYTES / 64 && bytes <= LARGEST_BYTES)
        return TRUE;
    g_set_error(
        error, ZEROSIM_ERROR, ERROR_INPUT,
        "%s: its sizes multiply to %.3g parameters and %.3g bytes of activations, which "
        "is absurdly large",
        build->config.file, parameters, bytes);
    return FALSE;
}

/* What follows from the parameters and layers that the family has listed. */
static void totals_compute(const ModelBuild *build)
{
    Model *model = build->model;
    for (guint i = 0; i < model->parameters->len; i++)
        model->n_parameters += model_parameter(model, (int)i)->numel;
    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        gint64 own = 0;
        for (int j = 0; j < layer->n_parameters; j++)
            own += model_parameter(model, layer->parameters[j])->numel;
        model->largest_layer_parameters = MAX(model->largest_layer_parameters, own);
    }
    model->flops_per_token += 6.0 * (double)(model->n_parameters - build->inactive_parameters);
    if (model->block_input_bytes == 0)
        model->block_input_bytes =
            build->tokens * model->hidden_size * dtype_bytes(build->stream);
}

static DType linear_dtype(const ModelOptions *options)
{
    if (!options->autocast)
        return options->parameter;
    return options->compute == DTYPE_FP8 ? DTYPE_BF16 : options->compute;
}

static gboolean build_model(const ModelFamily *family, ModelBuild *build, GError **error)
{
    g_autoptr(GStringChunk) names = g_string_chunk_new(4096);
    g_autoptr(GHashTable) parameter_index =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    build->names = names;
    build->parameter_index = parameter_index;
    if (!family->build(build, error) || !totals_check(build, error))
        return FALSE;
    totals_compute(build);
    return TRUE;
}

Model *model_load(const char *file, const ModelOptions *options, GPtrArray *warnings,
                  GError **error)
{
    static const ModelFamily layer_list = {.model_type = "layers", .build = model_list_build};
    g_assert(options->micro_batch > 0 && options->sequence_length >= 0);
    g_autoptr(json_t) document = json_in_load(file, error);
    if (!document)
        return NULL;
    const JsonIn in = {document, file, ""};
    const gboolean listed = model_list_named(&in);
    const ModelFamily *family = listed ? &layer_list : find_family(&in, error);
    if (!family || (!listed && !model_check_members(&in, family, warnings, error)) ||
        !check_options(file, options, error))
        return NULL;

    g_autoptr(Model) model = model_new(file, family);
    ModelBuild build = {.model = model,
                        .config = in,
                        .options = options,
                        .warnings = warnings,
                        .stream = options->autocast ? DTYPE_FP32 : options->parameter,
                        .linear = linear_dtype(options),
                        .block = -1};
    if (!build_model(family, &build, error))
        return NULL;
    return g_steal_pointer(&model);
}

void model_free(Model *model)
{
    g_free(model->family);
    g_free(model->name);
    g_array_unref(model->parameters);
    g_ptr_array_unref(model->layers);
    g_free(model);
}
