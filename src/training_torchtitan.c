/* SPDX-License-Identifier: MIT */
/* Reading torchtitan's job files. Names, words and defaults from torchtitan's
 * config/job_config.py, units and types of each strategy from models/llama3/infra/
 * parallelize.py, sizes from models/<name>/__init__.py. */
#include "training_torchtitan.h"

#include "error.h"
#include "toml_in.h"

#include <string.h>

#define DEGREE_MAX 1048576
#define REPLICATE "data_parallel_replicate_degree"
#define SHARD "data_parallel_shard_degree"

/* ---- members that are one key ---- */

static const ImportWord flags[] = {{"true", "true"}, {"false", "false"}, {NULL, NULL}};
static const ImportWord optimizers[] = {
    {"AdamW", "adamw"}, {"Adam", "adam"}, {"Muon", NULL}, {"Dion", NULL}, {NULL, NULL}};
static const ImportWord implementations[] = {
    {"fused", "fused"}, {"foreach", "foreach"}, {"for-loop", "loop"}, {NULL, NULL}};
static const ImportWord fused[] = {{"true", "fused"}, {"false", "foreach"}, {NULL, NULL}};
static const ImportWord param_dtypes[] = {
    {"bfloat16", "autocast-bf16"}, {"float32", "fp32"}, {NULL, NULL}};
static const ImportWord reduce_dtypes[] = {
    {"float32", "fp32"}, {"bfloat16", "bf16"}, {NULL, NULL}};

/* An older name stands before the newer one, which wins. */
static const struct {
    const char *section;
    ImportRow row;
} rows[] = {
    {"training", {"batch_size", "training.micro_batch", NULL, "8"}},
    {"training", {"local_batch_size", "training.micro_batch", NULL, NULL}},
    {"training", {"seq_len", "model.sequence_length", NULL, "2048"}},
    {"training", {"max_norm", "training.gradient_clipping", NULL, "1"}},
    {"training",
     {"mixed_precision_param", "training.precision", param_dtypes, "autocast-bf16"}},
    {"optimizer", {"name", "training.optimizer", optimizers, "adamw"}},
    {"optimizer", {"fused", "training.optimizer_implementation", fused, "fused"}},
    {"optimizer",
     {"implementation", "training.optimizer_implementation", implementations, NULL}},
    {"optimizer", {"weight_decay", "training.weight_decay", NULL, "0.1"}},
};

static gboolean import_all_rows(const Import *import, const JsonIn *top, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        JsonIn in;
        if (!json_in_object(top, rows[i].section, FALSE, import->paths, &in, error) ||
            !import_rows(import, &in, &rows[i].row, 1, error))
            return FALSE;
    }
    return TRUE;
}

/* ---- the model ---- */

static const struct {
    const char *name, *flavor, *config;
} flavors[] = {
    {"llama2", "7B", "models/llama-2-7b.json"},
    {"llama2", "13B", "models/llama-2-13b.json"},
    {"llama2", "70B", "models/llama-2-70b.json"},
    {"llama3", "8B", "models/llama-3-8b.json"},
    {"llama3", "70B", "models/llama-3-70b.json"},
    {"llama3", "405B", "models/llama-3.1-405b.json"},
    {"qwen3", "0.6B", "models/qwen3-0.6b.json"},
    {"qwen3", "4B", "models/qwen3-4b.json"},
    {"qwen3", "8B", "models/qwen3-8b.json"},
    {"qwen3", "32B", "models/qwen3-32b.json"},
};

static gboolean fail_flavor(const JsonIn *in, const char *name, const char *flavor,
                            GError **error)
{
    g_autoptr(GString) known = g_string_new(NULL);
    g_autofree char *both = g_strdup_printf("%s %s", name, flavor);
    g_autofree char *quoted = error_quote(both);

    for (gsize i = 0; i < G_N_ELEMENTS(flavors); i++)
        g_string_append_printf(known, "%s%s %s", i > 0 ? ", " : "", flavors[i].name,
                               flavors[i].flavor);
    return import_fail(in, "flavor", ERROR_INPUT, error,
                       "%s has no model here: known are %s; model.config in the experiment "
                       "names any other",
                       quoted, known->str);
}

