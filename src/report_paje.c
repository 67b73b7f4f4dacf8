/* SPDX-License-Identifier: MIT */
/* A step as a Paje trace (Paje trace file format 1.2.5): a container a rank and, in it, one a
 * stream; a state an op, named by what it is, with its label as a further field; variables for
 * memory and the links' use; a link from rank to rank in each collective. Events are in the
 * order of time, as its readers require. */
#include "memory.h"
#include "report_trace.h"

#include <string.h>

typedef struct {
    double time_s;
    guint order; /* as issued: of equal times, what ends comes before what begins */
    char *line;
} Event;

typedef struct {
    const Trace *trace;
    GArray *events; /* Event */
    int rank;
} Writer;

static const char header[] = "%EventDef PajeDefineContainerType 0\n"
                             "%  Alias string\n%  Type string\n%  Name string\n"
                             "%EndEventDef\n"
                             "%EventDef PajeDefineStateType 1\n"
                             "%  Alias string\n%  Type string\n%  Name string\n"
                             "%EndEventDef\n"
                             "%EventDef PajeDefineVariableType 2\n"
                             "%  Alias string\n%  Type string\n%  Name string\n"
                             "%  Color color\n"
                             "%EndEventDef\n"
                             "%EventDef PajeDefineLinkType 3\n"
                             "%  Alias string\n%  Type string\n%  StartContainerType string\n"
                             "%  EndContainerType string\n%  Name string\n"
                             "%EndEventDef\n"
                             "%EventDef PajeDefineEntityValue 4\n"
                             "%  Alias string\n%  Type string\n%  Name string\n"
                             "%  Color color\n"
                             "%EndEventDef\n"
                             "%EventDef PajeCreateContainer 5\n"
                             "%  Time date\n%  Alias string\n%  Type string\n"
                             "%  Container string\n%  Name string\n"
                             "%EndEventDef\n"
                             "%EventDef PajeDestroyContainer 6\n"
                             "%  Time date\n%  Type string\n%  Name string\n"
                             "%EndEventDef\n"
                             "%EventDef PajePushState 7\n"
                             "%  Time date\n%  Type string\n%  Container string\n"
                             "%  Value string\n%  Label string\n"
                             "%EndEventDef\n"
                             "%EventDef PajePopState 8\n"
                             "%  Time date\n%  Type string\n%  Container string\n"
                             "%EndEventDef\n"
                             "%EventDef PajeSetVariable 9\n"
                             "%  Time date\n%  Type string\n%  Container string\n"
                             "%  Value double\n"
                             "%EndEventDef\n"
                             "%EventDef PajeStartLink 10\n"
                             "%  Time date\n%  Type string\n%  Container string\n"
                             "%  StartContainer string\n%  Value string\n%  Key string\n"
                             "%EndEventDef\n"
                             "%EventDef PajeEndLink 11\n"
                             "%  Time date\n%  Type string\n%  Container string\n"
                             "%  EndContainer string\n%  Value string\n%  Key string\n"
                             "%EndEventDef\n";

/* Values of a state, and their colours (red, green, blue from 0 to 1). */
static const struct {
    const char *name, *color;
} values[] = {
    {"forward", "0.337 0.706 0.914"},    {"backward", "0.000 0.447 0.698"},
    {"update", "0.800 0.475 0.655"},     {"all_reduce", "0.835 0.369 0.000"},
    {"all_gather", "0.902 0.624 0.000"}, {"reduce_scatter", "0.000 0.620 0.451"},
    {"broadcast", "0.941 0.894 0.259"},  {"reduce", "0.600 0.600 0.600"},
};

