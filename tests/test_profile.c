/* SPDX-License-Identifier: MIT */
/* GPU profiles: what is shipped loads, measured shapes are answered by their measurement, the
 * roofline keeps its ceilings and behaves as a function of size, and bad files are named. */
#include "profile.h"

#include "error.h"
#include "scratch.h"
#include "suite_run.h"

#include <check.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static char *file;

static void set_up(void)
{
    scratch_set_up();
    file = scratch_path("gpu.json");
}

static void tear_down(void)
{
    g_clear_pointer(&file, g_free);
    scratch_tear_down();
}

static const char *const shipped[] = {"a100-sxm4-80gb", "h100-sxm5-80gb"};

static Profile *load_shipped(const char *name)
{
    g_autoptr(GError) error = NULL;
    const char *data = g_getenv("ZEROSIM_DATA_DIR");
    g_autofree char *base = g_strdup_printf("%s.json", name);
    g_autofree char *path =
        g_build_filename(data ? data : ".", "platforms", "gpus", base, NULL);
    Profile *profile = profile_load(path, &error);
    ck_assert_msg(profile != NULL, "%s", error ? error->message : "");
    return profile;
}

START_TEST(test_shipped_profiles)
{
    g_autoptr(Profile) profile = load_shipped(shipped[_i]);
    ck_assert_str_eq(profile->name, shipped[_i]);
    ck_assert_int_eq(strlen(profile->sha256), 64);
    ck_assert_int_gt(profile->memory_bytes, G_GINT64_CONSTANT(79) << 30);
    ck_assert_double_gt(profile->peak_flop_per_s[DTYPE_BF16], 3e14);
}
END_TEST

/* "%s" stand for further facts and for kernels; a round-numbered GPU. */
static const char *const template =
    "{\"format\":\"zerosim-profile\",\"version\":1,\"gpu\":\"test\",\"facts\":{"
    "\"compute_capability\":{\"value\":90,\"source\":\"x\"},"
    "\"n_sms\":{\"value\":100,\"source\":\"x\"},"
    "\"memory_bytes\":{\"value\":80000000000,\"source\":\"x\"},"
    "\"context_bytes\":{\"value\":500000000,\"source\":\"x\"},"
    "\"cublas_workspace_bytes\":{\"value\":0,\"source\":\"x\"},"
    "\"peak_fp32_flop_per_s\":{\"value\":1e13,\"source\":\"x\"},"
    "\"achievable_fp32_flop_per_s\":{\"value\":1e13,\"source\":\"x\"},"
    "\"peak_bf16_flop_per_s\":{\"value\":2e14,\"source\":\"x\"},"
    "\"achievable_bf16_flop_per_s\":{\"value\":1e14,\"source\":\"x\"},"
    "\"memory_bytes_per_s\":{\"value\":2e12,\"source\":\"x\"},"
    "\"achievable_memory_bytes_per_s\":{\"value\":1e12,\"source\":\"x\"},"
    "\"attention_forward_frac\":{\"value\":0.5,\"source\":\"x\"},"
    "\"attention_backward_frac\":{\"value\":0.5,\"source\":\"x\"},"
    "\"cudnn_attention_forward_frac\":{\"value\":0.8,\"source\":\"x\"},"
    "\"cudnn_attention_backward_frac\":{\"value\":0.8,\"source\":\"x\"}"
    "%s},\"kernels\":[%s]}";

#define LAUNCH ",\"launch_s\":{\"value\":4e-6,\"source\":\"x\"}"
#define GEMM "{\"op\":\"gemm\",\"dtype\":\"bf16\",\"dimensions\":"
#define SHAPE "{\"batch\":1,\"m\":64,\"n\":64,\"k\":64}"

static Profile *load_template(const char *facts, const char *kernels, GError **error)
{
    g_autoptr(GString) text = g_string_new(template);
    g_string_replace(text, "%s},\"kernels\":[%s", "@},\"kernels\":[#", 1);
    g_string_replace(text, "@", facts, 1);
    g_string_replace(text, "#", kernels, 1);
    ck_assert(g_file_set_contents(file, text->str, -1, NULL));
    return profile_load(file, error);
}

static Profile *test_gpu(const char *kernels)
{
    g_autoptr(GError) error = NULL;
    Profile *profile = load_template(LAUNCH, kernels, &error);
    ck_assert_msg(profile != NULL, "%s", error ? error->message : "");
    return profile;
}

