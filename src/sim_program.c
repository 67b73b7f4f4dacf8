/* SPDX-License-Identifier: MIT */
/* Finds the synchronisation points of a schedule, so that the replay starts one execution where
 * the list has a run of kernels, and waits only where waiting can matter. */
#include "sim_program.h"

#include <string.h>

/* Per op, while building. */
typedef struct {
    int position;          /* among its stream's timed ops; untimed: of the next timed one */
    int needed[N_STREAMS]; /* timed ops of other streams that it waits for and that nothing
                              before it has waited for */
    int known[N_STREAMS];  /* timed ops of each stream that have ended when it starts */
    gboolean is_awaited;   /* by another stream or the host */
    int epoch;
    double first_s, issued_s; /* since its epoch began, when its first kernel and when all of it
                                 have been issued */
} OpNote;

static gboolean is_timed(const Op *op)
{
    return op->kind == OP_COMPUTE || op->kind == OP_COLLECTIVE;
}

static void positions_note(SimProgram *program, OpNote *notes)
{
    for (int i = 0; i < schedule_n_ops(program->schedule); i++) {
        const Op *op = schedule_op(program->schedule, i);
        GArray *ops = program->streams[op->stream].ops;
        notes[i].position = (int)ops->len;
        if (is_timed(op)) {
            g_assert((op->kind == OP_COLLECTIVE) == stream_is_communicator(op->stream));
            g_array_append_val(ops, i);
        }
    }
}

/* Collects what op i waits for into waits[] and what that implies into known[]. */
static void waits_collect(const SimProgram *program, const OpNote *notes, int i,
                          int waits[N_STREAMS], int known[N_STREAMS])
{
    const Op *op = schedule_op(program->schedule, i);
    for (int w = 0; w < op->n_waits; w++) {
        int wait = g_array_index(program->schedule->waits, int, op->first_wait + w);
        const Op *other = schedule_op(program->schedule, wait);
        int ended = notes[wait].position + (is_timed(other) ? 1 : 0);
        waits[other->stream] = MAX(waits[other->stream], ended);
        if (wait > i)
            continue;
        for (int s = 0; s < N_STREAMS; s++)
            known[s] = MAX(known[s], notes[wait].known[s]);
    }
}

/* Op `op` of the waiting host: what comes later on any stream has it behind itself. */
static void host_wait_note(const SimProgram *program, OpNote *notes, int op,
                           int needed[N_STREAMS], int known[N_STREAMS])
{
    Stream stream = schedule_op(program->schedule, op)->stream;
    g_assert(is_timed(schedule_op(program->schedule, op)));
    notes[op].is_awaited = TRUE;
    needed[stream] = MAX(needed[stream], notes[op].position + 1);
    known[stream] = MAX(known[stream], notes[op].position + 1);
    for (int s = 0; s < N_STREAMS; s++)
        known[s] = MAX(known[s], notes[op].known[s]);
}

/* The host waits before op i, if it does: another epoch. */
static guint epoch_begin(SimProgram *program, OpNote *notes, int i, guint next,
                         int known[N_STREAMS])
{
    const GArray *waits = program->schedule->host_waits;
    SimEpoch epoch = {0};
    guint begin = next;
    for (; next < waits->len && g_array_index(waits, HostWait, next).before <= i; next++)
        host_wait_note(program, notes, g_array_index(waits, HostWait, next).op, epoch.needed,
                       known);
    if (next > begin)
        g_array_append_val(program->epochs, epoch);
    return next;
}

static void issue_note(SimProgram *program, const Op *op, OpNote *note)
{
    note->epoch = (int)program->epochs->len - 1;
    SimEpoch *epoch = &g_array_index(program->epochs, SimEpoch, note->epoch);
    note->first_s = epoch->host_s + op->host_s / MAX(op->n_launches, 1);
    epoch->host_s += op->host_s;
    note->issued_s = epoch->host_s;
}

/* Vector clocks: a wait counts only if no other wait, and nothing earlier on the stream,
 * implies it. */
