/* SPDX-License-Identifier: MIT */
/* Puts a result together: throughput and FLOP utilisation here, time in metrics_time.c,
 * communication in metrics_comm.c, memory from memory.c. */
#include "metrics.h"

#include "metrics_comm.h"

/* Floating-point operations a token that the hardware really runs: recomputation counts.
 * Full checkpointing adds one forward, a third of the model's operations (Mosaic llm-foundry's
 * factor 4 instead of 3); selective adds the forward of the attention core. */
static double hardware_flops_per_token(const Model *model, const Training *training)
{
    double flops = model->flops_per_token;
    double attention_flops = flops - 6.0 * (double)model->n_parameters;
    switch (training->checkpointing) {
    case CHECKPOINTING_NONE:
        return flops;
    case CHECKPOINTING_SELECTIVE:
        return flops + MAX(attention_flops, 0) / 3;
    case CHECKPOINTING_FULL:
        return flops * 4 / 3;
    }
    g_assert_not_reached();
}

static void measure_throughput(Result *result, const Model *model, const Profile *profile)
{
    const Training *training = &result->training;
    double tokens = (double)training->micro_batch * (double)training->gradient_accumulation *
                    (double)model->sequence_length;
    double peak_flop_per_s = profile->peak_flop_per_s[training->precision.compute];
    result->tokens_per_s_per_gpu = tokens / result->step_time_s;
    result->model_flops_per_step = tokens * result->n_ranks * model->flops_per_token;
    g_assert(peak_flop_per_s > 0);
    result->mfu_frac = result->tokens_per_s_per_gpu * model->flops_per_token / peak_flop_per_s;
    result->hfu_frac = result->tokens_per_s_per_gpu *
                       hardware_flops_per_token(model, training) / peak_flop_per_s;
}

/* The smallest GPU among the ranks that run `program`; INT64_MAX when none does. */
static gint64 capacity_of_program(const Job *job, const Cluster *cluster,
                                  const Profile *profile, int program, int *rank)
{
    gint64 capacity_bytes = G_MAXINT64;
    for (int r = 0; r < job->n_ranks; r++) {
        gint64 bytes = cluster_gpu(cluster, r)->memory_bytes;
        bytes = bytes > 0 ? bytes : profile->memory_bytes;
        if (job->program_of_rank[r] != program || bytes >= capacity_bytes)
            continue;
        capacity_bytes = bytes;
        *rank = r;
    }
    return capacity_bytes;
}

Memory metrics_memory(const Job *job, const Cluster *cluster, const Profile *profile, int *rank)
{
    Memory highest = {0};
    gboolean fits = TRUE;
    *rank = 0;
    for (guint p = 0; p < job->programs->len; p++) {
        int of_rank = 0;
        gint64 capacity_bytes = capacity_of_program(job, cluster, profile, (int)p, &of_rank);
        if (capacity_bytes == G_MAXINT64)
            continue;
        Memory memory = memory_compute(job->programs->pdata[p], capacity_bytes);
        fits = fits && memory.fits;
        if (memory.peak_bytes <= highest.peak_bytes)
            continue;
        highest = memory;
        *rank = of_rank;
    }
    highest.fits = fits;
    return highest;
}

static void measure_memory(Result *result, const Job *job, const Cluster *cluster,
                           const Profile *profile, const Timeline *timeline)
{
    int rank;
    result->memory = metrics_memory(job, cluster, profile, &rank);
    int op = result->memory.peak_op;
    const Schedule *schedule = job_program(job, rank);
    result->peak_at_s = memory_time_s(schedule, timeline, rank, op);
    result->peak_label = g_strdup(
        op < 0 ? "between steps" : schedule_label(schedule, schedule_op(schedule, op)->label));
    for (guint p = 0; p < job->programs->len; p++) {
        const Schedule *program = job->programs->pdata[p];
        result->model_state_bytes = MAX(result->model_state_bytes, program->model_state_bytes);
    }
}

static void measure_communication(Result *result, const Job *job, const SimResult *sim)
{
    int rank = timeline_last_rank(sim->timeline);
    const Schedule *schedule = job_program(job, rank);
    CollectiveTimes times = {0};
    result->time_split_s = metrics_time_split(schedule, sim->timeline, rank, &times);
    result->collectives = metrics_collectives(job, rank, &times, sim->collectives);
    result->comm_fitted_frac = metrics_fitted_frac(schedule, &times, sim->collectives);
    g_free(times.busy_s);
    g_free(times.exposed_s);
    result->link_classes = metrics_link_classes(sim->links, result->step_time_s);
    result->sent_bytes_per_rank = metrics_sent_bytes(job);
    result->comm_modelled_frac = 1 - result->comm_fitted_frac;
    result->overlap = sim->overlap;
}

/* Kernel time by class, and its shares by provenance. */
static void measure_confidence(Result *result, const Schedule *schedule)
{
    double total_s = 0;
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        for (int c = 0; c < N_KERNEL_CLASSES && op->kind == OP_COMPUTE; c++)
            result->kernel_class_s[c] += op->class_s[c];
        for (int s = 0; s < N_TIME_SOURCES && op->kind == OP_COMPUTE; s++) {
            result->kernel_source_frac[s] += op->source_s[s];
            total_s += op->source_s[s];
        }
    }
    for (int s = 0; s < N_TIME_SOURCES && total_s > 0; s++)
        result->kernel_source_frac[s] /= total_s;
}

static const char *row_label(const Training *training)
{
    static const char *const labels[N_STRATEGIES] = {
        [STRATEGY_DDP] = "DDP",
        [STRATEGY_ZERO1] = "ZeRO-1",
        [STRATEGY_ZERO2] = "ZeRO-2",
        [STRATEGY_ZERO3] = "ZeRO-3",
    };
    return labels[training->strategy];
}

Result *metrics_compute(const Model *model, const Training *training, const Profile *profile,
                        const Cluster *cluster, const Job *job, const SimResult *sim)
{
    Result *result = g_new0(Result, 1);
    result->label = g_strdup(row_label(training));
    result->model_name = g_strdup(model->name);
    result->cluster_name = g_strdup(cluster->name);
    result->gpu_name = g_strdup(profile->name);
    result->training = *training;
    result->training.sequence_length = model->sequence_length;
    result->n_ranks = job->n_ranks;
    result->n_parameters = model->n_parameters;
    result->warnings = g_ptr_array_new_with_free_func(g_free);
    result->step_time_s = sim->timeline->step_time_s;
    measure_throughput(result, model, profile);
    measure_communication(result, job, sim);
    measure_memory(result, job, cluster, profile, sim->timeline);
    measure_confidence(result, job_program(job, timeline_last_rank(sim->timeline)));
    result->reason = metrics_reason(result);
    return result;
}

void result_free(Result *result)
{
    if (result == NULL)
        return;
    json_decref(result->inputs);
    g_free(result->label);
    g_free(result->model_name);
    g_free(result->cluster_name);
    g_free(result->gpu_name);
    g_ptr_array_unref(result->warnings);
    g_array_unref(result->collectives);
    g_array_unref(result->link_classes);
    g_free(result->peak_label);
    g_free(result->reason);
    g_free(result->path_summary);
    explain_free(result->explanation);
    g_free(result);
}
