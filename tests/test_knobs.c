/* SPDX-License-Identifier: MIT */
/* One row a knob, as a user sets it: a base experiment, what is changed, what of the step
 * changes with it and by how much, in numbers written out here from the framework's rules.
 * GPT-2 with 8 GPUs; "psi" counts its parameters. Knobs with tests of their own in
 * test_step_knobs.c and test_step_volumes.c are not repeated. */
#include "knob_runs.h"
#include "suite_run.h"

#include <check.h>
#include <math.h>
#include <string.h>

/* ---- the table ---- */

/* gpt2: 148 tensors, of which a block has 7,087,872 elements. */
#define BLOCK 7087872.0
#define ATTN_C_PROJ (768.0 * 768 + 768)
#define C_FC (768.0 * 3072 + 3072)
#define WTE (50257.0 * 768)
/* Tensors of at most 100,000 elements, which ZeRO-3 keeps. */
#define SMALL 121344.0

#define DDP "training.strategy=ddp training.precision=autocast-bf16"
#define FSDP "training.strategy=zero3 training.precision=autocast-bf16"
#define FSDP1 FSDP " fsdp.version=1"
#define DEEPSPEED(strategy)                                                                    \
    "training.framework=deepspeed training.precision=bf16 training.strategy=" strategy
#define ZERO "deepspeed.zero_optimization."
#define RESNET DDP " model.config=workloads/models/resnet50.json"
#define TO_OWNERS                                                                              \
    DEEPSPEED("zero2")                                                                         \
    " " ZERO "use_multi_rank_bucket_allreduce=false " ZERO "reduce_bucket_size=8000000"
/* Rows and columns of GPT-2's 50 matrices; the longer side of each, which has a scale in qgZ,
 * and an eighth of that; the vectors are SMALL. */
#define SIDES (50257.0 + 768 + 1024 + 768 + 12 * (3072 + 1536 + 2 * 3840))
#define LONGER (50257.0 + 1024 + 12 * (2304 + 768 + 2 * 3072))
#define LONGER_EIGHTH (6282.0 + 128 + 12 * (288 + 96 + 2 * 384))
#define POWERSGD DDP " ddp.comm_hook=powerSGD"
#define ONE_BY_ONE DEEPSPEED("zero3") " " ZERO "stage3_prefetch_bucket_size=0"
#define TWO_NODES DEEPSPEED("zero3") " cluster.nodes=2"
#define QGZ ZERO "zero_quantized_gradients=true"
#define FP32_SUMS "deepspeed.data_types.grad_accum_dtype=fp32"

typedef struct {
    const char *base, *change;
    double (*read)(const KnobRun *run, int argument);
    int argument;
    double psi, more; /* the reading changes by psi parameters, and by more */
} Knob;

