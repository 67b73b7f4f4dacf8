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

static void consider(Search *search, const char *directory, const char *entry)
{
    const ModelOptions options = {.micro_batch = 1,
                                  .sequence_length = search->facts->sequence_length,
                                  .parameter = DTYPE_BF16,
                                  .compute = DTYPE_BF16,
                                  .attention = ATTENTION_SDPA,
                                  .dropout = 0};
    g_autofree char *stem = g_strndup(entry, strlen(entry) - strlen(".json"));
    g_autofree char *name = name_squash(stem);
    const gboolean named = strcmp(name, search->name) == 0;
    if (search->distance < 0 || (!named && !same_family(name, search->name)))
        return;
    g_autofree char *file = g_build_filename(directory, entry, NULL);
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

static int compare_entries(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *validate_shipped_model(const ModelFacts *facts)
{
    g_autofree char *path =
        g_build_filename(experiment_data_dir(), "workloads", "models", NULL);
    g_autofree char *name = name_squash(facts->name);
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func(g_free);
    Search search = {.facts = facts, .name = name, .distance = SIZE_TOLERANCE};
    const char *entry;
    while (directory != NULL && (entry = g_dir_read_name(directory)) != NULL)
        if (g_str_has_suffix(entry, ".json"))
            g_ptr_array_add(entries, g_strdup(entry));
    g_ptr_array_sort(entries, compare_entries);
    for (guint i = 0; i < entries->len; i++)
        consider(&search, path, entries->pdata[i]);
    return search.file;
}
