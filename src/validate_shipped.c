/* SPDX-License-Identifier: MIT */
/* The shipped model that a row means: of the same name, or of the same family and size. What
 * the row says of the model's shape must not contradict it. */
#include "error.h"
#include "validate_case.h"

#include <math.h>
#include <string.h>

/* A size that is written "1.3B" is rounded by up to this much. */
#define SIZE_TOLERANCE 0.04

typedef struct {
    const ModelFacts *facts;
    const char *name; /* the row's, squashed */
    char *file;       /* best so far */
    double distance;  /* of its size from the row's; -1: it has the row's name */
} Search;

/* Other names of models that are shipped, squashed. */
static const struct {
    const char *name, *shipped;
} aliases[] = {
    {"llama7b", "llama27b"},
    {"llama13b", "llama213b"},
    {"llama3.18b", "llama38b"},
    {"llama3.170b", "llama370b"},
    {"llama3.370b", "llama370b"},
    {"codellama34b", "llama234b"},
    {"mistral7bv0.1", "mistral7b"},
    {"gpt2small", "gpt2"},
    {"nanogpt124m", "gpt2"},
    {"bertlargeuncased", "bertlarge"},
    {"bertbaseuncased", "bertbase"},
    {"vitlarge", "vitl16classifier"},
    {"vitl16", "vitl16classifier"},
    {"vitbase", "vitb16"},
    {"mixtral8x7bv0.1", "mixtral8x7b"},
    {"t5xxl", "t511b"},
};

static const char *alias_of(const char *squashed)
{
    for (gsize i = 0; i < G_N_ELEMENTS(aliases); i++)
        if (strcmp(aliases[i].name, squashed) == 0)
            return aliases[i].shipped;
    return squashed;
}

/* "Llama-2 7B" and "llama2-7b" are both "llama27b"; a point tells 1.3B from 13B. */
static char *name_squash(const char *text)
{
    GString *squashed = g_string_new(NULL);
    for (; *text != '\0'; text++)
        if (g_ascii_isalnum(*text) || *text == '.')
            g_string_append_c(squashed, g_ascii_tolower(*text));
    return g_string_free(squashed, FALSE);
}

/* Letters in front: the family. */
static gsize family_length(const char *squashed)
{
    gsize n = 0;
    while (g_ascii_isalpha(squashed[n]))
        n++;
    return n;
}

static gboolean same_family(const char *a, const char *b)
{
    const gsize n = family_length(a);
    return n > 0 && n == family_length(b) && strncmp(a, b, n) == 0;
}

/* T5's layers are counted in its encoder or in both. */
static gboolean fits(const ModelFacts *facts, const Model *model)
{
    return (facts->n_layer == 0 || facts->n_layer == model->n_blocks ||
            (strcmp(model->family, "t5") == 0 && 2 * facts->n_layer == model->n_blocks)) &&
           (facts->d_model == 0 || facts->d_model == model->hidden_size);
}

static void consider(Search *search, const char *shipped)
{
    const ModelOptions options = {.micro_batch = 1,
                                  .sequence_length = search->facts->sequence_length,
                                  .parameter = DTYPE_BF16,
                                  .compute = DTYPE_BF16,
                                  .attention = ATTENTION_SDPA,
                                  .dropout = 0};
    g_autofree char *name = name_squash(shipped);
    const gboolean named = strcmp(name, search->name) == 0;
    if (search->distance < 0 || (!named && !same_family(name, search->name)))
        return;
    g_autofree char *file = experiment_find_shipped(shipped, "models", NULL);
    g_autoptr(GPtrArray) ignored = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Model) model = model_load(file, &options, ignored, NULL);
    if (model == NULL || !fits(search->facts, model))
        return;
    const double size = search->facts->parameters;
    const double distance = named      ? -1
                            : size > 0 ? fabs(log((double)model->n_parameters / size))
                                       : INFINITY;
    if (distance >= search->distance)
        return;
    search->distance = distance;
    g_free(search->file);
    search->file = g_steal_pointer(&file);
}

char *validate_shipped_model(const ModelFacts *facts)
{
    g_autofree char *name = name_squash(facts->name);
    g_autoptr(GPtrArray) names = experiment_shipped_names("models");
    Search search = {.facts = facts, .name = alias_of(name), .distance = SIZE_TOLERANCE};
    for (guint i = 0; i < names->len; i++)
        consider(&search, names->pdata[i]);
    return search.file;
}