static const Knob knobs[] = {
    /* One bucket for all. With a cap of its own the first bucket is closed by the first
     * gradient that reaches it, block 11's c_attn, not by mlp.c_proj. ResNet-50's 26,560
     * channels are normalised: mean and variance each, and 53 counters. */
    {DDP, "ddp.bucket_cap_mb=1e6", knob_n_collectives, COLLECTIVE_ALL_REDUCE, 0, 1 - 13},
    {DDP, "ddp.bucket_cap_mb=25", knob_first_bytes, COLLECTIVE_ALL_REDUCE, 0,
     4 * (C_FC + 2 * 768 + ATTN_C_PROJ + 2304 + 768 * 2304.0)},
    {DDP, "ddp.first_bucket_bytes=1", knob_first_bytes, COLLECTIVE_ALL_REDUCE, 0,
     -4 * (2 * 768 + 768 * 3072.0)},
    {RESNET, "ddp.broadcast_buffers=false", knob_payload_bytes, COLLECTIVE_BROADCAST, 0,
     -(4 * 2 * 26560 + 8 * 53)},
    {DDP, "ddp.static_graph=true", knob_n_collectives, COLLECTIVE_ALL_REDUCE, 0, 0},
    {DDP, "ddp.gradient_as_bucket_view=true", knob_most_bytes, MEMORY_COMMUNICATION_BUFFERS, -4,
     0},
    {DDP " training.precision=fp32", "ddp.mixed_precision=bf16", knob_payload_bytes,
     COLLECTIVE_ALL_REDUCE, -2, 0},
    {DDP, "ddp.comm_hook=bf16_compress", knob_payload_bytes, COLLECTIVE_ALL_REDUCE, -2, 0},
    {DDP " training.gradient_accumulation=4", "ddp.no_sync=false", knob_payload_bytes,
     COLLECTIVE_ALL_REDUCE, 3 * 4, 0},
    {DDP " training.strategy=zero1", "ddp.parameters_as_bucket_view=true", knob_n_collectives,
     COLLECTIVE_BROADCAST, 0, KNOB_N_RANKS - 148},

    /* Two factors of each matrix, and the vectors as they are. Errors of everything are kept,
     * and the factors. */
    {DDP, "ddp.comm_hook=powerSGD", knob_payload_bytes, COLLECTIVE_ALL_REDUCE, -4,
     4 * (SMALL + SIDES)},
    {POWERSGD, "ddp.matrix_approximation_rank=4", knob_payload_bytes, COLLECTIVE_ALL_REDUCE, 0,
     4 * 3 * SIDES},
    {POWERSGD, "ddp.min_compression_rate=1e6", knob_payload_bytes, COLLECTIVE_ALL_REDUCE, 4,
     -4 * (SMALL + SIDES)},
    {POWERSGD, "ddp.start_powerSGD_iter=10", knob_payload_bytes, COLLECTIVE_ALL_REDUCE, 0, 0},
    {POWERSGD, "ddp.use_error_feedback=false", knob_most_bytes, MEMORY_COMMUNICATION_BUFFERS,
     -4, 0},
    {POWERSGD, "ddp.warm_start=false", knob_most_bytes, MEMORY_COMMUNICATION_BUFFERS, 0,
     -4 * SIDES},

    /* The root is gathered once, a block twice, everything reduced once; wte is padded to
     * 50,264 rows. */
    {FSDP, "fsdp.reshard_after_forward=false", knob_payload_bytes, COLLECTIVE_ALL_GATHER, 0,
     -2 * 12 * BLOCK},
    /* An integer: a copy of 1/4 between forward and backward, which gathers among those four. 1
     * is false, all ranks are true. */
    {FSDP, "fsdp.reshard_after_forward=4", knob_held_bytes, MEMORY_GATHERED_PARAMETERS, 0,
     2 * 12 * BLOCK / 4},
    {FSDP, "fsdp.reshard_after_forward=4", knob_gathered_apart_bytes, PHASE_BACKWARD, 0,
     2 * 12 * BLOCK},
    {FSDP, "fsdp.reshard_after_forward=4", knob_gathered_apart_bytes, PHASE_FORWARD, 0, 0},
    {FSDP, "fsdp.reshard_after_forward=4", knob_payload_bytes, COLLECTIVE_ALL_GATHER, 0, 0},
    {FSDP, "fsdp.reshard_after_forward=4", knob_payload_bytes, COLLECTIVE_REDUCE_SCATTER, 0, 0},
    {FSDP, "fsdp.reshard_after_forward=1", knob_held_bytes, MEMORY_GATHERED_PARAMETERS, 0,
     2 * 12 * BLOCK},
    {FSDP, "fsdp.reshard_after_forward=8", knob_gathered_apart_bytes, PHASE_BACKWARD, 0, 0},
    {FSDP " fsdp.shard_group_size=4", "fsdp.reshard_after_forward=2", knob_held_bytes,
     MEMORY_GATHERED_PARAMETERS, 0, 2 * 12 * BLOCK / 2},
    {FSDP, "fsdp.wrap=none", knob_n_collectives, COLLECTIVE_ALL_GATHER, 0, 1 - 25},
    {FSDP, "training.reduce_dtype=fp32", knob_payload_bytes, COLLECTIVE_REDUCE_SCATTER, 2,
     2 * 7 * 768},
    {FSDP, "training.reduce_dtype=fp32", knob_payload_bytes, COLLECTIVE_ALL_GATHER, 0, 0},
    {FSDP, "training.precision=fp32", knob_payload_bytes, COLLECTIVE_ALL_GATHER, 2,
     2 * (7 * 768 + 12 * BLOCK)},
    /* Forward keeps the last output until the next copy-out; backward frees it at once. */
    {FSDP, "fsdp.forward_prefetch_units=4", knob_n_gathering, PHASE_FORWARD, 0, 4 - 2},
    {FSDP, "fsdp.backward_prefetch_units=3", knob_n_gathering, PHASE_BACKWARD, 0, 3 - 1},
    {FSDP, "fsdp.backward_prefetch_units=0", knob_n_gathering, PHASE_BACKWARD, 0, 0},
    {FSDP1, "fsdp.forward_prefetch=true", knob_n_unsharded, PHASE_FORWARD, 0, 1},
    {FSDP1, "fsdp.backward_prefetch=post", knob_n_unsharded, PHASE_BACKWARD, 0, -1},
    {FSDP1, "fsdp.backward_prefetch=none", knob_n_unsharded, PHASE_BACKWARD, 0, -1},
    /* From block 2 on in forward, and all but the second block of backward. */
    {FSDP1, "fsdp.limit_all_gathers=false", knob_n_host_waits, 0, 0, -(10 + 11)},

    /* Forward and both gradients of four linear layers a block, and the head. */
    {DDP " cluster.platform=dgx-h100", "training.precision=fp8", knob_n_products, DTYPE_FP8, 0,
     3 * (4 * 12 + 1)},
    {DDP " cluster.platform=dgx-h100 training.precision=fp8", "training.fp8_except=lm_head",
     knob_n_products, DTYPE_FP8, 0, -3},
    {DDP " cluster.platform=dgx-h100", "training.precision=fp8", knob_payload_bytes,
     COLLECTIVE_ALL_REDUCE, 0, 0},
    /* Compiled, gelu_new's chain of eight kernels a block is one of a fused kind. */
    {DDP, "training.compile=true", knob_n_launches, KERNEL_GELU_PYTHON_FORWARD, 0, -12 * 8},

    {DEEPSPEED("zero2"), "deepspeed.communication_data_type=fp32", knob_payload_bytes,
     COLLECTIVE_ALL_REDUCE, 2, 0},
    {DEEPSPEED("zero2"), ZERO "contiguous_gradients=false", knob_most_bytes,
     MEMORY_COMMUNICATION_BUFFERS, 0, -2 * 5e8},
    {DEEPSPEED("zero2"), ZERO "overlap_comm=true", knob_most_bytes,
     MEMORY_COMMUNICATION_BUFFERS, 0, 2 * 5e8},
    /* Two buckets of five to six blocks, one of the rest, and wte alone. */
    {DEEPSPEED("zero2"), ZERO "reduce_bucket_size=40000000", knob_n_collectives,
     COLLECTIVE_ALL_REDUCE, 0, 4 - 1},
    {DEEPSPEED("zero2"), ZERO "reduce_bucket_size=40000000", knob_largest_bytes,
     COLLECTIVE_ALL_REDUCE, -2, 2 * WTE},
    {DEEPSPEED("zero2"), ZERO "reduce_scatter=false", knob_payload_bytes, COLLECTIVE_ALL_REDUCE,
     0, 0},
    {DEEPSPEED("zero2"), ZERO "reduce_scatter=false", knob_n_launches, KERNEL_COPY, 0, -1},
    {DEEPSPEED("zero1") " " ZERO "reduce_scatter=false", "deepspeed.prescale_gradients=true",
     knob_n_launches, KERNEL_SCALE, 0, 0},
    {DEEPSPEED("zero1") " " ZERO "reduce_scatter=false",
     "deepspeed.gradient_predivide_factor=2", knob_n_launches, KERNEL_SCALE, 0, 1},
    /* The owners that each of 13 buckets touches: one or two neighbours, or nearly all. */
    {TO_OWNERS, ZERO "round_robin_gradients=true", knob_n_collectives, COLLECTIVE_REDUCE, 0,
     64 - 20},
    {TO_OWNERS, ZERO "round_robin_gradients=true", knob_payload_bytes, COLLECTIVE_REDUCE, 0, 0},
    /* 50 large weights, gathered one after the other or in three lots; max_live_parameters
     * holds prefetching up, and no more. Reusing nothing, the tied wte is gathered four times.
     * The 98 small tensors that nothing keeps come with the rest. */
    {DEEPSPEED("zero3"), ZERO "stage3_prefetch_bucket_size=0", knob_n_collectives,
     COLLECTIVE_ALL_GATHER, 0, 50 - 3},
    {DEEPSPEED("zero3") " " ZERO "stage3_prefetch_bucket_size=0",
     ZERO "stage3_max_reuse_distance=0", knob_payload_bytes, COLLECTIVE_ALL_GATHER, 2,
     -2 * SMALL + 2 * 2 * WTE},
    {DEEPSPEED("zero3"), ZERO "stage3_max_live_parameters=1", knob_n_collectives,
     COLLECTIVE_ALL_GATHER, 0, 50 - 3},
    {DEEPSPEED("zero3"), ZERO "stage3_model_persistence_threshold=0", knob_n_collectives,
     COLLECTIVE_ALL_GATHER, 0, -98},
    {DEEPSPEED("zero3"), "deepspeed.communication_data_type=fp32", knob_payload_bytes,
     COLLECTIVE_REDUCE_SCATTER, 2, 0},
    {DEEPSPEED("zero3"), ZERO "contiguous_gradients=false", knob_most_bytes,
     MEMORY_COMMUNICATION_BUFFERS, 0, -2 * 5e8},
    {DEEPSPEED("zero3"), ZERO "sub_group_size=1", knob_n_collectives, COLLECTIVE_ALL_REDUCE, 0,
     148 - 1},
    {DEEPSPEED("zero3"), ZERO "reduce_scatter=false", knob_n_collectives,
     COLLECTIVE_REDUCE_SCATTER, 0, -1},
    {DEEPSPEED("zero3"), ZERO "reduce_scatter=false", knob_payload_bytes, COLLECTIVE_ALL_REDUCE,
     2, 0},

    /* Each gather of the 50 weights is followed by one of its scales. */
    {ONE_BY_ONE, ZERO "zero_quantized_weights=true", knob_n_collectives, COLLECTIVE_ALL_GATHER,
     0, 50},
    {ONE_BY_ONE, ZERO "zero_quantized_nontrainable_weights=true", knob_n_collectives,
     COLLECTIVE_ALL_GATHER, 0, 0},
    /* Half a byte an element in the node, an eighth of that between the two nodes. */
    {TWO_NODES, QGZ, knob_payload_bytes, COLLECTIVE_REDUCE_SCATTER, -2, 2 * SMALL},
    {TWO_NODES, QGZ, knob_payload_bytes, COLLECTIVE_ALL_TO_ALL, 0.5 + 0.5 / 8,
     -(0.5 + 0.5 / 8) * SMALL + 4 * (LONGER + LONGER_EIGHTH)},
    {TWO_NODES " " QGZ, ZERO "zeropp_loco_param.err_beta=0.8", knob_most_bytes,
     MEMORY_COMMUNICATION_BUFFERS, 1 + 1.0 / 8,
     -(1 + 1.0 / 8) * SMALL + 4 * (LONGER + LONGER_EIGHTH)},
    {DEEPSPEED("zero3"), QGZ, knob_payload_bytes, COLLECTIVE_ALL_TO_ALL, 0, 0},
    {TWO_NODES " " ZERO "mics_shard_size=16", ZERO "mics_hierarchical_params_gather=true",
     knob_payload_bytes, COLLECTIVE_ALL_GATHER, 2.0 / 8, -2.0 / 8 * SMALL},
    /* Attention's 2,362,368 parameters over 3 modules are 787,456, a block's 7,087,872 over 9
     * are 787,541; the MLP has more over 3, and the whole more over 114. */
    {ONE_BY_ONE, ZERO "stage3_module_granularity_threshold=787455", knob_n_collectives,
     COLLECTIVE_ALL_GATHER, 0, 0},
    {ONE_BY_ONE, ZERO "stage3_module_granularity_threshold=787540", knob_n_collectives,
     COLLECTIVE_ALL_GATHER, 0, -12},
    {ONE_BY_ONE, ZERO "stage3_module_granularity_threshold=787541", knob_n_collectives,
     COLLECTIVE_ALL_GATHER, 0, 12 - 48},
    {ONE_BY_ONE " " ZERO "stage3_module_granularity_threshold=787541",
     ZERO "stage3_use_all_reduce_for_fetch_params=true", knob_payload_bytes,
     COLLECTIVE_ALL_REDUCE, 0, 2 * (12 * BLOCK - 12 * 9984)},

    /* BF16_Optimizer in the place of stage 1: fp32 gradients of the whole model; one all-reduce
     * in 16 bit, and no scalar for the norm. */
    {DEEPSPEED("zero1"), FP32_SUMS, knob_model_state_bytes, 0, 4, 0},
    {DEEPSPEED("zero1"), FP32_SUMS, knob_payload_bytes, COLLECTIVE_ALL_REDUCE, 0, -4},
    {DEEPSPEED("zero1"), FP32_SUMS, knob_n_collectives, COLLECTIVE_ALL_REDUCE, 0, -1},
    {DEEPSPEED("zero1"), FP32_SUMS, knob_payload_bytes, COLLECTIVE_ALL_GATHER, 0, 0},
    {DEEPSPEED("zero1") " " FP32_SUMS, "deepspeed.communication_data_type=fp32",
     knob_payload_bytes, COLLECTIVE_ALL_REDUCE, 2, 0},
    {DEEPSPEED("zero1") " " FP32_SUMS, "training.gradient_accumulation=4", knob_payload_bytes,
     COLLECTIVE_ALL_REDUCE, 0, 0},
    /* Of a release that had it, stage 0 is sharded: 16 bytes a parameter become 8 + 12/N, and
     * parameters are gathered. */
    {DEEPSPEED("ddp"), "deepspeed.version=0.17.5", knob_model_state_bytes, 0,
     8 + 12.0 / KNOB_N_RANKS - 16, 0},
    {DEEPSPEED("ddp"), "deepspeed.version=0.17.5", knob_payload_bytes, COLLECTIVE_ALL_GATHER, 2,
     0},
    {DEEPSPEED("ddp"), "deepspeed.version=0.17.5", knob_payload_bytes, COLLECTIVE_ALL_REDUCE, 0,
     0},
    /* Accumulation in fp32 elsewhere: whole with stage 1 in fp16 (the gradients themselves then
     * come and go), sharded with stage 3, and not at all with stage 2. */
    {"training.framework=deepspeed training.precision=fp16 training.strategy=zero1", FP32_SUMS,
     knob_model_state_bytes, 0, 2, 0},
    {DEEPSPEED("zero3"), FP32_SUMS, knob_model_state_bytes, 0, 2.0 / KNOB_N_RANKS, 0},
    {DEEPSPEED("zero3"), FP32_SUMS, knob_payload_bytes, COLLECTIVE_REDUCE_SCATTER, 0, 0},
    {DEEPSPEED("zero2"), FP32_SUMS, knob_model_state_bytes, 0, 0, 0},
};

