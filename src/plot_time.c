/* SPDX-License-Identifier: MIT */
/* Figures of what happens during a step, thinned out to what a page can show: memory over time
 * of `run --memory-csv`; link use and ops of `run --trace`. */
#include "plot.h"

#include <math.h>
#include <string.h>

#define GIB 0x1p30
#define N_BINS 400
#define US_PER_MS 1e3

static const char *const memory_parts[] = {
    "framework",      "parameters",  "gradients",           "optimizer_states",
    "master_weights", "activations", "gathered_parameters", "communication_buffers",
    "temporaries"};

static double cell_number(const CsvTable *csv, guint row, const char *column)
{
    return g_ascii_strtod(csv_row_text(csv->rows->pdata[row], column), NULL);
}

static gboolean need_memory(const ResultsIn *in, GError **error)
{
    if (in->memory == NULL)
        return plot_fail(error, "the figure needs a file of `zerosim run --memory-csv`");
    for (gsize p = 0; p < G_N_ELEMENTS(memory_parts); p++) {
        g_autofree char *name = g_strconcat(memory_parts[p], "_bytes", NULL);
        if (!csv_table_has(in->memory, name))
            return plot_fail(error, "%s: has no column %s", in->memory->file, name);
    }
    return in->memory->rows->len > 0 || plot_fail(error, "%s: has no rows", in->memory->file);
}

static void write_memory_row(const CsvTable *memory, guint row, gboolean is_peak, PlotCsv *csv)
{
    plot_number(csv, 1e3 * cell_number(memory, row, "time_s"));
    for (gsize p = 0; p < G_N_ELEMENTS(memory_parts); p++) {
        g_autofree char *name = g_strconcat(memory_parts[p], "_bytes", NULL);
        plot_number(csv, cell_number(memory, row, name) / GIB);
    }
    plot_number(csv, is_peak ? cell_number(memory, row, "total_bytes") / GIB : NAN);
    plot_end(csv);
}

static void write_memory_header(PlotCsv *csv)
{
    fputs("time_ms", csv->out);
    for (gsize p = 0; p < G_N_ELEMENTS(memory_parts); p++)
        fprintf(csv->out, ",%s_gib", memory_parts[p]);
    fputs(",peak_gib,end\n", csv->out);
}

static double *column_numbers(const CsvTable *csv, const char *column)
{
    double *numbers = g_new(double, csv->rows->len);
    for (guint row = 0; row < csv->rows->len; row++)
        numbers[row] = cell_number(csv, row, column);
    return numbers;
}

/* Of each bin of time the row with the most memory, so that no peak is lost. */
gboolean plot_memory_over_time_write(const ResultsIn *in, PlotCsv *csv, GError **error)
{
    if (!need_memory(in, error))
        return FALSE;
    guint n_rows = in->memory->rows->len, peak = 0;
    g_autofree double *time_s = column_numbers(in->memory, "time_s");
    g_autofree double *total = column_numbers(in->memory, "total_bytes");
    double per_bin_s = MAX(time_s[n_rows - 1], 1e-12) / N_BINS;
    for (guint row = 1; row < n_rows; row++)
        peak = total[row] > total[peak] ? row : peak;
    write_memory_header(csv);
    for (guint row = 0, most = 0; row < n_rows; row++) {
        most = total[row] > total[most] ? row : most;
        gboolean is_last = row + 1 == n_rows;
        if (!is_last && floor(time_s[row] / per_bin_s) == floor(time_s[row + 1] / per_bin_s))
            continue;
        write_memory_row(in->memory, most, most == peak, csv);
        most = row + 1;
    }
    return TRUE;
}

static gboolean need_trace(const ResultsIn *in, GError **error)
{
    return in->trace != NULL ||
           plot_fail(error, "the figure needs a file of `zerosim run --trace=FILE.json`");
}

static const json_t *trace_events(const ResultsIn *in)
{
    return json_object_get(in->trace, "traceEvents");
}

static const char *event_text(const json_t *event, const char *key)
{
    const char *text = json_string_value(json_object_get(event, key));
    return text != NULL ? text : "";
}

