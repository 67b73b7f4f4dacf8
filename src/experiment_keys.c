/* SPDX-License-Identifier: MIT */
/* The one table of keys that an experiment may set, and the check of a value's text against
 * its row. Where the text came from (file, line, override) is experiment.c's business. */
#include "experiment_keys.h"

#include "error.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define MAX_BATCH 1048576.0
#define MAX_BYTES 1125899906842624.0 /* 1 PiB */
#define MAX_RATE 1e15

#define DTYPES "fp32|bf16|fp16"
#define PRECISIONS "fp32|bf16|fp16|autocast-bf16|autocast-fp16|fp8"
#define OPTIMIZERS "sgd|momentum|adagrad|rmsprop|adam|adamw|lamb|adafactor|lion|adam8bit"
#define ALGORITHMS "auto|ring|tree|collnet-direct|collnet-chain|nvls|nvls-tree|pat"

/* clang-format off */
const ExperimentKey experiment_keys[] = {
    /* section, key, type, choices, minimum, maximum, default, help */
    {"model", "config", KEY_PATH, NULL, 0, 0, NULL, "Hugging Face config.json of the model, or a shipped model's name"},
    {"model", "sequence_length", KEY_INT, NULL, 1, 1 << 30, NULL, "tokens a sequence (default: the model's maximum)"},

    {"training", "framework", KEY_CHOICE, "pytorch|deepspeed|paper", 0, 0, "pytorch", "whose schedule is simulated"},
    {"training", "strategy", KEY_CHOICE, "ddp|zero1|zero2|zero3", 0, 0, NULL, "what is sharded (default: the stage of deepspeed_config)"},
    {"training", "micro_batch", KEY_INT_OR_AUTO, NULL, 1, MAX_BATCH, "1", "sequences a rank and micro-step; auto: the largest that fits"},
    {"training", "gradient_accumulation", KEY_INT, NULL, 1, 4096, "1", "micro-steps a step"},
    {"training", "global_batch", KEY_INT, NULL, 1, MAX_BATCH * MAX_BATCH, NULL, "sequences a step of all ranks (default: derived)"},
    {"training", "precision", KEY_CHOICE, PRECISIONS, 0, 0, NULL, "of parameters, gradients and compute (default: deepspeed_config's, fp32; paper: bf16)"},
    {"training", "compile", KEY_BOOL, NULL, 0, 0, "false", "torch.compile"},
    {"training", "deepspeed_config", KEY_PATH, NULL, 0, 0, NULL, "ds_config.json, read as it is, or a shipped one's name"},
    {"training", "accelerate_config", KEY_PATH, NULL, 0, 0, NULL, "YAML file of Hugging Face accelerate, read as it is"},
    {"training", "torchtitan_config", KEY_PATH, NULL, 0, 0, NULL, "TOML job file of torchtitan, read as it is"},
    {"training", "optimizer", KEY_CHOICE, OPTIMIZERS, 0, 0, "adamw", "optimizer (default: deepspeed_config's, adamw)"},
    {"training", "optimizer_implementation", KEY_CHOICE, "fused|foreach|loop", 0, 0, NULL, "default: pytorch foreach, deepspeed and paper fused"},
    {"training", "activation_checkpointing", KEY_CHOICE, "none|selective|full", 0, 0, "none", "what backward recomputes"},
    {"training", "checkpointing_early_stop", KEY_BOOL, NULL, 0, 0, NULL, "recomputing a block ends with what backward needs (default: pytorch true, as since 2.1; others false)"},
    {"training", "fp8_except", KEY_STRING, NULL, 0, 0, NULL, "precision = fp8: linear layers that stay in 16 bits, by name, * allowed: \"lm_head,*.k_proj\""},
    {"training", "attention", KEY_CHOICE, "eager|sdpa|flash2|cudnn|flash1|sdpa-repeat", 0, 0, "sdpa", "attention implementation; sdpa as transformers since 4.56 calls it, sdpa-repeat as before: keys and values repeated for every head, queries and the output copied"},
    {"training", "gradient_clipping", KEY_DOUBLE, NULL, 0, 1e9, "0", "largest gradient norm; 0: none"},
    {"training", "reduce_dtype", KEY_CHOICE, DTYPES, 0, 0, NULL, "of gradients on the wire (FSDP, DeepSpeed; default: the compute type)"},
    {"training", "dropout", KEY_DOUBLE, NULL, 0, 1, NULL, "probability (default: the model's)"},
    {"training", "weight_decay", KEY_DOUBLE, NULL, 0, 1e6, NULL, "default: adamw 0.01, others 0"},

    {"cluster", "platform", KEY_NAME_OR_PATH, NULL, 0, 0, NULL, "node preset of `zerosim platform --list`, or several: 2*dgx-h100+2*p4d"},
    {"cluster", "nodes", KEY_INT, NULL, 1, 1048576, "1", "nodes"},
    {"cluster", "gpus_per_node", KEY_INT, NULL, 1, 1024, NULL, "GPUs used of each node (default: all)"},
    {"cluster", "oversubscription", KEY_DOUBLE, NULL, 1, 1000, "1", "leaf capacity down over up"},
    {"cluster", "spine_oversubscription", KEY_DOUBLE, NULL, 1, 1000, "1", "the same of a pod of fat-tree-3"},
    {"cluster", "ecmp_efficiency", KEY_DOUBLE, NULL, 0.01, 1, "1", "part of its uplinks that flows hashed to cables get, a level"},
    {"cluster", "fabric", KEY_CHOICE, "rail|fat-tree|fat-tree-3|dragonfly|torus", 0, 0, "rail", "how NICs meet leaves, or each other"},
    {"cluster", "topology", KEY_STRING, NULL, 0, 0, NULL, "torus: 4,4,2 NICs; dragonfly: groups, chassis, routers, each with links between two, and NICs: 2,1;2,1;2,1;4"},
    {"cluster", "nic_bytes_per_s", KEY_DOUBLE, NULL, 1, MAX_RATE, NULL, "one direction of a NIC (default: the preset's)"},
    {"cluster", "nvlink_bytes_per_s", KEY_DOUBLE, NULL, 1, MAX_RATE, NULL, "one direction of a GPU (default: the preset's)"},
    {"cluster", "gpu_spread", KEY_DOUBLE, NULL, 0, 1, NULL, "standard deviation of equal GPUs' times, of which the slowest sets the pace (default: 0.015)"},
    {"cluster", "xml", KEY_PATH, NULL, 0, 0, NULL, "SimGrid platform; replaces the other cluster keys"},

    {"gpu", "profile", KEY_NAME_OR_PATH, NULL, 0, 0, NULL, "kernel times of every GPU (default: of each kind of GPU in the platform its own)"},
    {"gpu", "overlay", KEY_PATH, NULL, 0, 0, NULL, "profile or PyTorch trace whose kernels win over gpu.profile's"},

    {"nccl", "algorithm", KEY_CHOICE, ALGORITHMS, 0, 0, "auto", "of collectives that it can run; of others a warning"},
    {"nccl", "protocol", KEY_CHOICE, "auto|ll|ll128|simple", 0, 0, "auto", "of every collective"},
    {"nccl", "channels", KEY_INT_OR_AUTO, NULL, 1, 64, "auto", "channels of every collective"},
    {"nccl", "collnet", KEY_BOOL, NULL, 0, 0, "false", "the network's switches reduce (SHARP)"},
    {"nccl", "version", KEY_STRING, NULL, 0, 0, "2.30", "NCCL release whose choice of algorithms it is, 2.4 or later"},
    {"nccl", "calibration", KEY_NAME_OR_PATH, NULL, 0, 0, "auto", "fitted constants; none: NCCL's own model"},

    {"ddp", "bucket_cap_mb", KEY_DOUBLE, NULL, 1e-6, 1e9, "25", "MiB of a gradient bucket"},
    {"ddp", "first_bucket_bytes", KEY_INT, NULL, 1, MAX_BYTES, NULL, "default: 1 MiB when bucket_cap_mb is the default, else the cap"},
    {"ddp", "gradient_as_bucket_view", KEY_BOOL, NULL, 0, 0, "false", "gradients are views into the buckets"},
    {"ddp", "broadcast_buffers", KEY_BOOL, NULL, 0, 0, "true", "buffers are broadcast before each forward"},
    {"ddp", "no_sync", KEY_BOOL, NULL, 0, 0, "true", "only the last micro-step reduces"},
    {"ddp", "parameters_as_bucket_view", KEY_BOOL, NULL, 0, 0, "false", "ZeroRedundancyOptimizer: one flat broadcast a rank"},

    {"ddp", "comm_hook", KEY_CHOICE, "none|bf16_compress|fp16_compress|powerSGD|batched_powerSGD|post_localSGD", 0, 0, "none", "what a bucket becomes on the wire"},
    {"ddp", "matrix_approximation_rank", KEY_INT, NULL, 1, 1e6, "1", "PowerSGD: columns of a matrix's two factors"},
    {"ddp", "min_compression_rate", KEY_DOUBLE, NULL, 0, 1e9, "2", "PowerSGD: smaller savings aren't made"},
    {"ddp", "start_powerSGD_iter", KEY_INT, NULL, 0, MAX_BYTES, "1000", "PowerSGD begins then; results are of steps after that"},
    {"ddp", "use_error_feedback", KEY_BOOL, NULL, 0, 0, "true", "PowerSGD: what compression loses is added to the next gradients"},
    {"ddp", "warm_start", KEY_BOOL, NULL, 0, 0, "true", "PowerSGD: factors start from the last step's"},
    {"ddp", "static_graph", KEY_BOOL, NULL, 0, 0, "false", "the graph never changes"},
    {"ddp", "find_unused_parameters", KEY_BOOL, NULL, 0, 0, "false", "no bucket rebuild; a bitmap is reduced"},
    {"ddp", "mixed_precision", KEY_CHOICE, "none|bf16|fp16", 0, 0, "none", "native mixed precision: param_dtype"},
    {"fsdp", "version", KEY_CHOICE, "2|1", 0, 0, "2", "fully_shard (2) or FullyShardedDataParallel (1)"},
    {"fsdp", "reshard_after_forward", KEY_INT_OR_BOOL, NULL, 1, 1e6, NULL, "after forward: true reshards, false keeps, an integer (FSDP2) reshards to groups of that many ranks; default: zero3 true, zero2 false"},
    {"fsdp", "sync_every_micro_step", KEY_BOOL, NULL, 0, 0, "true", "reduce-scatter in each micro-step"},
    {"fsdp", "backward_prefetch_units", KEY_INT, NULL, 0, 1000, "1", "FSDP2: units gathered ahead in backward"},
    {"fsdp", "forward_prefetch_units", KEY_INT, NULL, 1, 1000, "1", "FSDP2: units the host runs ahead in forward"},
    {"fsdp", "backward_prefetch", KEY_CHOICE, "pre|post|none", 0, 0, "pre", "FSDP1: BACKWARD_PRE, BACKWARD_POST or None"},
    {"fsdp", "forward_prefetch", KEY_BOOL, NULL, 0, 0, "false", "FSDP1: gather the next unit before this forward"},
    {"fsdp", "limit_all_gathers", KEY_BOOL, NULL, 0, 0, "true", "FSDP1: the host waits before a third all-gather"},
    {"fsdp", "wrap", KEY_CHOICE, "block|size|none", 0, 0, "block", "units: each transformer block, by size, or the root alone"},
    {"fsdp", "wrap_min_numel", KEY_INT, NULL, 1, 1e15, "100000000", "wrap = size: parameters that make a module a unit"},
    {"fsdp", "wrap_names", KEY_STRING, NULL, 0, 0, NULL, "further units by layer name, * allowed: \"lm_head,*norm;*embed*\""},
    {"fsdp", "shard_group_size", KEY_INT, NULL, 0, 1e6, "0", "hybrid sharding: ranks that share one set of shards; 0: all"},
    {"fsdp", "all_reduce_every_micro_step", KEY_BOOL, NULL, 0, 0, "true", "hybrid sharding: replicas agree in each micro-step"},
    {"fsdp", "fp8_all_gather", KEY_BOOL, NULL, 0, 0, "false", "parameters are gathered in fp8"},

    {"deepspeed", "leaf_modules", KEY_CHOICE, "layer|block", 0, 0, "layer", "ZeRO-3 fetches each layer, or each block as a leaf module"},
    {"deepspeed", "version", KEY_STRING, NULL, 0, 0, "0.19.6", "DeepSpeed release, 0.12.4 or later; any other key is a member of ds_config.json"},
};
/* clang-format on */

