/* SPDX-License-Identifier: MIT */
/* The whole way from an experiment to a result on shipped models and presets: what must hold
 * whatever the numbers are. */
#include "predict.h"

#include "cmd_compare_best.h"
#include "error.h"
#include "report.h"
#include "suite_run.h"

#include <check.h>
#include <glib/gstdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* GPT-2 on one node of eight A100, then what the test adds. */
static Experiment *experiment_with(const char *const *extra)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    static const char *const base[] = {
        "model.config=workloads/models/gpt2.json",
        "training.framework=pytorch",
        "training.strategy=ddp",
        "training.precision=bf16",
        "cluster.platform=dgx-a100-80gb",
    };
    GError *error = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(base); i++)
        g_ptr_array_add(all, (gpointer)base[i]);
    for (; extra != NULL && *extra != NULL; extra++)
        g_ptr_array_add(all, (gpointer)*extra);
    g_ptr_array_add(all, NULL);
    Experiment *experiment = experiment_load(NULL, (const char *const *)all->pdata, &error);
    ck_assert_msg(experiment != NULL, "%s", error ? error->message : "");
    return experiment;
}

static Inputs *inputs_with(const char *const *extra, gboolean comparing)
{
    GError *error = NULL;
    g_autoptr(Experiment) experiment = experiment_with(extra);
    Inputs *inputs = inputs_load(experiment, comparing, FALSE, &error);
    ck_assert_msg(inputs != NULL, "%s", error ? error->message : "");
    return inputs;
}

static Result *predicted(const Inputs *inputs)
{
    GError *error = NULL;
    Result *result = predict(inputs, &error);
    ck_assert_msg(result != NULL, "%s", error ? error->message : "");
    return result;
}

static gboolean fits_at(const Inputs *inputs, const char *micro_batch)
{
    Memory memory;
    g_autoptr(Inputs) other = inputs_load(inputs->experiment, FALSE, FALSE, NULL);
    const char *const assignments[] = {micro_batch, NULL};
    ck_assert(inputs_set(other, assignments, NULL));
    ck_assert(predict_memory(other, &memory, NULL));
    return memory.fits;
}

/* Every strategy of every framework: classes sum to the step, categories to the peak, the step
 * ends with the memory it began with, and utilisation is a fraction. */
START_TEST(test_sums_hold_for_every_strategy)
{
    static const char *const frameworks[] = {"pytorch", "deepspeed", "paper"};
    g_autofree char *framework =
        g_strconcat("training.framework=", frameworks[_i / N_STRATEGIES], NULL);
    g_autofree char *strategy =
        g_strconcat("training.strategy=", strategy_name((Strategy)(_i % N_STRATEGIES)), NULL);
    const char *const extra[] = {framework, strategy, NULL};
    g_autoptr(Inputs) inputs = inputs_with(extra, TRUE);
    g_autoptr(Result) result = predicted(inputs);
    const TimeSplit *split = &result->time_split_s;
    gint64 peak_bytes = 0;

    ck_assert_double_eq_tol(split->forward + split->backward + split->update +
                                split->exposed_comm + split->idle,
                            result->step_time_s, 1e-9 * result->step_time_s);
    for (int c = 0; c < N_MEMORY_CATEGORIES; c++) {
        ck_assert_int_ge(result->memory.by_category_at_peak[c], 0);
        peak_bytes += result->memory.by_category_at_peak[c];
    }
    ck_assert_int_eq(peak_bytes, result->memory.peak_bytes);
    ck_assert_int_eq(result->memory.start_bytes, result->memory.end_bytes);
    ck_assert_int_ge(result->memory.reserved_bytes, result->memory.peak_bytes);
    ck_assert_double_gt(result->mfu_frac, 0);
    ck_assert_double_lt(result->hfu_frac, 1);
    ck_assert_double_gt(result->sent_bytes_per_rank, 0);
}
END_TEST

/* The same experiment gives the same bytes, also when the inputs are read again. */
START_TEST(test_same_input_same_bytes)
{
    const char *const extra[] = {"training.strategy=zero3", "cluster.nodes=2", NULL};
    char *texts[2] = {NULL};
    for (int i = 0; i < 2; i++) {
        g_autoptr(Inputs) inputs = inputs_with(extra, FALSE);
        g_autoptr(Result) result = predicted(inputs);
        g_autoptr(json_t) object = report_json_object(result);
        texts[i] = json_dumps(object, JSON_REAL_PRECISION(17));
    }
    ck_assert_str_eq(texts[0], texts[1]);
    free(texts[0]);
    free(texts[1]);
}
END_TEST

