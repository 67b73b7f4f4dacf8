/* SPDX-License-Identifier: MIT */
/* The child of a simulation: resolves routes, finds what is alike, lets the rest run, and
 * leaves behind what its parent reads. */
#include "sim_replay.h"

#include "sim_collective.h"
#include "sim_engine.h"
#include "sim_world.h"

#include <simgrid/actor.h>
#include <simgrid/config.h>
#include <simgrid/engine.h>
#include <string.h>
#include <xbt/config.h>

/* Actors need little stack, and there are thousands. */
#define STACK_KIB 64
/* SimGrid takes dates that are this close for one (its default: 1 ns). */
#define TIMING_PRECISION_S 1e-13

static void conductors_route(SimWorld *world)
{
    const SimReplay *replay = world->replay;
    for (guint g = 0; g < replay->groups->len; g++)
        g_ptr_array_add(
            world->conductors,
            sim_conductor_new(replay, g_ptr_array_index(replay->groups, g), world->network));
    replay->outcome->progress = SIM_ROUTING;
    sim_conductors_route(world->conductors);
    replay->outcome->progress = SIM_RUNNING;
}

static void world_fold(SimWorld *world)
{
    const SimReplay *replay = world->replay;
    g_autoptr(GPtrArray) behaviours = g_ptr_array_new_with_free_func(g_free);
    for (guint g = 0; g < world->conductors->len; g++)
        g_ptr_array_add(behaviours,
                        sim_conductor_behaviour(g_ptr_array_index(world->conductors, g)));
    world->fold = sim_fold_new(replay, behaviours);
    memcpy(replay->class_of_rank, world->fold->class_of_rank,
           sizeof(int) * (size_t)replay->job->n_ranks);
    timeline_share(replay->timeline, replay->class_of_rank);
}

static void rank_init(SimWorld *world, int class)
{
    const SimReplay *replay = world->replay;
    int leader = world->fold->leader[class];
    SimRank *rank = &world->ranks[class];
    rank->world = world;
    rank->program = g_ptr_array_index(replay->programs, replay->job->program_of_rank[leader]);
    rank->sim_host = sim_host_new(rank->program);
    rank->host =
        sim_network_host(world->network, cluster_gpu(replay->cluster, leader)->gpu_host);
    for (int s = 0; s < N_STREAMS; s++) {
        int n = rank->n_segments[s] = sim_program_n_segments(rank->program, (Stream)s);
        rank->start_s[s] = g_new0(double, n + 1);
        rank->end_s[s] = g_new0(double, n + 1);
    }
}

/* Of groups that are alike, the first is simulated, and the others count what it does. */
static void group_init(SimWorld *world, guint g)
{
    SimConductor *conductor = g_ptr_array_index(world->conductors, g);
    guint like = world->fold->like[g];
    if (like != g) {
        sim_conductor_imitate(conductor, g_ptr_array_index(world->conductors, like));
        return;
    }
    SimWorldGroup *group = g_new0(SimWorldGroup, 1);
    group->world = world;
    group->group = conductor->group;
    group->conductor = conductor;
    group->classes = g_ptr_array_index(world->fold->classes_of_group, g);
    group->stream = stream_of_communicator(conductor->group->communicator);
    group->all_at_collective = sg_sem_init(0);
    g_ptr_array_add(world->groups, group);
    for (guint i = 0; i < group->classes->len; i++)
        world->ranks[g_array_index(group->classes, int, i)]
            .group[conductor->group->communicator] = group;
}

/* In an actor, since the platform is complete only when the simulation runs. */
static void starter_actor(int argc, char *argv[])
{
    (void)argc;
    (void)argv;
    SimWorld *world = sg_actor_self_get_data();
    conductors_route(world);
    world_fold(world);
    world->ranks = g_new0(SimRank, world->fold->n_classes);
    for (int r = 0; r < world->fold->n_classes; r++)
        rank_init(world, r);
    for (guint g = 0; g < world->conductors->len; g++)
        group_init(world, g);
    sim_world_start(world);
}

