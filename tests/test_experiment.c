/* SPDX-License-Identifier: MIT */
/* The experiment file and its overrides: every key of the table, what each refuses, where paths
 * lead, and that no input, however broken, gives anything but one line naming file and key. */
#include "experiment.h"

#include "error.h"
#include "suite_run.h"

#include <check.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

static char *directory, *file, *model;

static char *touch(const char *name, const char *text, gssize length)
{
    char *path = g_build_filename(directory, name, NULL);
    ck_assert(g_file_set_contents(path, text, length, NULL));
    return path;
}

static void set_up(void)
{
    directory = g_dir_make_tmp("zerosim-test-XXXXXX", NULL);
    file = g_build_filename(directory, "x.conf", NULL);
    model = touch("model.json", "{}", -1);
}

static void tear_down(void)
{
    g_remove(file);
    g_remove(model);
    g_rmdir(directory);
    g_clear_pointer(&file, g_free);
    g_clear_pointer(&model, g_free);
    g_clear_pointer(&directory, g_free);
}

static Experiment *load(const char *text, const char *const *overrides, GError **error)
{
    ck_assert(g_file_set_contents(file, text, -1, NULL));
    return experiment_load(file, overrides, error);
}

/* One line, of our domain, exit status 2, holding each of the two texts (NULL: don't care). */
static void check_message(const GError *error, const char *place, const char *what)
{
    ck_assert_ptr_nonnull(error);
    ck_assert(error->domain == ZEROSIM_ERROR);
    ck_assert_int_eq(error_exit_status(error), 2);
    ck_assert_msg(!strchr(error->message, '\n'), "two lines: %s", error->message);
    ck_assert_msg(strlen(error->message) < 600, "too long: %s", error->message);
    ck_assert_msg(!place || strstr(error->message, place), "'%s' not in: %s", place,
                  error->message);
    ck_assert_msg(!what || strstr(error->message, what), "'%s' not in: %s", what,
                  error->message);
}

/* ---- every key ---- */

/* A legal value of a key that isn't its default. */
static char *legal_value(const ExperimentKey *key)
{
    switch (key->type) {
    case KEY_STRING:
        return g_strdup("0.17.5");
    case KEY_PATH:
        return g_strdup(model);
    case KEY_NAME_OR_PATH:
        return g_strdup("a-name");
    case KEY_CHOICE:
        return g_strdup(strrchr(key->choices, '|') + 1);
    case KEY_INT:
        return g_strdup_printf("%" G_GINT64_FORMAT, (gint64)key->maximum);
    case KEY_INT_OR_AUTO:
    case KEY_INT_OR_BOOL:
        return g_strdup("7");
    case KEY_DOUBLE:
        return g_strdup_printf("%.17g", key->maximum);
    case KEY_BOOL:
        return g_strdup(g_strcmp0(key->default_value, "true") == 0 ? "false" : "true");
    }
    g_assert_not_reached();
}

static void check_value(const Experiment *experiment, const ExperimentKey *key,
                        const char *value)
{
    g_autofree char *name = g_strconcat(key->section, ".", key->key, NULL);

    ck_assert(experiment_is_set(experiment, name));
    ck_assert_str_eq(experiment_string(experiment, name), value);
    if (key->type == KEY_CHOICE) {
        g_auto(GStrv) choices = g_strsplit(key->choices, "|", -1);
        ck_assert_str_eq(choices[experiment_choice(experiment, name)], value);
    }
    if (key->type == KEY_INT)
        ck_assert_int_eq(experiment_int(experiment, name), (gint64)key->maximum);
    if (key->type == KEY_DOUBLE)
        ck_assert_double_eq(experiment_double(experiment, name), key->maximum);
    if (key->type == KEY_BOOL)
        ck_assert_int_eq(experiment_bool(experiment, name), strcmp(value, "true") == 0);
}

