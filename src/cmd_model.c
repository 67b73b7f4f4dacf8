/* SPDX-License-Identifier: MIT */
/* `zerosim model`: what a model file holds and what one micro-batch of it costs: parameters by
 * group of layers, floating-point operations, and the activations each checkpointing mode
 * keeps. Predicts no times. */
#include "cmd.h"
#include "error.h"
#include "experiment.h"
#include "json_in.h"
#include "model.h"

#include <stdio.h>
#include <string.h>

#define EXAMPLE "Example: zerosim model llama-2-7b --micro-batch 2\n\n"
#define GIB 1073741824.0

/* What the user asked for; NULL strings are defaults. */
typedef struct {
    char *format, *precision, *attention;
    gint64 micro_batch, sequence_length;
    char **names;
} Arguments;

typedef struct {
    const char *name;
    DType parameter, compute;
    gboolean autocast;
} PrecisionRow;

static const PrecisionRow precisions[] = {
    {"bf16", DTYPE_BF16, DTYPE_BF16, FALSE},
    {"fp16", DTYPE_FP16, DTYPE_FP16, FALSE},
    {"fp32", DTYPE_FP32, DTYPE_FP32, FALSE},
    {"autocast-bf16", DTYPE_FP32, DTYPE_BF16, TRUE},
    {"autocast-fp16", DTYPE_FP32, DTYPE_FP16, TRUE},
    {"fp8", DTYPE_FP32, DTYPE_FP8, TRUE},
};

/* Layers before the blocks, one block, and after them. */
typedef struct {
    const char *name;
    gint64 count, parameters; /* parameters and the rest: of all `count` together */
    gint64 saved_bytes;
    double forward_flops, backward_flops;
} Group;

enum { GROUP_EMBEDDING, GROUP_BLOCK, GROUP_HEAD, N_GROUPS };

typedef struct {
    Group groups[N_GROUPS];
    double forward_flops, backward_flops;
    gint64 saved_none_bytes, saved_selective_bytes, saved_full_bytes;
    const char *precision, *attention;
    gint64 micro_batch;
    const GPtrArray *warnings;
} Summary;

static double flops_sum(const GArray *kernels)
{
    double sum = 0;
    for (guint i = 0; i < kernels->len; i++)
        sum += kernel_flops(&g_array_index(kernels, Kernel, i));
    return sum;
}

static int layer_group(const Model *model, const Layer *layer)
{
    if (layer->block < 0)
        return GROUP_EMBEDDING;
    return layer->block < model->n_blocks ? GROUP_BLOCK : GROUP_HEAD;
}

/* A tied parameter is counted where it stands first. */
static gint64 count_parameters(const Model *model, const Layer *layer, gboolean *seen)
{
    gint64 sum = 0;
    for (int i = 0; i < layer->n_parameters; i++) {
        const int index = layer->parameters[i];
        sum += seen[index] ? 0 : model_parameter(model, index)->numel;
        seen[index] = TRUE;
    }
    return sum;
}

static Summary summarise(const Model *model)
{
    Summary s = {.groups = {{.name = "embedding", .count = 1},
                            {.name = "block", .count = model->n_blocks},
                            {.name = "head", .count = 1}}};
    g_autofree gboolean *seen = g_new0(gboolean, model->parameters->len);
    s.saved_full_bytes = model->n_blocks * model->block_input_bytes;
    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        const int index = layer_group(model, layer);
        Group *group = &s.groups[index];
        group->parameters += count_parameters(model, layer, seen);
        group->saved_bytes += layer->saved_bytes;
        group->forward_flops += flops_sum(layer->forward);
        group->backward_flops += flops_sum(layer->backward);
        s.saved_none_bytes += layer->saved_bytes;
        s.saved_selective_bytes +=
            layer->attention ? layer->recompute_saved_bytes : layer->saved_bytes;
        s.saved_full_bytes += index == GROUP_BLOCK ? 0 : layer->saved_bytes;
    }
    for (int i = 0; i < N_GROUPS; i++) {
        s.forward_flops += s.groups[i].forward_flops;
        s.backward_flops += s.groups[i].backward_flops;
    }
    return s;
}

typedef struct {
    const char *name;
    double size;
} Unit;

static const Unit flop_units[] = {{"TFLOP", 1e12}, {"GFLOP", 1e9}, {"MFLOP", 1e6}, {NULL, 0}};
static const Unit byte_units[] = {{"GiB", GIB}, {"MiB", GIB / 1024}, {"KiB", 1024}, {NULL, 0}};

/* The first that `total` has one of, else the smallest. */
static const Unit *unit_for(const Unit *units, double total)
{
    while (total < units->size && units[1].name)
        units++;
    return units;
}

