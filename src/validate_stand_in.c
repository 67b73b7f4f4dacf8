/* SPDX-License-Identifier: MIT */
/* Models of a given number of parameters. Bytes a parameter of model states don't depend on a
 * model's shape, so the shape is a usual one. */
#include "validate_stand_in.h"

#include <math.h>
#include <string.h>

#define HEAD_WIDTH 64
#define WIDTH_OVER_DEPTH 100

ModelFacts stand_in_model(double parameters, gint64 sequence_length)
{
    const double width = cbrt(parameters * WIDTH_OVER_DEPTH / 12);
    const gint64 d_model = MAX((gint64)round(width / HEAD_WIDTH), 1) * HEAD_WIDTH;
    const double a_layer = 12.0 * (double)d_model * (double)d_model;
    return (ModelFacts){
        .name = "gpt",
        .n_layer = MAX((gint64)round(parameters / a_layer), 1),
        .d_model = d_model,
        .n_head = d_model / HEAD_WIDTH,
        .n_kv_head = d_model / HEAD_WIDTH,
        .d_ff = 4 * d_model,
        .vocabulary = 256,
        .sequence_length = sequence_length,
    };
}

gboolean stand_in_platform(ValidateCase *c, const char *gpu, int n_ranks, GError **error)
{
    int gpus_per_node = MIN(n_ranks, 8);
    while (n_ranks % gpus_per_node != 0)
        gpus_per_node--;
    const PlatformFacts facts = {.gpu = gpu,
                                 .gpus_per_node = gpus_per_node,
                                 .n_gpus = n_ranks,
                                 .intra_node = "",
                                 .source = ""};
    return validate_case_platform(c, &facts, error);
}

gboolean stand_in_memory(ValidateCase *c, StandInMemory *memory, GError **error)
{
    *memory = (StandInMemory){0};
    g_autoptr(Inputs) inputs = validate_case_inputs(c, error);
    g_autoptr(Job) job = inputs ? predict_job(inputs, error) : NULL;
    if (job == NULL || !predict_memory(inputs, &memory->memory, error))
        return FALSE;
    memory->n_parameters = (double)inputs->model->n_parameters;
    for (guint p = 0; p < job->programs->len; p++) {
        const Schedule *schedule = job->programs->pdata[p];
        double sums[N_MEMORY_CATEGORIES] = {0};
        memory->model_state_bytes =
            MAX(memory->model_state_bytes, (double)schedule->model_state_bytes);
        for (guint i = 0; i < schedule->persistent->len; i++) {
            const PersistentBlock *block =
                &g_array_index(schedule->persistent, PersistentBlock, i);
            sums[block->category] += (double)block->bytes;
        }
        for (int k = 0; k < N_MEMORY_CATEGORIES; k++)
            memory->persistent_bytes[k] = MAX(memory->persistent_bytes[k], sums[k]);
    }
    return TRUE;
}