/* A flavor is a size; the user's own model.config stands in for any. */
static gboolean import_model(const Import *import, const JsonIn *top, GError **error)
{
    JsonIn in;
    const char *name = "llama3", *flavor = "debugmodel";

    if (!json_in_object(top, "model", FALSE, import->paths, &in, error) ||
        !json_in_string(&in, "name", FALSE, &name, error) ||
        !json_in_string(&in, "flavor", FALSE, &flavor, error))
        return FALSE;
    if (experiment_is_own(import->experiment, "model.config"))
        return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(flavors); i++)
        if (strcmp(flavors[i].name, name) == 0 && strcmp(flavors[i].flavor, flavor) == 0)
            return import_key(import, &in, "flavor", "model.config", flavors[i].config, error);
    return fail_flavor(&in, name, flavor, error);
}

/* Whether a list of words, or a string with commas between them, has the word. */
static gboolean list_has(const JsonIn *in, const char *member, const char *word)
{
    const json_t *list = in->object ? json_object_get(in->object, member) : NULL;
    g_auto(GStrv) words =
        g_strsplit(json_is_string(list) ? json_string_value(list) : "", ",", -1);

    for (char **text = words; *text; text++)
        if (strcmp(g_strstrip(*text), word) == 0)
            return TRUE;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (g_strcmp0(json_string_value(json_array_get(list, i)), word) == 0)
            return TRUE;
    return FALSE;
}

/* The text of a converter that isn't float8; NULL: there is none. */
static char *other_converter(const json_t *list)
{
    static const char *const known[] = {"float8", "quantize.linear.float8", "", NULL};
    g_auto(GStrv) words =
        g_strsplit(json_is_string(list) ? json_string_value(list) : "", ",", -1);

    for (char **text = words; *text; text++)
        if (!g_strv_contains(known, g_strstrip(*text)))
            return g_strdup(*text);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text || !g_strv_contains(known, text))
            return g_strdup(text ? text : "a list");
    }
    return NULL;
}

/* [float8], or since its move [quantize.linear.float8]. */
static gboolean float8_section(const Import *import, const JsonIn *top, JsonIn *in,
                               GError **error)
{
    JsonIn quantize, linear;

    if (json_in_has(top, "float8"))
        return json_in_object(top, "float8", FALSE, import->paths, in, error);
    return json_in_object(top, "quantize", FALSE, import->paths, &quantize, error) &&
           json_in_object(&quantize, "linear", FALSE, import->paths, &linear, error) &&
           json_in_object(&linear, "float8", FALSE, import->paths, in, error);
}

/* torchtitan's modules under the names that the shipped models' layers have. */
static const struct {
    const char *fqn, *layers;
} linears[] = {
    {"output", "lm_head"},
    {"attention.wq", "*.q_proj"},
    {"attention.wk", "*.k_proj"},
    {"attention.wv", "*.v_proj"},
    {"attention.wo", "*.o_proj"},
    {"feed_forward.w1", "*.gate_proj"},
    {"feed_forward.w2", "*.down_proj"},
    {"feed_forward.w3", "*.up_proj"},
};

/* The linears that stay as they are. */
static gboolean import_filter(const Import *import, const JsonIn *in, GError **error)
{
    const json_t *list = in->object ? json_object_get(in->object, "filter_fqns") : NULL;
    g_autoptr(GString) layers = g_string_new(NULL);
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) split =
        g_strsplit(json_is_string(list) ? json_string_value(list) : "", ",", -1);

    for (char **text = split; *text; text++)
        g_ptr_array_add(words, g_strdup(g_strstrip(*text)));
    for (size_t i = 0; i < json_array_size(list); i++)
        g_ptr_array_add(words, g_strdup(json_string_value(json_array_get(list, i))));
    for (guint w = 0; w < words->len; w++) {
        gsize i = 0;
        while (i < G_N_ELEMENTS(linears) && g_strcmp0(words->pdata[w], linears[i].fqn) != 0)
            i++;
        if (i == G_N_ELEMENTS(linears))
            return import_fail(in, "filter_fqns", ERROR_UNMODELLED, error,
                               "only output, attention.wq, wk, wv, wo and feed_forward.w1, "
                               "w2, w3 are known; training.fp8_except in the experiment takes "
                               "the names of other layers");
        g_string_append_printf(layers, "%s%s", layers->len > 0 ? "," : "", linears[i].layers);
    }
    return layers->len == 0 ||
           import_key(import, in, "filter_fqns", "training.fp8_except", layers->str, error);
}

