/* SPDX-License-Identifier: MIT */
/* Reading accelerate's YAML. Names, words and defaults from accelerate's
 * commands/config/config_args.py, commands/launch.py and utils/dataclasses.py
 * (FullyShardedDataParallelPlugin, DeepSpeedPlugin). What a training script passes to
 * Accelerator() itself isn't in the file and can't be known: the experiment's keys say it. */
#include "training_accelerate.h"

#include "error.h"
#include "yaml_in.h"

#include <string.h>

#define COUNT_MAX 1048576

/* ---- what their words mean ---- */

static const ImportWord flags[] = {{"true", "true"}, {"false", "false"}, {"yes", "true"},
                                   {"no", "false"},  {"1", "true"},      {"0", "false"},
                                   {NULL, NULL}};

/* Autocast around fp32 parameters under DDP; MixedPrecision(param_dtype, reduce_dtype) of that
 * type under FSDP. */
static const ImportWord precisions[] = {{"no", "fp32"},
                                        {"fp16", "autocast-fp16"},
                                        {"bf16", "autocast-bf16"},
                                        {"fp8", "fp8"},
                                        {NULL, NULL}};

static const ImportWord dynamo_backends[] = {{"no", "false"},
                                             {"inductor", "true"},
                                             {"eager", NULL},
                                             {"aot_eager", NULL},
                                             {"aot_ts_nvfuser", NULL},
                                             {"nvprims_nvfuser", NULL},
                                             {"cudagraphs", NULL},
                                             {"ofi", NULL},
                                             {"fx2trt", NULL},
                                             {"onnxrt", NULL},
                                             {"tensorrt", NULL},
                                             {"aot_torchxla_trace_once", NULL},
                                             {"torchxla_trace_once", NULL},
                                             {"ipex", NULL},
                                             {"tvm", NULL},
                                             {"hpu_backend", NULL},
                                             {NULL, NULL}};

static const ImportWord versions[] = {{"1", "1"}, {"2", "2"}, {NULL, NULL}};

/* Numbers are of torch's ShardingStrategy, from 1, as `accelerate config` once wrote them. */
static const ImportWord strategies[] = {{"FULL_SHARD", "zero3"},
                                        {"SHARD_GRAD_OP", "zero2"},
                                        {"NO_SHARD", NULL},
                                        {"HYBRID_SHARD", "zero3"},
                                        {"HYBRID_SHARD_ZERO2", "zero2"},
                                        {"1", "zero3"},
                                        {"2", "zero2"},
                                        {"3", NULL},
                                        {"4", "zero3"},
                                        {"5", "zero2"},
                                        {NULL, NULL}};

static const ImportWord reshards[] = {{"true", "zero3"}, {"false", "zero2"}, {NULL, NULL}};

static const ImportWord wraps[] = {{"TRANSFORMER_BASED_WRAP", "block"},
                                   {"SIZE_BASED_WRAP", "size"},
                                   {"NO_WRAP", "none"},
                                   {"1", "block"},
                                   {"2", "size"},
                                   {"3", "none"},
                                   {NULL, NULL}};

static const ImportWord prefetches[] = {{"BACKWARD_PRE", "pre"},
                                        {"BACKWARD_POST", "post"},
                                        {"NO_PREFETCH", "none"},
                                        {"1", "pre"},
                                        {"2", "post"},
                                        {"3", "none"},
                                        {NULL, NULL}};

static const ImportWord checkpointing[] = {{"true", "full"}, {"false", "none"}, {NULL, NULL}};

static const ImportRow fsdp_rows[] = {
    {"fsdp_version", "fsdp.version", versions, "1"},
    {"fsdp_auto_wrap_policy", "fsdp.wrap", wraps, "none"},
    {"fsdp_activation_checkpointing", "training.activation_checkpointing", checkpointing, NULL},
};

static const ImportRow size_rows[] = {
    {"fsdp_min_num_params", "fsdp.wrap_min_numel", NULL, "100000000"},
};

/* The older name first: the newer one wins. */
static const ImportRow fsdp1_rows[] = {
    {"fsdp_backward_prefetch_policy", "fsdp.backward_prefetch", prefetches, "none"},
    {"fsdp_backward_prefetch", "fsdp.backward_prefetch", prefetches, NULL},
    {"fsdp_forward_prefetch", "fsdp.forward_prefetch", flags, "false"},
};

gboolean accelerate_section(const Import *import, const JsonIn *top, const char *name,
                            const MemberLists *lists, JsonIn *in, GError **error)
{
    return json_in_object(top, name, FALSE, import->paths, in, error) &&
           training_members_check(lists, in, FALSE, import->warnings, error);
}

/* ---- the cluster ---- */