/* Exactly the shape that was measured: its median. Any other: roofline, and it says so. */
START_TEST(test_measured_or_roofline)
{
    g_autoptr(Profile) profile =
        test_gpu(GEMM SHAPE ",\"time_s\":1.5e-5,\"p10_s\":1e-5,\"p90_s\":2e-5,"
                            "\"implementation\":\"cuBLAS\"}");
    Kernel kernel = {KERNEL_GEMM, DTYPE_BF16, {1, 64, 64, 64}};
    KernelTime time = profile_lookup(profile, &kernel);
    ck_assert_int_eq(time.source, TIME_MEASURED);
    ck_assert_double_eq(time.time_s, 1.5e-5);
    kernel.dimension[1] = 65;
    ck_assert_int_eq(profile_lookup(profile, &kernel).source, TIME_ROOFLINE);
    kernel.dimension[1] = 64;
    kernel.dtype = DTYPE_FP16;
    ck_assert_int_eq(profile_lookup(profile, &kernel).source, TIME_ROOFLINE);
}
END_TEST

static double time_s(const Profile *profile, Kernel kernel)
{
    return profile_lookup(profile, &kernel).time_s;
}

/* No kernel beats a ceiling, a huge one sustains 88 % of it, a tiny one takes a launch. */
START_TEST(test_roofline_ceilings)
{
    g_autoptr(Profile) profile = test_gpu("");
    const double huge = 2.0 * 51200 * 51200 * 51200;
    const double t =
        time_s(profile, (Kernel){KERNEL_GEMM, DTYPE_BF16, {1, 51200, 51200, 51200}});
    ck_assert_double_ge(t, huge / 1e14);
    ck_assert_double_le(t, 1.02 * huge / 0.88e14);
    const double copy = time_s(profile, (Kernel){KERNEL_COPY, DTYPE_BF16, {1000000000}});
    ck_assert_double_eq_tol(copy, 2e9 / 1e12 + 1e-6, 1e-9);
    ck_assert_double_eq(time_s(profile, (Kernel){KERNEL_ADD, DTYPE_BF16, {1, 1}}), 4e-6);
    ck_assert_double_eq(
        time_s(profile, (Kernel){KERNEL_RMSNORM_PYTHON_FORWARD, DTYPE_BF16, {1, 1}}), 8 * 4e-6);
}
END_TEST

/* 100 multiprocessors, tiles of 256 x 128: one tile more than a full wave costs another wave,
 * and a shallow product gets less out of each. */
START_TEST(test_roofline_gemm_shape)
{
    g_autoptr(Profile) profile = test_gpu("");
    const Kernel full = {KERNEL_GEMM, DTYPE_BF16, {1, 2560, 1280, 65536}};
    const Kernel more = {KERNEL_GEMM, DTYPE_BF16, {1, 2560, 1281, 65536}};
    const Kernel deep = {KERNEL_GEMM, DTYPE_BF16, {1, 25600, 12800, 8192}};
    const Kernel flat = {KERNEL_GEMM, DTYPE_BF16, {1, 25600, 12800, 64}};
    ck_assert_double_gt(time_s(profile, more), 1.05 * time_s(profile, full));
    ck_assert_double_lt(kernel_flops(&flat) / time_s(profile, flat),
                        0.8 * kernel_flops(&deep) / time_s(profile, deep));
}
END_TEST

/* More work never takes less time than half of it, over many sizes and operations. */
START_TEST(test_roofline_grows_with_size)
{
    g_autoptr(Profile) profile = load_shipped("h100-sxm5-80gb");
    static const KernelOp ops[] = {KERNEL_GEMM, KERNEL_ATTENTION_BACKWARD, KERNEL_ADD,
                                   KERNEL_SOFTMAX_FORWARD};
    for (gsize i = 0; i < G_N_ELEMENTS(ops); i++) {
        double previous = 0;
        for (gint64 n = 1; n <= 65536; n *= 2) {
            Kernel kernel = {ops[i], DTYPE_BF16, {1, n, 32, 32, 128, 1}};
            if (ops[i] == KERNEL_GEMM || ops[i] >= KERNEL_SOFTMAX_FORWARD)
                kernel = (Kernel){ops[i], DTYPE_BF16, {1, n, n, n}};
            if (ops[i] >= KERNEL_SOFTMAX_FORWARD)
                kernel = (Kernel){ops[i], DTYPE_BF16, {n, 4096}};
            const double t = time_s(profile, kernel);
            ck_assert(isfinite(t) && t >= previous);
            previous = t;
        }
    }
}
END_TEST

/* A type without tensor cores is computed at the fp32 rate. */
START_TEST(test_roofline_unsupported_type)
{
    g_autoptr(Profile) profile = test_gpu("");
    Kernel kernel = {KERNEL_GEMM, DTYPE_FP8, {1, 25600, 12800, 8192}};
    ck_assert_double_ge(time_s(profile, kernel), kernel_flops(&kernel) / 1e13);
}
END_TEST

