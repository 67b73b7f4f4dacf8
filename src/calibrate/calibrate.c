/* SPDX-License-Identifier: MIT */
/* zerosim-calibrate: times kernels on the present GPU and writes the profile that zerosim
 * predicts with. This file is the order of events; what is measured is in plan.c, how in the
 * .cu files, what is written in profile_out.c. */
#include "bench.h"
#include "options.h"
#include "profile_out.h"
#include "progress.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NO_GPU = 77 };

/* Set by SIGINT and SIGTERM: what has been measured is still written. */
static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static int fail(int status, const char *message)
{
    fprintf(stderr, "zerosim-calibrate: %s\n", message);
    return status;
}

static bool is_built(const PlanOp *op, const BuildFacts *build)
{
    if (!op->library)
        return true;
    if (strcmp(op->library, "cuDNN") == 0)
        return build->cudnn != NULL;
    if (strcmp(op->library, "NCCL") == 0)
        return build->nccl != NULL;
    return true;
}

static void print_build(const BuildFacts *build)
{
    printf("built with: CUDA %s for %s, cuBLASLt %s, cuDNN %s, NCCL %s\n", build->cuda,
           build->architectures, build->cublaslt, build->cudnn ? build->cudnn : "absent",
           build->nccl ? build->nccl : "absent");
    if (!build->cudnn)
        puts("without cuDNN: fused attention, convolutions, batch norm and pooling are absent");
    if (!build->nccl)
        puts("without NCCL: collectives are absent");
    puts("never measured here: attention_forward, attention_backward (FlashAttention-2, which "
         "PyTorch runs)");
}

/* The plan with the second at which each measurement should begin. */
static int list(const Options *options)
{
    const BuildFacts build = bench_build_facts();
    char reason[192] = "", text[160];
    const int gpus = bench_count_gpus(reason, sizeof reason);
    Plan *plan = plan_new(gpus);
    double start_s = 0;
    int stage = -1;
    print_build(&build);
    if (gpus == 0)
        printf("no GPU here: %s\n", reason);
    for (size_t i = 0; i < plan->n; i++) {
        const Measurement *m = &plan->items[i];
        const bool built = is_built(m->op, &build);
        if (!options_select(options, m))
            continue;
        if (m->stage != stage)
            printf("\n%s\n", plan_stage_name(m->stage));
        stage = m->stage;
        plan_describe(m, text, sizeof text);
        printf("%7.1f s  %s%s%s%s\n", start_s,
               m->kind == MEASURE_KERNEL ? "" : plan_kind_name(m->kind),
               m->kind == MEASURE_KERNEL ? "" : " ", text,
               built ? (m->probe ? " (probe)" : "") : " (absent in this build)");
        start_s += built ? m->estimate_s : 0;
    }
    printf("\n%.0f s in all, about\n", start_s);
    plan_free(plan);
    return EXIT_DONE;
}

/* Drops what isn't asked for, isn't built or is done; returns the rest's estimate. */
static double reduce(Plan *plan, const Options *options, const ProfileOut *out)
{
    const BuildFacts build = bench_build_facts();
    double estimate_s = 0;
    size_t n = 0;
    for (size_t i = 0; i < plan->n; i++) {
        const Measurement m = plan->items[i];
        if (!options_select(options, &m) || !is_built(m.op, &build) ||
            (!options->again && profile_out_has(out, &m)))
            continue;
        plan->items[n++] = m;
        estimate_s += m.estimate_s;
    }
    plan->n = n; /* the index is not used any more */
    return estimate_s;
}

#define WRITE_EVERY_S 30

/* Facts and results so far: whatever ends the program, the file is a profile. */
static bool save(const Bench *bench, ProfileOut *out, const char *command_line, char *message,
                 size_t size)
{
    Machine machine;
    bench_describe(bench, &machine);
    profile_out_describe(out, &machine, command_line);
    return profile_out_write(out, message, size);
}

/* Recorded, so that the next run goes on behind it: nothing else can be done with this context.
 */
static bool give_up(const Bench *bench, const Measurement *m, Result *result, ProfileOut *out,
                    const char *command_line, char *message, size_t size)
{
    char what[160];
    plan_describe(m, what, sizeof what);
    profile_out_add(out, m, result);
    if (save(bench, out, command_line, message, size))
        snprintf(
            message, size,
            "the GPU failed in %s: %s; what was measured is saved, and another run goes on "
            "behind it",
            what, result->reason);
    return false;
}

/* Until the plan or the budget ends; false with a message when the file can't be written. */
static bool run(Bench *bench, Plan *plan, Progress *progress, ProfileOut *out,
                const char *command_line, char *message, size_t size)
{
    double written_s = progress_now_s();
    for (size_t i = 0; i < plan->n && !interrupted; i++) {
        Result result;
        if (plan->items[i].estimate_s > progress_left_s(progress))
            continue;
        progress_show(progress, &plan->items[i]);
        bench_measure(bench, &plan->items[i], &result);
        if (result.status == RESULT_BROKEN)
            return give_up(bench, &plan->items[i], &result, out, command_line, message, size);
        profile_out_add(out, &plan->items[i], &result);
        progress_done(progress, &plan->items[i]);
        if (progress_now_s() - written_s > WRITE_EVERY_S) {
            if (!save(bench, out, command_line, message, size))
                return false;
            written_s = progress_now_s();
        }
    }
    return true;
}

static int measure(Bench *bench, const Options *options, const char *command_line)
{
    char message[4352] = "", name[128], file[256];
    Machine machine;
    ProfileOut out;
    Progress progress;
    bench_describe(bench, &machine);
    profile_facts_name(machine.name, name, sizeof name);
    const char *gpu = options->gpu ? options->gpu : name;
    snprintf(file, sizeof file, "%s.json", gpu);
    if (!profile_out_open(&out, options->output ? options->output : file, gpu, message,
                          sizeof message)) {
        profile_out_close(&out);
        return fail(EXIT_USAGE, message);
    }
    Plan *plan = plan_new(machine.n_gpus);
    const double estimate_s = reduce(plan, options, &out);
    progress_start(&progress, options->budget_s, plan->n, estimate_s);
    bool done = run(bench, plan, &progress, &out, command_line, message, sizeof message);
    progress_end(&progress);
    if (done)
        done = save(bench, &out, command_line, message, sizeof message);
    if (done)
        printf("%s: %zu of %zu measurements\n", out.file, progress.n_done, plan->n);
    plan_free(plan);
    profile_out_close(&out);
    return done ? EXIT_DONE : fail(EXIT_FAILED, message);
}

int main(int argc, char **argv)
{
    Options options;
    char message[512] = "", command_line[512];
    if (!options_parse(argc, argv, &options, message, sizeof message))
        return fail(EXIT_USAGE, message);
    if (options.help || options.version) {
        fputs(options.help ? options_help : "zerosim-calibrate " PACKAGE_VERSION "\n", stdout);
        return EXIT_DONE;
    }
    if (options.list)
        return list(&options);
    if (bench_count_gpus(message, sizeof message) == 0) {
        fprintf(stderr, "zerosim-calibrate: no GPU: %s\n", message);
        return EXIT_NO_GPU;
    }
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    Bench *bench = bench_open(message, sizeof message);
    if (!bench)
        return fail(EXIT_FAILED, message);
    options_command_line(argc, argv, command_line, sizeof command_line);
    const int status = measure(bench, &options, command_line);
    bench_close(bench);
    return status;
}
