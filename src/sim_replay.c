/* SPDX-License-Identifier: MIT */
/* The child of a simulation. Each stream with compute ops is an actor on its GPU; a
 * communicator's streams of all ranks of a group are one actor, since their collectives are
 * entered and left together. An op that has ended raises a counter of its stream; an actor
 * sleeps on a semaphore only where the counters say that it must. */
#include "sim_replay.h"

#include "sim_collective.h"
#include "sim_engine.h"
#include "sim_host.h"

#include <math.h>
#include <simgrid/actor.h>
#include <simgrid/config.h>
#include <simgrid/engine.h>
#include <simgrid/exec.h>
#include <string.h>
#include <xbt/config.h>

/* Actors need little stack, and there are thousands. */
#define STACK_KIB 64
/* SimGrid takes dates that are this close for one (its default: 1 ns). */
#define TIMING_PRECISION_S 1e-13

/* Work that no simulation sees the end of. */
#define ENDLESS_FLOP 1e30

typedef struct _World World;
typedef struct _Group Group;

/* A class of equal ranks on its way through the steps. Arrays by stream, then by segment of the
 * step. */
typedef struct {
    World *world;
    const SimProgram *program;
    sg_host_t host;
    int ended[N_STREAMS]; /* segments, over all steps */
    int n_segments[N_STREAMS];
    double *start_s[N_STREAMS], *end_s[N_STREAMS];
    double step_end_s[SIM_MAX_STEPS];
    SimHost *sim_host;
    gboolean is_blocked[N_STREAMS];
    sg_sem_t wake[N_STREAMS];        /* made when first needed */
    Group *group[MAX_COMMUNICATORS]; /* NULL: no collectives */
    gboolean is_at_collective[MAX_COMMUNICATORS];
    sg_exec_t
        occupation[MAX_COMMUNICATORS]; /* what NCCL's kernel holds of the GPU; NULL: none */
} Rank;

typedef struct {
    Rank *rank;
    Stream stream;
} StreamActor;

/* Ranks that meet in the collectives of a communicator. */
struct _Group {
    World *world;
    const SimGroup *group;
    SimConductor *conductor;
    Stream stream;
    int n_at_collective;
    double issued_s; /* when the last host has issued the next collective */
    gboolean conductor_is_blocked;
    sg_sem_t all_at_collective;
};

struct _World {
    const SimReplay *replay;
    GPtrArray *conductors; /* SimConductor *, by group */
    Rank *ranks;           /* by class */
    int n_classes;
    gboolean is_routed;
    int n_stream_actors, n_at_work;
    sg_sem_t ended; /* raised for each when the last one has done its work */
};

/* Whether the stream's next segment may start: what it needs has ended, and so has all of the
 * rank's previous step. */
static gboolean segment_is_ready(const Rank *rank, Stream stream)
{
    int step = rank->ended[stream] / rank->n_segments[stream];
    int index = rank->ended[stream] % rank->n_segments[stream];
    const SimSegment *segment = sim_program_segment(rank->program, stream, index);
    for (int s = 0; s < N_STREAMS; s++)
        if (rank->ended[s] < step * rank->n_segments[s] + segment->needed[s])
            return FALSE;
    return TRUE;
}

static gboolean stream_has_ended(const Rank *rank, Stream stream)
{
    int n_steps = rank->world->replay->n_steps;
    return rank->ended[stream] == n_steps * rank->n_segments[stream];
}

/* When the host has issued the segment, as far as it must for the segment to start. */
static double segment_issued_s(Rank *rank, Stream stream, const SimSegment *segment)
{
    int step = rank->ended[stream] / rank->n_segments[stream];
    return sim_host_epoch_s(rank->sim_host, step, segment->epoch, rank->end_s) + segment->lag_s;
}

/* NCCL's kernel holds its part of the GPU while it waits for other ranks too. What an endless
 * execution takes by its bound, SimGrid gives to no other. */
