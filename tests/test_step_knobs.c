/* SPDX-License-Identifier: MIT */
/* What each knob of a framework changes, in the direction and size that its source says. */
#include "step_inputs.h"

#include <string.h>

static gint64 peak_bytes(const Job *job)
{
    return memory_compute(job_program(job, 0), step_profile->memory_bytes).peak_bytes;
}

static gint64 persistent_bytes(const Schedule *schedule, MemoryCategory category)
{
    gint64 bytes = 0;

    for (guint i = 0; i < schedule->persistent->len; i++) {
        PersistentBlock block = g_array_index(schedule->persistent, PersistentBlock, i);
        bytes += block.category == category ? block.bytes : 0;
    }
    return bytes;
}

/* gradient_as_bucket_view: one copy of the gradients less, 4 bytes a parameter. */
START_TEST(test_bucket_view)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_DDP);
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) plain = step_job(model, &t, 8);
    t.ddp.gradient_as_bucket_view = TRUE;
    g_autoptr(Job) view = step_job(model, &t, 8);
    int n_plain, n_view;

    ck_assert_int_eq(step_payload(job_program(plain, 0), COLLECTIVE_ALL_REDUCE, &n_plain),
                     step_payload(job_program(view, 0), COLLECTIVE_ALL_REDUCE, &n_view));
    ck_assert_int_eq(n_plain, n_view);
    /* No copy back, and at the end of backward no second copy. */
    ck_assert_double_eq(step_work_s(job_program(view, 0), "copy back"), 0);
    ck_assert_double_gt(step_work_s(job_program(plain, 0), "copy back"), 0);
    ck_assert_int_lt(peak_bytes(view), peak_bytes(plain));
}
END_TEST

/* find_unused_parameters: buckets of the first iteration, the small one last, and a bitmap of
 * an int32 a tensor. */
START_TEST(test_find_unused_parameters)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_DDP);
    t.ddp.find_unused_parameters = TRUE;
    g_autoptr(Model) model = step_model("bert-base", &t);
    g_autoptr(Job) job = step_job(model, &t, 8);
    const Schedule *schedule = job_program(job, 0);
    int count;

    ck_assert_int_eq(step_payload(schedule, COLLECTIVE_ALL_REDUCE, &count),
                     4 * model->n_parameters + 4 * 199);
    t.ddp.static_graph = TRUE;
    g_autoptr(Job) fixed = step_job(model, &t, 8);
    ck_assert_int_eq(step_payload(job_program(fixed, 0), COLLECTIVE_ALL_REDUCE, &count),
                     4 * model->n_parameters);
}
END_TEST

/* Native mixed precision: half the bytes on the wire, 16-bit copies during forward and
 * backward, fp32 gradients behind the reduction. */
START_TEST(test_native_mixed_precision)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_DDP);
    t.ddp.broadcast_buffers = FALSE;
    t.precision = (Precision){DTYPE_FP32, DTYPE_FP32, DTYPE_BF16, DTYPE_BF16, DTYPE_FP32,
                              DTYPE_BF16, DTYPE_FP32, FALSE,      FALSE};
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, 8);
    const Schedule *schedule = job_program(job, 0);
    int count;

    ck_assert_int_eq(step_payload(schedule, COLLECTIVE_ALL_REDUCE, &count),
                     2 * model->n_parameters);
    ck_assert_int_eq(persistent_bytes(schedule, MEMORY_COMMUNICATION_BUFFERS),
                     2 * model->n_parameters);
    ck_assert_int_eq(schedule->model_state_bytes, 16 * model->n_parameters);
    ck_assert_double_gt(step_work_s(schedule, "widen"), 0);
}
END_TEST

