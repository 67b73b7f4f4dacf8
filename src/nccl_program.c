/* SPDX-License-Identifier: MIT */
/* nccl-tests issue many collectives and divide the time of all, so that the host works ahead.
 * Other programs time each alone: its way through their library is in the time then. */
#include "nccl_program.h"

#include "constants.h"

#include <string.h>

/* A word of the source or note; with it, what the row must not have measured. */
static const struct {
    const char *column, *word, *not_basis;
    ConstantId overhead;
} programs[] = {
    {"note", "all_reduce_bench", NULL, CONSTANT_TORCH_BENCH_S},
    {"source_locator", "all_reduce_bench", NULL, CONSTANT_TORCH_BENCH_S},
    /* Its tables of bandwidths are all_reduce_bench.py's, those with times nccl-tests'. */
    {"source_locator", "ml-engineering", "time", CONSTANT_TORCH_BENCH_S},
    {"note", "XLA collective", NULL, CONSTANT_XLA_BENCH_S},
    {"source_locator", "openxla", NULL, CONSTANT_XLA_BENCH_S},
};

double nccl_program_overhead_s(const CsvRow *row)
{
    const char *basis = csv_row_text(row, "value_basis");
    for (gsize i = 0; i < G_N_ELEMENTS(programs); i++)
        if (csv_text_find(csv_row_text(row, programs[i].column), programs[i].word) &&
            (!programs[i].not_basis || strcmp(basis, programs[i].not_basis) != 0))
            return constant(programs[i].overhead);
    return 0;
}
