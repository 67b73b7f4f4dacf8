/* SPDX-License-Identifier: MIT */
/* Layer lists: the shipped classifiers' totals, buffers, operations and DDP's order of their
 * parameters; how a list scales with the micro-batch and the precision; what a malformed one is
 * told; and random damage, which never crashes. */
#include "error.h"
#include "model.h"
#include "scratch.h"
#include "shipped_models.h"
#include "suite_run.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static char *file;
static GPtrArray *warnings;

static const ModelOptions fp32 = {.micro_batch = 1,
                                  .parameter = DTYPE_FP32,
                                  .compute = DTYPE_FP32,
                                  .attention = ATTENTION_SDPA,
                                  .dropout = -1};

static void set_up(void)
{
    scratch_set_up();
    file = scratch_path("layers.json");
    warnings = g_ptr_array_new_with_free_func(g_free);
}

static void tear_down(void)
{
    g_clear_pointer(&file, g_free);
    g_clear_pointer(&warnings, g_ptr_array_unref);
    scratch_tear_down();
}

static Model *load_shipped(const char *name, const ModelOptions *options)
{
    return shipped_model(name, options, warnings);
}

static Model *load_text(const char *text, const ModelOptions *options, GError **error)
{
    ck_assert(g_file_set_contents(file, text, -1, NULL));
    return model_load(file, options, warnings, error);
}

static double forward_flops(const Model *model)
{
    double sum = 0;
    for (guint i = 0; i < model->layers->len; i++) {
        const GArray *kernels = model_layer(model, (int)i)->forward;
        for (guint j = 0; j < kernels->len; j++)
            sum += kernel_flops(&g_array_index(kernels, Kernel, j));
    }
    return sum;
}

/* Parameters as torchvision counts them; operations of an image as its documentation does
 * (GFLOPS there are multiply-adds: 1.81, 4.09, 7.80, 11.51 and 15.47). A batch norm buffers two
 * fp32 vectors and a 64-bit count. */
static const struct {
    const char *name;
    gint64 total;
    int n_tensors, n_blocks, n_norms;
    double multiply_adds;
} shipped[] = {
    {"resnet18", 11689512, 62, 8, 20, 1.81e9},
    {"resnet50", 25557032, 161, 16, 53, 4.09e9},
    {"resnet101", 44549160, 314, 33, 104, 7.80e9},
    {"resnet152", 60192808, 467, 50, 155, 11.51e9},
    {"vgg16", 138357544, 32, 5, 0, 15.47e9},
};

START_TEST(test_shipped_classifiers)
{
    g_autoptr(Model) model = load_shipped(shipped[_i].name, &fp32);
    gint64 channels = 0;
    ck_assert_int_eq(model->n_parameters, shipped[_i].total);
    ck_assert_int_eq(model->parameters->len, shipped[_i].n_tensors);
    ck_assert_int_eq(model->n_blocks, shipped[_i].n_blocks);
    ck_assert_double_eq_tol(forward_flops(model) / (2 * shipped[_i].multiply_adds), 1, 0.005);
    ck_assert_double_eq(model->flops_per_token, 3 * forward_flops(model));
    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        const Kernel *kernel = &g_array_index(layer->forward, Kernel, 0);
        if (kernel->op == KERNEL_BATCHNORM_FORWARD)
            channels += kernel->dimension[1];
    }
    ck_assert_int_eq(model->buffer_bytes, 8 * channels + 8 * shipped[_i].n_norms);
    ck_assert_str_eq(model_layer(model, (int)model->layers->len - 1)->name, "loss");
    ck_assert_int_eq(warnings->len, 0);
}
END_TEST

/* Every kernel's batch and every kept tensor grows with the micro-batch; parameters and buffers
 * don't; 16 bits halve what isn't an index or a mask. */
START_TEST(test_micro_batch_and_precision)
{
    ModelOptions options = fp32;
    g_autoptr(Model) one = load_shipped("resnet50", &fp32);
    options.micro_batch = 64;
    g_autoptr(Model) many = load_shipped("resnet50", &options);
    ck_assert_double_eq(forward_flops(many), 64 * forward_flops(one));
    ck_assert_double_eq(many->flops_per_token, one->flops_per_token);
    ck_assert_int_eq(many->buffer_bytes, one->buffer_bytes);
    ck_assert_int_eq(many->block_input_bytes, 64 * one->block_input_bytes);
    options.parameter = options.compute = DTYPE_BF16;
    g_autoptr(Model) half = load_shipped("resnet50", &options);
    const gint64 indices = 64 * 8 * 64 * 56 * 56;
    for (guint i = 0; i < many->layers->len; i++) {
        const Layer *a = model_layer(one, (int)i), *b = model_layer(many, (int)i);
        const Layer *c = model_layer(half, (int)i);
        const gint64 exact = strcmp(a->name, "maxpool") == 0 ? indices : 0;
        ck_assert_int_eq(b->saved_bytes, 64 * a->saved_bytes);
        ck_assert_int_eq(c->saved_bytes - exact, (b->saved_bytes - exact) / 2);
    }
}
END_TEST

