/* SPDX-License-Identifier: MIT */
/* Figures of one stacked bar a result: where its time goes, what fills its memory, what it
 * sends. */
#include "plot.h"

#include <math.h>
#include <string.h>

#define GIB 0x1p30
#define GB 1e9
#define MAX_BARS 32

static const char *const strategy_labels[] = {"DDP", "ZeRO-1", "ZeRO-2", "ZeRO-3"};

/* What a label may have to say beside the strategy, in order. */
static const struct {
    const char *path, *format;
} differences[] = {
    {"inputs.experiment.model.config", "%s"},
    {"inputs.experiment.cluster.platform", "%s"},
    {"n_ranks", "%s GPUs"},
    {"inputs.experiment.model.sequence_length", "%s tokens"},
    {"inputs.experiment.training.micro_batch", "micro %s"},
    {"inputs.experiment.training.activation_checkpointing", "recompute %s"},
    {"inputs.experiment.training.precision", "%s"},
    {"inputs.experiment.cluster.nic_bytes_per_s", "NIC %s B/s"},
};

static gboolean agree(const json_t *one, const json_t *other, const char *path)
{
    g_autofree char *text = results_in_text(one, path);
    g_autofree char *other_text = results_in_text(other, path);
    return g_str_equal(text, other_text);
}

/* Whether another result is like this one in all that comes before, but not in this. */
static gboolean tells_apart(const ResultsIn *in, guint index, gsize difference)
{
    const json_t *result = in->results->pdata[index];
    for (guint i = 0; i < in->results->len; i++) {
        const json_t *other = in->results->pdata[i];
        gboolean alike = agree(result, other, "inputs.experiment.training.strategy");
        for (gsize d = 0; alike && d < difference; d++)
            alike = agree(result, other, differences[d].path);
        if (alike && !agree(result, other, differences[difference].path))
            return TRUE;
    }
    return FALSE;
}

static void append_difference(GString *label, const char *format, char *text)
{
    char *ending = g_str_has_suffix(text, ".json") ? strrchr(text, '.') : NULL;
    if (ending != NULL)
        *ending = '\0';
    g_auto(GStrv) parts = g_strsplit(format, "%s", 2);
    g_string_append_printf(label, " %s%s%s", parts[0], text, parts[1]);
}

char *plot_label(const ResultsIn *in, guint index)
{
    const json_t *result = in->results->pdata[index];
    int strategy;
    GString *label = g_string_new(
        plot_strategy(in, index, &strategy, NULL) ? strategy_labels[strategy] : "?");
    for (gsize i = 0; i < G_N_ELEMENTS(differences); i++) {
        g_autofree char *text = results_in_text(result, differences[i].path);
        if (*text != '\0' && tells_apart(in, index, i))
            append_difference(label, differences[i].format, text);
    }
    return g_string_free(label, FALSE);
}

static gboolean need_bars(const ResultsIn *in, GError **error)
{
    int strategy;
    if (!plot_need_results(in, error))
        return FALSE;
    if (in->results->len > MAX_BARS)
        return plot_fail(error,
                         "%u results are more bars than can be read (%d): choose with "
                         "--where, as in --where cluster.nodes=8",
                         in->results->len, MAX_BARS);
    for (guint i = 0; i < in->results->len; i++)
        if (!plot_strategy(in, i, &strategy, error))
            return FALSE;
    return TRUE;
}

/* The label, marked where the result can't be had. */
static void label_write(const ResultsIn *in, guint index, PlotCsv *csv)
{
    g_autofree char *label = plot_label(in, index);
    g_autofree char *marked =
        g_strconcat(label, results_in_fits(in->results->pdata[index]) ? "" : " *", NULL);
    plot_text(csv, marked);
    plot_number(csv, results_in_fits(in->results->pdata[index]));
}

gboolean plot_step_time_write(const ResultsIn *in, PlotCsv *csv, GError **error)
{
    static const char *const columns[] = {"label",    "fits",   "forward_s",      "backward_s",
                                          "update_s", "idle_s", "exposed_comm_s", NULL};
    static const char *const parts[] = {"forward", "backward", "update", "idle",
                                        "exposed_comm"};
    if (!need_bars(in, error))
        return FALSE;
    plot_header(csv, columns);
    for (guint i = 0; i < in->results->len; i++) {
        label_write(in, i, csv);
        for (gsize p = 0; p < G_N_ELEMENTS(parts); p++) {
            g_autofree char *path = g_strconcat("time_split_s.", parts[p], NULL);
            plot_number(csv, results_in_number(in->results->pdata[i], path));
        }
        plot_end(csv);
    }
    return TRUE;
}

