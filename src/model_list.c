/* SPDX-License-Identifier: MIT */
/* Models that no family describes, written out layer by layer in a JSON format of our own
 * (zerosim-model(5)): parameters by shape, kernels by operation and dimensions, what is kept.
 * Counts are of one sample; micro_batch scales them. Unknown members are errors. Left out:
 * anything that depends on the sequence's length, which the file fixes. */
#include "error.h"
#include "model_family.h"

#include <string.h>

#define LARGEST_COUNT (G_GINT64_CONSTANT(1) << 40)
#define LARGEST_PRODUCT 1e18

static const char *const file_members[] = {
    "format", "version", "name", "description", "sequence_length", "block_input_elements",
    "layers", NULL};
static const char *const layer_members[] = {"name",
                                            "block",
                                            "parameters",
                                            "buffer_bytes",
                                            "forward",
                                            "backward",
                                            "saved_elements",
                                            "saved_bytes",
                                            "forward_temporary_elements",
                                            "backward_temporary_elements",
                                            NULL};
static const char *const parameter_members[] = {"name", "shape", NULL};
static const char *const kernel_members[] = {"op", "dtype", "dimensions", "per_sample", NULL};

gboolean model_list_named(const JsonIn *in)
{
    return json_in_has(in, "format");
}

static gboolean check_known(const JsonIn *in, const char *const *known, GError **error)
{
    void *iterator = json_object_iter((json_t *)in->object);
    for (; iterator; iterator = json_object_iter_next((json_t *)in->object, iterator)) {
        if (g_strv_contains(known, json_object_iter_key(iterator)))
            continue;
        g_autofree char *quoted = error_quote(json_object_iter_key(iterator));
        g_autofree char *list = g_strjoinv(", ", (char **)known);
        return json_in_refuse(in, quoted, error, "unknown; known here: %s", list);
    }
    return TRUE;
}

/* The array `key` of objects: how many; -1 and an error when it is something else. */
static int array_size(const JsonIn *in, const char *key, gboolean required, GError **error)
{
    const json_t *array = json_object_get(in->object, key);
    if (!array && !required)
        return 0;
    for (gsize i = 0; i < json_array_size(array); i++)
        if (!json_is_object(json_array_get(array, i)))
            array = NULL;
    if (json_is_array(array) && (json_array_size(array) > 0 || !required))
        return (int)json_array_size(array);
    json_in_refuse(in, key, error, "must be an array of%s objects",
                   required ? " one or more" : "");
    return -1;
}

static JsonIn element(ModelBuild *build, const JsonIn *in, const char *key, int index)
{
    return (JsonIn){
        json_array_get(json_object_get(in->object, key), (gsize)index), in->file,
        model_name_printf(build, "%s%s%s[%d]", in->path, in->path[0] ? "." : "", key, index)};
}

/* A count of one sample, times the samples and `each`. */
static gboolean read_scaled(const ModelBuild *build, const JsonIn *in, const char *key,
                            gint64 each, gint64 *value, GError **error)
{
    gint64 count = 0;
    if (!json_in_int(in, key, FALSE, 0, LARGEST_COUNT, &count, error))
        return FALSE;
    const double scaled = (double)count * (double)each * (double)build->options->micro_batch;
    if (scaled > LARGEST_PRODUCT)
        return json_in_refuse(in, key, error,
                              "is absurdly large with micro_batch %" G_GINT64_FORMAT,
                              build->options->micro_batch);
    *value = count > 0 ? count * each * build->options->micro_batch : 0;
    return TRUE;
}

/* -- parameters */

static gboolean read_shape(const JsonIn *in, gint64 *rows, gint64 *columns, GError **error)
{
    const json_t *shape = json_object_get(in->object, "shape");
    *rows = *columns = 1;
    for (gsize i = 0; i < json_array_size(shape); i++) {
        const json_t *value = json_array_get(shape, i);
        const json_int_t size = json_is_integer(value) ? json_integer_value(value) : 0;
        gint64 *product = i == 0 ? rows : columns;
        if (size < 1 || size > LARGEST_COUNT || *product > LARGEST_COUNT / size)
            return json_in_refuse(in, "shape", error,
                                  "must have sizes from 1 to 2^40, together too");
        *product *= size;
    }
    if (json_array_size(shape) == 0)
        return json_in_refuse(in, "shape", error,
                              "must be an array of sizes, like [64, 3, 7, 7]");
    if (*rows > LARGEST_COUNT / *columns)
        return json_in_refuse(in, "shape", error, "is absurdly large (over 2^40 elements)");
    return TRUE;
}