static void print_groups(const Model *model, const Summary *s, const Unit *flops,
                         const Unit *bytes)
{
    printf("%-10s %6s %20s %20s %8s %5s %8s %5s %12s %s\n", "layers", "count",
           "parameters each", "parameters", "forward", flops->name, "backward", flops->name,
           "activations", bytes->name);
    for (int i = 0; i < N_GROUPS; i++) {
        const Group *g = &s->groups[i];
        if (g->count == 0) /* a layer list without blocks */
            continue;
        printf("%-10s %6" G_GINT64_FORMAT " %20" G_GINT64_FORMAT " %20" G_GINT64_FORMAT
               " %14.3f %14.3f %16.3f\n",
               g->name, g->count, g->parameters / g->count, g->parameters,
               g->forward_flops / flops->size, g->backward_flops / flops->size,
               (double)g->saved_bytes / bytes->size);
    }
    printf("%-10s %6s %20s %20" G_GINT64_FORMAT " %14.3f %14.3f %16.3f\n\n", "total", "", "",
           model->n_parameters, s->forward_flops / flops->size, s->backward_flops / flops->size,
           (double)s->saved_none_bytes / bytes->size);
}

static void print_table(const Model *model, const Summary *s)
{
    const Unit *flops = unit_for(flop_units, s->forward_flops);
    const Unit *bytes = unit_for(byte_units, (double)s->saved_none_bytes);

    printf("%s (%s), %" G_GINT64_FORMAT " parameters\n", model->name, model->family,
           model->n_parameters);
    printf("micro-batch %" G_GINT64_FORMAT " x %" G_GINT64_FORMAT
           " tokens, %s, attention %s\n\n",
           s->micro_batch, model->sequence_length, s->precision, s->attention);
    print_groups(model, s, flops, bytes);
    printf("activations kept, %s:  none %.3f  selective %.3f  full %.3f checkpointing\n",
           bytes->name, (double)s->saved_none_bytes / bytes->size,
           (double)s->saved_selective_bytes / bytes->size,
           (double)s->saved_full_bytes / bytes->size);
    const gboolean listed = strcmp(model->family, "layers") == 0;
    printf("model FLOPs a token (%s): %.6g\n", listed ? "3 x forward" : "6 N + 12 L H Q T",
           model->flops_per_token);
    for (guint i = 0; i < s->warnings->len; i++)
        printf("warning: %s\n", (const char *)g_ptr_array_index(s->warnings, i));
}

static void print_csv_row(const Model *model, const Summary *s, const Group *g)
{
    char forward[G_ASCII_DTOSTR_BUF_SIZE], backward[G_ASCII_DTOSTR_BUF_SIZE];
    printf("%s,%s,%" G_GINT64_FORMAT ",%" G_GINT64_FORMAT ",%s,%s,%" G_GINT64_FORMAT
           ",%" G_GINT64_FORMAT ",%" G_GINT64_FORMAT ",%u\n",
           model->family, g->name, g->count, g->parameters,
           g_ascii_dtostr(forward, sizeof forward, g->forward_flops),
           g_ascii_dtostr(backward, sizeof backward, g->backward_flops), g->saved_bytes,
           s->micro_batch, model->sequence_length, s->warnings->len);
}

static void print_csv(const Model *model, const Summary *s)
{
    const Group total = {
        "total",          1, model->n_parameters, s->saved_none_bytes, s->forward_flops,
        s->backward_flops};
    puts("family,layers,count,n_parameters,forward_flops,backward_flops,saved_bytes,"
         "micro_batch,sequence_length,n_warnings");
    for (int i = 0; i < N_GROUPS; i++)
        print_csv_row(model, s, &s->groups[i]);
    print_csv_row(model, s, &total);
}

static json_t *group_json(const Group *g)
{
    return json_pack("{s:s, s:I, s:I, s:f, s:f, s:I}", "group", g->name, "count",
                     (json_int_t)g->count, "n_parameters", (json_int_t)g->parameters,
                     "forward_flops", g->forward_flops, "backward_flops", g->backward_flops,
                     "saved_bytes", (json_int_t)g->saved_bytes);
}

static void print_json(const Model *model, const Summary *s)
{
    g_autoptr(json_t) groups = json_array();
    for (int i = 0; i < N_GROUPS; i++)
        json_array_append_new(groups, group_json(&s->groups[i]));
    g_autoptr(json_t) warnings = json_array();
    for (guint i = 0; i < s->warnings->len; i++)
        json_array_append_new(warnings, json_string(g_ptr_array_index(s->warnings, i)));
    g_autoptr(json_t) root = json_pack(
        "{s:s, s:s, s:s, s:I, s:i, s:I, s:I, s:I, s:s, s:s, s:f, s:f, s:f, s:{s:I, s:I, s:I}, "
        "s:I, s:O, s:O}",
        "schema", "zerosim-model/1", "name", model->name, "family", model->family,
        "n_parameters", (json_int_t)model->n_parameters, "n_blocks", model->n_blocks,
        "hidden_size", (json_int_t)model->hidden_size, "micro_batch",
        (json_int_t)s->micro_batch, "sequence_length", (json_int_t)model->sequence_length,
        "precision", s->precision, "attention", s->attention, "flops_per_token",
        model->flops_per_token, "forward_flops", s->forward_flops, "backward_flops",
        s->backward_flops, "saved_bytes_by_checkpointing", "none",
        (json_int_t)s->saved_none_bytes, "selective", (json_int_t)s->saved_selective_bytes,
        "full", (json_int_t)s->saved_full_bytes, "buffer_bytes",
        (json_int_t)model->buffer_bytes, "groups", groups, "warnings", warnings);
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    putchar('\n');
}

