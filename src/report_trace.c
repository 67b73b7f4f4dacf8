/* SPDX-License-Identifier: MIT */
/* A step in Chrome's trace event format: a process a rank, a thread a stream, an arrow from
 * rank to rank in each collective, counters of memory and of the links' use. Times are
 * microseconds since the end of the previous step. */
#include "report_trace.h"

#include "memory.h"

#include <jansson.h>

#define US 1e6

typedef struct {
    const Trace *trace;
    const TraceLinkUse *use;
    FILE *out;
    gboolean any;
    int rank; /* whose memory is being written */
} Writer;

/* Takes the event. */
static void write_event(Writer *writer, json_t *event)
{
    g_assert(event != NULL);
    fputs(writer->any ? ",\n" : "\n", writer->out);
    json_dumpf(event, writer->out, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(event);
    writer->any = TRUE;
}

static void write_name(Writer *writer, const char *what, int rank, int stream, const char *name)
{
    write_event(writer, json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "name", what, "ph", "M",
                                  "pid", rank, "tid", stream, "args", "name", name));
}

static gboolean stream_is_used(const Schedule *schedule, Stream stream)
{
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->stream == stream && (op->kind == OP_COMPUTE || op->kind == OP_COLLECTIVE))
            return TRUE;
    }
    return FALSE;
}

static void write_names(Writer *writer, const TraceRank *shown)
{
    const Schedule *schedule = job_program(writer->trace->job, shown->rank);
    write_name(writer, "process_name", shown->rank, 0, shown->label);
    write_event(writer, json_pack("{s:s, s:s, s:i, s:i, s:{s:i}}", "name", "process_sort_index",
                                  "ph", "M", "pid", shown->rank, "tid", 0, "args", "sort_index",
                                  shown->rank));
    for (int stream = 0; stream < N_STREAMS; stream++)
        if (stream_is_used(schedule, (Stream)stream))
            write_name(writer, "thread_name", shown->rank, stream, stream_name((Stream)stream));
}

static json_t *compute_arguments(const Schedule *schedule, const Op *op)
{
    double bytes = 0;
    json_t *kernels = json_array();
    for (int i = 0; i < op->n_kernels; i++) {
        const Kernel *kernel = &g_array_index(schedule->kernels, Kernel, op->first_kernel + i);
        g_autofree char *text = trace_kernel_text(kernel);
        bytes += kernel_bytes(kernel);
        json_array_append_new(kernels, json_string(text));
    }
    return json_pack("{s:s, s:f, s:f, s:i, s:o}", "phase", phase_name(op->phase), "flops",
                     op->flops, "memory_traffic_bytes", bytes, "launches", op->n_launches,
                     "kernels", kernels);
}

static json_t *collective_arguments(const Writer *writer, int rank, const Op *op, guint k)
{
    const GArray *uses = writer->trace->sim->collectives;
    const Job *job = writer->trace->job;
    int n = job_group_size(job, op->communicator, rank);
    double factor = n == 1 ? 0 : collective_busbw_factor(op->collective, n);
    json_t *arguments = json_pack("{s:s, s:s, s:s, s:I, s:f}", "phase", phase_name(op->phase),
                                  "group", job_communicator(job, op->communicator)->name,
                                  "collective", collective_name(op->collective),
                                  "payload_bytes", (json_int_t)op->payload_bytes,
                                  "sent_bytes_per_rank", (double)op->payload_bytes * factor);
    if (k < uses->len) {
        const CollectiveUse *use = &g_array_index(uses, CollectiveUse, k);
        json_object_set_new(arguments, "algorithm",
                            json_string(algorithm_name(use->algorithm)));
        json_object_set_new(arguments, "protocol", json_string(protocol_name(use->protocol)));
    }
    return arguments;
}

static void write_slice(Writer *writer, int rank, int index, guint k)
{
    const Schedule *schedule = job_program(writer->trace->job, rank);
    const Timeline *timeline = writer->trace->sim->timeline;
    const Op *op = schedule_op(schedule, index);
    double start_s = timeline_start_s(timeline, rank, index);
    double end_s = timeline_end_s(timeline, rank, index);
    json_t *arguments = op->kind == OP_COMPUTE ? compute_arguments(schedule, op)
                                               : collective_arguments(writer, rank, op, k);
    write_event(writer, json_pack("{s:s, s:s, s:s, s:i, s:i, s:f, s:f, s:o}", "name",
                                  schedule_label(schedule, op->label), "cat",
                                  op->kind == OP_COMPUTE ? "compute" : "collective", "ph", "X",
                                  "pid", rank, "tid", (int)op->stream, "ts", start_s * US,
                                  "dur", (end_s - start_s) * US, "args", arguments));
}

static void write_arrow(Writer *writer, const char *phase, int id, double time_s, int rank)
{
    write_event(writer,
                json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:f}", "name", "collective",
                          "cat", "collective", "ph", phase, "bp", "e", "id", id, "pid", rank,
                          "tid", (int)STREAM_NCCL, "ts", time_s * US));
}

/* From each shown rank to the next of its group, in the middle of the collective, where all
 * members are in it. */
static void write_arrows(Writer *writer, guint shown, int index, guint k)
{
    const Trace *trace = writer->trace;
    int rank = g_array_index(trace->ranks, TraceRank, shown).rank;
    const Op *op = schedule_op(job_program(trace->job, rank), index);
    double time_s = (timeline_start_s(trace->sim->timeline, rank, index) +
                     timeline_end_s(trace->sim->timeline, rank, index)) /
                    2;
    int first_id = (int)(k * trace->ranks->len) + 1;
    int before = trace_partner(trace, op, shown, -1);
    if (before >= 0)
        write_arrow(writer, "f", first_id + before, time_s, rank);
    if (trace_partner(trace, op, shown, 1) >= 0)
        write_arrow(writer, "s", first_id + (int)shown, time_s, rank);
}

