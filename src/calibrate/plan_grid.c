/* SPDX-License-Identifier: MIT */
/* The measurements that belong to no model: ceilings and launch costs, optimizers,
 * interference, grids to interpolate in, random shapes to judge interpolation by, convolutions,
 * collectives. */
#include "plan.h"
#include "plan_shapes.h"

#include <stddef.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static void add(Plan *plan, int stage, MeasureKind kind, const char *op, Type type,
                double estimate_s, const int64_t *dimension)
{
    Measurement m = {.kind = kind,
                     .op = plan_op_find(op),
                     .type = type,
                     .stage = stage,
                     .estimate_s = estimate_s};
    for (size_t i = 0; i < plan_n_dimensions(m.op); i++)
        /* Callers give as many as the operation has. */
        m.dimension[i] = dimension[i]; /* NOLINT(clang-analyzer-core.uninitialized.Assign) */
    plan_add(plan, &m);
}

/* The largest square product of each type is its ceiling; a copy of 1 GiB the memory's. */
void plan_facts(Plan *plan, int stage)
{
    static const char *const launches[] = {"launch_back_to_back", "launch_eager",
                                           "graph_replay_gap"};
    static const char *const transfers[] = {"host_to_device", "device_to_host",
                                            "both_directions"};
    static const Type types[] = {TYPE_BF16, TYPE_FP16, TYPE_TF32, TYPE_FP32, TYPE_FP8};
    static const int64_t transfer_bytes[] = {1 << 12, 1 << 16, 1 << 20, 1 << 24, 1 << 28};
    for (size_t i = 0; i < LENGTH(launches); i++)
        add(plan, stage, MEASURE_LAUNCH, launches[i], TYPE_FP32, 0.2, (int64_t[]){1});
    for (size_t i = 0; i < LENGTH(types); i++)
        plan_add_kernel(plan, stage, "gemm", types[i],
                        (int64_t[]){1, 8192, 8192, 8192, LAYOUT_TN});
    for (int64_t bytes = 1 << 12; bytes <= 1 << 30; bytes *= 8) {
        plan_add_kernel(plan, stage, "copy", TYPE_FP32, (int64_t[]){bytes});
        plan_add_kernel(plan, stage, "memset", TYPE_FP32, (int64_t[]){bytes});
    }
    plan_add_kernel(plan, stage, "copy", TYPE_FP32, (int64_t[]){1 << 30});
    for (size_t i = 0; i < LENGTH(transfers); i++)
        for (size_t j = 0; j < LENGTH(transfer_bytes); j++)
            add(plan, stage, MEASURE_TRANSFER, transfers[i], TYPE_FP32, 0.1,
                &transfer_bytes[j]);
}

/* Bytes an element and kernels a chunk, as the simulator's table of optimizers counts them. */
typedef struct {
    Type type;
    int64_t bytes, passes;
} OptimizerShape;

static const OptimizerShape optimizers[] = {
    {TYPE_FP32, 28, 1},   /* fused Adam, AdamW */
    {TYPE_BF16, 14, 1},   /* the same in 16 bits */
    {TYPE_FP32, 80, 8},   /* foreach AdamW */
    {TYPE_BF16, 40, 8},   /* the same in 16 bits */
    {TYPE_FP32, 72, 7},   /* foreach Adam */
    {TYPE_FP32, 12, 1},   /* SGD */
    {TYPE_FP32, 20, 1},   /* fused momentum; fused Lion */
    {TYPE_FP32, 32, 3},   /* foreach momentum */
    {TYPE_FP32, 52, 5},   /* foreach Adagrad, RMSprop */
    {TYPE_FP32, 52, 4},   /* fused LAMB */
    {TYPE_FP32, 108, 12}, /* foreach LAMB */
};

/* ATen/native/cuda/MultiTensorApply.cuh: elements a launch takes. */
#define ELEMENTS_A_LAUNCH (INT64_C(320) * 65536)