const int experiment_n_keys = G_N_ELEMENTS(experiment_keys);

const ExperimentKey *experiment_key_lookup(const char *section, const char *key)
{
    for (int i = 0; i < experiment_n_keys; i++)
        if (strcmp(experiment_keys[i].section, section) == 0 &&
            strcmp(experiment_keys[i].key, key) == 0)
            return &experiment_keys[i];
    return NULL;
}

gboolean experiment_key_is_section(const char *section)
{
    for (int i = 0; i < experiment_n_keys; i++)
        if (strcmp(experiment_keys[i].section, section) == 0)
            return TRUE;
    return FALSE;
}

char *experiment_key_suggestion(const char *section, const char *key)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    for (int i = 0; i < experiment_n_keys; i++)
        g_ptr_array_add(
            names, g_strconcat(experiment_keys[i].section, ".", experiment_keys[i].key, NULL));
    g_ptr_array_add(names, NULL);

    g_autofree char *wanted = g_strconcat(section, ".", key, NULL);
    const char *nearest = error_nearest(wanted, (const char *const *)names->pdata);
    if (nearest)
        return g_strdup_printf("did you mean %s?", nearest);
    return g_strdup("sections are model, training, cluster, gpu, nccl, ddp, fsdp, deepspeed");
}

int experiment_key_choice(const char *choices, const char *text)
{
    g_auto(GStrv) list = g_strsplit(choices, "|", -1);
    for (int i = 0; list[i]; i++)
        if (strcmp(list[i], text) == 0)
            return i;
    return -1;
}