/* Units by size: with a limit no module reaches, the root alone is gathered, once. */
START_TEST(test_wrap_none_and_size)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_ZERO3);
    t.fsdp.version = 1;
    t.fsdp.wrap = _i ? WRAP_SIZE : WRAP_NONE;
    t.fsdp.wrap_min_numel = G_MAXINT64;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, 8);
    int n_gathers;

    ck_assert_int_eq(step_payload(job_program(job, 0), COLLECTIVE_ALL_GATHER, &n_gathers),
                     2 * step_test_ceil_divide(model->n_parameters, 8) * 8);
    ck_assert_int_eq(n_gathers, 1);
}
END_TEST

/* Llama-2-7B by size: with 100 million parameters a block (202 million) is a unit, and so are
 * the embedding and the head (131 million each). */
START_TEST(test_wrap_size)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_ZERO3);
    t.fsdp.version = 1;
    t.fsdp.wrap = WRAP_SIZE;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) job = step_job(model, &t, 8);
    int n_scatters;

    step_payload(job_program(job, 0), COLLECTIVE_REDUCE_SCATTER, &n_scatters);
    ck_assert_int_eq(n_scatters, 32 + 2 + 1); /* the final norm is what the root holds */
}
END_TEST

/* Units by name, as torchtitan wraps Llama: the embedding, and norm with head together. The
 * root holds nothing. */
START_TEST(test_wrap_names)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_ZERO3);
    t.fsdp.wrap_names = "*embed_tokens; model.norm, lm_head";
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) job = step_job(model, &t, 8);
    int n_gathers, n_scatters;

    step_payload(job_program(job, 0), COLLECTIVE_REDUCE_SCATTER, &n_scatters);
    step_payload(job_program(job, 0), COLLECTIVE_ALL_GATHER, &n_gathers);
    ck_assert_int_eq(n_scatters, 32 + 2);
    ck_assert_int_eq(n_gathers, 2 * (32 + 2));
}
END_TEST

/* fp8 all-gather: a block's matrices cross the wire in one byte an element, all else in two. */
START_TEST(test_fp8_all_gather)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_ZERO3);
    t.fsdp.fp8_all_gather = TRUE;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) job = step_job(model, &t, 8);
    gint64 expected = 0;
    int count;

    for (guint i = 0; i < model->parameters->len; i++) {
        const Parameter *p = model_parameter(model, (int)i);
        gboolean block = strstr(p->name, "layers.") != NULL;
        expected += (block ? 2 : 1) * p->numel * (block && p->numel > p->rows ? 1 : 2);
    }
    ck_assert_int_eq(step_payload(job_program(job, 0), COLLECTIVE_ALL_GATHER, &count),
                     expected);
}
END_TEST

/* The most that is gathered at once, beside what stays gathered. */
static gint64 most_gathered_bytes(const Schedule *schedule)
{
    gint64 alive = 0, most = 0;

    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->category != MEMORY_GATHERED_PARAMETERS)
            continue;
        alive += op->kind == OP_ALLOC ? op->bytes : op->kind == OP_FREE ? -op->bytes : 0;
        most = MAX(most, alive);
    }
    return most;
}

static gint64 payload_on(const Schedule *schedule, int communicator, CollectiveKind kind)
{
    gint64 bytes = 0;

    for (int i = 0; i < schedule_n_ops(schedule); i++) {
        const Op *op = schedule_op(schedule, i);
        if (op->kind == OP_COLLECTIVE && op->communicator == communicator &&
            op->collective == kind)
            bytes += op->payload_bytes;
    }
    return bytes;
}

/* Hybrid sharding on 4 nodes of 8: gathers and reduce-scatters stay in the node, an all-reduce
 * of the eighth crosses nodes, and a rank holds an eighth of the model states. */