static double event_number(const json_t *event, const char *key)
{
    return json_number_value(json_object_get(event, key));
}

/* Ranks of the trace, in order of appearance. */
static GArray *trace_pids(const ResultsIn *in)
{
    GArray *pids = g_array_new(FALSE, FALSE, sizeof(int));
    const json_t *events = trace_events(in);
    for (gsize i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        int pid = (int)event_number(event, "pid");
        if (strcmp(event_text(event, "name"), "process_name") == 0)
            g_array_append_val(pids, pid);
    }
    return pids;
}

static const struct {
    const char *member, *label;
} link_kinds[] = {{"nvlink_frac", "NVLink"}, {"nic_frac", "NIC"}};

/* Mean use of one kind of link of one rank in each bin; TRUE when it is used at all. */
static gboolean bin_link_use(const ResultsIn *in, int pid, const char *member, double step_us,
                             double *bins)
{
    const json_t *events = trace_events(in);
    double since_us = 0, use = 0, bin_us = step_us / N_BINS;
    gboolean any = FALSE;
    for (gsize i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        if (strcmp(event_text(event, "name"), "link use") != 0 ||
            (int)event_number(event, "pid") != pid)
            continue;
        double now_us = CLAMP(event_number(event, "ts"), since_us, step_us);
        for (int b = (int)(since_us / bin_us); use > 0 && b < N_BINS && b * bin_us < now_us;
             b++) {
            double overlap_us = MIN(now_us, (b + 1) * bin_us) - MAX(since_us, b * bin_us);
            bins[b] += use * MAX(0, overlap_us) / bin_us;
        }
        use = event_number(json_object_get(event, "args"), member);
        any = any || use > 0;
        since_us = now_us;
    }
    return any;
}

gboolean plot_link_use_write(const ResultsIn *in, PlotCsv *csv, GError **error)
{
    static const char *const columns[] = {"row", "label", "time_ms", "use_percent", NULL};
    int row = 0;
    if (!need_trace(in, error))
        return FALSE;
    double step_us = 1e6 * results_in_number(in->trace, "otherData.step_time_s");
    g_autoptr(GArray) pids = trace_pids(in);
    plot_header(csv, columns);
    for (guint p = 0; p < pids->len; p++)
        for (gsize k = 0; k < G_N_ELEMENTS(link_kinds); k++) {
            double bins[N_BINS] = {0};
            int pid = g_array_index(pids, int, p);
            g_autofree char *label = g_strdup_printf("rank %d %s", pid, link_kinds[k].label);
            if (!bin_link_use(in, pid, link_kinds[k].member, step_us, bins))
                continue;
            for (int b = 0; b < N_BINS; b++) {
                plot_number(csv, row);
                plot_text(csv, label);
                plot_number(csv, (b + 0.5) * step_us / N_BINS / US_PER_MS);
                plot_number(csv, 100 * bins[b]);
                plot_end(csv);
            }
            row++;
        }
    return row > 0 || plot_fail(error, "%s: no link is used", in->trace_file);
}

/* What runs, in the order of the columns after "lane,label,start_ms,end_ms,class". */
static const char *const gantt_classes[] = {"forward",    "backward",   "update",
                                            "all_reduce", "all_gather", "reduce_scatter",
                                            "broadcast",  "reduce",     NULL};

static int gantt_class(const json_t *event)
{
    const json_t *arguments = json_object_get(event, "args");
    const char *name = strcmp(event_text(event, "cat"), "compute") == 0
                           ? event_text(arguments, "phase")
                           : event_text(arguments, "collective");
    for (int c = 0; gantt_classes[c] != NULL; c++)
        if (strcmp(gantt_classes[c], name) == 0)
            return c;
    return -1;
}

typedef struct {
    int lane, class;
    double start_us, end_us;
} GanttBox;

static void write_box(const GanttBox *box, const char *label, PlotCsv *csv)
{
    plot_number(csv, box->lane);
    plot_text(csv, label);
    plot_number(csv, box->start_us / US_PER_MS);
    plot_number(csv, box->end_us / US_PER_MS);
    plot_text(csv, gantt_classes[box->class]);
    plot_end(csv);
}

