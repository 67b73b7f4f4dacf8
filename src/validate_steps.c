/* SPDX-License-Identifier: MIT */
/* Published training steps: the steady step's time and peak of a row's experiment beside the
 * row's. How text becomes keys is validate_steps_keys.c's business. */
#include "validate_steps.h"
#include "metrics_expected.h"
#include "validate_rows.h"

#include <math.h>
#include <string.h>

#define GIB 1073741824.0

static void note_provenance(Outcome *outcome, const Result *result)
{
    g_free(outcome->provenance);
    outcome->provenance = g_strdup(expected_error_provenance(result->kernel_source_frac));
}

/* Columns of a step measured by parts: its phases on the GPU, and its kernels by class. Each is
 * the quantity's name, too. */
static const char *const parts[] = {
    "forward_s",          "backward_s",           "optimizer_s",   "kernel_gemm_s",
    "kernel_attention_s", "kernel_convolution_s", "kernel_norm_s", "kernel_optimizer_s",
    "kernel_loss_s",      "kernel_embedding_s",   "kernel_copy_s", "kernel_elementwise_s"};
enum { N_PHASE_PARTS = 3, N_PARTS = G_N_ELEMENTS(parts) };
G_STATIC_ASSERT(N_PARTS == N_PHASE_PARTS + N_KERNEL_CLASSES);

typedef struct {
    double step_time_s, peak_bytes, part_s[N_PARTS];
    gboolean fits;
} Prediction;

static void parts_predict(const Result *result, double part_s[N_PARTS])
{
    part_s[0] = result->time_split_s.forward;
    part_s[1] = result->time_split_s.backward;
    part_s[2] = result->time_split_s.update;
    for (int c = 0; c < N_KERNEL_CLASSES; c++)
        part_s[N_PHASE_PARTS + c] = result->kernel_class_s[c];
}

static gboolean predict_with(ValidateCase *c, const char *checkpointing, Prediction *prediction,
                             GError **error)
{
    if (!validate_case_set(c, error, "training.activation_checkpointing=%s", checkpointing))
        return FALSE;
    g_autoptr(Inputs) inputs = validate_case_inputs(c, error);
    if (inputs == NULL)
        return FALSE;
    g_autoptr(Result) result = predict(inputs, error);
    if (result == NULL)
        return FALSE;
    note_provenance(c->outcome, result);
    c->outcome->parameters = (double)result->n_parameters;
    *prediction = (Prediction){
        .step_time_s = result->step_time_s,
        .peak_bytes = (double)(result->memory.peak_bytes -
                               result->memory.by_category_at_peak[MEMORY_FRAMEWORK]),
        .fits = result->memory.fits,
    };
    parts_predict(result, prediction->part_s);
    return TRUE;
}

/* The part of the forward pass that selective checkpointing runs again. FLOPs done over FLOPs
 * needed say it, since a whole forward is a third of a step's; else half of the layers: both
 * torchtitan's every second layer and its every second matrix product. */
static double recomputed_frac(ValidateCase *c, const StepRow *s)
{
    const gboolean counted = s->mfu > 0 && s->hfu >= s->mfu;
    const char *one_in = csv_text_find(s->checkpointing, "1/"); /* "1/3" of the blocks */
    const double said = one_in ? 1 / MAX(g_ascii_strtod(one_in + 2, NULL), 1) : 0.5;
    const double frac = counted ? CLAMP(3 * (s->hfu / s->mfu - 1), 0, 1) : said;
    validate_case_assume(c, "selective checkpointing as %.0f %% of full%s", 100 * frac,
                         counted ? " (HFU over MFU)" : "");
    return frac;
}

static gboolean predict_mixed(ValidateCase *c, const StepRow *s, Prediction *prediction,
                              GError **error)
{
    const double frac = recomputed_frac(c, s);
    Prediction none = {0}, full = {0};
    if (frac < 1 && !predict_with(c, "none", &none, error))
        return FALSE;
    if (frac > 0 && !predict_with(c, "full", &full, error))
        return FALSE;
    prediction->step_time_s = (1 - frac) * none.step_time_s + frac * full.step_time_s;
    prediction->peak_bytes = (1 - frac) * none.peak_bytes + frac * full.peak_bytes;
    prediction->fits = none.fits || full.fits; /* between the two */
    for (int i = 0; i < N_PARTS; i++)
        prediction->part_s[i] = (1 - frac) * none.part_s[i] + frac * full.part_s[i];
    return TRUE;
}

/* A row that doesn't say is taken to checkpoint only where it must. */
static const char *checkpointing_that_fits(ValidateCase *c, GError **error)
{
    Memory memory;
    if (!validate_case_set(c, error, "training.activation_checkpointing=none"))
        return NULL;
    g_autoptr(Inputs) inputs = validate_case_inputs(c, error);
    if (inputs == NULL || !predict_memory(inputs, &memory, error))
        return NULL;
    const char *checkpointing = memory.fits ? "none" : "full";
    validate_case_assume(c, "activation checkpointing %s", checkpointing);
    return checkpointing;
}

