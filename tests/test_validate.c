/* SPDX-License-Identifier: MIT */
/* Validation: rows of CSV files to outcomes, outcomes to errors by group, and to the table that
 * results read. Rows are small and made up but for figures that follow from a published
 * formula. */
#include "scratch.h"
#include "suite_run.h"
#include "validate_inputs.h"

#include "metrics_expected.h"
#include "validate_errors.h"
#include "validate_estimator.h"
#include "validate_report.h"
#include "validate_summary.h"

#include <check.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

/* ---- CSV ---- */

START_TEST(cells_are_found_by_column)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CsvTable) table = table_of("b,a\n\"x, \"\"y\"\"\n z\",7\n\n only ,\n", &error);
    ck_assert_ptr_nonnull(table);
    ck_assert_uint_eq(table->rows->len, 2);
    const CsvRow *first = table->rows->pdata[0], *second = table->rows->pdata[1];
    ck_assert_str_eq(csv_row_text(first, "b"), "x, \"y\"\n z");
    ck_assert_str_eq(csv_row_text(first, "none"), "");
    ck_assert_str_eq(csv_row_text(second, "b"), "only");
    ck_assert_int_eq(second->line, 5);
    double value = 3;
    ck_assert(csv_row_double(first, "a", 0, 10, &value, &error) && value == 7);
    ck_assert(csv_row_double(second, "a", 0, 10, &value, &error) && value == 7);
    ck_assert(!csv_row_double(first, "a", 0, 5, &value, &error));
    ck_assert_ptr_nonnull(strstr(error->message, ":2: a must be a number from 0 to 5"));
}
END_TEST

static const struct {
    const char *text, *complaint;
} bad_tables[] = {
    {"", "no header"},
    {"a,b,a\n", "column \"a\" is there twice"},
    {"a,b\n1,2,3\n", ":2: more cells than the header has"},
    {"a,b\n1,2\n\"x,3\n", ":3: a quote that is not closed"},
};

START_TEST(bad_tables_name_the_line)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CsvTable) table = table_of(bad_tables[_i].text, &error);
    ck_assert_ptr_null(table);
    ck_assert_msg(strstr(error->message, bad_tables[_i].complaint) != NULL, "%s",
                  error->message);
}
END_TEST

static const struct {
    const char *header;
    int kind; /* -1: none */
} headers[] = {
    {"note,seq_len,n_gpus,n_layer,id\n", VALIDATE_STEPS},
    {"id,params,quantity,value_GB\n", VALIDATE_MEMORY},
    {"id,stage,max_params_B\n", VALIDATE_CAPACITY},
    {"id,bytes,collective,n_gpus\n", VALIDATE_NCCL},
    {"id,bytes\n", -1},
};

START_TEST(kinds_are_told_by_their_columns)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CsvTable) table = table_of(headers[_i].header, &error);
    ValidateKind kind = N_VALIDATE_KINDS;
    const gboolean known = validate_kind_of(table, &kind, &error);
    ck_assert_int_eq(known, headers[_i].kind >= 0);
    if (known)
        ck_assert_int_eq(kind, headers[_i].kind);
    else
        ck_assert_ptr_nonnull(strstr(error->message, "table.csv:1: the header"));
}
END_TEST

/* ---- steps ---- */

#define LLAMA "Llama,,2,128,2,1,512,1000,128"