static void waits_note(SimProgram *program, OpNote *notes)
{
    int latest[N_STREAMS][N_STREAMS] = {{0}}, host_known[N_STREAMS] = {0};
    guint next_host_wait = 0;
    for (int i = 0; i < schedule_n_ops(program->schedule); i++) {
        const Op *op = schedule_op(program->schedule, i);
        OpNote *note = &notes[i];
        int *known = latest[op->stream], waits[N_STREAMS] = {0};
        next_host_wait = epoch_begin(program, notes, i, next_host_wait, host_known);
        if (is_timed(op)) {
            known[op->stream] = note->position;
            memcpy(waits, host_known, sizeof waits);
            waits_collect(program, notes, i, waits, known);
            issue_note(program, op, note);
        }
        for (int s = 0; s < N_STREAMS; s++) {
            if (s == (int)op->stream || waits[s] <= known[s])
                continue;
            note->needed[s] = known[s] = waits[s];
            int awaited = g_array_index(program->streams[s].ops, int, waits[s] - 1);
            notes[awaited].is_awaited = TRUE;
        }
        memcpy(note->known, known, sizeof note->known);
    }
    epoch_begin(program, notes, G_MAXINT, next_host_wait, host_known);
}

static gboolean segment_starts(const SimProgram *program, const OpNote *notes,
                               const SimStream *stream, int index)
{
    static const int nothing[N_STREAMS];
    int op = g_array_index(stream->ops, int, index);
    if (index == 0 || schedule_op(program->schedule, op)->kind == OP_COLLECTIVE)
        return TRUE;
    int previous = g_array_index(stream->ops, int, index - 1);
    return notes[previous].is_awaited || notes[previous].epoch != notes[op].epoch ||
           memcmp(notes[op].needed, nothing, sizeof nothing) != 0;
}

/* A segment's ops run without a gap, as late as the last of them that waits to be issued has
 * it: its end is that of kernels that start when both the one before has ended and they have
 * been issued, and its gaps are in front. An op's kernels share its work. */
static void segment_append(SimSegment *segment, const Op *op, const OpNote *note)
{
    double last_kernel_s = op->work_s / MAX(op->n_launches, 1);
    segment->lag_s = MAX(segment->lag_s, note->first_s - segment->work_s);
    segment->n_ops++;
    segment->work_s += op->work_s;
    segment->lag_s = MAX(segment->lag_s, note->issued_s - (segment->work_s - last_kernel_s));
}

/* Cuts a stream; segment_of gets each timed op's segment. */
static void stream_cut(SimProgram *program, const OpNote *notes, SimStream *stream,
                       int *segment_of)
{
    for (int i = 0; i < (int)stream->ops->len; i++) {
        int op = g_array_index(stream->ops, int, i);
        if (segment_starts(program, notes, stream, i)) {
            SimSegment segment = {.first_op = i, .epoch = notes[op].epoch};
            memcpy(segment.needed, notes[op].needed, sizeof segment.needed);
            g_array_append_val(stream->segments, segment);
        }
        SimSegment *last =
            &g_array_index(stream->segments, SimSegment, stream->segments->len - 1);
        segment_append(last, schedule_op(program->schedule, op), &notes[op]);
        segment_of[op] = (int)stream->segments->len - 1;
    }
}

/* From ops to segments: the one that is awaited ends its segment. */
static void needed_translate(const SimProgram *program, const int *segment_of,
                             int needed[N_STREAMS])
{
    for (int s = 0; s < N_STREAMS; s++)
        if (needed[s] > 0)
            needed[s] =
                segment_of[g_array_index(program->streams[s].ops, int, needed[s] - 1)] + 1;
}

static void all_needed_translate(SimProgram *program, const int *segment_of)
{
    for (int s = 0; s < N_STREAMS; s++)
        for (guint i = 0; i < program->streams[s].segments->len; i++)
            needed_translate(program, segment_of,
                             g_array_index(program->streams[s].segments, SimSegment, i).needed);
    for (guint i = 0; i < program->epochs->len; i++)
        needed_translate(program, segment_of,
                         g_array_index(program->epochs, SimEpoch, i).needed);
}

