/* SPDX-License-Identifier: MIT */
/* Kernels: names both ways, flops, traffic and launches against counts done by hand. */
#include "kernel.h"

#include "suite_run.h"

#include <check.h>

/* Every name is found again, and every kernel has a name and at least one dimension. */
START_TEST(test_names_round_trip)
{
    for (int i = 0; i < N_KERNELS; i++) {
        KernelOp op = N_KERNELS;
        ck_assert_ptr_nonnull(kernel_op_name(i));
        ck_assert(kernel_op_parse(kernel_op_name(i), &op));
        ck_assert_int_eq(op, i);
        ck_assert_ptr_nonnull(kernel_dimension_names(i)[0]);
    }
    for (int i = 0; i < N_DTYPES; i++) {
        DType dtype = N_DTYPES;
        ck_assert(dtype_parse(dtype_name(i), &dtype));
        ck_assert_int_eq(dtype, i);
    }
    KernelOp op;
    DType dtype;
    ck_assert(!kernel_op_parse("gem", &op));
    ck_assert(!dtype_parse("", &dtype));
}
END_TEST

static const struct {
    Kernel kernel;
    double flops, bytes;
    int launches;
} cases[] = {
    /* 2 m n k; A, B and C once */
    {{KERNEL_GEMM, DTYPE_BF16, {1, 2, 3, 4}}, 48, 2 * (8 + 12 + 6), 1},
    {{KERNEL_GEMM, DTYPE_FP32, {5, 2, 3, 4}}, 240, 4 * 5 * 26, 1},
    /* fp8 operands, 16-bit result */
    {{KERNEL_GEMM, DTYPE_FP8, {1, 2, 3, 4}}, 48, 8 + 12 + 2 * 6, 1},
    /* 4 b s^2 a d, half when causal; backward 2.5 times (Dao 2023) */
    {{KERNEL_ATTENTION_FORWARD, DTYPE_BF16, {1, 8, 2, 1, 4, 0}}, 2048, 8 * (2 * 24 + 8), 1},
    {{KERNEL_ATTENTION_FORWARD, DTYPE_BF16, {1, 8, 2, 1, 4, 1}}, 1024, 8 * (2 * 24 + 8), 1},
    {{KERNEL_ATTENTION_BACKWARD, DTYPE_BF16, {1, 8, 2, 1, 4, 1}},
     2560,
     8 * (32 + 2 * (16 + 16) + 32 + 48 + 16),
     3},
    /* a window of 3 in 8 tokens: 1 + 2 + 6 x 3 pairs of 4 x 2 heads x 4; wide: the triangle */
    {{KERNEL_WINDOW_ATTENTION_FORWARD, DTYPE_BF16, {1, 8, 2, 1, 4, 3}},
     21 * 32,
     8 * (2 * 24 + 8),
     1},
    {{KERNEL_WINDOW_ATTENTION_FORWARD, DTYPE_BF16, {1, 8, 2, 1, 4, 99}},
     36 * 32,
     8 * (2 * 24 + 8),
     1},
    {{KERNEL_WINDOW_ATTENTION_BACKWARD, DTYPE_BF16, {1, 8, 2, 1, 4, 3}},
     2.5 * 21 * 32,
     8 * (32 + 2 * (16 + 16) + 32 + 48 + 16),
     3},
    /* 2 images, 3 to 5 channels, 3 x 3 taps, 8 x 8 to 4 x 4: 2 x 2 x 16 x 15 x 9 */
    {{KERNEL_CONVOLUTION_FORWARD, DTYPE_BF16, {2, 3, 5, 3, 8, 4}},
     8640,
     2 * (2 * 3 * 64 + 2 * 5 * 16 + 135),
     1},
    {{KERNEL_CONVOLUTION_BACKWARD_WEIGHT, DTYPE_FP32, {2, 3, 5, 3, 8, 4}},
     8640,
     4 * (2 * 3 * 64 + 2 * 5 * 16 + 135),
     1},
    /* statistics, then normalise; sums, then the gradient */
    {{KERNEL_BATCHNORM_FORWARD, DTYPE_BF16, {10, 10}}, 0, 600, 1},
    {{KERNEL_BATCHNORM_BACKWARD, DTYPE_FP32, {10, 10}}, 0, 2000, 1},
    /* input, output and an 8-byte index an output; backward zeroes the input's gradient first
     */
    {{KERNEL_MAXPOOL_FORWARD, DTYPE_BF16, {2, 3, 8, 4}}, 0, 6 * (2 * 80 + 8 * 16), 1},
    {{KERNEL_MAXPOOL_BACKWARD, DTYPE_BF16, {2, 3, 8, 4}}, 0, 6 * (2 * 144 + 8 * 16), 2},
    {{KERNEL_AVGPOOL_FORWARD, DTYPE_FP32, {2, 3, 8, 1}}, 0, 6 * 4 * 65, 1},
    /* the chain of LlamaRMSNorm: 36 bytes an element in 16 bits, 28 when casts vanish */
    {{KERNEL_RMSNORM_PYTHON_FORWARD, DTYPE_BF16, {10, 10}}, 0, 3600, 8},
    {{KERNEL_RMSNORM_PYTHON_FORWARD, DTYPE_FP32, {10, 10}}, 0, 2800, 6},
    {{KERNEL_GELU_PYTHON_FORWARD, DTYPE_BF16, {10, 10}}, 0, 3600, 8},
    {{KERNEL_ADD, DTYPE_FP32, {10, 10}}, 0, 1200, 1},
    {{KERNEL_DROPOUT_FORWARD, DTYPE_BF16, {10, 10}}, 0, 500, 1},
    {{KERNEL_COLUMN_SUM, DTYPE_BF16, {9, 10}}, 0, 200, 1},
    /* the whole table zeroed, then rows read and written */
    {{KERNEL_EMBEDDING_BACKWARD, DTYPE_BF16, {4, 10, 100}}, 0, 2000 + 4 * (8 + 40), 4},
    {{KERNEL_CROSS_ENTROPY_FORWARD, DTYPE_BF16, {10, 10}}, 0, 1400, 3},
    {{KERNEL_CROSS_ENTROPY_BACKWARD, DTYPE_FP32, {10, 10}}, 0, 1600, 3},
    {{KERNEL_CAST, DTYPE_FP32, {100, 4, 2}}, 0, 600, 1},
    {{KERNEL_COPY, DTYPE_FP32, {100}}, 0, 200, 1},
    {{KERNEL_ACCUMULATE, DTYPE_FP32, {100}}, 0, 300, 1},
    {{KERNEL_MEMSET, DTYPE_FP32, {100}}, 0, 100, 1},
    /* Adam, fused: reads p g m v, writes p m v; launches are its own dimension */
    {{KERNEL_OPTIMIZER_STEP, DTYPE_FP32, {100, 28, 7}}, 0, 2800, 7},
};

