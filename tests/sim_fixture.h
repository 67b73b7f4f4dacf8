/* SPDX-License-Identifier: MIT */
/* What the tests of the replay share: schedules of chosen work, two small platforms, runs that
 * must succeed and runs that must fail. */
#pragma once

#include "clusters.h"
#include "error.h"
#include "sim.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static G_GNUC_UNUSED const NcclOptions automatic = {.algorithm = -1, .protocol = -1};
static G_GNUC_UNUSED const NcclOptions simple = {.algorithm = -1, .protocol = PROTOCOL_SIMPLE};

static G_GNUC_UNUSED int compute(Schedule *schedule, Stream stream, double work_s)
{
    int op = schedule_compute(schedule, stream, PHASE_FORWARD, "kernel", NULL, 0, NULL);
    g_array_index(schedule->ops, Op, op).work_s = work_s;
    return op;
}

static G_GNUC_UNUSED int collective(Schedule *schedule, CollectiveKind kind, gint64 bytes)
{
    return schedule_collective(schedule, PHASE_BACKWARD, "collective", kind, bytes, 0);
}

/* Every rank runs `schedule`, which the job then owns. */
static G_GNUC_UNUSED Job *job_of(Schedule *schedule, int n_ranks)
{
    Job *job = job_new(n_ranks);
    g_ptr_array_add(job->programs, schedule);
    return job;
}

/* Rank 0 runs one, rank 1 the other. */
static G_GNUC_UNUSED Job *job_of_two(Schedule *one, Schedule *other)
{
    Job *job = job_of(one, 2);
    g_ptr_array_add(job->programs, other);
    job->program_of_rank[1] = 1;
    return job;
}

/* tests/platforms/sim-bus.xml, its first GPUs. */
static G_GNUC_UNUSED Cluster *bus_cluster(int n_gpus)
{
    g_autofree char *file = shipped_platform("sim-bus.xml");
    Cluster *cluster = cluster_new("sim-bus.xml", file);
    for (int r = 0; r < n_gpus; r++) {
        ClusterGpu gpu = {.gpu_host = g_strdup_printf("gpu-%d", r),
                          .gpu = g_strdup("h100"),
                          .local_rank = r,
                          .nic = -1,
                          .speed = r == 1 ? 0.5 : 1};
        g_array_append_val(cluster->gpus, gpu);
    }
    cluster->n_nodes = 1;
    cluster->nvlink_bytes_per_s = 450e9;
    return cluster;
}

/* Nodes of H100s. */
static G_GNUC_UNUSED Cluster *h100_cluster(int n_nodes, int gpus_per_node)
{
    NodeType node = {
        .name = "test",
        .gpu = "h100",
        .n_gpus = 8,
        .n_nics = 8,
        .nvlink_bytes_per_s = 450e9,
        .nvlink_latency_s = 1e-6,
        .pcie_bytes_per_s = 63e9,
        .nic_bytes_per_s = 50e9,
        .nic_efficiency_frac = 0.97,
        .nic_latency_s = 2e-6,
        .switch_latency_s = 1e-6,
        .leaf_ports = 32,
        .cpu = "intel",
    };
    ClusterSpec spec = {.node = &node,
                        .n_nodes = n_nodes,
                        .gpus_per_node = gpus_per_node,
                        .fabric = FABRIC_RAIL,
                        .oversubscription = 1};
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    Cluster *cluster = cluster_build_spec("test", &spec, warnings, &error);
    ck_assert_msg(cluster != NULL, "%s", error ? error->message : "");
    return cluster;
}

/* Of a GPU whose streaming multiprocessors alone are of interest. */
static G_GNUC_UNUSED const Profile sms_132 = {.name = "toy", .n_sms = 132};

static G_GNUC_UNUSED SimResult *run(const Cluster *cluster, const Job *job,
                                    const NcclOptions *nccl)
{
    g_autoptr(GError) error = NULL;
    SimResult *result = sim_run(cluster, job, NULL, nccl, &error);
    ck_assert_msg(result != NULL, "%s", error ? error->message : "");
    return result;
}

/* With what collectives take from kernels on GPUs of 132 multiprocessors. */
static G_GNUC_UNUSED SimResult *run_beside(const Cluster *cluster, const Job *job,
                                           const NcclOptions *nccl)
{
    g_autoptr(GError) error = NULL;
    SimResult *result = sim_run(cluster, job, &sms_132, nccl, &error);
    ck_assert_msg(result != NULL, "%s", error ? error->message : "");
    return result;
}

static G_GNUC_UNUSED GError *run_to_failure(const Cluster *cluster, const Job *job,
                                            ErrorCode code)
{
    GError *error = NULL;
    ck_assert_ptr_null(sim_run(cluster, job, NULL, &automatic, &error));
    ck_assert(g_error_matches(error, ZEROSIM_ERROR, (int)code));
    ck_assert_ptr_null(strchr(error->message, '\n'));
    return error;
}

static G_GNUC_UNUSED void assert_span(const SimResult *result, int rank, int op, double start_s,
                                      double end_s)
{
    ck_assert_double_eq_tol(timeline_start_s(result->timeline, rank, op), start_s, 1e-12);
    ck_assert_double_eq_tol(timeline_end_s(result->timeline, rank, op), end_s, 1e-12);
}
