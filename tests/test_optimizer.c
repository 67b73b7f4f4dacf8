/* SPDX-License-Identifier: MIT */
/* The optimizer table: bytes of state as the published tables count them, temporaries of
 * torch.optim's foreach, and traffic of the fused and multi-tensor kernels. */
#include "optimizer.h"

#include "suite_run.h"

#include <check.h>

/* Bytes of fp32 state of a 1000 x 2000 matrix, and of a 5000-element vector. */
static const struct {
    OptimizerKind kind;
    const char *name;
    gint64 matrix, vector;
} states[] = {
    {OPTIMIZER_SGD, "sgd", 0, 0},
    {OPTIMIZER_MOMENTUM, "momentum", 8000000, 20000},
    {OPTIMIZER_ADAGRAD, "adagrad", 8000000, 20000},
    {OPTIMIZER_RMSPROP, "rmsprop", 8000000, 20000},
    {OPTIMIZER_ADAM, "adam", 16000000, 40000},
    {OPTIMIZER_ADAMW, "adamw", 16000000, 40000},
    {OPTIMIZER_LAMB, "lamb", 16000000, 40000},
    {OPTIMIZER_LION, "lion", 8000000, 20000},
    /* rows + columns of a matrix, every element of a vector */
    {OPTIMIZER_ADAFACTOR, "adafactor", 12000, 20000},
    /* two bytes an element and two fp32 scales a block of 256: 7813 and 20 blocks */
    {OPTIMIZER_ADAM8BIT, "adam8bit", 4000000 + 8 * 7813, 10000 + 8 * 20},
};

/* Every optimizer's states in fp32. */
START_TEST(test_state_bytes)
{
    const Optimizer optimizer = {.kind = states[_i].kind};

    ck_assert_str_eq(optimizer_name(optimizer.kind), states[_i].name);
    ck_assert_int_eq(optimizer_state_bytes(&optimizer, 1000, 2000, DTYPE_FP32),
                     states[_i].matrix);
    ck_assert_int_eq(optimizer_state_bytes(&optimizer, 5000, 1, DTYPE_FP32), states[_i].vector);
}
END_TEST

/* torch.optim keeps states in the parameter's type: bf16 Adam is 4 B a parameter. 8-bit Adam
 * keeps tensors under 4096 elements in fp32. */
START_TEST(test_state_bytes_by_precision)
{
    const Optimizer adamw = {.kind = OPTIMIZER_ADAMW}, small = {.kind = OPTIMIZER_ADAM8BIT};

    ck_assert_int_eq(optimizer_state_bytes(&adamw, 10, 10, DTYPE_BF16), 400);
    ck_assert_int_eq(optimizer_state_bytes(&small, 4095, 1, DTYPE_BF16), 8 * 4095);
    ck_assert_int_eq(optimizer_state_bytes(&small, 4096, 1, DTYPE_BF16), 2 * 4096 + 8 * 16);
}
END_TEST

/* 70 billion parameters don't overflow. */
START_TEST(test_state_bytes_of_a_large_shard)
{
    const Optimizer adamw = {.kind = OPTIMIZER_ADAMW};

    ck_assert_int_eq(
        optimizer_state_bytes(&adamw, G_GINT64_CONSTANT(70000000000), 1, DTYPE_FP32),
        G_GINT64_CONSTANT(560000000000));
}
END_TEST

/* foreach keeps one temporary of Adam, two with L2 decay; AdamW's decay needs none; fused none;
 * the loop that of its largest tensor. */
START_TEST(test_temporary_bytes)
{
    Optimizer optimizer = {OPTIMIZER_ADAM, IMPLEMENTATION_FOREACH, 0};

    ck_assert_int_eq(optimizer_temporary_bytes(&optimizer, 1000, 300, DTYPE_FP32), 4000);
    optimizer.weight_decay = 0.1;
    ck_assert_int_eq(optimizer_temporary_bytes(&optimizer, 1000, 300, DTYPE_FP32), 8000);
    optimizer.kind = OPTIMIZER_ADAMW;
    ck_assert_int_eq(optimizer_temporary_bytes(&optimizer, 1000, 300, DTYPE_BF16), 2000);
    optimizer.implementation = IMPLEMENTATION_LOOP;
    ck_assert_int_eq(optimizer_temporary_bytes(&optimizer, 1000, 300, DTYPE_FP32), 1200);
    optimizer.implementation = IMPLEMENTATION_FUSED;
    ck_assert_int_eq(optimizer_temporary_bytes(&optimizer, 1000, 300, DTYPE_FP32), 0);
}
END_TEST

/* Fused Adam reads p, g, m, v and writes p, m, v once. */
START_TEST(test_fused_adam_traffic)
{
    const Optimizer fused = {OPTIMIZER_ADAMW, IMPLEMENTATION_FUSED, 0.01};
    const Kernel fp32 = optimizer_kernel(&fused, 1000, 1, DTYPE_FP32, DTYPE_FP32);
    const Kernel bf16 = optimizer_kernel(&fused, 1000, 1, DTYPE_BF16, DTYPE_BF16);
    const Kernel mixed = optimizer_kernel(&fused, 1000, 1, DTYPE_BF16, DTYPE_FP32);

    ck_assert_int_eq(fp32.op, KERNEL_OPTIMIZER_STEP);
    ck_assert_int_eq(fp32.dimension[0], 1000);
    ck_assert_int_eq(fp32.dimension[1], 28);
    ck_assert_int_eq(bf16.dimension[1], 14);
    ck_assert_int_eq(mixed.dimension[1], 3 * 2 + 4 * 4);
    ck_assert_int_eq(fp32.dimension[2], 1);
}
END_TEST

