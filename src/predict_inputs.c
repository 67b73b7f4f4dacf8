/* SPDX-License-Identifier: MIT */
/* Reads everything that an experiment names, in the order in which one needs the other: the
 * cluster gives the ranks, which a launcher's file is checked against, the model's width
 * resolves DeepSpeed's "auto", the training decides the model's kernels. And finds the largest
 * micro-batch that fits. */
#include "error.h"
#include "nccl_calibration.h"
#include "predict.h"
#include "training_import.h"

#include <string.h>

#define OLDEST_NCCL 204
#define LARGEST_MICRO_BATCH ((gint64)1 << 20)

void inputs_free(Inputs *inputs)
{
    if (inputs == NULL)
        return;
    g_clear_pointer(&inputs->experiment, experiment_free);
    g_clear_pointer(&inputs->cluster, cluster_free);
    g_clear_pointer(&inputs->model, model_free);
    g_clear_pointer(&inputs->training, training_free);
    g_clear_pointer(&inputs->profile_of_gpu, g_hash_table_unref);
    g_clear_pointer(&inputs->profiles, g_ptr_array_unref);
    g_clear_pointer(&inputs->calibrations, g_ptr_array_unref);
    g_ptr_array_unref(inputs->warnings);
    g_free(inputs);
}

static gboolean nccl_version_read(const Experiment *experiment, int *version, GError **error)
{
    const char *text = experiment_string(experiment, "nccl.version");
    *version = collective_nccl_version(text);
    if (*version >= OLDEST_NCCL)
        return TRUE;
    g_autofree char *where = experiment_where(experiment, "nccl.version");
    g_autofree char *quoted = error_quote(text);
    return error_input(error, where, "must be a release from 2.4 on, such as 2.26, not %s",
                       quoted);
}

/* The choices of nccl.algorithm and nccl.protocol are "auto" and then the enums' names in
 * order. */
static gboolean nccl_load(Inputs *inputs, GError **error)
{
    const Experiment *experiment = inputs->experiment;
    NcclOptions *nccl = &inputs->nccl;
    nccl->algorithm = experiment_choice(experiment, "nccl.algorithm") - 1;
    nccl->protocol = experiment_choice(experiment, "nccl.protocol") - 1;
    nccl->channels = (int)MAX(experiment_int(experiment, "nccl.channels"), 0);
    nccl->collnet = experiment_bool(experiment, "nccl.collnet");
    if (!nccl_version_read(experiment, &nccl->version, error) ||
        !nccl_calibrations_of(experiment, &inputs->calibrations, error))
        return FALSE;
    nccl->calibrations = inputs->calibrations;
    return TRUE;
}

/* What is asked of NCCL by name must be of use to some collective of all ranks. */
static gboolean nccl_check(const Inputs *inputs, GError **error)
{
    int n_ranks = cluster_n_ranks(inputs->cluster);
    g_autofree int *members = g_new(int, n_ranks);
    for (int r = 0; r < n_ranks; r++)
        members[r] = r;
    if (n_ranks == 1 || collective_can_run(inputs->cluster, members, n_ranks, &inputs->nccl))
        return TRUE;
    g_autofree char *where = experiment_where(inputs->experiment, "nccl.algorithm");
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "%s=%s can run no collective of %d ranks of %s by protocol %s: tree and ring "
                "run everywhere, the others by protocol simple: nvls on NVSwitches that reduce "
                "(H100 and later, one node), nvls-tree on several such nodes, pat on nodes of "
                "one rank, collnet with nccl.collnet",
                where, experiment_string(inputs->experiment, "nccl.algorithm"), n_ranks,
                inputs->cluster->name, experiment_string(inputs->experiment, "nccl.protocol"));
    return FALSE;
}

static char *profile_file(const char *name, GError **error)
{
    if (strchr(name, '/') != NULL || g_str_has_suffix(name, ".json"))
        return g_strdup(name);
    g_autofree char *base = g_strconcat(name, ".json", NULL);
    char *file = g_build_filename(experiment_data_dir(), "platforms", "gpus", base, NULL);
    if (g_file_test(file, G_FILE_TEST_EXISTS))
        return file;
    g_autofree char *quoted = error_quote(name);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "gpu.profile: there is no GPU profile %s (no file %s)", quoted, file);
    g_free(file);
    return NULL;
}