/* Every key of the table can be set in the file and by an override, and reads back. */
START_TEST(test_every_key)
{
    const ExperimentKey *key = &experiment_keys[_i];
    g_autofree char *value = legal_value(key);
    g_autofree char *text = g_strdup_printf("[%s]\n%s = %s\n", key->section, key->key, value);
    g_autofree char *assignment = g_strdup_printf("%s.%s=%s", key->section, key->key, value);
    const char *const overrides[] = {assignment, NULL};
    g_autoptr(GError) error = NULL;

    g_autoptr(Experiment) from_file = load(text, NULL, &error);
    ck_assert_msg(from_file != NULL, "%s", error ? error->message : "");
    check_value(from_file, key, value);
    g_autoptr(Experiment) from_override = experiment_load(NULL, overrides, &error);
    ck_assert_msg(from_override != NULL, "%s", error ? error->message : "");
    check_value(from_override, key, value);
}
END_TEST

/* A default is a value that the user could have written, and is what an empty file gives. */
START_TEST(test_every_default)
{
    const ExperimentKey *key = &experiment_keys[_i];
    g_autofree char *name = g_strconcat(key->section, ".", key->key, NULL);
    g_autoptr(Experiment) empty = load("", NULL, NULL);
    g_autofree char *assignment = g_strconcat(name, "=", key->default_value, NULL);

    ck_assert(!experiment_is_set(empty, name));
    ck_assert_pstr_eq(experiment_string(empty, name), key->default_value);
    ck_assert(key->help && key->help[0]);
    if (key->default_value)
        ck_assert(experiment_set(empty, assignment, NULL));
}
END_TEST

static const char *const bad_numbers[] = {
    "3 # c", "nan",  "inf", "-1",  "1e999",
    "0x10",  "1e",   "--1", "1,5", "99999999999999999999",
    "3 4",   "true", "+",   ".",   "-9223372036854775809"};

/* No number key takes text that isn't wholly a number in its range; the message says where and
 * what the range is. */
START_TEST(test_bad_numbers)
{
    const ExperimentKey *key = &experiment_keys[_i];
    g_autofree char *name = g_strconcat(key->section, ".", key->key, NULL);
    if (key->type != KEY_INT && key->type != KEY_DOUBLE && key->type != KEY_INT_OR_AUTO &&
        key->type != KEY_INT_OR_BOOL)
        return;

    for (gsize i = 0; i < G_N_ELEMENTS(bad_numbers); i++) {
        g_autofree char *text =
            g_strdup_printf("\n[%s]\n%s = %s\n", key->section, key->key, bad_numbers[i]);
        g_autoptr(GError) error = NULL;
        if ((g_ascii_strtod(bad_numbers[i], NULL) == 1e20 && key->maximum >= 1e20) ||
            (key->type == KEY_INT_OR_BOOL && strcmp(bad_numbers[i], "true") == 0))
            continue;
        ck_assert_msg(!load(text, NULL, &error), "%s took %s", name, bad_numbers[i]);
        g_autofree char *place = g_strdup_printf("%s:3: %s: ", file, name);
        check_message(error, place, "must be a");
    }
}
END_TEST

/* Choices and booleans take their words alone, and suggest the nearest. */
START_TEST(test_bad_words)
{
    const ExperimentKey *key = &experiment_keys[_i];
    g_autofree char *assignment = g_strdup_printf("%s.%s=yes", key->section, key->key);
    g_autofree char *place = g_strdup_printf("-s %s.%s: must be ", key->section, key->key);
    const char *const overrides[] = {assignment, NULL};
    g_autoptr(GError) error = NULL;
    if (key->type != KEY_CHOICE && key->type != KEY_BOOL && key->type != KEY_INT_OR_BOOL)
        return;

    ck_assert_ptr_null(experiment_load(NULL, overrides, &error));
    check_message(error, place, "\"yes\"");
}
END_TEST

/* ---- malformed files ---- */

