/* SPDX-License-Identifier: MIT */
/* Appends ops to a schedule, checks that it makes sense, prints it. A stream is a FIFO, so of
 * all waits for one other stream only the latest counts, and one that was waited for before is
 * dropped: the list stays as short as the events a real program would record. */
#include "schedule.h"

#include "error.h"

#include <math.h>
#include <string.h>

static const char *const stream_names[N_STREAMS] = {
    [STREAM_COMPUTE] = "compute", [STREAM_ALL_GATHER] = "all_gather",
    [STREAM_REDUCE] = "reduce",   [STREAM_NCCL] = "nccl",
    [STREAM_NCCL_2] = "nccl_2",   [STREAM_NCCL_3] = "nccl_3",
    [STREAM_NCCL_4] = "nccl_4",   [STREAM_NCCL_5] = "nccl_5",
};

static const char *const phase_names[N_PHASES] = {
    [PHASE_FORWARD] = "forward",
    [PHASE_BACKWARD] = "backward",
    [PHASE_UPDATE] = "update",
};

static const char *const memory_category_names[N_MEMORY_CATEGORIES] = {
    [MEMORY_PARAMETERS] = "parameters",
    [MEMORY_GRADIENTS] = "gradients",
    [MEMORY_OPTIMIZER_STATES] = "optimizer_states",
    [MEMORY_MASTER_WEIGHTS] = "master_weights",
    [MEMORY_ACTIVATIONS] = "activations",
    [MEMORY_GATHERED_PARAMETERS] = "gathered_parameters",
    [MEMORY_COMMUNICATION_BUFFERS] = "communication_buffers",
    [MEMORY_TEMPORARIES] = "temporaries",
    [MEMORY_FRAMEWORK] = "framework",
};

const char *stream_name(Stream stream)
{
    return stream_names[stream];
}

Stream stream_of_communicator(int communicator)
{
    g_assert(communicator >= 0 && communicator < MAX_COMMUNICATORS);
    return (Stream)((int)STREAM_NCCL + communicator);
}

gboolean stream_is_communicator(Stream stream)
{
    return stream >= STREAM_NCCL;
}

const char *phase_name(Phase phase)
{
    return phase_names[phase];
}

const char *memory_category_name(MemoryCategory category)
{
    return memory_category_names[category];
}

Schedule *schedule_new(void)
{
    Schedule *schedule = g_new0(Schedule, 1);

    schedule->ops = g_array_new(FALSE, TRUE, sizeof(Op));
    schedule->waits = g_array_new(FALSE, FALSE, sizeof(int));
    schedule->host_waits = g_array_new(FALSE, FALSE, sizeof(HostWait));
    schedule->kernels = g_array_new(FALSE, FALSE, sizeof(Kernel));
    schedule->labels = g_ptr_array_new_with_free_func(g_free);
    schedule->persistent = g_array_new(FALSE, TRUE, sizeof(PersistentBlock));
    schedule->label_index = g_hash_table_new(g_str_hash, g_str_equal);
    memset(schedule->pending_wait, -1, sizeof schedule->pending_wait);
    memset(schedule->waited, -1, sizeof schedule->waited);
    memset(schedule->last_op, -1, sizeof schedule->last_op);
    memset(schedule->host_waited, -1, sizeof schedule->host_waited);
    return schedule;
}

void schedule_free(Schedule *schedule)
{
    if (!schedule)
        return;
    g_array_unref(schedule->ops);
    g_array_unref(schedule->waits);
    g_array_unref(schedule->host_waits);
    g_array_unref(schedule->kernels);
    g_hash_table_unref(schedule->label_index);
    g_ptr_array_unref(schedule->labels);
    g_array_unref(schedule->persistent);
    g_free(schedule);
}

static int label_intern(Schedule *schedule, const char *label)
{
    gpointer found;

    if (g_hash_table_lookup_extended(schedule->label_index, label, NULL, &found))
        return GPOINTER_TO_INT(found);
    char *copy = g_strdup(label);
    int index = (int)schedule->labels->len;
    g_ptr_array_add(schedule->labels, copy);
    g_hash_table_insert(schedule->label_index, copy, GINT_TO_POINTER(index));
    return index;
}

/* Moves the stream's pending waits into the op. */
static void waits_take(Schedule *schedule, Op *op)
{
    op->first_wait = (int)schedule->waits->len;
    for (int other = 0; other < N_STREAMS; other++) {
        int *pending = &schedule->pending_wait[op->stream][other];
        if (*pending > schedule->waited[op->stream][other]) {
            g_array_append_val(schedule->waits, *pending);
            schedule->waited[op->stream][other] = *pending;
        }
        *pending = -1;
    }
    op->n_waits = (int)schedule->waits->len - op->first_wait;
}