static void write_types(FILE *out)
{
    fputs(header, out);
    fputs("0 JOB 0 \"job\"\n0 RANK JOB \"rank\"\n0 STREAM RANK \"stream\"\n", out);
    fputs("1 OP STREAM \"op\"\n", out);
    fputs("2 MEMORY RANK \"memory (bytes)\" \"0.3 0.3 0.3\"\n", out);
    fputs("2 NVLINK RANK \"NVLink use (part of its bandwidth)\" \"0.000 0.620 0.451\"\n", out);
    fputs("2 NIC RANK \"NIC use (part of its bandwidth)\" \"0.835 0.369 0.000\"\n", out);
    fputs("3 COLLECTIVE JOB STREAM STREAM \"collective\"\n", out);
    for (gsize i = 0; i < G_N_ELEMENTS(values); i++)
        fprintf(out, "4 %s OP \"%s\" \"%s\"\n", values[i].name, values[i].name,
                values[i].color);
    fputs("4 arrow COLLECTIVE \"arrow\" \"0.5 0.5 0.5\"\n", out);
}

static char *time_text(double time_s, char *buffer)
{
    return g_ascii_formatd(buffer, G_ASCII_DTOSTR_BUF_SIZE, "%.12f", MAX(0, time_s));
}

/* An event's line is "KIND TIME REST". */
static void add_event(Writer *writer, int kind, double time_s, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

static void add_event(Writer *writer, int kind, double time_s, const char *format, ...)
{
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *rest = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    Event event = {.time_s = time_s,
                   .order = writer->events->len,
                   .line =
                       g_strdup_printf("%d %s %s\n", kind, time_text(time_s, number), rest)};
    g_array_append_val(writer->events, event);
}

static int event_compare(gconstpointer a, gconstpointer b)
{
    const Event *one = a, *other = b;
    if (one->time_s != other->time_s)
        return one->time_s < other->time_s ? -1 : 1;
    return (one->order > other->order) - (one->order < other->order);
}

static void event_clear(gpointer event)
{
    g_free(((Event *)event)->line);
}

/* Quotes would end the field. */
static char *field_text(const char *label)
{
    return g_strdelimit(g_strdup(label), "\"\n", '\'');
}

static const char *op_value(const Op *op)
{
    return op->kind == OP_COMPUTE ? phase_name(op->phase) : collective_name(op->collective);
}

static void add_variable(Writer *writer, const char *type, int rank, double time_s,
                         double value)
{
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    add_event(writer, 9, time_s, "%s r%d %s", type, rank,
              g_ascii_formatd(number, sizeof number, "%.9g", value));
}

static void add_link_use(Writer *writer, int rank, double time_s, TraceLinkUse use)
{
    add_variable(writer, "NVLINK", rank, time_s, use.nvlink_frac);
    add_variable(writer, "NIC", rank, time_s, use.nic_frac);
}

static void add_op(Writer *writer, int rank, int index)
{
    const Schedule *schedule = job_program(writer->trace->job, rank);
    const Timeline *timeline = writer->trace->sim->timeline;
    const Op *op = schedule_op(schedule, index);
    double start_s = timeline_start_s(timeline, rank, index);
    double end_s = timeline_end_s(timeline, rank, index);
    g_autofree char *label = field_text(schedule_label(schedule, op->label));
    if (end_s <= start_s)
        return;
    add_event(writer, 7, start_s, "OP r%d-%s %s \"%s\"", rank, stream_name(op->stream),
              op_value(op), label);
    add_event(writer, 8, end_s, "OP r%d-%s", rank, stream_name(op->stream));
}

/* From each shown rank to the next of its group. */
static void add_arrows(Writer *writer, guint shown, int index, guint k)
{
    const Trace *trace = writer->trace;
    int rank = g_array_index(trace->ranks, TraceRank, shown).rank;
    const Op *op = schedule_op(job_program(trace->job, rank), index);
    double time_s = (timeline_start_s(trace->sim->timeline, rank, index) +
                     timeline_end_s(trace->sim->timeline, rank, index)) /
                    2;
    int first_id = (int)(k * trace->ranks->len);
    int before = trace_partner(trace, op, shown, -1);
    if (before >= 0)
        add_event(writer, 11, time_s, "COLLECTIVE job r%d-nccl arrow k%d", rank,
                  first_id + before);
    if (trace_partner(trace, op, shown, 1) >= 0)
        add_event(writer, 10, time_s, "COLLECTIVE job r%d-nccl arrow k%d", rank,
                  first_id + (int)shown);
}

static void add_rank_ops(Writer *writer, guint shown, const TraceLinkUse *use)
{
    int rank = g_array_index(writer->trace->ranks, TraceRank, shown).rank;
    const Schedule *schedule = job_program(writer->trace->job, rank);
    const Timeline *timeline = writer->trace->sim->timeline;
    guint k = 0, n_shown = writer->trace->ranks->len;
    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->kind == OP_ALLOC || op->kind == OP_FREE)
            continue;
        add_op(writer, rank, i);
        if (op->kind != OP_COLLECTIVE)
            continue;
        add_link_use(writer, rank, timeline_start_s(timeline, rank, i),
                     use[n_shown * k + shown]);
        add_link_use(writer, rank, timeline_end_s(timeline, rank, i), (TraceLinkUse){0});
        add_arrows(writer, shown, i, k);
        k++;
    }
}

