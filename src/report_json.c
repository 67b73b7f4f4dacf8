/* SPDX-License-Identifier: MIT */
/* A result as JSON: SI units, names that carry them, the same bytes for the same result. */
#include "report_explain.h"
#include "report_formats.h"

#include <math.h>
#include <string.h>

#define FLOPS_CONVENTION                                                                       \
    "PaLM appendix B: 6 N + 12 L H Q T a token, N with embeddings, no causal discount"

static json_t *time_split_object(const TimeSplit *split)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "forward", split->forward, "backward",
                     split->backward, "update", split->update, "exposed_comm",
                     split->exposed_comm, "idle", split->idle);
}

static json_t *collectives_array(const GArray *totals)
{
    json_t *array = json_array();
    for (guint i = 0; i < totals->len; i++) {
        const CollectiveTotal *t = &g_array_index(totals, CollectiveTotal, i);
        json_array_append_new(
            array, json_pack("{s:s, s:s, s:s, s:i, s:I, s:f, s:f, s:f, s:s}", "collective",
                             collective_name(t->kind), "phase", phase_name(t->phase), "group",
                             t->group, "count", t->count, "payload_bytes",
                             (json_int_t)t->payload_bytes, "sent_bytes_per_rank",
                             t->sent_bytes_per_rank, "busy_s", t->busy_s, "exposed_s",
                             t->exposed_s, "algorithm", t->algorithm ? t->algorithm : "none"));
    }
    return array;
}

static json_t *link_classes_array(const GArray *totals)
{
    json_t *array = json_array();
    for (guint i = 0; i < totals->len; i++) {
        const LinkClassTotal *t = &g_array_index(totals, LinkClassTotal, i);
        json_array_append_new(
            array, json_pack("{s:s, s:f, s:s, s:f, s:f}", "class",
                             link_class_name(t->link_class), "bytes", t->bytes, "busiest_link",
                             t->busiest_link, "peak_utilisation_frac", t->peak_utilisation_frac,
                             "mean_utilisation_frac", t->mean_utilisation_frac));
    }
    return array;
}

static json_t *categories_object(const gint64 *by_category)
{
    json_t *object = json_object();
    for (int c = 0; c < N_MEMORY_CATEGORIES; c++)
        json_object_set_new(object, memory_category_name((MemoryCategory)c),
                            json_integer(by_category[c]));
    return object;
}

static json_t *memory_object(const Result *result)
{
    const Memory *memory = &result->memory;
    return json_pack("{s:I, s:f, s:s, s:I, s:I, s:b, s:I, s:o}", "peak_bytes",
                     (json_int_t)memory->peak_bytes, "peak_at_s", result->peak_at_s, "peak_op",
                     result->peak_label, "reserved_bytes", (json_int_t)memory->reserved_bytes,
                     "capacity_bytes", (json_int_t)memory->capacity_bytes, "fits",
                     (int)memory->fits, "model_state_bytes",
                     (json_int_t)result->model_state_bytes, "by_category_at_peak",
                     categories_object(memory->by_category_at_peak));
}

static json_t *expected_error_object(const ExpectedError *expected)
{
    if (!(expected->p50_frac > 0))
        return json_null();
    return json_pack("{s:f, s:f}", "p50", expected->p50_frac, "p90", expected->p90_frac);
}

static json_t *confidence_object(const Result *result)
{
    static const char *const overlaps[] = {[SIM_OVERLAP_NONE] = "none",
                                           [SIM_OVERLAP_MODELLED] = "modelled",
                                           [SIM_OVERLAP_MEASURED] = "measured"};
    json_t *kernels = json_object();
    for (int s = 0; s < N_TIME_SOURCES; s++) {
        g_autofree char *name = g_strdup_printf("%s_frac", time_source_name((TimeSource)s));
        json_object_set_new(kernels, name, json_real(result->kernel_source_frac[s]));
    }
    return json_pack("{s:o, s:{s:f, s:f}, s:s, s:o}", "kernels", kernels, "comm", "fitted_frac",
                     result->comm_fitted_frac, "modelled_frac", result->comm_modelled_frac,
                     "overlap", overlaps[result->overlap], "expected_error_frac",
                     expected_error_object(&result->expected_error));
}

static json_t *warnings_array(const GPtrArray *warnings)
{
    json_t *array = json_array();
    for (guint i = 0; i < warnings->len; i++)
        json_array_append_new(array, json_string(warnings->pdata[i]));
    return array;
}

/* Only of a platform whose price is known. */
static json_t *cost_object(const Result *result)
{
    double usd_per_step =
        result->usd_per_gpu_hour * result->n_ranks * result->step_time_s / 3600;
    double tokens = result->tokens_per_s_per_gpu * result->n_ranks * result->step_time_s;
    return json_pack("{s:f, s:f, s:f}", "usd_per_gpu_hour", result->usd_per_gpu_hour,
                     "usd_per_step", usd_per_step, "usd_per_million_tokens",
                     1e6 * usd_per_step / tokens);
}

