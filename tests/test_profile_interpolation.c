/* SPDX-License-Identifier: MIT */
/* How far interpolation is off where the truth is known: a made-up GPU that takes the time of
 * tiles in waves, with another set of tiles, other overheads and a cache that the roofline
 * knows nothing of, measured at the shapes of zerosim-calibrate's plan. It says what the method
 * can do, not what a real GPU's error is. */
#include "calibrate/plan.h"
#include "profile.h"
#include "profile_check.h"
#include "suite_run.h"

#include <check.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static Profile *profile;

typedef struct {
    int m, n;
    double rate;
} Tile;

#define MAX_TILES 9

/* Made-up GPUs and libraries; times of the layouts are against the first one's. */
typedef struct {
    int n_sms, max_split;
    double sm_flop_per_s, memory_bytes_per_s, cache_bytes_per_s, cache_bytes;
    double overhead_s, launch_s;
    int step; /* of k in the main loop */
    double heat, layout[3], norm;
    Tile tile[MAX_TILES];
} Gpu;

static const Gpu gpus[] = {
    {132,
     8,
     6.1e12,
     2.9e12,
     5.5e12,
     40e6,
     1.8e-6,
     2.5e-6,
     64,
     0.06,
     {1, 1.03, 1.08},
     4,
     {{256, 128, 1},
      {128, 256, 0.97},
      {192, 128, 0.95},
      {128, 128, 0.88},
      {64, 128, 0.7},
      {64, 64, 0.5}}},
    {114,
     6,
     4.8e12,
     2.0e12,
     4.5e12,
     50e6,
     2.1e-6,
     2.8e-6,
     64,
     0.04,
     {1, 1.04, 1.06},
     3.5,
     {{256, 128, 1},
      {128, 256, 0.96},
      {256, 192, 0.98},
      {192, 192, 0.97},
      {128, 128, 0.91},
      {128, 160, 0.92},
      {64, 256, 0.78},
      {64, 128, 0.66},
      {128, 64, 0.64}}},
    {108,
     16,
     2.8e12,
     1.75e12,
     3.2e12,
     30e6,
     3.0e-6,
     4e-6,
     32,
     0.01,
     {1, 1.0, 1.03},
     6,
     {{256, 128, 1},
      {128, 256, 1},
      {256, 64, 0.9},
      {64, 256, 0.9},
      {128, 128, 0.94},
      {128, 64, 0.75},
      {64, 64, 0.55}}},
};

/* The fastest of the tiles, one a multiprocessor at a time: whole waves of them, each with its
 * prologue and epilogue and whole steps of k; what fits the cache is read from it; long kernels
 * lose clock. */
static double truth_s(const Gpu *gpu, const gint64 *d)
{
    const double m = (double)d[1], n = (double)d[2], k = (double)d[3];
    const double bytes = 2 * (m * k + k * n + m * n);
    const double depth = gpu->step * ceil(k / gpu->step);
    double best_s = HUGE_VAL;
    for (int i = 0; i < MAX_TILES && gpu->tile[i].m > 0; i++)
        for (int split = 1; split <= gpu->max_split; split *= 2) {
            const Tile *t = &gpu->tile[i];
            const double waves = ceil(ceil(m / t->m) * ceil(n / t->n) * split / gpu->n_sms);
            const double flops = 2.0 * t->m * t->n * depth / split;
            const double sum_s = split > 1 ? 4 * m * n * split / gpu->memory_bytes_per_s : 0;
            const double main_s = flops / (gpu->sm_flop_per_s * t->rate) + gpu->overhead_s;
            best_s = MIN(best_s, waves * main_s + sum_s);
        }
    const double memory_s = 2e-6 + bytes / (bytes < gpu->cache_bytes ? gpu->cache_bytes_per_s
                                                                     : gpu->memory_bytes_per_s);
    const double heat = 1 + gpu->heat * best_s / (best_s + 1e-3);
    const double both_s = pow(pow(best_s, gpu->norm) + pow(memory_s, gpu->norm), 1 / gpu->norm);
    return gpu->launch_s + gpu->layout[d[4]] * heat * both_s;
}

static Profile *made_up(const Gpu *gpu)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *file = g_build_filename(g_getenv("ZEROSIM_DATA_DIR"), "platforms", "gpus",
                                             "h100-sxm5-80gb.json", NULL);
    Profile *empty = profile_load(file, &error);
    ck_assert_msg(empty != NULL, "%s", error ? error->message : "");
    empty->n_sms = gpu->n_sms;
    empty->peak_flop_per_s[DTYPE_BF16] = 1.2 * gpu->n_sms * gpu->sm_flop_per_s;
    empty->achievable_flop_per_s[DTYPE_BF16] = 0.95 * gpu->n_sms * gpu->sm_flop_per_s;
    empty->achievable_memory_bytes_per_s = gpu->memory_bytes_per_s;
    return empty;
}

/* `until`: a budget's end; all that stands before it in the plan has been measured. */
static void measure(const Gpu *gpu, double until_s)
{
    Plan *plan = plan_new(1);
    double now_s = 0;
    profile = made_up(gpu);
    for (size_t i = 0; i < plan->n && now_s < until_s; i++) {
        const Measurement *m = &plan->items[i];
        now_s += m->estimate_s;
        if (m->kind != MEASURE_KERNEL || strcmp(m->op->name, "gemm") != 0 ||
            m->type != TYPE_BF16 || m->dimension[0] != 1)
            continue;
        ProfileEntry entry = {.kernel = {.op = KERNEL_GEMM, .dtype = DTYPE_BF16},
                              .time_s = truth_s(gpu, m->dimension),
                              .probe = m->probe,
                              .source = TIME_MEASURED};
        memcpy(entry.kernel.dimension, m->dimension, sizeof entry.kernel.dimension);
        profile_add_entry(profile, &entry);
    }
    profile_group_entries(profile);
    plan_free(plan);
}

static void tear_down(void)
{
    profile_free(profile);
}

/* Found, median and p90 of what 480 s buy and of the whole plan: 0.6 and 2.6, 0.7 and 2.9 %;
 * 2.2 and 9.0, 2.0 and 7.9 %; 1.5 and 9.7, 1.2 and 11.5 %. */
static const struct {
    int gpu;
    double budget_s, p50, p90;
} rows[] = {
    {0, 480, 0.01, 0.04},  {0, 3600, 0.01, 0.04}, {1, 480, 0.03, 0.10},
    {1, 3600, 0.03, 0.10}, {2, 480, 0.02, 0.12},  {2, 3600, 0.02, 0.12},
};

/* Probes are of random shapes, most of them no multiple of a tile. */
START_TEST(test_probes)
{
    measure(&gpus[rows[_i].gpu], rows[_i].budget_s);
    g_autoptr(GArray) checks = profile_check(profile);
    const ProfileCheck *gemm = &g_array_index(checks, ProfileCheck, 0);
    ck_assert_int_gt(gemm->probes.n, 80);
    ck_assert_msg(gemm->probes.p50 < rows[_i].p50 && gemm->probes.p90 < rows[_i].p90,
                  "median %.2f %%, p90 %.2f %%", 100 * gemm->probes.p50,
                  100 * gemm->probes.p90);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("profile_interpolation");
    TCase *tcase = tcase_create("profile_interpolation");
    tcase_add_checked_fixture(tcase, NULL, tear_down);
    tcase_add_loop_test(tcase, test_probes, 0, G_N_ELEMENTS(rows));
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