static int op_append(Schedule *schedule, Op *op, const char *label)
{
    int index = (int)schedule->ops->len;

    op->label = label_intern(schedule, label);
    op->first_wait = (int)schedule->waits->len;
    if (op->kind == OP_COMPUTE || op->kind == OP_COLLECTIVE) {
        waits_take(schedule, op);
        op->host_s += schedule->pending_host_s;
        schedule->pending_host_s = 0;
        schedule->last_op[op->stream] = index;
    }
    g_array_append_val(schedule->ops, *op);
    return index;
}

int schedule_compute(Schedule *schedule, Stream stream, Phase phase, const char *label,
                     const Kernel *kernels, int n_kernels, const Profile *profile)
{
    Op op = {.kind = OP_COMPUTE,
             .stream = stream,
             .phase = phase,
             .first_kernel = (int)schedule->kernels->len,
             .n_kernels = n_kernels,
             .alloc = -1};

    if (n_kernels > 0)
        g_array_append_vals(schedule->kernels, kernels, (guint)n_kernels);
    for (int i = 0; i < n_kernels; i++) {
        KernelTime time = profile_lookup(profile, &kernels[i]);
        op.work_s += time.time_s;
        op.source_s[time.source] += time.time_s;
        op.class_s[kernel_class(kernels[i].op)] += time.time_s;
        op.flops += kernel_flops(&kernels[i]);
        op.n_launches += kernel_n_launches(&kernels[i]);
    }
    op.host_s = op.n_launches * schedule->host_launch_s;
    return op_append(schedule, &op, label);
}

int schedule_collective(Schedule *schedule, Phase phase, const char *label, CollectiveKind kind,
                        gint64 payload_bytes, int root)
{
    return schedule_collective_on(schedule, 0, phase, label, kind, payload_bytes, root);
}

int schedule_collective_on(Schedule *schedule, int communicator, Phase phase, const char *label,
                           CollectiveKind kind, gint64 payload_bytes, int root)
{
    Op op = {.kind = OP_COLLECTIVE,
             .stream = stream_of_communicator(communicator),
             .phase = phase,
             .collective = kind,
             .communicator = communicator,
             .host_s = schedule->host_collective_s,
             .payload_bytes = payload_bytes,
             .root = root,
             .alloc = -1};

    return op_append(schedule, &op, label);
}

int schedule_alloc(Schedule *schedule, Stream stream, Phase phase, const char *label,
                   MemoryCategory category, gint64 bytes)
{
    Op op = {.kind = OP_ALLOC,
             .stream = stream,
             .phase = phase,
             .category = category,
             .bytes = bytes,
             .alloc = -1};

    g_assert(bytes >= 0);
    return bytes == 0 ? -1 : op_append(schedule, &op, label);
}

int schedule_release(Schedule *schedule, Stream stream, Phase phase, int alloc)
{
    if (alloc < 0)
        return -1;
    const Op *block = schedule_op(schedule, alloc);
    g_assert(block->kind == OP_ALLOC);
    Op op = {.kind = OP_FREE,
             .stream = stream,
             .phase = phase,
             .category = block->category,
             .bytes = block->bytes,
             .alloc = alloc};
    return op_append(schedule, &op, schedule_label(schedule, block->label));
}

void schedule_persistent(Schedule *schedule, const char *label, MemoryCategory category,
                         gint64 bytes)
{
    PersistentBlock block = {
        .category = category, .label = label_intern(schedule, label), .bytes = bytes};

    g_assert(bytes >= 0);
    if (bytes > 0)
        g_array_append_val(schedule->persistent, block);
}

void schedule_wait(Schedule *schedule, Stream stream, int op)
{
    if (op < 0)
        return;
    Stream other = schedule_op(schedule, op)->stream;
    if (other != stream && op > schedule->pending_wait[stream][other])
        schedule->pending_wait[stream][other] = op;
}

void schedule_wait_stream(Schedule *schedule, Stream stream, Stream other)
{
    schedule_wait(schedule, stream, schedule->last_op[other]);
}

void schedule_host_parameters(Schedule *schedule, int n)
{
    schedule->pending_host_s += n * schedule->host_parameter_s;
}

/* What the host has waited for, no stream needs to. */
void schedule_host_wait(Schedule *schedule, int op)
{
    HostWait wait = {.before = schedule_n_ops(schedule), .op = op};
    if (op < 0)
        return;
    Stream other = schedule_op(schedule, op)->stream;
    if (op <= schedule->host_waited[other])
        return;
    g_array_append_val(schedule->host_waits, wait);
    schedule->host_waited[other] = op;
    for (int stream = 0; stream < N_STREAMS; stream++)
        schedule->waited[stream][other] = MAX(schedule->waited[stream][other], op);
}

void schedule_synchronize(Schedule *schedule)
{
    for (int stream = 0; stream < N_STREAMS; stream++)
        schedule_host_wait(schedule, schedule->last_op[stream]);
}

const Op *schedule_op(const Schedule *schedule, int index)
{
    return &g_array_index(schedule->ops, Op, index);
}

int schedule_n_ops(const Schedule *schedule)
{
    return (int)schedule->ops->len;
}

