/* SPDX-License-Identifier: MIT */
/* Simulates a job until its step is steady, each attempt in a child of its own, and turns what
 * the child leaves behind into a result or an error. */
#include "error.h"
#include "sim.h"
#include "sim_engine.h"
#include "sim_fold.h"
#include "sim_groups.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Steps are equal when they take the same time to this share of it. */
#define STEADY_FRAC 1e-9

/* Steps to simulate in each attempt. One is enough where all ranks end a step together and no
 * kernel waits for the host, which has nothing issued when the first step begins. */
static const int attempts[] = {1, 2, 4, SIM_MAX_STEPS};

void sim_result_free(SimResult *result)
{
    if (!result)
        return;
    timeline_free(result->timeline);
    g_clear_pointer(&result->links, g_array_unref);
    g_clear_pointer(&result->collectives, g_array_unref);
    g_free(result);
}

static size_t plan_link_bytes(const SimReplay *replay)
{
    return sizeof(double) * N_LINK_CLASSES * (size_t)MAX(1, replay->n_plans);
}

static void replay_free(SimReplay *replay)
{
    g_ptr_array_unref(replay->programs);
    g_clear_pointer(&replay->varying, g_hash_table_unref);
    g_clear_pointer(&replay->groups, g_ptr_array_unref);
    timeline_free(replay->timeline);
    if (replay->outcome != MAP_FAILED)
        munmap(replay->outcome, sizeof *replay->outcome);
    if (replay->class_of_rank != MAP_FAILED)
        munmap(replay->class_of_rank, sizeof(int) * (size_t)replay->job->n_ranks);
    if (replay->plan_link_s)
        munmap(replay->plan_link_s, plan_link_bytes(replay));
    g_clear_pointer(&replay->links, fclose);
    g_free(replay);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SimReplay, replay_free)

static SimReplay *replay_new(const Cluster *cluster, const Job *job)
{
    SimReplay *replay = g_new0(SimReplay, 1);
    replay->cluster = cluster;
    replay->job = job;
    replay->programs = g_ptr_array_new_with_free_func((GDestroyNotify)sim_program_free);
    replay->class_of_rank = mmap(NULL, sizeof(int) * (size_t)job->n_ranks,
                                 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    replay->outcome = mmap(NULL, sizeof *replay->outcome, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    replay->links = tmpfile();
    for (guint p = 0; p < job->programs->len; p++)
        g_ptr_array_add(replay->programs, sim_program_new(g_ptr_array_index(job->programs, p)));
    return replay;
}

static gboolean stuck_fail(const SimReplay *replay, GError **error)
{
    int rank = replay->outcome->stuck_rank;
    const Schedule *schedule = job_program(replay->job, rank);
    const Op *op = schedule_op(schedule, replay->outcome->stuck_op);
    g_autofree char *where =
        op->kind == OP_COLLECTIVE
            ? g_strdup_printf(", on communicator '%s'",
                              job_communicator(replay->job, op->communicator)->name)
            : g_strdup("");
    g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION,
                "deadlock: op %d of rank %d (%s %s%s) never ends", replay->outcome->stuck_op,
                rank, phase_name(op->phase), schedule_label(schedule, op->label), where);
    return FALSE;
}

static const char *flow_host(const Cluster *cluster, int rank, gboolean between_nodes)
{
    const ClusterGpu *gpu = cluster_gpu(cluster, rank);
    return between_nodes && gpu->nic_host ? gpu->nic_host : gpu->gpu_host;
}

static gboolean death_fail(const SimReplay *replay, const char *complaint, GError **error)
{
    const SimOutcome *outcome = replay->outcome;
    const Flow *flow = &outcome->routing;
    if (outcome->progress == SIM_ROUTING)
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: no route from host '%s' to host '%s'", replay->cluster->name,
                    flow_host(replay->cluster, flow->from_rank, flow->between_nodes),
                    flow_host(replay->cluster, flow->to_rank, flow->between_nodes));
    else
        g_set_error(error, ZEROSIM_ERROR,
                    outcome->progress == SIM_LOADING ? ERROR_INPUT : ERROR_SIMULATION, "%s: %s",
                    replay->cluster->name, complaint);
    return FALSE;
}

static gboolean attempt_run(SimReplay *replay, int n_steps, GError **error)
{
    g_autofree char *complaint = NULL;
    if (replay->outcome == MAP_FAILED || replay->class_of_rank == MAP_FAILED ||
        !replay->links || ftruncate(fileno(replay->links), 0) != 0) {
        g_set_error_literal(error, ZEROSIM_ERROR, ERROR_SIMULATION,
                            "no memory or temporary file for a simulation");
        return FALSE;
    }
    rewind(replay->links);
    memset(replay->outcome, 0, sizeof *replay->outcome);
    replay->n_steps = n_steps;
    SimChildEnd end = sim_engine_run_child(sim_replay_run, replay, 0, &complaint);
    if (end != SIM_CHILD_DONE || replay->outcome->progress != SIM_ENDED)
        return death_fail(replay, complaint ? complaint : "SimGrid ended too early", error);
    return replay->outcome->stuck_rank < 0 || stuck_fail(replay, error);
}

