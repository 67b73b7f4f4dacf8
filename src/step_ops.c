/* SPDX-License-Identifier: MIT */
/* The ops that frameworks' hooks are made of: kernels, casts, blocks of memory, collectives
 * with their waits, gradients that accumulate, the optimizer. No framework's rules are here. */
#include "step_walk.h"

gint64 step_numel(const Step *step, int parameter)
{
    return model_parameter(step->model, parameter)->numel;
}

gint64 step_ceil_divide(gint64 dividend, gint64 divisor)
{
    return (dividend + divisor - 1) / divisor;
}

gint64 step_state_bytes(const Step *step)
{
    gint64 bytes = 0;

    for (guint p = 0; p < step->model->parameters->len; p++) {
        const Parameter *parameter = model_parameter(step->model, (int)p);
        bytes += optimizer_state_bytes(&step->training->optimizer, parameter->rows,
                                       parameter->numel / parameter->rows,
                                       step->training->precision.state);
    }
    return bytes;
}

gint64 step_largest_numel(const Step *step)
{
    gint64 largest = 0;

    for (guint p = 0; p < step->model->parameters->len; p++)
        largest = MAX(largest, step_numel(step, (int)p));
    return largest;
}

int step_compute(Step *step, Stream stream, const char *verb, const char *name,
                 const Kernel *kernels, int n_kernels)
{
    g_autofree char *label = g_strdup_printf("%s %s", verb, name);

    if (n_kernels == 0)
        return -1;
    return schedule_compute(step->schedule, stream, step->phase, label, kernels, n_kernels,
                            step->profile);
}

int step_stream_kernel(Step *step, Stream stream, const char *verb, const char *name,
                       KernelOp op, gint64 bytes)
{
    Kernel kernel = {.op = op, .dtype = DTYPE_FP32, .dimension = {bytes}};

    return bytes == 0 ? -1 : step_compute(step, stream, verb, name, &kernel, 1);
}

int step_cast(Step *step, Stream stream, const char *verb, const char *name, gint64 elements,
              DType from, DType to)
{
    Kernel kernel = {.op = KERNEL_CAST,
                     .dtype = to,
                     .dimension = {elements, dtype_bytes(from), dtype_bytes(to)}};

    return elements == 0 ? -1 : step_compute(step, stream, verb, name, &kernel, 1);
}

int step_alloc(Step *step, Stream stream, const char *verb, const char *name,
               MemoryCategory category, gint64 bytes)
{
    g_autofree char *label = g_strdup_printf("%s %s", verb, name);

    return schedule_alloc(step->schedule, stream, step->phase, label, category, bytes);
}

void step_release(Step *step, Stream stream, int *alloc)
{
    schedule_release(step->schedule, stream, step->phase, *alloc);
    *alloc = -1;
}

int step_collective_on(Step *step, int communicator, Stream after, const char *verb,
                       const char *name, CollectiveKind kind, gint64 payload_bytes, int root)
{
    g_autofree char *label = g_strdup_printf("%s %s", verb, name);

    if (job_group_size(step->job, communicator, step->rank) == 1 || payload_bytes == 0)
        return -1;
    schedule_wait_stream(step->schedule, stream_of_communicator(communicator), after);
    return schedule_collective_on(step->schedule, communicator, step->phase, label, kind,
                                  payload_bytes, root);
}

int step_collective(Step *step, Stream after, const char *verb, const char *name,
                    CollectiveKind kind, gint64 payload_bytes, int root)
{
    return step_collective_on(step, 0, after, verb, name, kind, payload_bytes, root);
}

void step_scalar_all_reduce(Step *step, const char *name, gint64 bytes)
{
    int op = step_collective(step, STREAM_COMPUTE, "all_reduce", name, COLLECTIVE_ALL_REDUCE,
                             bytes, 0);

    schedule_host_wait(step->schedule, op);
}

void step_accumulate_gradient(Step *step, int parameter)
{
    const char *name = model_parameter(step->model, parameter)->name;
    int *stored = &step->stored_gradient[parameter];

    if (*stored < 0) {
        *stored = step->gradient[parameter];
        step->gradient[parameter] = -1;
        return;
    }
    step_stream_kernel(step, STREAM_COMPUTE, "accumulate", name, KERNEL_ACCUMULATE,
                       step_numel(step, parameter) *
                           dtype_bytes(step->training->precision.forward));
    step_release(step, STREAM_COMPUTE, &step->gradient[parameter]);
}

void step_release_gradients(Step *step)
{
    for (guint p = 0; p < step->model->parameters->len; p++)
        step_release(step, STREAM_COMPUTE, &step->stored_gradient[p]);
}

void step_optimize(Step *step, const char *name, gint64 numel, gint64 n_tensors, DType dtype)
{
    const Optimizer *optimizer = &step->training->optimizer;
    Kernel kernel =
        optimizer_kernel(optimizer, numel, n_tensors, dtype, step->training->precision.state);
    gint64 temporary = optimizer_temporary_bytes(optimizer, numel,
                                                 MIN(numel, step_largest_numel(step)), dtype);

    if (numel == 0)
        return;
    int block = step_alloc(step, STREAM_COMPUTE, "optimizer temporaries", name,
                           MEMORY_TEMPORARIES, temporary);
    step_compute(step, STREAM_COMPUTE, "optimizer", name, &kernel, 1);
    step_release(step, STREAM_COMPUTE, &block);
}

void step_clip(Step *step, gint64 gradient_bytes, int shards)
{
    if (step->training->gradient_clipping <= 0)
        return;
    step_stream_kernel(step, STREAM_COMPUTE, "norm", "gradients", KERNEL_NORM, gradient_bytes);
    if (shards >= 0)
        schedule_wait(step->schedule, STREAM_COMPUTE,
                      step_collective_on(step, shards, STREAM_COMPUTE, "norm", "gradients",
                                         COLLECTIVE_ALL_REDUCE, 4, 0));
    step_stream_kernel(step, STREAM_COMPUTE, "clip", "gradients", KERNEL_SCALE, gradient_bytes);
}