static const char steps[] = STEP_HEADER
    /* 0 and 1: time and peak; the measured time comes from the throughput */
    "a-1,x," GPT ",A100-80GB,8,2,,bf16,ddp,4,1,1024,none,flash,adamw,none,1024,,0.5,A,?\n"
    /* 2: two nodes, the link said */
    "a-2,x," LLAMA ",A100-80GB,2,4,25,bf16,zero3,4,2,,full,flash2,adamw,none,,0.5,,A,\n"
    /* 3: no strategy */
    "a-3,x," GPT ",A100-80GB,8,2,,bf16,,4,1,1024,none,flash,adamw,none,,1,,A,\n"
    /* 4: a GPU that nobody knows */
    "a-4,x," GPT ",Z9-80GB,8,2,,bf16,ddp,4,1,1024,none,flash,adamw,none,,1,,A,\n"
    /* 5: a GPU by its longest prefix, checkpointing and attention unsaid */
    "a-5,x," GPT ",A100X-97GB,,2,,bf16,ddp,4,,,,,,,,1,,A,\n"
    /* 6: a last micro-step of half a micro-batch */
    "a-6,x," GPT ",A100-80GB,8,2,,bf16,ddp,4,2,1536,none,flash,adamw,none,,1,,A,\n"
    /* 7: not a number */
    "a-7,x," GPT ",A100-80GB,8,2,,bf16,ddp,four,2,1536,none,flash,adamw,none,,1,,A,\n"
    /* 8: other people's compiler */
    "b-1,JAX Pax," GPT ",A100-80GB,8,2,,bf16,ddp,4,1,,none,flash,adamw,none,,1,,A,\n"
    /* 9: DeepSpeed's stage 1 */
    "c-1,DeepSpeed," GPT ",A100-80GB,8,2,,fp16,zero1,4,1,,none,flash,adam,none,,1,,B,\n";

START_TEST(steps_become_predictions)
{
    g_autoptr(GPtrArray) outcomes = outcomes_of(steps);
    ck_assert_uint_eq(outcomes->len, 10);
    for (guint i = 0; i < outcomes->len; i++) {
        const Outcome *outcome = outcome_at(outcomes, i);
        const gboolean fails = i == 3 || i == 4 || i == 7;
        ck_assert_msg(fails == !isfinite(outcome->predicted), "row %u: %s", i, outcome->reason);
        ck_assert_int_eq(fails, *outcome->reason != '\0');
    }
    const Outcome *time = outcome_at(outcomes, 0), *peak = outcome_at(outcomes, 1);
    ck_assert_str_eq(time->quantity, "step_time_s");
    ck_assert_double_eq_tol(time->measured, 0.5, 1e-12); /* 1024 tokens by 2 x 1024 a second */
    ck_assert_str_eq(peak->quantity, "peak_bytes");
    ck_assert_double_eq(peak->measured, 0.5 * 1073741824);
    ck_assert_double_gt(peak->predicted, 16 * time->parameters); /* Adam's states and more */
    ck_assert(!time->too_large);
    ck_assert_str_eq(time->source, "a");
    ck_assert_str_eq(time->stack, "pytorch");
}
END_TEST

#define TRUTH_HEADER                                                                           \
    "id,source_title,source_locator,model,params_B,n_layer,d_model,n_head,d_ff,vocab,"         \
    "seq_len,gpu,gpus_per_node,n_gpus,precision,strategy,micro_batch_per_gpu,grad_accum,"      \
    "act_checkpoint,attention_impl,optimizer,cpu_offload,step_time_s,note,quality,forward_s,"  \
    "backward_s,optimizer_s,kernel_gemm_s,kernel_norm_s,kernel_other_s\n"
#define TRUTH_ROW(id, precision, how, gemm)                                                    \
    id ",zerosim results/truth,results/truth/truth.py,gpt2,0.124,12,768,12,3072,50257,1024,"   \
       "NVIDIA H100 80GB HBM3,1,1," precision ",ddp,8,1,none,sdpa,adamw,none,0.1,AdamW " how   \
       ",A,0.02,0.05,0.003," gemm ",,0.001\n"

static const char truth[] = TRUTH_HEADER TRUTH_ROW("t-1", "bf16", "fused", "0.03")
    TRUTH_ROW("t-2", "bf16 autocast", "fused", "0.03") TRUTH_ROW("t-3", "bf16", "foreach", "x");

/* What truth.py writes: phases and classes of kernels are compared beside the step, and a row
 * is taken at its word. All figures are made up. */
