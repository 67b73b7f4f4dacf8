/* SPDX-License-Identifier: MIT */
/* Reads calibrations. A file also says where its constants come from; that is for people, and
 * only checked to be there. */
#include "nccl_calibration.h"

#include "error.h"
#include "json_in.h"

#include <string.h>

#define SCHEMA "zerosim-nccl/1"
#define MAX_NODES 1048576

/* Ends of three digits, as files have: a constant at its end must be read back. */
const NcclConstant nccl_constants[N_NCCL_CONSTANTS] = {
    [NCCL_LAUNCH_S] = {"launch_s", 0, 3e-4, "launch and end of a collective's kernel"},
    [NCCL_HOP_FRAC] = {"hop_frac", 0.3, 4, "of the latency that NCCL gives hops within a node"},
    [NCCL_NET_TRIPS] = {"net_trips", 0, 30,
                        "ways through the network that a hop between nodes takes, beyond "
                        "InfiniBand's latency"},
    [NCCL_FILL_BYTES] = {"fill_bytes", 5e4, 1e10,
                         "payload that half fills the pipelines of rings and trees"},
    [NCCL_OWN_FRAC] = {"own_frac", 0, 2,
                       "of the time a share takes on a ring's link, what a rank's own takes"},
    [NCCL_LOOP_S] = {"loop_s", 0, 1e-4, "a turn of all blocks through NVSwitches"},
    [NCCL_BLOCK_BYTES_PER_S] = {"block_bytes_per_s", 1e9, 1e13,
                                "what one of those blocks moves in its turn"},
    [NCCL_BANDWIDTH_FRAC] = {"bandwidth_frac", 0.2, 5,
                             "of the bandwidth that NCCL's model has"},
    [NCCL_FILL_S] = {"fill_s", 0, 0.1, "filling the pipelines of rings and trees"},
    [NCCL_FILL_LOOPS] = {"fill_loops", 0, 30, "turns that filling those of NVSwitches takes"},
};

gboolean nccl_has_loops(Algorithm algorithm)
{
    return algorithm == ALGORITHM_NVLS || algorithm == ALGORITHM_NVLS_TREE;
}

static gboolean constant_read(const JsonIn *in, int constant, double *value, GError **error)
{
    const NcclConstant *range = &nccl_constants[constant];
    return json_in_double(in, range->name, TRUE, range->min, range->max, value, error);
}

static gboolean hops_read(const JsonIn *constants, NcclCalibration *calibration, GError **error)
{
    const NcclConstant *range = &nccl_constants[NCCL_HOP_FRAC];
    g_autoptr(GStringChunk) paths = g_string_chunk_new(64);
    JsonIn hops;
    if (!json_in_object(constants, range->name, TRUE, paths, &hops, error))
        return FALSE;
    for (int g = 0; g < N_GENERATIONS; g++)
        if (!json_in_double(&hops, generation_name((Generation)g), TRUE, range->min, range->max,
                            &calibration->hop_frac[g], error))
            return FALSE;
    return TRUE;
}

static gboolean algorithm_read(const JsonIn *in, Algorithm algorithm,
                               NcclCalibration *calibration, GError **error)
{
    gboolean loops = nccl_has_loops(algorithm);
    double *fill =
        loops ? &calibration->fill_loops[algorithm] : &calibration->fill_s[algorithm];
    return constant_read(in, NCCL_BANDWIDTH_FRAC, &calibration->bandwidth_frac[algorithm],
                         error) &&
           constant_read(in, loops ? NCCL_FILL_LOOPS : NCCL_FILL_S, fill, error);
}

static gboolean algorithms_read(const JsonIn *constants, NcclCalibration *calibration,
                                GError **error)
{
    g_autoptr(GStringChunk) paths = g_string_chunk_new(64);
    const char *names[N_ALGORITHMS + 1] = {NULL};
    int n_read = 0;
    JsonIn all;
    if (!json_in_object(constants, "algorithms", TRUE, paths, &all, error))
        return FALSE;
    for (int a = 0; a < N_ALGORITHMS; a++) {
        JsonIn one;
        names[a] = algorithm_name((Algorithm)a);
        if (!json_in_object(&all, names[a], FALSE, paths, &one, error))
            return FALSE;
        calibration->has[a] = one.object != NULL;
        n_read += calibration->has[a];
        if (one.object && !algorithm_read(&one, (Algorithm)a, calibration, error))
            return FALSE;
    }
    g_autoptr(GPtrArray) unknown = g_ptr_array_new_with_free_func(g_free);
    if (!json_in_check_members(&all, names, NULL, NULL, unknown, error))
        return FALSE;
    if (unknown->len > 0)
        return error_input(error, constants->file, "%s", (const char *)unknown->pdata[0]);
    return n_read > 0 ? TRUE : error_input(error, constants->file, "%s: names none", all.path);
}