static const struct {
    const char *text;
    const char *place; /* after the file's name */
    const char *what;
} malformed[] = {
    {"[cluster]\nnodes = 0\n", ":2: cluster.nodes", "from 1"},
    {"[cluster]\nnodes = 2\nnodes = 4\n", ":3: cluster.nodes", "set twice, first on line 2"},
    {"[cluster]\n[model]\n[cluster]\n", ":3: cluster", "set twice, first on line 1"},
    {"[cluster]\nnode = 2\n", ":2: cluster.node", "did you mean cluster.nodes?"},
    {"[clutser]\nnodes = 2\n", ":1: clutser", "no such section"},
    {"[training]\nstrategy = zero9\n", ":2: training.strategy", "did you mean zero1?"},
    {"[training]\nmicro_batch = 3 # c\n", ":2: training.micro_batch", "\"3 # c\""},
    {"[training]\nmicro_batch[de] = 3\n", ":2: training.micro_batch[de]", "no such key"},
    {"[training]\nmicro_batch =\n", ":2: training.micro_batch", "must be an integer"},
    {"[training]\nframework\n", ":2:", "neither [section] nor key = value"},
    {"[training\nframework = paper\n", ":1:", "neither [section]"},
    {"framework = paper\n", ":1:", "before the first [section]"},
    {"[training] # c\n", ":1:", "neither [section]"},
    {"[a][b]\n", ":1:", "neither [section]"},
    {"[]\n", "", "\""},
    {"[training]\n = 4\n", ":2:", "neither [section]"},
    {"[model]\nconfig = nowhere.json\n", ":2: model.config", "no file \"nowhere.json\""},
    {"[model]\nconfig =\n", ":2: model.config", "must be some text"},
    {"[model]\nconfig = x\\\n", ":2: model.config", "cannot be read"},
    {"[gpu]\nprofile = ./nowhere\n", ":2: gpu.profile", "no file"},
    {"[fsdp]\nversion = 3\n", ":2: fsdp.version", "2, 1"},
    {"[ddp]\nno_sync = 1\n", ":2: ddp.no_sync", "true or false"},
    {"[nccl]\nchannels = 65\n", ":2: nccl.channels", "to 64 or auto"},
    {"[cluster]\nxml = model.json\nnodes = 2\n", ":3: cluster.nodes", "set one or the other"},
    {"[cluster]\nnodes = 2\nxml = model.json\n", ":3: cluster.xml", "set one or the other"},
    {"[deepspeed]\nzero_optimization = [1]\n", ":2: deepspeed.zero_optimization", "must be"},
    {"[deepspeed]\nzero_optimization.stage = 3 # c\n", "deepspeed.zero_optimization.stage",
     "\"3 # c\""},
    {"[deepspeed]\na = 1\na.b = 2\n", ":3: deepspeed.a.b", "section"},
    {"[deepspeed]\na.b = 1\na = 2\n", ":3: deepspeed.a", "section"},
    {"[deepspeed]\na..b = 1\n", ":2: deepspeed.a..b", "not the path"},
    {"[deepspeed]\na.b.c.d.e.f.g.h.i.j = 1\n", ":2: deepspeed.a.b", "not the path"},
};

/* Each malformed file gives one line with the file, the line, the key and what would be right.
 */
START_TEST(test_malformed_file)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *place =
        g_strconcat(file, malformed[_i].place[0] == ':' ? malformed[_i].place : "", NULL);

    ck_assert_msg(!load(malformed[_i].text, NULL, &error), "accepted: %s", malformed[_i].text);
    check_message(error, place, malformed[_i].what);
    if (malformed[_i].place[0] != ':')
        check_message(error, malformed[_i].place, NULL);
}
END_TEST

/* A missing file, a directory, 10 MB of noise and text that isn't UTF-8 are one clear line. */
START_TEST(test_not_an_experiment)
{
    const gsize size = 10 * 1000 * 1000;
    g_autofree char *noise = g_malloc(size);
    g_autoptr(GError) missing = NULL, folder = NULL, huge = NULL, small = NULL;
    GRand *random = g_rand_new_with_seed(1);
    for (gsize i = 0; i < size; i++)
        noise[i] = (char)g_rand_int_range(random, 0, 256);
    g_rand_free(random);

    ck_assert_ptr_null(experiment_load("/nowhere/x.conf", NULL, &missing));
    check_message(missing, "/nowhere/x.conf", "No such file");
    ck_assert_ptr_null(experiment_load(directory, NULL, &folder));
    check_message(folder, directory, "directory");
    ck_assert(g_file_set_contents(file, noise, (gssize)size, NULL));
    ck_assert_ptr_null(experiment_load(file, NULL, &huge));
    check_message(huge, file, "too big");
    ck_assert(g_file_set_contents(file, noise, 1000, NULL));
    ck_assert_ptr_null(experiment_load(file, NULL, &small));
    check_message(small, file, "not a text file");
}
END_TEST

