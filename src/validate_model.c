/* SPDX-License-Identifier: MIT */
/* A model file from a row's dimensions. The family is read from the model's name, else from
 * its shape; what a row leaves out is the family's usual value, and noted. */
#include "error.h"
#include "validate_case.h"
#include "validate_csv.h"
#include "validate_stand_in.h"

#include <string.h>

/* Members of a family's config.json: NULL where it has none. */
typedef struct {
    const char *model_type;
    const char *hidden, *layers, *heads, *kv_heads, *inner, *vocabulary, *positions;
    const char *extra;       /* further members, JSON */
    gint64 usual_vocabulary; /* of the family's first model, as trainers pad it */
    gint64 usual_positions;
} Family;

/* FAMILY_SHIPPED: what only a whole config.json says, so a shipped one is looked for. */
enum { FAMILY_LLAMA, FAMILY_GPT2, FAMILY_MPT, FAMILY_BERT, N_FAMILIES, FAMILY_SHIPPED };

static const Family families[N_FAMILIES] = {
    [FAMILY_LLAMA] = {"llama", "hidden_size", "num_hidden_layers", "num_attention_heads",
                      "num_key_value_heads", "intermediate_size", "vocab_size",
                      "max_position_embeddings", "{}", 32000, 4096},
    [FAMILY_GPT2] =
        {"gpt2", "n_embd", "n_layer", "n_head", NULL, "n_inner", "vocab_size", "n_positions",
         "{\"activation_function\": \"gelu\", \"embd_pdrop\": 0, \"attn_pdrop\": 0, "
         "\"resid_pdrop\": 0}",
         50304, 1024},
    [FAMILY_MPT] = {"mpt", "d_model", "n_layers", "n_heads", NULL, NULL, "vocab_size",
                    "max_seq_len", "{\"no_bias\": false, \"learned_pos_emb\": true}", 50368,
                    2048},
    [FAMILY_BERT] = {"bert", "hidden_size", "num_hidden_layers", "num_attention_heads", NULL,
                     "intermediate_size", "vocab_size", "max_position_embeddings", "{}", 30522,
                     512},
};

/* How names begin: the first that fits counts. */
static const struct {
    const char *prefix;
    int family;
} names[] = {
    {"llama", FAMILY_LLAMA},     {"tinyllama", FAMILY_LLAMA}, {"codellama", FAMILY_LLAMA},
    {"granite", FAMILY_LLAMA},   {"mistral", FAMILY_LLAMA},   {"yi-", FAMILY_LLAMA},
    {"qwen", FAMILY_SHIPPED},    {"gpt-neo", FAMILY_SHIPPED}, {"gptneo", FAMILY_SHIPPED},
    {"gpt-j", FAMILY_SHIPPED},   {"gptj", FAMILY_SHIPPED},    {"gpt", FAMILY_GPT2},
    {"megatron", FAMILY_GPT2},   {"opt", FAMILY_SHIPPED},     {"pythia", FAMILY_SHIPPED},
    {"bloom", FAMILY_SHIPPED},   {"falcon", FAMILY_SHIPPED},  {"mixtral", FAMILY_SHIPPED},
    {"gemma", FAMILY_SHIPPED},   {"phi", FAMILY_SHIPPED},     {"t5", FAMILY_SHIPPED},
    {"flan-t5", FAMILY_SHIPPED}, {"vit", FAMILY_SHIPPED},     {"roberta", FAMILY_SHIPPED},
    {"resnet", FAMILY_SHIPPED},  {"vgg", FAMILY_SHIPPED},     {"mpt", FAMILY_MPT},
    {"bert", FAMILY_BERT},
};

static int family_of_name(const char *name)
{
    g_autofree char *lower = g_ascii_strdown(name, -1);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        if (g_str_has_prefix(lower, names[i].prefix))
            return names[i].family;
    return -1;
}

char *validate_model_name(const char *text)
{
    static const char *const prefixes[] = {"meta-", "meta "};
    static const char *const suffixes[] = {"-hf"};
    const char *slash = strrchr(text, '/');
    if (slash != NULL &&
        (family_of_name(slash + 1) >= 0 || g_ascii_strncasecmp(slash, "/meta-", 6) == 0))
        text = slash + 1;
    for (gsize i = 0; i < G_N_ELEMENTS(prefixes); i++)
        if (g_ascii_strncasecmp(text, prefixes[i], strlen(prefixes[i])) == 0)
            text += strlen(prefixes[i]);
    char *name = g_strdup(text);
    for (gsize i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *lower = g_ascii_strdown(name, -1);
        if (g_str_has_suffix(lower, suffixes[i]))
            name[strlen(name) - strlen(suffixes[i])] = '\0';
    }
    return name;
}

static int family_of(ValidateCase *c, const ModelFacts *facts)
{
    const int named = family_of_name(facts->name);
    if (named >= 0 && named < N_FAMILIES)
        return named;
    const gboolean plain =
        facts->n_kv_head == facts->n_head && facts->d_ff == 4 * facts->d_model;
    const int family = plain ? FAMILY_GPT2 : FAMILY_LLAMA;
    validate_case_assume(c, "a %s-like model", families[family].model_type);
    return family;
}

