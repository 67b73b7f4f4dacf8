/* SPDX-License-Identifier: MIT */
/* Published timings of a lone collective: one op on the row's platform, replayed like any job.
 */
#include "collective_calibration.h"
#include "error.h"
#include "nccl_program.h"
#include "validate_case.h"
#include "validate_rows.h"

#include <string.h>

typedef struct {
    CollectiveKind kind;
    gint64 n_gpus, gpus_per_node, bytes;
    double time_s, nic_GBps, program_s;
    int version;
} NcclRow;

/* "8x NDR400 (ib_write_bw 39.5-45.1 GB/s per HCA)": what was measured of the NICs, the middle
 * of a range; 0: nothing. */
static double measured_nic_GBps(const char *network)
{
    static const char word[] = "ib_write_bw ";
    const char *at = csv_text_find(network, word);
    if (at == NULL)
        return 0;
    char *end;
    const double low = g_ascii_strtod(at + strlen(word), &end);
    const double high = *end == '-' ? g_ascii_strtod(end + 1, &end) : low;
    while (*end == ' ')
        end++;
    const gboolean a_rate = g_str_has_prefix(end, "GB/s") && low > 0 && high >= low;
    return a_rate ? (low + high) / 2 : 0;
}

static gboolean nccl_row_read(const CsvRow *row, NcclRow *n, GError **error)
{
    const char *name = csv_row_text(row, "collective");
    double time_us = 0, algbw_GBps = 0;
    *n = (NcclRow){.kind = N_COLLECTIVES};
    if (!csv_row_int(row, "n_gpus", 1, 1 << 20, &n->n_gpus, error) ||
        !csv_row_int(row, "gpus_per_node", 1, 1024, &n->gpus_per_node, error) ||
        !csv_row_int(row, "bytes", 0, G_GINT64_CONSTANT(1) << 50, &n->bytes, error) ||
        !csv_row_double(row, "time_us", 0, 1e15, &time_us, error) ||
        !csv_row_double(row, "algbw_GBps", 0, 1e9, &algbw_GBps, error) ||
        !csv_row_double(row, "net_GBps_per_gpu", 0, 1e9, &n->nic_GBps, error))
        return FALSE;
    for (int kind = 0; kind < N_COLLECTIVES; kind++)
        if (strcmp(name, collective_name((CollectiveKind)kind)) == 0)
            n->kind = (CollectiveKind)kind;
    if (n->kind == N_COLLECTIVES || n->n_gpus < 2 || n->bytes < 1) {
        g_autofree char *quoted = error_quote(name);
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                    "the collective %s of %d bytes on %d GPUs is not modelled", quoted,
                    (int)n->bytes, (int)n->n_gpus);
        return FALSE;
    }
    const double nic_GBps = measured_nic_GBps(csv_row_text(row, "network"));
    if (nic_GBps > 0)
        n->nic_GBps = nic_GBps;
    n->program_s = nccl_program_overhead_s(row);
    n->version = collective_nccl_version(csv_row_text(row, "nccl_version"));
    n->time_s = time_us > 0      ? time_us / 1e6
                : algbw_GBps > 0 ? (double)n->bytes / (algbw_GBps * 1e9)
                                 : 0;
    return TRUE;
}

/* "Ring (NCCL_TREE_THRESHOLD=0)": what the log says was run. */
static gboolean set_algorithm(ValidateCase *c, const char *text, GError **error)
{
    static const char *const algorithms[] = {"nvls-tree", "nvls", "tree", "ring"};
    g_autofree char *lower = g_ascii_strdown(text, -1);
    for (gsize i = 0; i < G_N_ELEMENTS(algorithms); i++)
        if (g_str_has_prefix(lower, algorithms[i]))
            return validate_case_set(c, error, "nccl.algorithm=%s", algorithms[i]);
    return TRUE;
}

