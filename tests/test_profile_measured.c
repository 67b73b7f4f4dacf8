/* SPDX-License-Identifier: MIT */
/* Measured profiles, on a made-up one whose file says so: exact hits, interpolation and its
 * errors, overlays, derived profiles. */
#include "error.h"
#include "profile.h"
#include "profile_check.h"
#include "profile_derive.h"
#include "profile_roofline.h"
#include "scratch.h"
#include "suite_run.h"

#include <check.h>
#include <math.h>
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

static Profile *synthetic(void)
{
    g_autoptr(GError) error = NULL;
    const char *srcdir = g_getenv("srcdir");
    g_autofree char *path =
        g_build_filename(srcdir ? srcdir : ".", "tests", "profiles", "synthetic.json", NULL);
    Profile *profile = profile_load(path, &error);
    ck_assert_msg(profile != NULL, "%s", error ? error->message : "");
    return profile;
}

static const Kernel measured = {KERNEL_GEMM, DTYPE_BF16, {1, 8192, 8192, 1024, GEMM_TN}};
static const Kernel between = {KERNEL_GEMM, DTYPE_BF16, {1, 3000, 5000, 3000, GEMM_TN}};

static const ProfileEntry *entry_of(const Profile *profile, const Kernel *kernel)
{
    return g_hash_table_lookup(profile->entries, kernel);
}

/* What a loop takes wins over bursts; shapes without a loop take the ratio of those with one.
 */
START_TEST(test_exact_hit_is_sustained)
{
    g_autoptr(Profile) profile = synthetic();
    const Kernel burst = {KERNEL_GEMM, DTYPE_BF16, {1, 4096, 4096, 1024, GEMM_TN}};
    KernelTime time = profile_lookup(profile, &measured);
    ck_assert_int_eq(time.source, TIME_MEASURED);
    ck_assert_double_eq(time.time_s, entry_of(profile, &measured)->sustained_s);
    time = profile_lookup(profile, &burst);
    ck_assert_int_eq(time.source, TIME_MEASURED);
    ck_assert_double_eq_tol(time.time_s, 1.08 * entry_of(profile, &burst)->time_s, 1e-8);
}
END_TEST

/* Operations that are counted in bytes have no data type of their own. */
START_TEST(test_bytes_have_no_type)
{
    g_autoptr(Profile) profile = synthetic();
    const Kernel copy = {KERNEL_COPY, DTYPE_BF16, {65536}};
    ck_assert_int_eq(profile_lookup(profile, &copy).source, TIME_MEASURED);
}
END_TEST

/* Between measured shapes: labelled so, between the neighbours, and not of another layout. */
START_TEST(test_interpolation_is_labelled)
{
    g_autoptr(Profile) profile = synthetic();
    Kernel kernel = between;
    const KernelTime first = profile_lookup(profile, &kernel);
    ck_assert_int_eq(first.source, TIME_INTERPOLATED);
    ck_assert_double_ge(first.time_s, kernel_flops(&kernel) / 8e14);
    kernel.dimension[4] = GEMM_NT;
    ck_assert_double_gt(profile_lookup(profile, &kernel).time_s, first.time_s);
}
END_TEST

/* What no measurement surrounds is a roofline. */
START_TEST(test_outside_is_roofline)
{
    g_autoptr(Profile) profile = synthetic();
    const Kernel outside[] = {
        {KERNEL_GEMM, DTYPE_BF16, {1, 100, 4096, 4096, GEMM_TN}},
        {KERNEL_GEMM, DTYPE_BF16, {1, 4096, 40960, 4096, GEMM_TN}},
        {KERNEL_GEMM, DTYPE_BF16, {16, 4096, 4096, 4096, GEMM_TN}},
        {KERNEL_GEMM, DTYPE_FP16, {1, 4096, 4096, 4096, GEMM_TN}},
        {KERNEL_CUDNN_ATTENTION_FORWARD, DTYPE_BF16, {1, 65536, 32, 32, 128, 1}},
        {KERNEL_TANH_FORWARD, DTYPE_BF16, {1024, 1024}},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(outside); i++) {
        const KernelTime time = profile_lookup(profile, &outside[i]);
        ck_assert_int_eq(time.source, TIME_ROOFLINE);
        ck_assert_double_eq(time.time_s, profile_roofline_s(profile, &outside[i]));
    }
}
END_TEST