static void add_memory(double time_s, const Op *op, const gint64 *by_category, void *data)
{
    Writer *writer = data;
    gint64 total_bytes = 0;
    (void)op;
    for (int c = 0; c < N_MEMORY_CATEGORIES; c++)
        total_bytes += by_category[c];
    add_variable(writer, "MEMORY", writer->rank, time_s, (double)total_bytes);
}

static void write_containers(const Trace *trace, FILE *out)
{
    g_autofree char *title = field_text(trace->title);
    fprintf(out, "5 0.0 job JOB 0 \"%s\"\n", title);
    for (guint i = 0; i < trace->ranks->len; i++) {
        const TraceRank *shown = &g_array_index(trace->ranks, TraceRank, i);
        fprintf(out, "5 0.0 r%d RANK job \"%s\"\n", shown->rank, shown->label);
        for (int s = 0; s < N_STREAMS; s++)
            fprintf(out, "5 0.0 r%d-%s STREAM r%d \"%s of rank %d\"\n", shown->rank,
                    stream_name((Stream)s), shown->rank, stream_name((Stream)s), shown->rank);
    }
}

static void write_ends(const Trace *trace, double end_s, FILE *out)
{
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    time_text(end_s, number);
    for (guint i = 0; i < trace->ranks->len; i++) {
        int rank = g_array_index(trace->ranks, TraceRank, i).rank;
        for (int s = 0; s < N_STREAMS; s++)
            fprintf(out, "6 %s STREAM r%d-%s\n", number, rank, stream_name((Stream)s));
        fprintf(out, "6 %s RANK r%d\n", number, rank);
    }
    fprintf(out, "6 %s JOB job\n", number);
}

void report_paje_write(const Trace *trace, FILE *out)
{
    g_autofree TraceLinkUse *use = trace_link_use(trace);
    Writer writer = {.trace = trace, .events = g_array_new(FALSE, FALSE, sizeof(Event))};
    double end_s = 0;
    g_array_set_clear_func(writer.events, event_clear);
    for (guint i = 0; i < trace->ranks->len; i++) {
        writer.rank = g_array_index(trace->ranks, TraceRank, i).rank;
        add_rank_ops(&writer, i, use);
        memory_over_time(job_program(trace->job, writer.rank), trace->sim->timeline,
                         writer.rank, add_memory, &writer);
    }
    g_array_sort(writer.events, event_compare);
    write_types(out);
    write_containers(trace, out);
    for (guint i = 0; i < writer.events->len; i++) {
        const Event *event = &g_array_index(writer.events, Event, i);
        fputs(event->line, out);
        end_s = MAX(end_s, event->time_s);
    }
    write_ends(trace, end_s, out);
    g_array_unref(writer.events);
}