/* ---- overrides ---- */

static const struct {
    const char *assignment;
    const char *what;
} bad_overrides[] = {
    {"nodes=2", "must be section.key=value"},
    {"cluster.nodes", "must be section.key=value"},
    {"=", "must be section.key=value"},
    {"", "must be section.key=value"},
    {"a=b.c", "must be section.key=value"},
    {"cluster.nodes=", "-s cluster.nodes: must be an integer"},
    {"cluster.nodes=two\nthree", "-s cluster.nodes: must be an integer"},
    {"cluster.node=2", "-s cluster.node: no such key: did you mean cluster.nodes?"},
    {"clus\nter.nodes=2", "no such key"},
    {"cluster.nodes=\xff", "must be section.key=value"},
    {"model.config=nowhere.json", "-s model.config: no file"},
    {"deepspeed.version=", "-s deepspeed.version"},
    {"deepspeed.=1", "not the path"},
    {"deepspeed.a={\"b\": 1}", "-s deepspeed.a: must be"},
    {"deepspeed.a=1e999", "-s deepspeed.a: must be"},
};

/* Each malformed override is an error that names the option. */
START_TEST(test_bad_override)
{
    const char *const overrides[] = {bad_overrides[_i].assignment, NULL};
    g_autoptr(GError) error = NULL;

    ck_assert_ptr_null(experiment_load(NULL, overrides, &error));
    check_message(error, "-s ", bad_overrides[_i].what);
}
END_TEST

/* Overrides win over the file, later ones over earlier ones; messages point to the winner. */
START_TEST(test_precedence_of_overrides)
{
    const char *const overrides[] = {"cluster.nodes=4", " cluster.nodes = 8 ", NULL};
    g_autoptr(Experiment) experiment =
        load("[cluster]\nnodes = 2\ngpus_per_node = 4\n", overrides, NULL);
    g_autofree char *nodes = experiment_where(experiment, "cluster.nodes");
    g_autofree char *gpus = experiment_where(experiment, "cluster.gpus_per_node");
    g_autofree char *expected = g_strconcat(file, ": cluster.gpus_per_node", NULL);

    ck_assert_int_eq(experiment_int(experiment, "cluster.nodes"), 8);
    ck_assert_int_eq(experiment_int(experiment, "cluster.gpus_per_node"), 4);
    ck_assert_str_eq(nodes, "-s cluster.nodes");
    ck_assert_str_eq(gpus, expected);
}
END_TEST

/* A failed assignment leaves the experiment as it was; a copy is independent. */
START_TEST(test_set_and_copy)
{
    g_autoptr(Experiment) experiment =
        load("[cluster]\nnodes = 2\n[deepspeed]\na.b = 1\n", NULL, NULL);
    g_autoptr(Experiment) copy = experiment_copy(experiment);
    g_autoptr(GError) error = NULL;

    ck_assert(!experiment_set(experiment, "cluster.nodes=-4", &error));
    ck_assert(!experiment_set(experiment, "deepspeed.a=4", NULL));
    ck_assert_int_eq(experiment_int(experiment, "cluster.nodes"), 2);
    ck_assert(json_equal(experiment->deepspeed, copy->deepspeed));
    ck_assert(experiment_set(copy, "cluster.nodes=64", NULL));
    ck_assert(experiment_set(copy, "deepspeed.a.b=2", NULL));
    ck_assert_int_eq(experiment_int(experiment, "cluster.nodes"), 2);
    ck_assert_int_eq(experiment_int(copy, "cluster.nodes"), 64);
    ck_assert(!json_equal(experiment->deepspeed, copy->deepspeed));
    ck_assert_str_eq(copy->file, experiment->file);
}
END_TEST

