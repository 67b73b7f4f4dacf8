/* SPDX-License-Identifier: MIT */
/* zerosim schedule: prints what one rank does in a step, op by op; nothing is simulated. */
#include "cmd.h"
#include "cmd_options.h"
#include "error.h"
#include "predict.h"

#define EXAMPLE                                                                                \
    "Example: zerosim schedule workloads/llama-2-7b-dgx-h100.conf -s "                         \
    "training.strategy=zero3\n\n"

static gboolean print_rank(const Inputs *inputs, int rank, GError **error)
{
    g_autoptr(Job) job = predict_job(inputs, error);
    if (job == NULL)
        return FALSE;
    if (rank < 0 || rank >= job->n_ranks) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                    "schedule: --rank=%d must be from 0 to %d", rank, job->n_ranks - 1);
        return FALSE;
    }
    printf("rank %d of %d: %s, %s\n", rank, job->n_ranks,
           framework_name(inputs->training->framework),
           strategy_name(inputs->training->strategy));
    schedule_print(job_program(job, rank), stdout);
    return TRUE;
}

gboolean cmd_schedule(int argc, char **argv, GError **error)
{
    int rank = 0;
    const GOptionEntry own[] = {
        {"rank", 0, 0, G_OPTION_ARG_INT, &rank, "whose schedule (0)", "N"},
        G_OPTION_ENTRY_NULL,
    };
    g_auto(CmdOptions) options = {0};
    if (!cmd_options_parse(&options, argc, argv, FALSE, own, error))
        return FALSE;
    if (options.help) {
        printf(EXAMPLE "%s", options.help);
        return TRUE;
    }
    g_autoptr(Experiment) experiment = cmd_options_experiment(&options, error);
    if (experiment == NULL)
        return FALSE;
    g_autoptr(Inputs) inputs = inputs_load(experiment, FALSE, options.strict, error);
    return inputs != NULL && print_rank(inputs, rank, error);
}
