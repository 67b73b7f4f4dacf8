/* SPDX-License-Identifier: MIT */
/* Walks a replayed step backwards, from the end of its last op. Works on the segments that the
 * replay runs, so what it takes for a dependency is what the replay waited for. */
#include "explain.h"

#include "sim_program.h"

#include <math.h>

/* Two instants are one when they differ by less than this share of a step: clocks add up. */
#define INSTANT_FRAC 1e-9

typedef struct {
    int rank;
    Stream stream;
    int index; /* of the segment */
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
    double reached_s; /* the path is known from here to the end */
    GArray *path;     /* PathElement, latest first */
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

static double place_start_s(const Walk *walk, Place place)
{
    return timeline_start_s(walk->timeline, place.rank, op_at(walk, place, 0));
}

static double place_end_s(const Walk *walk, Place place)
{
    int last = segment_at(walk, place)->n_ops - 1;
    return timeline_end_s(walk->timeline, place.rank, op_at(walk, place, last));
}

/* Lengthens the known path backwards to start_s; what takes no time is no part of it. */
static void path_add(Walk *walk, PathKind kind, int rank, int op, double start_s)
{
    PathElement element = {.kind = kind,
                           .begin_s = CLAMP(start_s, 0, walk->reached_s),
                           .end_s = walk->reached_s,
                           .rank = rank,
                           .op = op,
                           .link_class = -1};
    if (element.begin_s >= element.end_s)
        return;
    g_array_append_val(walk->path, element);
    walk->reached_s = element.begin_s;
}

static void segment_add(Walk *walk, Place place)
{
    PathKind kind = stream_is_communicator(place.stream) ? PATH_COLLECTIVE : PATH_KERNELS;
    for (int i = segment_at(walk, place)->n_ops - 1; i >= 0; i--) {
        int op = op_at(walk, place, i);
        path_add(walk, kind, place.rank, op, timeline_start_s(walk->timeline, place.rank, op));
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

/* The last of the segments of all streams that had to end. */
static void needed_note(const Walk *walk, Cause *cause, int rank, const int *needed)
{
    for (int s = 0; s < N_STREAMS; s++)
        if (needed[s] > 0)
            place_note(walk, cause, (Place){rank, (Stream)s, needed[s] - 1});
}

/* The host issued the segment so long after it began its epoch. It began that when it had
 * issued the one before, or later, when what it waited for had ended. */
static void host_note(const Walk *walk, Cause *cause, Place place)
{
    const SimProgram *program = program_of(walk, place.rank);
    const SimSegment *segment = segment_at(walk, place);
    double since_s = segment->lag_s;
    for (int e = segment->epoch; e >= 0; e--) {
        Cause waited = {.ready_s = -INFINITY};
        needed_note(walk, &waited, place.rank, sim_program_epoch(program, e)->needed);
        if (waited.has_place) {
            waited.ready_s = waited.end_s + since_s;
            cause_note(cause, waited);
        }
        since_s += e > 0 ? sim_program_epoch(program, e - 1)->host_s : 0;
    }
}

/* Ranks of the group that have times of their own, and `rank` first of those like it. */
static const GArray *members_of(Walk *walk, int communicator, int rank)
{
    const Communicator *comm = job_communicator(walk->job, communicator);
    int group = comm->group_of_rank[rank], n_members;
    GArray **members = &walk->members[communicator];
    if (*members && walk->group[communicator] == group)
        return *members;
    g_autofree int *all = job_group_members(walk->job, communicator, group, &n_members);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_int64_hash, g_int64_equal);
    g_clear_pointer(members, g_array_unref);
    *members = g_array_new(FALSE, FALSE, sizeof(int));
    walk->group[communicator] = group;
    for (int m = 0; m < n_members; m++)
        if (g_hash_table_add(seen, &walk->timeline->first[all[m]]))
            g_array_append_val(*members, all[m]);
    return *members;
}

static void ended_note(const Walk *walk, Cause *cause, Place place)
{
    if (place.index > 0)
        place_note(walk, cause, (Place){place.rank, place.stream, place.index - 1});
    needed_note(walk, cause, place.rank, segment_at(walk, place)->needed);
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
        place.rank = g_array_index(members, int, m);
        note(walk, &cause, place);
    }
    return cause;
}

static void host_add(Walk *walk, Cause cause, Place place)
{
    place.rank = cause.rank;
    path_add(walk, PATH_HOST, place.rank, op_at(walk, place, 0), cause.end_s);
}

/* Goes to what the segment waited for. FALSE: nothing in this step. */
static gboolean step_back(Walk *walk, Place *place)
{
    double late_s = walk->reached_s - walk->instant_s;
    Cause cause = cause_of(walk, ended_note, *place);
    if (cause.ready_s < late_s) {
        cause = cause_of(walk, host_note, *place);
        /* A host that has been issuing since before the step began: the time is its own. */
        if (cause.ready_s < late_s)
            cause = (Cause){.rank = place->rank, .end_s = -INFINITY};
        host_add(walk, cause, *place);
    }
    *place = cause.place;
    return cause.has_place;
}

/* The last segment of the rank that ends last. */
static Place last_place(const Walk *walk)
{
    int rank = timeline_last_rank(walk->timeline);
    Place last = {.rank = rank};
    double last_s = -INFINITY;
    for (int s = 0; s < N_STREAMS; s++) {
        int n = sim_program_n_segments(program_of(walk, rank), (Stream)s);
        Place place = {rank, (Stream)s, n - 1};
        if (n == 0 || place_end_s(walk, place) <= last_s)
            continue;
        last = place;
        last_s = place_end_s(walk, place);
    }
    return last;
}

static void path_reverse(GArray *path)
{
    for (guint i = 0, j = path->len; i + 1 < j; i++) {
        PathElement *one = &g_array_index(path, PathElement, i);
        PathElement *other = &g_array_index(path, PathElement, --j);
        PathElement held = *one;
        *one = *other;
        *other = held;
    }
}

static void walk_back(Walk *walk)
{
    if (walk->timeline->step_time_s <= 0)
        return;
    Place place = last_place(walk);
    do {
        segment_add(walk, place);
        /* An instant's slack may not add up over the walk. */
        g_assert(walk->reached_s <= MAX(place_start_s(walk, place), 0) + walk->instant_s);
    } while (walk->reached_s > 0 && step_back(walk, &place));
}

GArray *explain_path(const Job *job, const Timeline *timeline)
{
    Walk walk = {.job = job,
                 .timeline = timeline,
                 .programs = g_ptr_array_new_with_free_func((GDestroyNotify)sim_program_free),
                 .instant_s = INSTANT_FRAC * timeline->step_time_s,
                 .reached_s = timeline->step_time_s,
                 .path = g_array_new(FALSE, FALSE, sizeof(PathElement))};
    for (guint p = 0; p < job->programs->len; p++)
        g_ptr_array_add(walk.programs, sim_program_new(g_ptr_array_index(job->programs, p)));
    walk_back(&walk);
    path_reverse(walk.path);
    g_ptr_array_unref(walk.programs);
    for (int c = 0; c < MAX_COMMUNICATORS; c++)
        g_clear_pointer(&walk.members[c], g_array_unref);
    return walk.path;
}