START_TEST(test_counts)
{
    ck_assert_double_eq(kernel_flops(&cases[_i].kernel), cases[_i].flops);
    ck_assert_double_eq(kernel_bytes(&cases[_i].kernel), cases[_i].bytes);
    ck_assert_int_eq(kernel_n_launches(&cases[_i].kernel), cases[_i].launches);
}
END_TEST

/* 2^31 wide products don't overflow: they are doubles. */
START_TEST(test_large_sizes)
{
    const gint64 n = G_GINT64_CONSTANT(1) << 31;
    const Kernel gemm = {KERNEL_GEMM, DTYPE_BF16, {n, n, n, n}};
    ck_assert_double_gt(kernel_flops(&gemm), 1e37);
    ck_assert_double_gt(kernel_bytes(&gemm), 1e28);
}
END_TEST

/* A convolution is a product over its filter's taps with as many operations, three ways. */
START_TEST(test_convolution_as_product)
{
    Kernel kernel = {KERNEL_CONVOLUTION_FORWARD, DTYPE_BF16, {2, 64, 128, 3, 56, 28}}, gemm;
    const gint64 pixels = 2 * 28 * 28;
    ck_assert(kernel_as_gemm(&kernel, &gemm));
    const Kernel forward = {KERNEL_GEMM, DTYPE_BF16, {1, pixels, 128, 64 * 9}};
    ck_assert(kernel_equal(&gemm, &forward));
    ck_assert_double_eq(kernel_flops(&gemm), kernel_flops(&kernel));
    kernel.op = KERNEL_CONVOLUTION_BACKWARD_INPUT;
    ck_assert(kernel_as_gemm(&kernel, &gemm));
    ck_assert_int_eq(gemm.dimension[1], 2 * 56 * 56);
    ck_assert_double_eq(kernel_flops(&gemm), kernel_flops(&kernel));
    kernel.op = KERNEL_CONVOLUTION_BACKWARD_WEIGHT;
    ck_assert(kernel_as_gemm(&kernel, &gemm));
    const Kernel weight = {KERNEL_GEMM, DTYPE_BF16, {1, 128, 64 * 9, pixels}};
    ck_assert(kernel_equal(&gemm, &weight));
    kernel = forward;
    ck_assert(kernel_as_gemm(&kernel, &gemm) && kernel_equal(&kernel, &gemm));
    kernel.op = KERNEL_ADD;
    ck_assert(!kernel_as_gemm(&kernel, &gemm));
}
END_TEST

/* Every dimension, the operation and the type distinguish kernels. */
START_TEST(test_hash_and_equality)
{
    const Kernel a = {KERNEL_GEMM, DTYPE_BF16, {1, 2, 3, 4}};
    Kernel b = a;
    ck_assert(kernel_equal(&a, &b));
    ck_assert_int_eq(kernel_hash(&a), kernel_hash(&b));
    b.dimension[3] = 5;
    ck_assert(!kernel_equal(&a, &b));
    b = a;
    b.dtype = DTYPE_FP16;
    ck_assert(!kernel_equal(&a, &b));
    ck_assert_int_ne(kernel_hash(&a), kernel_hash(&b));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernel");
    TCase *tcase = tcase_create("kernel");
    tcase_add_test(tcase, test_names_round_trip);
    tcase_add_loop_test(tcase, test_counts, 0, G_N_ELEMENTS(cases));
    tcase_add_test(tcase, test_large_sizes);
    tcase_add_test(tcase, test_convolution_as_product);
    tcase_add_test(tcase, test_hash_and_equality);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