/* An override of cluster.xml replaces the file's cluster keys; both in overrides, or a count
 * beside the file's XML, contradict each other. */
START_TEST(test_cluster_xml)
{
    g_autofree char *xml = g_strconcat("cluster.xml=", model, NULL);
    const char *const replacing[] = {xml, NULL};
    const char *const both[] = {"cluster.nodes=4", xml, NULL};
    const char *const count[] = {"cluster.nodes=4", NULL};
    g_autoptr(GError) first = NULL, second = NULL;
    g_autoptr(Experiment) experiment =
        load("[cluster]\nplatform = dgx-h100\nnodes = 2\n", replacing, NULL);

    ck_assert_ptr_nonnull(experiment);
    ck_assert(!experiment_is_set(experiment, "cluster.nodes"));
    ck_assert(!experiment_is_set(experiment, "cluster.platform"));
    ck_assert_ptr_null(load("", both, &first));
    check_message(first, "-s cluster.xml", "set one or the other");
    ck_assert_ptr_null(load("[cluster]\nxml = model.json\n", count, &second));
    check_message(second, "-s cluster.nodes", "set one or the other");
}
END_TEST

/* ---- [deepspeed] ---- */

/* Members keep their JSON types and nest by their dots; bare words are strings. */
START_TEST(test_deepspeed_members)
{
    const char *const overrides[] = {"deepspeed.zero_optimization.stage=2", NULL};
    g_autoptr(json_t) expected =
        json_loads("{\"zero_optimization\": {\"overlap_comm\": true, \"stage\": 2,"
                   " \"reduce_bucket_size\": 5e8, \"stage3_prefetch_bucket_size\": \"auto\"},"
                   " \"communication_data_type\": \"fp32\", \"optimizer\": null}",
                   0, NULL);
    g_autoptr(json_t) overridden =
        json_loads("{\"zero_optimization\": {\"stage\": 2}}", 0, NULL);
    g_autoptr(Experiment) experiment =
        load("[deepspeed]\nversion = 0.17.5\nzero_optimization.overlap_comm = true\n"
             "zero_optimization.stage = 3\nzero_optimization.reduce_bucket_size = 5e8\n"
             "zero_optimization.stage3_prefetch_bucket_size = auto\n"
             "communication_data_type = \"fp32\"\noptimizer = null\n",
             overrides, NULL);

    ck_assert_ptr_nonnull(experiment);
    ck_assert(json_equal(experiment->deepspeed, expected));
    ck_assert(json_equal(experiment->deepspeed_overrides, overridden));
    ck_assert_str_eq(experiment_string(experiment, "deepspeed.version"), "0.17.5");
}
END_TEST

/* ---- paths ---- */

/* A path in the file is relative to the file, then to the installed data and its workloads; an
 * override's to the working directory, then the same. */
START_TEST(test_paths)
{
    g_autofree char *workloads = g_build_filename(directory, "data", "workloads", NULL);
    g_autofree char *installed = g_build_filename(workloads, "installed.json", NULL);
    g_autofree char *data = g_path_get_dirname(workloads);
    g_autofree char *working = g_get_current_dir();
    const char *const here[] = {"model.config=model.json", NULL};
    const char *const there[] = {"model.config=installed.json", NULL};
    ck_assert_int_eq(g_mkdir_with_parents(workloads, 0700), 0);
    ck_assert(g_file_set_contents(installed, "{}", -1, NULL));
    g_autofree char *before = g_strdup(g_getenv("ZEROSIM_DATA_DIR"));
    g_setenv("ZEROSIM_DATA_DIR", data, TRUE);

    g_autoptr(Experiment) beside = load("[model]\nconfig = model.json\n", NULL, NULL);
    ck_assert_str_eq(experiment_string(beside, "model.config"), model);
    g_autoptr(Experiment) shipped =
        load("[model]\nconfig = workloads/installed.json\n", NULL, NULL);
    ck_assert_str_eq(experiment_string(shipped, "model.config"), installed);
    g_autoptr(Experiment) option = load("", there, NULL);
    ck_assert_str_eq(experiment_string(option, "model.config"), installed);
    ck_assert_ptr_null(load("", here, NULL));
    ck_assert_int_eq(g_chdir(directory), 0);
    g_autoptr(Experiment) local = load("", here, NULL);
    ck_assert_str_eq(experiment_string(local, "model.config"), "model.json");

    ck_assert_int_eq(g_chdir(working), 0);
    if (before)
        g_setenv("ZEROSIM_DATA_DIR", before, TRUE);
    else
        g_unsetenv("ZEROSIM_DATA_DIR");
    g_remove(installed);
    g_rmdir(workloads);
    g_rmdir(data);
}
END_TEST