START_TEST(test_hybrid_sharding)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_ZERO3);
    t.fsdp.version = _i;
    t.fsdp.shard_group_size = 8;
    t.fsdp.all_reduce_every_micro_step = TRUE;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) job = step_job(model, &t, 32);
    const Schedule *schedule = job_program(job, 9);
    gint64 root = 2 * G_GINT64_CONSTANT(32000) * 4096 + 4096;
    gint64 blocks = model->n_parameters - root;

    ck_assert_int_eq(payload_on(schedule, 1, COLLECTIVE_ALL_GATHER), 2 * (root + 2 * blocks));
    ck_assert_int_eq(payload_on(schedule, 1, COLLECTIVE_REDUCE_SCATTER), 2 * (root + blocks));
    ck_assert_int_eq(payload_on(schedule, 2, COLLECTIVE_ALL_REDUCE),
                     2 * model->n_parameters / 8);
    ck_assert_int_eq(payload_on(schedule, 0, COLLECTIVE_ALL_GATHER), 0);
    ck_assert_int_eq(schedule->model_state_bytes, 16 * model->n_parameters / 8);
    ck_assert_int_eq(job_group_size(job, 1, 9), 8);
    ck_assert_int_eq(job_group_size(job, 2, 9), 4);
}
END_TEST

/* Replicas that agree in the last micro-step only send once, not in each of 4. */
START_TEST(test_hybrid_sharding_accumulation)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_ZERO3);
    t.fsdp.shard_group_size = 8;
    t.gradient_accumulation = 4;
    t.fsdp.all_reduce_every_micro_step = _i;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) job = step_job(model, &t, 32);

    ck_assert_int_eq(payload_on(job_program(job, 0), 2, COLLECTIVE_ALL_REDUCE),
                     (_i ? 4 : 1) * 2 * model->n_parameters / 8);
}
END_TEST

START_TEST(test_hybrid_sharding_must_divide)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_ZERO3);
    t.fsdp.shard_group_size = 5;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(GError) error = NULL;

    ck_assert_ptr_null(step_build(model, &t, step_profile, 32, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "fsdp.shard_group_size"));
}
END_TEST

/* hpZ: after the first forward of a step weights are gathered inside the node. */
START_TEST(test_hpz)
{
    Training t = step_training(FRAMEWORK_DEEPSPEED, STRATEGY_ZERO3);
    t.deepspeed.max_reuse_distance = 0;
    t.deepspeed.prefetch_bucket_size = 0;
    t.gradient_accumulation = 2;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) plain = step_job(model, &t, 16);
    t.deepspeed.hpz_partition_size = 8;
    g_autoptr(Job) job = step_job(model, &t, 16);
    const Schedule *schedule = job_program(job, 0);
    gint64 small = 65 * 4096, large = model->n_parameters - small;

    ck_assert_int_eq(payload_on(job_program(plain, 0), 0, COLLECTIVE_ALL_GATHER),
                     2 * (4 * large + small));
    ck_assert_int_eq(payload_on(schedule, 0, COLLECTIVE_ALL_GATHER), 2 * (large + small));
    ck_assert_int_eq(payload_on(schedule, 1, COLLECTIVE_ALL_GATHER), 2 * 3 * large);
    ck_assert_int_eq(persistent_bytes(schedule, MEMORY_PARAMETERS) -
                         persistent_bytes(job_program(plain, 0), MEMORY_PARAMETERS),
                     2 * model->n_parameters / 8);
}
END_TEST

/* MiCS: everything is sharded in groups; replicas all-reduce their shard once a step. */
START_TEST(test_mics)
{
    Training t = step_training(FRAMEWORK_DEEPSPEED, STRATEGY_ZERO3);
    t.deepspeed.mics_shard_size = 8;
    t.gradient_accumulation = 2;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) job = step_job(model, &t, 16);
    const Schedule *schedule = job_program(job, 0);

    ck_assert_int_eq(payload_on(schedule, 0, COLLECTIVE_ALL_GATHER), 0);
    ck_assert_int_eq(payload_on(schedule, 1, COLLECTIVE_REDUCE_SCATTER),
                     2 * 2 * model->n_parameters);
    ck_assert_int_eq(payload_on(schedule, 2, COLLECTIVE_ALL_REDUCE),
                     2 * model->n_parameters / 8);
    ck_assert_int_eq(schedule->model_state_bytes, 16 * model->n_parameters / 8);
}
END_TEST