/* The formula that made the file up, at shapes of no grid: errors as --check prints them. */
START_TEST(test_check)
{
    g_autoptr(Profile) profile = synthetic();
    g_autoptr(GArray) checks = profile_check(profile);
    ck_assert_int_eq(checks->len, 4);
    const ProfileCheck *gemm = &g_array_index(checks, ProfileCheck, 0);
    ck_assert_int_eq(gemm->op, KERNEL_GEMM);
    ck_assert_int_eq(gemm->probes.n, 40);
    ck_assert_int_eq(gemm->left_out.n + gemm->left_out.n_outside + 40, gemm->n_entries);
    ck_assert_double_lt(gemm->left_out.p50, 0.06);
    ck_assert_double_lt(gemm->probes.p50, 0.08);
    ck_assert_double_le(gemm->probes.p50, gemm->probes.p90);
    const ProfileCheck *attention = &g_array_index(checks, ProfileCheck, 1);
    ck_assert_double_lt(attention->left_out.p50, 0.02);
    ck_assert_int_eq(attention->probes.n, 0);
    ck_assert(isnan(attention->probes.p50));
}
END_TEST

/* A probe judges and is a hit, but nothing is interpolated from it. */
START_TEST(test_probes_stand_apart)
{
    g_autoptr(Profile) profile = synthetic();
    const double before_s = profile_lookup(profile, &between).time_s;
    Kernel near = between;
    near.dimension[1] += 8;
    const ProfileEntry probe = {.kernel = near, .time_s = 1, .probe = TRUE};
    profile_add_entry(profile, &probe);
    profile_group_entries(profile);
    ck_assert_double_eq(profile_lookup(profile, &between).time_s, before_s);
    ck_assert_int_eq(profile_lookup(profile, &near).source, TIME_MEASURED);
}
END_TEST

#define OVERLAY "{\"format\":\"zerosim-profile\",\"version\":1,\"overlay\":true"
#define KERNELS                                                                                \
    ",\"kernels\":[{\"op\":\"gemm\",\"dtype\":\"bf16\",\"dimensions\":{\"batch\":1,"           \
    "\"m\":8192,\"n\":8192,\"k\":1024},\"time_s\":0.5}]}"

static gboolean overlay(Profile *profile, const char *text, GPtrArray *warnings, GError **error)
{
    ck_assert(g_file_set_contents(file, text, -1, NULL));
    return profile_overlay(profile, file, warnings, error);
}

/* A user's own measurement wins. */
START_TEST(test_overlay_wins)
{
    g_autoptr(Profile) profile = synthetic();
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    const guint n = g_hash_table_size(profile->entries);
    ck_assert(overlay(profile, OVERLAY KERNELS, warnings, NULL));
    ck_assert_int_eq(g_hash_table_size(profile->entries), n);
    const KernelTime time = profile_lookup(profile, &measured);
    ck_assert_int_eq(time.source, TIME_MEASURED);
    ck_assert_double_eq_tol(time.time_s, 0.5 * 1.08, 1e-6);
    ck_assert_int_eq(profile->overlays->len, 1);
}
END_TEST

#define TABLE(columns, rows)                                                                   \
    OVERLAY                                                                                    \
    ",\"kernels\":[{\"op\":\"gemm\",\"dtype\":\"bf16\",\"implementation\":\"made up\","        \
    "\"columns\":[" columns "],\"rows\":[" rows "]}]}"
#define SIZES "\"k\",\"n\",\"m\",\"batch\","

/* A table's rows are the same kernels, whatever the order of its columns; what it says above
 * them holds for each; a row may add to what single kernels say, but not repeat it. */