static double step_time_s(const SimOutcome *outcome, int step)
{
    return outcome->step_end_s[step] - (step > 0 ? outcome->step_end_s[step - 1] : 0);
}

/* A step is steady when the next one would repeat it: all streams are empty at its end, so it
 * is if the ranks end it together and their hosts are as far ahead as they were; else when it
 * took the time of the one before it. */
static gboolean is_steady(const SimReplay *replay)
{
    const SimOutcome *outcome = replay->outcome;
    int last = replay->n_steps - 1;
    if (outcome->ranks_end_together && outcome->hosts_are_steady)
        return TRUE;
    if (last < 2)
        return FALSE;
    double time_s = step_time_s(outcome, last);
    return fabs(time_s - step_time_s(outcome, last - 1)) <= STEADY_FRAC * time_s;
}

static int link_use_compare(gconstpointer one, gconstpointer other)
{
    return strcmp(((const LinkUse *)one)->name, ((const LinkUse *)other)->name);
}

static void link_use_clear(gpointer data)
{
    g_free(((LinkUse *)data)->name);
}

static GArray *links_read(FILE *file)
{
    GArray *links = g_array_new(FALSE, TRUE, sizeof(LinkUse));
    SimLinkRecord record;
    g_array_set_clear_func(links, link_use_clear);
    rewind(file);
    while (fread(&record, sizeof record, 1, file) == 1) {
        LinkUse link = {
            .name = g_malloc0((gsize)record.name_length + 1),
            .link_class = record.link_class,
            .bandwidth_bytes_per_s = record.bandwidth_bytes_per_s,
            .bytes = record.bytes,
            .peak_utilisation_frac = record.peak_utilisation_frac,
        };
        if (fread(link.name, 1, (size_t)record.name_length, file) != (size_t)record.name_length)
            g_assert_not_reached();
        g_array_append_val(links, link);
    }
    g_array_sort(links, link_use_compare);
    return links;
}

static SimOverlap overlap_of(const SimReplay *replay)
{
    if (!replay->interference.profile || replay->groups->len == 0)
        return SIM_OVERLAP_NONE;
    return replay->interference.is_measured ? SIM_OVERLAP_MEASURED : SIM_OVERLAP_MODELLED;
}

static SimResult *result_new(SimReplay *replay)
{
    SimResult *result = g_new0(SimResult, 1);
    timeline_share(replay->timeline, replay->class_of_rank);
    result->timeline = g_steal_pointer(&replay->timeline);
    result->timeline->step_time_s = step_time_s(replay->outcome, replay->n_steps - 1);
    result->links = links_read(replay->links);
    result->collectives = sim_groups_uses(replay, &result->n_flows);
    result->overlap = overlap_of(replay);
    result->n_steps = replay->n_steps;
    result->is_steady = is_steady(replay);
    return result;
}

static gboolean has_host_time(const SimReplay *replay)
{
    for (guint p = 0; p < replay->programs->len; p++)
        if (sim_program_has_host_time(g_ptr_array_index(replay->programs, p)))
            return TRUE;
    return FALSE;
}

/* Numbers the plans of all groups and gives them room. */
static gboolean plans_number(SimReplay *replay, GError **error)
{
    for (guint g = 0; g < replay->groups->len; g++) {
        SimGroup *group = g_ptr_array_index(replay->groups, g);
        group->first_plan = replay->n_plans;
        replay->n_plans += (int)group->plans->len;
    }
    void *room = mmap(NULL, plan_link_bytes(replay), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) {
        g_set_error_literal(error, ZEROSIM_ERROR, ERROR_SIMULATION,
                            "no memory for a simulation");
        return FALSE;
    }
    replay->plan_link_s = room;
    return TRUE;
}

static SimResult *replay_simulate(SimReplay *replay, const NcclOptions *nccl, GError **error)
{
    g_assert(replay->job->n_ranks <= cluster_n_ranks(replay->cluster));
    replay->timeline = timeline_new(replay->job, error);
    replay->groups = replay->timeline ? sim_groups_build(replay, nccl, error) : NULL;
    if (!replay->groups || !plans_number(replay, error))
        return NULL;
    for (guint i = has_host_time(replay); i < G_N_ELEMENTS(attempts); i++) {
        if (!attempt_run(replay, attempts[i], error))
            return NULL;
        if (is_steady(replay))
            break;
    }
    return result_new(replay);
}

SimResult *sim_run(const Cluster *cluster, const Job *job, const Profile *profile,
                   const NcclOptions *nccl, GError **error)
{
    g_autoptr(SimReplay) replay = replay_new(cluster, job);
    replay->interference = sim_interference_of(profile, job);
    if (!sim_fold_varying(cluster, &replay->varying, error))
        return NULL;
    replay->whole = replay->varying == NULL;
    return replay_simulate(replay, nccl, error);
}

SimResult *sim_run_whole(const Cluster *cluster, const Job *job, const Profile *profile,
                         const NcclOptions *nccl, GError **error)
{
    g_autoptr(SimReplay) replay = replay_new(cluster, job);
    replay->interference = sim_interference_of(profile, job);
    if (!sim_fold_varying(cluster, &replay->varying, error))
        return NULL;
    replay->whole = TRUE;
    return replay_simulate(replay, nccl, error);
}