gboolean experiment_key_is_path(const ExperimentKey *key, const char *text)
{
    if (key->type == KEY_NAME_OR_PATH)
        return strchr(text, '/') || g_str_has_suffix(text, ".json") ||
               g_str_has_suffix(text, ".conf");
    return key->type == KEY_PATH;
}

static gboolean fail(GError **error, const char *text, const char *must)
{
    g_autofree char *quoted = error_quote(text);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "must be %s, not %s", must, quoted);
    return FALSE;
}

static gboolean check_choice(const ExperimentKey *key, const char *text, GError **error)
{
    if (experiment_key_choice(key->choices, text) >= 0)
        return TRUE;
    g_auto(GStrv) list = g_strsplit(key->choices, "|", -1);
    const char *nearest = error_nearest(text, (const char *const *)list);
    g_autofree char *all = g_strjoinv(", ", list);
    g_autofree char *must = g_strconcat("one of ", all, NULL);
    if (!nearest)
        return fail(error, text, must);
    g_autofree char *quoted = error_quote(text);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "must be %s, not %s: did you mean %s?", must,
                quoted, nearest);
    return FALSE;
}

static const char *word_instead(const ExperimentKey *key)
{
    if (key->type == KEY_INT_OR_AUTO)
        return " or auto";
    return key->type == KEY_INT_OR_BOOL ? ", true or false" : "";
}

