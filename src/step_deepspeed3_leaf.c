/* SPDX-License-Identifier: MIT */
/* stage3_module_granularity_threshold: which modules ZeRO-3 fetches whole because they hold few
 * parameters a submodule. The tree of modules is read off the layers' names: a submodule called
 * by a number is in a container. Source: deepspeed/runtime/zero/parameter_offload.py
 * (_get_granularity_recursively, _set_leaf_by_threshold_preorder). */
#include "step_deepspeed3.h"

#define Z3_MAX_LEAF_SIZE 1000000000 /* there: larger modules are never leaves */

typedef struct {
    gint64 numel;      /* of its parameters; tied ones count where they stand */
    int n_modules;     /* itself and those inside that hold parameters, without containers */
    gboolean contains; /* has submodules */
    gboolean container;
} TreeModule;

static gboolean is_number(const char *component)
{
    return component && g_ascii_isdigit(component[0]);
}

/* "a.b.c" in `components`; the path of the first `depth` of them. The root is "". */
static char *path_of(char **components, guint depth)
{
    g_autoptr(GString) path = g_string_new(NULL);

    for (guint i = 0; i < depth; i++)
        g_string_append_printf(path, "%s%s", i ? "." : "", components[i]);
    return g_string_free(g_steal_pointer(&path), FALSE);
}

static TreeModule *module_ensure(GHashTable *tree, char **components, guint depth,
                                 gboolean *is_new)
{
    char *path = path_of(components, depth);
    TreeModule *module = g_hash_table_lookup(tree, path);

    *is_new = module == NULL;
    if (module) {
        g_free(path);
        return module;
    }
    module = g_new0(TreeModule, 1);
    module->container = is_number(components[depth]);
    g_hash_table_insert(tree, path, module);
    return module;
}

static void layer_insert(GHashTable *tree, const Model *model, const Layer *layer)
{
    g_auto(GStrv) components = g_strsplit(layer->name, ".", -1);
    const guint n = g_strv_length(components);
    gint64 numel = 0;
    int n_new = 0;

    for (int i = 0; i < layer->n_parameters; i++)
        numel += model_parameter(model, layer->parameters[i])->numel;
    /* From the layer up, so that each module counts the new ones inside it. */
    for (guint depth = n + 1; depth-- > 0;) {
        gboolean is_new;
        TreeModule *module = module_ensure(tree, components, depth, &is_new);
        n_new += is_new && !module->container;
        module->numel += numel;
        module->n_modules += n_new;
        module->contains = module->contains || depth < n;
    }
}

static gboolean is_leaf(const TreeModule *module, gint64 threshold)
{
    return module && module->contains && !module->container &&
           module->numel <= Z3_MAX_LEAF_SIZE && module->numel / module->n_modules <= threshold;
}

/* The outermost module around the layer that is a leaf; NULL: none. */
static const TreeModule *leaf_around(GHashTable *tree, const Layer *layer, gint64 threshold)
{
    g_auto(GStrv) components = g_strsplit(layer->name, ".", -1);

    for (guint depth = 0; depth <= g_strv_length(components); depth++) {
        g_autofree char *path = path_of(components, depth);
        const TreeModule *module = g_hash_table_lookup(tree, path);
        if (is_leaf(module, threshold))
            return module;
    }
    return NULL;
}

int *zero3_leaf_modules(const Model *model, gint64 threshold)
{
    int *leaf = g_new(int, model->layers->len + 1);
    g_autoptr(GHashTable) tree = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    const TreeModule *last = NULL;
    int key = model->n_blocks; /* below are the keys of blocks */

    for (guint i = 0; i < model->layers->len && threshold > 0; i++)
        if (model_layer(model, (int)i)->n_parameters > 0)
            layer_insert(tree, model, model_layer(model, (int)i));
    for (guint i = 0; i < model->layers->len; i++) {
        const TreeModule *module =
            threshold > 0 ? leaf_around(tree, model_layer(model, (int)i), threshold) : NULL;
        key += module != last;
        last = module;
        leaf[i] = module ? key : -1;
    }
    return leaf;
}
