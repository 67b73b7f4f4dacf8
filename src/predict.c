/* SPDX-License-Identifier: MIT */
/* From resolved inputs to a result: build the step, replay it, measure it. Reading the inputs
 * is predict_inputs.c's part, recording them predict_record.c's. */
#include "predict.h"

#include <string.h>

Job *predict_job(const Inputs *inputs, GError **error)
{
    int n_ranks = cluster_n_ranks(inputs->cluster);
    g_autofree const Profile **profile_of_rank = g_new(const Profile *, n_ranks);
    for (int rank = 0; rank < n_ranks; rank++)
        profile_of_rank[rank] = inputs_profile(inputs, rank);
    g_autoptr(Job) job =
        step_build_on(inputs->model, inputs->training, profile_of_rank, n_ranks, error);
    if (job == NULL)
        return NULL;
    for (guint p = 0; p < job->programs->len; p++)
        if (!schedule_validate(job->programs->pdata[p], error))
            return NULL;
    return g_steal_pointer(&job);
}

gboolean predict_memory(const Inputs *inputs, Memory *memory, GError **error)
{
    int rank;
    g_autoptr(Job) job = predict_job(inputs, error);
    if (job == NULL)
        return FALSE;
    *memory = metrics_memory(job, inputs->cluster, inputs->profile, &rank);
    return TRUE;
}

static double fastest_gpu_speed(const Cluster *cluster)
{
    double fastest = 0;
    for (int rank = 0; rank < cluster_n_ranks(cluster); rank++)
        fastest = MAX(fastest, cluster_gpu(cluster, rank)->speed);
    return fastest;
}

gboolean predict_shortest_s(const Inputs *inputs, double *shortest_s, GError **error)
{
    g_autoptr(Job) job = predict_job(inputs, error);
    if (job == NULL)
        return FALSE;
    *shortest_s = 0;
    for (guint p = 0; p < job->programs->len; p++) {
        const Schedule *schedule = job->programs->pdata[p];
        double work_s = 0;
        for (int i = 0; i < schedule_n_ops(schedule); i++) {
            const Op *op = schedule_op(schedule, i);
            if (op->kind == OP_COMPUTE && op->stream == STREAM_COMPUTE)
                work_s += op->work_s;
        }
        *shortest_s = MAX(*shortest_s, work_s);
    }
    *shortest_s /= fastest_gpu_speed(inputs->cluster);
    return TRUE;
}

/* Where GPUs are of several kinds, utilisation is of the sum of their peaks. */
static void account_for_kinds(Result *result, const Inputs *inputs)
{
    DType compute = inputs->training->precision.compute;
    double peak_flop_per_s = 0;
    if (inputs->profiles->len == 1)
        return;
    for (int rank = 0; rank < result->n_ranks; rank++)
        peak_flop_per_s += inputs_profile(inputs, rank)->peak_flop_per_s[compute];
    double ratio =
        inputs->profile->peak_flop_per_s[compute] * result->n_ranks / peak_flop_per_s;
    result->mfu_frac *= ratio;
    result->hfu_frac *= ratio;
    for (guint i = 1; i < inputs->profiles->len; i++) {
        const Profile *other = inputs->profiles->pdata[i];
        char *names = g_strconcat(result->gpu_name, "+", other->name, NULL);
        g_free(result->gpu_name);
        result->gpu_name = names;
    }
}

/* A comparison under DeepSpeed measures against PyTorch's DDP: the row must say so. */
static void label_foreign_framework(Result *result, const Inputs *inputs)
{
    const char *wanted = experiment_string(inputs->experiment, "training.framework");
    if (!inputs->comparing || g_str_equal(wanted, framework_name(inputs->training->framework)))
        return;
    char *label = g_strdup_printf("%s (PyTorch)", result->label);
    g_free(result->label);
    result->label = label;
}

static void copy_warnings(const GPtrArray *from, GPtrArray *to)
{
    for (guint i = 0; i < from->len; i++)
        g_ptr_array_add(to, g_strdup(from->pdata[i]));
}

/* Collectives that ran by another algorithm (word 0) or protocol (word 1) than was asked for by
 * name: "all_gather (ring)". */
