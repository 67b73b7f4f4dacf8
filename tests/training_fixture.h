/* SPDX-License-Identifier: MIT */
/* What the tests of training share: an experiment and a ds_config.json in a folder of their
 * own, resolved for 16 ranks, and checks of error messages. */
#pragma once

#include "error.h"
#include "scratch.h"
#include "training.h"

#include <check.h>
#include <string.h>

#define RANKS 16
#define HIDDEN 4096

static char *file, *config;
static GPtrArray *warnings;

static G_GNUC_UNUSED void set_up(void)
{
    scratch_set_up();
    file = scratch_path("x.conf");
    config = scratch_path("ds.json");
    warnings = g_ptr_array_new_with_free_func(g_free);
}

static G_GNUC_UNUSED void tear_down(void)
{
    g_clear_pointer(&file, g_free);
    g_clear_pointer(&config, g_free);
    scratch_tear_down();
    g_clear_pointer(&warnings, g_ptr_array_unref);
}

static G_GNUC_UNUSED Training *build_full(const char *text, gboolean comparing, GError **error)
{
    ck_assert(g_file_set_contents(file, text, -1, NULL));
    g_autoptr(Experiment) experiment = experiment_load(file, NULL, error);
    if (!experiment)
        return NULL;
    return training_build(experiment, RANKS, HIDDEN, comparing, warnings, error);
}

static G_GNUC_UNUSED Training *build(const char *text)
{
    g_autoptr(GError) error = NULL;
    Training *training = build_full(text, FALSE, &error);
    ck_assert_msg(training != NULL, "%s", error ? error->message : "");
    return training;
}

static G_GNUC_UNUSED Training *compare(const char *text)
{
    g_autoptr(GError) error = NULL;
    Training *training = build_full(text, TRUE, &error);
    ck_assert_msg(training != NULL, "%s", error ? error->message : "");
    return training;
}

static G_GNUC_UNUSED void check_message(const GError *error, const char *what)
{
    ck_assert_ptr_nonnull(error);
    ck_assert(error->domain == ZEROSIM_ERROR);
    ck_assert_int_eq(error_exit_status(error), 2);
    ck_assert_msg(!strchr(error->message, '\n'), "two lines: %s", error->message);
    ck_assert_msg(strstr(error->message, what) != NULL, "'%s' not in: %s", what,
                  error->message);
}

static G_GNUC_UNUSED void check_fails(const char *text, ErrorCode code, const char *what)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Training) training = build_full(text, FALSE, &error);

    ck_assert_msg(!training, "accepted: %s", text);
    check_message(error, what);
    ck_assert_msg((int)error->code == (int)code, "code %d: %s", error->code, error->message);
    ck_assert_msg(strstr(error->message, scratch_folder()) != NULL, "no file in: %s",
                  error->message);
}

/* An experiment under DeepSpeed with ds.json beside it. */
static G_GNUC_UNUSED char *with_config(const char *json, const char *more)
{
    ck_assert(g_file_set_contents(config, json, -1, NULL));
    return g_strconcat("[training]\nframework = deepspeed\ndeepspeed_config = ds.json\n", more,
                       NULL);
}

static G_GNUC_UNUSED Training *build_config(const char *json, const char *more)
{
    g_autofree char *text = with_config(json, more);
    return build(text);
}
