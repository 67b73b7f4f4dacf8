/* SPDX-License-Identifier: MIT */
/* The list of what zerosim-calibrate measures, held against what the simulator asks for: the
 * two share no code, so that the one can be built without the other. */
#include "calibrate/plan.h"
#include "kernel.h"
#include "model.h"
#include "shipped_models.h"
#include "suite_run.h"

#include <check.h>
#include <string.h>

static Plan *plan;

static void set_up(void)
{
    plan = plan_new(1);
}

static void tear_down(void)
{
    plan_free(plan);
}

static gboolean is_kernel(const Measurement *m)
{
    return m->kind == MEASURE_KERNEL || m->kind == MEASURE_SUSTAINED;
}

static Kernel kernel_of(const Measurement *m)
{
    Kernel kernel = {0};
    ck_assert_msg(kernel_op_parse(m->op->name, &kernel.op), "there is no kernel %s",
                  m->op->name);
    ck_assert(dtype_parse(plan_type_name(m->type), &kernel.dtype));
    memcpy(kernel.dimension, m->dimension, sizeof kernel.dimension);
    return kernel;
}

/* What is measured is spelled as the simulator's profiles spell it. */
START_TEST(test_vocabulary)
{
    for (size_t i = 0; i < plan->n; i++) {
        const Measurement *m = &plan->items[i];
        if (!is_kernel(m))
            continue;
        const Kernel kernel = kernel_of(m);
        const char *const *names = kernel_dimension_names(kernel.op);
        for (int j = 0; j < KERNEL_MAX_DIMENSIONS; j++)
            ck_assert_pstr_eq(names[j], m->op->dimensions[j]);
        ck_assert_int_eq(dtype_bytes(kernel.dtype), plan_type_bytes(m->type));
    }
}
END_TEST

/* Nothing is measured twice, stages are in order, and every estimate is a time. */
START_TEST(test_order)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(kernel_hash, kernel_equal, g_free, NULL);
    int stage = 0, n_probes = 0;
    for (size_t i = 0; i < plan->n; i++) {
        const Measurement *m = &plan->items[i];
        ck_assert_int_ge(m->stage, stage);
        stage = m->stage;
        ck_assert(m->estimate_s > 0 && m->estimate_s < 60);
        n_probes += m->probe;
        if (m->kind != MEASURE_KERNEL)
            continue;
        Kernel kernel = kernel_of(m);
        ck_assert(g_hash_table_add(seen, g_memdup2(&kernel, sizeof kernel)));
    }
    ck_assert_int_ge(n_probes,
                     95); /* a hundred, less those that are a model's layer by chance */
}
END_TEST

/* A budget of 480 s buys the models that many study, grids and probes included; all shipped
 * models at all token counts an hour. */
START_TEST(test_estimate)
{
    double sum_s = 0, grids_s = 0;
    for (size_t i = 0; i < plan->n; i++) {
        if (strstr(plan_stage_name(plan->items[i].stage), "all shipped") && grids_s == 0)
            grids_s = sum_s;
        sum_s += plan->items[i].estimate_s;
    }
    ck_assert_double_gt(grids_s, 60);
    ck_assert_double_lt(grids_s, 480);
    ck_assert_double_lt(sum_s, 3600);
}
END_TEST

/* -- the linear layers of every shipped model at every token count */

static const gint64 token_counts[] = {512, 1024, 2048, 4096, 8192, 16384, 32768};

/* Token counts change one size: n, k and layout of forward and of the input's gradient, m, n
 * and layout of the weight's. */
static void check_linear(GHashTable *measured, const Kernel *of_model, gint64 tokens,
                         const char *model)
{
    const int place = of_model->dimension[1] == tokens ? 1 : 3;
    for (gsize t = 0; t < G_N_ELEMENTS(token_counts); t++) {
        Kernel kernel = *of_model;
        kernel.dimension[place] = token_counts[t];
        ck_assert_msg(g_hash_table_contains(measured, &kernel),
                      "%s: gemm %ld %ld %ld layout %ld is not measured", model,
                      (long)kernel.dimension[1], (long)kernel.dimension[2],
                      (long)kernel.dimension[3], (long)kernel.dimension[4]);
    }
}

static void check_model(GHashTable *measured, const char *file)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    /* An odd number of sequences: no width of a model is as large as its tokens. */
    const ModelOptions options = {.micro_batch = 13,
                                  .parameter = DTYPE_BF16,
                                  .compute = DTYPE_BF16,
                                  .attention = ATTENTION_CUDNN,
                                  .dropout = -1};
    g_autoptr(Model) model = model_load(file, &options, warnings, &error);
    ck_assert_msg(model != NULL, "%s", error ? error->message : "");
    const gint64 tokens = 13 * model->sequence_length;
    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        const GArray *lists[] = {layer->forward, layer->backward};
        for (int l = 0; l < 2; l++)
            for (guint k = 0; k < lists[l]->len; k++) {
                const Kernel *kernel = &g_array_index(lists[l], Kernel, k);
                const gint64 *d = kernel->dimension;
                if (kernel->op == KERNEL_GEMM && d[0] == 1 &&
                    (d[1] == tokens || (d[4] == GEMM_NT && d[3] == tokens)))
                    check_linear(measured, kernel, tokens, file);
            }
    }
}

