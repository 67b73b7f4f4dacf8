/* SPDX-License-Identifier: MIT */
/* What many outcomes say together: errors and coverage by source, strategy, GPU and size.
 * Groups of fewer than VALIDATED_MIN rows are not validated: their figures are there to be seen
 * with their number, not to be relied on. */
#pragma once

#include "validate.h"

G_BEGIN_DECLS

#define VALIDATED_MIN 5

typedef enum {
    GROUP_ALL,
    GROUP_SOURCE,
    GROUP_STRATEGY,
    GROUP_GPU,
    GROUP_SIZE,  /* of the model, or of the message */
    GROUP_SCALE, /* GPUs */
    N_GROUPINGS
} Grouping;

typedef struct {
    char *name;
    int n_rows;               /* with a measured value */
    int n_predicted;          /* of those */
    double median_error_frac; /* of absolute errors; NAN: none predicted */
    double p90_error_frac, worst_error_frac;
    double median_bias_frac;          /* signed: positive is too slow, too big */
    double geometric_mean_error_frac; /* exp(mean |log(predicted / measured)|) - 1 */
} GroupErrors;

/* Which outcomes a summary is about. */
typedef struct {
    ValidateKind kind;
    const char *quantity;
    const char *title;
    gboolean (*member)(const Outcome *outcome);
    gboolean held_out; /* errors by fits that haven't seen the row */
} Class;

extern const Class validate_classes[];
extern const int validate_n_classes;

gboolean class_has(const Class *class, const Outcome *outcome);

/* GroupErrors * of the class's outcomes, by name; the groups' rows sum to all. */
GPtrArray *summary_compute(const GPtrArray *outcomes, const Class *class, Grouping grouping);

const char *grouping_name(Grouping grouping);

/* Linear between order statistics; sorts the doubles. NAN: there are none. */
double summary_quantile(GArray *values, double frac);

G_END_DECLS
