/* SPDX-License-Identifier: MIT */
/* Prints src/calibrate/plan_shapes.h: the linear layers, convolutions and fused attention of
 * the model files given, each shape once, what most models have first. Part of the simulator's
 * build, so that zerosim-calibrate itself needs neither model files nor GLib. `make
 * update-plan` writes the file; never installed. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKENS 4096
#define N_SIZES 6

typedef struct {
    gint64 size[N_SIZES];
    int n_models;
    double work; /* to sort shapes of equally many models: the cheap ones first */
    const char *last_model;
} Shape;

/* A model counts once for each of its shapes. */
static void shape_add(GArray *shapes, const gint64 *size, double work, const char *model)
{
    for (guint i = 0; i < shapes->len; i++) {
        Shape *shape = &g_array_index(shapes, Shape, i);
        if (memcmp(shape->size, size, sizeof shape->size) != 0)
            continue;
        shape->n_models += shape->last_model != model;
        shape->last_model = model;
        return;
    }
    Shape shape = {.n_models = 1, .work = work, .last_model = model};
    memcpy(shape.size, size, sizeof shape.size);
    g_array_append_val(shapes, shape);
}

static int compare(gconstpointer a, gconstpointer b)
{
    const Shape *x = a, *y = b;
    if (x->n_models != y->n_models)
        return y->n_models - x->n_models;
    if (x->work != y->work)
        return x->work < y->work ? -1 : 1;
    return memcmp(x->size, y->size, sizeof x->size);
}

typedef struct {
    GArray *linears, *convolutions, *attentions;
} Shapes;

/* in, out, whether the weight is stored as in x out: of products over all tokens. */
static void kernel_add(const Shapes *shapes, const Kernel *kernel, gint64 tokens,
                       const char *model)
{
    const gint64 *d = kernel->dimension;
    if (kernel->op == KERNEL_GEMM && d[0] == 1 && d[1] == tokens) {
        const gint64 size[N_SIZES] = {d[3], d[2], d[4] == GEMM_NN};
        shape_add(shapes->linears, size, (double)d[3] * (double)d[2], model);
    } else if (kernel->op == KERNEL_CONVOLUTION_FORWARD) {
        const gint64 size[N_SIZES] = {d[1], d[2], d[3], d[4], d[5]};
        shape_add(shapes->convolutions, size, kernel_flops(kernel), model);
    } else if (kernel->op == KERNEL_CUDNN_ATTENTION_FORWARD) {
        const gint64 size[N_SIZES] = {d[1], d[2], d[3], d[4], d[5]};
        shape_add(shapes->attentions, size, kernel_flops(kernel), model);
    }
}

/* Sequences of 4,096 tokens, or of as many as the model has positions. */
static gboolean model_add(const Shapes *shapes, const char *file)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    ModelOptions options = {.micro_batch = 1,
                            .parameter = DTYPE_BF16,
                            .compute = DTYPE_BF16,
                            .attention = ATTENTION_CUDNN,
                            .dropout = -1};
    Model *model = model_load(file, &options, warnings, &error);
    if (model && model->sequence_length > TOKENS) {
        model_free(model);
        options.sequence_length = TOKENS;
        model = model_load(file, &options, warnings, &error);
    }
    if (!model) {
        fprintf(stderr, "print_shapes: %s\n", error->message);
        return FALSE;
    }
    const char *name = g_intern_string(file);
    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        for (guint k = 0; k < layer->forward->len; k++)
            kernel_add(shapes, &g_array_index(layer->forward, Kernel, k),
                       model->sequence_length, name);
    }
    model_free(model);
    return TRUE;
}

static void print(const char *name, const char *comment, GArray *shapes, int n_sizes)
{
    g_array_sort(shapes, compare);
    printf("\n/* %s */\nstatic const int64_t %s[][%d] = {\n", comment, name, n_sizes);
    for (guint i = 0; i < shapes->len; i++) {
        const Shape *shape = &g_array_index(shapes, Shape, i);
        printf("    {");
        for (int j = 0; j < n_sizes; j++)
            printf("%s%" G_GINT64_FORMAT, j > 0 ? ", " : "", shape->size[j]);
        printf("},\n");
    }
    puts("};");
}

int main(int argc, char **argv)
{
    const Shapes shapes = {g_array_new(FALSE, FALSE, sizeof(Shape)),
                           g_array_new(FALSE, FALSE, sizeof(Shape)),
                           g_array_new(FALSE, FALSE, sizeof(Shape))};
    for (int i = 1; i < argc; i++) {
        if (!model_add(&shapes, argv[i]))
            return EXIT_FAILURE;
    }
    puts("/* SPDX-License-Identifier: MIT */\n"
         "/* The shapes of all shipped models, what most of them have first. Written by\n"
         " * `make update-plan` from workloads/models: don't edit. */\n"
         "#pragma once\n\n/* clang-format off */\n"
         "#include <stdint.h>");
    print("shipped_linears", "in, out, whether the weight is stored as in x out",
          shapes.linears, 3);
    print("shipped_convolutions", "in, out, filter, size in, size out", shapes.convolutions, 5);
    print("shipped_attentions", "sequence, heads, kv heads, head dim, causal",
          shapes.attentions, 5);
    g_array_unref(shapes.linears);
    g_array_unref(shapes.convolutions);
    g_array_unref(shapes.attentions);
    return EXIT_SUCCESS;
}
