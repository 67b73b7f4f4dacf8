/* SPDX-License-Identifier: MIT */
/* Exit statuses of every kind of error, and quoting that keeps a message on one line. */
#include "error.h"

#include "suite_run.h"

#include <check.h>
#include <string.h>

/* No error is success; each code of ours has the status that the manual promises. */
START_TEST(test_exit_status_of_each_code)
{
    static const struct {
        ErrorCode code;
        int status;
    } rows[] = {
        {ERROR_USAGE, 2}, {ERROR_INPUT, 2}, {ERROR_UNMODELLED, 2}, {ERROR_SIMULATION, 1}};

    ck_assert_int_eq(error_exit_status(NULL), 0);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = g_error_new(ZEROSIM_ERROR, rows[i].code, "x");
        ck_assert_int_eq(error_exit_status(error), rows[i].status);
    }
}
END_TEST

/* A mistake in an option is the user's (2); an error of another library isn't (1). */
START_TEST(test_exit_status_of_other_domains)
{
    g_autoptr(GError) option = g_error_new(G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION, "x");
    g_autoptr(GError) file = g_error_new(G_FILE_ERROR, G_FILE_ERROR_NOENT, "x");

    ck_assert_int_eq(error_exit_status(option), 2);
    ck_assert_int_eq(error_exit_status(file), 1);
}
END_TEST

/* Line breaks, control characters, broken UTF-8 and long text become one short line. */
START_TEST(test_quote_stays_one_short_line)
{
    g_autofree char *plain = error_quote("zero9");
    g_autofree char *broken = error_quote("a\nb\tc\x1b[31m");
    g_autofree char *binary = error_quote("\xff\xfe");
    char text[5000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    g_autofree char *lengthy = error_quote(text);

    ck_assert_str_eq(plain, "\"zero9\"");
    ck_assert_str_eq(broken, "\"a\\nb\\u0009c\\u001b[31m\"");
    ck_assert(g_utf8_validate(binary, -1, NULL));
    ck_assert_uint_lt(strlen(lengthy), 80);
    ck_assert(g_str_has_suffix(lengthy, "...\""));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("error");
    TCase *tcase = tcase_create("error");

    tcase_add_test(tcase, test_exit_status_of_each_code);
    tcase_add_test(tcase, test_exit_status_of_other_domains);
    tcase_add_test(tcase, test_quote_stays_one_short_line);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
