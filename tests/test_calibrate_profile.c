/* SPDX-License-Identifier: MIT */
/* What zerosim-calibrate writes is what the simulator reads: results of a made-up machine go
 * through the file and come back as exact hits; a second run adds to the first one's file. */
#include "calibrate/profile_out.h"
#include "json_in.h"
#include "profile.h"
#include "suite_run.h"

#include <check.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

static char *folder, *file;
static char message[512];

static const Machine machine = {.name = "NVIDIA H100 80GB HBM3",
                                .compute_capability = 90,
                                .n_sms = 132,
                                .n_gpus = 1,
                                .memory_bytes = G_GINT64_CONSTANT(84000000000),
                                .context_bytes = 500000000,
                                .l2_bytes = 50 << 20,
                                .max_sm_clock_hz = 1.98e9,
                                .max_memory_clock_hz = 2.619e9,
                                .memory_bus_bits = 5120,
                                .driver = "1.2.3",
                                .cuda = "13.0"};

static void set_up(void)
{
    folder = g_dir_make_tmp("zerosim-calibrate-XXXXXX", NULL);
    file = g_build_filename(folder, "gpu.json", NULL);
}

static void tear_down(void)
{
    g_remove(file);
    g_rmdir(folder);
    g_free(file);
    g_free(folder);
}

static Measurement measurement(MeasureKind kind, const char *op, Type type,
                               const int64_t *dimension)
{
    Measurement m = {.kind = kind, .op = plan_op_find(op), .type = type};
    ck_assert_ptr_nonnull(m.op);
    memcpy(m.dimension, dimension, plan_n_dimensions(m.op) * sizeof *dimension);
    return m;
}

static const int64_t shape[] = {1, 8192, 8192, 8192, LAYOUT_NN};

static Measurement product(MeasureKind kind)
{
    return measurement(kind, "gemm", TYPE_BF16, shape);
}

static Result result_of(double time_s)
{
    Result result = {.time_s = time_s, .p10_s = 0.9 * time_s, .p90_s = 1.1 * time_s};
    strcpy(result.implementation, "made up");
    return result;
}

static void add(ProfileOut *out, Measurement m, double time_s)
{
    const Result result = result_of(time_s);
    profile_out_add(out, &m, &result);
}

/* What profile_load() can't do without. */
static void add_ceilings(ProfileOut *out)
{
    add(out,
        measurement(MEASURE_KERNEL, "gemm", TYPE_FP32, (int64_t[]){1, 4096, 4096, 4096, 0}),
        3e-3);
    add(out, measurement(MEASURE_KERNEL, "copy", TYPE_FP32, (int64_t[]){1 << 30}), 7e-4);
    add(out, measurement(MEASURE_LAUNCH, "launch_back_to_back", TYPE_FP32, (int64_t[]){1}),
        2e-6);
}

static void open_file(ProfileOut *out)
{
    ck_assert_msg(profile_out_open(out, file, "h100-sxm5-80gb", message, sizeof message), "%s",
                  message);
}

static void write_and_close(ProfileOut *out)
{
    profile_out_describe(out, &machine, "zerosim-calibrate --budget 5");
    ck_assert_msg(profile_out_write(out, message, sizeof message), "%s", message);
    profile_out_close(out);
}

static Profile *load(void)
{
    g_autoptr(GError) error = NULL;
    Profile *profile = profile_load(file, &error);
    ck_assert_msg(profile != NULL, "%s", error ? error->message : "");
    return profile;
}

static const Kernel kernel = {KERNEL_GEMM, DTYPE_BF16, {1, 8192, 8192, 8192, GEMM_NN}};

START_TEST(test_simulator_reads_it)
{
    ProfileOut out;
    open_file(&out);
    add_ceilings(&out);
    add(&out, product(MEASURE_KERNEL), 1.5e-3);
    write_and_close(&out);
    g_autoptr(Profile) profile = load();
    ck_assert_str_eq(profile->name, "h100-sxm5-80gb");
    ck_assert_int_eq(profile->n_sms, 132);
    ck_assert_double_eq_tol(profile->launch_s, 2e-6, 1e-12);
    ck_assert_double_eq_tol(profile->achievable_memory_bytes_per_s, 2.0 * (1 << 30) / 7e-4,
                            1e7);
    const KernelTime time = profile_lookup(profile, &kernel);
    ck_assert_int_eq(time.source, TIME_MEASURED);
    ck_assert_double_eq_tol(time.time_s, 1.5e-3, 1e-9);
}
END_TEST

/* The loop joins the burst's entry, whichever comes first; what was refused isn't tried again.
 */
static void add_value(Result *result, const char *name, double value)
{
    ResultValue *slot = &result->values[result->n_values++];
    g_strlcpy(slot->name, name, sizeof slot->name);
    slot->value = value;
}

