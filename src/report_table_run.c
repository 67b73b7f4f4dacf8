/* SPDX-License-Identifier: MIT */
/* One result as a person reads it: throughput, where the time goes, what is sent, what fills
 * the memory. */
#include "report_colour.h"
#include "report_explain.h"
#include "report_grid.h"
#include "report_table.h"

#define GIB 0x1p30
#define GB 1e9

static const Result *result_at(const GPtrArray *results, guint i)
{
    return results->pdata[i];
}

static gboolean same_batch(const GPtrArray *results)
{
    const Training *first = &result_at(results, 0)->training;
    for (guint i = 1; i < results->len; i++) {
        const Training *training = &result_at(results, i)->training;
        if (training->micro_batch != first->micro_batch ||
            training->gradient_accumulation != first->gradient_accumulation)
            return FALSE;
    }
    return TRUE;
}

static gboolean same_global_batch(const GPtrArray *results)
{
    for (guint i = 1; i < results->len; i++)
        if (result_at(results, i)->training.global_batch !=
            result_at(results, 0)->training.global_batch)
            return FALSE;
    return TRUE;
}

void report_table_title(const GPtrArray *results, FILE *out)
{
    /* The last: of a comparison under DeepSpeed the first row is PyTorch's. */
    const Result *result = result_at(results, results->len - 1);
    const Training *training = &result->training;
    fprintf(out, "%s, %s, on %s: %d x %s\n", result->model_name,
            framework_name(training->framework), result->cluster_name, result->n_ranks,
            result->gpu_name);
    if (!same_global_batch(results))
        fprintf(out,
                "sequences of %" G_GINT64_FORMAT " tokens, micro-batches as each can hold\n",
                training->sequence_length);
    else if (same_batch(results))
        fprintf(out,
                "%" G_GINT64_FORMAT " sequences of %" G_GINT64_FORMAT
                " tokens a step: micro-batch %" G_GINT64_FORMAT
                ", gradient accumulation %" G_GINT64_FORMAT ", checkpointing %s\n",
                training->global_batch, training->sequence_length, training->micro_batch,
                training->gradient_accumulation, checkpointing_name(training->checkpointing));
    else
        fprintf(out, "%" G_GINT64_FORMAT " sequences of %" G_GINT64_FORMAT " tokens a step\n",
                training->global_batch, training->sequence_length);
}

static void print_time(const Result *result, FILE *out)
{
    const TimeSplit *split = &result->time_split_s;
    const struct {
        const char *name;
        double time_s;
    } rows[] = {
        {"forward", split->forward},
        {"backward", split->backward},
        {"update", split->update},
        {"exposed communication", split->exposed_comm},
        {"idle (copies, host)", split->idle},
    };
    g_autoptr(ReportGrid) grid = report_grid_new(3, 1);
    report_grid_add(grid, "time on the rank that finishes last");
    report_grid_add(grid, "[s]");
    report_grid_add(grid, "[%%]");
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        report_grid_add(grid, "%s", rows[i].name);
        report_grid_add(grid, "%.4f", rows[i].time_s);
        report_grid_add(grid, "%.1f", 100 * rows[i].time_s / result->step_time_s);
    }
    report_grid_add(grid, "step");
    report_grid_add(grid, "%.4f", result->step_time_s);
    report_grid_add(grid, "%.1f", 100.0);
    report_grid_print(grid, 0, out);
}

static void print_collectives(const Result *result, FILE *out)
{
    static const char *const heads[] = {"communication",  "count",    "payload [GB]",
                                        "sent [GB/rank]", "busy [s]", "exposed [s]",
                                        "algorithm"};
    g_autoptr(ReportGrid) grid = report_grid_new((int)G_N_ELEMENTS(heads), 1);
    for (gsize i = 0; i < G_N_ELEMENTS(heads); i++)
        report_grid_add(grid, "%s", heads[i]);
    for (guint i = 0; i < result->collectives->len; i++) {
        const CollectiveTotal *t = &g_array_index(result->collectives, CollectiveTotal, i);
        report_grid_add(grid, "%s in %s", collective_name(t->kind), phase_name(t->phase));
        report_grid_add(grid, "%d", t->count);
        report_grid_add(grid, "%.3f", (double)t->payload_bytes / GB);
        report_grid_add(grid, "%.3f", t->sent_bytes_per_rank / GB);
        report_grid_add(grid, "%.4f", t->busy_s);
        report_grid_add(grid, "%.4f", t->exposed_s);
        report_grid_add(grid, "%s", t->algorithm ? t->algorithm : "");
    }
    report_grid_print(grid, 0, out);
}

