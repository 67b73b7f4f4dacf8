/* SPDX-License-Identifier: MIT */
/* Groups step times by what a result knows of itself, and writes their error quantiles. */
#include "validate_errors.h"

#include "error.h"
#include "metrics_expected.h"
#include "validate_summary.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

typedef struct {
    const Outcome *first;
    GArray *errors; /* double, absolute */
} Bin;

static void bin_free(gpointer data)
{
    Bin *bin = data;
    g_array_unref(bin->errors);
    g_free(bin);
}

static gboolean counts(const Outcome *outcome)
{
    return outcome->kind == VALIDATE_STEPS && strcmp(outcome->quantity, "step_time_s") == 0 &&
           isfinite(outcome_error_frac(outcome)) &&
           (strcmp(outcome->stack, "pytorch") == 0 || strcmp(outcome->stack, "deepspeed") == 0);
}

static int compare_names(const void *a, const void *b, void *data)
{
    (void)data;
    return strcmp(a, b);
}

/* Sorted by name, so that the file doesn't depend on the order of rows. */
static GPtrArray *bins_collect(const GPtrArray *outcomes)
{
    g_autoptr(GTree) tree = g_tree_new_full(compare_names, NULL, g_free, NULL);
    for (guint i = 0; i < outcomes->len; i++) {
        const Outcome *outcome = outcomes->pdata[i];
        if (!counts(outcome))
            continue;
        g_autofree char *name =
            g_strjoin("/", outcome->stack, outcome->strategy, outcome->provenance,
                      expected_error_scale(outcome->n_gpus), NULL);
        Bin *bin = g_tree_lookup(tree, name);
        if (bin == NULL) {
            bin = g_new0(Bin, 1);
            *bin = (Bin){outcome, g_array_new(FALSE, FALSE, sizeof(double))};
            g_tree_insert(tree, g_steal_pointer(&name), bin);
        }
        const double error = fabs(outcome_error_frac(outcome));
        g_array_append_val(bin->errors, error);
    }
    GPtrArray *bins = g_ptr_array_new_with_free_func(bin_free);
    for (GTreeNode *node = g_tree_node_first(tree); node != NULL; node = g_tree_node_next(node))
        g_ptr_array_add(bins, g_tree_node_value(node));
    return bins;
}

static json_t *bin_object(const Bin *bin)
{
    const Outcome *first = bin->first;
    json_t *object = json_object();
    json_object_set_new(object, "framework", json_string(first->stack));
    json_object_set_new(object, "strategy", json_string(first->strategy));
    json_object_set_new(object, "provenance", json_string(first->provenance));
    json_object_set_new(object, "scale", json_string(expected_error_scale(first->n_gpus)));
    json_object_set_new(object, "n_rows", json_integer(bin->errors->len));
    json_object_set_new(object, "p50_frac", json_real(summary_quantile(bin->errors, 0.5)));
    json_object_set_new(object, "p90_frac", json_real(summary_quantile(bin->errors, 0.9)));
    return object;
}

gboolean validate_errors_write(const GPtrArray *outcomes, const char *file, GError **error)
{
    g_autoptr(GPtrArray) bins = bins_collect(outcomes);
    json_t *errors = json_array();
    for (guint i = 0; i < bins->len; i++)
        json_array_append_new(errors, bin_object(bins->pdata[i]));
    json_t *document = json_pack("{s:s, s:i, s:s, s:o}", "format", "zerosim-errors", "version",
                                 1, "quantity", "step_time_s", "errors", errors);
    const gboolean written =
        json_dump_file(document, file, JSON_INDENT(2) | JSON_REAL_PRECISION(4)) == 0;
    json_decref(document);
    if (!written)
        g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "%s: could not be written", file);
    return written;
}