/* A reader can run the result again: every key is there, files by name and checksum, and
 * nothing of this machine's paths. */
START_TEST(test_record_is_complete_and_portable)
{
    g_autoptr(Inputs) inputs = inputs_with(NULL, FALSE);
    g_autoptr(json_t) record = inputs_record(inputs, NULL);
    const json_t *experiment = json_object_get(record, "experiment");
    const json_t *training = json_object_get(experiment, "training");
    char *text = json_dumps(record, 0);

    for (int i = 0; i < experiment_n_keys; i++) {
        const json_t *section = json_object_get(experiment, experiment_keys[i].section);
        ck_assert_msg(json_object_get(section, experiment_keys[i].key) != NULL, "%s.%s",
                      experiment_keys[i].section, experiment_keys[i].key);
    }
    ck_assert_int_eq(json_integer_value(json_object_get(training, "global_batch")), 8);
    ck_assert_uint_eq(
        strlen(json_string_value(json_object_get(
            json_object_get(json_object_get(record, "files"), "model"), "sha256"))),
        64);
    ck_assert_ptr_null(strstr(text, "\"/"));
    ck_assert_ptr_null(strstr(text, experiment_data_dir()));
    free(text);
}
END_TEST

/* auto is the largest that fits: one more doesn't. */
START_TEST(test_auto_micro_batch_is_the_largest_that_fits)
{
    const char *const extra[] = {"training.micro_batch=auto", NULL};
    g_autoptr(Inputs) inputs = inputs_with(extra, FALSE);
    gint64 largest = inputs->training->micro_batch;
    g_autofree char *same = g_strdup_printf("training.micro_batch=%d", (int)largest);
    g_autofree char *more = g_strdup_printf("training.micro_batch=%d", (int)largest + 1);

    ck_assert_int_gt(largest, 1);
    ck_assert(fits_at(inputs, same));
    ck_assert(!fits_at(inputs, more));
    ck_assert_int_eq(inputs->training->global_batch, 8 * largest);
}
END_TEST

/* With a fixed global batch only divisors of a rank's share are tried. */
START_TEST(test_auto_micro_batch_divides_a_fixed_global_batch)
{
    const char *const extra[] = {"training.micro_batch=auto", "training.global_batch=56", NULL};
    g_autoptr(Inputs) inputs = inputs_with(extra, FALSE);

    ck_assert_int_eq(inputs->training->micro_batch, 7);
    ck_assert_int_eq(inputs->training->gradient_accumulation, 1);
    ck_assert_int_eq(inputs->training->global_batch, 56);
}
END_TEST

/* Keys that change leave the cluster as it is, and warnings don't pile up. */
START_TEST(test_inputs_set_keeps_the_cluster)
{
    g_autoptr(Inputs) inputs = inputs_with(NULL, TRUE);
    const Cluster *cluster = inputs->cluster;
    guint n_warnings = inputs->warnings->len;
    const char *const assignments[] = {"training.strategy=zero2", NULL};

    ck_assert(inputs_set(inputs, assignments, NULL));
    ck_assert_ptr_eq(inputs->cluster, cluster);
    ck_assert_int_eq(inputs->training->strategy, STRATEGY_ZERO2);
    ck_assert_uint_eq(inputs->warnings->len, n_warnings);
}
END_TEST

/* In a comparison under DeepSpeed the first row is PyTorch's DDP, and says so. */
START_TEST(test_foreign_row_names_its_framework)
{
    const char *const extra[] = {"training.framework=deepspeed", NULL};
    g_autoptr(Inputs) inputs = inputs_with(extra, TRUE);
    g_autoptr(Result) result = predicted(inputs);

    ck_assert_int_eq(result->training.framework, FRAMEWORK_PYTORCH);
    ck_assert_str_eq(result->label, "DDP (PyTorch)");
}
END_TEST