static void occupation_begin(Rank *rank, int communicator, double frac)
{
    if (frac <= 0)
        return;
    sg_exec_t exec = sg_actor_exec_init(ENDLESS_FLOP);
    sg_exec_set_host(exec, rank->host);
    sg_exec_set_bound(exec, frac * sg_host_get_speed(rank->host));
    sg_exec_start(exec);
    rank->occupation[communicator] = exec;
}

/* SimGrid's C API can't free what it has cancelled: that stays until the child ends. */
static void occupation_end(Rank *rank, int communicator)
{
    if (!rank->occupation[communicator])
        return;
    sg_exec_cancel(rank->occupation[communicator]);
    rank->occupation[communicator] = NULL;
}

/* The rank's stream of a communicator has reached its next collective, or not. */
static void collective_arrive(Rank *rank, int communicator)
{
    Group *group = rank->group[communicator];
    if (!group || rank->is_at_collective[communicator] ||
        stream_has_ended(rank, group->stream) || !segment_is_ready(rank, group->stream))
        return;
    int k = rank->ended[group->stream] % rank->n_segments[group->stream];
    double issued_s = segment_issued_s(rank, group->stream,
                                       sim_program_segment(rank->program, group->stream, k));
    rank->is_at_collective[communicator] = TRUE;
    group->issued_s = MAX(group->issued_s, issued_s);
    if (issued_s <= simgrid_get_clock())
        occupation_begin(rank, communicator,
                         sim_conductor_interference_frac(group->conductor, k));
    else
        sim_host_note_late(rank->sim_host);
    if (++group->n_at_collective == group->group->n_classes && group->conductor_is_blocked) {
        group->conductor_is_blocked = FALSE;
        sg_sem_release(group->all_at_collective);
    }
}

/* Something of the rank has ended: wakes what waited for it. */
static void rank_advance(Rank *rank)
{
    for (int s = 0; s < N_STREAMS; s++)
        if (rank->is_blocked[s] && segment_is_ready(rank, (Stream)s)) {
            rank->is_blocked[s] = FALSE;
            sg_sem_release(rank->wake[s]);
        }
    for (int c = 0; c < MAX_COMMUNICATORS; c++)
        collective_arrive(rank, c);
}

static void segment_end(Rank *rank, Stream stream, double start_s)
{
    int step = rank->ended[stream] / rank->n_segments[stream];
    int index = rank->ended[stream] % rank->n_segments[stream];
    double now_s = simgrid_get_clock();
    rank->start_s[stream][index] = start_s;
    rank->end_s[stream][index] = now_s;
    rank->step_end_s[step] = MAX(rank->step_end_s[step], now_s);
    rank->ended[stream]++;
}

static void segment_await_issue(Rank *rank, Stream stream, const SimSegment *segment)
{
    double now_s = simgrid_get_clock();
    double issued_s = segment_issued_s(rank, stream, segment);
    if (issued_s <= now_s)
        return;
    sim_host_note_late(rank->sim_host);
    sg_actor_sleep_for(issued_s - now_s);
}

/* SimGrid cancels what an actor has started when it ends: all stay until the last may go. */
static void stream_actor_leave(World *world)
{
    if (--world->n_at_work == 0)
        for (int i = 0; i < world->n_stream_actors; i++)
            sg_sem_release(world->ended);
    sg_sem_acquire(world->ended);
}

static void stream_actor(int argc, char *argv[])
{
    (void)argc;
    (void)argv;
    const StreamActor *actor = sg_actor_self_get_data();
    Rank *rank = actor->rank;
    Stream stream = actor->stream;
    while (!stream_has_ended(rank, stream)) {
        if (!segment_is_ready(rank, stream)) {
            if (!rank->wake[stream])
                rank->wake[stream] = sg_sem_init(0);
            rank->is_blocked[stream] = TRUE;
            sg_sem_acquire(rank->wake[stream]);
        }
        int index = rank->ended[stream] % rank->n_segments[stream];
        const SimSegment *segment = sim_program_segment(rank->program, stream, index);
        segment_await_issue(rank, stream, segment);
        double start_s = simgrid_get_clock();
        if (segment->work_s > 0)
            sg_actor_execute(segment->work_s * 1e9); /* "1Gf" is the profile's speed */
        segment_end(rank, stream, start_s);
        rank_advance(rank);
    }
    stream_actor_leave(rank->world);
}