/* Every section that this program writes is one that the simulator reads. */
START_TEST(test_all_sections)
{
    ProfileOut out;
    Result beside = result_of(1e-3), chain = result_of(2e-3), eager = result_of(6e-6);
    const Measurement layer = measurement(MEASURE_CHAIN, "layer_forward", TYPE_BF16,
                                          (int64_t[]){4096, 4096, 11008, 4096, 4096, 1});
    add_value(&beside, "slowdown_16", 1.25);
    add_value(&beside, "copy_slowdown_16", 1.5);
    add_value(&chain, "sum_s", 2.1e-3);
    add_value(&chain, "ratio", 2 / 2.1);
    add_value(&eager, "host_work_s", 4e-6);
    open_file(&out);
    add_ceilings(&out);
    const Measurement gemm = product(MEASURE_INTERFERENCE);
    const Measurement launch =
        measurement(MEASURE_LAUNCH, "launch_eager", TYPE_FP32, (int64_t[]){1});
    profile_out_add(&out, &gemm, &beside);
    profile_out_add(&out, &layer, &chain);
    profile_out_add(&out, &launch, &eager);
    add(&out, measurement(MEASURE_LAUNCH, "graph_replay_gap", TYPE_FP32, (int64_t[]){1}), 1e-6);
    add(&out, measurement(MEASURE_TRANSFER, "both_directions", TYPE_FP32, (int64_t[]){1 << 20}),
        5e-5);
    add(&out, measurement(MEASURE_COLLECTIVE, "all_reduce", TYPE_FP32, (int64_t[]){0, 1 << 20}),
        1e-4);
    write_and_close(&out);
    g_autoptr(Profile) profile = load();
    ck_assert_double_eq_tol(profile_slow_down(profile, KERNEL_CLASS_GEMM, 16).kernel, 1.25,
                            1e-5);
    ck_assert_double_eq_tol(profile->factors.chain_ratio, 2 / 2.1, 1e-5);
    ck_assert_double_gt(profile->factors.transfer_bytes_per_s[TRANSFER_BOTH], 2e10);
}
END_TEST

/* A run is described before each writing, and stands once. */
START_TEST(test_described_again)
{
    ProfileOut out;
    open_file(&out);
    add_ceilings(&out);
    profile_out_describe(&out, &machine, "zerosim-calibrate --budget 5");
    write_and_close(&out);
    g_autoptr(json_t) root = json_load_file(file, 0, NULL);
    ck_assert_int_eq(
        json_array_size(json_object_get(json_object_get(root, "provenance"), "runs")), 1);
}
END_TEST

START_TEST(test_second_run_continues)
{
    ProfileOut out;
    const Measurement burst = product(MEASURE_KERNEL), loop = product(MEASURE_SUSTAINED);
    const Measurement other =
        measurement(MEASURE_KERNEL, "gemm", TYPE_BF16, (int64_t[]){1, 64, 64, 64, 0});
    Result sustained = result_of(1.5e-3);
    sustained.sustained_s = 1.7e-3;
    open_file(&out);
    add_ceilings(&out);
    add(&out, burst, 1.5e-3);
    write_and_close(&out);

    open_file(&out);
    ck_assert(profile_out_has(&out, &burst));
    ck_assert(!profile_out_has(&out, &loop));
    ck_assert(!profile_out_has(&out, &other));
    profile_out_add(&out, &loop, &sustained);
    const Result absent = {.status = RESULT_ABSENT, .reason = "made up"};
    profile_out_add(&out, &other, &absent);
    add(&out, burst, 1.4e-3);
    write_and_close(&out);

    open_file(&out);
    ck_assert(profile_out_has(&out, &loop));
    ck_assert(profile_out_has(&out, &other));
    ck_assert_int_eq(
        json_array_size(json_object_get(json_object_get(out.root, "provenance"), "runs")), 2);
    profile_out_close(&out);
    g_autoptr(Profile) profile = load();
    ck_assert_double_eq_tol(profile_lookup(profile, &kernel).time_s, 1.7e-3, 1e-9);
}
END_TEST

#define FOREIGN                                                                                \
    "{\"op\":\"gemm\",\"dtype\":\"bf16\",\"dimensions\":{\"batch\":1,\"m\":64,\"n\":64,"       \
    "\"k\":64},\"time_s\":2e-6}"

/* Kernels of one kind stand in one table of the file, a row each; what a loop or a probe has
 * more makes a table of its own; an entry that somebody wrote by hand stays as it is. */