/* Autocast keeps 16-bit copies of the weights of products, not of batch norms'. */
START_TEST(test_autocast_casts_weights)
{
    ModelOptions options = fp32;
    options.compute = DTYPE_BF16;
    options.autocast = TRUE;
    g_autoptr(Model) model = load_shipped("resnet18", &options);
    gint64 casts = 0, norms = 0;
    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        casts += layer->cast_bytes;
        if (g_array_index(layer->forward, Kernel, 0).op == KERNEL_BATCHNORM_FORWARD)
            norms += 2 * model_parameter(model, layer->parameters[0])->numel;
    }
    ck_assert_int_eq(casts, 2 * (11689512 - norms));
}
END_TEST

#define RUN                                                                                    \
    "\"forward\":[{\"op\":\"norm\",\"dimensions\":{\"bytes\":8}}],"                            \
    "\"backward\":[{\"op\":\"memset\",\"dimensions\":{\"bytes\":8}}]"
#define FILE_OF(layers) "{\"format\":\"zerosim-layers\",\"version\":1,\"layers\":[" layers "]}"
#define KERNEL_OF(kernel)                                                                      \
    FILE_OF("{\"name\":\"a\",\"forward\":[" kernel "],\"backward\":[" kernel "]}")

static const struct {
    const char *text, *key, *message;
} malformed[] = {
    {"{\"format\":\"zerosim-layer\",\"version\":1,\"layers\":[]}", "format", "zerosim-layers"},
    {"{\"format\":3}", "format", "string"},
    {"{\"format\":\"zerosim-layers\",\"layers\":[]}", "version", "missing"},
    {"{\"format\":\"zerosim-layers\",\"version\":2,\"layers\":[]}", "version", "range"},
    {FILE_OF(""), "layers", "one or more"},
    {FILE_OF("3"), "layers", "objects"},
    {"{\"format\":\"zerosim-layers\",\"version\":1,\"layer\":[]}", "layer", "known here"},
    {FILE_OF("{" RUN "}"), "layers[0].name", "missing"},
    {FILE_OF("{\"name\":\"a\"}"), "layers[0].forward", "one or more"},
    {FILE_OF("{\"name\":\"a\",\"block\":1," RUN "}"), "layers[0].block", "here 0"},
    {FILE_OF("{\"name\":\"a\",\"block\":0," RUN "},{\"name\":\"b\"," RUN
             "},{\"name\":\"c\",\"block\":1," RUN "}"),
     "layers[2].block", ""},
    {FILE_OF("{\"name\":\"a\",\"saved_bytes\":-1," RUN "}"), "saved_bytes", "range"},
    {FILE_OF("{\"name\":\"a\",\"saved\":1," RUN "}"), "saved", "saved_bytes"},
    {FILE_OF("{\"name\":\"a\",\"parameters\":[{\"name\":\"w\"}]," RUN "}"),
     "layers[0].parameters[0].shape", "no earlier layer"},
    {FILE_OF("{\"name\":\"a\",\"parameters\":[{\"name\":\"w\",\"shape\":[]}]," RUN "}"),
     "shape", "array"},
    {FILE_OF("{\"name\":\"a\",\"parameters\":[{\"name\":\"w\",\"shape\":[0]}]," RUN "}"),
     "shape", "from 1"},
    {FILE_OF(
         "{\"name\":\"a\",\"parameters\":[{\"name\":\"w\",\"shape\":[1048576,1048576,2]}]," RUN
         "}"),
     "shape", "2^40"},
    {FILE_OF("{\"name\":\"a\",\"parameters\":[{\"name\":\"w\",\"shape\":[1]},"
             "{\"name\":\"w\",\"shape\":[1]}]," RUN "}"),
     "parameters[1].name", "already"},
    {FILE_OF(
         "{\"name\":\"a\",\"parameters\":[{\"name\":\"w\",\"shape\":[1]},{\"name\":\"w\"}]," RUN
         "}"),
     "parameters[1].name", "twice"},
    {KERNEL_OF("{\"op\":\"gem\",\"dimensions\":{}}"), "forward[0].op", "gem"},
    {KERNEL_OF("{\"op\":\"optimizer_step\",\"dimensions\":{\"elements\":1}}"), "op", ""},
    {KERNEL_OF("{\"op\":\"norm\",\"dimensions\":{}}"), "dimensions.bytes", "missing"},
    {KERNEL_OF("{\"op\":\"norm\",\"dimensions\":{\"bytes\":0}}"), "bytes", "range"},
    {KERNEL_OF("{\"op\":\"norm\",\"dimensions\":{\"bytes\":1e30}}"), "bytes", ""},
    {KERNEL_OF("{\"op\":\"norm\",\"dimensions\":{\"bytes\":1,\"rows\":1}}"), "rows", "bytes"},
    {KERNEL_OF("{\"op\":\"norm\",\"dimensions\":{\"bytes\":1},\"per_sample\":\"rows\"}"),
     "per_sample", "bytes"},
    {KERNEL_OF("{\"op\":\"norm\",\"dimensions\":{\"bytes\":1},\"dtype\":\"int8\"}"), "dtype",
     "fp32"},
    {KERNEL_OF("{\"op\":\"gemm\",\"dimensions\":{\"batch\":1,\"m\":1099511627776,"
               "\"n\":1099511627776,\"k\":1}}"),
     "dimensions", "absurdly large"},
};

