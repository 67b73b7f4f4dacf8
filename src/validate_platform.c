/* SPDX-License-Identifier: MIT */
/* The platform that a row describes: a node type with the row's GPU, count and link rates. What
 * rows never say (latencies, switches, CPUs) is a preset's with the same chip. */
#include "error.h"
#include "validate_case.h"

#include <string.h>

/* A GPU's name as words: "A100-SXM4-80GB" is chip a100, form sxm4, memory 80gb. */
typedef struct {
    char *chip;
    int memory_gb; /* 0: not said */
    char **words;
} GpuName;

static void gpu_name_clear(GpuName *name)
{
    g_free(name->chip);
    g_strfreev(name->words);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GpuName, gpu_name_clear)

/* Words in front of a chip's name. */
static const char *const makers[] = {"nvidia", "tesla",  "amd", "intel", "instinct", "geforce",
                                     "rtx",    "quadro", "dgx", "hgx",   NULL};

static void gpu_name_parse(const char *text, GpuName *name)
{
    g_autofree char *lower = g_ascii_strdown(text, -1);
    g_autofree char *clean =
        g_strcanon(g_strdup(lower), "abcdefghijklmnopqrstuvwxyz0123456789", ' ');
    *name = (GpuName){.words = g_strsplit(clean, " ", -1)};
    for (char **word = name->words; *word != NULL; word++) {
        char *end;
        const guint64 number = g_ascii_strtoull(*word, &end, 10);
        const gboolean model = g_str_has_prefix(*word, "rtx") && g_ascii_isdigit((*word)[3]);
        if (end != *word && number < 10000 && (strcmp(end, "gb") == 0 || strcmp(end, "g") == 0))
            name->memory_gb = (int)number;
        else if (name->chip == NULL && **word != '\0' && !g_strv_contains(makers, *word))
            name->chip = g_strdup(model ? *word + strlen("rtx") : *word);
    }
    if (name->chip == NULL)
        name->chip = g_strdup("");
}

/* How well a profile fits a name; 0: not at all. Chip, then memory, then form. */
static int profile_score(const GpuName *wanted, const GpuName *profile)
{
    if (*profile->chip == '\0' || !g_str_has_prefix(wanted->chip, profile->chip))
        return 0;
    int score = 10000 * (int)strlen(profile->chip);
    if (wanted->memory_gb > 0) /* the nearest, else the smaller one */
        score += 5000 - MIN(10 * ABS(wanted->memory_gb - profile->memory_gb), 4900);
    for (char **word = profile->words; *word != NULL; word++) {
        if (g_strv_contains((const char *const *)wanted->words, *word))
            score += 4;
        else if (g_str_has_prefix(*word, "sxm")) /* what training clusters have */
            score += 2;
    }
    return score;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static GPtrArray *profile_names(void)
{
    g_autofree char *path = g_build_filename(experiment_data_dir(), "platforms", "gpus", NULL);
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    const char *file;
    while (directory != NULL && (file = g_dir_read_name(directory)) != NULL)
        if (g_str_has_suffix(file, ".json"))
            g_ptr_array_add(names, g_strndup(file, strlen(file) - strlen(".json")));
    g_ptr_array_sort(names, compare_names);
    return names;
}

char *validate_profile_find(const char *gpu, gboolean *exact, GError **error)
{
    g_auto(GpuName) wanted;
    gpu_name_parse(gpu, &wanted);
    g_autoptr(GPtrArray) names = profile_names();
    const char *best = NULL;
    int best_score = 0;
    for (guint i = 0; i < names->len; i++) {
        g_auto(GpuName) profile;
        gpu_name_parse(names->pdata[i], &profile);
        const int score = profile_score(&wanted, &profile);
        if (score <= best_score)
            continue;
        best_score = score;
        best = names->pdata[i];
        *exact =
            strcmp(profile.chip, wanted.chip) == 0 && wanted.memory_gb == profile.memory_gb;
    }
    if (best != NULL)
        return g_strdup(best);
    g_autofree char *quoted = error_quote(gpu);
    g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED, "there is no profile of the GPU %s",
                quoted);
    return NULL;
}