START_TEST(parts_of_a_step_are_compared)
{
    static const char *const quantities[] = {"step_time_s", "forward_s", "backward_s",
                                             "optimizer_s", "kernel_gemm_s"};
    g_autoptr(GPtrArray) outcomes = outcomes_of(truth);
    ck_assert_uint_eq(outcomes->len, 15);
    for (guint i = 0; i < outcomes->len; i++) {
        const Outcome *outcome = outcome_at(outcomes, i);
        ck_assert_str_eq(outcome->quantity, quantities[i % 5]);
        if (i == 14) { /* not a number */
            ck_assert_str_ne(outcome->reason, "");
            continue;
        }
        ck_assert_msg(outcome->predicted > 0, "%u: %s", i, outcome->reason);
        ck_assert_double_gt(outcome->measured, 0);
    }
    /* autocast steps fp32 parameters, foreach passes over memory several times */
    ck_assert_double_gt(outcome_at(outcomes, 8)->predicted,
                        1.5 * outcome_at(outcomes, 3)->predicted);
    ck_assert_double_gt(outcome_at(outcomes, 13)->predicted,
                        1.5 * outcome_at(outcomes, 3)->predicted);
}
END_TEST

START_TEST(what_a_row_leaves_out_is_noted)
{
    g_autoptr(GPtrArray) outcomes = outcomes_of(steps);
    const char *assumed = outcome_at(outcomes, 5)->assumed;
    static const char *const notes[] = {"GPU a100",
                                        "GPUs a node",
                                        "attention sdpa",
                                        "optimizer adamw",
                                        "activation checkpointing none",
                                        "no gradient accumulation"};
    for (gsize i = 0; i < G_N_ELEMENTS(notes); i++)
        ck_assert_msg(strstr(assumed, notes[i]) != NULL, "%s lacks %s", assumed, notes[i]);
    ck_assert_ptr_null(strstr(outcome_at(outcomes, 2)->assumed, "network"));
    ck_assert_ptr_nonnull(strstr(outcome_at(outcomes, 3)->reason, "strategy"));
    ck_assert_ptr_nonnull(strstr(outcome_at(outcomes, 4)->reason, "profile"));
    ck_assert_ptr_nonnull(strstr(outcome_at(outcomes, 7)->reason, ":8: micro_batch_per_gpu"));
    ck_assert_str_eq(outcome_at(outcomes, 8)->stack, "jax-xla");
    ck_assert_str_eq(outcome_at(outcomes, 9)->stack, "deepspeed");
}
END_TEST

/* Half of the second micro-step is left out, so the step is three quarters of two whole ones.
 */
START_TEST(uneven_batches_are_taken_in_proportion)
{
    g_autoptr(GPtrArray) outcomes = outcomes_of(
        STEP_HEADER
        "a-1,x," GPT ",A100-80GB,8,2,,bf16,ddp,4,2,1536,none,flash,adamw,none,,1,,A,\n"
        "a-2,x," GPT ",A100-80GB,8,2,,bf16,ddp,4,2,2048,none,flash,adamw,none,,1,,A,\n");
    ck_assert_double_eq_tol(outcome_at(outcomes, 0)->predicted,
                            0.75 * outcome_at(outcomes, 1)->predicted, 1e-9);
    ck_assert_ptr_nonnull(strstr(outcome_at(outcomes, 0)->assumed, "in proportion"));
}
END_TEST

/* FLOPs done over FLOPs needed say how much of the forward pass was run again. */
START_TEST(selective_checkpointing_lies_between)
{
    g_autoptr(GPtrArray) outcomes = outcomes_of(
        STEP_HEADER
        "a-1,x," LLAMA ",A100-80GB,8,2,,bf16,zero3,4,1,,none,flash,adamw,none,,1,,A,\n"
        "a-2,x," LLAMA ",A100-80GB,8,2,,bf16,zero3,4,1,,selective,flash,adamw,none,,1,,A,\n"
        "a-3,x," LLAMA ",A100-80GB,8,2,,bf16,zero3,4,1,,full,flash,adamw,none,,1,,A,\n");
    const double none = outcome_at(outcomes, 0)->predicted;
    const double full = outcome_at(outcomes, 2)->predicted;
    ck_assert_double_gt(full, none);
    ck_assert_double_eq_tol(outcome_at(outcomes, 1)->predicted, (none + full) / 2, 1e-12);
}
END_TEST

/* ---- memory, capacity, collectives ---- */

