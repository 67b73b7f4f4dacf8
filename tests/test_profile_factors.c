/* SPDX-License-Identifier: MIT */
/* What a profile says beside kernels' times: slow-downs beside a copy, layers against the sum
 * of their kernels, launches, transfers. All numbers are made up. */
#include "error.h"
#include "profile.h"
#include "profile_derive.h"
#include "profile_roofline.h"
#include "scratch.h"
#include "suite_run.h"

#include <check.h>
#include <string.h>

static char *file;

static void set_up(void)
{
    scratch_set_up();
    file = scratch_path("overlay.json");
}

static void tear_down(void)
{
    g_clear_pointer(&file, g_free);
    scratch_tear_down();
}

static Profile *loaded(const char *path)
{
    g_autoptr(GError) error = NULL;
    Profile *profile = profile_load(path, &error);
    ck_assert_msg(profile != NULL, "%s", error ? error->message : "");
    return profile;
}

static Profile *synthetic(void)
{
    const char *srcdir = g_getenv("srcdir");
    g_autofree char *path =
        g_build_filename(srcdir ? srcdir : ".", "tests", "profiles", "synthetic.json", NULL);
    return loaded(path);
}

static gboolean lay(Profile *profile, const char *sections, GError **error)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *text = g_strdup_printf(
        "{\"format\":\"zerosim-profile\",\"version\":1,\"overlay\":true,%s}", sections);
    ck_assert(g_file_set_contents(file, text, -1, NULL));
    return profile_overlay(profile, file, warnings, error);
}

#define SLOW(op, a, b, c)                                                                      \
    "{\"op\":\"" op "\",\"dtype\":\"bf16\",\"slowdown_8\":" a ",\"copy_slowdown_8\":" b        \
    ",\"slowdown_16\":" c ",\"copy_slowdown_16\":3}"

/* From none on in straight lines, the median over a group's kernels, and by group. */
START_TEST(test_slow_downs)
{
    g_autoptr(Profile) profile = synthetic();
    g_autoptr(GError) error = NULL;
    ck_assert_msg(
        lay(profile,
            "\"interference\":[" SLOW("gemm", "1.2", "1.4", "1.6") "," SLOW(
                "gemm", "1.1", "1.3", "1.5") "," SLOW("gemm", "9", "1.5",
                                                      "9") "," SLOW("add", "2", "1", "3") "]",
            &error),
        "%s", error ? error->message : "");
    ck_assert(profile_has_interference(profile));
    SlowDown at = profile_slow_down(profile, KERNEL_CLASS_GEMM, 8);
    ck_assert_double_eq_tol(at.kernel, 1.2, 1e-12);
    ck_assert_double_eq_tol(at.copy, 1.4, 1e-12);
    ck_assert_double_eq_tol(profile_slow_down(profile, KERNEL_CLASS_GEMM, 4).kernel, 1.1,
                            1e-12);
    ck_assert_double_eq_tol(profile_slow_down(profile, KERNEL_CLASS_GEMM, 12).kernel, 1.4,
                            1e-12);
    ck_assert_double_eq_tol(profile_slow_down(profile, KERNEL_CLASS_NORM, 8).kernel, 2, 1e-12);
    /* Attention wasn't measured: it is taken to be as what memory bounds. */
    ck_assert_double_eq_tol(profile_slow_down(profile, KERNEL_CLASS_ATTENTION, 8).kernel, 2,
                            1e-12);
    /* Beyond what was measured a kernel loses the further multiprocessors' share. */
    at = profile_slow_down(profile, KERNEL_CLASS_NORM, 32);
    ck_assert_double_eq_tol(at.kernel, 3.0 * (profile->n_sms - 16) / (profile->n_sms - 32),
                            1e-12);
    ck_assert_double_eq_tol(at.copy, 3, 1e-12);
}
END_TEST

START_TEST(test_nothing_measured)
{
    g_autoptr(Profile) profile = synthetic();
    ck_assert(!lay(profile, "\"interference\":[{}]", NULL));
    ck_assert_double_eq(profile_chain_ratio(profile, KERNEL_GEMM), 1);
}
END_TEST

#define CHAIN(ratio) "{\"op\":\"layer_forward\",\"dtype\":\"bf16\",\"ratio\":" ratio "}"

/* The median of the layers; only for what layers' chains hold. */
START_TEST(test_chain)
{
    g_autoptr(Profile) profile = synthetic();
    const Kernel gemm = {KERNEL_GEMM, DTYPE_BF16, {1, 8192, 8192, 1024, GEMM_TN}};
    const Kernel attention = {
        KERNEL_CUDNN_ATTENTION_FORWARD, DTYPE_BF16, {1, 65536, 32, 32, 128, 1}};
    const Kernel outside = {KERNEL_GEMM, DTYPE_BF16, {1, 100, 4096, 4096, GEMM_TN}};
    const double alone_s = profile_lookup(profile, &gemm).time_s;
    const double attention_s = profile_lookup(profile, &attention).time_s;
    ck_assert(lay(profile, "\"factors\":[" CHAIN("0.9") "," CHAIN("0.95") "," CHAIN("1.2") "]",
                  NULL));
    ck_assert_int_eq(profile->factors.n_chains, 3);
    ck_assert_double_eq_tol(profile_lookup(profile, &gemm).time_s, 0.95 * alone_s, 1e-12);
    ck_assert_double_eq(profile_lookup(profile, &attention).time_s, attention_s);
    /* A roofline isn't a measurement that a layer's could be held against. */
    ck_assert_double_eq(profile_lookup(profile, &outside).time_s,
                        profile_roofline_s(profile, &outside));
}
END_TEST

