/* SPDX-License-Identifier: MIT */
/* The modules that ZeRO-3 fetches and the trace of their visits in one micro-step: forward,
 * then backward with each checkpointed block recomputed before its backward. Source:
 * deepspeed/runtime/zero/parameter_offload.py, leaf modules in utils/z3_leaf_module.py. */
#include "step_deepspeed3.h"

static void module_free(gpointer data)
{
    FetchModule *module = data;

    g_array_unref(module->parameters);
    g_free(module);
}

/* Layers with the same key are one module; -1: a module of its own. */
static int *leaf_modules(const Model *model, const Training *training)
{
    int *leaf = zero3_leaf_modules(model, training->deepspeed.module_granularity_threshold);

    for (guint i = 0; i < model->layers->len; i++) {
        int block = model_layer(model, (int)i)->block;
        if (training->deepspeed.leaf_modules == LEAF_BLOCK && block >= 0 &&
            block < model->n_blocks)
            leaf[i] = block;
    }
    return leaf;
}

static gboolean has_parameter(const FetchModule *module, int parameter)
{
    for (guint i = 0; i < module->parameters->len; i++)
        if (g_array_index(module->parameters, int, i) == parameter)
            return TRUE;
    return FALSE;
}

static void module_add_layer(FetchModule *module, const Layer *layer, int index)
{
    module->last_layer = index;
    for (int i = 0; i < layer->n_parameters; i++)
        if (!has_parameter(module, layer->parameters[i]))
            g_array_append_val(module->parameters, layer->parameters[i]);
}

void coordinator_modules_build(Coordinator *coordinator, const Model *model,
                               const Training *training)
{
    g_autofree int *leaf = leaf_modules(model, training);
    int last_leaf = -1;

    coordinator->modules = g_ptr_array_new_with_free_func(module_free);
    coordinator->module_of_layer = g_new(int, model->layers->len + 1);
    for (int i = 0; i < (int)model->layers->len; i++) {
        const Layer *layer = model_layer(model, i);
        coordinator->module_of_layer[i] = -1;
        if (leaf[i] < 0 && layer->n_parameters == 0)
            continue;
        if (leaf[i] < 0 || leaf[i] != last_leaf) {
            FetchModule *module = g_new0(FetchModule, 1);
            module->first_layer = i;
            module->fast = leaf[i] >= 0 && training->deepspeed.module_granularity_threshold > 0;
            module->parameters = g_array_new(FALSE, FALSE, sizeof(int));
            g_ptr_array_add(coordinator->modules, module);
        }
        last_leaf = leaf[i];
        coordinator->module_of_layer[i] = (int)coordinator->modules->len - 1;
        module_add_layer(g_ptr_array_index(coordinator->modules, coordinator->modules->len - 1),
                         layer, i);
    }
}

void coordinator_modules_clear(Coordinator *coordinator)
{
    g_ptr_array_unref(coordinator->modules);
    g_free(coordinator->module_of_layer);
}

gboolean fetch_module_recomputed(const FetchModule *module, const Model *model)
{
    return model_layer(model, module->first_layer)->block ==
           model_layer(model, module->last_layer)->block;
}

static void visit_append(Coordinator *coordinator, int layer, gboolean backward)
{
    int index = coordinator->module_of_layer[layer];
    int visit = (int)coordinator->visits->len;

    if (index < 0)
        return;
    const FetchModule *module = g_ptr_array_index(coordinator->modules, index);
    if (layer != (backward ? module->last_layer : module->first_layer))
        return;
    g_array_append_val(coordinator->visits, index);
    for (guint i = 0; i < module->parameters->len; i++) {
        TraceUse use = {.parameter = g_array_index(module->parameters, int, i), .visit = visit};
        g_array_append_val(coordinator->queue, use);
    }
}

static void recomputed_append(Coordinator *coordinator, const Model *model, int layer)
{
    int index = coordinator->module_of_layer[layer];

    if (index >= 0 &&
        fetch_module_recomputed(g_ptr_array_index(coordinator->modules, index), model))
        visit_append(coordinator, layer, FALSE);
}

static int block_first(const Model *model, int last)
{
    int first = last;

    while (first > 0 && model_layer(model, first - 1)->block == model_layer(model, last)->block)
        first--;
    return first;
}

void coordinator_trace_record(Coordinator *coordinator, const Step *step)
{
    const Model *model = step->model;
    int n = (int)model->layers->len;

    for (int i = 0; i < n; i++)
        visit_append(coordinator, i, FALSE);
    for (int i = n - 1; i >= 0; i--) {
        int block = model_layer(model, i)->block;
        gboolean ends = i == n - 1 || model_layer(model, i + 1)->block != block;
        if (step->training->checkpointing == CHECKPOINTING_FULL && block >= 0 &&
            block < model->n_blocks && ends)
            for (int j = block_first(model, i); j <= i; j++)
                recomputed_append(coordinator, model, j);
        visit_append(coordinator, i, TRUE);
    }
}