static gboolean import_float8(const Import *import, const JsonIn *top, GError **error)
{
    static const ImportRow row = {"enable_fsdp_float8_all_gather", "fsdp.fp8_all_gather", flags,
                                  NULL};
    JsonIn model, in;
    gboolean enabled = FALSE;

    if (!json_in_object(top, "model", FALSE, import->paths, &model, error) ||
        !float8_section(import, top, &in, error) ||
        !json_in_bool(&in, "enable_float8_linear", FALSE, &enabled, error))
        return FALSE;
    g_autofree char *other =
        other_converter(model.object ? json_object_get(model.object, "converters") : NULL);
    if (other) {
        g_autofree char *quoted = error_quote(other);
        return import_fail(&model, "converters", ERROR_UNMODELLED, error,
                           "%s is not modelled, only float8 is", quoted);
    }
    if (!enabled && !list_has(&model, "converters", "float8") &&
        !list_has(&model, "converters", "quantize.linear.float8"))
        return TRUE;
    return training_members_check(&torchtitan_float8_lists, &in, FALSE, import->warnings,
                                  error) &&
           import_key(import, &model, "converters", "training.precision", "fp8", error) &&
           import_filter(import, &in, error) && import_rows(import, &in, &row, 1, error);
}

/* ---- what is recomputed, what is compiled ---- */

/* The policy of single operations and every second block aren't what training.
 * activation_checkpointing = selective means (Korthikanti et al.: attention alone). */
static gboolean import_checkpointing(const Import *import, const JsonIn *top, GError **error)
{
    static const ImportWord modes[] = {{"none", "none"},
                                       {"full", "full"},
                                       {"selective", NULL},
                                       {"memory_budget", NULL},
                                       {NULL, NULL}};
    static const ImportRow row = {"mode", "training.activation_checkpointing", modes, NULL};
    JsonIn in;
    gboolean ok, has_mode;

    if (!json_in_object(top, "activation_checkpoint", FALSE, import->paths, &in, error))
        return FALSE;
    g_autofree char *option = import_text(&in, "selective_ac_option", &ok, error);
    if (!ok)
        return FALSE;
    g_autofree char *mode = import_text(&in, "mode", &has_mode, error);
    if (!has_mode)
        return FALSE;
    const gboolean selective = !mode || strcmp(mode, "selective") == 0;
    if (selective && g_strcmp0(option, "1") == 0)
        return import_key(import, &in, "selective_ac_option", row.key, "full", error);
    if (selective && !experiment_is_own(import->experiment, row.key))
        return import_fail(&in, "mode", ERROR_UNMODELLED, error,
                           "\"selective\"%s is not modelled; %s in the experiment replaces it: "
                           "none, selective (attention alone) or full",
                           mode ? "" : ", torchtitan's default,", row.key);
    return import_rows(import, &in, &row, 1, error);
}

/* [compile] since it is a section of its own: the model is one of its components. */
static gboolean import_compile(const Import *import, const JsonIn *top, GError **error)
{
    static const ImportRow old = {"compile", "training.compile", flags, NULL};
    JsonIn training, in;
    gboolean enabled = FALSE;

    if (!json_in_object(top, "training", FALSE, import->paths, &training, error) ||
        !import_rows(import, &training, &old, 1, error) ||
        !json_in_object(top, "compile", FALSE, import->paths, &in, error) ||
        !json_in_bool(&in, "enable", FALSE, &enabled, error))
        return FALSE;
    if (!json_in_has(&in, "enable"))
        return TRUE;
    enabled =
        enabled && (!json_in_has(&in, "components") || list_has(&in, "components", "model"));
    return import_key(import, &in, "enable", "training.compile", enabled ? "true" : "false",
                      error);
}

/* ---- parallelism ---- */

/* The section that has the degrees: [training] in older files. */
static gboolean read_degrees(const Import *import, const JsonIn *top, JsonIn *in,
                             gint64 *n_replicas, gint64 *n_shards, GError **error)
{
    const gint64 n_ranks = import->cluster->n_ranks;

    *n_replicas = 1;
    *n_shards = -1;
    if (!json_in_object(top, "training", FALSE, import->paths, in, error))
        return FALSE;
    if (!json_in_has(in, REPLICATE) && !json_in_has(in, SHARD) &&
        !json_in_object(top, "parallelism", FALSE, import->paths, in, error))
        return FALSE;
    if (!json_in_int(in, REPLICATE, FALSE, 1, DEGREE_MAX, n_replicas, error) ||
        !json_in_int(in, SHARD, FALSE, -1, DEGREE_MAX, n_shards, error))
        return FALSE;
    if (*n_shards == -1 && n_ranks % *n_replicas == 0)
        *n_shards = n_ranks / *n_replicas;
    if (*n_shards > 0 && *n_replicas * *n_shards == n_ranks)
        return TRUE;
    return import_fail(in, REPLICATE, ERROR_INPUT, error,
                       "%" G_GINT64_FORMAT " * " SHARD " %" G_GINT64_FORMAT
                       " must be the %" G_GINT64_FORMAT " ranks of cluster.nodes * "
                       "cluster.gpus_per_node (-1: whatever is left)",
                       *n_replicas, *n_shards, n_ranks);
}