typedef struct {
    gint64 n_machines;  /* 1 where the file doesn't say */
    gint64 n_processes; /* 0: it doesn't say */
} Counts;

/* -1 where `accelerate launch` is to ask the machine. NO is one process. */
static gboolean read_counts(const JsonIn *top, Counts *counts, GError **error)
{
    const json_t *type = json_object_get(top->object, "distributed_type");
    const gboolean alone = g_strcmp0(json_string_value(type), "NO") == 0;

    *counts = (Counts){1, alone ? 1 : 0};
    if (!json_in_int(top, "num_machines", FALSE, 1, COUNT_MAX, &counts->n_machines, error) ||
        !json_in_int(top, "num_processes", FALSE, -1, COUNT_MAX, &counts->n_processes, error))
        return FALSE;
    counts->n_processes = MAX(counts->n_processes, alone ? 1 : 0);
    if (alone && counts->n_processes > 1)
        return import_fail(top, "num_processes", ERROR_INPUT, error,
                           "%" G_GINT64_FORMAT " with distributed_type NO, which is one",
                           counts->n_processes);
    if (counts->n_processes % counts->n_machines == 0)
        return TRUE;
    return import_fail(top, "num_processes", ERROR_INPUT, error,
                       "%" G_GINT64_FORMAT
                       " is not a multiple of num_machines %" G_GINT64_FORMAT
                       ": all machines have the same number",
                       counts->n_processes, counts->n_machines);
}

/* Whether the experiment's platform counts its nodes itself. */
static gboolean counts_itself(const Experiment *experiment)
{
    const char *platform = experiment_string(experiment, "cluster.platform");
    return experiment_is_own(experiment, "cluster.xml") ||
           (platform && strpbrk(platform, "*+") && !strchr(platform, '/'));
}

gboolean accelerate_import_cluster(const Import *import, const char *file, GError **error)
{
    Counts counts;
    g_autoptr(json_t) document = yaml_in_load(file, error);
    const JsonIn top = {document, file, ""};

    if (!document || !read_counts(&top, &counts, error))
        return FALSE;
    if (counts_itself(import->experiment))
        return TRUE;
    g_autofree char *nodes = g_strdup_printf("%" G_GINT64_FORMAT, counts.n_machines);
    g_autofree char *gpus =
        g_strdup_printf("%" G_GINT64_FORMAT, counts.n_processes / counts.n_machines);
    if (json_in_has(&top, "num_machines") || counts.n_processes > 0)
        if (!import_key(import, &top, "num_machines", "cluster.nodes", nodes, error))
            return FALSE;
    return counts.n_processes == 0 ||
           import_key(import, &top, "num_processes", "cluster.gpus_per_node", gpus, error);
}

/* -s is there to try other sizes: it wins, and says so. */
static gboolean is_overridden(const Experiment *experiment)
{
    static const char *const keys[] = {"cluster.nodes", "cluster.gpus_per_node",
                                       "cluster.platform", "cluster.xml"};
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
        if (g_hash_table_contains(experiment->overridden, keys[i]))
            return TRUE;
    return FALSE;
}

static gboolean check_counts(const Import *import, const JsonIn *top, GError **error)
{
    const ImportCluster *cluster = import->cluster;
    Counts counts;

    if (!read_counts(top, &counts, error))
        return FALSE;
    const gboolean same_nodes =
        !json_in_has(top, "num_machines") || counts.n_machines == cluster->n_nodes;
    if (same_nodes && (counts.n_processes == 0 || counts.n_processes == cluster->n_ranks))
        return TRUE;
    g_autofree char *what = g_strdup_printf(
        "%" G_GINT64_FORMAT " on num_machines %" G_GINT64_FORMAT
        " contradict the experiment's %d on %d, cluster.nodes * cluster.gpus_per_node",
        counts.n_processes, counts.n_machines, cluster->n_ranks, cluster->n_nodes);
    if (!is_overridden(import->experiment))
        return import_fail(top, "num_processes", ERROR_INPUT, error, "%s", what);
    import_warn(import, top, "num_processes", "%s: -s wins", what);
    return TRUE;
}

/* ---- FSDP ---- */

/* Only a comparison may run other strategies. */
static gboolean import_strategy(const Import *import, const JsonIn *in, const char *member,
                                const char *strategy, GError **error)
{
    return import->comparing
               ? import_key(import, in, member, "training.strategy", strategy, error)
               : import_fixed(import, in, member, "training.strategy", strategy, error);
}

/* Ranks that hold one set of shards together: those of a node. */
static gboolean import_hybrid(const Import *import, const JsonIn *in, const char *member,
                              GError **error)
{
    const ImportCluster *cluster = import->cluster;

    if (cluster->n_nodes == 1)
        return TRUE;
    if (cluster->n_ranks % cluster->n_nodes != 0)
        return import_fail(in, member, ERROR_UNMODELLED, error,
                           "hybrid sharding in nodes of unequal size is not modelled");
    g_autofree char *size = g_strdup_printf("%d", cluster->n_ranks / cluster->n_nodes);
    return import_key(import, in, member, "fsdp.shard_group_size", size, error);
}

