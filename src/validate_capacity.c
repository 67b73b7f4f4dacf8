/* SPDX-License-Identifier: MIT */
/* Published capacities: the largest model that trains on a number of GPUs. By formula, model
 * states alone fill the GPU's nominal memory; measured, a step's whole memory must fit, which a
 * search over model sizes finds. */
#include "error.h"
#include "validate_rows.h"
#include "validate_stand_in.h"

#include <math.h>
#include <string.h>

#define SEQUENCE_LENGTH 1024 /* of the ZeRO paper's models */

typedef struct {
    gint64 dp, mp;
    double max_params_B;
    const char *stage, *kind, *gpu;
    gboolean theoretical;
} CapacityRow;

static gboolean capacity_row_read(const CsvRow *row, CapacityRow *r, GError **error)
{
    *r = (CapacityRow){.mp = 1,
                       .stage = csv_row_text(row, "stage"),
                       .kind = csv_row_text(row, "kind"),
                       .gpu = csv_row_text(row, "gpu")};
    r->theoretical = csv_text_find(r->kind, "theor") != NULL;
    gint64 gpus = 0;
    if (!csv_row_int(row, "gpus", 1, 1 << 20, &gpus, error) ||
        !csv_row_int(row, "MP", 1, 4096, &r->mp, error) ||
        !csv_row_int(row, "dp", 1, 1 << 20, &r->dp, error) ||
        !csv_row_double(row, "max_params_B", 0, 1e9, &r->max_params_B, error))
        return FALSE;
    if (r->dp == 0)
        r->dp = gpus / r->mp;
    if (r->dp > 0)
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED, "the row has no dp and no gpus");
    return FALSE;
}

/* The nominal memory in a GPU's name: formulas count 32 GB as 32e9. */
static double nominal_bytes(const char *gpu)
{
    for (const char *at = gpu; *at != '\0'; at++)
        if (g_ascii_isdigit(*at) && (at == gpu || !g_ascii_isalnum(at[-1]))) {
            char *end;
            const double number = g_ascii_strtod(at, &end);
            if (g_ascii_strncasecmp(end, "gb", 2) == 0)
                return number * 1e9;
        }
    return 0;
}

/* DeepSpeed's engine, whose stage 0 replicates what mixed precision needs, gradients' fp32
 * copies included. */
static const char *framework_of(const CapacityRow *r)
{
    return r->theoretical ? "paper" : "deepspeed";
}

static gboolean case_build(ValidateCase *c, const CapacityRow *r, double parameters,
                           GError **error)
{
    const ModelFacts model = stand_in_model(parameters, SEQUENCE_LENGTH);
    return stand_in_platform(c, r->gpu, (int)r->dp, error) &&
           validate_case_model(c, &model, error) &&
           validate_case_set(c, error, "training.strategy=%s", r->stage) &&
           validate_case_set(c, error, "training.framework=%s", framework_of(r)) &&
           validate_case_set(c, error, "training.precision=fp16") &&
           validate_case_set(c, error, "training.activation_checkpointing=full") &&
           validate_case_set(c, error, "training.attention=eager") &&
           validate_case_set(c, error, "training.dropout=0");
}

static gboolean memory_of(Outcome *outcome, const CapacityRow *r, double parameters,
                          StandInMemory *memory, GError **error)
{
    g_autoptr(ValidateCase) c = validate_case_new(outcome, error);
    return c != NULL && case_build(c, r, parameters, error) &&
           stand_in_memory(c, memory, error);
}

static gboolean predict_formula(Outcome *outcome, const CapacityRow *r, GError **error)
{
    StandInMemory memory;
    const double bytes = nominal_bytes(r->gpu);
    if (bytes == 0) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                    "the GPU's name doesn't say how much memory it has");
        return FALSE;
    }
    if (!memory_of(outcome, r, 1e9, &memory, error))
        return FALSE;
    outcome->predicted = bytes / (memory.model_state_bytes / memory.n_parameters);
    return TRUE;
}

/* Doubles until a model doesn't fit, then halves what is between. */
static gboolean predict_search(Outcome *outcome, const CapacityRow *r, GError **error)
{
    double fitting = 0, failing = INFINITY, tried = 1e8;
    outcome_assume(outcome, "micro-batch 1 of 1024 tokens, full checkpointing");
    while (failing - fitting > 0.01 * failing || !isfinite(failing)) {
        StandInMemory memory;
        if (!memory_of(outcome, r, tried, &memory, error))
            return FALSE;
        if (memory.memory.fits)
            fitting = tried;
        else
            failing = tried;
        if (!isfinite(failing) && tried > 1e14)
            break;
        tried = isfinite(failing) ? (fitting + failing) / 2 : 2 * tried;
        if (tried < 1e6)
            break;
    }
    outcome->predicted = fitting;
    return TRUE;
}

static void describe(Outcome *outcome, const CsvRow *row, const CapacityRow *r)
{
    const struct {
        char **text;
        const char *value;
    } texts[] = {{&outcome->source, csv_row_text(row, "source")},
                 {&outcome->strategy, r->stage},
                 {&outcome->gpu, r->gpu},
                 {&outcome->stack, r->theoretical ? "formula" : "measured"}};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_free(*texts[i].text);
        *texts[i].text = g_strdup(texts[i].value);
    }
    outcome->n_gpus = (int)(r->dp * r->mp);
    outcome->parameters = r->max_params_B * 1e9;
    if (r->max_params_B > 0)
        outcome->measured = r->max_params_B * 1e9;
}

void validate_capacity_row(const CsvRow *row, gboolean predict_it, GPtrArray *outcomes)
{
    CapacityRow r;
    GError *error = NULL;
    Outcome *outcome =
        outcome_new(VALIDATE_CAPACITY, csv_row_text(row, "id"), "max_params", "1");
    g_ptr_array_add(outcomes, outcome);
    const gboolean read = capacity_row_read(row, &r, &error);
    describe(outcome, row, &r);
    if (read && !predict_it)
        return;
    if (!read || !(r.theoretical ? predict_formula(outcome, &r, &error)
                                 : predict_search(outcome, &r, &error))) {
        outcome_fail(outcome, error);
        return;
    }
    /* Tensor parallelism leaves each rank one part of everything that a model of that size
     * has. */
    if (r.mp > 1)
        outcome_assume(outcome, "tensor parallelism divides all of a model");
    outcome->predicted *= (double)r.mp;
    outcome->parameters = outcome->measured;
}
