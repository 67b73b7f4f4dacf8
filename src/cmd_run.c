/* SPDX-License-Identifier: MIT */
/* zerosim run: one experiment, one result, and on demand what happened when. */
#include "cmd.h"
#include "cmd_options.h"
#include "cmd_progress.h"
#include "error.h"
#include "out_file.h"
#include "predict.h"
#include "report_trace.h"

#define EXAMPLE                                                                                \
    "Example: zerosim run workloads/llama-2-7b-dgx-h100.conf -s training.strategy=zero2\n\n"

/* What the simulated step is to be written to; NULL: not wanted. */
typedef struct {
    OutFile *memory;
    OutFile *trace;
    gboolean trace_is_paje;
    const char *ranks;
    gboolean explains;
    CmdProgress *progress;
    Explanation *explanation;
    GError *error;
} Observed;

static char *trace_title(const Inputs *inputs)
{
    return g_strdup_printf("%s, %s, %d GPUs of %s", inputs->model->name,
                           strategy_name(inputs->training->strategy),
                           cluster_n_ranks(inputs->cluster), inputs->cluster->name);
}

static void write_trace(const Inputs *inputs, const Job *job, const SimResult *sim,
                        Observed *observed)
{
    g_autofree char *title = trace_title(inputs);
    g_autoptr(GArray) ranks =
        trace_ranks(observed->ranks, job, sim->timeline, &observed->error);
    if (ranks == NULL)
        return;
    Trace trace = {.title = title,
                   .cluster = inputs->cluster,
                   .job = job,
                   .sim = sim,
                   .nccl = &inputs->nccl,
                   .profile = inputs->profile,
                   .dtype = inputs->training->precision.compute,
                   .ranks = ranks};
    if (observed->trace_is_paje)
        report_paje_write(&trace, observed->trace->stream);
    else
        report_trace_write(&trace, observed->trace->stream);
}

static void show_simulations(int n_simulations, void *data)
{
    g_autofree char *what =
        g_strdup_printf("explaining, %d more steps simulated", n_simulations);
    cmd_progress_set(data, 0, 0, what);
}

static void explain(const Inputs *inputs, const Job *job, const SimResult *sim,
                    Observed *observed)
{
    Explanation *explanation = explain_new(inputs->cluster, job, sim);
    observed->explanation = explanation;
    explanation->has_bandwidth = explain_bandwidth(
        inputs->cluster, job, inputs->profile, &inputs->nccl, sim->timeline->step_time_s,
        show_simulations, observed->progress, &explanation->bandwidth, &observed->error);
}

static void observe(const Inputs *inputs, const Job *job, const SimResult *sim, void *data)
{
    Observed *observed = data;
    if (observed->memory != NULL)
        predict_write_memory_csv(inputs, job, sim, observed->memory->stream);
    if (observed->trace != NULL)
        write_trace(inputs, job, sim, observed);
    if (observed->explains && observed->error == NULL)
        explain(inputs, job, sim, observed);
}

/* What the options ask for beside the result. */
typedef struct {
    char *memory_file, *trace_file, *ranks;
    gboolean explains;
} Wanted;

static void wanted_clear(Wanted *wanted)
{
    g_free(wanted->memory_file);
    g_free(wanted->trace_file);
    g_free(wanted->ranks);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Wanted, wanted_clear)

static Result *predict_into(const Inputs *inputs, const Wanted *wanted, CmdProgress *progress,
                            GError **error)
{
    g_autoptr(OutFile) memory = NULL;
    g_autoptr(OutFile) trace = NULL;
    const char *memory_file = wanted->memory_file, *trace_file = wanted->trace_file;
    if (memory_file != NULL && (memory = out_file_open(memory_file, error)) == NULL)
        return NULL;
    if (trace_file != NULL && (trace = out_file_open(trace_file, error)) == NULL)
        return NULL;
    Observed observed = {.memory = memory,
                         .trace = trace,
                         .trace_is_paje =
                             trace_file != NULL && g_str_has_suffix(trace_file, ".paje"),
                         .ranks = wanted->ranks,
                         .explains = wanted->explains,
                         .progress = progress};
    g_autoptr(Result) result = predict_observed(inputs, observe, &observed, error);
    if (observed.error != NULL)
        g_propagate_error(error, observed.error);
    if (result == NULL || observed.error != NULL ||
        (memory != NULL && !out_file_commit(memory, error)) ||
        (trace != NULL && !out_file_commit(trace, error))) {
        explain_free(observed.explanation);
        return NULL;
    }
    result->explanation = observed.explanation;
    return g_steal_pointer(&result);
}

static gboolean check_trace(const char *trace_file, const char *ranks, GError **error)
{
    if (ranks != NULL && trace_file == NULL) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE, "--ranks: needs --trace=FILE");
        return FALSE;
    }
    if (trace_file != NULL && !g_str_has_suffix(trace_file, ".json") &&
        !g_str_has_suffix(trace_file, ".paje")) {
        g_autofree char *quoted = error_quote(trace_file);
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                    "--trace=%s: must end in .json (Chrome, Perfetto) or .paje (ViTE, pajeng)",
                    quoted);
        return FALSE;
    }
    return ranks == NULL || trace_ranks_check(ranks, error);
}

static Result *run(const CmdOptions *options, const Wanted *wanted, GError **error)
{
    g_autoptr(CmdProgress) progress = options->quiet ? NULL : cmd_progress_new();
    cmd_progress_set(progress, 0, 0, "simulating");
    g_autoptr(Experiment) experiment = cmd_options_experiment(options, error);
    if (experiment == NULL)
        return NULL;
    g_autoptr(Inputs) inputs = inputs_load(experiment, FALSE, options->strict, error);
    if (inputs == NULL)
        return NULL;
    Result *result = predict_into(inputs, wanted, progress, error);
    if (result != NULL)
        cmd_options_price(options, experiment, result);
    return result;
}

gboolean cmd_run(int argc, char **argv, GError **error)
{
    g_auto(Wanted) wanted = {0};
    const GOptionEntry own[] = {
        {"explain", 0, 0, G_OPTION_ARG_NONE, &wanted.explains,
         "say why the step takes so long, and which bandwidth would help", NULL},
        {"memory-csv", 0, 0, G_OPTION_ARG_FILENAME, &wanted.memory_file,
         "write the memory over time of the rank with the highest peak", "FILE"},
        {"trace", 0, 0, G_OPTION_ARG_FILENAME, &wanted.trace_file,
         "write what happened when: .json for Perfetto and Chrome, .paje for ViTE and pajeng",
         "FILE"},
        {"ranks", 0, 0, G_OPTION_ARG_STRING, &wanted.ranks,
         "ranks in the trace, as in 0,8..15 (all; those that behave alike once)", "LIST"},
        G_OPTION_ENTRY_NULL,
    };
    g_auto(CmdOptions) options = {0};
    if (!cmd_options_parse(&options, argc, argv, TRUE, own, error))
        return FALSE;
    if (options.help) {
        printf(EXAMPLE "%s", options.help);
        return TRUE;
    }
    if (!check_trace(wanted.trace_file, wanted.ranks, error))
        return FALSE;
    g_autoptr(GPtrArray) results = g_ptr_array_new_with_free_func((GDestroyNotify)result_free);
    Result *result = run(&options, &wanted, error);
    if (result == NULL)
        return FALSE;
    g_ptr_array_add(results, result);
    options.format->write(results, FALSE, options.table, stdout);
    return TRUE;
}