typedef struct {
    const char *name;
    void (*print)(const Model *model, const Summary *summary);
} FormatRow;

static const FormatRow formats[] = {
    {"table", print_table}, {"json", print_json}, {"csv", print_csv}};

static gboolean choice_error(const char *option, const char *value, const char *known,
                             GError **error)
{
    g_autofree char *quoted = error_quote(value);
    g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE, "model: --%s: %s is none of: %s", option,
                quoted, known);
    return FALSE;
}

static const FormatRow *find_format(const char *name, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++)
        if (!name || strcmp(formats[i].name, name) == 0)
            return &formats[i];
    choice_error("format", name, "table, json, csv", error);
    return NULL;
}

static const PrecisionRow *find_precision(const char *name, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(precisions); i++)
        if (!name || strcmp(precisions[i].name, name) == 0)
            return &precisions[i];
    choice_error("precision", name, "bf16, fp16, fp32, autocast-bf16, autocast-fp16, fp8",
                 error);
    return NULL;
}

static gboolean find_attention(const char *name, Attention *attention, GError **error)
{
    *attention = ATTENTION_SDPA;
    for (int i = ATTENTION_EAGER; name && i < N_ATTENTIONS; i++) {
        *attention = i;
        if (strcmp(attention_name(i), name) == 0)
            return TRUE;
    }
    return !name || choice_error("attention", name,
                                 "eager, sdpa, sdpa-repeat, flash1, flash2, cudnn", error);
}

/* The file named, or the shipped model of that name. */
static char *find_file(const char *name)
{
    char *shipped = g_file_test(name, G_FILE_TEST_EXISTS)
                        ? NULL
                        : experiment_find_shipped(name, "models", NULL);
    return shipped ? shipped : g_strdup(name);
}

static gboolean describe(const Arguments *a, GError **error)
{
    const FormatRow *format = find_format(a->format, error);
    const PrecisionRow *precision = format ? find_precision(a->precision, error) : NULL;
    Attention attention;
    if (!precision || !find_attention(a->attention, &attention, error))
        return FALSE;
    const ModelOptions options = {.micro_batch = a->micro_batch,
                                  .sequence_length = a->sequence_length,
                                  .parameter = precision->parameter,
                                  .compute = precision->compute,
                                  .autocast = precision->autocast,
                                  .attention = attention,
                                  .dropout = -1};
    g_autofree char *file = find_file(a->names[0]);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Model) model = model_load(file, &options, warnings, error);
    if (!model)
        return FALSE;
    Summary summary = summarise(model);
    summary.precision = precision->name;
    summary.attention = attention_name(attention);
    summary.micro_batch = a->micro_batch;
    summary.warnings = warnings;
    format->print(model, &summary);
    return TRUE;
}

static void arguments_clear(Arguments *a)
{
    g_free(a->format);
    g_free(a->precision);
    g_free(a->attention);
    g_strfreev(a->names);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Arguments, arguments_clear)

static gboolean arguments_parse(int argc, char **argv, Arguments *a, char **help,
                                GError **error)
{
    const GOptionEntry entries[] = {
        {"format", 0, 0, G_OPTION_ARG_STRING, &a->format, "how to print (table)",
         "table|json|csv"},
        {"micro-batch", 0, 0, G_OPTION_ARG_INT64, &a->micro_batch, "sequences (1)", "N"},
        {"sequence-length", 0, 0, G_OPTION_ARG_INT64, &a->sequence_length,
         "tokens a sequence (the model's maximum)", "N"},
        {"precision", 0, 0, G_OPTION_ARG_STRING, &a->precision,
         "bf16, fp16, fp32, autocast-bf16, autocast-fp16, fp8 (bf16)", "NAME"},
        {"attention", 0, 0, G_OPTION_ARG_STRING, &a->attention,
         "eager, sdpa, sdpa-repeat, flash1, flash2, cudnn (sdpa)", "NAME"},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &a->names, NULL, "FILE|NAME"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_set_summary(
        context, "Describes a Hugging Face config.json, a layer list, or a shipped model by "
                 "name:\nparameters, floating-point operations and the activations of one "
                 "micro-batch.");
    g_option_context_add_main_entries(context, entries, NULL);
    return cmd_parse(context, argc, argv, help, error);
}

gboolean cmd_model(int argc, char **argv, GError **error)
{
    g_auto(Arguments) a = {.micro_batch = 1};
    g_autofree char *help = NULL;
    if (!arguments_parse(argc, argv, &a, &help, error))
        return FALSE;
    if (help) {
        printf(EXAMPLE "%s", help);
        return TRUE;
    }
    if (!a.names || g_strv_length(a.names) != 1) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                    "model: one config.json or the name of a shipped model is required");
        return FALSE;
    }
    if (a.micro_batch < 1 || a.sequence_length < 0) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE, "model: --%s must be a positive number",
                    a.micro_batch < 1 ? "micro-batch" : "sequence-length");
        return FALSE;
    }
    return describe(&a, error);
}
