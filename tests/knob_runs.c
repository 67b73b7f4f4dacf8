/* SPDX-License-Identifier: MIT */
/* Experiments with a knob changed, and what tests read of their schedules. */
#include "knob_runs.h"

#include <check.h>
#include <string.h>

static Experiment *experiment_of(const char *base, const char *change)
{
    g_autofree char *text = g_strdup_printf("model.config=workloads/models/gpt2.json "
                                            "cluster.platform=dgx-a100-80gb %s %s",
                                            base, change);
    g_auto(GStrv) keys = g_strsplit(g_strstrip(text), " ", -1);
    GError *error = NULL;
    Experiment *experiment = experiment_load(NULL, (const char *const *)keys, &error);

    ck_assert_msg(experiment != NULL, "%s", error ? error->message : "");
    return experiment;
}

Inputs *knob_inputs(const char *base, const char *change)
{
    GError *error = NULL;
    g_autoptr(Experiment) experiment = experiment_of(base, change);
    Inputs *inputs = inputs_load(experiment, FALSE, FALSE, &error);

    ck_assert_msg(inputs != NULL, "%s %s: %s", base, change, error ? error->message : "");
    return inputs;
}

KnobRun knob_run_open(const char *base, const char *change)
{
    GError *error = NULL;
    KnobRun run = {.inputs = knob_inputs(base, change)};

    run.job = predict_job(run.inputs, &error);
    ck_assert_msg(run.job != NULL, "%s %s: %s", base, change, error ? error->message : "");
    run.schedule = job_program(run.job, 0);
    return run;
}

void knob_run_close(KnobRun *run)
{
    job_free(run->job);
    inputs_free(run->inputs);
}

/* ---- what is read of a schedule ---- */

double knob_payload_bytes(const KnobRun *run, int kind)
{
    double bytes = 0;

    for (int i = 0; i < schedule_n_ops(run->schedule); i++) {
        const Op *op = schedule_op(run->schedule, i);
        if (op->kind == OP_COLLECTIVE && op->collective == (CollectiveKind)kind)
            bytes += (double)op->payload_bytes;
    }
    return bytes;
}

double knob_n_collectives(const KnobRun *run, int kind)
{
    int n = 0;

    for (int i = 0; i < schedule_n_ops(run->schedule); i++) {
        const Op *op = schedule_op(run->schedule, i);
        n += op->kind == OP_COLLECTIVE && op->collective == (CollectiveKind)kind;
    }
    return n;
}

/* The largest of the kind, or the first. */
double knob_largest_bytes(const KnobRun *run, int kind)
{
    gint64 largest = 0;

    for (int i = 0; i < schedule_n_ops(run->schedule); i++) {
        const Op *op = schedule_op(run->schedule, i);
        if (op->kind == OP_COLLECTIVE && op->collective == (CollectiveKind)kind)
            largest = MAX(largest, op->payload_bytes);
    }
    return (double)largest;
}

double knob_first_bytes(const KnobRun *run, int kind)
{
    for (int i = 0; i < schedule_n_ops(run->schedule); i++) {
        const Op *op = schedule_op(run->schedule, i);
        if (op->kind == OP_COLLECTIVE && op->collective == (CollectiveKind)kind)
            return (double)op->payload_bytes;
    }
    return 0;
}

/* The most that blocks of a category take at once, with what is there between steps. */
double knob_most_bytes(const KnobRun *run, int category)
{
    gint64 alive = 0, most;

    for (guint i = 0; i < run->schedule->persistent->len; i++) {
        PersistentBlock b = g_array_index(run->schedule->persistent, PersistentBlock, i);
        alive += (int)b.category == category ? b.bytes : 0;
    }
    most = alive;
    for (int i = 0; i < schedule_n_ops(run->schedule); i++) {
        const Op *op = schedule_op(run->schedule, i);
        if ((int)op->category != category || (op->kind != OP_ALLOC && op->kind != OP_FREE))
            continue;
        alive += op->kind == OP_ALLOC ? op->bytes : -op->bytes;
        most = MAX(most, alive);
    }
    return (double)most;
}

double knob_model_state_bytes(const KnobRun *run, int ignored G_GNUC_UNUSED)
{
    return (double)run->schedule->model_state_bytes;
}

double knob_n_host_waits(const KnobRun *run, int ignored G_GNUC_UNUSED)
{
    return run->schedule->host_waits->len;
}

/* What is there of a category when forward has ended. */
double knob_held_bytes(const KnobRun *run, int category)
{
    gint64 alive = 0;

    for (int i = 0; i < schedule_n_ops(run->schedule); i++) {
        const Op *op = schedule_op(run->schedule, i);
        if (op->phase != PHASE_FORWARD)
            break;
        if ((int)op->category == category)
            alive += op->kind == OP_ALLOC ? op->bytes : op->kind == OP_FREE ? -op->bytes : 0;
    }
    return (double)alive;
}

/* All-gathers beside the world's communicator. */
double knob_gathered_apart_bytes(const KnobRun *run, int phase)
{
    double bytes = 0;

    for (int i = 0; i < schedule_n_ops(run->schedule); i++) {
        const Op *op = schedule_op(run->schedule, i);
        if (op->kind == OP_COLLECTIVE && op->collective == COLLECTIVE_ALL_GATHER &&
            op->communicator > 0 && op->phase == (Phase)phase)
            bytes += (double)op->payload_bytes;
    }
    return bytes;
}

/* The most blocks of a label that are there at once in a phase. */
static double most_blocks(const KnobRun *run, const char *label, Phase phase)
{
    int alive = 0, most = 0;

    for (int i = 0; i < schedule_n_ops(run->schedule); i++) {
        const Op *op = schedule_op(run->schedule, i);
        const Op *block = op->kind == OP_FREE ? schedule_op(run->schedule, op->alloc) : op;
        if ((op->kind != OP_ALLOC && op->kind != OP_FREE) ||
            !g_str_has_prefix(schedule_label(run->schedule, block->label), label))
            continue;
        alive += op->kind == OP_ALLOC ? 1 : -1;
        most = op->phase == phase ? MAX(most, alive) : most;
    }
    return most;
}

double knob_n_gathering(const KnobRun *run, int phase)
{
    return most_blocks(run, "all_gather output", (Phase)phase);
}

double knob_n_unsharded(const KnobRun *run, int phase)
{
    return most_blocks(run, "unsharded", (Phase)phase);
}

double knob_n_launches(const KnobRun *run, int op_kind)
{
    double n = 0;

    for (guint k = 0; k < run->schedule->kernels->len; k++) {
        const Kernel *kernel = &g_array_index(run->schedule->kernels, Kernel, k);
        n += (int)kernel->op == op_kind ? kernel_n_launches(kernel) : 0;
    }
    return n;
}

double knob_n_products(const KnobRun *run, int dtype)
{
    int n = 0;

    for (guint k = 0; k < run->schedule->kernels->len; k++) {
        const Kernel *kernel = &g_array_index(run->schedule->kernels, Kernel, k);
        n += kernel->op == KERNEL_GEMM && (int)kernel->dtype == dtype;
    }
    return n;
}