/* Rajbhandari et al. 2020, figure 1: 120, 31.4, 16.6 and 1.9 GB for 7.5e9 parameters on 64
 * GPUs; and what DeepSpeed's documentation prints for its estimators. */
START_TEST(model_states_follow_the_papers)
{
    g_autoptr(GPtrArray) outcomes = outcomes_of(
        "id,source,params,stage,dp,offload,quantity,value_GB,unit_def,note,kind\n"
        "m-1,ZeRO,7500000000,zero1,64,none,model states per device,31.4,1e9,,analytic\n"
        "m-2,ZeRO,7500000000,zero2,64,none,model states per device,16.6,1e9,,analytic\n"
        "m-3,ZeRO,7500000000,zero3,64,none,model states per device,1.88,1e9,,analytic\n"
        "m-4,DeepSpeed,2851000000,zero3,8,none,GPU memory per GPU,6.1,2^30,"
        "zero_init=1; largest layer 32M params,estimator output\n"
        "m-5,DeepSpeed,2851000000,zero3,8,optimizer,CPU memory per node,63.74,2^30,"
        "zero_init=1; largest layer 32M params,estimator output\n"
        "m-6,x,1000000000,zero3,8,none,peak,5,1e9,,measured\n");
    for (guint i = 0; i < 5; i++)
        ck_assert_double_lt(fabs(outcome_error_frac(outcome_at(outcomes, i))), 0.005);
    ck_assert_ptr_nonnull(strstr(outcome_at(outcomes, 5)->reason, "no micro-batch"));
}
END_TEST

START_TEST(estimators_follow_deepspeed)
{
    EstimatorInput in = {.parameters = 1e9, .n_gpus = 16, .gpus_per_node = 8};
    ck_assert_double_eq(estimator_gpu_bytes(&in), 2e9 + 18e9 / 16);
    ck_assert_double_eq(estimator_cpu_bytes(&in), 1e9 * 4 * 8 * 1.5);
    in.offload_optimizer = TRUE;
    ck_assert_double_eq(estimator_gpu_bytes(&in), 2e9);
    ck_assert_double_eq(estimator_cpu_bytes(&in), 1e9 * 4 * 16 * 1.5);
    in.stage3 = in.offload_parameters = TRUE;
    in.largest_layer_parameters = 1e8;
    ck_assert_double_eq(estimator_gpu_bytes(&in), 4e8);
    ck_assert_double_eq(estimator_cpu_bytes(&in), 1e9 * 32 * 1.5);
    in.zero_init = TRUE;
    ck_assert_double_eq(estimator_cpu_bytes(&in), 1e9 * 9 * 1.5);
}
END_TEST

/* 32e9 bytes by 16, 4 + 12 / 64, and 16 / 64 bytes a parameter; a measured one must hold a
 * step's whole memory and is smaller. */
START_TEST(capacities_are_found)
{
    g_autoptr(GPtrArray) outcomes =
        outcomes_of("id,source,MP,gpus,dp,stage,kind,max_params_B,gpu\n"
                    "c-1,ZeRO,1,64,64,ddp,theoretical,2,V100-32GB\n"
                    "c-2,ZeRO,1,64,64,zero1,theoretical,7.6418,V100-32GB\n"
                    "c-3,ZeRO,2,128,,zero3,theoretical,256,V100-32GB\n"
                    "c-4,ZeRO,1,64,64,zero1,measured,6.2,V100-32GB\n");
    for (guint i = 0; i < 3; i++)
        ck_assert_double_lt(fabs(outcome_error_frac(outcome_at(outcomes, i))), 1e-4);
    const double measured = outcome_at(outcomes, 3)->predicted;
    ck_assert_double_gt(measured, 1e9);
    ck_assert_double_lt(measured, 7.6418e9);
}
END_TEST

