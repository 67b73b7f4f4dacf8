/* SPDX-License-Identifier: MIT */
/* A calibration as JSON: constants first, then where they come from. */
#include "nccl_write.h"

#include "error.h"
#include "out_file.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

/* Three digits are more than the measurements hold. */
static double rounded(double value)
{
    char text[32];
    return g_ascii_strtod(g_ascii_formatd(text, sizeof text, "%.3g", value), NULL);
}

static void constant_set(json_t *object, int constant, double value)
{
    json_object_set_new(object, nccl_constants[constant].name, json_real(rounded(value)));
}

static json_t *algorithms_json(const NcclCalibration *calibration)
{
    json_t *algorithms = json_object();
    for (int a = 0; a < N_ALGORITHMS; a++) {
        if (!calibration->has[a])
            continue;
        json_t *one = json_object();
        constant_set(one, NCCL_BANDWIDTH_FRAC, calibration->bandwidth_frac[a]);
        if (nccl_has_loops((Algorithm)a))
            constant_set(one, NCCL_FILL_LOOPS, calibration->fill_loops[a]);
        else
            constant_set(one, NCCL_FILL_S, calibration->fill_s[a]);
        json_object_set_new(algorithms, algorithm_name((Algorithm)a), one);
    }
    return algorithms;
}

static json_t *constants_json(const NcclCalibration *calibration)
{
    json_t *constants = json_object(), *hops = json_object();
    for (int g = 0; g < N_GENERATIONS; g++)
        json_object_set_new(hops, generation_name((Generation)g),
                            json_real(rounded(calibration->hop_frac[g])));
    constant_set(constants, NCCL_LAUNCH_S, calibration->launch_s);
    json_object_set_new(constants, nccl_constants[NCCL_HOP_FRAC].name, hops);
    constant_set(constants, NCCL_NET_TRIPS, calibration->net_trips);
    constant_set(constants, NCCL_FILL_BYTES, calibration->fill_bytes);
    constant_set(constants, NCCL_OWN_FRAC, calibration->own_frac);
    constant_set(constants, NCCL_LOOP_S, calibration->loop_s);
    constant_set(constants, NCCL_BLOCK_BYTES_PER_S, calibration->block_bytes_per_s);
    json_object_set_new(constants, "algorithms", algorithms_json(calibration));
    return constants;
}

static json_t *words_json(const char *text)
{
    json_t *list = json_array();
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    for (char **word = words; *word; word++)
        json_array_append_new(list, json_string(g_strstrip(*word)));
    return list;
}

/* "h100-sxm5-80gb" → "h100": the chip decides. */
static json_t *match_json(const NcclWriteOptions *options, const NodeType *node,
                          const GArray *rows)
{
    int least = G_MAXINT, most = 0;
    double slowest = G_MAXDOUBLE, fastest = 0;
    for (guint i = 0; i < rows->len; i++) {
        const NcclRow *row = &g_array_index(rows, NcclRow, i);
        int per_node = row->gpus_per_node > 0 ? row->gpus_per_node : node->n_gpus;
        int n_nodes = MAX(1, row->n_gpus / per_node);
        g_autoptr(Cluster) cluster =
            nccl_rows_cluster(node, 1, node->n_gpus, row->nic_bytes_per_s);
        least = MIN(least, n_nodes);
        most = MAX(most, n_nodes);
        slowest = MIN(slowest, cluster->nic_bytes_per_s);
        fastest = MAX(fastest, cluster->nic_bytes_per_s);
    }
    g_auto(GStrv) chip = g_strsplit(node->gpu, "-", 2);
    gboolean any = g_strcmp0(options->gpus, "any") == 0;
    json_t *gpus = any ? json_string("any") : words_json(options->gpus ? options->gpus : *chip);
    json_t *match = json_pack("{s:o, s:i}", "gpus", gpus, "min_nodes", least > 1 ? 2 : 1);
    if (options->platforms)
        json_object_set_new(match, "platforms", words_json(options->platforms));
    if (most == 1)
        json_object_set_new(match, "max_nodes", json_integer(1));
    else if (!any)
        json_object_update_new(match, json_pack("{s:f, s:f}", "min_nic_bytes_per_s",
                                                rounded(0.8 * slowest), "max_nic_bytes_per_s",
                                                rounded(1.2 * fastest)));
    return match;
}

static json_t *ranges_json(void)
{
    json_t *ranges = json_object();
    for (int i = 0; i < N_NCCL_CONSTANTS; i++)
        json_object_set_new(ranges, nccl_constants[i].name,
                            json_pack("{s:f, s:f, s:s}", "min", nccl_constants[i].min, "max",
                                      nccl_constants[i].max, "meaning",
                                      nccl_constants[i].meaning));
    return ranges;
}