/* Whether `text` has `word` with no letter, digit or "-" beside it. */
static gboolean has_word(const char *text, const char *word)
{
    const gsize length = strlen(word);
    for (const char *at = text; (at = csv_text_find(at, word)) != NULL; at++) {
        const char before = at == text ? ' ' : at[-1], after = at[length];
        if (!g_ascii_isalnum(before) && !g_ascii_isalnum(after) && after != '-')
            return TRUE;
    }
    return FALSE;
}

/* Words of a row's network, and how the presets are named that have it. */
static const struct {
    const char *word, *prefix;
} fabrics[] = {{"EFA", "p"}, {"TCPXO", "a3-megagpu"}, {"TCPX", "a3-highgpu"}};

static gboolean has_fabric(const char *text, const char *preset)
{
    for (gsize i = 0; i < G_N_ELEMENTS(fabrics); i++)
        if (csv_text_find(text, fabrics[i].word) != NULL)
            return g_str_has_prefix(preset, fabrics[i].prefix);
    return FALSE;
}

/* How near a preset is: the chip must be the same; then one that the source names, its
 * network's kind, the node's size, the GPU's memory. */
static int preset_score(const NodeType *node, const GpuName *chip, const char *profile,
                        const PlatformFacts *facts)
{
    g_auto(GpuName) gpu;
    gpu_name_parse(node->gpu, &gpu);
    if (strcmp(gpu.chip, chip->chip) != 0)
        return 0;
    return 10 + (has_word(facts->source, node->name) ? 800 : 0) +
           (has_fabric(facts->source, node->name) ? 400 : 0) +
           (node->n_gpus == facts->gpus_per_node ? 200 : 0) +
           (strcmp(node->gpu, profile) == 0 ? 100 : 0) +
           (g_str_has_prefix(node->name, "dgx") ? 1 : 0);
}

/* Where no node has the chip, and for boards that sit in PCIe slots. */
#define PCIE_NODE "pcie-8xl40s"

static NodeType *preset_find(const char *profile, const PlatformFacts *facts, GError **error)
{
    g_auto(GpuName) chip;
    gpu_name_parse(profile, &chip);
    g_autoptr(GPtrArray) names = node_type_list();
    g_autoptr(NodeType) best = NULL;
    int best_score = 0;
    for (guint i = 0; i < names->len; i++) {
        g_autoptr(NodeType) node = node_type_load(names->pdata[i], NULL);
        const int score = node ? preset_score(node, &chip, profile, facts) : 0;
        if (score <= best_score)
            continue;
        best_score = score;
        g_clear_pointer(&best, node_type_free);
        best = g_steal_pointer(&node);
    }
    const gboolean slot = g_strv_contains((const char *const *)chip.words, "pcie") ||
                          g_strv_contains((const char *const *)chip.words, "nvl");
    if (best == NULL || (slot && best->nvlink != NVLINK_NONE)) {
        g_clear_pointer(&best, node_type_free);
        best = node_type_load(PCIE_NODE, error);
    }
    return g_steal_pointer(&best);
}

/* The preset's lines, some replaced. */
static gboolean node_file_write(const char *file, const NodeType *preset, GHashTable *replaced,
                                GError **error)
{
    g_autoptr(GString) text = g_string_new("[node]\n");
    for (guint i = 0; i < preset->facts->len; i++) {
        const NodeFact *fact = preset->facts->pdata[i];
        const char *value = g_hash_table_lookup(replaced, fact->key);
        g_string_append_printf(text, "%s = %s\n", fact->key, value ? value : fact->value);
    }
    g_autoptr(GError) cause = NULL;
    if (g_file_set_contents(file, text->str, -1, &cause))
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "%s", cause->message);
    return FALSE;
}