START_TEST(test_tables)
{
    const struct {
        Kernel kernel;
        double time_s;
        gboolean probe;
    } rows[] = {{{KERNEL_GEMM, DTYPE_BF16, {1, 512, 512, 512, 0}}, 1e-5, FALSE},
                {{KERNEL_GEMM, DTYPE_BF16, {1, 512, 512, 1024, 2}}, 2e-5, FALSE},
                {{KERNEL_GEMM, DTYPE_BF16, {1, 520, 512, 1024, 2}}, 3e-5, TRUE}};
    ProfileOut out;
    open_file(&out);
    add_ceilings(&out);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        Measurement m =
            measurement(MEASURE_KERNEL, "gemm", TYPE_BF16, rows[i].kernel.dimension);
        m.probe = rows[i].probe;
        add(&out, m, rows[i].time_s);
    }
    json_array_append_new(json_object_get(out.root, "kernels"), json_loads(FOREIGN, 0, NULL));
    write_and_close(&out);
    open_file(&out); /* and once more, by way of memory */
    write_and_close(&out);
    g_autoptr(json_t) root = json_load_file(file, 0, NULL);
    const json_t *kernels = json_object_get(root, "kernels");
    /* fp32 and bf16 products, a probe, copies, the entry by hand as a table of its columns */
    ck_assert_int_eq(json_array_size(kernels), 5);
    g_autoptr(Profile) profile = load();
    ck_assert_int_eq(g_hash_table_size(profile->entries), 6);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        const ProfileEntry *entry = g_hash_table_lookup(profile->entries, &rows[i].kernel);
        ck_assert_ptr_nonnull(entry);
        ck_assert_double_eq_tol(entry->time_s, rows[i].time_s, 1e-11);
        ck_assert_int_eq(entry->probe, rows[i].probe);
    }
}
END_TEST

/* What couldn't be measured beside a copy may well be measured alone. */
START_TEST(test_absent_of_its_kind)
{
    ProfileOut out;
    const Measurement beside = product(MEASURE_INTERFERENCE), alone = product(MEASURE_KERNEL);
    const Result absent = {.status = RESULT_ABSENT, .reason = "made up"};
    open_file(&out);
    add_ceilings(&out);
    profile_out_add(&out, &beside, &absent);
    ck_assert(profile_out_has(&out, &beside));
    ck_assert(!profile_out_has(&out, &alone));
    write_and_close(&out);
    open_file(&out);
    ck_assert(profile_out_has(&out, &beside));
    ck_assert(!profile_out_has(&out, &alone));
    profile_out_close(&out);
}
END_TEST

/* A data sheet's peaks stay, measured facts replace what was assumed. */
START_TEST(test_continues_a_data_sheet)
{
    g_autofree char *text = NULL;
    g_autofree char *shipped = g_build_filename(g_getenv("ZEROSIM_DATA_DIR"), "platforms",
                                                "gpus", "h100-sxm5-80gb.json", NULL);
    ProfileOut out;
    ck_assert(g_file_get_contents(shipped, &text, NULL, NULL));
    ck_assert(g_file_set_contents(file, text, -1, NULL));
    g_autoptr(Profile) before = load();
    open_file(&out);
    add_ceilings(&out);
    write_and_close(&out);
    g_autoptr(Profile) after = load();
    ck_assert_double_eq(after->peak_flop_per_s[DTYPE_BF16],
                        before->peak_flop_per_s[DTYPE_BF16]);
    ck_assert_double_eq(after->attention_forward_frac, before->attention_forward_frac);
    ck_assert_double_eq_tol(after->launch_s, 2e-6, 1e-12);
}
END_TEST

/* Another GPU's file, and what is no profile, stay untouched. */
START_TEST(test_refuses_other_files)
{
    const char *const texts[] = {"{\"format\":\"zerosim-profile\",\"gpu\":\"a\",\"facts\":{}}",
                                 "{\"format\":\"other\"}", "[]", "{", "{\"facts\":7}"};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        ProfileOut out;
        ck_assert(g_file_set_contents(file, texts[i], -1, NULL));
        ck_assert(!profile_out_open(&out, file, "h100-sxm5-80gb", message, sizeof message));
        ck_assert_ptr_nonnull(strstr(message, file));
        profile_out_close(&out);
    }
}
END_TEST

static const struct {
    const char *device, *name;
} names[] = {
    {"NVIDIA H100 80GB HBM3", "h100-sxm5-80gb"},
    {"NVIDIA H200", "h200-sxm5-141gb"},
    {"NVIDIA A100-SXM4-80GB", "a100-sxm4-80gb"},
    {"NVIDIA GeForce RTX 4090", "rtx4090"},
    {"NVIDIA L40S", "l40s"},
    {"Quadro X/1", "quadro-x-1"},
};

START_TEST(test_names)
{
    char name[64];
    profile_facts_name(names[_i].device, name, sizeof name);
    ck_assert_str_eq(name, names[_i].name);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("calibrate_profile");
    TCase *tcase = tcase_create("calibrate_profile");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_simulator_reads_it);
    tcase_add_test(tcase, test_all_sections);
    tcase_add_test(tcase, test_described_again);
    tcase_add_test(tcase, test_second_run_continues);
    tcase_add_test(tcase, test_tables);
    tcase_add_test(tcase, test_absent_of_its_kind);
    tcase_add_test(tcase, test_continues_a_data_sheet);
    tcase_add_test(tcase, test_refuses_other_files);
    tcase_add_loop_test(tcase, test_names, 0, G_N_ELEMENTS(names));
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