/* FSDP1 has sharding strategies, which newer files call fsdp_reshard_after_forward. FSDP2 has
 * the flag alone. */
static gboolean import_sharding(const Import *import, const JsonIn *in, gboolean fsdp2,
                                GError **error)
{
    gboolean ok;
    const char *member = fsdp2 || !json_in_has(in, "fsdp_sharding_strategy")
                             ? "fsdp_reshard_after_forward"
                             : "fsdp_sharding_strategy";
    const ImportRow row = {member, "training.strategy", fsdp2 ? reshards : strategies, "zero3"};
    g_autofree char *text = import_text(in, member, &ok, error);

    if (!ok || !import_rows(import, in, &row, 1, error))
        return FALSE;
    const char *strategy = g_hash_table_lookup(import->experiment->imported, row.key);
    if (strategy && !import_strategy(import, in, member, strategy, error))
        return FALSE;
    const gboolean hybrid = text && !fsdp2 &&
                            (g_ascii_strncasecmp(text, "HYBRID", 6) == 0 ||
                             strcmp(text, "4") == 0 || strcmp(text, "5") == 0);
    return !hybrid || import_hybrid(import, in, member, error);
}

static gboolean import_wrap(const Import *import, const JsonIn *in, GError **error)
{
    const Experiment *experiment = import->experiment;
    const char *wrap = g_hash_table_lookup(experiment->imported, "fsdp.wrap");
    const char *classes = NULL;

    if (strcmp(wrap, "size") == 0)
        return import_rows(import, in, size_rows, G_N_ELEMENTS(size_rows), error);
    if (!json_in_string(in, "fsdp_transformer_layer_cls_to_wrap", FALSE, &classes, error))
        return FALSE;
    if (strcmp(wrap, "block") == 0 && classes && strchr(classes, ',') &&
        !experiment_is_own(experiment, "fsdp.wrap"))
        return import_fail(in, "fsdp_transformer_layer_cls_to_wrap", ERROR_UNMODELLED, error,
                           "wrapping several classes is not modelled; fsdp.wrap and "
                           "fsdp.wrap_names in the experiment replace it");
    return TRUE;
}

static void warn_fsdp2(const Import *import, const JsonIn *in)
{
    static const char *const members[] = {"fsdp_sharding_strategy", "fsdp_backward_prefetch",
                                          "fsdp_backward_prefetch_policy",
                                          "fsdp_forward_prefetch"};
    for (gsize i = 0; i < G_N_ELEMENTS(members); i++)
        if (json_in_has(in, members[i]))
            import_warn(import, in, members[i], "no effect with fsdp_version 2");
}

/* A device mesh of two dimensions (ParallelismConfig). */
static gboolean import_mesh(const Import *import, const JsonIn *top, GError **error)
{
    static const char *const replicate = "parallelism_config_dp_replicate_size";
    JsonIn in;
    gint64 n_replicas = 1, n_shards = 0;

    if (!json_in_object(top, "parallelism_config", FALSE, import->paths, &in, error) ||
        !json_in_int(&in, replicate, FALSE, 1, COUNT_MAX, &n_replicas, error) ||
        !json_in_int(&in, "parallelism_config_dp_shard_size", FALSE, 1, COUNT_MAX, &n_shards,
                     error))
        return FALSE;
    if (n_replicas == 1 && (n_shards == 0 || n_shards == import->cluster->n_ranks))
        return TRUE;
    n_shards = MAX(n_shards, 1);
    if (n_replicas * n_shards != import->cluster->n_ranks || n_shards == 1)
        return import_fail(&in, replicate, ERROR_INPUT, error,
                           "%" G_GINT64_FORMAT " * parallelism_config_dp_shard_size "
                           "%" G_GINT64_FORMAT " must be the %d ranks, in groups of 2 or more",
                           n_replicas, n_shards, import->cluster->n_ranks);
    g_autofree char *size = g_strdup_printf("%" G_GINT64_FORMAT, n_shards);
    return import_key(import, &in, "parallelism_config_dp_shard_size", "fsdp.shard_group_size",
                      size, error);
}