const char *schedule_label(const Schedule *schedule, int label)
{
    return g_ptr_array_index(schedule->labels, label);
}

static gboolean op_fail(const Schedule *schedule, int index, const char *what, GError **error)
{
    const Op *op = schedule_op(schedule, index);

    g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "schedule op %d (%s %s): %s", index,
                phase_name(op->phase), schedule_label(schedule, op->label), what);
    return FALSE;
}

static gboolean timed_op_validate(const Schedule *schedule, int index, GError **error)
{
    const Op *op = schedule_op(schedule, index);

    if (!isfinite(op->work_s) || op->work_s < 0 || op->payload_bytes < 0 ||
        !isfinite(op->host_s) || op->host_s < 0)
        return op_fail(schedule, index, "its size isn't a number of 0 or more", error);
    if ((op->kind == OP_COLLECTIVE) != stream_is_communicator(op->stream))
        return op_fail(schedule, index, "wrong stream for its kind", error);
    for (int i = 0; i < op->n_waits; i++) {
        int wait = g_array_index(schedule->waits, int, op->first_wait + i);
        if (wait < 0 || wait >= index || schedule_op(schedule, wait)->stream == op->stream)
            return op_fail(schedule, index, "waits for an op that isn't before it", error);
    }
    return TRUE;
}

gboolean schedule_validate(const Schedule *schedule, GError **error)
{
    g_autofree gboolean *alive = g_new0(gboolean, schedule_n_ops(schedule) + 1);
    int n_alive = 0, last_alloc = -1;

    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        switch (op->kind) {
        case OP_COMPUTE:
        case OP_COLLECTIVE:
            if (!timed_op_validate(schedule, i, error))
                return FALSE;
            break;
        case OP_ALLOC:
            alive[i] = TRUE;
            last_alloc = i;
            n_alive++;
            break;
        case OP_FREE:
            if (op->alloc < 0 || op->alloc >= i || !alive[op->alloc])
                return op_fail(schedule, i, "frees what isn't allocated", error);
            alive[op->alloc] = FALSE;
            n_alive--;
            break;
        }
    }
    if (n_alive == 0)
        return TRUE;
    while (!alive[last_alloc])
        last_alloc--;
    return op_fail(schedule, last_alloc, "is never freed", error);
}

static char *op_describe(const Op *op)
{
    switch (op->kind) {
    case OP_COMPUTE:
        return g_strdup_printf("compute        %12.3f us", op->work_s * 1e6);
    case OP_COLLECTIVE:
        return g_strdup_printf("%-14s %12.3f MB", collective_name(op->collective),
                               (double)op->payload_bytes / 1e6);
    case OP_ALLOC:
        return g_strdup_printf("alloc          %12.3f MB", (double)op->bytes / 1e6);
    case OP_FREE:
        return g_strdup_printf("free           %12.3f MB", (double)op->bytes / 1e6);
    }
    g_assert_not_reached();
}

/* Those before op `before`, from the next that isn't printed. */
static guint host_waits_print(const Schedule *schedule, int before, guint next, FILE *out)
{
    for (gboolean first = TRUE; next < schedule->host_waits->len; next++, first = FALSE) {
        const HostWait *wait = &g_array_index(schedule->host_waits, HostWait, next);
        if (wait->before > before) {
            fprintf(out, "%s", first ? "" : "\n");
            return next;
        }
        fprintf(out, "%s%d", first ? "       host waits for op " : ", ", wait->op);
        if (next + 1 == schedule->host_waits->len)
            fputc('\n', out);
    }
    return next;
}

void schedule_print(const Schedule *schedule, FILE *out)
{
    fprintf(out, "persistent memory\n");
    for (guint i = 0; i < schedule->persistent->len; i++) {
        const PersistentBlock *block = &g_array_index(schedule->persistent, PersistentBlock, i);
        fprintf(out, "       %-22s %12.3f MB  %s\n", memory_category_name(block->category),
                (double)block->bytes / 1e6, schedule_label(schedule, block->label));
    }
    guint next_wait = 0;
    fprintf(out, "%5s  %-10s %-8s %-14s %15s  %s\n", "op", "stream", "phase", "kind", "amount",
            "what (waits for ops)");
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        g_autofree char *amount = op_describe(op);
        next_wait = host_waits_print(schedule, i, next_wait, out);
        fprintf(out, "%5d  %-10s %-8s %s  %s", i, stream_name(op->stream),
                phase_name(op->phase), amount, schedule_label(schedule, op->label));
        if (op->kind == OP_ALLOC || op->kind == OP_FREE)
            fprintf(out, " [%s]", memory_category_name(op->category));
        for (int w = 0; w < op->n_waits; w++)
            fprintf(out, "%s%d", w == 0 ? "  <- " : ", ",
                    g_array_index(schedule->waits, int, op->first_wait + w));
        fputc('\n', out);
    }
    host_waits_print(schedule, schedule_n_ops(schedule), next_wait, out);
}
