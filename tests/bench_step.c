/* SPDX-License-Identifier: MIT */
/* Prints what a whole run of zerosim costs and how that grows with ranks: Llama-2-7B under
 * PyTorch's ZeRO-3, from the experiment file to the result. Asserts nothing. */
#include "predict.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_NODES 128
#define EXPERIMENT "llama-2-7b-dgx-h100.conf"

typedef struct {
    double wall_s, cpu_s, peak_mib;
    int status;
} Cost;

/* The same step through the library, for what the program doesn't print. */
static void counts_print(const char *const *overrides)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Experiment) experiment = experiment_load(EXPERIMENT, overrides, &error);
    g_autoptr(Inputs) inputs =
        experiment ? inputs_load(experiment, FALSE, FALSE, &error) : NULL;
    g_autoptr(Job) job = inputs ? predict_job(inputs, &error) : NULL;
    g_autoptr(SimResult) sim =
        job ? sim_run(inputs->cluster, job, inputs->profile, &inputs->nccl, &error) : NULL;
    if (!sim) {
        printf("bench_step: %s\n", error->message);
        return;
    }
    printf("%6d %10" G_GINT64_FORMAT " %10" G_GINT64_FORMAT, job->n_ranks,
           (gint64)job->n_ranks * schedule_n_ops(job_program(job, 0)), sim->n_flows);
}

/* Runs the body in a child: SimGrid starts once a process. The child's children count. */
static Cost child_measure(void (*body)(const char *const *overrides),
                          const char *const *overrides)
{
    struct rusage usage;
    int status = 0;
    fflush(stdout);
    gint64 began = g_get_monotonic_time();
    pid_t child = fork();
    if (child == 0) {
        body(overrides);
        fflush(stdout);
        _exit(EXIT_SUCCESS);
    }
    wait4(child, &status, 0, &usage);
    return (Cost){
        .wall_s = (double)(g_get_monotonic_time() - began) / 1e6,
        .cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
        .peak_mib = (double)usage.ru_maxrss / 1024,
        .status = status,
    };
}

static void program_run(const char *const *overrides)
{
    if (!freopen("/dev/null", "w", stdout))
        _exit(EXIT_FAILURE);
    execlp("zerosim", "zerosim", "run", EXPERIMENT, "-s", overrides[0], "-s", overrides[1],
           "-s", overrides[2], (char *)NULL);
    _exit(EXIT_FAILURE);
}

int main(void)
{
    puts("zerosim run: Llama-2-7B, PyTorch ZeRO-3");
    printf("%6s %10s %10s %9s %9s %9s\n", "ranks", "ops", "flows", "wall s", "CPU s",
           "peak MiB");
    for (int n_nodes = 1; n_nodes <= MAX_NODES; n_nodes *= 2) {
        g_autofree char *nodes = g_strdup_printf("cluster.nodes=%d", n_nodes);
        const char *const overrides[] = {"training.framework=pytorch",
                                         "training.strategy=zero3", nodes, NULL};
        child_measure(counts_print, overrides);
        const Cost cost = child_measure(program_run, overrides);
        printf(" %9.3f %9.3f %9.1f%s\n", cost.wall_s, cost.cpu_s, cost.peak_mib,
               cost.status == 0 ? "" : " FAILED");
    }
    puts("");
    return EXIT_SUCCESS;
}