START_TEST(test_linears_of_all_models)
{
    g_autoptr(GHashTable) measured =
        g_hash_table_new_full(kernel_hash, kernel_equal, g_free, NULL);
    g_autofree char *folder =
        g_build_filename(g_getenv("ZEROSIM_DATA_DIR"), "workloads", "models", NULL);
    g_autoptr(GDir) files = g_dir_open(folder, 0, NULL);
    const char *name;
    int n = 0;
    for (size_t i = 0; i < plan->n; i++) {
        if (plan->items[i].kind != MEASURE_KERNEL)
            continue;
        const Kernel kernel = kernel_of(&plan->items[i]);
        g_hash_table_add(measured, g_memdup2(&kernel, sizeof kernel));
    }
    while ((name = g_dir_read_name(files))) {
        g_autofree char *file = g_build_filename(folder, name, NULL);
        if (!g_str_has_suffix(name, ".json"))
            continue;
        check_model(measured, file);
        n++;
    }
    ck_assert_int_gt(n, 80);
}
END_TEST

static const struct {
    const char *model;
    gint64 sequence;
} models[] = {
    {"bert-base", 512},     {"bert-large", 512},   {"gpt2", 1024},
    {"gpt2-xl", 1024},      {"gpt2-medium", 1024}, {"gpt2-large", 1024},
    {"llama-2-7b", 4096},   {"llama-2-13b", 4096}, {"llama-2-70b", 4096},
    {"llama-3-8b", 4096},   {"llama-3-70b", 4096}, {"llama-3.2-1b", 4096},
    {"llama-3.2-3b", 4096}, {"mistral-7b", 4096},  {"tinyllama-1.1b", 2048},
    {"llama-2-34b", 4096},
};

/* Kernels that a GPU's owner measures with PyTorch, and those of the head of bert. */
static gboolean is_left_out(const Kernel *kernel)
{
    static const KernelOp ops[] = {KERNEL_ATTENTION_FORWARD, KERNEL_ATTENTION_BACKWARD,
                                   KERNEL_TANH_FORWARD, KERNEL_TANH_BACKWARD};
    for (gsize i = 0; i < G_N_ELEMENTS(ops); i++) {
        if (ops[i] == kernel->op)
            return TRUE;
    }
    return kernel->op == KERNEL_GEMM && MIN(kernel->dimension[1], kernel->dimension[3]) < 512;
}

/* Sums and fills of a loss, gradients of token types, tied tables: of sizes that no list has.
 */
static gboolean is_minor(const Kernel *kernel)
{
    return kernel_n_launches(kernel) > 0 &&
           (kernel->op == KERNEL_NORM || kernel->op == KERNEL_MEMSET ||
            kernel->op == KERNEL_ACCUMULATE || kernel->op == KERNEL_COLUMN_SUM ||
            kernel->op == KERNEL_EMBEDDING_FORWARD || kernel->op == KERNEL_EMBEDDING_BACKWARD);
}

static void check_kernels(const Plan *all, const GArray *kernels, const char *layer)
{
    for (guint i = 0; i < kernels->len; i++) {
        const Kernel *kernel = &g_array_index(kernels, Kernel, i);
        gboolean found = is_left_out(kernel) || is_minor(kernel);
        for (size_t j = 0; j < all->n && !found; j++) {
            if (!is_kernel(&all->items[j]))
                continue;
            const Kernel measured = kernel_of(&all->items[j]);
            found = kernel_equal(kernel, &measured);
        }
        ck_assert_msg(found, "%s: %s %ld %ld %ld %ld %ld is not measured", layer,
                      kernel_op_name(kernel->op), (long)kernel->dimension[0],
                      (long)kernel->dimension[1], (long)kernel->dimension[2],
                      (long)kernel->dimension[3], (long)kernel->dimension[4]);
    }
}

/* A profile of this plan answers these models at 4,096 tokens exactly, the other shipped ones
 * in between. */
START_TEST(test_models_are_covered)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    const ModelOptions options = {.micro_batch = 4096 / models[_i].sequence,
                                  .sequence_length = models[_i].sequence,
                                  .parameter = DTYPE_BF16,
                                  .compute = DTYPE_BF16,
                                  .attention = ATTENTION_CUDNN,
                                  .dropout = -1};
    g_autoptr(Model) model = shipped_model(models[_i].model, &options, warnings);
    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        check_kernels(plan, layer->forward, layer->name);
        check_kernels(plan, layer->backward, layer->name);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("calibrate_plan");
    TCase *tcase = tcase_create("calibrate_plan");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_vocabulary);
    tcase_add_test(tcase, test_order);
    tcase_add_test(tcase, test_estimate);
    tcase_add_test(tcase, test_linears_of_all_models);
    tcase_add_loop_test(tcase, test_models_are_covered, 0, G_N_ELEMENTS(models));
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
