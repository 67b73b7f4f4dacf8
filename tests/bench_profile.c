/* SPDX-License-Identifier: MIT */
/* Prints what loading a full-size profile takes: every kernel of zerosim-calibrate's plan, with
 * made-up times that are written nowhere else. Asserts nothing. */
#include "calibrate/profile_out.h"
#include "profile.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define RUNS 25

static const Machine machine = {.name = "NVIDIA H100 80GB HBM3",
                                .compute_capability = 90,
                                .n_sms = 132,
                                .n_gpus = 1,
                                .memory_bytes = G_GINT64_CONSTANT(84000000000),
                                .l2_bytes = 50 << 20,
                                .max_sm_clock_hz = 1.98e9,
                                .max_memory_clock_hz = 2.619e9,
                                .memory_bus_bits = 5120};

/* Times of as many digits as measured ones have. */
static gboolean file_write(const char *file)
{
    char message[512] = "";
    ProfileOut out;
    Plan *plan = plan_new(1);
    gboolean ok = profile_out_open(&out, file, "made-up", message, sizeof message);
    for (size_t i = 0; ok && i < plan->n; i++) {
        const double time_s = 1e-5 * (1 + (double)(i * 7919 % 10007) / 1009.0);
        Result result = {.time_s = time_s, .p10_s = 0.97 * time_s, .p90_s = 1.05 * time_s};
        g_strlcpy(result.implementation, "made up", sizeof result.implementation);
        if (plan->items[i].kind == MEASURE_SUSTAINED)
            result.sustained_s = 1.02 * time_s;
        if (plan->items[i].kind <= MEASURE_SUSTAINED || plan->items[i].kind == MEASURE_LAUNCH)
            profile_out_add(&out, &plan->items[i], &result);
    }
    if (ok)
        profile_out_describe(&out, &machine, "");
    ok = ok && profile_out_write(&out, message, sizeof message);
    if (!ok)
        printf("bench_profile: %s\n", message);
    profile_out_close(&out);
    plan_free(plan);
    return ok;
}

static void load_times_print(const char *file)
{
    double best_s = G_MAXDOUBLE, sum_s = 0;
    GStatBuf status;
    guint n_kernels = 0;
    for (int i = 0; i < RUNS; i++) {
        g_autoptr(GError) error = NULL;
        const clock_t began = clock();
        g_autoptr(Profile) profile = profile_load(file, &error);
        const double cpu_s = (double)(clock() - began) / CLOCKS_PER_SEC;
        if (!profile) {
            printf("bench_profile: %s\n", error->message);
            return;
        }
        n_kernels = g_hash_table_size(profile->entries);
        best_s = MIN(best_s, cpu_s);
        sum_s += cpu_s;
    }
    if (g_stat(file, &status) != 0)
        return;
    printf("\nloading a profile of %u kernels, %.0f kB: %.1f ms of CPU at best, %.1f in the "
           "mean of %d\n",
           n_kernels, (double)status.st_size / 1e3, 1e3 * best_s, 1e3 * sum_s / RUNS, RUNS);
}

int main(void)
{
    g_autofree char *folder = g_dir_make_tmp("zerosim-bench-XXXXXX", NULL);
    g_autofree char *file = folder ? g_build_filename(folder, "made-up.json", NULL) : NULL;
    if (!file)
        return 1;
    if (file_write(file))
        load_times_print(file);
    g_remove(file);
    g_rmdir(folder);
    return 0;
}