#define LAUNCH(op, time) "{\"op\":\"" op "\",\"dtype\":\"fp32\",\"time_s\":" time "}"

/* What a framework was seen to take replaces what is assumed. */
START_TEST(test_launches)
{
    g_autoptr(Profile) profile = synthetic();
    ck_assert(lay(profile,
                  "\"launch\":[" LAUNCH("launch_eager", "6e-6") "," LAUNCH(
                      "graph_replay_gap", "1e-6") "," LAUNCH("launch_framework", "7.5e-6") "]",
                  NULL));
    ck_assert_double_eq(profile->factors.graph_gap_s, 1e-6);
    ck_assert_double_eq(profile->factors.eager_launch_s, 6e-6);
    ck_assert_double_eq(profile->host_launch_s, 7.5e-6);
}
END_TEST

#define TRANSFER(op, bytes, time)                                                              \
    "{\"op\":\"" op "\",\"dtype\":\"fp32\",\"dimensions\":{\"bytes\":" bytes                   \
    "},\"time_s\":" time "}"

START_TEST(test_transfers)
{
    g_autoptr(Profile) profile = synthetic();
    ck_assert(lay(profile,
                  "\"transfers\":[" TRANSFER("host_to_device", "1000", "1e-5") "," TRANSFER(
                      "host_to_device", "1000000", "2e-5") "]",
                  NULL));
    ck_assert_double_eq_tol(profile->factors.transfer_bytes_per_s[TRANSFER_TO_DEVICE], 5e10, 1);
    ck_assert_double_eq(profile->factors.transfer_bytes_per_s[TRANSFER_TO_HOST], 0);
}
END_TEST

static const struct {
    const char *text, *message;
} malformed[] = {
    {"\"interference\":[{\"op\":\"gemm\",\"dtype\":\"bf16\"}]", "interference[0].slowdown_1"},
    {"\"interference\":[{\"op\":\"gemm\",\"dtype\":\"bf16\",\"slowdown_8\":1.1}]",
     "interference[0].copy_slowdown_8"},
    {"\"interference\":[{\"op\":\"gemm\",\"dtype\":\"bf16\",\"slowdown_x\":1.1}]",
     "interference[0].slowdown_x"},
    {"\"interference\":[{\"op\":\"gemm\",\"dtype\":\"bf16\",\"slowdown_99999999999\":1.1}]",
     "interference[0].slowdown_9"},
    {"\"interference\":[" SLOW("gemm", "-1", "1", "1") "]", "interference[0].slowdown_8"},
    {"\"interference\":[" SLOW("gemm", "\"1\"", "1", "1") "]", "interference[0].slowdown_8"},
    {"\"interference\":[" SLOW("gem", "1", "1", "1") "]", "interference[0].op"},
    {"\"factors\":[{\"op\":\"layer_forward\"}]", "factors[0].ratio"},
    {"\"factors\":[{\"op\":\"layer\",\"ratio\":1}]", "factors[0].op"},
    {"\"factors\":[" CHAIN("0") "]", "factors[0].ratio"},
    {"\"factors\":[{\"op\":\"layer_forward\",\"ratio\":1,\"ration\":1}]", "ration"},
    {"\"launch\":[" LAUNCH("launch", "1e-6") "]", "launch[0].op"},
    {"\"launch\":[" LAUNCH("launch_eager", "0") "]", "launch[0].time_s"},
    {"\"transfers\":[" TRANSFER("up", "1", "1") "]", "transfers[0].op"},
    {"\"transfers\":[" TRANSFER("host_to_device", "0", "1") "]", "bytes"},
};

START_TEST(test_malformed)
{
    g_autoptr(Profile) profile = synthetic();
    g_autoptr(GError) error = NULL;
    ck_assert(!lay(profile, malformed[_i].text, &error));
    ck_assert_int_eq(error_exit_status(error), 2);
    ck_assert_ptr_null(strchr(error->message, '\n'));
    ck_assert_msg(strstr(error->message, file) && strstr(error->message, malformed[_i].message),
                  "'%s' lacks '%s'", error->message, malformed[_i].message);
}
END_TEST

/* The ratio of layers comes along; what belongs to the other GPU's multiprocessors doesn't. */
START_TEST(test_derived)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Profile) source = synthetic();
    g_autofree char *path = g_build_filename(g_getenv("ZEROSIM_DATA_DIR"), "platforms", "gpus",
                                             "a100-sxm4-80gb.json", NULL);
    g_autoptr(Profile) target = loaded(path);
    ck_assert(lay(source,
                  "\"factors\":[" CHAIN("0.9") "],\"interference\":[" SLOW("gemm", "1.2", "1.4",
                                                                           "1.6") "]",
                  NULL));
    g_autoptr(json_t) document = profile_derive(target, source, &error);
    ck_assert_ptr_nonnull(document);
    ck_assert_int_eq(json_dump_file(document, file, 0), 0);
    g_autoptr(Profile) derived = loaded(file);
    ck_assert_double_eq(derived->factors.chain_ratio, 0.9);
    ck_assert(!profile_has_interference(derived));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("profile_factors");
    TCase *tcase = tcase_create("profile_factors");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_slow_downs);
    tcase_add_test(tcase, test_nothing_measured);
    tcase_add_test(tcase, test_chain);
    tcase_add_test(tcase, test_launches);
    tcase_add_test(tcase, test_transfers);
    tcase_add_loop_test(tcase, test_malformed, 0, G_N_ELEMENTS(malformed));
    tcase_add_test(tcase, test_derived);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