START_TEST(test_groups_must_divide)
{
    Training t = step_training(FRAMEWORK_DEEPSPEED, STRATEGY_ZERO3);
    *(_i ? &t.deepspeed.hpz_partition_size : &t.deepspeed.mics_shard_size) = 3;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(GError) error = NULL;

    ck_assert_ptr_null(step_build(model, &t, step_profile, 16, &error));
    ck_assert_ptr_nonnull(
        strstr(error->message, _i ? "zero_hpz_partition_size" : "mics_shard_size"));
}
END_TEST

/* A compression hook halves an fp32 bucket on the wire. */
START_TEST(test_compression_hook)
{
    Training t = step_training(FRAMEWORK_PYTORCH, STRATEGY_DDP);
    t.ddp.broadcast_buffers = FALSE;
    t.ddp.compress = DTYPE_BF16;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, 8);

    ck_assert_int_eq(payload_on(job_program(job, 0), 0, COLLECTIVE_ALL_REDUCE),
                     2 * model->n_parameters);
    ck_assert_double_gt(step_work_s(job_program(job, 0), "compress"), 0);
    ck_assert_double_gt(step_work_s(job_program(job, 0), "decompress"), 0);
}
END_TEST

/* DeepSpeed's stage 0 reduces behind backward, in buckets that pass 5e8 elements by one tensor
 * at most, and gathers nothing. */
START_TEST(test_deepspeed_stage0)
{
    Training t = step_training(FRAMEWORK_DEEPSPEED, STRATEGY_DDP);
    g_autoptr(Model) model = step_model("gpt2-xl", &t);
    g_autoptr(Job) job = step_job(model, &t, 8);
    int count;

    ck_assert_int_eq(step_payload(job_program(job, 0), COLLECTIVE_ALL_REDUCE, &count),
                     2 * model->n_parameters);
    ck_assert_int_eq(count, 4);
    ck_assert_int_eq(payload_on(job_program(job, 0), 0, COLLECTIVE_ALL_GATHER), 0);
}
END_TEST

/* Leaf modules: ZeRO-3 gathers a block at a time, the same bytes in fewer collectives. */
START_TEST(test_leaf_modules)
{
    Training t = step_training(FRAMEWORK_DEEPSPEED, STRATEGY_ZERO3);
    t.deepspeed.max_reuse_distance = 0;
    t.deepspeed.prefetch_bucket_size = 0;
    g_autoptr(Model) model = step_model("llama-2-7b", &t);
    g_autoptr(Job) layers = step_job(model, &t, 8);
    t.deepspeed.leaf_modules = LEAF_BLOCK;
    g_autoptr(Job) blocks = step_job(model, &t, 8);
    int n_layers, n_blocks;

    ck_assert_int_eq(step_payload(job_program(layers, 0), COLLECTIVE_ALL_GATHER, &n_layers),
                     step_payload(job_program(blocks, 0), COLLECTIVE_ALL_GATHER, &n_blocks));
    /* Embedding, blocks, head, forward and backward; 65 small tensors after the step. */
    ck_assert_int_eq(n_blocks, 2 * (32 + 2) + 65);
    ck_assert_int_eq(n_layers, 2 * (32 * 7 + 2) + 65);
    /* The largest layer is 11008 x 4096; a block's large weights are 4 x 4096^2 + 3 of those.
     */
    ck_assert_int_eq(most_gathered_bytes(job_program(layers, 0)),
                     2 * MAX(G_GINT64_CONSTANT(11008), 32000) * 4096);
    ck_assert_int_eq(most_gathered_bytes(job_program(blocks, 0)),
                     2 * (4 * G_GINT64_CONSTANT(4096) * 4096 + 3 * 11008 * 4096));
}
END_TEST

