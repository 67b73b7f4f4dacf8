/* SPDX-License-Identifier: MIT */
/* Axes of a sweep: which values a text stands for, the order of the points, and what tells one
 * point's experiment from another's. */
#include "cmd_over.h"

#include "error.h"
#include "suite_run.h"

#include <check.h>

static Experiment *experiment_new(void)
{
    static const char *const overrides[] = {"model.config=models/gpt2.json",
                                            "cluster.platform=dgx-h100", NULL};
    GError *error = NULL;
    Experiment *experiment = experiment_load(NULL, overrides, &error);
    ck_assert_msg(experiment != NULL, "%s", error != NULL ? error->message : "");
    return experiment;
}

/* The values of one axis, joined by blanks; NULL: refused. */
static char *values(const char *text)
{
    g_autoptr(Experiment) experiment = experiment_new();
    const char *const texts[] = {text, NULL};
    g_autoptr(Over) over = over_parse(texts, experiment, NULL);
    return over == NULL ? NULL : g_strjoinv(" ", ((OverAxis *)over->axes->pdata[0])->values);
}

static const struct {
    const char *text, *values; /* NULL: refused */
} lists[] = {
    {"cluster.nodes=3", "3"},
    {"cluster.nodes=8,1,8", "8 1 8"},
    {"cluster.nodes=8..512*2", "8 16 32 64 128 256 512"},
    {"cluster.nodes=8..500*2", "8 16 32 64 128 256"},
    {"cluster.nodes=2..5", "2 3 4 5"},
    {"cluster.nodes=2..9+3", "2 5 8"},
    {"cluster.nodes=5..5", "5"},
    {"cluster.nodes=1,4..16*2,32", "1 4 8 16 32"},
    {"cluster.nic_bytes_per_s=12.5e9..50e9*2", "12500000000 25000000000 50000000000"},
    {"cluster.oversubscription=1..2+0.25", "1 1.25 1.5 1.75 2"},
    {"training.precision=bf16,fp32", "bf16 fp32"},
    {"cluster.nodes=8..1", NULL},
    {"cluster.nodes=1..8*1", NULL},
    {"cluster.nodes=1..8+0", NULL},
    {"cluster.nodes=1..8-1", NULL},
    {"cluster.nodes=1..8*2x", NULL},
    {"cluster.nodes=1..", NULL},
    {"cluster.nodes=", NULL},
    {"cluster.nodes", NULL},
    {"=1", NULL},
    {"cluster.nodes=1..99999", NULL},
    {"training.strategy=ddp,zero1", NULL},
    {"cluster.nodes=many", NULL},
};

START_TEST(test_list)
{
    g_autofree char *actual = values(lists[_i].text);
    if (lists[_i].values == NULL)
        ck_assert_ptr_null(actual);
    else
        ck_assert_str_eq(actual, lists[_i].values);
}
END_TEST

/* The first axis changes slowest, so that a file reads like nested loops. */
START_TEST(test_points_are_in_the_order_of_nested_loops)
{
    static const char *const texts[] = {"cluster.nodes=1,2", "training.micro_batch=1..3", NULL};
    static const char *const expected[] = {
        "cluster.nodes=1 training.micro_batch=1", "cluster.nodes=1 training.micro_batch=2",
        "cluster.nodes=1 training.micro_batch=3", "cluster.nodes=2 training.micro_batch=1",
        "cluster.nodes=2 training.micro_batch=2", "cluster.nodes=2 training.micro_batch=3"};
    g_autoptr(Experiment) experiment = experiment_new();
    g_autoptr(Over) over = over_parse(texts, experiment, NULL);
    ck_assert_int_eq(over->n_points, 6);
    for (int p = 0; p < 6; p++) {
        g_autofree char *text = over_point_text(over, p);
        g_autoptr(Experiment) here = over_experiment(over, p, experiment, NULL);
        ck_assert_str_eq(text, expected[p]);
        ck_assert_int_eq(experiment_int(here, "cluster.nodes"), 1 + p / 3);
        ck_assert_int_eq(experiment_int(here, "training.micro_batch"), 1 + p % 3);
    }
}
END_TEST

static char *id_of(const char *assignment, const char *context)
{
    g_autoptr(Experiment) experiment = experiment_new();
    ck_assert(assignment == NULL || experiment_set(experiment, assignment, NULL));
    return over_experiment_id(experiment, context);
}

/* What is computed for one id must be what another one with that id would compute. */
START_TEST(test_id_tells_experiments_apart)
{
    g_autofree char *same = id_of(NULL, "a");
    g_autofree char *again = id_of(NULL, "a");
    g_autofree char *other_context = id_of(NULL, "b");
    g_autofree char *other_value = id_of("cluster.nodes=2", "a");
    g_autofree char *other_member = id_of("deepspeed.zero_optimization.overlap_comm=true", "a");
    ck_assert_str_eq(same, again);
    ck_assert_str_ne(same, other_context);
    ck_assert_str_ne(same, other_value);
    ck_assert_str_ne(same, other_member);
}
END_TEST

/* A file's name stays when someone edits it. */
START_TEST(test_id_counts_what_is_in_files)
{
    g_autofree char *folder = g_dir_make_tmp("zerosim-over-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(folder, "model.json", NULL);
    g_autofree char *assignment = g_strconcat("model.config=", file, NULL);
    ck_assert(g_file_set_contents(file, "{}", -1, NULL));
    g_autofree char *before = id_of(assignment, "");
    ck_assert(g_file_set_contents(file, "{ }", -1, NULL));
    g_autofree char *after = id_of(assignment, "");
    ck_assert_str_ne(before, after);
    remove(file);
    remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cmd_over");
    TCase *tests = tcase_create("cmd_over");
    tcase_add_loop_test(tests, test_list, 0, G_N_ELEMENTS(lists));
    tcase_add_test(tests, test_points_are_in_the_order_of_nested_loops);
    tcase_add_test(tests, test_id_tells_experiments_apart);
    tcase_add_test(tests, test_id_counts_what_is_in_files);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
