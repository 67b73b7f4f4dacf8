/* SPDX-License-Identifier: MIT */
/* Model-state bytes against the ZeRO paper's formulas and the frameworks' own sums; partition
 * sizes against values computed by hand. */
#include "step_inputs.h"

#include <string.h>

/* A model of any size: one layer, one matrix. */
static Model *giant_new(gint64 numel)
{
    Model *model = g_new0(Model, 1);
    Layer *layer = g_new0(Layer, 1);
    Parameter parameter = {.name = g_strdup("weight"), .rows = numel, .numel = numel};

    model->parameters = g_array_new(FALSE, TRUE, sizeof(Parameter));
    g_array_append_val(model->parameters, parameter);
    model->layers = g_ptr_array_new();
    layer->name = g_strdup("layer");
    layer->parameters = g_new0(int, 1);
    layer->n_parameters = 1;
    layer->forward = g_array_new(FALSE, TRUE, sizeof(Kernel));
    layer->backward = g_array_new(FALSE, TRUE, sizeof(Kernel));
    g_ptr_array_add(model->layers, layer);
    model->n_parameters = numel;
    return model;
}

static void giant_free(Model *model)
{
    Layer *layer = g_ptr_array_index(model->layers, 0);

    g_array_unref(layer->forward);
    g_array_unref(layer->backward);
    g_free(layer->parameters);
    g_free(layer->name);
    g_free(layer);
    g_ptr_array_unref(model->layers);
    g_free(g_array_index(model->parameters, Parameter, 0).name);
    g_array_unref(model->parameters);
    g_free(model);
}

/* Rajbhandari et al. 2020, section 5: 16 Psi, 4 Psi + 12 Psi/N, 2 Psi + 14 Psi/N, 16 Psi/N. */
START_TEST(test_paper_model_states)
{
    static const gint64 sizes[] = {7500000000, 128000000000, 1000000000000};
    static const int ranks[] = {1, 4, 16, 64, 256, 1024};
    static const int replicated[] = {16, 4, 2, 0};

    for (int stage = 0; stage < 4; stage++)
        for (int r = 0; r < (int)G_N_ELEMENTS(ranks); r++) {
            Training t = step_training(FRAMEWORK_PAPER, (Strategy)stage);
            Model *model = giant_new(sizes[_i]);
            g_autoptr(Job) job = step_job(model, &t, ranks[r]);
            gint64 sharded = 16 - replicated[stage];
            gint64 expected = replicated[stage] * sizes[_i] +
                              step_test_ceil_divide(sharded * sizes[_i], ranks[r]);
            ck_assert_int_eq(job_program(job, 0)->model_state_bytes, expected);
            giant_free(model);
        }
}
END_TEST

typedef struct {
    Framework framework;
    Strategy strategy;
    double replicated, sharded; /* bytes a parameter; the second over N */
} StateRow;

/* The frameworks' own sums, fp32 DDP and bf16 elsewhere as step_training() sets them. */
static const StateRow state_rows[] = {
    {FRAMEWORK_PYTORCH, STRATEGY_DDP, 16, 0},     {FRAMEWORK_PYTORCH, STRATEGY_ZERO2, 0, 16},
    {FRAMEWORK_PYTORCH, STRATEGY_ZERO3, 0, 16},   {FRAMEWORK_DEEPSPEED, STRATEGY_ZERO1, 4, 12},
    {FRAMEWORK_DEEPSPEED, STRATEGY_DDP, 16, 0},   {FRAMEWORK_DEEPSPEED, STRATEGY_ZERO2, 2, 14},
    {FRAMEWORK_DEEPSPEED, STRATEGY_ZERO3, 0, 16},
};

START_TEST(test_model_states)
{
    const StateRow *row = &state_rows[_i];
    gint64 numel = 1000000007;

    for (int world = 0; world < N_STEP_WORLDS; world++) {
        Training t = step_training(row->framework, row->strategy);
        Model *model = giant_new(numel);
        g_autoptr(Job) job = step_job(model, &t, step_worlds[world]);
        double expected = (row->replicated + row->sharded / step_worlds[world]) * (double)numel;
        ck_assert_double_eq_tol((double)job_program(job, 0)->model_state_bytes, expected, 1.0);
        giant_free(model);
    }
}
END_TEST

/* Persistent memory of DeepSpeed: partitions of the padded flat buffer (stages 1 and 2), the
 * sum of padded partitions (stage 3). Values computed by hand for these models. */
typedef struct {
    const char *model;
    int n_ranks;
    gint64 flat_partition, stage3_partition;
} PartitionVector;

static const PartitionVector partitions[] = {
    {"gpt2", 8, 15554976, 15554976},
    {"gpt2-xl", 64, 24337676, 24337675},
    {"bert-base", 8, 13685280, 13685280},
    {"llama-3-8b", 64, 125472832, 125472832},
};

static gint64 master_bytes(const Schedule *schedule)
{
    for (guint i = 0; i < schedule->persistent->len; i++) {
        PersistentBlock block = g_array_index(schedule->persistent, PersistentBlock, i);
        if (block.category == MEMORY_MASTER_WEIGHTS)
            return block.bytes;
    }
    return -1;
}

START_TEST(test_partitions)
{
    const PartitionVector *v = &partitions[_i];

    for (int stage = 1; stage <= 3; stage++) {
        Training t = step_training(FRAMEWORK_DEEPSPEED, (Strategy)stage);
        g_autoptr(Model) model = step_model(v->model, &t);
        g_autoptr(Job) job = step_job(model, &t, v->n_ranks);
        gint64 expected = stage == 3 ? v->stage3_partition : v->flat_partition;
        ck_assert_int_eq(master_bytes(job_program(job, 0)), 4 * expected);
    }
}
END_TEST

/* Full checkpointing runs each block's forward twice and holds less. */

static void tests_add(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_paper_model_states, 0, 3);
    tcase_add_loop_test(tcase, test_model_states, 0, G_N_ELEMENTS(state_rows));
    tcase_add_loop_test(tcase, test_partitions, 0, G_N_ELEMENTS(partitions));
}

int main(void)
{
    return step_suite_run("step_states", tests_add);
}