/* A parameter with a shape is new; one without stands in an earlier layer. */
static gboolean read_parameter(ModelBuild *build, const JsonIn *in, GHashTable *here,
                               int *index, GError **error)
{
    const char *name = NULL;
    gint64 rows, columns;
    if (!check_known(in, parameter_members, error) ||
        !json_in_string(in, "name", TRUE, &name, error))
        return FALSE;
    const gboolean known = g_hash_table_contains(build->parameter_index, name);
    g_autofree char *quoted = error_quote(name);
    if (json_in_has(in, "shape")) {
        if (known)
            return json_in_refuse(in, "name", error,
                                  "%s has a shape already; a tied one has none here", quoted);
        if (!read_shape(in, &rows, &columns, error))
            return FALSE;
        model_add_parameter(build, name, rows, columns);
    } else if (!known) {
        return json_in_refuse(in, "shape", error, "missing, and no earlier layer has %s",
                              quoted);
    }
    *index = GPOINTER_TO_INT(g_hash_table_lookup(build->parameter_index, name)) - 1;
    if (!g_hash_table_add(here, GINT_TO_POINTER(*index)))
        return json_in_refuse(in, "name", error, "%s stands twice in this layer", quoted);
    return TRUE;
}

static gboolean read_parameters(ModelBuild *build, const JsonIn *in, Layer *layer,
                                GError **error)
{
    g_autoptr(GHashTable) here = g_hash_table_new(NULL, NULL);
    const int n = array_size(in, "parameters", FALSE, error);
    if (n < 0)
        return FALSE;
    g_free(layer->parameters);
    layer->parameters = g_new0(int, MAX(n, 1));
    layer->n_parameters = 0;
    for (int i = 0; i < n; i++) {
        const JsonIn child = element(build, in, "parameters", i);
        if (!read_parameter(build, &child, here, &layer->parameters[i], error))
            return FALSE;
        layer->n_parameters++;
    }
    return TRUE;
}

/* -- kernels */

static gboolean may_be_zero(const char *dimension)
{
    static const char *const names[] = {"causal", "layout", "read_bytes", "write_bytes", NULL};
    return g_strv_contains(names, dimension);
}

static gboolean read_dimensions(ModelBuild *build, const JsonIn *in, Kernel *kernel,
                                GError **error)
{
    const char *const *names = kernel_dimension_names(kernel->op);
    const char *per_sample = NULL;
    const char *known[KERNEL_MAX_DIMENSIONS + 1] = {NULL};
    JsonIn dimensions;
    if (!json_in_object(in, "dimensions", TRUE, build->names, &dimensions, error) ||
        !json_in_string(in, "per_sample", FALSE, &per_sample, error))
        return FALSE;
    for (int i = 0; i < KERNEL_MAX_DIMENSIONS && names[i]; i++) {
        known[i] = names[i];
        if (!json_in_int(&dimensions, names[i], !kernel_dimension_is_optional(names[i]),
                         may_be_zero(names[i]) ? 0 : 1, LARGEST_COUNT, &kernel->dimension[i],
                         error))
            return FALSE;
        if (g_strcmp0(names[i], per_sample) != 0)
            continue;
        if ((double)kernel->dimension[i] * (double)build->options->micro_batch >
            LARGEST_PRODUCT)
            return json_in_refuse(&dimensions, names[i], error, "is absurdly large");
        kernel->dimension[i] *= build->options->micro_batch;
    }
    if (per_sample && !g_strv_contains(known, per_sample)) {
        g_autofree char *list = g_strjoinv(", ", (char **)known);
        return json_in_refuse(in, "per_sample", error, "must name one of: %s", list);
    }
    return check_known(&dimensions, known, error);
}

