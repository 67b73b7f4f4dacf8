/* SPDX-License-Identifier: MIT */
/* Memory of a rank by category, its peak, and what the caching allocator reserves for it. The
 * walk is in issue order since that is the order in which the host calls the allocator; when
 * the GPU gets there plays no part. */
#include "memory.h"

#include "memory_allocator.h"

typedef struct {
    MemoryCategory category;
    gint64 bytes;
    MemoryBlock *block; /* NULL: outside the allocator */
} Block;

typedef struct {
    const Schedule *schedule;
    gint64 bytes[N_MEMORY_CATEGORIES];
    gint64 total_bytes;
    GArray *persistent;         /* Block */
    Block *by_op;               /* of each ALLOC op */
    MemoryAllocator *allocator; /* NULL: count only */
} Walk;

static Block walk_take(Walk *walk, Stream stream, MemoryCategory category, gint64 bytes)
{
    Block block = {.category = category, .bytes = bytes};
    walk->bytes[category] += bytes;
    walk->total_bytes += bytes;
    if (walk->allocator == NULL || bytes == 0)
        return block;
    if (category == MEMORY_FRAMEWORK)
        memory_allocator_take_outside(walk->allocator, bytes);
    else
        block.block = memory_allocator_take(walk->allocator, (int)stream, bytes);
    return block;
}

static void walk_give_back(Walk *walk, Block block)
{
    walk->bytes[block.category] -= block.bytes;
    walk->total_bytes -= block.bytes;
    g_assert(walk->bytes[block.category] >= 0);
    if (walk->allocator == NULL)
        return;
    if (block.block != NULL)
        memory_allocator_give_back(walk->allocator, block.block);
    else
        memory_allocator_take_outside(walk->allocator, -block.bytes);
}

static void walk_start(Walk *walk, const Schedule *schedule, MemoryAllocator *allocator)
{
    *walk = (Walk){.schedule = schedule, .allocator = allocator};
    walk->persistent = g_array_new(FALSE, FALSE, sizeof(Block));
    walk->by_op = g_new0(Block, schedule_n_ops(schedule) + 1);
    for (guint i = 0; i < schedule->persistent->len; i++) {
        const PersistentBlock *p = &g_array_index(schedule->persistent, PersistentBlock, i);
        Block block = walk_take(walk, STREAM_COMPUTE, p->category, p->bytes);
        g_array_append_val(walk->persistent, block);
    }
}

static void walk_op(Walk *walk, int index)
{
    const Op *op = schedule_op(walk->schedule, index);
    if (op->kind == OP_ALLOC)
        walk->by_op[index] = walk_take(walk, op->stream, op->category, op->bytes);
    if (op->kind == OP_FREE)
        walk_give_back(walk, walk->by_op[op->alloc]);
}

static void walk_clear(Walk *walk)
{
    for (guint i = 0; i < walk->persistent->len; i++)
        walk_give_back(walk, g_array_index(walk->persistent, Block, i));
    g_array_unref(walk->persistent);
    g_free(walk->by_op);
}

static void note_peak(const Walk *walk, int op, Memory *memory)
{
    if (op >= 0 && walk->total_bytes <= memory->peak_bytes)
        return;
    memory->peak_bytes = walk->total_bytes;
    memory->peak_op = op;
    for (int c = 0; c < N_MEMORY_CATEGORIES; c++)
        memory->by_category_at_peak[c] = walk->bytes[c];
}

Memory memory_compute(const Schedule *schedule, gint64 capacity_bytes)
{
    Memory memory = {.capacity_bytes = capacity_bytes};
    g_autoptr(MemoryAllocator) allocator = memory_allocator_new(N_STREAMS, capacity_bytes);
    int n_ops = schedule_n_ops(schedule);
    Walk walk;
    walk_start(&walk, schedule, allocator);
    memory.start_bytes = walk.total_bytes;
    note_peak(&walk, -1, &memory);
    for (int op = 0; op < n_ops; op++) {
        walk_op(&walk, op);
        note_peak(&walk, op, &memory);
    }
    memory.end_bytes = walk.total_bytes;
    /* The cache that one step leaves behind may serve the next one worse: a second step counts
     * towards `reserved` only. */
    for (int op = 0; op < n_ops; op++)
        walk_op(&walk, op);
    memory.reserved_bytes = allocator->peak_reserved_bytes;
    memory.fits = !allocator->out_of_memory;
    walk_clear(&walk);
    return memory;
}

/* The time of each op's effect on memory, advanced op by op. */
typedef struct {
    double stream_s[N_STREAMS]; /* end of the last op issued */
    double now_s;
} Clock;

static void clock_advance(Clock *clock, const Op *op, double end_s)
{
    if (op->kind == OP_COMPUTE || op->kind == OP_COLLECTIVE)
        clock->stream_s[op->stream] = MAX(clock->stream_s[op->stream], end_s);
    else
        clock->now_s = MAX(clock->now_s, clock->stream_s[op->stream]);
}

double memory_time_s(const Schedule *schedule, const Timeline *timeline, int rank, int op)
{
    Clock clock = {0};
    for (int i = 0; i <= op; i++)
        clock_advance(&clock, schedule_op(schedule, i), timeline_end_s(timeline, rank, i));
    return clock.now_s;
}

void memory_over_time(const Schedule *schedule, const Timeline *timeline, int rank,
                      MemoryVisit visit, void *data)
{
    Walk walk;
    Clock clock = {0};
    walk_start(&walk, schedule, NULL);
    visit(0, NULL, walk.bytes, data);
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        clock_advance(&clock, op, timeline_end_s(timeline, rank, i));
        walk_op(&walk, i);
        if (op->kind == OP_ALLOC || op->kind == OP_FREE)
            visit(clock.now_s, op, walk.bytes, data);
    }
    walk_clear(&walk);
}

typedef struct {
    const Schedule *schedule;
    FILE *out;
} CsvWriter;

static char *csv_label(const Schedule *schedule, const Op *op)
{
    if (op == NULL)
        return g_strdup("start");
    g_auto(GStrv) parts = g_strsplit(schedule_label(schedule, op->label), "\"", -1);
    g_autofree char *quoted = g_strjoinv("\"\"", parts);
    return g_strdup_printf("\"%s %s\"", op->kind == OP_ALLOC ? "alloc" : "free", quoted);
}

static void csv_row(double time_s, const Op *op, const gint64 *by_category, void *data)
{
    const CsvWriter *writer = data;
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    gint64 total_bytes = 0;
    g_autofree char *label = csv_label(writer->schedule, op);
    fprintf(writer->out, "%s,%s", g_ascii_formatd(number, sizeof number, "%.9f", time_s),
            label);
    for (int c = 0; c < N_MEMORY_CATEGORIES; c++) {
        fprintf(writer->out, ",%" G_GINT64_FORMAT, by_category[c]);
        total_bytes += by_category[c];
    }
    fprintf(writer->out, ",%" G_GINT64_FORMAT "\n", total_bytes);
}

void memory_csv_write(const Schedule *schedule, const Timeline *timeline, int rank, FILE *out)
{
    CsvWriter writer = {.schedule = schedule, .out = out};
    fputs("time_s,op", out);
    for (int c = 0; c < N_MEMORY_CATEGORIES; c++)
        fprintf(out, ",%s_bytes", memory_category_name((MemoryCategory)c));
    fputs(",total_bytes\n", out);
    memory_over_time(schedule, timeline, rank, csv_row, &writer);
}
