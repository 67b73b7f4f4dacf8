/* SPDX-License-Identifier: MIT */
/* YAML as PyYAML's safe_load reads it: what each plain scalar means, what a file must be, and
 * that every mistake is one line naming file and line. */
#include "yaml_in.h"

#include "error.h"
#include "scratch.h"
#include "suite_run.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static char *file;

static void set_up(void)
{
    scratch_set_up();
    file = scratch_path("in.yaml");
}

static void tear_down(void)
{
    g_clear_pointer(&file, g_free);
    scratch_tear_down();
}

static json_t *load(const char *text, GError **error)
{
    ck_assert(g_file_set_contents(file, text, -1, NULL));
    return yaml_in_load(file, error);
}

static const struct {
    const char *scalar, *json;
} scalars[] = {
    {"yes", "true"},
    {"True", "true"},
    {"on", "true"},
    {"no", "false"},
    {"OFF", "false"},
    {"y", "\"y\""}, /* not of PyYAML's resolver */
    {"tRue", "\"tRue\""},
    {"'no'", "\"no\""},
    {"\"no\"", "\"no\""},
    {"", "null"},
    {"~", "null"},
    {"null", "null"},
    {"''", "\"\""},
    {"0", "0"},
    {"-12", "-12"},
    {"+7", "7"},
    {"1_000_000", "1000000"},
    {"010", "8"},
    {"0x1F", "31"},
    {"0b101", "5"},
    {"08", "\"08\""},
    {"'8'", "\"8\""},
    {"1.5", "1.5"},
    {"1.", "1.0"},
    {".5", "0.5"},
    {"1.0e+8", "1e8"},
    {"1e8", "\"1e8\""}, /* YAML 1.1 wants a point and a sign */
    {"1.0e8", "\"1.0e8\""},
    {"2001-01-01", "\"2001-01-01\""},
    {"10.0.0.1", "\"10.0.0.1\""},
    {"my_name", "\"my_name\""},
    {"LlamaDecoderLayer", "\"LlamaDecoderLayer\""},
    {"a b # comment", "\"a b\""},
    {"\"a\\tb\"", "\"a\\tb\""},
    {"[1, no, 'x']", "[1, false, \"x\"]"},
    {"{a: 1, b: {}}", "{\"a\": 1, \"b\": {}}"},
    {"[]", "[]"},
};

START_TEST(test_scalar)
{
    g_autofree char *text = g_strdup_printf("k: %s\n", scalars[_i].scalar);
    g_autofree char *json = g_strdup_printf("{\"k\": %s}", scalars[_i].json);
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) document = load(text, &error);
    g_autoptr(json_t) expected = json_loads(json, 0, NULL);

    ck_assert_msg(document != NULL, "%s: %s", text, error ? error->message : "");
    ck_assert_msg(json_equal(document, expected), "%s is not %s", text, json);
}
END_TEST

START_TEST(test_nested)
{
    g_autoptr(json_t) document =
        load("%YAML 1.1\n---\nfsdp_config:\n  version: 2\n  wrap:\n  - a\n  - b: 1\nyes: 3\n"
             "text: |\n  two\n  lines\n...\n",
             NULL);
    g_autoptr(json_t) expected =
        json_loads("{\"fsdp_config\": {\"version\": 2, \"wrap\": [\"a\", {\"b\": 1}]},"
                   " \"yes\": 3, \"text\": \"two\\nlines\\n\"}",
                   0, NULL);

    ck_assert_ptr_nonnull(document);
    ck_assert(json_equal(document, expected));
}
END_TEST

static const struct {
    const char *text, *what;
} malformed[] = {
    {"", ":1: must be a mapping"},
    {"# nothing\n", ": must be a mapping"},
    {"- a\n- b\n", ":1: the top level must be a mapping"},
    {"word\n", ":1: the top level must be a mapping"},
    {"--- \n", ": the top level must be a mapping"},
    {"a: 1\n---\nb: 2\n", ":2: a second document"},
    {"a: 1\nb: 2\na: 3\n", ":3: \"a\" is set twice"},
    {"a:\n  b: 1\n  b: 1\n", ":3: \"b\" is set twice"},
    {"a: &x 1\nb: 2\n", ":1: anchors and tags"},
    {"a: &x {b: 1}\n", ":1: anchors and tags"},
    {"a: *x\n", ":1: aliases"},
    {"a: {b: 1}\nc:\n  <<: {d: 1}\n", ":3: merge keys"},
    {"a: !!python/object:os.system 1\n", ":1: anchors and tags"},
    {"a: !x [1]\n", ":1: anchors and tags"},
    {"? [1, 2]\n: 3\n", ":1: a mapping's key must be a word"},
    {"a: 1\n b: 2\n", ":2: not valid YAML"},
    {"a: [1, 2\nb: 3\n", ": not valid YAML"},
    {"a: 'open\n", ": not valid YAML"},
    {"a:\t1\n\tb: 2\n", ":2: not valid YAML"},
    {"a: \"\\x00\"\n", ":1: a zero byte"},
    {"a: \"\\ud800\"\n", ":1: not valid YAML"},
    {"a: .inf\n", ":1: \".inf\" must be a finite number"},
    {"a: .nan\n", ":1: \".nan\" must be a finite number"},
    {"a: 1.0e+999\n", ":1: \"1.0e+999\" must be a finite number"},
    {"a: 99999999999999999999\n", ":1: \"99999999999999999999\" must be an integer that fits"},
    {"a: 1:30\n", ":1: \"1:30\" must be in quotes"},
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

/* Depth is bounded, whatever the style. */
START_TEST(test_depth)
{
    g_autoptr(GError) flow = NULL, block = NULL;
    g_autofree char *brackets = g_strnfill(100000, '[');
    g_autofree char *flow_text = g_strconcat("a: ", brackets, NULL);
    g_autoptr(GString) text = g_string_new(NULL);

    for (int depth = 0; depth < 40; depth++)
        g_string_append_printf(text, "%*sa:\n", depth, "");
    ck_assert_ptr_null(load(flow_text, &flow));
    ck_assert_ptr_nonnull(strstr(flow->message, "nested deeper than"));
    ck_assert_ptr_null(load(text->str, &block));
    ck_assert_ptr_nonnull(strstr(block->message, "nested deeper than"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("yaml_in");
    TCase *tcase = tcase_create("yaml_in");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_scalar, 0, G_N_ELEMENTS(scalars));
    tcase_add_test(tcase, test_nested);
    tcase_add_loop_test(tcase, test_malformed, 0, G_N_ELEMENTS(malformed));
    tcase_add_test(tcase, test_depth);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