/* A smaller persistence threshold keeps fewer tensors and gathers them with the rest. */
START_TEST(test_persistence_threshold)
{
    Training t = step_training(FRAMEWORK_DEEPSPEED, STRATEGY_ZERO3);
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) kept = step_job(model, &t, 8);
    t.deepspeed.param_persistence_threshold = 0;
    g_autoptr(Job) none = step_job(model, &t, 8);

    ck_assert_int_eq(persistent_bytes(job_program(kept, 0), MEMORY_GATHERED_PARAMETERS),
                     2 * 121344);
    ck_assert_int_eq(persistent_bytes(job_program(none, 0), MEMORY_GATHERED_PARAMETERS), 0);
}
END_TEST

/* reduce_scatter without the multi-rank all-reduce: each slice travels to its owner once. */
START_TEST(test_reduce_to_owners)
{
    Training t = step_training(FRAMEWORK_DEEPSPEED, STRATEGY_ZERO2);
    t.deepspeed.use_multi_rank_bucket_allreduce = FALSE;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) job = step_job(model, &t, 8);
    int count;

    ck_assert_int_eq(step_payload(job_program(job, 0), COLLECTIVE_REDUCE, &count),
                     2 * model->n_parameters);
    ck_assert_int_eq(step_payload(job_program(job, 0), COLLECTIVE_ALL_REDUCE, &count), 4);
}
END_TEST

/* overlap_comm: a second ipg buffer, and reductions on a stream of their own. */
START_TEST(test_overlap_comm)
{
    Training t = step_training(FRAMEWORK_DEEPSPEED, STRATEGY_ZERO2);
    t.deepspeed.reduce_bucket_size = 20000000;
    g_autoptr(Model) model = step_model("gpt2", &t);
    g_autoptr(Job) serial = step_job(model, &t, 8);
    t.deepspeed.overlap_comm = TRUE;
    g_autoptr(Job) overlapped = step_job(model, &t, 8);
    int n_reduce = 0;

    for (int i = 0; i < schedule_n_ops(job_program(overlapped, 0)); i++)
        n_reduce += schedule_op(job_program(overlapped, 0), i)->stream == STREAM_REDUCE &&
                    schedule_op(job_program(overlapped, 0), i)->kind == OP_COMPUTE;
    ck_assert_int_gt(n_reduce, 0);
    for (int i = 0; i < schedule_n_ops(job_program(serial, 0)); i++)
        ck_assert(schedule_op(job_program(serial, 0), i)->stream != STREAM_REDUCE);
    ck_assert_int_ge(peak_bytes(overlapped) - peak_bytes(serial), 2 * 20000000 - (1 << 20));
}
END_TEST

static void tests_add(TCase *tcase)
{
    tcase_add_test(tcase, test_bucket_view);
    tcase_add_test(tcase, test_find_unused_parameters);
    tcase_add_test(tcase, test_native_mixed_precision);
    tcase_add_loop_test(tcase, test_wrap_none_and_size, 0, 2);
    tcase_add_test(tcase, test_wrap_size);
    tcase_add_test(tcase, test_wrap_names);
    tcase_add_test(tcase, test_fp8_all_gather);
    tcase_add_loop_test(tcase, test_hybrid_sharding, 1, 3);
    tcase_add_loop_test(tcase, test_hybrid_sharding_accumulation, 0, 2);
    tcase_add_test(tcase, test_hybrid_sharding_must_divide);
    tcase_add_test(tcase, test_hpz);
    tcase_add_test(tcase, test_mics);
    tcase_add_loop_test(tcase, test_groups_must_divide, 0, 2);
    tcase_add_test(tcase, test_compression_hook);
    tcase_add_test(tcase, test_deepspeed_stage0);
    tcase_add_test(tcase, test_leaf_modules);
    tcase_add_test(tcase, test_persistence_threshold);
    tcase_add_test(tcase, test_reduce_to_owners);
    tcase_add_test(tcase, test_overlap_comm);
}

int main(void)
{
    return step_suite_run("step_knobs", tests_add);
}