/* foreach AdamW makes eight passes, 20 accesses: two to three times the fused kernel. */
START_TEST(test_foreach_adam_traffic)
{
    Optimizer optimizer = {OPTIMIZER_ADAMW, IMPLEMENTATION_FOREACH, 0.01};
    const Kernel adamw = optimizer_kernel(&optimizer, 1000, 1, DTYPE_FP32, DTYPE_FP32);
    optimizer.kind = OPTIMIZER_ADAM;
    optimizer.weight_decay = 0;
    const Kernel adam = optimizer_kernel(&optimizer, 1000, 1, DTYPE_FP32, DTYPE_FP32);
    optimizer.weight_decay = 0.1;
    const Kernel l2 = optimizer_kernel(&optimizer, 1000, 1, DTYPE_FP32, DTYPE_FP32);

    ck_assert_int_eq(adamw.dimension[1], 80);
    ck_assert_int_eq(adam.dimension[1], 72);
    ck_assert_int_eq(l2.dimension[1], 84);
    ck_assert_int_eq(adamw.dimension[2], 8);
    ck_assert_int_eq(l2.dimension[2], 8);
}
END_TEST

/* A launch takes 320 blocks of 65,536 elements and a few dozen tensors; the loop launches each
 * pass for each tensor, 8-bit Adam one kernel a tensor. */
START_TEST(test_launches)
{
    const gint64 chunk = 320 * 65536;
    Optimizer optimizer = {OPTIMIZER_ADAMW, IMPLEMENTATION_FUSED, 0};

    ck_assert_int_eq(
        optimizer_kernel(&optimizer, chunk, 36, DTYPE_FP32, DTYPE_FP32).dimension[2], 1);
    ck_assert_int_eq(
        optimizer_kernel(&optimizer, chunk + 1, 36, DTYPE_FP32, DTYPE_FP32).dimension[2], 2);
    ck_assert_int_eq(optimizer_kernel(&optimizer, 100, 37, DTYPE_FP32, DTYPE_FP32).dimension[2],
                     2);
    optimizer.implementation = IMPLEMENTATION_LOOP;
    ck_assert_int_eq(optimizer_kernel(&optimizer, 100, 37, DTYPE_FP32, DTYPE_FP32).dimension[2],
                     8 * 37);
    optimizer = (Optimizer){OPTIMIZER_ADAM8BIT, IMPLEMENTATION_FUSED, 0};
    ck_assert_int_eq(optimizer_kernel(&optimizer, 100, 37, DTYPE_FP32, DTYPE_FP32).dimension[2],
                     37);
    ck_assert_int_eq(optimizer_kernel(&optimizer, 100, 37, DTYPE_BF16, DTYPE_FP32).dimension[1],
                     3 * 2 + 4);
}
END_TEST

/* Each optimizer has some implementation, every one that it has moves at least the gradient and
 * the parameter, and a fused kernel never moves more than foreach. */
START_TEST(test_every_implementation)
{
    int n = 0;
    for (int i = IMPLEMENTATION_FUSED; i <= IMPLEMENTATION_LOOP; i++) {
        const Optimizer optimizer = {(OptimizerKind)_i, (Implementation)i, 0};
        const Optimizer foreach = {(OptimizerKind)_i, IMPLEMENTATION_FOREACH, 0};
        if (!optimizer_has(optimizer.kind, optimizer.implementation))
            continue;
        n++;
        const Kernel kernel = optimizer_kernel(&optimizer, 1000, 3, DTYPE_FP32, DTYPE_FP32);
        ck_assert_int_ge(kernel.dimension[1], 10);
        ck_assert_int_ge(kernel.dimension[2], 1);
        if (optimizer_has(optimizer.kind, IMPLEMENTATION_FOREACH))
            ck_assert_int_le(
                kernel.dimension[1],
                optimizer_kernel(&foreach, 1000, 3, DTYPE_FP32, DTYPE_FP32).dimension[1]);
    }
    ck_assert_int_ge(n, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("optimizer");
    TCase *tcase = tcase_create("optimizer");

    tcase_add_loop_test(tcase, test_state_bytes, 0, G_N_ELEMENTS(states));
    tcase_add_test(tcase, test_state_bytes_by_precision);
    tcase_add_test(tcase, test_state_bytes_of_a_large_shard);
    tcase_add_test(tcase, test_temporary_bytes);
    tcase_add_test(tcase, test_fused_adam_traffic);
    tcase_add_test(tcase, test_foreach_adam_traffic);
    tcase_add_test(tcase, test_launches);
    tcase_add_loop_test(tcase, test_every_implementation, 0, N_OPTIMIZERS);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
