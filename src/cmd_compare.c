/* SPDX-License-Identifier: MIT */
/* zerosim compare: the same experiment under DDP and ZeRO-1, 2 and 3. All with the same
 * micro-batch, or with --best each with its own for the same global batch. */
#include "cmd.h"
#include "cmd_compare_best.h"
#include "cmd_options.h"
#include "cmd_progress.h"
#include "predict.h"

#define EXAMPLE                                                                                \
    "Example: zerosim compare workloads/llama-2-7b-dgx-h100.conf -s cluster.nodes=4\n\n"

static gboolean set_strategy(Inputs *inputs, Strategy strategy, gint64 micro_batch,
                             GError **error)
{
    g_autofree char *name = g_strconcat("training.strategy=", strategy_name(strategy), NULL);
    g_autofree char *batch =
        micro_batch == 0
            ? NULL
            : g_strdup_printf("training.micro_batch=%" G_GINT64_FORMAT, micro_batch);
    const char *const assignments[] = {name, batch, NULL};
    return inputs_set(inputs, assignments, error);
}

/* The micro-batch that every strategy which fits at 1 can hold. */
static gboolean resolve_auto(Inputs *inputs, gint64 micro_batches[N_STRATEGIES], GError **error)
{
    gint64 common = G_MAXINT64;
    for (int s = 0; s < N_STRATEGIES; s++) {
        Memory memory;
        if (!set_strategy(inputs, (Strategy)s, 0, error) ||
            !predict_memory(inputs, &memory, error))
            return FALSE;
        micro_batches[s] = memory.fits ? inputs->training->micro_batch : 0;
        if (micro_batches[s] > 0)
            common = MIN(common, micro_batches[s]);
    }
    for (int s = 0; s < N_STRATEGIES; s++)
        micro_batches[s] = micro_batches[s] > 0 ? common : 1;
    return TRUE;
}

static gboolean compare_equal(Inputs *inputs, const gint64 micro_batches[N_STRATEGIES],
                              CmdProgress *progress, GPtrArray *results, GError **error)
{
    for (int s = 0; s < N_STRATEGIES; s++) {
        cmd_progress_set(progress, s, N_STRATEGIES, strategy_name((Strategy)s));
        if (!set_strategy(inputs, (Strategy)s, micro_batches[s], error))
            return FALSE;
        Result *result = predict(inputs, error);
        if (result == NULL)
            return FALSE;
        g_ptr_array_add(results, result);
    }
    return TRUE;
}

static gboolean compare_best(Inputs *inputs, gint64 global_batch, CmdProgress *progress,
                             GPtrArray *results, GError **error)
{
    for (int s = 0; s < N_STRATEGIES; s++) {
        Result *result = cmd_compare_best(inputs, (Strategy)s, global_batch, progress, error);
        if (result == NULL)
            return FALSE;
        g_ptr_array_add(results, result);
    }
    return TRUE;
}

static gboolean compare(const CmdOptions *options, gboolean best, CmdProgress *progress,
                        GPtrArray *results, GError **error)
{
    gint64 micro_batches[N_STRATEGIES] = {0}; /* 0: as the experiment says */
    g_autoptr(Experiment) experiment = cmd_options_experiment(options, error);
    if (experiment == NULL || !experiment_set(experiment, "training.strategy=ddp", error))
        return FALSE;
    g_autoptr(Inputs) inputs = inputs_load(experiment, TRUE, options->strict, error);
    if (inputs == NULL)
        return FALSE;
    if (inputs->training->micro_batch_auto && !resolve_auto(inputs, micro_batches, error))
        return FALSE;
    if (!best)
        return compare_equal(inputs, micro_batches, progress, results, error);
    /* The batch to match: with `auto`, that of the strategies that fit. */
    gint64 largest = 0;
    for (int s = 0; s < N_STRATEGIES; s++)
        largest = MAX(largest, micro_batches[s]);
    return set_strategy(inputs, STRATEGY_DDP, largest, error) &&
           compare_best(inputs, inputs->training->global_batch, progress, results, error);
}

gboolean cmd_compare(int argc, char **argv, GError **error)
{
    gboolean best = FALSE;
    const GOptionEntry own[] = {
        {"best", 0, 0, G_OPTION_ARG_NONE, &best,
         "each strategy with its own best micro-batch and checkpointing for the same global "
         "batch",
         NULL},
        G_OPTION_ENTRY_NULL,
    };
    g_auto(CmdOptions) options = {0};
    if (!cmd_options_parse(&options, argc, argv, TRUE, own, error))
        return FALSE;
    if (options.help) {
        printf(EXAMPLE "%s", options.help_text);
        return TRUE;
    }
    g_autoptr(GPtrArray) results = g_ptr_array_new_with_free_func((GDestroyNotify)result_free);
    g_autoptr(CmdProgress) progress = cmd_progress_new();
    if (!compare(&options, best, progress, results, error))
        return FALSE;
    g_clear_pointer(&progress, cmd_progress_free);
    options.format->write(results, TRUE, options.table, stdout);
    return TRUE;
}