static gboolean check_facts(const ModelFacts *facts, GError **error)
{
    const struct {
        const char *column;
        gint64 value;
    } needed[] = {
        {"n_layer", facts->n_layer}, {"d_model", facts->d_model}, {"n_head", facts->n_head}};
    for (gsize i = 0; i < G_N_ELEMENTS(needed); i++)
        if (needed[i].value < 1) {
            g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED, "the row has no %s",
                        needed[i].column);
            return FALSE;
        }
    return TRUE;
}

/* Takes the family's usual values where the row has none. */
static ModelFacts facts_complete(ValidateCase *c, const Family *family, const ModelFacts *facts)
{
    ModelFacts whole = *facts;
    if (whole.vocabulary == 0) {
        whole.vocabulary = family->usual_vocabulary;
        validate_case_assume(c, "vocabulary of %d", (int)whole.vocabulary);
    }
    if (whole.sequence_length == 0) {
        whole.sequence_length = family->usual_positions;
        validate_case_assume(c, "sequences of %d tokens", (int)whole.sequence_length);
    }
    if (whole.n_kv_head == 0)
        whole.n_kv_head = whole.n_head;
    if (whole.d_ff == 0) {
        const gboolean gated = strcmp(family->model_type, "llama") == 0;
        whole.d_ff = gated ? (whole.d_model * 8 / 3 + 255) / 256 * 256 : 4 * whole.d_model;
        validate_case_assume(c, gated ? "d_ff of 8/3 d_model" : "d_ff of 4 d_model");
    }
    return whole;
}

static json_t *config_build(const Family *family, const ModelFacts *facts, gboolean tied)
{
    json_t *config = json_loads(family->extra, 0, NULL);
    const struct {
        const char *member;
        gint64 value;
    } members[] = {
        {family->hidden, facts->d_model},
        {family->layers, facts->n_layer},
        {family->heads, facts->n_head},
        {family->kv_heads, facts->n_kv_head},
        {family->inner, facts->d_ff},
        {family->vocabulary, facts->vocabulary},
        {family->positions, facts->sequence_length},
    };
    json_object_set_new(config, "model_type", json_string(family->model_type));
    for (gsize i = 0; i < G_N_ELEMENTS(members); i++)
        if (members[i].member != NULL)
            json_object_set_new(config, members[i].member, json_integer(members[i].value));
    if (family->inner == NULL && facts->d_ff % facts->d_model == 0)
        json_object_set_new(config, "expansion_ratio",
                            json_integer(facts->d_ff / facts->d_model));
    if (tied)
        json_object_set_new(config, "tie_word_embeddings", json_true());
    return config;
}

static gboolean config_write(ValidateCase *c, const Family *family, const ModelFacts *facts,
                             gboolean tied, char **file, GError **error)
{
    g_autoptr(json_t) config = config_build(family, facts, tied);
    g_autofree char *base = g_strcanon(g_ascii_strdown(facts->name, -1),
                                       "abcdefghijklmnopqrstuvwxyz0123456789.-", '-');
    g_autofree char *name = g_strconcat("model-", base, ".json", NULL);
    *file = g_build_filename(c->directory, name, NULL);
    if (json_dump_file(config, *file, JSON_INDENT(2) | JSON_SORT_KEYS) == 0)
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "%s: could not be written", *file);
    return FALSE;
}

/* Parameters of the file as it is; 0 where it can't be read. */
static double config_parameters(const char *file, GError **error)
{
    const ModelOptions options = {.micro_batch = 1,
                                  .parameter = DTYPE_BF16,
                                  .compute = DTYPE_BF16,
                                  .attention = ATTENTION_SDPA,
                                  .dropout = 0};
    g_autoptr(GPtrArray) ignored = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Model) model = model_load(file, &options, ignored, error);
    return model == NULL ? 0 : (double)model->n_parameters;
}

/* A row's parameter count tells whether a Llama ties its embeddings; a count that is off by
 * more than 2 % either way is noted. */
static gboolean config_fit(ValidateCase *c, const Family *family, const ModelFacts *facts,
                           char **file, GError **error)
{
    if (!config_write(c, family, facts, FALSE, file, error))
        return FALSE;
    const double untied = config_parameters(*file, error);
    if (untied == 0)
        return FALSE;
    c->outcome->parameters = untied;
    if (facts->parameters == 0)
        return TRUE;
    const double embedding = (double)facts->vocabulary * (double)facts->d_model;
    double off = untied / facts->parameters - 1;
    if (strcmp(family->model_type, "llama") == 0 &&
        ABS((untied - embedding) / facts->parameters - 1) < ABS(off)) {
        g_clear_pointer(file, g_free);
        if (!config_write(c, family, facts, TRUE, file, error))
            return FALSE;
        c->outcome->parameters = untied - embedding;
        off = c->outcome->parameters / facts->parameters - 1;
    }
    if (ABS(off) > 0.02)
        validate_case_assume(c, "%.1f %% %s parameters than the row says", 100 * ABS(off),
                             off > 0 ? "more" : "fewer");
    return TRUE;
}

