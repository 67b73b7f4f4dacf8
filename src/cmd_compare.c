/* SPDX-License-Identifier: MIT */
/* zerosim compare: the same experiment under DDP and ZeRO-1, 2 and 3. All with the same
 * micro-batch, or with --best each with its own for the same global batch. */
#include "cmd_compare.h"
#include "cmd.h"
#include "cmd_compare_best.h"
#include "error.h"
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

gboolean cmd_compare_point(Experiment *experiment, const CmdOptions *options, gboolean best,
                           CmdProgress *progress, GPtrArray *results, GError **error)
{
    gint64 micro_batches[N_STRATEGIES] = {0}; /* 0: as the experiment says */
    if (!experiment_set(experiment, "training.strategy=ddp", error))
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

static gboolean compare_once(const CmdOptions *options, gboolean best, GError **error)
{
    g_autoptr(GPtrArray) results = g_ptr_array_new_with_free_func((GDestroyNotify)result_free);
    g_autoptr(CmdProgress) progress = options->quiet ? NULL : cmd_progress_new();
    g_autoptr(Experiment) experiment = cmd_options_experiment(options, error);
    if (experiment == NULL ||
        !cmd_compare_point(experiment, options, best, progress, results, error))
        return FALSE;
    for (guint i = 0; i < results->len; i++)
        cmd_options_price(options, experiment, results->pdata[i]);
    g_clear_pointer(&progress, cmd_progress_free);
    options->format->write(results, TRUE, options->table, stdout);
    return TRUE;
}

static gboolean check_over(const CompareOver *over, const CmdOptions *options, GError **error)
{
    const char *format = options->format_name;
    const char *message = NULL;
    if (over->over == NULL && (over->output_file != NULL || over->resume_file != NULL))
        message = "-o and --resume: need --over=SECTION.KEY=V1,V2,…";
    else if (over->output_file != NULL && over->resume_file != NULL)
        message = "--resume=FILE already says where results go: leave -o out";
    else if (over->over != NULL && format != NULL && !g_str_equal(format, "jsonl"))
        message = "--over writes JSON Lines: leave --format out";
    else if (over->n_jobs < 0)
        message = "--jobs: must be 1 or more";
    if (message == NULL)
        return TRUE;
    g_set_error_literal(error, ZEROSIM_ERROR, ERROR_USAGE, message);
    return FALSE;
}

static void over_clear(CompareOver *over)
{
    g_strfreev(over->over);
    g_free(over->output_file);
    g_free(over->resume_file);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CompareOver, over_clear)

gboolean cmd_compare(int argc, char **argv, GError **error)
{
    g_auto(CompareOver) over = {0};
    const GOptionEntry own[] = {
        {"best", 0, 0, G_OPTION_ARG_NONE, &over.best,
         "each strategy with its own best micro-batch and checkpointing for the same global "
         "batch",
         NULL},
        {"over", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &over.over,
         "compare at each of these values, as JSON Lines; 8..512*2, 1..8 and 2..16+2 are "
         "ranges; may be repeated: then at each combination",
         "SECTION.KEY=V1,V2,…"},
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &over.output_file,
         "with --over: where results go as they come; an interrupted sweep leaves those it has",
         "FILE"},
        {"resume", 0, 0, G_OPTION_ARG_FILENAME, &over.resume_file,
         "as -o FILE, but compute only what FILE lacks", "FILE"},
        {"jobs", 'j', 0, G_OPTION_ARG_INT, &over.n_jobs,
         "with --over: how many points at a time (one a core)", "N"},
        G_OPTION_ENTRY_NULL,
    };
    g_auto(CmdOptions) options = {0};
    if (!cmd_options_parse(&options, argc, argv, TRUE, own, error))
        return FALSE;
    if (options.help) {
        printf(EXAMPLE "%s", options.help);
        return TRUE;
    }
    if (!check_over(&over, &options, error))
        return FALSE;
    return over.over == NULL ? compare_once(&options, over.best, error)
                             : cmd_compare_over(&over, &options, error);
}