static char *run_otherwise(const Result *result, int word, const char *wanted)
{
    g_autoptr(GPtrArray) others = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < result->collectives->len; i++) {
        const CollectiveTotal *total = &g_array_index(result->collectives, CollectiveTotal, i);
        g_auto(GStrv) ways = g_strsplit(total->algorithm ? total->algorithm : "", ",", -1);
        for (char **way = ways; *way && total->sent_bytes_per_rank > 0; way++) {
            g_auto(GStrv) words = g_strsplit(*way, " ", 2);
            g_autofree char *text =
                g_strdup_printf("%s (%s)", collective_name(total->kind), words[word]);
            if (strcmp(words[word], wanted) != 0 &&
                !g_ptr_array_find_with_equal_func(others, text, g_str_equal, NULL))
                g_ptr_array_add(others, g_steal_pointer(&text));
        }
    }
    g_ptr_array_add(others, NULL);
    return g_strjoinv(", ", (char **)others->pdata);
}

/* What [nccl] names binds the collectives that it can run; the others are no secret. */
static void warn_of_other_ways(Result *result, const Inputs *inputs)
{
    const struct {
        const char *key;
        int asked;
        const char *name;
    } overrides[] = {
        {"nccl.algorithm", inputs->nccl.algorithm,
         inputs->nccl.algorithm < 0 ? "" : algorithm_name((Algorithm)inputs->nccl.algorithm)},
        {"nccl.protocol", inputs->nccl.protocol,
         inputs->nccl.protocol < 0 ? "" : protocol_name((Protocol)inputs->nccl.protocol)},
    };
    for (int o = 0; o < (int)G_N_ELEMENTS(overrides); o++) {
        if (overrides[o].asked < 0)
            continue;
        g_autofree char *others = run_otherwise(result, o, overrides[o].name);
        if (*others)
            g_ptr_array_add(
                result->warnings,
                g_strdup_printf("%s = %s can't run these here, which take what NCCL "
                                "would choose without it: %s",
                                overrides[o].key, overrides[o].name, others));
    }
}

void predict_write_memory_csv(const Inputs *inputs, const Job *job, const SimResult *sim,
                              void *out)
{
    int rank;
    metrics_memory(job, inputs->cluster, inputs->profile, &rank);
    memory_csv_write(job_program(job, rank), sim->timeline, rank, out);
}

/* What validation found of results like this one. */
static gboolean expect_error(Result *result, GError **error)
{
    const Training *training = &result->training;
    const ExpectedErrorKey key = {
        framework_name(training->framework), strategy_name(training->strategy),
        expected_error_provenance(result->kernel_source_frac), result->n_ranks};
    return expected_error_lookup(NULL, &key, &result->expected_error, error);
}

static char *path_summary(const Inputs *inputs, const Job *job, const SimResult *sim)
{
    g_autoptr(Explanation) explanation = explain_new(inputs->cluster, job, sim);
    return explain_summary(explanation);
}

Result *predict_observed(const Inputs *inputs, PredictObserver observe, void *data,
                         GError **error)
{
    g_autoptr(json_t) record = inputs_record(inputs, error);
    if (record == NULL)
        return NULL;
    g_autoptr(Job) job = predict_job(inputs, error);
    if (job == NULL)
        return NULL;
    g_autoptr(SimResult) sim =
        sim_run(inputs->cluster, job, inputs->profile, &inputs->nccl, error);
    if (sim == NULL)
        return NULL;
    g_autoptr(Result) result = metrics_compute(inputs->model, inputs->training, inputs->profile,
                                               inputs->cluster, job, sim);
    if (!expect_error(result, error))
        return NULL;
    result->inputs = g_steal_pointer(&record);
    account_for_kinds(result, inputs);
    label_foreign_framework(result, inputs);
    copy_warnings(inputs->warnings, result->warnings);
    warn_of_other_ways(result, inputs);
    if (inputs->comparing)
        result->path_summary = path_summary(inputs, job, sim);
    if (observe != NULL)
        observe(inputs, job, sim, data);
    return g_steal_pointer(&result);
}

Result *predict(const Inputs *inputs, GError **error)
{
    return predict_observed(inputs, NULL, NULL, error);
}