/* One line that names the file, the member, and what would be right; exit status 2. */
START_TEST(test_malformed_list)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Model) model = load_text(malformed[_i].text, &fp32, &error);
    ck_assert_ptr_null(model);
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(error_exit_status(error), 2);
    ck_assert_ptr_null(strchr(error->message, '\n'));
    ck_assert_msg(strstr(error->message, file) != NULL, "no file in: %s", error->message);
    ck_assert_msg(strstr(error->message, malformed[_i].key) != NULL, "no %s in: %s",
                  malformed[_i].key, error->message);
    ck_assert_msg(strstr(error->message, malformed[_i].message) != NULL, "no '%s' in: %s",
                  malformed[_i].message, error->message);
}
END_TEST

/* A tied parameter counts once; a length that the file doesn't have is refused, and so is a
 * micro-batch whose bytes can't be counted. */
START_TEST(test_tied_length_and_batch)
{
    const char *text = FILE_OF(
        "{\"name\":\"a\",\"saved_bytes\":8,\"parameters\":[{\"name\":\"w\",\"shape\":[3,2]}]"
        "," RUN "},{\"name\":\"loss\",\"parameters\":[{\"name\":\"w\"}]," RUN "}");
    g_autoptr(GError) error = NULL;
    g_autoptr(Model) model = load_text(text, &fp32, &error);
    ck_assert_msg(model != NULL, "%s", error ? error->message : "");
    ck_assert_int_eq(model->n_parameters, 6);
    ck_assert_int_eq(model_parameter(model, 0)->rows, 3);
    ck_assert_int_eq(model_layer(model, 1)->parameters[0], 0);
    ModelOptions options = fp32;
    options.sequence_length = 128;
    ck_assert_ptr_null(load_text(text, &options, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "sequence_length"));
    g_clear_error(&error);
    options.sequence_length = 0;
    options.micro_batch = G_MAXINT64;
    ck_assert_ptr_null(load_text(text, &options, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "absurdly large"));
}
END_TEST

/* Bytes of a good file changed at random, seeded: an error with a line, or a model. */
START_TEST(test_random_damage)
{
    static const char bytes[] = "0123456789-.eE{}[]\",:ntfabc \\";
    g_autofree char *path = shipped_model_path("resnet18");
    g_autofree char *text = NULL;
    g_autoptr(GRand) random = g_rand_new_with_seed((guint32)_i);
    gsize length;
    ck_assert(g_file_get_contents(path, &text, &length, NULL));
    for (int round = 0; round < 200; round++) {
        g_autofree char *damaged = g_strdup(text);
        const int n = g_rand_int_range(random, 1, 4);
        for (int i = 0; i < n; i++)
            damaged[g_rand_int_range(random, 0, (gint32)length)] =
                bytes[g_rand_int_range(random, 0, sizeof bytes - 1)];
        if (g_rand_int_range(random, 0, 8) == 0)
            damaged[g_rand_int_range(random, 0, (gint32)length)] = 0;
        g_autoptr(GError) error = NULL;
        g_autoptr(Model) model = load_text(damaged, &fp32, &error);
        ck_assert((model == NULL) == (error != NULL));
        ck_assert(!error || !strchr(error->message, '\n'));
        ck_assert(!model || model->n_parameters >= 0);
    }
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_shipped_classifiers, 0, G_N_ELEMENTS(shipped));
    tcase_add_test(tcase, test_micro_batch_and_precision);
    tcase_add_test(tcase, test_autocast_casts_weights);
    tcase_add_loop_test(tcase, test_malformed_list, 0, G_N_ELEMENTS(malformed));
    tcase_add_test(tcase, test_tied_length_and_batch);
    tcase_add_loop_test(tcase, test_random_damage, 0, 4);
}

int main(void)
{
    Suite *suite = suite_create("model_list");
    TCase *tcase = tcase_create("model_list");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