START_TEST(collectives_are_replayed)
{
    g_autoptr(GPtrArray) outcomes = outcomes_of(
        "id,gpu,gpus_per_node,n_gpus,network,collective,bytes,time_us,algbw_GBps,algo_proto,"
        "net_GBps_per_gpu,health,group\n"
        "n-1,A100,8,8,NVSwitch,all_reduce,1073741824,,134,Ring,,ok,g\n"
        "n-2,A100,8,8,NVSwitch,all_reduce,2147483648,16000,,Ring,,ok,g\n"
        "n-3,A100,8,8,NVSwitch,all_to_everything,1024,10,,,,ok,g\n");
    const Outcome *one = outcome_at(outcomes, 0), *two = outcome_at(outcomes, 1);
    ck_assert_double_eq_tol(one->measured, 1073741824 / 134e9, 1e-12);
    ck_assert_double_gt(two->predicted, 1.9 * one->predicted);
    ck_assert_double_lt(two->predicted, 2.1 * one->predicted);
    ck_assert_ptr_nonnull(strstr(outcome_at(outcomes, 2)->reason, "\"all_to_everything\""));
}
END_TEST

/* ---- summaries ---- */

static void add_step(GPtrArray *outcomes, const char *strategy, double predicted,
                     double measured)
{
    Outcome *outcome = outcome_new(VALIDATE_STEPS, "s-1", "step_time_s", "s");
    char **const texts[] = {&outcome->strategy, &outcome->stack, &outcome->quality,
                            &outcome->provenance, &outcome->source};
    const char *const values[] = {strategy, "pytorch", "A", "roofline", "s"};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_free(*texts[i]);
        *texts[i] = g_strdup(values[i]);
    }
    outcome->n_gpus = 8;
    outcome->predicted = predicted;
    outcome->measured = measured;
    g_ptr_array_add(outcomes, outcome);
}

/* Six rows of zero3, one missed, and one of ddp; a row without a measured value counts nowhere.
 */
static GPtrArray *made_up_steps(void)
{
    GPtrArray *outcomes = g_ptr_array_new_with_free_func((GDestroyNotify)outcome_free);
    static const double errors[] = {-0.4, -0.1, 0.1, 0.2, 0.3};
    for (gsize i = 0; i < G_N_ELEMENTS(errors); i++)
        add_step(outcomes, "zero3", 2 * (1 + errors[i]), 2);
    add_step(outcomes, "zero3", NAN, 2);
    add_step(outcomes, "ddp", 1, 2);
    add_step(outcomes, "ddp", 1, NAN);
    return outcomes;
}

START_TEST(groups_have_errors_and_coverage)
{
    g_autoptr(GPtrArray) outcomes = made_up_steps();
    g_autoptr(GPtrArray) groups =
        summary_compute(outcomes, &validate_classes[0], GROUP_STRATEGY);
    ck_assert_uint_eq(groups->len, 2);
    const GroupErrors *zero3 = groups->pdata[0], *ddp = groups->pdata[1];
    ck_assert_str_eq(zero3->name, "zero3");
    ck_assert_int_eq(zero3->n_rows, 6);
    ck_assert_int_eq(zero3->n_predicted, 5);
    ck_assert_double_eq_tol(zero3->median_error_frac, 0.2, 1e-12);
    ck_assert_double_eq_tol(zero3->p90_error_frac, 0.36, 1e-12);
    ck_assert_double_eq_tol(zero3->worst_error_frac, 0.4, 1e-12);
    ck_assert_double_eq_tol(zero3->median_bias_frac, 0.1, 1e-12);
    ck_assert_int_eq(ddp->n_rows, 1);
    ck_assert_double_eq_tol(ddp->geometric_mean_error_frac, 1, 1e-12);
}
END_TEST

static char *written(const char *format, const GPtrArray *outcomes)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    validate_format(format, NULL)->write(outcomes, out);
    fclose(out);
    return text;
}

START_TEST(tables_say_what_is_not_validated)
{
    g_autoptr(GPtrArray) outcomes = made_up_steps();
    char *text = written("table", outcomes);
    ck_assert_ptr_nonnull(strstr(text, "step time, PyTorch, quality A"));
    ck_assert_ptr_nonnull(strstr(strstr(text, "  ddp "), "not validated"));
    ck_assert_ptr_null(strstr(text, "JAX"));
    free(text);
}
END_TEST