/* A list of strings, NULL where there is none. */
static gboolean words_read(const JsonIn *in, const char *key, gboolean required, char ***words,
                           GError **error)
{
    const json_t *list = json_object_get(in->object, key);
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
    if (!list && !required)
        return TRUE;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        if (!word || !*word)
            return error_input(error, in->file, "%s.%s: must be a list of words", in->path,
                               key);
        g_ptr_array_add(found, g_strdup(word));
    }
    if (found->len == 0)
        return error_input(error, in->file, "%s.%s: must be a list of words", in->path, key);
    g_ptr_array_add(found, NULL);
    *words = (char **)g_ptr_array_free(g_steal_pointer(&found), FALSE);
    return TRUE;
}

/* "any" is said, so that nothing holds for all GPUs by omission. */
static gboolean gpus_read(const JsonIn *in, char ***gpus, GError **error)
{
    const char *word = json_string_value(json_object_get(in->object, "gpus"));
    return g_strcmp0(word, "any") == 0 || words_read(in, "gpus", TRUE, gpus, error);
}

static gboolean match_read(const JsonIn *top, NcclCalibration *calibration, GError **error)
{
    g_autoptr(GStringChunk) paths = g_string_chunk_new(64);
    gint64 min_nodes = 1, max_nodes = MAX_NODES;
    JsonIn match;
    if (!json_in_object(top, "match", TRUE, paths, &match, error) ||
        !gpus_read(&match, &calibration->gpus, error) ||
        !words_read(&match, "platforms", FALSE, &calibration->platforms, error) ||
        !json_in_int(&match, "min_nodes", TRUE, 1, MAX_NODES, &min_nodes, error) ||
        !json_in_int(&match, "max_nodes", FALSE, min_nodes, MAX_NODES, &max_nodes, error) ||
        !json_in_double(&match, "min_nic_bytes_per_s", FALSE, 0, 1e15,
                        &calibration->min_nic_bytes_per_s, error) ||
        !json_in_double(&match, "max_nic_bytes_per_s", FALSE, calibration->min_nic_bytes_per_s,
                        1e15, &calibration->max_nic_bytes_per_s, error))
        return FALSE;
    calibration->min_nodes = (int)min_nodes;
    calibration->max_nodes = (int)max_nodes;
    return TRUE;
}

/* Files of logs have no ids of rows, and older files none at all. */
static gboolean rows_read(const JsonIn *fit, NcclCalibration *calibration, GError **error)
{
    g_autoptr(GStringChunk) paths = g_string_chunk_new(64);
    JsonIn all;
    if (!json_in_object(fit, "held_out_row_error_frac", FALSE, paths, &all, error))
        return FALSE;
    calibration->rows = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    const char *id;
    const json_t *value;
    json_object_foreach((json_t *)all.object, id, value)
    {
        double error_frac;
        if (!json_in_double(&all, id, TRUE, -1, 1e6, &error_frac, error))
            return FALSE;
        double *kept = g_new(double, 1);
        *kept = error_frac;
        g_hash_table_insert(calibration->rows, g_strdup(id), kept);
    }
    return TRUE;
}

static gboolean top_check(const JsonIn *top, NcclCalibration *calibration, GError **error)
{
    static const char *const members[] = {"schema", "name", "match", "constants", "fit", NULL};
    g_autoptr(GPtrArray) unknown = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GStringChunk) paths = g_string_chunk_new(64);
    const char *schema = NULL;
    JsonIn fit;
    if (!json_in_string(top, "schema", TRUE, &schema, error) ||
        !json_in_object(top, "fit", TRUE, paths, &fit, error) ||
        !rows_read(&fit, calibration, error) ||
        !json_in_check_members(top, members, NULL, NULL, unknown, error))
        return FALSE;
    if (strcmp(schema, SCHEMA) != 0)
        return error_input(error, top->file, "schema: must be %s", SCHEMA);
    return unknown->len == 0 || error_input(error, top->file, "%s", (char *)unknown->pdata[0]);
}

