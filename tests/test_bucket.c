/* SPDX-License-Identifier: MIT */
/* DDP's buckets after the rebuild, against sizes computed by running PyTorch's algorithm
 * (torch/csrc/distributed/c10d/reducer.cpp) by hand on the same models. */
#include "bucket.h"

#include "shipped_models.h"
#include "suite_run.h"

#include <check.h>

typedef struct {
    const char *model;
    int bytes_per_element;
    int n_tensors, n_buckets;
    gint64 first_bytes, second_bytes, last_bytes, largest_bytes;
} Vector;

static const Vector vectors[] = {
    {"gpt2", 4, 148, 13, 9446400, 28351488, 176446464, 176446464},
    {"gpt2-xl", 4, 580, 145, 40979200, 40985600, 328211200, 328211200},
    {"bert-base", 4, 199, 14, 2362368, 28351488, 95348736, 95348736},
    {"resnet50", 4, 161, 5, 8196000, 31502336, 9724160, 31502336},
    {"vgg16", 4, 32, 6, 16388000, 67125248, 2221312, 411058176},
    {"llama-3-8b", 2, 291, 162, 1050673152, 117465088, 1050673152, 1050673152},
};

static Model *model_named(const char *name)
{
    ModelOptions options = {.micro_batch = 1,
                            .parameter = DTYPE_BF16,
                            .compute = DTYPE_BF16,
                            .attention = ATTENTION_SDPA,
                            .dropout = -1};
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    return shipped_model(name, &options, warnings);
}

/* The vectors' order is exact reverse registration, which is what a model without tied weights
 * gives by itself. */
static int *reverse_registration(const Model *model)
{
    int n = (int)model->parameters->len;
    int *order = g_new(int, n);

    for (int i = 0; i < n; i++)
        order[i] = n - 1 - i;
    return order;
}

START_TEST(test_vectors)
{
    const Vector *v = &vectors[_i];
    g_autoptr(Model) model = model_named(v->model);
    g_autofree int *order = reverse_registration(model);
    g_autoptr(GArray) buckets =
        bucket_assign(model, order, v->bytes_per_element, 1024 * 1024, 25 * 1024 * 1024);
    gint64 total = 0, largest = 0;

    for (guint b = 0; b < buckets->len; b++) {
        total += g_array_index(buckets, Bucket, b).bytes;
        largest = MAX(largest, g_array_index(buckets, Bucket, b).bytes);
    }
    ck_assert_int_eq(model->parameters->len, v->n_tensors);
    ck_assert_int_eq(buckets->len, v->n_buckets);
    ck_assert_int_eq(g_array_index(buckets, Bucket, 0).bytes, v->first_bytes);
    ck_assert_int_eq(g_array_index(buckets, Bucket, 1).bytes, v->second_bytes);
    ck_assert_int_eq(g_array_index(buckets, Bucket, buckets->len - 1).bytes, v->last_bytes);
    ck_assert_int_eq(largest, v->largest_bytes);
    ck_assert_int_eq(total, model->n_parameters * v->bytes_per_element);
}
END_TEST

/* Where layers run in the order of registration, readiness is that order reversed. */
START_TEST(test_ready_order_gives_the_vectors)
{
    static const int in_order[] = {0, 1, 4}; /* vectors */
    const Vector *v = &vectors[in_order[_i]];
    g_autoptr(Model) model = model_named(v->model);
    g_autofree int *order = bucket_ready_order(model);
    g_autoptr(GArray) buckets =
        bucket_assign(model, order, v->bytes_per_element, 1024 * 1024, 25 * 1024 * 1024);

    ck_assert_int_eq(buckets->len, v->n_buckets);
    ck_assert_int_eq(g_array_index(buckets, Bucket, 0).bytes, v->first_bytes);
    ck_assert_int_eq(g_array_index(buckets, Bucket, 1).bytes, v->second_bytes);
    ck_assert_int_eq(g_array_index(buckets, Bucket, buckets->len - 1).bytes, v->last_bytes);
}
END_TEST

/* Every parameter is in exactly one bucket, and a tied one is the very last to be ready. */
START_TEST(test_ready_order)
{
    g_autoptr(Model) model = model_named(vectors[_i].model);
    g_autofree int *order = bucket_ready_order(model);
    g_autofree int *seen = g_new0(int, model->parameters->len);

    for (guint i = 0; i < model->parameters->len; i++)
        seen[order[i]]++;
    for (guint i = 0; i < model->parameters->len; i++)
        ck_assert_int_eq(seen[i], 1);
    /* The first layer's: an embedding table, GPT-2's tied to the head, or a convolution's. */
    ck_assert_int_lt(order[model->parameters->len - 1], model_layer(model, 0)->n_parameters);
    ck_assert_int_eq(model_layer(model, 0)->parameters[0], 0);
}
END_TEST

/* One limit for all: a single bucket, whatever the sizes. */
START_TEST(test_one_bucket)
{
    g_autoptr(Model) model = model_named("gpt2");
    g_autofree int *order = bucket_ready_order(model);
    g_autoptr(GArray) buckets = bucket_assign(model, order, 4, G_MAXINT64, G_MAXINT64);

    ck_assert_int_eq(buckets->len, 1);
    ck_assert_int_eq(g_array_index(buckets, Bucket, 0).bytes, 4 * model->n_parameters);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bucket");
    TCase *tcase = tcase_create("bucket");

    tcase_add_loop_test(tcase, test_vectors, 0, G_N_ELEMENTS(vectors));
    tcase_add_loop_test(tcase, test_ready_order_gives_the_vectors, 0, 3);
    tcase_add_loop_test(tcase, test_ready_order, 0, G_N_ELEMENTS(vectors));
    tcase_add_test(tcase, test_one_bucket);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