void plan_optimizers(Plan *plan, int stage)
{
    static const int64_t elements[] = {100000000, 1000000, 1000000000, 10000000};
    for (size_t i = 0; i < LENGTH(elements); i++)
        for (size_t j = 0; j < LENGTH(optimizers); j++) {
            const int64_t n = elements[i];
            const int64_t chunks = (n + ELEMENTS_A_LAUNCH - 1) / ELEMENTS_A_LAUNCH;
            plan_add_kernel(plan, stage, "optimizer_step", optimizers[j].type,
                            (int64_t[]){n, optimizers[j].bytes, optimizers[j].passes * chunks});
        }
}

void plan_interference(Plan *plan, int stage)
{
    const double s = 1.5;
    add(plan, stage, MEASURE_INTERFERENCE, "gemm", TYPE_BF16, s,
        (int64_t[]){1, 8192, 4096, 4096, LAYOUT_TN});
    add(plan, stage, MEASURE_INTERFERENCE, "gemm", TYPE_BF16, s,
        (int64_t[]){1, 8192, 8192, 8192, LAYOUT_NN});
    add(plan, stage, MEASURE_INTERFERENCE, "gemm", TYPE_BF16, s,
        (int64_t[]){1, 4096, 14336, 8192, LAYOUT_NT});
    add(plan, stage, MEASURE_INTERFERENCE, "cudnn_attention_forward", TYPE_BF16, s,
        (int64_t[]){2, 4096, 32, 32, 128, 1});
    add(plan, stage, MEASURE_INTERFERENCE, "cudnn_attention_backward", TYPE_BF16, s,
        (int64_t[]){2, 4096, 32, 32, 128, 1});
    add(plan, stage, MEASURE_INTERFERENCE, "add", TYPE_BF16, s, (int64_t[]){8192, 4096});
    add(plan, stage, MEASURE_INTERFERENCE, "swiglu_forward", TYPE_BF16, s,
        (int64_t[]){8192, 14336});
    add(plan, stage, MEASURE_INTERFERENCE, "layernorm_backward", TYPE_BF16, s,
        (int64_t[]){8192, 4096});
}

/* xorshift64*: the same probes on every machine. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* Log-uniform between 2^low and 2^high, a multiple of `step`. */
static int64_t random_size(uint64_t *state, int low, int high, int64_t step)
{
    const int exponent = low + (int)(next_random(state) % (uint64_t)(high - low));
    const int64_t base = INT64_C(1) << exponent;
    const int64_t size = base + (int64_t)(next_random(state) % (uint64_t)base);
    return (size + step - 1) / step * step;
}

#define PRODUCT_ESTIMATE_S 0.1

static void add_random_products(Plan *plan, int stage, uint64_t seed, int n, bool probe)
{
    uint64_t state = seed;
    for (int i = 0; i < n; i++) {
        Measurement m = {
            .kind = MEASURE_KERNEL,
            .op = plan_op_find("gemm"),
            .type = TYPE_BF16,
            .dimension = {1, random_size(&state, 9, 15, 8), random_size(&state, 8, 15, 8),
                          random_size(&state, 8, 14, 8), (int64_t)(next_random(&state) % 3)},
            .probe = probe,
            .stage = stage,
            .estimate_s = PRODUCT_ESTIMATE_S};
        plan_add(plan, &m);
    }
}

void plan_gemm_probes(Plan *plan, int stage)
{
    add_random_products(plan, stage, UINT64_C(20240229), 100, true);
}

/* Powers of two fill tiles and multiprocessors in a few ways only: what lies between takes
 * other waves, and is to be interpolated from its like. */
void plan_gemm_irregular(Plan *plan, int stage)
{
    add_random_products(plan, stage, UINT64_C(20250307), 600, false);
}

static void add_products(Plan *plan, int stage, const int64_t *sizes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            for (size_t l = 0; l < n; l++)
                for (int64_t layout = LAYOUT_TN; layout <= LAYOUT_NT; layout++)
                    plan_add_kernel(plan, stage, "gemm", TYPE_BF16,
                                    (int64_t[]){1, sizes[i], sizes[j], sizes[l], layout});
}

void plan_gemm_grid(Plan *plan, int stage)
{
    static const int64_t coarse[] = {256, 1024, 4096, 16384};
    static const int64_t between[] = {512, 2048, 8192};
    add_products(plan, stage, coarse, LENGTH(coarse));
    add_products(plan, stage, between, LENGTH(between));
    for (int64_t n = 1024; n <= 16384; n *= 4)
        plan_add_kernel(plan, stage, "gemm", TYPE_BF16,
                        (int64_t[]){1, 32768, n, 4096, LAYOUT_TN});
}

