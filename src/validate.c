/* SPDX-License-Identifier: MIT */
/* Outcomes, and which kind of row a file holds. */
#include "validate.h"

#include "error.h"
#include "validate_rows.h"

#include <math.h>
#include <string.h>

/* A file is of the first kind whose columns it all has. */
static const struct {
    const char *name;
    const char *columns[6];
    void (*row)(const CsvRow *row, gboolean predict_it, GPtrArray *outcomes);
} kinds[N_VALIDATE_KINDS] = {
    [VALIDATE_STEPS] = {"steps", {"id", "n_layer", "n_gpus", "seq_len"}, validate_steps_row},
    [VALIDATE_MEMORY] = {"memory",
                         {"id", "params", "quantity", "value_GB"},
                         validate_memory_row},
    [VALIDATE_CAPACITY] = {"capacity", {"id", "max_params_B", "stage"}, validate_capacity_row},
    [VALIDATE_NCCL] = {"nccl", {"id", "collective", "bytes", "n_gpus"}, validate_nccl_row},
};

Outcome *outcome_new(ValidateKind kind, const char *id, const char *quantity, const char *unit)
{
    Outcome *outcome = g_new0(Outcome, 1);
    *outcome = (Outcome){
        .kind = kind,
        .id = g_strdup(id),
        .quantity = quantity,
        .unit = unit,
        .predicted = NAN,
        .measured = NAN,
        .held_out_error_frac = NAN,
        .assumed = g_strdup(""),
        .reason = g_strdup(""),
        .source = g_strdup(""),
        .strategy = g_strdup(""),
        .gpu = g_strdup(""),
        .stack = g_strdup(""),
        .provenance = g_strdup(""),
        .quality = g_strdup(""),
    };
    return outcome;
}

void outcome_free(Outcome *outcome)
{
    if (outcome == NULL)
        return;
    char *const texts[] = {outcome->id,       outcome->assumed, outcome->reason,
                           outcome->source,   outcome->stack,   outcome->provenance,
                           outcome->strategy, outcome->gpu,     outcome->quality};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_free(outcome);
}

double outcome_error_frac(const Outcome *outcome)
{
    return outcome->predicted / outcome->measured - 1;
}

void outcome_assume(Outcome *outcome, const char *what)
{
    g_auto(GStrv) known = g_strsplit(outcome->assumed, "; ", -1);
    if (g_strv_contains((const char *const *)known, what))
        return;
    char *assumed = *outcome->assumed == '\0' ? g_strdup(what)
                                              : g_strconcat(outcome->assumed, "; ", what, NULL);
    g_free(outcome->assumed);
    outcome->assumed = assumed;
}

void outcome_fail(Outcome *outcome, GError *error)
{
    g_free(outcome->reason);
    outcome->reason = g_strdup(error->message);
    outcome->predicted = NAN;
    g_error_free(error);
}

const char *validate_kind_name(ValidateKind kind)
{
    return kinds[kind].name;
}

static gboolean has_all(const CsvTable *table, const char *const *columns)
{
    for (; *columns != NULL; columns++)
        if (!csv_table_has(table, *columns))
            return FALSE;
    return TRUE;
}

gboolean validate_kind_of(const CsvTable *table, ValidateKind *kind, GError **error)
{
    for (int k = 0; k < N_VALIDATE_KINDS; k++)
        if (has_all(table, kinds[k].columns)) {
            *kind = (ValidateKind)k;
            return TRUE;
        }
    g_autoptr(GString) known = g_string_new(NULL);
    for (int k = 0; k < N_VALIDATE_KINDS; k++) {
        g_autofree char *columns = g_strjoinv(", ", (char **)kinds[k].columns);
        g_string_append_printf(known, "%s%s (%s)", k > 0 ? "; " : "", kinds[k].name, columns);
    }
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "%s:1: the header is of none of the kinds that are known by their columns: %s",
                table->file, known->str);
    return FALSE;
}

void validate_row(ValidateKind kind, const CsvRow *row, gboolean predict_it,
                  GPtrArray *outcomes)
{
    kinds[kind].row(row, predict_it, outcomes);
}
