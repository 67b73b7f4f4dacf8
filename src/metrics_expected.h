/* SPDX-License-Identifier: MIT */
/* How wrong results like this one have been: the errors that `zerosim validate` found, by
 * framework and strategy, where the GPU's kernel times came from, and how many GPUs there were.
 */
#pragma once

#include "profile.h"

#include <glib.h>

G_BEGIN_DECLS

/* Of |predicted / measured - 1| of step times. */
typedef struct {
    double p50_frac, p90_frac; /* 0: fewer than EXPECTED_ERROR_MIN rows like this */
} ExpectedError;

#define EXPECTED_ERROR_MIN 5

typedef struct {
    const char *framework, *strategy;
    const char *provenance; /* expected_error_provenance() */
    int n_gpus;
} ExpectedErrorKey;

/* Reads `file`, NULL: the installed table. An installed table that is missing means that
 * nothing is known. */
gboolean expected_error_lookup(const char *file, const ExpectedErrorKey *key,
                               ExpectedError *expected, GError **error);

/* The source of most of the kernel time. */
const char *expected_error_provenance(const double kernel_source_frac[N_TIME_SOURCES]);

/* The class of a number of GPUs. */
const char *expected_error_scale(int n_gpus);

G_END_DECLS
