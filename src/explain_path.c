/* SPDX-License-Identifier: MIT */
/* Walks a replayed step backwards, from the end of its last op. Works on the segments that the
 * replay runs, so what it takes for a dependency is what the replay waited for. */
#include "explain.h"

#include "sim_program.h"

#include <math.h>

/* Two instants are one when they differ by less than this share of a step: clocks add up. */
#define INSTANT_FRAC 1e-9
/* A path that differs from step to step is followed no further than this. */
#define MOST_STEPS 8

/* A segment. Steps repeat: step 0 is the timeline's, step -1 the one before it. */
typedef struct {
    int step;
    int rank;
    Stream stream;
    int index;
} Place;

/* What an op waited for: a segment, or the host, which waited for that segment before. */
typedef struct {
    gboolean has_place;
    Place place;
    int rank;
    double end_s;   /* of the segment; -inf: there is none */
    double ready_s; /* from when on the op could start */
} Cause;

typedef struct {
    const Job *job;
    const Timeline *timeline;
    GPtrArray *programs; /* SimProgram *, by program of the job */
    double instant_s;
    double reached_s;   /* the path is known from here to the end */
    GArray *path;       /* PathElement, latest first */
    int n_crossed;      /* ends of steps, from the last one back */
    PathElement at_end; /* what runs up to the earliest of them, its end since then */
    gboolean repeats;   /* that was the same at the end before */
    /* Members of the group met last, each behaviour once. */
    int group[MAX_COMMUNICATORS];
    GArray *members[MAX_COMMUNICATORS]; /* int: ranks */
} Walk;

static const SimProgram *program_of(const Walk *walk, int rank)
{
    return g_ptr_array_index(walk->programs, walk->job->program_of_rank[rank]);
}

static const SimSegment *segment_at(const Walk *walk, Place place)
{
    return sim_program_segment(program_of(walk, place.rank), place.stream, place.index);
}

static int op_at(const Walk *walk, Place place, int i)
{
    return sim_program_op(program_of(walk, place.rank), place.stream, segment_at(walk, place),
                          i);
}

static double op_start_s(const Walk *walk, Place place, int op)
{
    return timeline_start_s(walk->timeline, place.rank, op) +
           place.step * walk->timeline->step_time_s;
}

static double place_end_s(const Walk *walk, Place place)
{
    int last = segment_at(walk, place)->n_ops - 1;
    return timeline_end_s(walk->timeline, place.rank, op_at(walk, place, last)) +
           place.step * walk->timeline->step_time_s;
}

/* The end of the earliest step whose end the path hasn't crossed yet. */
static double next_end_s(const Walk *walk)
{
    return (1 - walk->n_crossed) * walk->timeline->step_time_s;
}

static gboolean is_same(const Walk *walk, const PathElement *one, const PathElement *other)
{
    return one->kind == other->kind && one->rank == other->rank && one->op == other->op &&
           fabs(one->end_s - other->end_s) <= 4 * walk->instant_s;
}

static gboolean is_over(const Walk *walk)
{
    return walk->repeats || walk->n_crossed > MOST_STEPS;
}

/* A path that leaves a step where it left the one behind it goes on as it did there. */
static void ends_cross(Walk *walk, const PathElement *element)
{
    while (!is_over(walk) && element->begin_s < next_end_s(walk) - walk->instant_s) {
        PathElement at_end = *element;
        at_end.end_s -= next_end_s(walk);
        walk->repeats = walk->n_crossed > 0 && is_same(walk, &at_end, &walk->at_end);
        walk->at_end = at_end;
        walk->n_crossed++;
    }
}

/* Lengthens the known path backwards to start_s; what takes no time is no part of it. */
static void path_add(Walk *walk, PathKind kind, int rank, int op, double start_s)
{
    PathElement element = {.kind = kind,
                           .begin_s = MIN(start_s, walk->reached_s),
                           .end_s = walk->reached_s,
                           .rank = rank,
                           .op = op,
                           .link_class = -1};
    if (element.begin_s >= element.end_s || is_over(walk))
        return;
    g_array_append_val(walk->path, element);
    walk->reached_s = element.begin_s;
    ends_cross(walk, &element);
}