static void print_links(const Result *result, FILE *out)
{
    static const char *const heads[] = {"links", "all carried [GB]", "busiest", "peak use [%]",
                                        "mean use [%]"};
    g_autoptr(ReportGrid) grid = report_grid_new((int)G_N_ELEMENTS(heads), 1);
    for (gsize i = 0; i < G_N_ELEMENTS(heads); i++)
        report_grid_add(grid, "%s", heads[i]);
    for (guint i = 0; i < result->link_classes->len; i++) {
        const LinkClassTotal *t = &g_array_index(result->link_classes, LinkClassTotal, i);
        report_grid_add(grid, "%s", link_class_name(t->link_class));
        report_grid_add(grid, "%.3f", t->bytes / GB);
        report_grid_add(grid, "%s", t->busiest_link);
        report_grid_add(grid, "%.1f", 100 * t->peak_utilisation_frac);
        report_grid_add(grid, "%.1f", 100 * t->mean_utilisation_frac);
    }
    report_grid_print(grid, 0, out);
}

static void print_memory(const Result *result, FILE *out)
{
    const Memory *memory = &result->memory;
    g_autoptr(ReportGrid) grid = report_grid_new(2, 1);
    report_grid_add(grid, "memory at the peak");
    report_grid_add(grid, "[GiB]");
    for (int c = 0; c < N_MEMORY_CATEGORIES; c++) {
        if (memory->by_category_at_peak[c] == 0)
            continue;
        g_auto(GStrv) words = g_strsplit(memory_category_name((MemoryCategory)c), "_", -1);
        g_autofree char *name = g_strjoinv(" ", words);
        report_grid_add(grid, "%s", name);
        report_grid_add(grid, "%.2f", (double)memory->by_category_at_peak[c] / GIB);
    }
    report_grid_add(grid, "peak");
    report_grid_add(grid, "%.2f", (double)memory->peak_bytes / GIB);
    report_grid_add(grid, "reserved by the allocator and libraries");
    report_grid_add(grid, "%.2f", (double)memory->reserved_bytes / GIB);
    report_grid_add(grid, "GPU");
    report_grid_add(grid, "%.2f", (double)memory->capacity_bytes / GIB);
    report_grid_print(grid, 0, out);
    g_autofree char *fits =
        memory->fits ? g_strdup("fits") : report_colour_alarmed(out, "DOES NOT FIT");
    fprintf(out, "%s; peak at %.4f s in %s\n", fits, result->peak_at_s, result->peak_label);
}

static void print_confidence(const Result *result, FILE *out)
{
    fputs("kernel times:", out);
    for (int s = 0; s < N_TIME_SOURCES; s++)
        if (result->kernel_source_frac[s] > 0)
            fprintf(out, " %.0f %% %s", 100 * result->kernel_source_frac[s],
                    time_source_name((TimeSource)s));
    fputs("; communication: modelled\n", out);
}

void report_table_run(const Result *result, FILE *out)
{
    g_autoptr(GPtrArray) alone = g_ptr_array_new();
    g_ptr_array_add(alone, (gpointer)result);
    report_table_title(alone, out);
    fprintf(out, "%s: step %.4g s, %.0f tokens/s/GPU, MFU %.1f %%, HFU %.1f %%\n\n",
            result->label, result->step_time_s, result->tokens_per_s_per_gpu,
            100 * result->mfu_frac, 100 * result->hfu_frac);
    print_time(result, out);
    fputc('\n', out);
    if (result->collectives->len > 0) {
        print_collectives(result, out);
        fputc('\n', out);
    }
    if (result->link_classes->len > 0) {
        print_links(result, out);
        fputc('\n', out);
    }
    if (result->explanation != NULL) {
        report_explain_print(result, out);
        fputc('\n', out);
    }
    print_memory(result, out);
    print_confidence(result, out);
    fprintf(out, "%s %s.\n", result->label, result->reason);
}