START_TEST(test_knob)
{
    const Knob *knob = &knobs[_i];
    KnobRun base = knob_run_open(knob->base, ""),
            changed = knob_run_open(knob->base, knob->change);
    double psi = (double)base.inputs->model->n_parameters;
    double expected = knob->psi * psi + knob->more;
    double difference =
        knob->read(&changed, knob->argument) - knob->read(&base, knob->argument);

    ck_assert_msg(fabs(difference - expected) < 1, "%s, %s: %.15g, not %.15g", knob->base,
                  knob->change, difference, expected);
    knob_run_close(&base);
    knob_run_close(&changed);
}
END_TEST

/* What the framework would refuse is refused when the step is built. */
static const struct {
    const char *change, *message;
} refused[] = {
    {"fsdp.reshard_after_forward=3",
     "fsdp.reshard_after_forward: 3 doesn't divide the 8 ranks of a shard group"},
    {"fsdp.reshard_after_forward=16",
     "fsdp.reshard_after_forward: 16 doesn't divide the 8 ranks of a shard group"},
    {"fsdp.reshard_after_forward=4 fsdp.version=1",
     "fsdp.reshard_after_forward: 4 is FSDP2's: FSDP1 takes true or false"},
    {"fsdp.reshard_after_forward=4 fsdp.fp8_all_gather=true",
     "fsdp.reshard_after_forward: 4 can't be with fsdp.fp8_all_gather: say true"},
};

START_TEST(test_refused)
{
    GError *error = NULL;
    g_autoptr(Inputs) inputs = knob_inputs(FSDP, refused[_i].change);

    ck_assert_ptr_null(predict_job(inputs, &error));
    ck_assert_str_eq(error->message, refused[_i].message);
    g_error_free(error);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("knobs");
    TCase *tcase = tcase_create("knobs");

    tcase_set_timeout(tcase, 240);
    tcase_add_loop_test(tcase, test_knob, 0, G_N_ELEMENTS(knobs));
    tcase_add_loop_test(tcase, test_refused, 0, G_N_ELEMENTS(refused));
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