static gboolean read_dtype(const ModelBuild *build, const JsonIn *in, Kernel *kernel,
                           GError **error)
{
    const char *name = NULL;
    kernel->dtype = kernel->op == KERNEL_GEMM ? build->options->compute : build->linear;
    if (!json_in_string(in, "dtype", FALSE, &name, error))
        return FALSE;
    if (name && !dtype_parse(name, &kernel->dtype))
        return json_in_refuse(in, "dtype", error,
                              "must be fp32, tf32, bf16, fp16 or fp8, or be left out");
    return TRUE;
}

static gboolean read_kernel(ModelBuild *build, const JsonIn *in, GArray *kernels,
                            GError **error)
{
    const char *op = NULL;
    Kernel kernel = {0};
    if (!check_known(in, kernel_members, error) || !json_in_string(in, "op", TRUE, &op, error))
        return FALSE;
    if (!kernel_op_parse(op, &kernel.op) || kernel.op == KERNEL_OPTIMIZER_STEP) {
        g_autofree char *quoted = error_quote(op);
        return json_in_refuse(
            in, "op", error, "%s isn't a kernel of a layer; zerosim-model(5) has them", quoted);
    }
    if (!read_dimensions(build, in, &kernel, error) || !read_dtype(build, in, &kernel, error))
        return FALSE;
    if (kernel_flops(&kernel) > LARGEST_PRODUCT * 1e6 ||
        kernel_bytes(&kernel) > LARGEST_PRODUCT)
        return json_in_refuse(in, "dimensions", error, "are absurdly large together");
    layer_run(kernels, kernel);
    return TRUE;
}

static gboolean read_kernels(ModelBuild *build, const JsonIn *in, const char *key,
                             GArray *kernels, GError **error)
{
    const int n = array_size(in, key, TRUE, error);
    for (int i = 0; i < n; i++) {
        const JsonIn child = element(build, in, key, i);
        if (!read_kernel(build, &child, kernels, error))
            return FALSE;
    }
    return n > 0;
}

/* -- layers */

static gboolean multiplies(const Layer *layer)
{
    Kernel gemm;
    for (guint i = 0; i < layer->forward->len; i++)
        if (kernel_as_gemm(&g_array_index(layer->forward, Kernel, i), &gemm))
            return TRUE;
    return FALSE;
}

/* Autocast casts the parameters of products, and their gradients back. */
static void cast_parameters(const ModelBuild *build, Layer *layer)
{
    gint64 numel = 0;
    if (!build->options->autocast || !multiplies(layer))
        return;
    for (int i = 0; i < layer->n_parameters; i++)
        numel += model_parameter(build->model, layer->parameters[i])->numel;
    const int stream = dtype_bytes(build->stream), linear = dtype_bytes(build->linear);
    if (numel == 0)
        return;
    layer_run_cast(layer->forward, numel, stream, linear);
    layer_run_cast(layer->backward, numel, linear, stream);
    layer->cast_bytes = numel * linear;
}

/* Blocks count up from 0 without gaps; what has none stands before or behind all of them. */
static gboolean read_block(ModelBuild *build, const JsonIn *in, int *last, gboolean *behind,
                           GError **error)
{
    gint64 block = -1;
    if (!json_in_int(in, "block", FALSE, 0, G_MAXINT - 1, &block, error))
        return FALSE;
    if (block < 0) {
        *behind = *last >= 0;
        build->block = *behind ? G_MAXINT : -1;
        return TRUE;
    }
    if (*behind || block < *last || block > *last + 1)
        return json_in_refuse(in, "block", error,
                              "must be the block before's number or the next one; here %d",
                              *last + 1);
    *last = build->block = (int)block;
    return TRUE;
}

static gboolean read_bytes(ModelBuild *build, const JsonIn *in, Layer *layer, GError **error)
{
    const gint64 e = dtype_bytes(build->linear);
    gint64 elements = 0, buffer = 0;
    if (!read_scaled(build, in, "saved_bytes", 1, &layer->saved_bytes, error) ||
        !read_scaled(build, in, "saved_elements", e, &elements, error) ||
        !read_scaled(build, in, "forward_temporary_elements", e,
                     &layer->forward_temporary_bytes, error) ||
        !read_scaled(build, in, "backward_temporary_elements", e,
                     &layer->backward_temporary_bytes, error) ||
        !json_in_int(in, "buffer_bytes", FALSE, 0, LARGEST_COUNT, &buffer, error))
        return FALSE;
    layer->saved_bytes += elements;
    build->model->buffer_bytes += buffer;
    return TRUE;
}