/* cuDNN's attention has ceilings of its own; FlashAttention 1 takes twice as long as 2. */
START_TEST(test_roofline_attention)
{
    g_autoptr(Profile) profile = test_gpu("");
    const Kernel flash = {KERNEL_ATTENTION_FORWARD, DTYPE_BF16, {1, 65536, 32, 32, 128, 1}};
    Kernel cudnn = flash, flash1 = flash;
    cudnn.op = KERNEL_CUDNN_ATTENTION_FORWARD;
    flash1.op = KERNEL_FLASH1_ATTENTION_FORWARD;
    ck_assert_double_eq_tol(time_s(profile, flash1) / time_s(profile, flash), 2, 1e-9);
    ck_assert_double_eq_tol(time_s(profile, flash) / time_s(profile, cudnn), 0.8 / 0.5, 1e-9);
    ck_assert_double_ge(time_s(profile, flash), kernel_flops(&flash) / 1e14);
}
END_TEST

static const struct {
    const char *facts, *kernels, *message;
} malformed[] = {
    {"", "", "launch_s"},
    {",\"launch_s\":4e-6", "", "launch_s"},
    {",\"launch_s\":{\"value\":4e-6}", "", "source"},
    {",\"launch_s\":{\"value\":-1,\"source\":\"x\"}", "", "launch_s.value"},
    {LAUNCH ",\"peak_fp8_flop_per_s\":{\"value\":1e15,\"source\":\"x\"}", "", "fp8"},
    {LAUNCH ",\"n_smx\":{\"value\":1,\"source\":\"x\"}", "", "n_smx"},
    {LAUNCH, "7", "kernels[0]"},
    {LAUNCH, "{\"op\":\"gemm\"}", "kernels[0].dtype"},
    {LAUNCH, "{\"op\":\"gem\",\"dtype\":\"bf16\"}", "kernels[0].op"},
    {LAUNCH, "{\"op\":\"gemm\",\"dtype\":\"bf17\"}", "kernels[0].dtype"},
    {LAUNCH, GEMM "{\"batch\":1,\"m\":64,\"n\":64},\"time_s\":1e-5}",
     "kernels[0].dimensions.k"},
    {LAUNCH, GEMM "{\"batch\":0,\"m\":64,\"n\":64,\"k\":1},\"time_s\":1e-5}",
     "dimensions.batch"},
    {LAUNCH, GEMM SHAPE ",\"time_s\":\"fast\"}", "kernels[0].time_s"},
    {LAUNCH, GEMM SHAPE ",\"time_s\":0}", "kernels[0].time_s"},
    {LAUNCH, GEMM SHAPE ",\"time_s\":1e-5,\"p10_s\":2e-5}", "kernels[0].time_s"},
    {LAUNCH, GEMM SHAPE ",\"time_s\":1e-5,\"speed\":1}", "speed"},
    {LAUNCH, GEMM SHAPE ",\"time_s\":1e-5}," GEMM SHAPE ",\"time_s\":1e-5}", "kernels[1]"},
};

static void check_error(const GError *error, const char *message)
{
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(error_exit_status(error), 2);
    ck_assert_ptr_null(strchr(error->message, '\n'));
    ck_assert_msg(strstr(error->message, file) != NULL, "no file in: %s", error->message);
    ck_assert_msg(strstr(error->message, message) != NULL, "no '%s' in: %s", message,
                  error->message);
}

/* One line that names the file and the entry. */
START_TEST(test_malformed_profile)
{
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(load_template(malformed[_i].facts, malformed[_i].kernels, &error));
    check_error(error, malformed[_i].message);
}
END_TEST

START_TEST(test_not_a_profile)
{
    g_autoptr(GError) error = NULL;
    ck_assert(g_file_set_contents(file, "{\"format\":\"other\",\"version\":1}", -1, NULL));
    ck_assert_ptr_null(profile_load(file, &error));
    check_error(error, "zerosim-profile");
    g_clear_error(&error);
    ck_assert(
        g_file_set_contents(file, "{\"format\":\"zerosim-profile\",\"version\":2}", -1, NULL));
    ck_assert_ptr_null(profile_load(file, &error));
    check_error(error, "version");
    g_clear_error(&error);
    g_remove(file);
    ck_assert_ptr_null(profile_load(file, &error));
    check_error(error, "No such file");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("profile");
    TCase *tcase = tcase_create("profile");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_shipped_profiles, 0, G_N_ELEMENTS(shipped));
    tcase_add_test(tcase, test_measured_or_roofline);
    tcase_add_test(tcase, test_roofline_ceilings);
    tcase_add_test(tcase, test_roofline_gemm_shape);
    tcase_add_test(tcase, test_roofline_grows_with_size);
    tcase_add_test(tcase, test_roofline_unsupported_type);
    tcase_add_test(tcase, test_roofline_attention);
    tcase_add_loop_test(tcase, test_malformed_profile, 0, G_N_ELEMENTS(malformed));
    tcase_add_test(tcase, test_not_a_profile);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