START_TEST(csv_has_the_promised_columns)
{
    g_autoptr(GPtrArray) outcomes = made_up_steps();
    outcome_assume(outcomes->pdata[0], "a, b");
    char *text = written("csv", outcomes);
    ck_assert(g_str_has_prefix(
        text, "id,quantity,unit,predicted,measured,error_frac,used_for_fit,assumed,reason\n"
              "s-1,step_time_s,s,1.2,2.0,-0.4,false,\"a, b\",\n"));
    ck_assert_ptr_nonnull(strstr(text, "\ns-1,step_time_s,s,,2.0,,false,,\n"));
    free(text);
}
END_TEST

/* A result reads the quantiles of its own kind, and nothing where there are too few rows. */
START_TEST(results_read_the_errors_written)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) outcomes = made_up_steps();
    g_autofree char *file = scratch_write("errors.json", "");
    ck_assert(validate_errors_write(outcomes, file, &error));
    ExpectedErrorKey key = {"pytorch", "zero3", "roofline", 4};
    ExpectedError expected;
    ck_assert(expected_error_lookup(file, &key, &expected, &error));
    ck_assert_double_eq_tol(expected.p50_frac, 0.2, 1e-6);
    ck_assert_double_eq_tol(expected.p90_frac, 0.36, 1e-6);
    key.strategy = "ddp";
    ck_assert(expected_error_lookup(file, &key, &expected, &error));
    ck_assert_double_eq(expected.p50_frac, 0);
    key = (ExpectedErrorKey){"pytorch", "zero3", "roofline", 512};
    ck_assert(expected_error_lookup(file, &key, &expected, &error));
    ck_assert_double_eq(expected.p50_frac, 0);
    g_autofree char *bad = scratch_write("bad.json", "{\"format\": \"x\", \"version\": 1}");
    ck_assert(!expected_error_lookup(bad, &key, &expected, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "bad.json"));
}
END_TEST

/* The tables that come with the program can be read, and are of the four kinds. */
START_TEST(shipped_rows_can_be_read)
{
    static const char *const names[] = {"steps.csv", "memory.csv", "capacity.csv", "nccl.csv"};
    g_autoptr(GError) error = NULL;
    ValidateKind kind;
    g_autofree char *file = g_build_filename(g_getenv("ZEROSIM_DATA_DIR"), "results",
                                             "validation", names[_i], NULL);
    g_autoptr(CsvTable) table = csv_table_load(file, &error);
    ck_assert_msg(table != NULL, "%s", error ? error->message : "");
    ck_assert(validate_kind_of(table, &kind, &error));
    ck_assert_int_eq(kind, _i);
    ck_assert_uint_gt(table->rows->len, 20);
}
END_TEST

static Suite *validate_suite(void)
{
    Suite *suite = suite_create("validate");
    TCase *tcase = tcase_create("validate");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, scratch_set_up, scratch_tear_down);
    tcase_add_test(tcase, cells_are_found_by_column);
    tcase_add_loop_test(tcase, bad_tables_name_the_line, 0, G_N_ELEMENTS(bad_tables));
    tcase_add_loop_test(tcase, kinds_are_told_by_their_columns, 0, G_N_ELEMENTS(headers));
    tcase_add_test(tcase, steps_become_predictions);
    tcase_add_test(tcase, parts_of_a_step_are_compared);
    tcase_add_test(tcase, what_a_row_leaves_out_is_noted);
    tcase_add_test(tcase, uneven_batches_are_taken_in_proportion);
    tcase_add_test(tcase, selective_checkpointing_lies_between);
    tcase_add_test(tcase, model_states_follow_the_papers);
    tcase_add_test(tcase, estimators_follow_deepspeed);
    tcase_add_test(tcase, capacities_are_found);
    tcase_add_test(tcase, collectives_are_replayed);
    tcase_add_test(tcase, groups_have_errors_and_coverage);
    tcase_add_test(tcase, tables_say_what_is_not_validated);
    tcase_add_test(tcase, csv_has_the_promised_columns);
    tcase_add_test(tcase, results_read_the_errors_written);
    tcase_add_loop_test(tcase, shipped_rows_can_be_read, 0, 4);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return suite_run(validate_suite());
}