/* A member nobody knows is a warning in the result, and an error with --strict. */
START_TEST(test_strict_turns_warnings_into_errors)
{
    g_autofree char *directory = g_dir_make_tmp("zerosim-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(directory, "model.json", NULL);
    g_autofree char *source = experiment_find_file("workloads/models/gpt2.json", NULL);
    g_autofree char *assignment = g_strconcat("model.config=", file, NULL);
    const char *const extra[] = {assignment, NULL};
    g_autoptr(json_t) model = json_load_file(source, 0, NULL);
    g_autoptr(GError) error = NULL;
    json_object_set_new(model, "no_such_member", json_true());
    ck_assert_int_eq(json_dump_file(model, file, 0), 0);

    g_autoptr(Experiment) experiment = experiment_with(extra);
    g_autoptr(Inputs) lenient = inputs_load(experiment, FALSE, FALSE, NULL);
    ck_assert_uint_eq(lenient->warnings->len, 1);
    ck_assert_ptr_nonnull(strstr(lenient->warnings->pdata[0], "no_such_member"));
    ck_assert_ptr_null(inputs_load(experiment, FALSE, TRUE, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "no_such_member"));
    ck_assert_int_eq(error_exit_status(error), 2);
    g_unlink(file);
    g_rmdir(directory);
}
END_TEST

/* What isn't there or isn't modelled is an input error that names the key. */
START_TEST(test_errors_name_the_key)
{
    static const struct {
        const char *assignment, *word;
    } rows[] = {
        {"gpu.profile=h999", "h999"},
        {"nccl.algorithm=pat", "nccl.algorithm"},
        {"nccl.calibration=dgx", "nccl.calibration"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *const extra[] = {rows[i].assignment, NULL};
        g_autoptr(GError) error = NULL;
        g_autoptr(Experiment) experiment = experiment_with(extra);
        ck_assert_ptr_null(inputs_load(experiment, FALSE, FALSE, &error));
        ck_assert_msg(strstr(error->message, rows[i].word) != NULL, "%s", error->message);
        ck_assert_int_eq(error_exit_status(error), 2);
    }
}
END_TEST

/* An algorithm or protocol by name that doesn't bind all collectives is a warning that lists
 * the others, and only then. */
START_TEST(test_nccl_overrides_that_do_not_apply_are_listed)
{
    static const struct {
        const char *assignment, *strategy, *warning;
    } rows[] = {
        {"nccl.algorithm=tree", "training.strategy=zero3",
         "nccl.algorithm = tree can't run these here, which take what NCCL would choose "
         "without "
         "it: all_gather (ring), reduce_scatter (ring)"},
        {"nccl.algorithm=tree", "training.strategy=ddp", NULL},
        {"nccl.algorithm=ring", "training.strategy=zero3", NULL},
        {"nccl.protocol=simple", "training.strategy=zero3", NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *const extra[] = {rows[i].assignment, rows[i].strategy, NULL};
        g_autoptr(Inputs) inputs = inputs_with(extra, FALSE);
        g_autoptr(Result) result = predicted(inputs);
        ck_assert_uint_eq(result->warnings->len, rows[i].warning != NULL);
        if (rows[i].warning)
            ck_assert_str_eq(result->warnings->pdata[0], rows[i].warning);
    }
}
END_TEST

/* No step is shorter than its kernels on the compute stream. */
START_TEST(test_shortest_step_is_a_lower_bound)
{
    const char *const extra[] = {"training.strategy=zero3", NULL};
    g_autoptr(Inputs) inputs = inputs_with(extra, FALSE);
    g_autoptr(Result) result = predicted(inputs);
    double shortest_s = NAN;

    ck_assert(predict_shortest_s(inputs, &shortest_s, NULL));
    ck_assert_double_gt(shortest_s, 0);
    ck_assert_double_le(shortest_s, result->step_time_s * (1 + 1e-12));
}
END_TEST

/* The search keeps the global batch, gives what fits, and is as fast as any choice by hand. */
START_TEST(test_best_is_no_slower_than_any_choice)
{
    enum { PER_RANK = 4 };
    g_autoptr(Inputs) inputs = inputs_with(NULL, TRUE);
    g_autoptr(Result) best = cmd_compare_best(inputs, STRATEGY_ZERO1, 8 * PER_RANK, NULL, NULL);

    ck_assert_ptr_nonnull(best);
    ck_assert(best->memory.fits);
    ck_assert_int_eq(best->training.global_batch, 8 * PER_RANK);
    for (int micro_batch = 1; micro_batch <= PER_RANK; micro_batch *= 2) {
        g_autofree char *micro = g_strdup_printf("training.micro_batch=%d", micro_batch);
        g_autofree char *accumulation =
            g_strdup_printf("training.gradient_accumulation=%d", PER_RANK / micro_batch);
        const char *const extra[] = {"training.strategy=zero1", micro, accumulation, NULL};
        g_autoptr(Inputs) by_hand = inputs_with(extra, TRUE);
        g_autoptr(Result) result = predicted(by_hand);
        ck_assert_double_le(best->step_time_s, result->step_time_s);
    }
}
END_TEST

static double compute_s(const Schedule *schedule)
{
    double sum_s = 0;
    for (int i = 0; i < schedule_n_ops(schedule); i++)
        sum_s +=
            schedule_op(schedule, i)->kind == OP_COMPUTE ? schedule_op(schedule, i)->work_s : 0;
    return sum_s;
}

/* Nodes of two kinds: each GPU's kernels take what they take where all GPUs are of its kind,
 * nobody is slowed down besides, and utilisation is of the sum of both kinds' peaks. One
 * profile for all is still possible. */
START_TEST(test_each_kind_of_gpu_has_its_profile)
{
    static const char *const platforms[] = {"cluster.platform=1*dgx-h100+1*dgx-a100-80gb",
                                            "cluster.platform=2*dgx-h100",
                                            "cluster.platform=2*dgx-a100-80gb"};
    Inputs *inputs[3];
    Job *jobs[3];

    for (int i = 0; i < 3; i++) {
        const char *const extra[] = {platforms[i], NULL};
        inputs[i] = inputs_with(extra, FALSE);
        jobs[i] = predict_job(inputs[i], NULL);
    }
    ck_assert_uint_eq(jobs[0]->programs->len, 2);
    ck_assert_double_eq(compute_s(job_program(jobs[0], 0)), compute_s(job_program(jobs[1], 0)));
    ck_assert_double_eq(compute_s(job_program(jobs[0], 8)), compute_s(job_program(jobs[2], 0)));
    ck_assert_double_eq(cluster_gpu(inputs[0]->cluster, 0)->speed,
                        cluster_gpu(inputs[0]->cluster, 8)->speed);
    g_autoptr(Result) mixed = predicted(inputs[0]);
    double peak_flop_per_s = 8 * (inputs[1]->profile->peak_flop_per_s[DTYPE_BF16] +
                                  inputs[2]->profile->peak_flop_per_s[DTYPE_BF16]);
    ck_assert_double_eq_tol(mixed->mfu_frac,
                            mixed->model_flops_per_step / mixed->step_time_s / peak_flop_per_s,
                            1e-12);
    ck_assert_str_eq(mixed->gpu_name, "h100-sxm5-80gb+a100-sxm4-80gb");

    for (int i = 0; i < 3; i++) {
        job_free(jobs[i]);
        inputs_free(inputs[i]);
    }
    const char *const one[] = {platforms[0], "gpu.profile=h100-sxm5-80gb", NULL};
    g_autoptr(Inputs) named = inputs_with(one, FALSE);
    g_autoptr(Job) job = predict_job(named, NULL);
    ck_assert_uint_eq(job->programs->len, 1);
    ck_assert_double_lt(cluster_gpu(named->cluster, 8)->speed,
                        cluster_gpu(named->cluster, 0)->speed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("predict");
    TCase *tcase = tcase_create("predict");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, test_sums_hold_for_every_strategy, 0, 3 * N_STRATEGIES);
    tcase_add_test(tcase, test_same_input_same_bytes);
    tcase_add_test(tcase, test_record_is_complete_and_portable);
    tcase_add_test(tcase, test_auto_micro_batch_is_the_largest_that_fits);
    tcase_add_test(tcase, test_auto_micro_batch_divides_a_fixed_global_batch);
    tcase_add_test(tcase, test_inputs_set_keeps_the_cluster);
    tcase_add_test(tcase, test_foreign_row_names_its_framework);
    tcase_add_test(tcase, test_strict_turns_warnings_into_errors);
    tcase_add_test(tcase, test_errors_name_the_key);
    tcase_add_test(tcase, test_nccl_overrides_that_do_not_apply_are_listed);
    tcase_add_test(tcase, test_shortest_step_is_a_lower_bound);
    tcase_add_test(tcase, test_each_kind_of_gpu_has_its_profile);
    tcase_add_test(tcase, test_best_is_no_slower_than_any_choice);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