/* One entry a group of rows: its source, collectives, sizes and error. */
static json_t *groups_json(const NcclCalibration *calibration, const GArray *rows)
{
    json_t *groups = json_array();
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < rows->len; i++) {
        const char *name = g_array_index(rows, NcclRow, i).group;
        const char *source = g_array_index(rows, NcclRow, i).source;
        g_autoptr(GArray) own = g_array_new(FALSE, FALSE, sizeof(NcclRow));
        if (!g_hash_table_add(seen, (gpointer)name))
            continue;
        for (guint j = i; j < rows->len; j++)
            if (strcmp(g_array_index(rows, NcclRow, j).group, name) == 0)
                g_array_append_val(own, g_array_index(rows, NcclRow, j));
        json_array_append_new(
            groups, json_pack("{s:s, s:s, s:i, s:s, s:i, s:f}", "group", name, "source", source,
                              "rows", (int)own->len, "collective",
                              collective_name(g_array_index(own, NcclRow, 0).kind), "n_gpus",
                              g_array_index(own, NcclRow, 0).n_gpus, "error_frac",
                              rounded(nccl_fit_error_frac(calibration, own))));
    }
    return groups;
}

/* By id, how far off a fit is that hasn't seen the row. */
static json_t *held_out_json(const NcclFit *fit, const GArray *rows)
{
    json_t *held_out = json_object();
    for (guint i = 0; i < rows->len; i++) {
        const char *id = g_array_index(rows, NcclRow, i).id;
        const double error = g_array_index(fit->held_out_frac, double, i);
        if (id && isfinite(error))
            json_object_set_new(held_out, id, json_real(rounded(error)));
    }
    return held_out;
}

gboolean nccl_write(const char *file, const NcclWriteOptions *options, const NodeType *node,
                    const NcclFit *fit, const GArray *rows, GError **error)
{
    g_autoptr(OutFile) out = out_file_open(file, error);
    if (!out)
        return FALSE;
    g_autoptr(json_t) document = json_pack(
        "{s:s, s:s, s:o, s:o, s:{s:s, s:i, s:f, s:f, s:f, s:s, s:o, s:o, s:o}}", "schema",
        "zerosim-nccl/1", "name", options->name, "match", match_json(options, node, rows),
        "constants", constants_json(fit->calibration), "fit", "platform", node->name, "rows",
        fit->n_rows, "model_error_frac", rounded(fit->model_error_frac), "fitted_error_frac",
        rounded(fit->fitted_error_frac), "held_out_error_frac",
        rounded(fit->held_out_error_frac), "held_out",
        fit->by_group ? "each group, predicted by the others"
                      : "every other size, predicted by the rest",
        "groups", groups_json(fit->calibration, rows), "held_out_row_error_frac",
        held_out_json(fit, rows), "ranges", ranges_json());
    json_dumpf(document, out->stream, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    fputc('\n', out->stream);
    return out_file_commit(out, error);
}

static void hops_print(const NcclCalibration *calibration, const gboolean *seen, FILE *out)
{
    for (int g = 0; g < N_GENERATIONS; g++)
        if (seen[g])
            fprintf(out, "hops within nodes of %s: %.2f of NCCL's\n",
                    generation_name((Generation)g), calibration->hop_frac[g]);
}

void nccl_write_table(const NcclCalibration *calibration, const GArray *rows, FILE *out)
{
    gboolean seen[N_GENERATIONS] = {FALSE};
    int n_rows[N_ALGORITHMS] = {0};
    for (guint i = 0; i < rows->len; i++) {
        const NcclPrediction *model = &g_array_index(rows, NcclRow, i).model;
        seen[model->generation] = TRUE;
        n_rows[model->algorithm]++;
    }
    fprintf(out, "launch %.1f us, between nodes %.1f trips, own share %.2f\n",
            1e6 * calibration->launch_s, calibration->net_trips, calibration->own_frac);
    hops_print(calibration, seen, out);
    fprintf(out,
            "rings and trees half full at %.1f MiB; a turn through NVSwitches at least %.1f us "
            "and %.1f GB/s a block\n\n",
            calibration->fill_bytes / (1 << 20), 1e6 * calibration->loop_s,
            calibration->block_bytes_per_s / 1e9);
    fprintf(out, "algorithm       rows  bandwidth     filling\n");
    fprintf(out, "--------------  ----  ---------  ----------\n");
    for (int a = 0; a < N_ALGORITHMS; a++) {
        gboolean loops = nccl_has_loops((Algorithm)a);
        if (calibration->has[a])
            fprintf(out, "%-14s  %4d  %9.3f  %6.1f %s\n", algorithm_name((Algorithm)a),
                    n_rows[a], calibration->bandwidth_frac[a],
                    loops ? calibration->fill_loops[a] : 1e6 * calibration->fill_s[a],
                    loops ? "turns" : "us");
    }
}
