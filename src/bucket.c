/* SPDX-License-Identifier: MIT */
/* Bucket assignment as a pure function of the model; who launches a bucket when is the step's
 * business. */
#include "bucket.h"

int *bucket_ready_order(const Model *model)
{
    guint n_parameters = model->parameters->len;
    int *order = g_new(int, n_parameters + 1);
    g_autofree gboolean *seen = g_new0(gboolean, n_parameters + 1);
    guint n = n_parameters;

    /* Filled from the back: forward order of first use is the reverse of readiness. A bias is
     * ready before its weight: addmm's backward reaches it first. */
    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        for (int j = 0; j < layer->n_parameters; j++) {
            int p = layer->parameters[j];
            if (!seen[p])
                order[--n] = p;
            seen[p] = TRUE;
        }
    }
    g_assert(n == 0);
    return order;
}

static void bucket_clear(gpointer data)
{
    g_free(((Bucket *)data)->parameters);
}

static void bucket_close(GArray *buckets, GArray *open, gint64 *bytes)
{
    Bucket bucket = {.n_parameters = (int)open->len, .bytes = *bytes};

    if (open->len == 0)
        return;
    bucket.parameters = g_new(int, open->len);
    for (guint i = 0; i < open->len; i++)
        bucket.parameters[i] = g_array_index(open, int, i);
    g_array_append_val(buckets, bucket);
    g_array_set_size(open, 0);
    *bytes = 0;
}

GArray *bucket_assign(const Model *model, const int *order, int bytes_per_element,
                      gint64 first_bucket_bytes, gint64 bucket_cap_bytes)
{
    GArray *buckets = g_array_new(FALSE, FALSE, sizeof(Bucket));
    g_autoptr(GArray) open = g_array_new(FALSE, FALSE, sizeof(int));
    gint64 bytes = 0;

    g_array_set_clear_func(buckets, bucket_clear);
    for (guint i = 0; i < model->parameters->len; i++) {
        gint64 limit = buckets->len == 0 ? first_bucket_bytes : bucket_cap_bytes;
        g_array_append_val(open, order[i]);
        bytes += model_parameter(model, order[i])->numel * bytes_per_element;
        if (bytes >= limit)
            bucket_close(buckets, open, &bytes);
    }
    bucket_close(buckets, open, &bytes);
    return buckets;
}