static void segment_add(Walk *walk, Place place)
{
    PathKind kind = stream_is_communicator(place.stream) ? PATH_COLLECTIVE : PATH_KERNELS;
    for (int i = segment_at(walk, place)->n_ops - 1; i >= 0; i--) {
        int op = op_at(walk, place, i);
        path_add(walk, kind, place.rank, op, op_start_s(walk, place, op));
    }
}

static void cause_note(Cause *cause, Cause other)
{
    if (other.ready_s > cause->ready_s)
        *cause = other;
}

static void place_note(const Walk *walk, Cause *cause, Place place)
{
    double end_s = place_end_s(walk, place);
    cause_note(cause, (Cause){.has_place = TRUE,
                              .place = place,
                              .rank = place.rank,
                              .end_s = end_s,
                              .ready_s = end_s});
}

/* The last of the rank's segments of all streams that had to end in the step. */
static void needed_note(const Walk *walk, Cause *cause, int rank, int step, const int *needed)
{
    for (int s = 0; s < N_STREAMS; s++)
        if (needed[s] > 0)
            place_note(walk, cause, (Place){step, rank, (Stream)s, needed[s] - 1});
}

/* A step of a rank begins when all of the one before has ended. */
static void step_note(const Walk *walk, Cause *cause, int rank, int step)
{
    int all[N_STREAMS];
    for (int s = 0; s < N_STREAMS; s++)
        all[s] = sim_program_n_segments(program_of(walk, rank), (Stream)s);
    needed_note(walk, cause, rank, step, all);
}

/* The host issued the segment so long after it began its epoch. It began that when it had
 * issued the one before, or later, when what it waited for had ended. */
static void host_note(const Walk *walk, Cause *cause, Place place)
{
    const SimProgram *program = program_of(walk, place.rank);
    const SimSegment *segment = segment_at(walk, place);
    double since_s = segment->lag_s;
    int last = (int)program->epochs->len - 1;
    for (int e = segment->epoch, step = place.step; step > -MOST_STEPS; e--) {
        Cause waited = {.ready_s = -INFINITY};
        needed_note(walk, &waited, place.rank, step, sim_program_epoch(program, e)->needed);
        if (waited.has_place) {
            waited.ready_s = waited.end_s + since_s;
            cause_note(cause, waited);
        }
        if (e == 0) {
            e = last + 1;
            step--;
        }
        since_s += sim_program_epoch(program, e - 1)->host_s;
    }
}

/* Ranks of the group that have times of their own. */
static const GArray *members_of(Walk *walk, int communicator, int rank)
{
    const Communicator *comm = job_communicator(walk->job, communicator);
    int group = comm->group_of_rank[rank], n_members;
    GArray *members = walk->members[communicator];
    if (members && walk->group[communicator] == group)
        return members;
    g_autofree int *all = job_group_members(walk->job, communicator, group, &n_members);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_int64_hash, g_int64_equal);
    g_clear_pointer(&walk->members[communicator], g_array_unref);
    walk->members[communicator] = members = g_array_new(FALSE, FALSE, sizeof(int));
    walk->group[communicator] = group;
    for (int m = 0; m < n_members; m++)
        if (g_hash_table_add(seen, &walk->timeline->first[all[m]]))
            g_array_append_val(members, all[m]);
    return members;
}

static void ended_note(const Walk *walk, Cause *cause, Place place)
{
    if (place.index > 0)
        place_note(walk, cause, (Place){place.step, place.rank, place.stream, place.index - 1});
    needed_note(walk, cause, place.rank, place.step, segment_at(walk, place)->needed);
    if (!cause->has_place)
        step_note(walk, cause, place.rank, place.step - 1);
}

typedef void (*CauseNote)(const Walk *walk, Cause *cause, Place place);

/* The last cause of that sort; in case of a collective, on all ranks that had to arrive. */
static Cause cause_of(Walk *walk, CauseNote note, Place place)
{
    Cause cause = {.ready_s = -INFINITY};
    note(walk, &cause, place);
    if (!stream_is_communicator(place.stream))
        return cause;
    const GArray *members = members_of(walk, (int)place.stream - (int)STREAM_NCCL, place.rank);
    for (guint m = 0; m < members->len; m++) {
        Cause other = {.ready_s = -INFINITY};
        place.rank = g_array_index(members, int, m);
        note(walk, &other, place);
        cause_note(&cause, other);
    }
    return cause;
}

