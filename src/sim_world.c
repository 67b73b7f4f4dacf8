/* SPDX-License-Identifier: MIT */
/* The actors of a replay. An op that has ended raises a counter of its stream; an actor sleeps
 * on a semaphore only where the counters say that it must. */
#include "sim_world.h"

#include <simgrid/actor.h>
#include <simgrid/engine.h>

/* Work that no simulation sees the end of. */
#define ENDLESS_FLOP 1e30

typedef struct {
    SimRank *rank;
    Stream stream;
} StreamActor;

/* Whether the stream's next segment may start: what it needs has ended, and so has all of the
 * rank's previous step. */
static gboolean segment_is_ready(const SimRank *rank, Stream stream)
{
    int step = rank->ended[stream] / rank->n_segments[stream];
    int index = rank->ended[stream] % rank->n_segments[stream];
    const SimSegment *segment = sim_program_segment(rank->program, stream, index);
    for (int s = 0; s < N_STREAMS; s++)
        if (rank->ended[s] < step * rank->n_segments[s] + segment->needed[s])
            return FALSE;
    return TRUE;
}

gboolean sim_rank_stream_has_ended(const SimRank *rank, Stream stream)
{
    int n_steps = rank->world->replay->n_steps;
    return rank->ended[stream] == n_steps * rank->n_segments[stream];
}

/* When the host has issued the segment, as far as it must for the segment to start. */
static double segment_issued_s(SimRank *rank, Stream stream, const SimSegment *segment)
{
    int step = rank->ended[stream] / rank->n_segments[stream];
    return sim_host_epoch_s(rank->sim_host, step, segment->epoch, rank->end_s) + segment->lag_s;
}

/* NCCL's kernel holds its part of the GPU while it waits for other ranks too. What an endless
 * execution takes by its bound, SimGrid gives to no other. */
static void occupation_begin(SimRank *rank, int communicator, double frac)
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
static void occupation_end(SimRank *rank, int communicator)
{
    if (!rank->occupation[communicator])
        return;
    sg_exec_cancel(rank->occupation[communicator]);
    rank->occupation[communicator] = NULL;
}

/* The rank's stream of a communicator has reached its next collective, or not. */
static void collective_arrive(SimRank *rank, int communicator)
{
    SimWorldGroup *group = rank->group[communicator];
    if (!group || rank->is_at_collective[communicator] ||
        sim_rank_stream_has_ended(rank, group->stream) ||
        !segment_is_ready(rank, group->stream))
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
    if (++group->n_at_collective == (int)group->classes->len && group->conductor_is_blocked) {
        group->conductor_is_blocked = FALSE;
        sg_sem_release(group->all_at_collective);
    }
}

/* Something of the rank has ended: wakes what waited for it. */
static void rank_advance(SimRank *rank)
{
    for (int s = 0; s < N_STREAMS; s++)
        if (rank->is_blocked[s] && segment_is_ready(rank, (Stream)s)) {
            rank->is_blocked[s] = FALSE;
            sg_sem_release(rank->wake[s]);
        }
    for (int c = 0; c < MAX_COMMUNICATORS; c++)
        collective_arrive(rank, c);
}

static void segment_end(SimRank *rank, Stream stream, double start_s)
{
    int step = rank->ended[stream] / rank->n_segments[stream];
    int index = rank->ended[stream] % rank->n_segments[stream];
    double now_s = simgrid_get_clock();
    rank->start_s[stream][index] = start_s;
    rank->end_s[stream][index] = now_s;
    rank->step_end_s[step] = MAX(rank->step_end_s[step], now_s);
    rank->ended[stream]++;
}

static void segment_await_issue(SimRank *rank, Stream stream, const SimSegment *segment)
{
    double now_s = simgrid_get_clock();
    double issued_s = segment_issued_s(rank, stream, segment);
    if (issued_s <= now_s)
        return;
    sim_host_note_late(rank->sim_host);
    sg_actor_sleep_for(issued_s - now_s);
}

/* SimGrid cancels what an actor has started when it ends: all stay until the last may go. */
static void stream_actor_leave(SimWorld *world)
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
    SimRank *rank = actor->rank;
    Stream stream = actor->stream;
    while (!sim_rank_stream_has_ended(rank, stream)) {
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
        rank->n_computing++;
        if (segment->work_s > 0)
            sg_actor_execute(segment->work_s * 1e9); /* "1Gf" is the profile's speed */
        rank->n_computing--;
        segment_end(rank, stream, start_s);
        rank_advance(rank);
    }
    stream_actor_leave(rank->world);
}

static SimRank *group_rank(const SimWorldGroup *group, int index)
{
    return &group->world->ranks[g_array_index(group->classes, int, index)];
}

/* Waits until all ranks are at the k-th collective. Where a host is late, it is the last host
 * that counts: NCCL's kernels of other late ones begin to hold their GPUs with it. */
static void collective_gather(SimWorldGroup *group, int k)
{
    int n_classes = (int)group->classes->len, communicator = group->group->communicator;
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

static gboolean group_computes(const void *data)
{
    const SimWorldGroup *group = data;
    for (guint m = 0; m < group->classes->len; m++)
        if (group_rank(group, (int)m)->n_computing > 0)
            return TRUE;
    return FALSE;
}

/* The last rank's arrival starts a collective, and all leave it together. */
static void collective_run(SimWorldGroup *group, int k, gboolean is_last_step)
{
    int n_classes = (int)group->classes->len;
    collective_gather(group, k);
    double start_s = simgrid_get_clock();
    sim_conductor_run(group->conductor, k, group_computes, group, is_last_step);
    group->n_at_collective = 0;
    for (int m = 0; m < n_classes; m++) {
        SimRank *rank = group_rank(group, m);
        rank->is_at_collective[group->group->communicator] = FALSE;
        occupation_end(rank, group->group->communicator);
        segment_end(rank, group->stream, start_s);
    }
    for (int m = 0; m < n_classes; m++)
        rank_advance(group_rank(group, m));
}

static void conductor_actor(int argc, char *argv[])
{
    (void)argc;
    (void)argv;
    SimWorldGroup *group = sg_actor_self_get_data();
    int n_steps = group->world->replay->n_steps;
    for (int m = 0; m < (int)group->classes->len; m++)
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

static gboolean has_actor(const SimRank *rank, Stream stream)
{
    return !stream_is_communicator(stream) && rank->n_segments[stream] > 0;
}

static void rank_start(SimRank *rank)
{
    for (int s = 0; s < N_STREAMS; s++) {
        if (!has_actor(rank, (Stream)s))
            continue;
        StreamActor *actor = g_new(StreamActor, 1);
        *actor = (StreamActor){.rank = rank, .stream = (Stream)s};
        actor_start(stream_name((Stream)s), rank->host, stream_actor, actor);
    }
}

/* An actor runs as soon as it is created: what it counts on must be there. */
void sim_world_start(SimWorld *world)
{
    world->ended = sg_sem_init(0);
    for (int r = 0; r < world->fold->n_classes; r++)
        for (int s = 0; s < N_STREAMS; s++)
            world->n_stream_actors += has_actor(&world->ranks[r], (Stream)s);
    world->n_at_work = world->n_stream_actors;
    for (guint g = 0; g < world->groups->len; g++) {
        SimWorldGroup *group = g_ptr_array_index(world->groups, g);
        sim_conductor_start(group->conductor);
        actor_start("conductor", group_rank(group, 0)->host, conductor_actor, group);
    }
    for (int r = 0; r < world->fold->n_classes; r++)
        rank_start(&world->ranks[r]);
}
