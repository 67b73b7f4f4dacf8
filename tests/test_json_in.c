/* SPDX-License-Identifier: MIT */
/* Strict JSON reading: what a file must be, what each typed reader takes and refuses, and that
 * every message is one line naming the file and the member. */
#include "json_in.h"

#include "error.h"
#include "scratch.h"
#include "suite_run.h"

#include <check.h>
#include <float.h>
#include <glib/gstdio.h>
#include <string.h>

static char *file;

static void set_up(void)
{
    scratch_set_up();
    file = scratch_path("in.json");
}

static void tear_down(void)
{
    g_clear_pointer(&file, g_free);
    scratch_tear_down();
}

static json_t *load(const char *text, gssize length, GError **error)
{
    ck_assert(g_file_set_contents(file, text, length, NULL));
    return json_in_load(file, error);
}

static void check_message(const GError *error, const char *expected)
{
    ck_assert_ptr_nonnull(error);
    ck_assert_ptr_null(strchr(error->message, '\n'));
    ck_assert_msg(strstr(error->message, file) != NULL, "no file in: %s", error->message);
    ck_assert_msg(strstr(error->message, expected) != NULL, "'%s' not in: %s", expected,
                  error->message);
    ck_assert_int_eq(error_exit_status(error), 2);
}

static const struct {
    const char *text;
    const char *message;
} malformed[] = {
    {"", ":1:0: not valid JSON"},
    {"{\"a\": 1", ":1:7: not valid JSON"},
    {"{\n\"a\": 010}", ":2:"},
    {"{\"a\": 'x'}", "not valid JSON"},
    {"{\"a\": NaN}", "not valid JSON"},
    {"{\"a\": Infinity}", "not valid JSON"},
    {"{\"a\": 0x10}", "not valid JSON"},
    {"{\"a\": 1} // c", "not valid JSON"},
    {"{\"a\": 1} {}", "end of file expected"},
    {"{\"a\": 1, \"a\": 2}", "duplicate"},
    {"{\"a\": 99999999999999999999}", "too big integer"},
    {"{\"a\": 1e999}", "real number overflow"},
    {"[1, 2]", "top level must be an object"},
    {"{\"a\": \"\xff\"}", "not UTF-8"},
    {"{\"a\": \"\n\"}", "not valid JSON"},
};

/* Each malformed document is refused with file, line and reason. */
START_TEST(test_malformed_document)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) root = load(malformed[_i].text, -1, &error);

    ck_assert_ptr_null(root);
    check_message(error, malformed[_i].message);
}
END_TEST

/* A zero byte, a missing file, a directory, deep nesting and a huge file give one clear line.
 */
START_TEST(test_not_a_json_file)
{
    g_autoptr(GError) zero = NULL, missing = NULL, folder = NULL, deep = NULL;
    g_autofree char *nested = g_malloc(100000);
    memset(nested, '[', 100000);

    ck_assert_ptr_null(load("{}\0{}", 5, &zero));
    check_message(zero, "not UTF-8");
    ck_assert_ptr_null(load(nested, 100000, &deep));
    check_message(deep, "depth");
    g_remove(file);
    ck_assert_ptr_null(json_in_load(file, &missing));
    check_message(missing, "No such file");
    ck_assert_ptr_null(json_in_load(scratch_folder(), &folder));
    ck_assert_ptr_nonnull(strstr(folder->message, "directory"));
}
END_TEST

/* The size limit counts bytes: the limit itself passes, one more is refused. */
START_TEST(test_size_limit)
{
    g_autoptr(GError) error = NULL;
    gsize length = 0;

    ck_assert(g_file_set_contents(file, "123456789", -1, NULL));
    g_autofree char *fits = json_in_read_text(file, 9, &length, &error);
    ck_assert_ptr_nonnull(fits);
    ck_assert_uint_eq(length, 9);
    g_autofree char *big = json_in_read_text(file, 8, NULL, &error);
    ck_assert_ptr_null(big);
    check_message(error, "too big");
}
END_TEST

static json_t *sample(JsonIn *in)
{
    json_t *root = load("{\"i\": 7, \"r\": 5e8, \"half\": 0.5, \"b\": true, \"s\": \"x\","
                        " \"n\": null, \"o\": {\"k\": -1}, \"big\": 1e300, \"a\": []}",
                        -1, NULL);
    *in = (JsonIn){.object = root, .file = file, .path = ""};
    return root;
}

/* Each reader gives the member's value; a whole real counts as an integer. */
START_TEST(test_typed_values)
{
    JsonIn in, child;
    g_autoptr(json_t) root = sample(&in);
    g_autoptr(GStringChunk) paths = g_string_chunk_new(64);
    gint64 i = 0, r = 0, k = 0;
    double half = 0, seven = 0;
    gboolean b = FALSE;
    const char *s = NULL;

    ck_assert(json_in_int(&in, "i", TRUE, 0, 10, &i, NULL) && i == 7);
    ck_assert(json_in_int(&in, "r", TRUE, 0, G_MAXINT64, &r, NULL) && r == 500000000);
    ck_assert(json_in_double(&in, "half", TRUE, 0, 1, &half, NULL) && half == 0.5);
    ck_assert(json_in_double(&in, "i", TRUE, 0, 10, &seven, NULL) && seven == 7.0);
    ck_assert(json_in_bool(&in, "b", TRUE, &b, NULL) && b);
    ck_assert(json_in_string(&in, "s", TRUE, &s, NULL));
    ck_assert_str_eq(s, "x");
    ck_assert(json_in_object(&in, "o", TRUE, paths, &child, NULL));
    ck_assert_str_eq(child.path, "o");
    ck_assert(json_in_int(&child, "k", TRUE, -1, 0, &k, NULL) && k == -1);
    ck_assert(json_in_has(&in, "i") && !json_in_has(&in, "n") && !json_in_has(&in, "zzz"));
}
END_TEST