gboolean plot_memory_write(const ResultsIn *in, PlotCsv *csv, GError **error)
{
    static const char *const columns[] = {"label",
                                          "fits",
                                          "framework_gib",
                                          "parameters_gib",
                                          "gradients_gib",
                                          "optimizer_states_gib",
                                          "master_weights_gib",
                                          "activations_gib",
                                          "gathered_parameters_gib",
                                          "communication_buffers_gib",
                                          "temporaries_gib",
                                          "capacity_gib",
                                          NULL};
    static const char *const parts[] = {
        "framework",      "parameters",  "gradients",           "optimizer_states",
        "master_weights", "activations", "gathered_parameters", "communication_buffers",
        "temporaries"};
    if (!need_bars(in, error))
        return FALSE;
    plot_header(csv, columns);
    for (guint i = 0; i < in->results->len; i++) {
        const json_t *result = in->results->pdata[i];
        label_write(in, i, csv);
        for (gsize p = 0; p < G_N_ELEMENTS(parts); p++) {
            g_autofree char *path = g_strconcat("memory.by_category_at_peak.", parts[p], NULL);
            double bytes = results_in_number(result, path);
            plot_number(csv, isfinite(bytes) ? bytes / GIB : 0);
        }
        plot_number(csv, results_in_number(result, "memory.capacity_bytes") / GIB);
        plot_end(csv);
    }
    return TRUE;
}

/* Of the elements of an array with that name under `key`. */
static double sum_of(const json_t *array, const char *key, const char *name, const char *member)
{
    double sum = 0;
    for (gsize i = 0; i < json_array_size(array); i++) {
        const json_t *element = json_array_get(array, i);
        const char *here = json_string_value(json_object_get(element, key));
        if (g_strcmp0(here, name) == 0)
            sum += json_number_value(json_object_get(element, member));
    }
    return sum;
}

typedef struct {
    const char *array; /* "comm.by_collective" */
    const char *key, *member;
    const char *const *names;
    gboolean per_rank; /* the member counts a rank already */
} Volume;

static gboolean write_volumes(const ResultsIn *in, const Volume *volume, PlotCsv *csv,
                              GError **error)
{
    if (!need_bars(in, error))
        return FALSE;
    fputs("label,fits", csv->out);
    for (int n = 0; volume->names[n] != NULL; n++)
        fprintf(csv->out, ",%s_gb", volume->names[n]);
    fputs(",end\n", csv->out);
    for (guint i = 0; i < in->results->len; i++) {
        const json_t *result = in->results->pdata[i];
        const json_t *array = results_in_member(result, volume->array);
        double n_ranks = volume->per_rank ? 1 : results_in_number(result, "n_ranks");
        if (!json_is_array(array))
            return plot_fail(error, "%s: %s: is missing (CSV of results lacks it; give JSON)",
                             (const char *)in->origins->pdata[i], volume->array);
        label_write(in, i, csv);
        for (int n = 0; volume->names[n] != NULL; n++)
            plot_number(csv, sum_of(array, volume->key, volume->names[n], volume->member) /
                                 n_ranks / GB);
        plot_end(csv);
    }
    return TRUE;
}

gboolean plot_collectives_write(const ResultsIn *in, PlotCsv *csv, GError **error)
{
    static const char *const names[] = {"all_reduce", "all_gather", "reduce_scatter",
                                        "broadcast",  "reduce",     NULL};
    static const Volume volume = {"comm.by_collective", "collective", "sent_bytes_per_rank",
                                  names, TRUE};
    return write_volumes(in, &volume, csv, error);
}

gboolean plot_link_classes_write(const ResultsIn *in, PlotCsv *csv, GError **error)
{
    static const char *const names[] = {"nvlink", "pcie", "nic",   "leaf",
                                        "spine",  "wan",  "other", NULL};
    static const Volume volume = {"comm.by_link_class", "class", "bytes", names, FALSE};
    return write_volumes(in, &volume, csv, error);
}