static Rank *group_rank(const Group *group, int index)
{
    return &group->world->ranks[group->group->classes[index]];
}

/* Waits until all ranks are at the k-th collective. Where a host is late, it is the last host
 * that counts: NCCL's kernels of other late ones begin to hold their GPUs with it. */
static void collective_gather(Group *group, int k)
{
    int n_classes = group->group->n_classes, communicator = group->group->communicator;
    if (group->n_at_collective < n_classes) {
        group->conductor_is_blocked = TRUE;
        sg_sem_acquire(group->all_at_collective);
    }
    if (group->issued_s > simgrid_get_clock())
        sg_actor_sleep_for(group->issued_s - simgrid_get_clock());
    for (int m = 0; m < n_classes; m++)
        if (!group_rank(group, m)->occupation[communicator])
            occupation_begin(group_rank(group, m), communicator,
                             sim_conductor_interference_frac(group->conductor, k));
}

/* The last rank's arrival starts a collective, and all leave it together. */
static void collective_run(Group *group, int k, gboolean is_last_step)
{
    int n_classes = group->group->n_classes;
    collective_gather(group, k);
    double start_s = simgrid_get_clock();
    sim_conductor_run(group->conductor, k, is_last_step);
    group->n_at_collective = 0;
    for (int m = 0; m < n_classes; m++) {
        Rank *rank = group_rank(group, m);
        rank->is_at_collective[group->group->communicator] = FALSE;
        occupation_end(rank, group->group->communicator);
        segment_end(rank, group->stream, start_s);
    }
    for (int m = 0; m < n_classes; m++)
        rank_advance(group_rank(group, m));
}

/* All of them, before anything flows: the platform is complete only now. */
static void world_route(World *world)
{
    if (world->is_routed)
        return;
    world->is_routed = TRUE;
    world->replay->outcome->progress = SIM_ROUTING;
    sim_conductors_route(world->conductors);
    world->replay->outcome->progress = SIM_RUNNING;
}

static void conductor_actor(int argc, char *argv[])
{
    (void)argc;
    (void)argv;
    Group *group = sg_actor_self_get_data();
    int n_steps = group->world->replay->n_steps;
    world_route(group->world);
    for (int m = 0; m < group->group->n_classes; m++)
        collective_arrive(group_rank(group, m), group->group->communicator);
    for (int step = 0; step < n_steps; step++)
        for (int k = 0; k < (int)group->group->plan_of->len; k++)
            collective_run(group, k, step == n_steps - 1);
    sim_conductor_end(group->conductor);
}

static void actor_start(const char *name, sg_host_t host, void (*code)(int, char *[]),
                        void *data)
{
    sg_actor_t actor = sg_actor_init(name, host);
    sg_actor_set_data(actor, data);
    sg_actor_start(actor, code, 0, NULL);
}

static void rank_start(World *world, int class)
{
    const SimReplay *replay = world->replay;
    int leader = replay->fold->leader[class];
    Rank *rank = &world->ranks[class];
    rank->world = world;
    rank->program = g_ptr_array_index(replay->programs, replay->job->program_of_rank[leader]);
    rank->sim_host = sim_host_new(rank->program);
    rank->host = sg_host_by_name(cluster_gpu(replay->cluster, leader)->gpu_host);
    for (int s = 0; s < N_STREAMS; s++) {
        int n = rank->n_segments[s] = sim_program_n_segments(rank->program, (Stream)s);
        if (n == 0)
            continue;
        rank->start_s[s] = g_new0(double, n);
        rank->end_s[s] = g_new0(double, n);
        if (stream_is_communicator((Stream)s))
            continue;
        StreamActor *actor = g_new(StreamActor, 1);
        *actor = (StreamActor){.rank = rank, .stream = (Stream)s};
        world->n_stream_actors = ++world->n_at_work;
        actor_start(stream_name((Stream)s), rank->host, stream_actor, actor);
    }
}