static Profile *profile_add(Inputs *inputs, const char *name, GError **error)
{
    g_autofree char *file = profile_file(name, error);
    Profile *profile = file != NULL ? profile_load(file, error) : NULL;
    if (profile != NULL)
        g_ptr_array_add(inputs->profiles, profile);
    return profile;
}

const Profile *inputs_profile(const Inputs *inputs, int rank)
{
    const char *gpu = cluster_gpu(inputs->cluster, rank)->gpu;
    const Profile *own = g_hash_table_lookup(inputs->profile_of_gpu, gpu);
    return own != NULL ? own : inputs->profile;
}

static gboolean profile_of_each_kind(Inputs *inputs, GError **error)
{
    for (int rank = 0; rank < cluster_n_ranks(inputs->cluster); rank++) {
        char *gpu = cluster_gpu(inputs->cluster, rank)->gpu;
        if (g_hash_table_contains(inputs->profile_of_gpu, gpu))
            continue;
        Profile *profile = profile_add(inputs, gpu, error);
        if (profile == NULL)
            return FALSE;
        g_hash_table_insert(inputs->profile_of_gpu, gpu, profile);
    }
    return TRUE;
}

/* Several kinds of GPU: what can't be of each is of rank 0's, and a platform that the user
 * wrote may have speeds, which would count twice. */
static gboolean check_kinds(const Inputs *inputs, GError **error)
{
    const char *single = NULL;
    if (inputs->profiles->len == 1)
        return TRUE;
    if (experiment_is_set(inputs->experiment, "cluster.xml"))
        single = "of a cluster.xml";
    if (experiment_is_set(inputs->experiment, "gpu.overlay"))
        single = "with a gpu.overlay";
    if (single != NULL) {
        const Profile *other = inputs->profiles->pdata[1];
        g_set_error(
            error, ZEROSIM_ERROR, ERROR_UNMODELLED,
            "%s: GPUs of two kinds %s, %s and %s, are not modelled yet: set gpu.profile",
            inputs->cluster->name, single, inputs->profile->name, other->name);
        return FALSE;
    }
    g_ptr_array_add(inputs->warnings,
                    g_strdup_printf("%s: what collectives take from kernels beside them is as "
                                    "on %s for every kind of GPU",
                                    inputs->cluster->name, inputs->profile->name));
    return TRUE;
}

/* The profile that is named, or that of each kind of GPU. */
static gboolean profile_read(Inputs *inputs, GError **error)
{
    const char *named = experiment_string(inputs->experiment, "gpu.profile");
    inputs->profiles = g_ptr_array_new_with_free_func((GDestroyNotify)profile_free);
    inputs->profile_of_gpu = g_hash_table_new(g_str_hash, g_str_equal);
    if (named != NULL ? profile_add(inputs, named, error) == NULL
                      : !profile_of_each_kind(inputs, error))
        return FALSE;
    inputs->profile = inputs->profiles->pdata[0];
    if (!check_kinds(inputs, error))
        return FALSE;
    const char *overlay = experiment_string(inputs->experiment, "gpu.overlay");
    return overlay == NULL ||
           profile_overlay(inputs->profile, overlay, inputs->warnings, error);
}

/* The model for the training's present micro-batch. */
static gboolean model_read(Inputs *inputs, GPtrArray *warnings, GError **error)
{
    const char *file = experiment_require(inputs->experiment, "model.config", error);
    if (file == NULL)
        return FALSE;
    ModelOptions options = training_model_options(inputs->training);
    g_clear_pointer(&inputs->model, model_free);
    inputs->model = model_load(file, &options, warnings, error);
    return inputs->model != NULL;
}