static void replace(GHashTable *replaced, const char *key, double value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    g_hash_table_insert(replaced, g_strdup(key),
                        g_strdup(g_ascii_formatd(text, sizeof text, "%.12g", value)));
}

/* The row's node: its own count of GPUs, and the rate that it names over the preset's NICs. A
 * larger preset keeps its count: fewer of its GPUs are used. */
static GHashTable *node_of_row(ValidateCase *c, const PlatformFacts *facts,
                               const NodeType *preset, const char *profile, int gpus_per_node,
                               GError **error)
{
    GHashTable *replaced = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    const gboolean several_nodes = facts->n_gpus > gpus_per_node;
    const int n_gpus = MAX(gpus_per_node, preset->n_gpus);
    g_hash_table_insert(replaced, g_strdup("gpu"), g_strdup(profile));
    replace(replaced, "n_gpus", n_gpus);
    if (n_gpus != preset->n_gpus && preset->nvlink == NVLINK_MESH) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                    "%d GPUs a node: the direct links of %s are known for its %d only", n_gpus,
                    preset->name, preset->n_gpus);
        g_hash_table_unref(replaced);
        return NULL;
    }
    if (facts->nic_bytes_per_s > 0) {
        const int n_nics = preset->n_nics > 0 ? preset->n_nics : n_gpus;
        replace(replaced, "n_nics", n_nics);
        replace(replaced, "nic_bytes_per_s", facts->nic_bytes_per_s * n_gpus / n_nics);
    } else if (several_nodes) {
        validate_case_assume(c, "network of %s", preset->name);
    }
    if (csv_text_find(facts->intra_node, "pcie") != NULL)
        replace(replaced, "nvlink_bytes_per_s", preset->pcie_bytes_per_s);
    else if (gpus_per_node > 1)
        validate_case_assume(c, "links inside a node of %s", preset->name);
    return replaced;
}

static void note_gpu(ValidateCase *c, const char *gpu, const char *profile, gboolean exact)
{
    Outcome *outcome = c->outcome;
    g_free(outcome->gpu);
    outcome->gpu = g_strdup(gpu);
    if (!exact)
        validate_case_assume(c, "GPU %s", profile);
}

gboolean validate_case_platform(ValidateCase *c, const PlatformFacts *facts, GError **error)
{
    gboolean exact = FALSE;
    note_gpu(c, facts->gpu, "", TRUE);
    g_autofree char *profile = validate_profile_find(facts->gpu, &exact, error);
    if (profile == NULL)
        return FALSE;
    note_gpu(c, facts->gpu, profile, exact);
    g_autoptr(NodeType) preset = preset_find(profile, facts, error);
    if (preset == NULL)
        return FALSE;
    int gpus_per_node = facts->gpus_per_node;
    if (gpus_per_node == 0) {
        gpus_per_node = preset->n_gpus;
        validate_case_assume(c, "%d GPUs a node", gpus_per_node);
    }
    const int used = MIN(gpus_per_node, facts->n_gpus);
    c->gpus_per_node = used;
    if (facts->n_gpus % used != 0) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                    "%d GPUs don't fill nodes of %d, and unequal nodes are not modelled",
                    facts->n_gpus, gpus_per_node);
        return FALSE;
    }
    /* Named like the preset: calibrations hold for platforms by name. */
    g_autofree char *base = g_strconcat(preset->name, ".conf", NULL);
    g_autofree char *file = g_build_filename(c->directory, base, NULL);
    g_autoptr(GHashTable) node = node_of_row(c, facts, preset, profile, gpus_per_node, error);
    return node != NULL && node_file_write(file, preset, node, error) &&
           validate_case_set(c, error, "cluster.platform=%s", file) &&
           validate_case_set(c, error, "cluster.nodes=%d", facts->n_gpus / used) &&
           validate_case_set(c, error, "cluster.gpus_per_node=%d", used);
}