static Job *job_of(const NcclRow *n, int n_ranks)
{
    Schedule *schedule = schedule_new();
    schedule_collective(schedule, PHASE_FORWARD, "collective", n->kind, n->bytes, 0);
    Job *job = job_new(n_ranks);
    g_ptr_array_add(job->programs, schedule);
    return job;
}

static void used_for_fit_mark(Outcome *outcome, const Inputs *inputs, const NcclRow *n)
{
    int n_ranks = cluster_n_ranks(inputs->cluster);
    g_autofree int *members = g_new(int, n_ranks);
    for (int r = 0; r < n_ranks; r++)
        members[r] = r;
    const CollectiveCall call = {.kind = n->kind, .payload_bytes = n->bytes};
    g_autoptr(CollectivePlan) plan =
        collective_plan(inputs->cluster, members, n_ranks, &call, &inputs->nccl);
    outcome->used_for_fit =
        nccl_calibration_saw(inputs->nccl.calibrations, inputs->cluster, members, n_ranks,
                             plan->algorithm, outcome->id, &outcome->held_out_error_frac);
}

/* The model is only there because inputs need one. */
static gboolean predict_row(ValidateCase *c, const NcclRow *n, GError **error)
{
    const ModelFacts tiny = {"gpt2", 1, 64, 1, 1, 256, 256, 64, 0};
    if (!validate_case_model(c, &tiny, error) ||
        !validate_case_set(c, error, "training.strategy=ddp"))
        return FALSE;
    g_autoptr(Inputs) inputs = validate_case_inputs(c, error);
    if (inputs == NULL)
        return FALSE;
    inputs->nccl.version = n->version;
    g_autoptr(Job) job = job_of(n, cluster_n_ranks(inputs->cluster));
    g_autoptr(SimResult) result =
        sim_run(inputs->cluster, job, inputs->profile, &inputs->nccl, error);
    if (result == NULL)
        return FALSE;
    used_for_fit_mark(c->outcome, inputs, n);
    c->outcome->predicted = n->program_s + timeline_end_s(result->timeline, 0, 0) -
                            timeline_start_s(result->timeline, 0, 0);
    return TRUE;
}

static void describe(Outcome *outcome, const CsvRow *row, const NcclRow *n)
{
    g_free(outcome->source);
    outcome->source = g_strdup(csv_row_text(row, "group"));
    g_free(outcome->strategy);
    outcome->strategy = g_strdup(csv_row_text(row, "collective"));
    g_free(outcome->gpu);
    outcome->gpu = g_strdup(csv_row_text(row, "gpu"));
    g_free(outcome->quality);
    outcome->quality = g_strdup(csv_row_text(row, "health"));
    outcome->n_gpus = (int)n->n_gpus;
    outcome->size_bytes = (double)n->bytes;
    if (n->time_s > 0)
        outcome->measured = n->time_s;
}

void validate_nccl_row(const CsvRow *row, gboolean predict_it, GPtrArray *outcomes)
{
    NcclRow n;
    GError *error = NULL;
    Outcome *outcome = outcome_new(VALIDATE_NCCL, csv_row_text(row, "id"), "time_s", "s");
    g_ptr_array_add(outcomes, outcome);
    const gboolean read = nccl_row_read(row, &n, &error);
    describe(outcome, row, &n);
    if (read && !predict_it)
        return;
    g_autoptr(ValidateCase) c = read ? validate_case_new(outcome, &error) : NULL;
    g_autofree char *named = g_strconcat(csv_row_text(row, "source_locator"), " ",
                                         csv_row_text(row, "network"), NULL);
    const PlatformFacts facts = {
        csv_row_text(row, "gpu"), (int)n.gpus_per_node,         (int)n.n_gpus,
        n.nic_GBps * 1e9,         csv_row_text(row, "network"), named};
    if (c == NULL || !validate_case_platform(c, &facts, &error) ||
        !set_algorithm(c, csv_row_text(row, "algo_proto"), &error) ||
        !predict_row(c, &n, &error))
        outcome_fail(outcome, error);
}