static gboolean predict_row(ValidateCase *c, StepRow *s, Prediction *prediction, GError **error)
{
    double scale;
    if (!step_case_build(c, s, &scale, error))
        return FALSE;
    const char *checkpointing = step_checkpointing(s);
    if (checkpointing == NULL && (checkpointing = checkpointing_that_fits(c, error)) == NULL)
        return FALSE;
    if (strcmp(checkpointing, "selective") == 0
            ? !predict_mixed(c, s, prediction, error)
            : !predict_with(c, checkpointing, prediction, error))
        return FALSE;
    prediction->step_time_s *= scale;
    for (int i = 0; i < N_PARTS; i++)
        prediction->part_s[i] *= scale;
    return TRUE;
}

/* ---- outcomes ---- */

static void describe(Outcome *outcome, const StepRow *s)
{
    const char *id = outcome->id;
    const char *dash = strrchr(id, '-');
    const char *strategy = step_strategy(s);
    g_free(outcome->source);
    outcome->source = dash ? g_strndup(id, (gsize)(dash - id)) : g_strdup(id);
    g_free(outcome->strategy);
    outcome->strategy = g_strdup(strategy ? strategy : "");
    g_free(outcome->stack);
    outcome->stack = g_strdup(s->trainer->stack);
    g_free(outcome->quality);
    outcome->quality = g_strdup(csv_row_text(s->row, "quality"));
    g_free(outcome->gpu);
    outcome->gpu = g_strdup(csv_row_text(s->row, "gpu"));
    outcome->n_gpus = (int)s->n_gpus;
    outcome->parameters = s->params_B * 1e9;
}

/* "56.797 samples/s" of the whole job, in the note. */
static double measured_by_samples_s(const StepRow *s)
{
    const char *at = csv_text_find(s->note, " samples/s"), *start = at;
    while (start != NULL && start > s->note && (g_ascii_isdigit(start[-1]) || start[-1] == '.'))
        start--;
    const double rate = start == NULL || start == at ? 0 : g_ascii_strtod(start, NULL);
    const double samples =
        (double)s->micro_batch * (double)s->n_gpus * (double)MAX(s->grad_accum, 1);
    return rate > 0 && samples > 0 ? samples / rate : NAN;
}

static double measured_step_s(const StepRow *s)
{
    if (s->step_time_s > 0)
        return s->step_time_s;
    double tokens = (double)s->global_batch_tokens;
    if (tokens == 0)
        tokens = (double)s->micro_batch * (double)s->sequence_length * (double)s->n_gpus *
                 (double)MAX(s->grad_accum, 1);
    if (s->tokens_per_s_per_gpu > 0 && tokens > 0)
        return tokens / (s->tokens_per_s_per_gpu * (double)s->n_gpus);
    return measured_by_samples_s(s);
}

/* Another quantity of the same prediction. */
static Outcome *further_outcome(const Outcome *time, const StepRow *s, const char *quantity,
                                const char *unit, double measured, double predicted)
{
    Outcome *outcome = outcome_new(VALIDATE_STEPS, time->id, quantity, unit);
    describe(outcome, s);
    outcome->measured = measured;
    outcome_assume(outcome, time->assumed);
    g_free(outcome->reason);
    outcome->reason = g_strdup(time->reason);
    g_free(outcome->provenance);
    outcome->provenance = g_strdup(time->provenance);
    outcome->parameters = time->parameters;
    if (isfinite(time->predicted))
        outcome->predicted = predicted;
    return outcome;
}

/* Those that the row has: a column that is missing, empty or 0 was not measured. */
static void add_parts(const Outcome *time, const StepRow *s, const Prediction *prediction,
                      GPtrArray *outcomes)
{
    for (int i = 0; i < N_PARTS; i++) {
        double measured_s = 0;
        GError *error = NULL;
        const gboolean is_number =
            csv_row_double(s->row, parts[i], 0, 1e9, &measured_s, &error);
        if (is_number && measured_s <= 0)
            continue;
        Outcome *part = further_outcome(time, s, parts[i], "s", is_number ? measured_s : NAN,
                                        prediction->part_s[i]);
        if (!is_number)
            outcome_fail(part, error);
        g_ptr_array_add(outcomes, part);
    }
}

void validate_steps_row(const CsvRow *row, gboolean predict_it, GPtrArray *outcomes)
{
    StepRow s;
    Prediction prediction = {0};
    GError *error = NULL;
    Outcome *outcome = outcome_new(VALIDATE_STEPS, csv_row_text(row, "id"), "step_time_s", "s");
    g_ptr_array_add(outcomes, outcome);
    if (!step_row_read(row, &s, &error)) {
        outcome_fail(outcome, error);
        return;
    }
    describe(outcome, &s);
    outcome->measured = measured_step_s(&s);
    g_autoptr(ValidateCase) c = predict_it ? validate_case_new(outcome, &error) : NULL;
    if (c != NULL && predict_row(c, &s, &prediction, &error))
        outcome->predicted = prediction.step_time_s;
    else if (error != NULL)
        outcome_fail(outcome, error);
    outcome->too_large = isfinite(outcome->predicted) && !prediction.fits;
    if (s.peak_mem_GiB > 0)
        g_ptr_array_add(outcomes, further_outcome(outcome, &s, "peak_bytes", "B",
                                                  s.peak_mem_GiB * GIB, prediction.peak_bytes));
    add_parts(outcome, &s, &prediction, outcomes);
}