/* Writes one stream's ops; what follows its like closely is drawn as one. FALSE: it has none.
 */
static gboolean write_lane(const ResultsIn *in, int pid, int tid, int lane, const char *label,
                           double close_us, PlotCsv *csv)
{
    const json_t *events = trace_events(in);
    GanttBox box = {.lane = lane, .class = -1};
    for (gsize i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        if (strcmp(event_text(event, "ph"), "X") != 0 ||
            (int)event_number(event, "pid") != pid || (int)event_number(event, "tid") != tid)
            continue;
        double start_us = event_number(event, "ts");
        double end_us = start_us + event_number(event, "dur");
        int class = gantt_class(event);
        if (class < 0 || end_us <= start_us)
            continue;
        if (class == box.class && start_us - box.end_us <= close_us) {
            box.end_us = end_us;
            continue;
        }
        if (box.class >= 0)
            write_box(&box, label, csv);
        box = (GanttBox){lane, class, start_us, end_us};
    }
    if (box.class >= 0)
        write_box(&box, label, csv);
    return box.class >= 0;
}

#define MAX_LANES 24

/* A lane a thread that the trace names. */
gboolean plot_gantt_write(const ResultsIn *in, PlotCsv *csv, GError **error)
{
    static const char *const columns[] = {"lane", "label", "start_ms", "end_ms", "class", NULL};
    int lane = 0;
    if (!need_trace(in, error))
        return FALSE;
    double step_us = 1e6 * results_in_number(in->trace, "otherData.step_time_s");
    const json_t *events = trace_events(in);
    plot_header(csv, columns);
    for (gsize i = 0; i < json_array_size(events) && lane < MAX_LANES; i++) {
        const json_t *event = json_array_get(events, i);
        if (strcmp(event_text(event, "name"), "thread_name") != 0)
            continue;
        int pid = (int)event_number(event, "pid"), tid = (int)event_number(event, "tid");
        g_autofree char *label = g_strdup_printf(
            "rank %d %s", pid, event_text(json_object_get(event, "args"), "name"));
        lane += write_lane(in, pid, tid, lane, label, step_us / 2000, csv);
    }
    return lane > 0 || plot_fail(error, "%s: nothing runs", in->trace_file);
}

/* Kernels of the step that compute; what only moves bytes has no place under a roofline. */
gboolean plot_roofline_write(const ResultsIn *in, PlotCsv *csv, GError **error)
{
    static const char *const columns[] = {
        "label",    "intensity", "tflop_per_s", "percent_time", "peak_tflop_per_s",
        "gb_per_s", NULL};
    int n = 0;
    if (!need_trace(in, error))
        return FALSE;
    const json_t *kernels = results_in_member(in->trace, "otherData.kernels");
    double peak = results_in_number(in->trace, "otherData.peak_flop_per_s");
    double bytes_per_s = results_in_number(in->trace, "otherData.memory_bytes_per_s");
    double all_s = 0;
    for (gsize i = 0; i < json_array_size(kernels); i++)
        all_s += event_number(json_array_get(kernels, i), "total_s");
    plot_header(csv, columns);
    for (gsize i = 0; i < json_array_size(kernels); i++) {
        const json_t *kernel = json_array_get(kernels, i);
        double flops = event_number(kernel, "flops"), bytes = event_number(kernel, "bytes");
        double time_s = event_number(kernel, "time_s");
        if (!(flops > 0) || !(bytes > 0) || !(time_s > 0))
            continue;
        plot_text(csv, event_text(kernel, "kernel"));
        plot_number(csv, flops / bytes);
        plot_number(csv, flops / time_s / 1e12);
        plot_number(csv, 100 * event_number(kernel, "total_s") / all_s);
        plot_number(csv, peak / 1e12);
        plot_number(csv, bytes_per_s / 1e9);
        plot_end(csv);
        n++;
    }
    return (n > 0 && isfinite(peak) && isfinite(bytes_per_s)) ||
           plot_fail(error, "%s: lists no kernels that compute", in->trace_file);
}
