/* SPDX-License-Identifier: MIT */
/* torch.profiler's traces as overlays of a made-up profile: which operator a kernel belongs to,
 * whatever it is called, and what counts for nothing. */
#include "profile.h"
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

static gboolean overlay(Profile *profile, const char *text, GPtrArray *warnings, GError **error)
{
    ck_assert(g_file_set_contents(file, text, -1, NULL));
    return profile_overlay(profile, file, warnings, error);
}

#define CALL(name, id, arguments)                                                              \
    "{\"ph\":\"X\",\"cat\":\"cpu_op\",\"name\":\"aten::" name                                  \
    "\",\"ts\":1,\"dur\":9,\"args\":{"                                                         \
    "\"External id\":" id "," arguments "}},"
#define RAN(id, dur)                                                                           \
    "{\"ph\":\"X\",\"cat\":\"kernel\",\"name\":\"k\",\"ts\":1,\"dur\":" dur                    \
    ",\"args\":{\"External id\":" id "}},"
#define BF16_2 "\"Input type\":[\"c10::BFloat16\",\"c10::BFloat16\"],"
#define QKV                                                                                    \
    "\"Input type\":[\"c10::BFloat16\",\"c10::BFloat16\",\"c10::BFloat16\"],"                  \
    "\"Concrete Inputs\":[\"\",\"\",\"\",\"\",\"\",\"1\",\"1\",\"0.\",\"True\",\"False\"],"    \
    "\"Input Dims\":[[2,1024,16,64],[2,1024,4,64],[2,1024,4,64]]"

static const char trace[] =
    "{\"traceEvents\":[" CALL("mm", "1",
                              BF16_2 "\"Input Dims\":[[4096,512],[512,768]],"
                                     "\"Input Strides\":[[512,1],[1,512]]")
        CALL("mm", "2",
             BF16_2 "\"Input Dims\":[[4096,512],[512,768]],"
                    "\"Input Strides\":[[512,1],[768,1]]")
            CALL("mm", "3",
                 BF16_2 "\"Input Dims\":[[4096,512],[512,768]],"
                        "\"Input Strides\":[[512,1],[1,512]]")
                CALL("_flash_attention_forward", "4", QKV) CALL("mm", "5", "\"Input Dims\":[]")
                    CALL("native_layer_norm", "6", BF16_2 "\"Input Dims\":[[2,1024,768],[768]]")
                        RAN("1", "30.5") RAN("2", "50") RAN("3", "31") RAN("4", "100")
                            RAN("4", "20") RAN("5", "7") RAN("6", "5") RAN("9", "11")
                                RAN("1", "-3") "{\"ph\":\"M\"}]}";

/* Kernels find their operator; two calls of one shape give a median; what is unknown is
 * counted. */
START_TEST(test_trace)
{
    g_autoptr(Profile) profile = synthetic();
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    const struct {
        Kernel kernel;
        double time_s;
    } rows[] = {
        {{KERNEL_GEMM, DTYPE_BF16, {1, 4096, 768, 512, GEMM_TN}}, 31e-6},
        {{KERNEL_GEMM, DTYPE_BF16, {1, 4096, 768, 512, GEMM_NN}}, 50e-6},
        {{KERNEL_ATTENTION_FORWARD, DTYPE_BF16, {2, 1024, 16, 4, 64, 1}}, 120e-6},
        {{KERNEL_LAYERNORM_FORWARD, DTYPE_BF16, {2048, 768}}, 5e-6},
    };
    ck_assert_msg(overlay(profile, trace, warnings, &error), "%s", error ? error->message : "");
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        const KernelTime time = profile_lookup(profile, &rows[i].kernel);
        ck_assert_int_eq(time.source, TIME_MEASURED);
        ck_assert_double_eq_tol(time.time_s, rows[i].time_s, 1e-12);
    }
    ck_assert_int_eq(warnings->len, 1);
    /* 236.5 of 254.5 us */
    ck_assert_ptr_nonnull(strstr(g_ptr_array_index(warnings, 0), "93 %"));
}
END_TEST

/* As libraries of several generations name the kernels of one product: the operator's shapes
 * count, never the name; the record that isn't a kernel (a copy) counts for nothing. */