/* Of the first rank that didn't finish: the lowest op that never ended. */
static void stuck_find(const SimWorld *world)
{
    SimOutcome *outcome = world->replay->outcome;
    outcome->stuck_rank = outcome->stuck_op = -1;
    for (int r = 0; r < world->fold->n_classes && outcome->stuck_rank < 0; r++) {
        const SimRank *rank = &world->ranks[r];
        for (int s = 0; s < N_STREAMS; s++) {
            if (sim_rank_stream_has_ended(rank, (Stream)s))
                continue;
            const SimSegment *segment = sim_program_segment(
                rank->program, (Stream)s, rank->ended[s] % rank->n_segments[s]);
            int op = sim_program_op(rank->program, (Stream)s, segment, 0);
            if (outcome->stuck_rank < 0 || op < outcome->stuck_op)
                outcome->stuck_op = op;
            outcome->stuck_rank = world->fold->leader[r];
        }
    }
}

static gboolean rank_host_is_steady(SimRank *rank, int last)
{
    double begin_s = last > 0 ? rank->step_end_s[last - 1] : 0;
    return sim_host_is_steady(rank->sim_host, last, begin_s, rank->step_end_s[last],
                              rank->end_s);
}

static void steps_conclude(const SimWorld *world)
{
    SimOutcome *outcome = world->replay->outcome;
    int last = world->replay->n_steps - 1;
    double first_s = G_MAXDOUBLE;
    outcome->hosts_are_steady = TRUE;
    for (int r = 0; r < world->fold->n_classes; r++) {
        for (int step = 0; step <= last; step++)
            outcome->step_end_s[step] =
                MAX(outcome->step_end_s[step], world->ranks[r].step_end_s[step]);
        first_s = MIN(first_s, world->ranks[r].step_end_s[last]);
        outcome->hosts_are_steady &= rank_host_is_steady(&world->ranks[r], last);
    }
    outcome->ranks_end_together =
        outcome->step_end_s[last] - first_s <= 1e-12 * outcome->step_end_s[last];
}

/* The last step, in time since the end of the one before it. */
static void timeline_fill(const SimWorld *world)
{
    const SimReplay *replay = world->replay;
    Timeline *timeline = replay->timeline;
    int last = replay->n_steps - 1;
    double origin_s = last > 0 ? replay->outcome->step_end_s[last - 1] : 0;
    for (int r = 0; r < world->fold->n_classes; r++) {
        const SimRank *rank = &world->ranks[r];
        gint64 first = timeline->first[world->fold->leader[r]];
        double begin_s = last > 0 ? rank->step_end_s[last - 1] : 0;
        sim_program_spread(rank->program, rank->start_s, rank->end_s, begin_s,
                           &timeline->start_s[first], &timeline->end_s[first]);
    }
    for (gint64 i = 0; i < timeline->n_times; i++) {
        timeline->start_s[i] -= origin_s;
        timeline->end_s[i] -= origin_s;
    }
}

static void links_write(const SimNetwork *network, FILE *file)
{
    for (guint i = 0; i < network->links->len; i++) {
        const SimLink *link = &g_array_index(network->links, SimLink, i);
        const char *name = sg_link_get_name(link->link);
        SimLinkRecord record = {
            .link_class = link->link_class,
            .name_length = (int)strlen(name),
            .bandwidth_bytes_per_s = link->bandwidth_bytes_per_s,
            .bytes = link->bytes,
            .peak_utilisation_frac = link->peak_utilisation_frac,
        };
        if (link->link_class == LINK_ENGINE)
            continue;
        fwrite(&record, sizeof record, 1, file);
        fwrite(name, 1, (size_t)record.name_length, file);
    }
    fflush(file);
}

void sim_replay_run(void *data)
{
    SimReplay *replay = data;
    SimWorld world = {
        .replay = replay, .conductors = g_ptr_array_new(), .groups = g_ptr_array_new()};
    sim_engine_load(replay->cluster->xml_file);
    sg_cfg_set_int("contexts/stack-size", STACK_KIB);
    sg_cfg_set_double("surf/precision", TIMING_PRECISION_S);
    replay->outcome->progress = SIM_STARTING;
    world.network = sim_network_open(replay->cluster, replay->varying);
    sg_actor_t starter = sg_actor_init(
        "starter", sim_network_host(world.network, cluster_gpu(replay->cluster, 0)->gpu_host));
    sg_actor_set_data(starter, &world);
    sg_actor_start(starter, starter_actor, 0, NULL);
    simgrid_run();
    stuck_find(&world);
    if (replay->outcome->stuck_rank < 0) {
        sim_conductors_account(world.conductors);
        steps_conclude(&world);
        timeline_fill(&world);
        links_write(world.network, replay->links);
    }
    replay->outcome->progress = SIM_ENDED;
}
