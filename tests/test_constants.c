/* SPDX-License-Identifier: MIT */
/* The table of constants: each is whole, and within what it may plausibly be. */
#include "constants.h"

#include "suite_run.h"

#include <check.h>

START_TEST(each_constant_is_plausible_and_has_a_source)
{
    const Constant *c = constant_of((ConstantId)_i);
    ck_assert(c->name && c->name[0] && c->unit && c->meaning && c->meaning[0]);
    ck_assert(c->source && c->source[0]);
    ck_assert_double_lt(c->lowest, c->highest);
    ck_assert_double_ge(c->value, c->lowest);
    ck_assert_double_le(c->value, c->highest);
    ck_assert_double_eq(constant((ConstantId)_i), c->value);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("constants");
    TCase *tcase = tcase_create("table");
    tcase_add_loop_test(tcase, each_constant_is_plausible_and_has_a_source, 0, N_CONSTANTS);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
