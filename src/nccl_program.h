/* SPDX-License-Identifier: MIT */
/* Programs that measure collectives: what of a published time is theirs. */
#pragma once

#include "validate_csv.h"

G_BEGIN_DECLS

/* Seconds that the program of a row (columns source_locator, note, value_basis) adds to each
 * collective; nccl-tests, which most rows are from, none. */
double nccl_program_overhead_s(const CsvRow *row);

G_END_DECLS