static gboolean is_bool(const char *text)
{
    return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
}

/* The whole text must be the number: "3 # c", "0x10", "1e999" and "nan" are not. */
static gboolean check_number(const ExperimentKey *key, const char *text, GError **error)
{
    const gboolean whole = key->type != KEY_DOUBLE;
    const char *allowed = whole ? "+-0123456789" : "+-.0123456789eE";
    g_autofree char *must =
        g_strdup_printf("%s from %.15g to %.15g%s", whole ? "an integer" : "a number",
                        key->minimum, key->maximum, word_instead(key));
    char *end = NULL;
    double number;

    if ((key->type == KEY_INT_OR_AUTO && strcmp(text, "auto") == 0) ||
        (key->type == KEY_INT_OR_BOOL && is_bool(text)))
        return TRUE;
    if (!text[0] || text[strspn(text, allowed)])
        return fail(error, text, must);
    errno = 0;
    if (whole)
        number = (double)g_ascii_strtoll(text, &end, 10);
    else
        number = g_ascii_strtod(text, &end);
    /* Underflow to zero is a mistake too: nobody means a rate of 1e-999. */
    if (*end || errno || !isfinite(number) || number < key->minimum || number > key->maximum)
        return fail(error, text, must);
    return TRUE;
}

gboolean experiment_key_check(const ExperimentKey *key, const char *text, GError **error)
{
    switch (key->type) {
    case KEY_STRING:
    case KEY_PATH:
    case KEY_NAME_OR_PATH:
        return text[0] ? TRUE : fail(error, text, "some text");
    case KEY_CHOICE:
        return check_choice(key, text, error);
    case KEY_INT:
    case KEY_INT_OR_AUTO:
    case KEY_INT_OR_BOOL:
    case KEY_DOUBLE:
        return check_number(key, text, error);
    case KEY_BOOL:
        return is_bool(text) || fail(error, text, "true or false");
    }
    g_assert_not_reached();
}
