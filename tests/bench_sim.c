/* SPDX-License-Identifier: MIT */
/* Prints what a simulation costs and how it grows: a step of 100 collectives, with three timed
 * ops beside each on two streams, on 8 to 1,024 ranks. Asserts nothing. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_COLLECTIVES_A_STEP 100
#define GPUS_A_NODE 8

/* A layer gathers its parameters, copies them out, and computes; gathers run one layer ahead.
 */
static Job *job_build(int n_ranks)
{
    Schedule *schedule = schedule_new();
    Job *job = job_new(n_ranks);
    int computed[2] = {-1, -1};
    for (int i = 0; i < N_COLLECTIVES_A_STEP; i++) {
        g_autofree char *label = g_strdup_printf("layer %d", i);
        schedule_wait(schedule, STREAM_ALL_GATHER, computed[0]);
        schedule_compute(schedule, STREAM_ALL_GATHER, PHASE_FORWARD, label, NULL, 0, NULL);
        schedule_wait_stream(schedule, STREAM_NCCL, STREAM_ALL_GATHER);
        int gathered =
            schedule_collective(schedule, PHASE_FORWARD, label,
                                i % 3 == 2 ? COLLECTIVE_REDUCE_SCATTER : COLLECTIVE_ALL_GATHER,
                                400 * 1000 * 1000, 0);
        schedule_wait(schedule, STREAM_COMPUTE, gathered);
        schedule_compute(schedule, STREAM_COMPUTE, PHASE_FORWARD, label, NULL, 0, NULL);
        computed[0] = computed[1];
        computed[1] =
            schedule_compute(schedule, STREAM_COMPUTE, PHASE_FORWARD, label, NULL, 0, NULL);
    }
    schedule_synchronize(schedule);
    for (int i = 0; i < schedule_n_ops(schedule); i++)
        g_array_index(schedule->ops, Op, i).work_s =
            schedule_op(schedule, i)->stream == STREAM_COMPUTE ? 1e-3 : 1e-5;
    g_ptr_array_add(job->programs, schedule);
    return job;
}

static Cluster *bench_cluster(int n_nodes)
{
    NodeType node = {
        .name = "bench",
        .gpu = "h100",
        .n_gpus = GPUS_A_NODE,
        .n_nics = GPUS_A_NODE,
        .nvlink_bytes_per_s = 450e9,
        .nvlink_latency_s = 1e-6,
        .pcie_bytes_per_s = 63e9,
        .nic_bytes_per_s = 50e9,
        .nic_efficiency_frac = 0.97,
        .nic_latency_s = 1e-6,
        .switch_latency_s = 1e-6,
        .leaf_ports = 32,
        .cpu = "intel",
    };
    ClusterSpec spec = {.node = &node,
                        .n_nodes = n_nodes,
                        .gpus_per_node = GPUS_A_NODE,
                        .fabric = FABRIC_RAIL,
                        .oversubscription = 1};
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    Cluster *cluster = cluster_build_spec("bench", &spec, warnings, &error);
    if (!cluster)
        g_error("%s", error->message);
    return cluster;
}

static void bench_one(int n_nodes)
{
    g_autoptr(GError) error = NULL;
    const NcclOptions nccl = {.algorithm = -1, .protocol = -1};
    gint64 begin = g_get_monotonic_time();
    g_autoptr(Cluster) cluster = bench_cluster(n_nodes);
    gint64 loaded = g_get_monotonic_time();
    g_autoptr(Job) job = job_build(cluster_n_ranks(cluster));
    g_autoptr(SimResult) result = sim_run(cluster, job, NULL, &nccl, &error);
    gint64 end = g_get_monotonic_time();
    if (!result)
        g_error("%s", error->message);
    printf("%6d %9d %9" G_GINT64_FORMAT " %9.3f %9.3f %11.6f", job->n_ranks,
           job->n_ranks * schedule_n_ops(job_program(job, 0)), result->n_flows,
           (double)(loaded - begin) / 1e6, (double)(end - loaded) / 1e6,
           result->timeline->step_time_s);
}

int main(void)
{
    printf("%6s %9s %9s %9s %9s %11s %9s\n", "ranks", "ops", "flows", "probe s", "replay s",
           "step s", "peak MiB");
    for (int n_nodes = 1; n_nodes * GPUS_A_NODE <= 1024; n_nodes *= 2) {
        struct rusage usage;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            bench_one(n_nodes);
            fflush(stdout);
            _exit(EXIT_SUCCESS);
        }
        wait4(child, NULL, 0, &usage);
        printf(" %9.1f\n", (double)usage.ru_maxrss / 1024);
    }
    return EXIT_SUCCESS;
}