/* [norm, output] are gathered once by default and kept to backward, as a root is, and resharded
 * only by "always"; embeddings are a unit of their own. */
static gboolean import_fsdp(const Import *import, const JsonIn *top, const JsonIn *in,
                            const char **strategy, GError **error)
{
    static const ImportWord policies[] = {
        {"default", "zero3"}, {"always", "zero3"}, {"never", "zero2"}, {NULL, NULL}};
    static const ImportRow row = {"fsdp_reshard_after_forward", "training.strategy", policies,
                                  "zero3"};
    static const ImportRow reduce = {"mixed_precision_reduce", "training.reduce_dtype",
                                     reduce_dtypes, "fp32"};
    JsonIn training, parallelism;
    gboolean ok;

    if (!json_in_object(top, "training", FALSE, import->paths, &training, error) ||
        !json_in_object(top, "parallelism", FALSE, import->paths, &parallelism, error) ||
        !import_rows(import, &training, &reduce, 1, error) ||
        !import_rows(import, &parallelism, &row, 1, error))
        return FALSE;
    *strategy = g_hash_table_lookup(import->experiment->imported, row.key);
    g_autofree char *policy = import_text(&parallelism, row.member, &ok, error);
    const gboolean always = g_strcmp0(policy, "always") == 0;
    return ok && import_key(import, in, SHARD, "fsdp.version", "2", error) &&
           import_key(import, &parallelism, row.member, "fsdp.wrap_names",
                      always ? "*embed_tokens;model.norm,lm_head" : "*embed_tokens", error);
}

/* replicate(bucket_cap_mb=100), and no no_sync() around micro-steps. */
static gboolean import_ddp(const Import *import, const JsonIn *in, GError **error)
{
    return import_key(import, in, REPLICATE, "ddp.bucket_cap_mb", "100", error) &&
           import_key(import, in, REPLICATE, "ddp.no_sync", "false", error);
}

static gboolean import_parallelism(const Import *import, const JsonIn *top, GError **error)
{
    JsonIn in;
    gint64 n_replicas, n_shards;
    const char *strategy = "ddp";

    if (!read_degrees(import, top, &in, &n_replicas, &n_shards, error) ||
        !import_ddp(import, &in, error))
        return FALSE;
    if ((n_shards > 1 || import->comparing) && !import_fsdp(import, top, &in, &strategy, error))
        return FALSE;
    g_autofree char *size = g_strdup_printf("%" G_GINT64_FORMAT, n_shards);
    if (n_replicas > 1 && n_shards > 1 &&
        !import_key(import, &in, SHARD, "fsdp.shard_group_size", size, error))
        return FALSE;
    g_autofree char *fixed = g_strdup(strategy);
    return (import->comparing ? import_key : import_fixed)(import, &in, SHARD,
                                                           "training.strategy", fixed, error);
}

/* ---- the whole file ---- */

/* -1 is the default: what the ranks do in one micro-step. */
static gboolean import_global_batch(const Import *import, const JsonIn *top, GError **error)
{
    static const ImportRow row = {"global_batch_size", "training.global_batch", NULL, NULL};
    JsonIn in;
    gint64 size = -1;

    if (!json_in_object(top, "training", FALSE, import->paths, &in, error) ||
        !json_in_int(&in, row.member, FALSE, -1, G_MAXINT64, &size, error))
        return FALSE;
    return size == -1 || import_rows(import, &in, &row, 1, error);
}

gboolean torchtitan_import(const Import *import, const char *file, GError **error)
{
    g_autoptr(json_t) document = toml_in_load(file, error);
    const JsonIn top = {document, file, ""};

    return document &&
           training_members_check(&torchtitan_lists, &top, FALSE, import->warnings, error) &&
           import_fixed(import, &top, "model", "training.framework", "pytorch", error) &&
           import_all_rows(import, &top, error) && import_global_batch(import, &top, error) &&
           import_model(import, &top, error) && import_float8(import, &top, error) &&
           import_checkpointing(import, &top, error) && import_compile(import, &top, error) &&
           import_parallelism(import, &top, error);
}