static void write_link_use(Writer *writer, int rank, double time_s, TraceLinkUse use)
{
    write_event(writer, json_pack("{s:s, s:s, s:i, s:f, s:{s:f, s:f}}", "name", "link use",
                                  "ph", "C", "pid", rank, "ts", time_s * US, "args",
                                  "nvlink_frac", use.nvlink_frac, "nic_frac", use.nic_frac));
}

static void write_rank_ops(Writer *writer, guint shown)
{
    int rank = g_array_index(writer->trace->ranks, TraceRank, shown).rank;
    const Schedule *schedule = job_program(writer->trace->job, rank);
    const Timeline *timeline = writer->trace->sim->timeline;
    guint k = 0;
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->kind == OP_ALLOC || op->kind == OP_FREE)
            continue;
        write_slice(writer, rank, i, k);
        if (op->kind != OP_COLLECTIVE)
            continue;
        write_link_use(writer, rank, timeline_start_s(timeline, rank, i),
                       writer->use[writer->trace->ranks->len * k + shown]);
        write_link_use(writer, rank, timeline_end_s(timeline, rank, i), (TraceLinkUse){0});
        write_arrows(writer, shown, i, k);
        k++;
    }
}

static void write_memory(double time_s, const Op *op, const gint64 *by_category, void *data)
{
    Writer *writer = data;
    json_t *values = json_object();
    (void)op;
    for (int c = 0; c < N_MEMORY_CATEGORIES; c++)
        json_object_set_new(values, memory_category_name((MemoryCategory)c),
                            json_integer(by_category[c]));
    write_event(writer, json_pack("{s:s, s:s, s:i, s:f, s:o}", "name", "memory (bytes)", "ph",
                                  "C", "pid", writer->rank, "ts", time_s * US, "args", values));
}

/* Kernel * → how often it runs in program 0. */
static GHashTable *count_kernels(const Schedule *schedule)
{
    GHashTable *counts = g_hash_table_new(kernel_hash, kernel_equal);
    for (guint i = 0; i < schedule->kernels->len; i++) {
        Kernel *kernel = &g_array_index(schedule->kernels, Kernel, i);
        int n = GPOINTER_TO_INT(g_hash_table_lookup(counts, kernel));
        g_hash_table_insert(counts, kernel, GINT_TO_POINTER(n + 1));
    }
    return counts;
}

/* Each kernel of the step once, in order of first use: what it does and how long it takes. */
static json_t *kernels_array(const Trace *trace)
{
    const Schedule *schedule = job_program(trace->job, 0);
    g_autoptr(GHashTable) counts = count_kernels(schedule);
    json_t *array = json_array();
    for (guint i = 0; i < schedule->kernels->len; i++) {
        const Kernel *kernel = &g_array_index(schedule->kernels, Kernel, i);
        int n = GPOINTER_TO_INT(g_hash_table_lookup(counts, kernel));
        if (n == 0)
            continue;
        KernelTime time = profile_lookup(trace->profile, kernel);
        g_autofree char *text = trace_kernel_text(kernel);
        json_array_append_new(array, json_pack("{s:s, s:i, s:f, s:f, s:f, s:f, s:s}", "kernel",
                                               text, "count", n, "flops", kernel_flops(kernel),
                                               "bytes", kernel_bytes(kernel), "time_s",
                                               time.time_s, "total_s", n * time.time_s,
                                               "source", time_source_name(time.source)));
        g_hash_table_remove(counts, kernel);
    }
    return array;
}

static void write_header(const Trace *trace, FILE *out)
{
    const Profile *profile = trace->profile;
    json_t *about = json_pack(
        "{s:s, s:s, s:f, s:i, s:f, s:f, s:s, s:s, s:f, s:f, s:o}", "schema", "zerosim-trace/1",
        "title", trace->title, "step_time_s", trace->sim->timeline->step_time_s, "n_ranks",
        trace->job->n_ranks, "nvlink_bytes_per_s", trace->cluster->nvlink_bytes_per_s,
        "nic_bytes_per_s", trace->cluster->nic_bytes_per_s, "gpu", profile->name, "dtype",
        dtype_name(trace->dtype), "peak_flop_per_s", profile->peak_flop_per_s[trace->dtype],
        "memory_bytes_per_s", profile->memory_bytes_per_s, "kernels", kernels_array(trace));
    fputs("{\"displayTimeUnit\":\"ms\",\"otherData\":", out);
    json_dumpf(about, out, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(about);
    fputs(",\"traceEvents\":[", out);
}

void report_trace_write(const Trace *trace, FILE *out)
{
    g_autofree TraceLinkUse *use = trace_link_use(trace);
    Writer writer = {.trace = trace, .use = use, .out = out};
    write_header(trace, out);
    for (guint i = 0; i < trace->ranks->len; i++) {
        const TraceRank *shown = &g_array_index(trace->ranks, TraceRank, i);
        writer.rank = shown->rank;
        write_names(&writer, shown);
        write_rank_ops(&writer, i);
        memory_over_time(job_program(trace->job, shown->rank), trace->sim->timeline,
                         shown->rank, write_memory, &writer);
    }
    fputs("\n]}\n", out);
}
