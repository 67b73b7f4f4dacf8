/* SPDX-License-Identifier: MIT */
/* What every schedule must hold, whatever framework, stage and model. */
#include "step_inputs.h"

#include <string.h>

/* Every schedule is valid; its memory is never negative and ends where it began. */
START_TEST(test_memory_returns)
{
    for (int world = 0; world < N_STEP_WORLDS; world++)
        for (int gas = 1; gas <= 3; gas++)
            for (int checkpointing = 0; checkpointing < 3; checkpointing++) {
                Training t = step_setup_training(_i);
                t.gradient_accumulation = gas;
                t.checkpointing = (Checkpointing)checkpointing;
                g_autoptr(Model) model = step_model("gpt2", &t);
                g_autoptr(Job) job = step_job(model, &t, step_worlds[world]);
                for (guint p = 0; p < job->programs->len; p++) {
                    const Schedule *schedule = g_ptr_array_index(job->programs, p);
                    Memory memory = memory_compute(schedule, step_profile->memory_bytes);
                    ck_assert_int_eq(memory.start_bytes, memory.end_bytes);
                    ck_assert_int_ge(memory.peak_bytes, memory.start_bytes);
                    ck_assert_int_gt(memory.start_bytes, 0);
                }
            }
}
END_TEST

/* One rank: no communication, and the forward and backward kernels of plain training. */
START_TEST(test_one_rank)
{
    Training t = step_setup_training(_i);
    t.precision.autocast = FALSE;
    t.precision.forward = DTYPE_BF16;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, 1);
    const Schedule *schedule = job_program(job, 0);
    double forward_s = 0, backward_s = 0;

    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        for (guint k = 0; k < layer->forward->len; k++)
            forward_s +=
                profile_lookup(step_profile, &g_array_index(layer->forward, Kernel, k)).time_s;
        for (guint k = 0; k < layer->backward->len; k++)
            backward_s +=
                profile_lookup(step_profile, &g_array_index(layer->backward, Kernel, k)).time_s;
    }
    ck_assert_double_eq_tol(step_work_s(schedule, "forward "), forward_s, 1e-12);
    ck_assert_double_eq_tol(step_work_s(schedule, "backward "), backward_s, 1e-12);
    for (int i = 0; i < schedule_n_ops(schedule); i++)
        ck_assert_int_ne(schedule_op(schedule, i)->kind, OP_COLLECTIVE);
}
END_TEST

/* Backward needs the input of a block's last linear layer, not its output. */
START_TEST(test_checkpointing_early_stop)
{
    Training t = step_setup_training(0);
    t.checkpointing = CHECKPOINTING_FULL;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) whole = step_job(model, &t, 1);
    t.checkpointing_early_stop = TRUE;
    g_autoptr(Job) stopped = step_job(model, &t, 1);
    double left_out_s = 0;

    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        if (!g_str_has_suffix(layer->name, "mlp.down_proj") &&
            !g_str_has_suffix(layer->name, "mlp.residual"))
            continue;
        for (guint k = 0; k < layer->forward->len; k++)
            left_out_s +=
                profile_lookup(step_profile, &g_array_index(layer->forward, Kernel, k)).time_s;
    }
    ck_assert_double_gt(left_out_s, 0);
    ck_assert_double_eq_tol(step_work_s(job_program(whole, 0), "recompute ") -
                                step_work_s(job_program(stopped, 0), "recompute "),
                            left_out_s, 1e-9);
}
END_TEST

/* Rajbhandari et al. 2020, section 7: 2, 2, 2 and 3 Psi, ring. */
START_TEST(test_checkpointing)
{
    Training t = step_setup_training(_i);
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) plain = step_job(model, &t, 8);
    t.checkpointing = CHECKPOINTING_FULL;
    g_autoptr(Job) checkpointed = step_job(model, &t, 8);
    double blocks_s = 0;

    for (guint i = 0; i < model->layers->len; i++) {
        const Layer *layer = model_layer(model, (int)i);
        if (layer->block < 0 || layer->block >= model->n_blocks)
            continue;
        for (guint k = 0; k < layer->forward->len; k++)
            blocks_s +=
                profile_lookup(step_profile, &g_array_index(layer->forward, Kernel, k)).time_s;
    }
    ck_assert_double_eq_tol(step_work_s(job_program(checkpointed, 0), "recompute "), blocks_s,
                            1e-9);
    ck_assert_double_eq(step_work_s(job_program(plain, 0), "recompute "), 0);
    ck_assert_double_eq_tol(step_work_s(job_program(checkpointed, 0), "forward "),
                            step_work_s(job_program(plain, 0), "forward "), 1e-9);
}
END_TEST

/* Same input, same list. */
START_TEST(test_deterministic)
{
    Training t = step_setup_training(_i);
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) a = step_job(model, &t, 8), b = step_job(model, &t, 8);
    const Schedule *x = job_program(a, 5), *y = job_program(b, 5);

    ck_assert_int_eq(schedule_n_ops(x), schedule_n_ops(y));
    ck_assert_int_eq(memcmp(x->ops->data, y->ops->data, x->ops->len * sizeof(Op)), 0);
}
END_TEST

static void tests_add(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_memory_returns, 0, N_STEP_SETUPS);
    tcase_add_loop_test(tcase, test_one_rank, 0, N_STEP_SETUPS);
    tcase_add_test(tcase, test_checkpointing_early_stop);
    tcase_add_loop_test(tcase, test_checkpointing, 0, N_STEP_SETUPS);
    tcase_add_loop_test(tcase, test_deterministic, 0, N_STEP_SETUPS);
}

int main(void)
{
    return step_suite_run("step", tests_add);
}
