/* SPDX-License-Identifier: MIT */
/* The roofline: a kernel takes the longest of
 *   flops / (ceiling of its data type x efficiency of its shape),
 *   bytes / achievable bandwidth, plus the time to fill and drain the memory pipeline,
 *   launches x the shortest time from one kernel's start to the next one's.
 * Efficiency depends on the shape alone, by rules that are the same for every model; nothing
 * here is fitted to the time of a training step. Left out: caches, clocks that sink under
 * power limits, and every library's particular choice of kernel. */
#include "profile_roofline.h"

#include <math.h>

/* NVIDIA, "Matrix Multiplication Background User's Guide": a product is cut into tiles, one a
 * streaming multiprocessor at a time, so the last wave of tiles may leave most of them idle.
 * 256x128 is the guide's most efficient tile; smaller ones reuse operands less, and their
 * relative efficiency here is assumed after that guide. */
typedef struct {
    int m, n;
    double efficiency;
} Tile;

static const Tile tiles[] = {{256, 128, 1.0}, {128, 256, 1.0}, {128, 128, 0.93}, {64, 64, 0.6}};

/* The ceiling is the fastest of a hundred runs of the best shape. mamf-finder's documentation
 * (ml-engineering book) expects 80 to 90 % of it from products with n = k = 4096: with the
 * efficiency of such a shape below, this part of the ceiling gives the middle, 85 %. */
#define GEMM_SUSTAINED_FRAC 0.88

/* What a tile spends on filling its pipeline and writing its result, beside its main loop;
 * assumed, about two round trips to memory and the store. It is a ramp k / (k + k0) with k0 =
 * this x a multiprocessor's rate / the tile's flops per step of k: 57 for the largest tile on
 * an A100, 138 on an H100. */
#define TILE_OVERHEAD_S 1.5e-6
/* cuBLAS cuts deep, small products along k over idle multiprocessors, up to this many ways. */
#define GEMM_MAX_SPLIT 16

/* Sequence length at which fused attention reaches half of its ceiling: Dao, "FlashAttention-2"
 * (2023), figures 4 to 6: about 0.6 of the best rate at 512, 0.9 at 2k, flat from 8k. */
#define ATTENTION_HALF_SEQUENCE 256.0
/* The same figures give heads of 64 about this part of the rate of heads of 128. */
#define ATTENTION_NARROW_HEAD_FRAC 0.85

/* Dao, "FlashAttention-2" (2023), abstract: twice as fast as FlashAttention. Its figures give
 * FlashAttention the same rate with heads of 64 as with heads of 128. */
#define FLASH1_OVER_FLASH2 0.5

/* One round trip to memory before the first byte and after the last: Little's law; pointer
 * chasing takes 0.4 to 0.6 us on these GPUs (Chips and Cheese; Luo et al. 2024). */
#define MEMORY_FILL_S 1e-6

static double tile_efficiency(const Tile *tile, const gint64 *d, int split,
                              double sm_flop_per_s, int n_sms)
{
    double useful = (double)d[0] * d[1] * d[2] / ((double)tile->m * tile->n);
    gint64 rows = (d[1] + tile->m - 1) / tile->m, columns = (d[2] + tile->n - 1) / tile->n;
    double n_tiles = (double)d[0] * rows * columns;
    double waves = ceil(n_tiles * split / n_sms);
    double depth = (double)d[3] / split;
    double half_depth = TILE_OVERHEAD_S * sm_flop_per_s / (2.0 * tile->m * tile->n);
    double occupied = useful * split / (waves * n_sms);
    return tile->efficiency * occupied * depth / (depth + half_depth);
}

/* The best tile and split for the shape, as cuBLAS's heuristics look for. */
static double gemm_flop_per_s(const Kernel *kernel, double ceiling_flop_per_s, int n_sms)
{
    double best = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(tiles); i++) {
        for (int split = 1; split <= GEMM_MAX_SPLIT; split *= 2)
            best = MAX(best, tile_efficiency(&tiles[i], kernel->dimension, split,
                                             ceiling_flop_per_s / n_sms, n_sms));
    }
    return best * GEMM_SUSTAINED_FRAC * ceiling_flop_per_s;
}

static double attention_efficiency(const Kernel *kernel)
{
    double sequence = kernel->dimension[1];
    double ramp = sequence / (sequence + ATTENTION_HALF_SEQUENCE);
    if (kernel->op == KERNEL_FLASH1_ATTENTION_FORWARD ||
        kernel->op == KERNEL_FLASH1_ATTENTION_BACKWARD)
        return ramp * FLASH1_OVER_FLASH2;
    return kernel->dimension[4] < 128 ? ramp * ATTENTION_NARROW_HEAD_FRAC : ramp;
}

/* A data type the GPU has no units for is computed at the fp32 rate, which every GPU has. */
static double compute_flop_per_s(const Profile *profile, const Kernel *kernel)
{
    DType dtype = profile->peak_flop_per_s[kernel->dtype] > 0 ? kernel->dtype : DTYPE_FP32;
    double peak = profile->peak_flop_per_s[dtype];
    Kernel gemm;
    if (kernel_as_gemm(kernel, &gemm))
        return gemm_flop_per_s(&gemm, profile->achievable_flop_per_s[dtype], profile->n_sms);
    if (kernel->op == KERNEL_ATTENTION_FORWARD ||
        kernel->op == KERNEL_WINDOW_ATTENTION_FORWARD ||
        kernel->op == KERNEL_FLASH1_ATTENTION_FORWARD)
        return peak * profile->attention_forward_frac * attention_efficiency(kernel);
    if (kernel->op == KERNEL_ATTENTION_BACKWARD ||
        kernel->op == KERNEL_WINDOW_ATTENTION_BACKWARD ||
        kernel->op == KERNEL_FLASH1_ATTENTION_BACKWARD)
        return peak * profile->attention_backward_frac * attention_efficiency(kernel);
    if (kernel->op == KERNEL_CUDNN_ATTENTION_FORWARD)
        return peak * profile->cudnn_attention_forward_frac * attention_efficiency(kernel);
    if (kernel->op == KERNEL_CUDNN_ATTENTION_BACKWARD)
        return peak * profile->cudnn_attention_backward_frac * attention_efficiency(kernel);
    return peak;
}

double profile_roofline_s(const Profile *profile, const Kernel *kernel)
{
    double flops = kernel_flops(kernel), bytes = kernel_bytes(kernel);
    int n_launches = MAX(kernel_n_launches(kernel), 1);
    double compute_s = flops > 0 ? flops / compute_flop_per_s(profile, kernel) : 0;
    double memory_s =
        bytes / profile->achievable_memory_bytes_per_s + n_launches * MEMORY_FILL_S;
    return MAX(MAX(compute_s, memory_s), n_launches * profile->launch_s);
}
