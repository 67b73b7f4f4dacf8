/* SPDX-License-Identifier: MIT */
/* What a matrix product's sizes say of its time in steps: whole tiles, waves of them over the
 * multiprocessors, whole steps of k, the sum of parts that were cut along k. Interpolation
 * takes that out of measured times, because what is left is smooth. Which kernels cuBLAS has
 * for a GPU isn't known, so there are several sets of them, and the measurements near a shape
 * say which explains it. Nothing here is fitted to them. */
#include "profile_tiles.h"

#include <math.h>

/* Tiles of cuBLAS's and CUTLASS's 16-bit kernels, as names of ampere_*gemm, cutlass_80_* and
 * nvjet_* kernels have them. */
typedef struct {
    int m, n;
} Tile;

static const Tile tiles[] = {{256, 256}, {256, 128}, {128, 256}, {192, 128},
                             {128, 192}, {128, 128}, {256, 64},  {64, 256},
                             {128, 64},  {64, 128},  {64, 64}};

/* A set of kernels that a GPU's library may have. */
typedef struct {
    int first, end;    /* of the tiles */
    gboolean stream;   /* stream-k: the last wave's tiles are shared by all multiprocessors */
    double overhead_s; /* of a tile: filling its pipeline and writing its result; assumed */
    double operands;   /* weight of reading them; below */
    int step_bytes;    /* of k in the main loop */
} Library;

/* Ampere's, Hopper's and Blackwell's large tiles, stream-k, large tiles alone. */
static const Library libraries[N_TILE_LIBRARIES] = {
    {1, G_N_ELEMENTS(tiles), FALSE, 1.5e-6, 30, 128},
    {0, G_N_ELEMENTS(tiles), FALSE, 2e-6, 20, 128},
    {1, G_N_ELEMENTS(tiles), TRUE, 1.5e-6, 30, 64},
    {1, 4, FALSE, 1.5e-6, 20, 64},
};

/* A tile's operands are read into shared memory for its m x n results, which takes a time that
 * goes with 1/m + 1/n. NVIDIA, "Matrix Multiplication Background User's Guide", has 256x128 as
 * the most efficient tile; the weights 30 and 20 take 64x64 for 0.63 and 0.72 of it. */
#define BEST_OPERANDS (1.0 / 256 + 1.0 / 128)

/* cuBLAS cuts deep, small products along k over idle multiprocessors; the parts are summed in
 * fp32 by way of memory. */
#define MAX_SPLIT 16

/* Where neither the tensor cores nor memory clearly bound, both are waited for: the p-norm of
 * their times lies between the longer one and their sum. */
#define OVERLAP_NORM 4.0

static double tile_rate(const Tile *tile, const Library *library)
{
    const double operands = 1.0 / tile->m + 1.0 / tile->n;
    return 1 / (1 + library->operands * MAX(operands - BEST_OPERANDS, 0));
}

static double split_s(const Profile *profile, const Kernel *gemm, const Library *library,
                      const Tile *tile, double sm_flop_per_s, int split)
{
    const gint64 *d = gemm->dimension;
    const double step = (double)library->step_bytes / dtype_bytes(gemm->dtype);
    const double rows = ceil((double)d[1] / tile->m), columns = ceil((double)d[2] / tile->n);
    const double parts = (double)d[0] * rows * columns * split / profile->n_sms;
    const double waves = library->stream ? MAX(parts, 1) : ceil(parts);
    const double depth = step * ceil((double)d[3] / (step * split));
    const double flops = 2.0 * tile->m * tile->n * depth;
    const double sum_bytes = split > 1 ? 4.0 * (double)d[0] * d[1] * d[2] * split : 0;
    return waves * (flops / (sm_flop_per_s * tile_rate(tile, library)) + library->overhead_s) +
           sum_bytes / profile->achievable_memory_bytes_per_s;
}

double profile_tiles_s(const Profile *profile, const Kernel *gemm, int set)
{
    const Library *library = &libraries[set];
    const DType dtype = profile->peak_flop_per_s[gemm->dtype] > 0 ? gemm->dtype : DTYPE_FP32;
    const double sm_flop_per_s = profile->achievable_flop_per_s[dtype] / profile->n_sms;
    const double memory_s = kernel_bytes(gemm) / profile->achievable_memory_bytes_per_s;
    double best_s = HUGE_VAL;
    for (int i = library->first; i < library->end; i++)
        for (int split = 1; split <= MAX_SPLIT; split *= 2) {
            const double time_s =
                split_s(profile, gemm, library, &tiles[i], sm_flop_per_s, split);
            best_s = MIN(best_s, time_s);
        }
    return profile->launch_s +
           pow(pow(best_s, OVERLAP_NORM) + pow(memory_s, OVERLAP_NORM), 1 / OVERLAP_NORM);
}
