/* SPDX-License-Identifier: MIT */
/* Linear layers: a product forward, two backward, the casts around them, and what they keep.
 * Some stay in 16 bits when the others compute in fp8. Leaves products of a batch of matrices
 * to model_attention.c. */
#include "model_family.h"

/* Bytes an element: the scaled copy and its transpose. Hopper's fp8 products take one layout
 * only (cuBLASLt: A transposed, B not), so each operand, which two products use, is written
 * both ways, in one pass as Transformer Engine's fused cast and transpose does. */
#define FP8_COPIES 2

static DType linear_compute(const ModelBuild *build, const char *name)
{
    const ModelOptions *options = build->options;
    return options->compute == DTYPE_FP8 && model_name_matches(options->fp8_except, name)
               ? build->linear
               : options->compute;
}

static void linear_forward(const ModelBuild *build, const LinearShape *s, DType compute,
                           gint64 numel, gboolean cast_input, GArray *kernels)
{
    int stream = dtype_bytes(build->stream), linear = dtype_bytes(build->linear);
    if (cast_input && !build->options->compile)
        layer_run_cast(kernels, s->rows * s->in, stream, linear);
    if (build->options->autocast)
        layer_run_cast(kernels, numel, stream, linear);
    if (compute == DTYPE_FP8) { /* scaled copies of both operands */
        layer_run_cast(kernels, s->rows * s->in, linear, FP8_COPIES);
        layer_run_cast(kernels, numel, linear, FP8_COPIES);
    }
    layer_run(kernels,
              (Kernel){KERNEL_GEMM,
                       compute,
                       {1, s->rows, s->out, s->in, s->transposed_weight ? GEMM_NN : GEMM_TN}});
}

/* The gradients of input and weight; a weight that is stored as in x out takes the other
 * layouts, and its gradient has its shape. */
static void linear_gradients(const LinearShape *s, DType compute, GArray *kernels)
{
    const gint64 t = s->rows, in = s->in, out = s->out;
    if (s->transposed_weight) {
        layer_run(kernels, (Kernel){KERNEL_GEMM, compute, {1, t, in, out, GEMM_TN}});
        layer_run(kernels, (Kernel){KERNEL_GEMM, compute, {1, in, out, t, GEMM_NT}});
        return;
    }
    layer_run(kernels, (Kernel){KERNEL_GEMM, compute, {1, t, in, out, GEMM_NN}});
    layer_run(kernels, (Kernel){KERNEL_GEMM, compute, {1, out, in, t, GEMM_NT}});
}

static void linear_backward(const ModelBuild *build, const LinearShape *s, DType compute,
                            gint64 numel, gint64 bias, gboolean cast_input, GArray *kernels)
{
    int stream = dtype_bytes(build->stream), linear = dtype_bytes(build->linear);
    if (compute == DTYPE_FP8)
        layer_run_cast(kernels, s->rows * s->out, linear, FP8_COPIES);
    linear_gradients(s, compute, kernels);
    if (bias > 0)
        layer_run(kernels, (Kernel){KERNEL_COLUMN_SUM, build->linear, {s->rows, bias}});
    if (build->options->autocast)
        layer_run_cast(kernels, numel + bias, linear, stream);
    if (cast_input && !build->options->compile)
        layer_run_cast(kernels, s->rows * s->in, linear, stream);
    if (s->shared_input)
        layer_run_elementwise(build, kernels, KERNEL_ADD,
                              s->linear_input ? build->linear : build->stream, s->rows, s->in);
}

void layer_linear(ModelBuild *build, const LinearShape *s)
{
    Layer *layer = layer_append(build, s->name, s->tied_to);
    gint64 numel = s->in * s->out, e = dtype_bytes(build->linear);
    gint64 bias = layer->n_parameters == 2 ? s->out : 0;
    gboolean cast_input = build->options->autocast && !s->linear_input;
    const DType compute = linear_compute(build, s->name);
    linear_forward(build, s, compute, numel, cast_input, layer->forward);
    linear_backward(build, s, compute, numel, bias, cast_input, layer->backward);

    gint64 input = s->rows * s->in * e, output = s->rows * s->out * e;
    layer->saved_bytes = s->shared_input && !cast_input ? 0 : input;
    layer->forward_temporary_bytes = output;
    layer->backward_temporary_bytes = input + output;
    if (build->options->autocast) {
        layer->cast_bytes = (numel + bias) * e;
        layer->backward_temporary_bytes +=
            numel * e; /* the weight's gradient before its cast */
    }
    if (compute == DTYPE_FP8)
        layer->forward_temporary_bytes += s->rows * s->in + numel;
}