void plan_attention_grid(Plan *plan, int stage)
{
    static const int64_t head_dims[] = {128, 64, 80, 96, 256};
    for (size_t i = 0; i < LENGTH(head_dims); i++)
        for (int64_t s = 512; s <= 32768; s *= 2)
            for (int64_t variant = 0; variant < 3; variant++) {
                /* not causal, causal, causal with grouped heads */
                const int64_t heads = 2048 / head_dims[i] / 4 * 4;
                const int64_t kv_heads = variant == 2 ? heads / 4 : heads;
                const int64_t batch = s < 8192 ? 8192 / s : 1;
                const int64_t shape[] = {batch, s, heads, kv_heads, head_dims[i], variant > 0};
                plan_add_kernel(plan, stage, "cudnn_attention_forward", TYPE_BF16, shape);
                plan_add_kernel(plan, stage, "cudnn_attention_backward", TYPE_BF16, shape);
            }
}

/* Sizes of gradients, buckets and shards, which belong to no layer. */
void plan_memory_grid(Plan *plan, int stage)
{
    static const char *const ops[] = {"copy", "scale", "accumulate", "norm", "memset"};
    for (int64_t bytes = 1 << 12; bytes <= INT64_C(1) << 32; bytes *= 4) {
        for (size_t i = 0; i < LENGTH(ops); i++)
            plan_add_kernel(plan, stage, ops[i], TYPE_FP32, &bytes);
        if (bytes > 1 << 30)
            continue;
        plan_add_kernel(plan, stage, "cast", TYPE_FP32, (int64_t[]){bytes / 4, 4, 2});
        plan_add_kernel(plan, stage, "cast", TYPE_FP32, (int64_t[]){bytes / 4, 2, 4});
    }
}

/* Channels and the size of the image that they are normalised over. */
static const int64_t maps[][2] = {{64, 112},  {64, 56},  {256, 56}, {128, 56},
                                  {128, 28},  {512, 28}, {256, 28}, {256, 14},
                                  {1024, 14}, {512, 14}, {512, 7},  {2048, 7}};

#define CNN_IMAGES 64

void plan_cnn(Plan *plan, int stage)
{
    static const char *const passes[] = {"convolution_forward", "convolution_backward_input",
                                         "convolution_backward_weight"};
    static const char *const row_ops[] = {"batchnorm_forward", "batchnorm_backward",
                                          "relu_forward", "relu_backward"};
    for (size_t i = 0; i < LENGTH(shipped_convolutions); i++)
        for (size_t j = 0; j < LENGTH(passes); j++) {
            const int64_t *c = shipped_convolutions[i];
            add(plan, stage, MEASURE_KERNEL, passes[j], TYPE_BF16, 0.1,
                (int64_t[]){CNN_IMAGES, c[0], c[1], c[2], c[3], c[4]});
        }
    for (size_t i = 0; i < LENGTH(maps); i++)
        for (size_t j = 0; j < LENGTH(row_ops); j++)
            add(plan, stage, MEASURE_KERNEL, row_ops[j], TYPE_BF16, 0.1,
                (int64_t[]){CNN_IMAGES * maps[i][1] * maps[i][1], maps[i][0]});
    const int64_t pool[] = {CNN_IMAGES, 64, 112, 56};
    add(plan, stage, MEASURE_KERNEL, "maxpool_forward", TYPE_BF16, 0.1, pool);
    add(plan, stage, MEASURE_KERNEL, "maxpool_backward", TYPE_BF16, 0.1, pool);
}

/* Payloads as nccl-tests counts them; `gpus` 0: all that are present. */
void plan_collectives(Plan *plan, int stage)
{
    static const char *const ops[] = {"all_reduce", "all_gather", "reduce_scatter",
                                      "broadcast"};
    for (int64_t bytes = 1 << 10; bytes <= INT64_C(1) << 33; bytes *= 4)
        for (size_t i = 0; i < LENGTH(ops); i++)
            add(plan, stage, MEASURE_COLLECTIVE, ops[i], TYPE_FP32, 0.3, (int64_t[]){0, bytes});
}