START_TEST(test_trace_kernel_names)
{
    static const char *const names[] = {
        "sm80_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x32_stage4_warpsize2x2x1",
        "ampere_bf16_s16816gemm_bf16_128x256_ldg8_f2f_stages_64x3_tn",
        "void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_256x128_32x3_tn>",
        "nvjet_hsh_256x128_64x4_2x1_v_bz_coopA_TNT",
        "void cutlass::device_kernel<at::cuda::detail::enable_3x_kernel_for_sm9x<int, 3> >()",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(Profile) profile = synthetic();
        g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GError) error = NULL;
        const Kernel kernel = {KERNEL_GEMM, DTYPE_BF16, {1, 4096, 768, 512, GEMM_TN}};
        g_autofree char *text = g_strdup_printf(
            "{\"schemaVersion\":1,\"deviceProperties\":[{\"id\":0}],"
            "\"traceEvents\":[" CALL("mm", "17",
                                     BF16_2 "\"Input Dims\":[[4096,512],[512,768]],"
                                            "\"Input Strides\":[[512,1],[1,512]],\"Ev "
                                            "Idx\":3") "{\"ph\":\"X\",\"cat\":\"gpu_memcpy\","
                                                       "\"name\":\"Memcpy DtoD\",\"ts\":1,"
                                                       "\"dur\":900,\"args\":{\"External "
                                                       "id\":17}},"
                                                       "{\"ph\":\"X\",\"cat\":\"kernel\","
                                                       "\"name\":\"%s\",\"pid\":0,\"tid\":7,"
                                                       "\"ts\":2.5,\"dur\":42.25,\"args\":{"
                                                       "\"External "
                                                       "id\":17,\"correlation\":9041,"
                                                       "\"stream\":7,\"grid\":[6,32,1],"
                                                       "\"block\":[128,1,1]}}]}",
            names[i]);
        ck_assert_msg(overlay(profile, text, warnings, &error), "%s",
                      error ? error->message : "");
        ck_assert_double_eq_tol(profile_lookup(profile, &kernel).time_s, 42.25e-6, 1e-12);
    }
}
END_TEST

/* A step's kernels as PyTorch, cuDNN and NCCL name them, each with the operator that ran it. */
#define NAMED(category, name, id, dur)                                                         \
    "{\"ph\":\"X\",\"cat\":\"" category "\",\"name\":\"" name "\",\"ts\":1,\"dur\":" dur       \
    ",\"args\":{\"External id\":" id "}}"
#define HEADS_SECOND "\"Input Dims\":[[2,16,1024,64],[2,4,1024,64],[2,4,1024,64]]"
#define BF16_3 "\"Input type\":[\"c10::BFloat16\",\"c10::BFloat16\",\"c10::BFloat16\"],"