START_TEST(test_table)
{
    g_autoptr(Profile) profile = synthetic();
    g_autoptr(GError) error = NULL;
    const Kernel added = {KERNEL_GEMM, DTYPE_BF16, {1, 77, 88, 99, GEMM_TN}};
    ck_assert_msg(overlay(profile,
                          TABLE(SIZES "\"p10_s\",\"time_s\",\"sustained_s\"",
                                "[1024,8192,8192,1,0.4,0.5,0.6],[99,88,77,1,1e-4,2e-4,3e-4]"),
                          NULL, &error),
                  "%s", error ? error->message : "");
    ck_assert_double_eq(profile_lookup(profile, &measured).time_s, 0.6);
    ck_assert_double_eq(entry_of(profile, &measured)->time_s, 0.5);
    ck_assert_double_eq(profile_lookup(profile, &added).time_s, 3e-4);
    ck_assert_int_eq(profile_lookup(profile, &added).source, TIME_MEASURED);
}
END_TEST

static const struct {
    const char *text, *message;
} malformed[] = {
    {TABLE(SIZES "\"time_s\"", "[99,88,77,1,0.5],[99,88,77,1,0.5]"), "kernels[0].rows[1]"},
    {TABLE(SIZES "\"time_s\"", "[99,88,77,1]"), "kernels[0].rows[0]"},
    {TABLE(SIZES "\"time_s\"", "[99,88,77,1,0.5,7]"), "kernels[0].rows[0]"},
    {TABLE(SIZES "\"time_s\"", "[99,88,0,1,0.5]"), "kernels[0].rows[0].m: 0 is out of range"},
    {TABLE(SIZES "\"time_s\"", "[99,88,\"7\",1,0.5]"), "kernels[0].rows[0].m: must be an int"},
    {TABLE(SIZES "\"time_s\"", "[99,88,7,1,null]"), "kernels[0].rows[0].time_s: missing"},
    {TABLE(SIZES "\"time_s\"", "[99,88,7,1,-1.0]"), "kernels[0].rows[0].time_s: -1 is out"},
    {TABLE(SIZES "\"time_s\"", "{}"), "kernels[0].rows[0]: must be an array"},
    {TABLE(SIZES "\"time_s\",\"p90_s\"", "[99,88,7,1,0.5,0.4]"), "kernels[0].rows[0].time_s"},
    {TABLE(SIZES "\"p10_s\"", "[99,88,7,1,0.5]"), "kernels[0].columns: \"time_s\" is missing"},
    {TABLE("\"m\",\"time_s\"", "[99,0.5]"), "kernels[0].columns: \"batch\" is missing"},
    {TABLE(SIZES "\"k\",\"time_s\"", "[99,88,7,1,9,0.5]"),
     "kernels[0].columns[4]: stands twice"},
    {TABLE(SIZES "\"width\"", "[99,88,7,1,0.5]"), "kernels[0].columns[4]: must be a dimension"},
    {TABLE(SIZES "7", "[99,88,7,1,0.5]"), "kernels[0].columns[4]: must be a dimension"},
    {OVERLAY ",\"kernels\":[{\"op\":\"gemm\",\"dtype\":\"bf16\",\"columns\":[]}]}",
     "kernels[0].columns"},
    {OVERLAY ",\"kernels\":[{\"op\":\"copy\",\"dtype\":\"fp32\",\"columns\":[\"bytes\","
             "\"time_s\"]}]}",
     "kernels[0].rows: must be an array"},
    {OVERLAY ",\"kernels\":[{\"op\":\"copy\",\"dtype\":\"fp32\",\"columns\":[\"bytes\","
             "\"time_s\"],\"rows\":[],\"time_s\":1}]}",
     "kernels[0].time_s: not known"},
    {"{\"format\":\"zerosim-profile\",\"version\":1,\"gpu\":\"other\"" KERNELS, "gpu"},
    {OVERLAY ",\"kernels\":{}}", "kernels"},
    {OVERLAY ",\"kernels\":[{\"op\":\"gemm\"}]}", "kernels[0].dtype"},
    {OVERLAY ",\"interference\":7}", "interference"},
    {OVERLAY ",\"factors\":[7]}", "factors[0]"},
    {OVERLAY ",\"kernel\":[]}", "kernel"},
    {"{\"traceEvents\":[]}", "record_shapes"},
    {"{\"traceEvents\":7}", "record_shapes"},
    {"{\"traceEvents\":[7,null,{\"cat\":\"kernel\",\"dur\":\"x\",\"args\":[]}]}",
     "record_shapes"},
    {"{\"traceEvents\":[{\"cat\":\"cpu_op\",\"name\":\"aten::mm\"}", ""}, /* cut off */
    {"{}", "format"},
};