/* A row without dimensions means a model that everybody knows, and so does one of a family
 * whose dimensions don't say all. */
static char *shipped_file(const ModelFacts *facts)
{
    const gboolean has_dimensions =
        check_facts(facts, NULL) &&
        (facts->d_ff > 0 || family_of_name(facts->name) != FAMILY_LLAMA);
    if (has_dimensions && family_of_name(facts->name) != FAMILY_SHIPPED)
        return NULL;
    return validate_shipped_model(facts);
}

/* Longer than this, a model's maximum isn't what people train with. */
#define USUAL_SEQUENCE 4096

/* Where the row doesn't say; a picture's number of patches is its model's. */
static gint64 sequence_of_shipped(ValidateCase *c, const char *file)
{
    const ModelOptions options = {.micro_batch = 1,
                                  .parameter = DTYPE_BF16,
                                  .compute = DTYPE_BF16,
                                  .attention = ATTENTION_SDPA,
                                  .dropout = 0};
    g_autoptr(GPtrArray) ignored = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Model) model = model_load(file, &options, ignored, NULL);
    const gint64 length = model == NULL ? 0 : MIN(model->sequence_length, USUAL_SEQUENCE);
    if (length > 1)
        validate_case_assume(c, "sequences of %d tokens", (int)length);
    return model != NULL && length < model->sequence_length ? length : 0;
}

/* "13B" at the end of a word of the name; 0: none. */
static double size_in_name(const char *name)
{
    g_autoptr(GRegex) regex =
        g_regex_new("([0-9.]+) ?([MBT])(?![a-z])", G_REGEX_CASELESS, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;
    if (!g_regex_match(regex, name, 0, &match))
        return 0;
    g_autofree char *number = g_match_info_fetch(match, 1);
    g_autofree char *unit = g_match_info_fetch(match, 2);
    const char of = g_ascii_toupper(*unit);
    return g_ascii_strtod(number, NULL) * (of == 'M' ? 1e6 : of == 'B' ? 1e9 : 1e12);
}

/* A language model whose row gives its size and no shape: its products are nearly those of any
 * other of that size. Not so for pictures, encoders with decoders, experts. */
static gboolean stand_in_facts(ValidateCase *c, const ModelFacts *facts, ModelFacts *whole)
{
    static const char *const others[] = {"vit",  "resnet",    "vgg",      "t5",   "moe",
                                         "x7b",  "x22b",      "deepseek", "dbrx", "grok",
                                         "swin", "diffusion", "unet"};
    const double size = facts->parameters > 0 ? facts->parameters : size_in_name(facts->name);
    if (size < 1e7 || facts->n_layer > 0 || facts->d_model > 0)
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++)
        if (csv_text_find(facts->name, others[i]) != NULL)
            return FALSE;
    *whole = stand_in_model(size, facts->sequence_length);
    whole->parameters = size;
    whole->vocabulary = facts->vocabulary;
    validate_case_assume(c, "a GPT-2 of about as many parameters");
    return TRUE;
}

/* Sets model.* to a shipped file. */
static gboolean shipped_set(ValidateCase *c, const ModelFacts *facts, const char *file,
                            GError **error)
{
    g_autofree char *base = g_path_get_basename(file);
    base[strlen(base) - strlen(".json")] = '\0';
    validate_case_assume(c, "the shipped model %s", base);
    if (facts->parameters > 0)
        c->outcome->parameters = facts->parameters;
    const gint64 length =
        facts->sequence_length > 0 ? facts->sequence_length : sequence_of_shipped(c, file);
    return validate_case_set(c, error, "model.config=%s", file) &&
           (length == 0 ||
            validate_case_set(c, error, "model.sequence_length=%d", (int)length));
}

gboolean validate_case_model(ValidateCase *c, const ModelFacts *facts, GError **error)
{
    g_autofree char *shipped = shipped_file(facts);
    if (shipped != NULL)
        return shipped_set(c, facts, shipped, error);
    ModelFacts stand_in;
    if (stand_in_facts(c, facts, &stand_in))
        facts = &stand_in;
    if (!check_facts(facts, error))
        return FALSE;
    const Family *family = &families[family_of(c, facts)];
    const ModelFacts whole = facts_complete(c, family, facts);
    g_autofree char *file = NULL;
    g_autoptr(GError) cause = NULL;
    if (!config_fit(c, family, &whole, &file, &cause)) {
        if (family != &families[FAMILY_MPT]) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return FALSE;
        }
        /* the same layers under GPT-2's names */
        g_clear_pointer(&file, g_free);
        validate_case_assume(c, "MPT as GPT-2");
        if (!config_fit(c, &families[FAMILY_GPT2], &whole, &file, error))
            return FALSE;
    }
    return validate_case_set(c, error, "model.config=%s", file) &&
           validate_case_set(c, error, "model.sequence_length=%d", (int)whole.sequence_length);
}