/* Read for its width alone, before the training and so the real options are known. */
static gboolean model_hidden_size(const Inputs *inputs, gint64 *hidden_size, GError **error)
{
    const char *file = experiment_require(inputs->experiment, "model.config", error);
    if (file == NULL)
        return FALSE;
    ModelOptions options = {.micro_batch = 1,
                            .parameter = DTYPE_BF16,
                            .compute = DTYPE_BF16,
                            .attention = ATTENTION_SDPA,
                            .dropout = -1};
    g_autoptr(GPtrArray) ignored = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Model) model = model_load(file, &options, ignored, error);
    if (model == NULL)
        return FALSE;
    *hidden_size = model->hidden_size;
    return TRUE;
}

/* 0: nodes have different numbers of GPUs. */
static int ranks_per_node(const Cluster *cluster)
{
    g_autofree int *n_ranks = g_new0(int, cluster->n_nodes);

    for (int rank = 0; rank < cluster_n_ranks(cluster); rank++)
        n_ranks[cluster_gpu(cluster, rank)->node]++;
    for (int node = 1; node < cluster->n_nodes; node++)
        if (n_ranks[node] != n_ranks[0])
            return 0;
    return n_ranks[0];
}

static gboolean check_dtype(const Inputs *inputs, GError **error)
{
    DType compute = inputs->training->precision.compute;
    for (guint i = 0; i < inputs->profiles->len; i++) {
        const Profile *profile = inputs->profiles->pdata[i];
        if (profile->peak_flop_per_s[compute] > 0)
            continue;
        g_autofree char *where = experiment_where(inputs->experiment, "training.precision");
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: the GPU %s has no %s", where,
                    profile->name, dtype_name(compute));
        return FALSE;
    }
    return TRUE;
}

static gboolean training_read(Inputs *inputs, GError **error)
{
    gint64 hidden_size;
    if (!model_hidden_size(inputs, &hidden_size, error))
        return FALSE;
    g_clear_pointer(&inputs->training, training_free);
    inputs->training = training_build(inputs->experiment, cluster_n_ranks(inputs->cluster),
                                      hidden_size, inputs->comparing, inputs->warnings, error);
    if (inputs->training == NULL)
        return FALSE;
    inputs->training->ranks_per_node = ranks_per_node(inputs->cluster);
    return check_dtype(inputs, error);
}

static gboolean check_strict(const Inputs *inputs, GError **error)
{
    if (!inputs->strict || inputs->warnings->len == 0)
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s (an error since --strict)",
                (const char *)inputs->warnings->pdata[0]);
    return FALSE;
}

/* A list of names that the user or a file gave, of which one fits no layer. */
static void warn_names(const Inputs *inputs, const char *key, const char *patterns)
{
    g_auto(GStrv) list = g_strsplit_set(patterns ? patterns : "", ",;", -1);
    for (int i = 0; list[i]; i++) {
        gboolean found = FALSE;
        for (guint j = 0; !found && j < inputs->model->layers->len; j++)
            found = model_name_matches(list[i], model_layer(inputs->model, (int)j)->name);
        if (!found)
            g_ptr_array_add(inputs->warnings, g_strdup_printf("%s: no layer is called \"%s\"",
                                                              key, g_strstrip(list[i])));
    }
}

static void check_names(const Inputs *inputs)
{
    const Training *training = inputs->training;
    if (training->framework == FRAMEWORK_PYTORCH && training->strategy >= STRATEGY_ZERO2)
        warn_names(inputs, "fsdp.wrap_names", training->fsdp.wrap_names);
    if (training->fp8_except == NULL)
        return;
    const gboolean listed = strcmp(inputs->model->family, "layers") == 0;
    if (training->precision.compute == DTYPE_FP8 && !listed)
        warn_names(inputs, "training.fp8_except", training->fp8_except);
    else
        g_ptr_array_add(inputs->warnings,
                        g_strdup_printf("training.fp8_except has no effect: %s",
                                        listed ? "a layer list gives its kernels' types"
                                               : "training.precision isn't fp8"));
}

static gboolean inputs_resolve(Inputs *inputs, GError **error)
{
    gint64 largest;
    g_ptr_array_set_size(inputs->warnings, (int)inputs->n_platform_warnings);
    if (!training_read(inputs, error) || !model_read(inputs, inputs->warnings, error))
        return FALSE;
    check_names(inputs);
    if (!check_strict(inputs, error))
        return FALSE;
    return !inputs->training->micro_batch_auto ||
           inputs_largest_micro_batch(inputs, &largest, error);
}

