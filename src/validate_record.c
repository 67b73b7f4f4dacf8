/* SPDX-License-Identifier: MIT */
/* Outcomes as JSON, by one table of members. */
#include "validate_record.h"

#include <math.h>
#include <string.h>

#define FIELD(name) G_STRUCT_OFFSET(Outcome, name)

static const struct {
    const char *name;
    gsize offset;
} texts[] = {
    {"id", FIELD(id)},         {"assumed", FIELD(assumed)},   {"reason", FIELD(reason)},
    {"source", FIELD(source)}, {"strategy", FIELD(strategy)}, {"gpu", FIELD(gpu)},
    {"stack", FIELD(stack)},   {"quality", FIELD(quality)},   {"provenance", FIELD(provenance)},
};

static const struct {
    const char *name;
    gsize offset;
} numbers[] = {
    {"predicted", FIELD(predicted)},
    {"measured", FIELD(measured)},
    {"parameters", FIELD(parameters)},
    {"size_bytes", FIELD(size_bytes)},
    {"held_out_error_frac", FIELD(held_out_error_frac)},
};

/* Quantities and their units are static text, so a record names them and this finds them. */
static const struct {
    const char *quantity, *unit;
} quantities[] = {
    {"step_time_s", "s"},
    {"peak_bytes", "B"},
    {"time_s", "s"},
    {"bytes", "B"},
    {"max_params", "1"},
    {"forward_s", "s"},
    {"backward_s", "s"},
    {"optimizer_s", "s"},
    {"kernel_gemm_s", "s"},
    {"kernel_attention_s", "s"},
    {"kernel_convolution_s", "s"},
    {"kernel_norm_s", "s"},
    {"kernel_optimizer_s", "s"},
    {"kernel_loss_s", "s"},
    {"kernel_embedding_s", "s"},
    {"kernel_copy_s", "s"},
    {"kernel_elementwise_s", "s"},
};

json_t *outcome_record(const Outcome *outcome)
{
    json_t *record = json_object();
    json_object_set_new(record, "kind", json_integer(outcome->kind));
    json_object_set_new(record, "quantity", json_string(outcome->quantity));
    json_object_set_new(record, "unit", json_string(outcome->unit));
    json_object_set_new(record, "n_gpus", json_integer(outcome->n_gpus));
    json_object_set_new(record, "used_for_fit", json_boolean(outcome->used_for_fit));
    json_object_set_new(record, "too_large", json_boolean(outcome->too_large));
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        json_object_set_new(record, texts[i].name,
                            json_string(G_STRUCT_MEMBER(char *, outcome, texts[i].offset)));
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        const double value = G_STRUCT_MEMBER(double, outcome, numbers[i].offset);
        json_object_set_new(record, numbers[i].name,
                            isfinite(value) ? json_real(value) : json_null());
    }
    return record;
}

Outcome *outcome_from_record(const json_t *record)
{
    const char *quantity = json_string_value(json_object_get(record, "quantity"));
    gsize q = 0;
    while (quantity != NULL && q < G_N_ELEMENTS(quantities) &&
           strcmp(quantities[q].quantity, quantity) != 0)
        q++;
    if (quantity == NULL || q == G_N_ELEMENTS(quantities))
        return NULL;
    const ValidateKind kind = (ValidateKind)json_integer_value(json_object_get(record, "kind"));
    Outcome *outcome = outcome_new(kind, "", quantities[q].quantity, quantities[q].unit);
    outcome->n_gpus = (int)json_integer_value(json_object_get(record, "n_gpus"));
    outcome->used_for_fit = json_is_true(json_object_get(record, "used_for_fit"));
    outcome->too_large = json_is_true(json_object_get(record, "too_large"));
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        const char *text = json_string_value(json_object_get(record, texts[i].name));
        char **member = &G_STRUCT_MEMBER(char *, outcome, texts[i].offset);
        g_free(*member);
        *member = g_strdup(text ? text : "");
    }
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        const json_t *value = json_object_get(record, numbers[i].name);
        G_STRUCT_MEMBER(double, outcome, numbers[i].offset) =
            json_is_number(value) ? json_number_value(value) : NAN;
    }
    return outcome;
}