json_t *report_json_object(const Result *result)
{
    json_t *comm =
        json_pack("{s:f, s:o, s:o}", "sent_bytes_per_rank", result->sent_bytes_per_rank,
                  "by_collective", collectives_array(result->collectives), "by_link_class",
                  link_classes_array(result->link_classes));
    json_t *object =
        json_pack("{s:s, s:O, s:i, s:I, s:o, s:f, s:f, s:f, s:f, s:f, s:s}", "schema",
                  "zerosim-result/1", "inputs", result->inputs, "n_ranks", result->n_ranks,
                  "n_parameters", (json_int_t)result->n_parameters, "warnings",
                  warnings_array(result->warnings), "step_time_s", result->step_time_s,
                  "tokens_per_s_per_gpu", result->tokens_per_s_per_gpu, "model_flops_per_step",
                  result->model_flops_per_step, "mfu_frac", result->mfu_frac, "hfu_frac",
                  result->hfu_frac, "flops_convention", FLOPS_CONVENTION);
    g_assert(object != NULL);
    json_object_set_new(object, "time_split_s", time_split_object(&result->time_split_s));
    json_object_set_new(object, "comm", comm);
    json_object_set_new(object, "memory", memory_object(result));
    json_object_set_new(object, "confidence", confidence_object(result));
    if (result->usd_per_gpu_hour > 0)
        json_object_set_new(object, "cost", cost_object(result));
    if (result->explanation != NULL)
        json_object_set_new(object, "explain", report_explain_object(result));
    return object;
}

char *report_real_text(double value)
{
    static const char *const formats[] = {"%.15g", "%.16g", "%.17g"};
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    g_assert(isfinite(value));
    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_ascii_formatd(text, sizeof text, formats[i], value);
        if (g_ascii_strtod(text, NULL) == value)
            break;
    }
    return g_strconcat(text, strpbrk(text, ".e") == NULL ? ".0" : "", NULL);
}

static void write_value(const json_t *value, int depth, FILE *out);

/* Starts a line at `depth`, or only separates when everything goes on one line (depth < 0). */
static void write_break(gboolean first, int depth, FILE *out)
{
    if (!first)
        fputc(',', out);
    if (depth >= 0)
        fprintf(out, "\n%*s", 2 * depth, "");
    else if (!first)
        fputc(' ', out);
}

static int deeper(int depth)
{
    return depth < 0 ? depth : depth + 1;
}

static void write_scalar(const json_t *value, FILE *out)
{
    if (json_is_real(value)) {
        g_autofree char *text = report_real_text(json_real_value(value));
        fputs(text, out);
        return;
    }
    char *text = json_dumps(value, JSON_ENCODE_ANY);
    g_assert(text != NULL);
    fputs(text, out);
    free(text);
}

static void write_object(json_t *object, int depth, FILE *out)
{
    const char *key;
    json_t *member;
    gboolean first = TRUE;
    fputc('{', out);
    json_object_foreach(object, key, member)
    {
        g_autoptr(json_t) name = json_string(key);
        write_break(first, deeper(depth), out);
        write_scalar(name, out);
        fputs(": ", out);
        write_value(member, deeper(depth), out);
        first = FALSE;
    }
    if (!first && depth >= 0)
        fprintf(out, "\n%*s", 2 * depth, "");
    fputc('}', out);
}

static void write_array(const json_t *array, int depth, FILE *out)
{
    fputc('[', out);
    for (gsize i = 0; i < json_array_size(array); i++) {
        write_break(i == 0, deeper(depth), out);
        write_value(json_array_get(array, i), deeper(depth), out);
    }
    if (json_array_size(array) > 0 && depth >= 0)
        fprintf(out, "\n%*s", 2 * depth, "");
    fputc(']', out);
}

/* jansson's own writer has no shortest form of a real number: 0.1 would read
 * 0.10000000000000001. */
static void write_value(const json_t *value, int depth, FILE *out)
{
    if (json_is_object(value))
        write_object((json_t *)value, depth, out);
    else if (json_is_array(value))
        write_array(value, depth, out);
    else
        write_scalar(value, out);
}

void report_json_write(const GPtrArray *results, gboolean compare, const char *table, FILE *out)
{
    (void)table;
    g_autoptr(json_t) list = json_array();
    for (guint i = 0; i < results->len; i++)
        json_array_append_new(list, report_json_object(results->pdata[i]));
    g_autoptr(json_t) all =
        compare ? json_pack("{s:s, s:O}", "schema", "zerosim-results/1", "results", list)
                : json_incref(json_array_get(list, 0));
    write_value(all, 0, out);
    fputc('\n', out);
}

void report_jsonl_write(const GPtrArray *results, gboolean compare, const char *table,
                        FILE *out)
{
    (void)compare, (void)table;
    for (guint i = 0; i < results->len; i++) {
        g_autoptr(json_t) object = report_json_object(results->pdata[i]);
        report_json_line_write(object, out);
    }
}

void report_json_line_write(const json_t *value, FILE *out)
{
    write_value(value, -1, out);
    fputc('\n', out);
}