/* A missing or null member keeps the default, or is an error where it is required; a missing
 * object reads as an empty one. */
START_TEST(test_missing_members)
{
    JsonIn in, child;
    g_autoptr(json_t) root = sample(&in);
    g_autoptr(GStringChunk) paths = g_string_chunk_new(64);
    g_autoptr(GError) required = NULL, null = NULL;
    gint64 value = 42;

    ck_assert(json_in_int(&in, "zzz", FALSE, 0, 1, &value, NULL) && value == 42);
    ck_assert(json_in_int(&in, "n", FALSE, 0, 1, &value, NULL) && value == 42);
    ck_assert(!json_in_int(&in, "zzz", TRUE, 0, 1, &value, &required));
    check_message(required, "zzz: missing");
    ck_assert(!json_in_int(&in, "n", TRUE, 0, 1, &value, &null));
    check_message(null, "n: missing");
    ck_assert(json_in_object(&in, "zzz", FALSE, paths, &child, NULL));
    ck_assert(json_in_int(&child, "k", FALSE, 0, 1, &value, NULL) && value == 42);
    ck_assert(!json_in_has(&child, "k"));
}
END_TEST

/* A wrong type or a value out of range names the member's path and leaves the value alone. */
START_TEST(test_wrong_types_and_ranges)
{
    JsonIn in, child;
    g_autoptr(json_t) root = sample(&in);
    g_autoptr(GStringChunk) paths = g_string_chunk_new(64);
    GError *e[9] = {NULL};
    gint64 i = 42;
    double d = 42;
    gboolean b = 42;
    const char *s = NULL;

    ck_assert(!json_in_int(&in, "half", TRUE, 0, 9, &i, &e[0]));
    check_message(e[0], "half: must be an integer");
    ck_assert(!json_in_int(&in, "s", TRUE, 0, 9, &i, &e[1]));
    check_message(e[1], "s: must be an integer, not a string");
    ck_assert(!json_in_int(&in, "big", TRUE, 0, G_MAXINT64, &i, &e[2]));
    check_message(e[2], "big: must be an integer");
    ck_assert(!json_in_int(&in, "i", TRUE, 8, 9, &i, &e[3]));
    check_message(e[3], "i: 7 is out of range: must be from 8 to 9");
    ck_assert(!json_in_double(&in, "big", TRUE, 0, 1, &d, &e[4]));
    check_message(e[4], "big: 1e+300 is out of range");
    ck_assert(!json_in_bool(&in, "s", TRUE, &b, &e[5]));
    check_message(e[5], "s: must be true or false, not a string");
    ck_assert(!json_in_string(&in, "i", TRUE, &s, &e[6]));
    check_message(e[6], "i: must be a string, not an integer");
    ck_assert(!json_in_object(&in, "a", TRUE, paths, &child, &e[7]));
    check_message(e[7], "a: must be an object");
    ck_assert(json_in_object(&in, "o", TRUE, paths, &child, NULL));
    ck_assert(!json_in_int(&child, "k", TRUE, 0, 9, &i, &e[8]));
    check_message(e[8], "o.k: -1 is out of range");
    ck_assert(i == 42 && d == 42 && b == 42 && s == NULL);
    for (gsize n = 0; n < G_N_ELEMENTS(e); n++)
        g_clear_error(&e[n]);
}
END_TEST

/* The three lists: known members pass, unmodelled ones are errors, others are warnings. */
START_TEST(test_check_members)
{
    static const char *const modelled[] = {"i", "r", "half", "b", NULL};
    static const char *const irrelevant[] = {"s", "n", "o", "big", NULL};
    static const char *const unmodelled[] = {"a", NULL};
    JsonIn in;
    g_autoptr(json_t) root = sample(&in);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;

    ck_assert(json_in_check_members(&in, modelled, irrelevant, NULL, warnings, NULL));
    ck_assert_uint_eq(warnings->len, 1);
    ck_assert_ptr_nonnull(strstr(warnings->pdata[0], "a: not known"));
    ck_assert(!json_in_check_members(&in, modelled, irrelevant, unmodelled, NULL, &error));
    check_message(error, "a: changes the prediction and is not modelled");
    ck_assert(g_error_matches(error, ZEROSIM_ERROR, ERROR_UNMODELLED));
}
END_TEST

/* A member's name can hold anything; the message is one line all the same. */
START_TEST(test_odd_member_name)
{
    g_autoptr(json_t) root = load("{\"a\\nb\": 1}", -1, NULL);
    JsonIn in = {.object = root, .file = file, .path = ""};
    g_autoptr(GError) error = NULL;
    const char *s = NULL;

    ck_assert(!json_in_string(&in, "a\nb", TRUE, &s, &error));
    check_message(error, "a\\nb");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_in");
    TCase *tcase = tcase_create("json_in");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_malformed_document, 0, G_N_ELEMENTS(malformed));
    tcase_add_test(tcase, test_not_a_json_file);
    tcase_add_test(tcase, test_size_limit);
    tcase_add_test(tcase, test_typed_values);
    tcase_add_test(tcase, test_missing_members);
    tcase_add_test(tcase, test_wrong_types_and_ranges);
    tcase_add_test(tcase, test_check_members);
    tcase_add_test(tcase, test_odd_member_name);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
