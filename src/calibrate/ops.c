/* SPDX-License-Identifier: MIT */
/* The vocabulary: operations and their dimensions, spelled as the simulator's kernel table
 * spells them (a test holds the two together), then those that only the profile's other
 * sections use. */
#include "plan.h"

#include <string.h>

#define ROWS                                                                                   \
    {                                                                                          \
        "rows", "width"                                                                        \
    }
#define ATTENTION                                                                              \
    {                                                                                          \
        "batch", "sequence", "heads", "kv_heads", "head_dim", "causal"                         \
    }
#define CONVOLUTION                                                                            \
    {                                                                                          \
        "images", "in_channels", "out_channels", "kernel_size", "in_size", "out_size"          \
    }
#define POOL                                                                                   \
    {                                                                                          \
        "images", "channels", "in_size", "out_size"                                            \
    }

static const PlanOp ops[] = {
    {"gemm", {"batch", "m", "n", "k", "layout"}, "cuBLASLt"},
    {"cudnn_attention_forward", ATTENTION, "cuDNN"},
    {"cudnn_attention_backward", ATTENTION, "cuDNN"},
    {"convolution_forward", CONVOLUTION, "cuDNN"},
    {"convolution_backward_input", CONVOLUTION, "cuDNN"},
    {"convolution_backward_weight", CONVOLUTION, "cuDNN"},
    {"batchnorm_forward", ROWS, "cuDNN"},
    {"batchnorm_backward", ROWS, "cuDNN"},
    {"maxpool_forward", POOL, "cuDNN"},
    {"maxpool_backward", POOL, "cuDNN"},
    {"relu_forward", ROWS, NULL},
    {"relu_backward", ROWS, NULL},
    {"softmax_forward", ROWS, NULL},
    {"softmax_backward", ROWS, NULL},
    {"layernorm_forward", ROWS, NULL},
    {"layernorm_backward", ROWS, NULL},
    {"rmsnorm_forward", ROWS, NULL},
    {"rmsnorm_backward", ROWS, NULL},
    {"rmsnorm_python_forward", ROWS, NULL},
    {"rmsnorm_python_backward", ROWS, NULL},
    {"gelu_forward", ROWS, NULL},
    {"gelu_backward", ROWS, NULL},
    {"gelu_python_forward", ROWS, NULL},
    {"gelu_python_backward", ROWS, NULL},
    {"swiglu_forward", ROWS, NULL},
    {"swiglu_backward", ROWS, NULL},
    {"rope_forward", ROWS, NULL},
    {"rope_backward", ROWS, NULL},
    {"dropout_forward", ROWS, NULL},
    {"dropout_backward", ROWS, NULL},
    {"add", ROWS, NULL},
    {"column_sum", ROWS, NULL},
    {"tanh_forward", ROWS, NULL},
    {"tanh_backward", ROWS, NULL},
    {"embedding_forward", ROWS, NULL},
    {"embedding_backward", {"rows", "width", "vocabulary"}, NULL},
    {"cross_entropy_forward", ROWS, NULL},
    {"cross_entropy_backward", ROWS, NULL},
    {"copy", {"bytes"}, NULL},
    {"cast", {"elements", "read_bytes", "write_bytes"}, NULL},
    {"memset", {"bytes"}, NULL},
    {"scale", {"bytes"}, NULL},
    {"accumulate", {"bytes"}, NULL},
    {"norm", {"bytes"}, NULL},
    {"optimizer_step", {"elements", "traffic_bytes_per_element", "launches"}, NULL},
    /* Of the other sections. */
    {"launch_back_to_back", {"threads"}, NULL},
    {"launch_eager", {"threads"}, NULL},
    {"graph_replay_gap", {"threads"}, NULL},
    {"host_to_device", {"bytes"}, NULL},
    {"device_to_host", {"bytes"}, NULL},
    {"both_directions", {"bytes"}, NULL},
    {"layer_forward",
     {"tokens", "hidden", "inner", "q_width", "kv_width", "gated"},
     "cuBLASLt"},
    {"all_reduce", {"gpus", "bytes"}, "NCCL"},
    {"all_gather", {"gpus", "bytes"}, "NCCL"},
    {"reduce_scatter", {"gpus", "bytes"}, "NCCL"},
    {"broadcast", {"gpus", "bytes"}, "NCCL"},
};

const PlanOp *plan_op_find(const char *name)
{
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (strcmp(ops[i].name, name) == 0)
            return &ops[i];
    }
    return NULL;
}

size_t plan_n_dimensions(const PlanOp *op)
{
    size_t n = 0;
    while (n < PLAN_MAX_DIMENSIONS && op->dimensions[n])
        n++;
    return n;
}

const char *plan_type_name(Type type)
{
    static const char *const names[N_TYPES] = {"fp32", "tf32", "bf16", "fp16", "fp8"};
    return names[type];
}

int plan_type_bytes(Type type)
{
    static const int bytes[N_TYPES] = {4, 4, 2, 2, 1};
    return bytes[type];
}

const char *plan_kind_name(MeasureKind kind)
{
    static const char *const names[N_MEASURE_KINDS] = {
        "kernel", "sustained", "interference", "chain", "launch", "transfer", "collective",
    };
    return names[kind];
}