static gboolean read_layer(ModelBuild *build, const JsonIn *in, int *last, gboolean *behind,
                           GError **error)
{
    const char *name = NULL;
    if (!check_known(in, layer_members, error) ||
        !json_in_string(in, "name", TRUE, &name, error) ||
        !read_block(build, in, last, behind, error))
        return FALSE;
    Layer *layer = layer_append(build, name, NULL);
    if (!read_parameters(build, in, layer, error) ||
        !read_kernels(build, in, "forward", layer->forward, error) ||
        !read_kernels(build, in, "backward", layer->backward, error) ||
        !read_bytes(build, in, layer, error))
        return FALSE;
    cast_parameters(build, layer);
    return TRUE;
}

static gboolean read_layers(ModelBuild *build, const JsonIn *in, GError **error)
{
    const int n = array_size(in, "layers", TRUE, error);
    int last = -1;
    gboolean behind = FALSE;
    for (int i = 0; i < n; i++) {
        const JsonIn child = element(build, in, "layers", i);
        if (!read_layer(build, &child, &last, &behind, error))
            return FALSE;
    }
    build->model->n_blocks = last + 1;
    for (guint i = 0; i < build->model->layers->len; i++) {
        Layer *layer = g_ptr_array_index(build->model->layers, i);
        layer->block = MIN(layer->block, last + 1);
    }
    return n > 0;
}

/* -- the file */

static gboolean read_head(ModelBuild *build, const JsonIn *in, GError **error)
{
    const char *format = NULL, *text = NULL;
    gint64 version = 0;
    if (!check_known(in, file_members, error) ||
        !json_in_string(in, "format", TRUE, &format, error))
        return FALSE;
    if (strcmp(format, "zerosim-layers") != 0)
        return json_in_refuse(in, "format", error, "must be \"zerosim-layers\"");
    if (!json_in_int(in, "version", TRUE, 1, 1, &version, error) ||
        !json_in_string(in, "description", FALSE, &text, error) ||
        !json_in_string(in, "name", FALSE, &text, error))
        return FALSE;
    if (json_in_has(in, "name")) {
        g_free(build->model->name);
        build->model->name = g_strdup(text);
    }
    return TRUE;
}

static gboolean read_sequence(ModelBuild *build, const JsonIn *in, GError **error)
{
    gint64 length = 1;
    if (!json_in_int(in, "sequence_length", FALSE, 1, LARGEST_COUNT, &length, error))
        return FALSE;
    const gint64 wanted = build->options->sequence_length;
    if (wanted > 0 && wanted != length)
        return json_in_refuse(in, "sequence_length", error,
                              "the layers are of %" G_GINT64_FORMAT
                              " tokens a sample, not %" G_GINT64_FORMAT,
                              length, wanted);
    if ((double)length * (double)build->options->micro_batch > LARGEST_PRODUCT)
        return json_in_refuse(in, "sequence_length", error, "is absurdly large");
    build->model->sequence_length = length;
    build->tokens = length * build->options->micro_batch;
    return read_scaled(build, in, "block_input_elements", dtype_bytes(build->linear),
                       &build->model->block_input_bytes, error);
}

/* Three times the forward's products: PaLM's 6 N counts those that a parameter enters once. */
static void count_flops(ModelBuild *build)
{
    Model *model = build->model;
    double forward = 0;
    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        for (guint j = 0; j < layer->forward->len; j++)
            forward += kernel_flops(&g_array_index(layer->forward, Kernel, j));
    }
    for (guint i = 0; i < model->parameters->len; i++)
        build->inactive_parameters += model_parameter(model, (int)i)->numel;
    model->flops_per_token = 3 * forward / (double)build->tokens;
}

gboolean model_list_build(ModelBuild *build, GError **error)
{
    const JsonIn *in = &build->config;
    if (!read_head(build, in, error) || !read_sequence(build, in, error) ||
        !read_layers(build, in, error))
        return FALSE;
    count_flops(build);
    return TRUE;
}