/* A key that must be there is asked for by name, with the file. */
START_TEST(test_require)
{
    g_autoptr(Experiment) experiment = load("", NULL, NULL);
    g_autoptr(GError) error = NULL;

    ck_assert_ptr_null(experiment_require(experiment, "model.config", &error));
    check_message(error, file, "model.config: missing");
    ck_assert_str_eq(experiment_require(experiment, "cluster.fabric", NULL), "rail");
}
END_TEST

/* ---- noise ---- */

static const char *const good_file =
    "# an experiment\n[model]\nconfig = model.json\nsequence_length = 4096\n\n"
    "[training]\nframework = deepspeed\nmicro_batch = auto\nprecision = bf16\n"
    "gradient_clipping = 1.0\n\n[cluster]\nplatform = dgx-h100\nnodes = 8\n"
    "oversubscription = 2.5\n\n[deepspeed]\nzero_optimization.overlap_comm = true\n";

/* Seeded mutations of a good file either load or fail with one line; nothing crashes. */
START_TEST(test_mutated_files)
{
    static const char alphabet[] = "[]=#.\n\\ \t\"-+e0x9azA\x01\xff\xc3";
    GRand *random = g_rand_new_with_seed(20260101);

    for (int round = 0; round < 3000; round++) {
        g_autoptr(GString) text = g_string_new(good_file);
        g_autoptr(GError) error = NULL;
        for (int n = g_rand_int_range(random, 1, 6); n > 0; n--) {
            const gint32 at = g_rand_int_range(random, 0, (gint32)text->len);
            const char c = alphabet[g_rand_int_range(random, 0, (gint32)sizeof alphabet - 1)];
            if (g_rand_boolean(random))
                text->str[at] = c;
            else if (g_rand_boolean(random))
                g_string_insert_c(text, at, c);
            else
                g_string_erase(text, at, MIN((gssize)text->len - at, 20));
        }
        g_autoptr(Experiment) experiment = load(text->str, NULL, &error);
        if (!experiment)
            check_message(error, file, NULL);
    }
    g_rand_free(random);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("experiment");
    TCase *tcase = tcase_create("experiment");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test_every_key, 0, experiment_n_keys);
    tcase_add_loop_test(tcase, test_every_default, 0, experiment_n_keys);
    tcase_add_loop_test(tcase, test_bad_numbers, 0, experiment_n_keys);
    tcase_add_loop_test(tcase, test_bad_words, 0, experiment_n_keys);
    tcase_add_loop_test(tcase, test_malformed_file, 0, G_N_ELEMENTS(malformed));
    tcase_add_test(tcase, test_not_an_experiment);
    tcase_add_loop_test(tcase, test_bad_override, 0, G_N_ELEMENTS(bad_overrides));
    tcase_add_test(tcase, test_precedence_of_overrides);
    tcase_add_test(tcase, test_set_and_copy);
    tcase_add_test(tcase, test_cluster_xml);
    tcase_add_test(tcase, test_deepspeed_members);
    tcase_add_test(tcase, test_paths);
    tcase_add_test(tcase, test_require);
    tcase_add_test(tcase, test_mutated_files);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