/* What the host issued one after the other until it had issued `op`, the list round and round:
 * each op with its own time, since they are of several phases. */
static void host_add(Walk *walk, int rank, int op, double begin_s)
{
    const Schedule *schedule = job_program(walk->job, rank);
    if (!sim_program_has_host_time(program_of(walk, rank)))
        path_add(walk, PATH_HOST, rank, op, begin_s);
    for (int i = op; walk->reached_s > begin_s && !is_over(walk); i--) {
        double issued_s = walk->reached_s - schedule_op(schedule, i)->host_s;
        path_add(walk, PATH_HOST, rank, i, MAX(begin_s, issued_s));
        if (i == 0)
            i = schedule_n_ops(schedule);
    }
}

/* Goes to what the segment waited for. FALSE: nothing that has an end. */
static gboolean step_back(Walk *walk, Place *place)
{
    double late_s = walk->reached_s - walk->instant_s;
    Cause cause = cause_of(walk, ended_note, *place);
    if (cause.ready_s < late_s) {
        cause = cause_of(walk, host_note, *place);
        /* A host that never waited, as far as one can see: the time is its own. */
        if (cause.ready_s < late_s)
            cause = (Cause){.rank = place->rank, .end_s = -G_MAXDOUBLE};
        place->rank = cause.rank;
        host_add(walk, cause.rank, op_at(walk, *place, 0), cause.end_s);
    }
    *place = cause.place;
    return cause.has_place;
}

/* The last segment of the rank that ends last. */
static Place last_place(const Walk *walk)
{
    Cause last = {.ready_s = -INFINITY};
    step_note(walk, &last, timeline_last_rank(walk->timeline), 0);
    g_assert(last.has_place);
    return last.place;
}

/* Of the path over several steps, the earliest that was crossed whole, as if it were this one.
 */
static GArray *step_cut(const Walk *walk)
{
    double step_s = walk->timeline->step_time_s;
    double begin_s = (2 - walk->n_crossed) * step_s;
    GArray *cut = g_array_new(FALSE, FALSE, sizeof(PathElement));
    for (guint i = walk->path->len; i-- > 0;) {
        PathElement element = g_array_index(walk->path, PathElement, i);
        element.begin_s = cut->len == 0 ? 0 : element.begin_s - begin_s;
        element.end_s = MIN(element.end_s - begin_s, step_s);
        if (element.end_s > (cut->len == 0 ? 2 * walk->instant_s : element.begin_s) &&
            element.begin_s < step_s - walk->instant_s)
            g_array_append_val(cut, element);
    }
    g_assert(cut->len > 0);
    g_array_index(cut, PathElement, cut->len - 1).end_s = step_s;
    return cut;
}

static void walk_back(Walk *walk)
{
    Place place = last_place(walk);
    do
        segment_add(walk, place);
    while (!is_over(walk) && step_back(walk, &place));
}

GArray *explain_path(const Job *job, const Timeline *timeline)
{
    Walk walk = {.job = job,
                 .timeline = timeline,
                 .programs = g_ptr_array_new_with_free_func((GDestroyNotify)sim_program_free),
                 .instant_s = INSTANT_FRAC * timeline->step_time_s,
                 .reached_s = timeline->step_time_s,
                 .path = g_array_new(FALSE, FALSE, sizeof(PathElement))};
    GArray *path = NULL;
    for (guint p = 0; p < job->programs->len; p++)
        g_ptr_array_add(walk.programs, sim_program_new(g_ptr_array_index(job->programs, p)));
    if (timeline->step_time_s > 0) {
        walk_back(&walk);
        path = step_cut(&walk);
    }
    g_array_unref(walk.path);
    g_ptr_array_unref(walk.programs);
    for (int c = 0; c < MAX_COMMUNICATORS; c++)
        g_clear_pointer(&walk.members[c], g_array_unref);
    return path ? path : g_array_new(FALSE, FALSE, sizeof(PathElement));
}