/* accumulate() leaves gradients unreduced up to the last micro-step (sync_each_batch=False). */
static gboolean import_fsdp(const Import *import, const JsonIn *top, GError **error)
{
    JsonIn in;

    if (!accelerate_section(import, top, "fsdp_config", &accelerate_fsdp_lists, &in, error) ||
        !import_rows(import, &in, fsdp_rows, G_N_ELEMENTS(fsdp_rows), error) ||
        !import_key(import, &in, "sync_each_batch", "fsdp.sync_every_micro_step", "false",
                    error))
        return FALSE;
    const char *version = g_hash_table_lookup(import->experiment->imported, "fsdp.version");
    const gboolean fsdp2 = strcmp(version, "2") == 0;
    if (fsdp2)
        warn_fsdp2(import, &in);
    else if (!import_rows(import, &in, fsdp1_rows, G_N_ELEMENTS(fsdp1_rows), error))
        return FALSE;
    return import_sharding(import, &in, fsdp2, error) && import_wrap(import, &in, error) &&
           import_mesh(import, top, error);
}

/* ---- the whole file ---- */

/* torchao's Float8Linear is what fp8 means here; other back ends scale and store otherwise. */
static gboolean import_fp8(const Import *import, const JsonIn *top, GError **error)
{
    static const ImportRow row = {"enable_fsdp_float8_all_gather", "fsdp.fp8_all_gather", flags,
                                  NULL};
    JsonIn in;
    gboolean ok;

    if (!json_in_object(top, "fp8_config", FALSE, import->paths, &in, error))
        return FALSE;
    g_autofree char *backend = import_text(&in, "backend", &ok, error);
    if (!ok)
        return FALSE;
    if (g_strcmp0(backend, "AO") != 0)
        return import_fail(&in, "backend", ERROR_UNMODELLED, error,
                           "only AO (torchao) is modelled with mixed_precision fp8");
    return import_rows(import, &in, &row, 1, error);
}

/* Older files say fp16: true, and dynamo_backend at the top. */
static gboolean import_precision(const Import *import, const JsonIn *top, GError **error)
{
    const gboolean old = !json_in_has(top, "mixed_precision") && json_in_has(top, "fp16");
    static const ImportWord fp16[] = {
        {"true", "autocast-fp16"}, {"false", "fp32"}, {NULL, NULL}};
    const ImportRow row = {old ? "fp16" : "mixed_precision", "training.precision",
                           old ? fp16 : precisions, "fp32"};

    if (!import_rows(import, top, &row, 1, error))
        return FALSE;
    const char *precision = g_hash_table_lookup(import->experiment->imported, row.key);
    return strcmp(precision, "fp8") != 0 || import_fp8(import, top, error);
}

static gboolean import_compile(const Import *import, const JsonIn *top, GError **error)
{
    static const ImportRow row[] = {
        {"dynamo_backend", "training.compile", dynamo_backends, NULL}};
    JsonIn in;

    return import_rows(import, top, row, 1, error) &&
           json_in_object(top, "dynamo_config", FALSE, import->paths, &in, error) &&
           import_rows(import, &in, row, 1, error);
}

static gboolean import_ddp(const Import *import, const JsonIn *top, GError **error)
{
    return import_precision(import, top, error) &&
           import_strategy(import, top, "distributed_type", "ddp", error);
}

static gboolean import_fsdp_whole(const Import *import, const JsonIn *top, GError **error)
{
    return import_precision(import, top, error) && import_fsdp(import, top, error);
}

/* distributed_type: the framework, and what reads its part of the file. NO is one GPU. */
static const struct {
    const char *type, *framework;
    gboolean (*import)(const Import *import, const JsonIn *top, GError **error);
} types[] = {
    {"NO", "pytorch", import_ddp},
    {"MULTI_GPU", "pytorch", import_ddp},
    {"FSDP", "pytorch", import_fsdp_whole},
    {"DEEPSPEED", "deepspeed", accelerate_import_deepspeed},
};

static gboolean import_type(const Import *import, const JsonIn *top, GError **error)
{
    static const char *const member = "distributed_type";
    gboolean ok;
    g_autofree char *type = import_text(top, member, &ok, error);

    if (!ok)
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++)
        if (g_strcmp0(type, types[i].type) == 0)
            return import_fixed(import, top, member, "training.framework", types[i].framework,
                                error) &&
                   types[i].import(import, top, error);
    g_autofree char *quoted = error_quote(type ? type : "nothing");
    return import_fail(top, member, type ? ERROR_UNMODELLED : ERROR_INPUT, error,
                       "must be 'NO' (in quotes), MULTI_GPU, FSDP or DEEPSPEED, the others are "
                       "not modelled: not %s",
                       quoted);
}

gboolean accelerate_import(const Import *import, const char *file, GError **error)
{
    g_autoptr(json_t) document = yaml_in_load(file, error);
    const JsonIn top = {document, file, ""};

    return document &&
           training_members_check(&accelerate_lists, &top, FALSE, import->warnings, error) &&
           check_counts(import, &top, error) && import_compile(import, &top, error) &&
           import_type(import, &top, error);
}