static gboolean import_rest(Inputs *inputs, GError **error)
{
    const ImportCluster cluster = {inputs->cluster->n_nodes, cluster_n_ranks(inputs->cluster)};
    return training_import(inputs->experiment, &cluster, inputs->comparing, inputs->warnings,
                           error);
}

Inputs *inputs_load(const Experiment *experiment, gboolean comparing, gboolean strict,
                    GError **error)
{
    g_autoptr(Inputs) inputs = g_new0(Inputs, 1);
    inputs->experiment = experiment_copy(experiment);
    inputs->warnings = g_ptr_array_new_with_free_func(g_free);
    inputs->comparing = comparing;
    inputs->strict = strict;
    if (!nccl_load(inputs, error) ||
        !training_import_cluster(inputs->experiment, inputs->warnings, error))
        return NULL;
    inputs->cluster = cluster_build(inputs->experiment, inputs->warnings, error);
    if (inputs->cluster == NULL || !nccl_check(inputs, error) || !import_rest(inputs, error))
        return NULL;
    if (!profile_read(inputs, error))
        return NULL;
    inputs->n_platform_warnings = inputs->warnings->len;
    if (!inputs_resolve(inputs, error))
        return NULL;
    return g_steal_pointer(&inputs);
}

gboolean inputs_set(Inputs *inputs, const char *const *assignments, GError **error)
{
    for (; *assignments != NULL; assignments++)
        if (!experiment_set(inputs->experiment, *assignments, error))
            return FALSE;
    return inputs_resolve(inputs, error);
}

static gboolean set_micro_batch(Inputs *inputs, gint64 micro_batch, GError **error)
{
    g_autoptr(GPtrArray) ignored = g_ptr_array_new_with_free_func(g_free);
    return training_set_micro_batch(inputs->training, cluster_n_ranks(inputs->cluster),
                                    micro_batch, error) &&
           model_read(inputs, ignored, error);
}

/* What may be tried, ascending: 1, 2, 3, … or, with a fixed global batch, its divisors. NULL:
 * all. */
static GArray *allowed_micro_batches(const Inputs *inputs)
{
    const Training *training = inputs->training;
    if (!training->global_batch_fixed)
        return NULL;
    gint64 per_rank = training->global_batch / cluster_n_ranks(inputs->cluster);
    GArray *divisors = g_array_new(FALSE, FALSE, sizeof(gint64));
    for (gint64 m = 1; m <= MIN(per_rank, LARGEST_MICRO_BATCH); m++)
        if (per_rank % m == 0)
            g_array_append_val(divisors, m);
    return divisors;
}

static gint64 micro_batch_at(const GArray *allowed, gint64 index)
{
    return allowed == NULL ? index + 1 : g_array_index(allowed, gint64, index);
}

static gboolean try_micro_batch(Inputs *inputs, gint64 micro_batch, gboolean *fits,
                                GError **error)
{
    Memory memory;
    if (!set_micro_batch(inputs, micro_batch, error) || !predict_memory(inputs, &memory, error))
        return FALSE;
    *fits = memory.fits;
    return TRUE;
}

gboolean inputs_largest_micro_batch(Inputs *inputs, gint64 *largest, GError **error)
{
    g_autoptr(GArray) allowed = allowed_micro_batches(inputs);
    gint64 n_allowed = allowed == NULL ? LARGEST_MICRO_BATCH : allowed->len;
    gint64 fitting = -1, failing = n_allowed; /* indices */
    for (gint64 index = 0; index < n_allowed && failing - fitting > 1;) {
        gboolean fits;
        if (!try_micro_batch(inputs, micro_batch_at(allowed, index), &fits, error))
            return FALSE;
        if (fits)
            fitting = index;
        else
            failing = index;
        /* Doubles until one fails, then halves what is between. */
        index = failing == n_allowed ? MIN(2 * index + 1, n_allowed - 1)
                                     : fitting + (failing - fitting) / 2;
    }
    *largest = fitting < 0 ? 0 : micro_batch_at(allowed, fitting);
    return set_micro_batch(inputs, MAX(*largest, 1), error);
}