START_TEST(test_malformed_overlay)
{
    g_autoptr(Profile) profile = synthetic();
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    ck_assert(!overlay(profile, malformed[_i].text, warnings, &error));
    ck_assert_int_eq(error_exit_status(error), 2);
    ck_assert_msg(strstr(error->message, file) && strstr(error->message, malformed[_i].message),
                  "'%s' lacks '%s'", error->message, malformed[_i].message);
}
END_TEST

/* An overlay alone is no profile. */
START_TEST(test_overlay_is_no_profile)
{
    g_autoptr(GError) error = NULL;
    ck_assert(g_file_set_contents(file, OVERLAY KERNELS, -1, NULL));
    ck_assert_ptr_null(profile_load(file, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "overlay"));
}
END_TEST

static Profile *shipped(const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *base = g_strconcat(name, ".json", NULL);
    g_autofree char *path =
        g_build_filename(g_getenv("ZEROSIM_DATA_DIR"), "platforms", "gpus", base, NULL);
    Profile *profile = profile_load(path, &error);
    ck_assert_msg(profile != NULL, "%s", error ? error->message : "");
    return profile;
}

/* Scaled by the two data sheets, and every answer says that nobody measured it. */
START_TEST(test_derived)
{
    g_autoptr(Profile) source = synthetic();
    g_autoptr(Profile) target = shipped("a100-sxm4-80gb");
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) document = profile_derive(target, source, &error);
    ck_assert_ptr_nonnull(document);
    ck_assert_int_eq(json_dump_file(document, file, 0), 0);
    g_autoptr(Profile) derived = profile_load(file, &error);
    ck_assert_msg(derived != NULL, "%s", error ? error->message : "");
    ck_assert_str_eq(derived->name, "a100-sxm4-80gb");
    ck_assert_str_eq(derived->derived_from, "synthetic");
    const KernelTime time = profile_lookup(derived, &measured);
    ck_assert_int_eq(time.source, TIME_DERIVED);
    ck_assert_double_eq_tol(
        time.time_s / profile_roofline_s(target, &measured),
        profile_lookup(source, &measured).time_s / profile_roofline_s(source, &measured), 1e-5);
    ck_assert_int_eq(profile_lookup(derived, &between).source, TIME_DERIVED);
}
END_TEST

/* From nothing, nothing can be derived. */
START_TEST(test_derived_needs_measurements)
{
    g_autoptr(Profile) source = shipped("h100-sxm5-80gb");
    g_autoptr(Profile) target = shipped("a100-sxm4-80gb");
    g_autoptr(GError) error = NULL;
    if (g_hash_table_size(source->entries) > 0)
        return; /* it has been measured since */
    ck_assert_ptr_null(profile_derive(target, source, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "measured"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("profile_measured");
    TCase *tcase = tcase_create("profile_measured");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_exact_hit_is_sustained);
    tcase_add_test(tcase, test_bytes_have_no_type);
    tcase_add_test(tcase, test_interpolation_is_labelled);
    tcase_add_test(tcase, test_outside_is_roofline);
    tcase_add_test(tcase, test_check);
    tcase_add_test(tcase, test_probes_stand_apart);
    tcase_add_test(tcase, test_overlay_wins);
    tcase_add_test(tcase, test_table);
    tcase_add_loop_test(tcase, test_malformed_overlay, 0, G_N_ELEMENTS(malformed));
    tcase_add_test(tcase, test_overlay_is_no_profile);
    tcase_add_test(tcase, test_derived);
    tcase_add_test(tcase, test_derived_needs_measurements);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
