/* SPDX-License-Identifier: MIT */
/* Which unit of FSDP each layer belongs to: the root, a transformer block, a module that is
 * large enough by itself (size_based_auto_wrap_policy in torch/distributed/fsdp/wrap.py), or a
 * group of layers that the user names. */
#include "step_fsdp.h"

#include <string.h>

#define ROOT "root"

/* Uses of each parameter: one that two layers share stays with the root, which is there for
 * both. */
static int *uses_count(const Model *model)
{
    int *uses = g_new0(int, model->parameters->len + 1);

    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        for (int j = 0; j < layer->n_parameters; j++)
            uses[layer->parameters[j]]++;
    }
    return uses;
}

static gint64 own_numel(const Model *model, const Layer *layer)
{
    gint64 numel = 0;

    for (int j = 0; j < layer->n_parameters; j++)
        numel += model_parameter(model, layer->parameters[j])->numel;
    return numel;
}

static gboolean shares_parameters(const Layer *layer, const int *uses)
{
    for (int j = 0; j < layer->n_parameters; j++)
        if (uses[layer->parameters[j]] > 1)
            return TRUE;
    return FALSE;
}

/* The first of the groups "a,b;c" with a pattern that matches; NULL. */
static char *named_group(const char *groups, const char *layer)
{
    g_auto(GStrv) list = g_strsplit(groups ? groups : "", ";", -1);

    for (int g = 0; list[g]; g++) {
        g_auto(GStrv) patterns = g_strsplit(list[g], ",", -1);
        for (int i = 0; patterns[i]; i++)
            if (g_pattern_match_simple(g_strstrip(patterns[i]), layer))
                return g_strdup(list[g]);
    }
    return NULL;
}

/* What is left of a block when its large layers are units of their own. */
static gint64 block_remainder(const Model *model, int block, gint64 min_numel)
{
    gint64 numel = 0;

    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        gint64 own = own_numel(model, layer);
        if (layer->block == block && own < min_numel)
            numel += own;
    }
    return numel;
}

static char *unit_name(const Model *model, const FsdpKnobs *knobs, const Layer *layer,
                       const int *uses)
{
    gboolean inside = layer->block >= 0 && layer->block < model->n_blocks;
    char *named = layer->n_parameters > 0 && !shares_parameters(layer, uses)
                      ? named_group(knobs->wrap_names, layer->name)
                      : NULL;

    if (named)
        return named;
    if (knobs->wrap == WRAP_SIZE) {
        if (own_numel(model, layer) >= knobs->wrap_min_numel && !shares_parameters(layer, uses))
            return g_strdup(layer->name);
        if (!inside ||
            block_remainder(model, layer->block, knobs->wrap_min_numel) < knobs->wrap_min_numel)
            return g_strdup(ROOT);
    }
    return inside && knobs->wrap != WRAP_NONE ? g_strdup_printf("block %d", layer->block)
                                              : g_strdup(ROOT);
}

char **fsdp_wrap(const Model *model, const FsdpKnobs *knobs)
{
    char **names = g_new0(char *, model->layers->len + 1);
    g_autofree int *uses = uses_count(model);

    for (guint i = 0; i < model->layers->len; i++)
        names[i] = unit_name(model, knobs, model_layer(model, (int)i), uses);
    return names;
}