static void group_start(World *world, const SimGroup *sim_group, SimNetwork *network)
{
    Group *group = g_new0(Group, 1);
    const ClusterGpu *first = cluster_gpu(world->replay->cluster, sim_group->members[0]);
    group->world = world;
    group->group = sim_group;
    group->stream = stream_of_communicator(sim_group->communicator);
    group->conductor = sim_conductor_new(world->replay, sim_group, network);
    group->all_at_collective = sg_sem_init(0);
    g_ptr_array_add(world->conductors, group->conductor);
    for (int m = 0; m < sim_group->n_classes; m++)
        group_rank(group, m)->group[sim_group->communicator] = group;
    actor_start("conductor", sg_host_by_name(first->gpu_host), conductor_actor, group);
}

/* Of the first rank that didn't finish: the lowest op that never ended. */
static void stuck_find(const World *world)
{
    SimOutcome *outcome = world->replay->outcome;
    outcome->stuck_rank = outcome->stuck_op = -1;
    for (int r = 0; r < world->n_classes && outcome->stuck_rank < 0; r++) {
        const Rank *rank = &world->ranks[r];
        for (int s = 0; s < N_STREAMS; s++) {
            if (stream_has_ended(rank, (Stream)s))
                continue;
            const SimSegment *segment = sim_program_segment(
                rank->program, (Stream)s, rank->ended[s] % rank->n_segments[s]);
            int op = sim_program_op(rank->program, (Stream)s, segment, 0);
            if (outcome->stuck_rank < 0 || op < outcome->stuck_op)
                outcome->stuck_op = op;
            outcome->stuck_rank = world->replay->fold->leader[r];
        }
    }
}

static gboolean rank_host_is_steady(Rank *rank, int last)
{
    double begin_s = last > 0 ? rank->step_end_s[last - 1] : 0;
    return sim_host_is_steady(rank->sim_host, last, begin_s, rank->step_end_s[last],
                              rank->end_s);
}

static void steps_conclude(const World *world)
{
    SimOutcome *outcome = world->replay->outcome;
    int last = world->replay->n_steps - 1;
    double first_s = G_MAXDOUBLE;
    outcome->hosts_are_steady = TRUE;
    for (int r = 0; r < world->n_classes; r++) {
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
static void timeline_fill(const World *world)
{
    const SimReplay *replay = world->replay;
    Timeline *timeline = replay->timeline;
    int last = replay->n_steps - 1;
    double origin_s = last > 0 ? replay->outcome->step_end_s[last - 1] : 0;
    for (int r = 0; r < world->n_classes; r++) {
        const Rank *rank = &world->ranks[r];
        gint64 first = timeline->first[replay->fold->leader[r]];
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
    World world = {.replay = replay, .n_classes = replay->fold->n_classes};
    sim_engine_load(replay->cluster->xml_file);
    sg_cfg_set_int("contexts/stack-size", STACK_KIB);
    sg_cfg_set_double("surf/precision", TIMING_PRECISION_S);
    replay->outcome->progress = SIM_STARTING;
    SimNetwork *network = sim_network_open();
    world.ranks = g_new0(Rank, world.n_classes);
    world.conductors = g_ptr_array_new();
    world.ended = sg_sem_init(0);
    for (guint g = 0; g < replay->groups->len; g++)
        group_start(&world, g_ptr_array_index(replay->groups, g), network);
    for (int r = 0; r < world.n_classes; r++)
        rank_start(&world, r);
    simgrid_run();
    stuck_find(&world);
    if (replay->outcome->stuck_rank < 0) {
        sim_conductors_account(world.conductors);
        steps_conclude(&world);
        timeline_fill(&world);
        links_write(network, replay->links);
    }
    replay->outcome->progress = SIM_ENDED;
}