SimProgram *sim_program_new(const Schedule *schedule)
{
    SimProgram *program = g_new0(SimProgram, 1);
    int n_ops = schedule_n_ops(schedule);
    const SimEpoch first = {0};
    g_autofree OpNote *notes = g_new0(OpNote, n_ops + 1);
    g_autofree int *segment_of = g_new0(int, n_ops + 1);
    program->schedule = schedule;
    program->epochs = g_array_new(FALSE, FALSE, sizeof(SimEpoch));
    g_array_append_val(program->epochs, first);
    for (int s = 0; s < N_STREAMS; s++) {
        program->streams[s].ops = g_array_new(FALSE, FALSE, sizeof(int));
        program->streams[s].segments = g_array_new(FALSE, FALSE, sizeof(SimSegment));
    }
    positions_note(program, notes);
    waits_note(program, notes);
    for (int s = 0; s < N_STREAMS; s++)
        stream_cut(program, notes, &program->streams[s], segment_of);
    all_needed_translate(program, segment_of);
    return program;
}

void sim_program_free(SimProgram *program)
{
    if (!program)
        return;
    for (int s = 0; s < N_STREAMS; s++) {
        g_array_unref(program->streams[s].ops);
        g_array_unref(program->streams[s].segments);
    }
    g_array_unref(program->epochs);
    g_free(program);
}

int sim_program_n_segments(const SimProgram *program, Stream stream)
{
    return (int)program->streams[stream].segments->len;
}

const SimSegment *sim_program_segment(const SimProgram *program, Stream stream, int index)
{
    return &g_array_index(program->streams[stream].segments, SimSegment, index);
}

int sim_program_op(const SimProgram *program, Stream stream, const SimSegment *segment,
                   int index)
{
    return g_array_index(program->streams[stream].ops, int, segment->first_op + index);
}

const SimEpoch *sim_program_epoch(const SimProgram *program, int index)
{
    return &g_array_index(program->epochs, SimEpoch, index);
}

gboolean sim_program_has_host_time(const SimProgram *program)
{
    for (guint i = 0; i < program->epochs->len; i++)
        if (sim_program_epoch(program, (int)i)->host_s > 0)
            return TRUE;
    return FALSE;
}

const Op *sim_program_collective(const SimProgram *program, int communicator, int k)
{
    Stream stream = stream_of_communicator(communicator);
    const SimSegment *segment = sim_program_segment(program, stream, k);
    return schedule_op(program->schedule, sim_program_op(program, stream, segment, 0));
}

static void segment_spread(const SimProgram *program, Stream stream, const SimSegment *segment,
                           double start_s, double end_s, double *op_start_s, double *op_end_s)
{
    double done_s = 0, at_s = start_s;
    for (int i = 0; i < segment->n_ops; i++) {
        int op = sim_program_op(program, stream, segment, i);
        done_s += schedule_op(program->schedule, op)->work_s;
        op_start_s[op] = at_s;
        if (i == segment->n_ops - 1)
            at_s = end_s;
        else if (segment->work_s > 0)
            at_s = start_s + (end_s - start_s) * (done_s / segment->work_s);
        op_end_s[op] = at_s;
    }
}

void sim_program_spread(const SimProgram *program, double *const segment_start_s[N_STREAMS],
                        double *const segment_end_s[N_STREAMS], double begin_s,
                        double *op_start_s, double *op_end_s)
{
    double reached_s[N_STREAMS];
    for (int s = 0; s < N_STREAMS; s++) {
        reached_s[s] = begin_s;
        for (int i = 0; i < sim_program_n_segments(program, (Stream)s); i++)
            segment_spread(program, (Stream)s, sim_program_segment(program, (Stream)s, i),
                           segment_start_s[s][i], segment_end_s[s][i], op_start_s, op_end_s);
    }
    for (int i = 0; i < schedule_n_ops(program->schedule); i++) {
        const Op *op = schedule_op(program->schedule, i);
        if (is_timed(op))
            reached_s[op->stream] = op_end_s[i];
        else
            op_start_s[i] = op_end_s[i] = reached_s[op->stream];
    }
}
