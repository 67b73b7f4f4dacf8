/* SPDX-License-Identifier: MIT */
/* TOML as JSON: what each value becomes, what a file must be, and that every mistake is one
 * line naming file and line. */
#include "toml_in.h"

#include "error.h"
#include "scratch.h"
#include "suite_run.h"

#include <check.h>
#include <string.h>

static char *file;

static void set_up(void)
{
    scratch_set_up();
    file = scratch_path("in.toml");
}

static void tear_down(void)
{
    g_clear_pointer(&file, g_free);
    scratch_tear_down();
}

static json_t *load(const char *text, GError **error)
{
    ck_assert(g_file_set_contents(file, text, -1, NULL));
    return toml_in_load(file, error);
}

static const struct {
    const char *value, *json;
} values[] = {
    {"true", "true"},
    {"-12", "-12"},
    {"1_000_000", "1000000"},
    {"0x1F", "31"},
    {"1e8", "1e8"},
    {"3e-4", "3e-4"},
    {"'op'", "\"op\""},
    {"\"a\\tb\"", "\"a\\tb\""},
    {"[1, 'x']", "[1, \"x\"]"},
    {"{a = 1, b = {}}", "{\"a\": 1, \"b\": {}}"},
    {"1979-05-27", "\"1979-05-27\""},
    {"07:32:00", "\"07:32:00\""},
    {"1979-05-27T07:32:00Z", "\"1979-05-27T07:32:00Z\""},
};

START_TEST(test_value)
{
    g_autofree char *text = g_strdup_printf("k = %s\n", values[_i].value);
    g_autofree char *json = g_strdup_printf("{\"k\": %s}", values[_i].json);
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) document = load(text, &error);
    g_autoptr(json_t) expected = json_loads(json, 0, NULL);

    ck_assert_msg(document != NULL, "%s: %s", text, error ? error->message : "");
    ck_assert_msg(json_equal(document, expected), "%s is not %s", text, json);
}
END_TEST

START_TEST(test_tables)
{
    g_autoptr(json_t) document =
        load("top = 1\n[a]\nb.c = 2\n[[list]]\nx = 1\n[[list]]\n", NULL);
    g_autoptr(json_t) empty = load("# nothing\n", NULL);
    g_autoptr(json_t) expected = json_loads(
        "{\"top\": 1, \"a\": {\"b\": {\"c\": 2}}, \"list\": [{\"x\": 1}, {}]}", 0, NULL);

    ck_assert_ptr_nonnull(document);
    ck_assert(json_equal(document, expected));
    ck_assert_uint_eq(json_object_size(empty), 0);
}
END_TEST

static const struct {
    const char *text, *what;
} malformed[] = {
    {"a = 1\na = 2\n", ":2: not valid TOML"},
    {"[a]\n[a]\n", ":2: not valid TOML"},
    {"a = 1\nb\n", ": not valid TOML"},
    {"a = yes\n", ":1: not valid TOML"},
    {"a = 'open\n", ": not valid TOML"},
    {"a: 1\n", ":1: not valid TOML"},
    {"a = 010\n", ":1: not valid TOML"},
    {"a = 99999999999999999999\n", ":1: not valid TOML"},
    {"a = 2001-99-99\n", ":1: not valid TOML"},
    {"a = \"\\ud800\"\n", ":1: not valid TOML"},
    {"\na = inf\n", ":2: must be a finite number"},
    {"a = [1, nan]\n", ":1: must be a finite number"},
    {"\"a\\u0000b\" = 1\n", ":1: a zero byte in a key"},
    {"a = \xff\n", ":1: not a text file"},
};

START_TEST(test_malformed)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *what = g_strconcat(file, malformed[_i].what, NULL);

    /* Where the line isn't pinned, the file is. */
    const char *expected = malformed[_i].what[1] == ' ' ? malformed[_i].what : what;
    ck_assert_ptr_null(load(malformed[_i].text, &error));
    ck_assert_ptr_nonnull(error);
    ck_assert_msg(g_str_has_prefix(error->message, file), "%s", error->message);
    ck_assert_msg(strstr(error->message, expected) != NULL, "'%s' not in: %s", expected,
                  error->message);
    ck_assert_ptr_null(strchr(error->message, '\n'));
    ck_assert_int_eq(error_exit_status(error), 2);
}
END_TEST

/* Depth is bounded. */
START_TEST(test_depth)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *brackets = g_strnfill(100000, '[');
    g_autofree char *text = g_strconcat("a = ", brackets, NULL);

    ck_assert_ptr_null(load(text, &error));
    ck_assert_ptr_nonnull(error);
    ck_assert_ptr_null(strchr(error->message, '\n'));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("toml_in");
    TCase *tcase = tcase_create("toml_in");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_value, 0, G_N_ELEMENTS(values));
    tcase_add_test(tcase, test_tables);
    tcase_add_loop_test(tcase, test_malformed, 0, G_N_ELEMENTS(malformed));
    tcase_add_test(tcase, test_depth);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