NcclCalibration *nccl_calibration_load(const char *file, GError **error)
{
    g_autoptr(json_t) document = json_in_load(file, error);
    g_autoptr(NcclCalibration) calibration = g_new0(NcclCalibration, 1);
    g_autoptr(GStringChunk) paths = g_string_chunk_new(64);
    const char *name = NULL;
    JsonIn top = {.object = document, .file = file, .path = ""}, constants;
    if (!document || !top_check(&top, calibration, error) ||
        !json_in_string(&top, "name", TRUE, &name, error) ||
        !match_read(&top, calibration, error) ||
        !json_in_object(&top, "constants", TRUE, paths, &constants, error) ||
        !constant_read(&constants, NCCL_LAUNCH_S, &calibration->launch_s, error) ||
        !hops_read(&constants, calibration, error) ||
        !constant_read(&constants, NCCL_NET_TRIPS, &calibration->net_trips, error) ||
        !constant_read(&constants, NCCL_FILL_BYTES, &calibration->fill_bytes, error) ||
        !constant_read(&constants, NCCL_OWN_FRAC, &calibration->own_frac, error) ||
        !constant_read(&constants, NCCL_LOOP_S, &calibration->loop_s, error) ||
        !constant_read(&constants, NCCL_BLOCK_BYTES_PER_S, &calibration->block_bytes_per_s,
                       error) ||
        !algorithms_read(&constants, calibration, error))
        return NULL;
    calibration->name = g_strdup(name);
    return g_steal_pointer(&calibration);
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Files of platforms/nccl, in order of name. */
static GPtrArray *installed_files(void)
{
    GPtrArray *files = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *path = g_build_filename(experiment_data_dir(), "platforms", "nccl", NULL);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *base;
    while (dir && (base = g_dir_read_name(dir)))
        if (g_str_has_suffix(base, ".json"))
            g_ptr_array_add(files, g_build_filename(path, base, NULL));
    g_ptr_array_sort(files, compare_names);
    return files;
}

static GPtrArray *load_all(const GPtrArray *files, GError **error)
{
    g_autoptr(GPtrArray) all =
        g_ptr_array_new_with_free_func((GDestroyNotify)nccl_calibration_free);
    for (guint i = 0; i < files->len; i++) {
        NcclCalibration *one = nccl_calibration_load(files->pdata[i], error);
        if (!one)
            return NULL;
        g_ptr_array_add(all, one);
    }
    return g_steal_pointer(&all);
}

static gboolean name_unknown(const Experiment *experiment, const char *name, GError **error)
{
    g_autoptr(GPtrArray) files = installed_files();
    g_autoptr(GString) names = g_string_new("auto, none");
    for (guint i = 0; i < files->len; i++) {
        g_autofree char *base = g_path_get_basename(files->pdata[i]);
        g_string_append_printf(names, ", %.*s", (int)(strlen(base) - strlen(".json")), base);
    }
    g_autofree char *where = experiment_where(experiment, "nccl.calibration");
    g_autofree char *quoted = error_quote(name);
    return error_input(error, where, "there is no calibration %s: must be a file or one of %s",
                       quoted, names->str);
}

gboolean nccl_calibrations_of(const Experiment *experiment, GPtrArray **calibrations,
                              GError **error)
{
    const char *name = experiment_string(experiment, "nccl.calibration");
    *calibrations = NULL;
    if (strcmp(name, "none") == 0)
        return TRUE;
    if (strcmp(name, "auto") == 0) {
        g_autoptr(GPtrArray) files = installed_files();
        *calibrations = load_all(files, error);
        return *calibrations != NULL;
    }
    gboolean is_path = strchr(name, '/') || g_str_has_suffix(name, ".json");
    g_autofree char *base = g_strconcat(name, is_path ? "" : ".json", NULL);
    g_autofree char *file =
        is_path ? g_strdup(base)
                : g_build_filename(experiment_data_dir(), "platforms", "nccl", base, NULL);
    if (!is_path && !g_file_test(file, G_FILE_TEST_EXISTS))
        return name_unknown(experiment, name, error);
    NcclCalibration *one = nccl_calibration_load(file, error);
    if (!one)
        return FALSE;
    one->forced = TRUE;
    *calibrations = g_ptr_array_new_with_free_func((GDestroyNotify)nccl_calibration_free);
    g_ptr_array_add(*calibrations, one);
    return TRUE;
}
