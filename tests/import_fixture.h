/* SPDX-License-Identifier: MIT */
/* What the tests of other programs' configurations share: such a file beside an experiment that
 * names it, resolved on as many nodes and GPUs as the experiment then says (4 and 8 where it
 * doesn't), and checks of error messages. */
#pragma once

#include "error.h"
#include "mutation.h"
#include "scratch.h"
#include "suite_run.h"
#include "training.h"
#include "training_import.h"

#include <check.h>
#include <string.h>

#define HIDDEN 4096
#define NODES 4
#define GPUS 8

static char *file, *config;
static GPtrArray *warnings;
static Experiment *experiment; /* of the last build */

static void set_up_import(const char *config_name)
{
    scratch_set_up();
    file = scratch_path("x.conf");
    config = scratch_path(config_name);
    warnings = g_ptr_array_new_with_free_func(g_free);
}

static void tear_down(void)
{
    g_clear_pointer(&file, g_free);
    g_clear_pointer(&config, g_free);
    scratch_tear_down();
    g_clear_pointer(&warnings, g_ptr_array_unref);
    g_clear_pointer(&experiment, experiment_free);
}

static int count_of(const char *key, int otherwise)
{
    return experiment_is_set(experiment, key) ? (int)experiment_int(experiment, key)
                                              : otherwise;
}

/* `conf` is the rest of the experiment, behind the line of [training] that names the file. */
static Training *build_full(const char *key, const char *text, const char *conf,
                            const char *const *overrides, gboolean comparing, GError **error)
{
    g_autofree char *base = g_path_get_basename(config);
    g_autofree char *line = g_strdup_printf("[training]\n%s = %s\n", key, base);
    g_autofree char *whole = g_strconcat(line, conf, NULL);

    ck_assert(g_file_set_contents(config, text, -1, NULL));
    ck_assert(g_file_set_contents(file, whole, -1, NULL));
    g_clear_pointer(&experiment, experiment_free);
    g_ptr_array_set_size(warnings, 0);
    experiment = experiment_load(file, overrides, error);
    if (!experiment || !training_import_cluster(experiment, warnings, error))
        return NULL;
    const int n_nodes = count_of("cluster.nodes", NODES);
    const ImportCluster cluster = {n_nodes, n_nodes * count_of("cluster.gpus_per_node", GPUS)};
    if (!training_import(experiment, &cluster, comparing, warnings, error))
        return NULL;
    return training_build(experiment, cluster.n_ranks, HIDDEN, comparing, warnings, error);
}

static void check_message(const GError *error, const char *what)
{
    ck_assert_ptr_nonnull(error);
    ck_assert(error->domain == ZEROSIM_ERROR);
    ck_assert_int_eq(error_exit_status(error), 2);
    ck_assert_msg(!strchr(error->message, '\n'), "two lines: %s", error->message);
    ck_assert_msg(strstr(error->message, what) != NULL, "'%s' not in: %s", what,
                  error->message);
}

static Training *build_file(const char *key, const char *text, const char *conf)
{
    g_autoptr(GError) error = NULL;
    Training *training = build_full(key, text, conf, NULL, FALSE, &error);
    ck_assert_msg(training != NULL, "%s", error ? error->message : "");
    return training;
}

static void check_fails(const char *key, const char *text, const char *conf, ErrorCode code,
                        const char *what)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Training) training = build_full(key, text, conf, NULL, FALSE, &error);

    ck_assert_msg(!training, "accepted: %s", text);
    check_message(error, what);
    ck_assert_msg((int)error->code == (int)code, "code %d: %s", error->code, error->message);
    ck_assert_msg(strstr(error->message, scratch_folder()) != NULL, "no file in: %s",
                  error->message);
}

static gboolean warned_of(const char *what)
{
    for (guint i = 0; i < warnings->len; i++)
        if (strstr(warnings->pdata[i], what))
            return TRUE;
    return FALSE;
}

/* Seeded mutations of a good file resolve or fail with one line that names a file; nothing
 * crashes. Says how many failed. */
static int check_mutations(const char *key, const char *good, const char *alphabet,
                           int n_rounds)
{
    GRand *random = g_rand_new_with_seed(20260103);
    int n_failed = 0;

    for (int round = 0; round < n_rounds; round++) {
        g_autoptr(GString) text = g_string_new(good);
        g_autoptr(GError) error = NULL;
        mutate(text, random, alphabet);
        g_autoptr(Training) training = build_full(key, text->str, "", NULL, FALSE, &error);
        if (!training) {
            n_failed++;
            check_message(error, scratch_folder());
        }
    }
    g_rand_free(random);
    return n_failed;
}

static int run_tests(const char *name, void (*add)(TCase *tcase), void (*set_up)(void))
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 120);
    add(tcase);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