static const char step_trace[] = "{\"traceEvents\":[" CALL(
    "_flash_attention_forward", "1",
    QKV) CALL("_flash_attention_backward", "2",
              "\"Input "
              "type\":[\"\",\"c10::BFloat16\",\"c10::"
              "BFloat16\"],"
              "\"Concrete "
              "Inputs\":[\"\",\"\",\"\",\"\",\"\",\"\",\"\","
              "\"\",\"1\",\"1\",\"0.\",\"True\"],"
              "\"Input "
              "Dims\":[[2,1024,16,64],[2,1024,16,64],[2,1024,"
              "4,64]]") CALL("_scaled_dot_product_cudnn_"
                             "attention",
                             "3",
                             BF16_3 "\"Concrete "
                                    "Inputs\":[\"\",\"\",\"\","
                                    "\"\",\"True\",\"0.\","
                                    "\"True\"]," HEADS_SECOND) CALL("native_layer_norm", "4",
                                                                    BF16_2
                                                                    "\"Input "
                                                                    "Dims\":[[2,1024,768],[768]"
                                                                    "]") CALL("add", "5",
                                                                              BF16_2
                                                                              "\"Input "
                                                                              "Dims\":[[2,1024,"
                                                                              "768],[2,1024,"
                                                                              "768]]") CALL("_f"
                                                                                            "or"
                                                                                            "ea"
                                                                                            "ch"
                                                                                            "_a"
                                                                                            "dd"
                                                                                            "cd"
                                                                                            "iv"
                                                                                            "_",
                                                                                            "6",
                                                                                            "\""
                                                                                            "In"
                                                                                            "pu"
                                                                                            "t "
                                                                                            "Di"
                                                                                            "ms"
                                                                                            "\""
                                                                                            ":["
                                                                                            "]")
    NAMED("kernel", "void flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64, 128, 128, 4> >", "1", "110") "," NAMED("kernel", "void flash::flash_bwd_dq_dk_dv_loop_seqk_parallel_kernel<64>", "2", "250") "," NAMED(
        "kernel",
        "void flash::flash_bwd_convert_dq_kernel<64>",
        "2",
        "10") "," NAMED("kernel",
                        "cudnn_generated_fort_native_sdpa_sm90_flash_"
                        "fprop_wgmma_f16_knob_3",
                        "3",
                        "70") "," NAMED("kernel",
                                        "void at::native::(anonymous "
                                        "namespace)::vectorized_layer_"
                                        "norm_kernel<>",
                                        "4",
                                        "6") "," NAMED("kernel",
                                                       "void "
                                                       "at::native::"
                                                       "vectorized_"
                                                       "elementwise_"
                                                       "kernel<8, "
                                                       "CUDAFunctor_add>",
                                                       "5",
                                                       "4") "," NAMED("ker"
                                                                      "ne"
                                                                      "l",
                                                                      "voi"
                                                                      "d "
                                                                      "at:"
                                                                      ":na"
                                                                      "tiv"
                                                                      "e::"
                                                                      "(an"
                                                                      "ony"
                                                                      "mou"
                                                                      "s "
                                                                      "nam"
                                                                      "esp"
                                                                      "ace"
                                                                      ")::"
                                                                      "mul"
                                                                      "ti_"
                                                                      "ten"
                                                                      "sor"
                                                                      "_ap"
                                                                      "ply"
                                                                      "_ke"
                                                                      "rne"
                                                                      "l<"
                                                                      ">",
                                                                      "6",
                                                                      "50") "," NAMED("kernel",
                                                                                      "ncclDevK"
                                                                                      "ernel_"
                                                                                      "AllReduc"
                                                                                      "e_Sum_"
                                                                                      "bf16_"
                                                                                      "RING_LL("
                                                                                      "ncclDevK"
                                                                                      "ernelArg"
                                                                                      "sStorage"
                                                                                      ")",
                                                                                      "5",
                                                                                      "9000") "," NAMED("gpu_memcpy",
                                                                                                        "Memcpy HtoD (Pinned -> Device)",
                                                                                                        "5",
                                                                                                        "800") "," NAMED("gpu_memset",
                                                                                                                         "Memset (Device)",
                                                                                                                         "4",
                                                                                                                         "700") "]}";

/* Copies, fills and collectives count for nothing, not even as time that isn't used; the
 * optimizer's kernels have no shape in a trace. */
START_TEST(test_trace_of_a_step)
{
    g_autoptr(Profile) profile = synthetic();
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    const struct {
        Kernel kernel;
        double time_s;
    } rows[] = {
        {{KERNEL_ATTENTION_FORWARD, DTYPE_BF16, {2, 1024, 16, 4, 64, 1}}, 110e-6},
        {{KERNEL_ATTENTION_BACKWARD, DTYPE_BF16, {2, 1024, 16, 4, 64, 1}}, 260e-6},
        {{KERNEL_CUDNN_ATTENTION_FORWARD, DTYPE_BF16, {2, 1024, 16, 4, 64, 1}}, 70e-6},
        {{KERNEL_LAYERNORM_FORWARD, DTYPE_BF16, {2048, 768}}, 6e-6},
        {{KERNEL_ADD, DTYPE_BF16, {2048, 768}}, 4e-6},
    };
    ck_assert_msg(overlay(profile, step_trace, warnings, &error), "%s",
                  error ? error->message : "");
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        const KernelTime time = profile_lookup(profile, &rows[i].kernel);
        ck_assert_int_eq(time.source, TIME_MEASURED);
        ck_assert_double_eq_tol(time.time_s, rows[i].time_s, 1e-12);
    }
    ck_assert_int_eq(warnings->len, 1);
    ck_assert_ptr_nonnull(strstr(g_ptr_array_index(warnings, 0), "90 %")); /* 450 of 500 us */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("profile_trace");
    TCase *tcase = tcase_create("profile_trace");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_trace);
    tcase_add_test(tcase, test_trace_kernel_names);
    tcase_add_test(tcase, test_trace_of_a_step);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
