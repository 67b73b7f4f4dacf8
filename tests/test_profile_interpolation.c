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

#define N_SMS 132
#define SM_FLOP_PER_S 6.1e12
#define MEMORY_BYTES_PER_S 2.9e12
#define CACHE_BYTES_PER_S 5.5e12
#define CACHE_BYTES 40e6

static Profile *profile;

typedef struct {
    int m, n;
    double rate;
} Tile;

/* The fastest of the tiles, one a multiprocessor at a time: whole waves of them, each with its
 * prologue and epilogue and whole steps of k; rows that fill no vector load run slower; what
 * fits the cache is read from it; long kernels lose clock. */
static double truth_s(const int64_t *d)
{
    static const Tile tiles[] = {{256, 128, 1},    {128, 256, 0.97}, {192, 128, 0.95},
                                 {128, 128, 0.88}, {64, 128, 0.7},   {64, 64, 0.5}};
    const double m = (double)d[1], n = (double)d[2], k = (double)d[3];
    const double bytes = 2 * (m * k + k * n + m * n);
    const double layout = d[4] == LAYOUT_TN ? 1 : d[4] == LAYOUT_NN ? 1.03 : 1.08;
    const double steps = 64 * ceil(k / 64); /* of k in the main loop: the last one is whole */
    double best_s = HUGE_VAL;
    for (gsize i = 0; i < G_N_ELEMENTS(tiles); i++)
        for (int split = 1; split <= 8; split *= 2) {
            const Tile *t = &tiles[i];
            const double waves = ceil(ceil(m / t->m) * ceil(n / t->n) * split / N_SMS);
            const double main_s = 2.0 * t->m * t->n * steps / split / (SM_FLOP_PER_S * t->rate);
            const double reduce_s = split > 1 ? 4 * m * n * split / MEMORY_BYTES_PER_S : 0;
            best_s = MIN(best_s, waves * (main_s + 1.8e-6) + reduce_s);
        }
    const double memory_s =
        bytes / (bytes < CACHE_BYTES ? CACHE_BYTES_PER_S : MEMORY_BYTES_PER_S) + 2e-6;
    const double odd = d[2] % 8 != 0 ? 1.25 : 1;
    const double heat = 1 + 0.06 * best_s / (best_s + 1e-3);
    return 2.5e-6 + layout * odd * heat * pow(pow(best_s, 4) + pow(memory_s, 4), 0.25);
}

static Profile *made_up(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *file = g_build_filename(g_getenv("ZEROSIM_DATA_DIR"), "platforms", "gpus",
                                             "h100-sxm5-80gb.json", NULL);
    Profile *empty = profile_load(file, &error);
    ck_assert_msg(empty != NULL, "%s", error ? error->message : "");
    return empty;
}

/* `until`: a budget's end; all that stands before it in the plan has been measured. */
static void measure(double until_s)
{
    Plan *plan = plan_new(1);
    double now_s = 0;
    profile = made_up();
    for (size_t i = 0; i < plan->n && now_s < until_s; i++) {
        const Measurement *m = &plan->items[i];
        now_s += m->estimate_s;
        if (m->kind != MEASURE_KERNEL || strcmp(m->op->name, "gemm") != 0 ||
            m->type != TYPE_BF16 || m->dimension[0] != 1)
            continue;
        ProfileEntry entry = {.kernel = {.op = KERNEL_GEMM, .dtype = DTYPE_BF16},
                              .time_s = truth_s(m->dimension),
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

/* Found: median 2.5 %, p90 10.0 % of what 480 s buy; 2.9 % and 11.0 % of the whole plan. */
static const struct {
    double budget_s, p50, p90;
} rows[] = {{480, 0.03, 0.12}, {3600, 0.03, 0.12}};

/* Probes are of random shapes, most of them no multiple of a tile. */
START_TEST(test_probes)
{
    measure(rows[_i].budget_s);
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
