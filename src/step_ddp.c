/* SPDX-License-Identifier: MIT */
/* PyTorch DistributedDataParallel, alone or with ZeroRedundancyOptimizer: every rank keeps all
 * parameters and gradients; gradients are all-reduced in buckets while backward runs. Sources:
 * torch/csrc/distributed/c10d/reducer.cpp, torch/nn/parallel/distributed.py,
 * torch/distributed/optim/zero_redundancy_optimizer.py. The steady step: buckets are rebuilt.
 */
#include "bucket.h"
#include "step_ddp_powersgd.h"
#include "step_walk.h"

#include <string.h>

typedef struct {
    GArray *buckets;    /* Bucket, launch order */
    int *bucket_of;     /* parameter → bucket */
    int *pending;       /* bucket → gradients that are still to come */
    int *reduced;       /* bucket → its all-reduce; -1 */
    int *compressed;    /* bucket → ALLOC of what a compression hook reduces; -1 */
    guint next_bucket;  /* buckets launch strictly in order */
    int low_precision;  /* ALLOC of the parameters' 16-bit copies; -1 */
    int wide_gradients; /* ALLOC of .grad where gradients are widened after the reduction; -1 */
} Ddp;

gboolean step_gives_whole_tensors(const Training *training)
{
    return training->framework == FRAMEWORK_PYTORCH &&
           training_shards_optimizer_states(training) && !training_shards_parameters(training);
}

static int numel_descending(gconstpointer a, gconstpointer b, gpointer model)
{
    int p = *(const int *)a, q = *(const int *)b;
    gint64 x = model_parameter(model, p)->numel, y = model_parameter(model, q)->numel;

    return x != y ? (x < y ? 1 : -1) : p - q;
}

int *step_ddp_owners(const Model *model, int n_ranks)
{
    guint n = model->parameters->len;
    int *owners = g_new(int, n + 1);
    g_autofree int *order = g_new(int, n + 1);
    g_autofree gint64 *load = g_new0(gint64, n_ranks);

    for (guint i = 0; i < n; i++)
        order[i] = (int)i;
    g_qsort_with_data(order, (gint)n, sizeof(int), numel_descending, (gpointer)model);
    for (guint i = 0; i < n; i++) {
        int least = 0;
        for (int rank = 1; rank < n_ranks; rank++)
            if (load[rank] < load[least])
                least = rank;
        owners[order[i]] = least;
        load[least] += model_parameter(model, order[i])->numel;
    }
    return owners;
}

/* Native mixed precision: the layers see 16-bit copies of the parameters. */
static gboolean casts_parameters(const Step *step)
{
    return step->training->precision.forward != step->training->precision.parameter;
}

static gboolean synchronises(const Step *step)
{
    return step->last_micro_step || !step->training->ddp.no_sync;
}

/* A single rank is trained without the wrapper: no buckets, no copies. */
static gboolean wrapped(const Step *step)
{
    return step->n_ranks > 1;
}

/* Elements, tensors and bytes of optimizer state that this rank updates. */
static void share_measure(const Step *step, gint64 *numel, gint64 *n_tensors,
                          gint64 *state_bytes)
{
    *numel = *n_tensors = *state_bytes = 0;
    for (guint p = 0; p < step->model->parameters->len; p++) {
        const Parameter *parameter = model_parameter(step->model, (int)p);
        if (step->owners && step->owners[p] != step->rank)
            continue;
        *numel += parameter->numel;
        *n_tensors += 1;
        *state_bytes += optimizer_state_bytes(&step->training->optimizer, parameter->rows,
                                              parameter->numel / parameter->rows,
                                              step->training->precision.state);
    }
}

static void persistent_memory(Step *step)
{
    const Precision *precision = &step->training->precision;
    gint64 n = step->model->n_parameters, numel, n_tensors, state_bytes;
    gint64 bucket_bytes = n * dtype_bytes(precision->reduce);

    share_measure(step, &numel, &n_tensors, &state_bytes);
    schedule_persistent(step->schedule, "parameters", MEMORY_PARAMETERS,
                        n * dtype_bytes(precision->parameter));
    schedule_persistent(step->schedule, "buffers", MEMORY_PARAMETERS,
                        step->model->buffer_bytes);
    schedule_persistent(step->schedule, "optimizer states", MEMORY_OPTIMIZER_STATES,
                        state_bytes);
    if (!wrapped(step))
        bucket_bytes = 0;
    if (step->training->ddp.gradient_as_bucket_view)
        schedule_persistent(step->schedule, "gradients in buckets", MEMORY_GRADIENTS,
                            bucket_bytes);
    else
        schedule_persistent(step->schedule, "buckets", MEMORY_COMMUNICATION_BUFFERS,
                            bucket_bytes);
    step->schedule->model_state_bytes =
        n * (dtype_bytes(precision->parameter) + dtype_bytes(precision->gradient)) +
        state_bytes;
}

static GArray *buckets_rebuilt(const Step *step, int bytes_per_element)
{
    const DdpKnobs *knobs = &step->training->ddp;
    g_autofree int *order = bucket_ready_order(step->model);

    return bucket_assign(step->model, order, bytes_per_element, knobs->first_bucket_bytes,
                         knobs->bucket_cap_bytes);
}

/* With unused parameters in a dynamic graph the buckets of the first iteration stay:
 * registration order, then reversed, so that the small bucket is reduced last. */
static GArray *buckets_before_rebuild(const Step *step, int bytes_per_element)
{
    const DdpKnobs *knobs = &step->training->ddp;
    guint n = step->model->parameters->len;
    g_autofree int *order = g_new(int, n + 1);

    for (guint p = 0; p < n; p++)
        order[p] = (int)p;
    GArray *buckets = bucket_assign(step->model, order, bytes_per_element,
                                    knobs->first_bucket_bytes, knobs->bucket_cap_bytes);
    for (guint b = 0; b < buckets->len / 2; b++) {
        Bucket *front = &g_array_index(buckets, Bucket, b);
        Bucket *back = &g_array_index(buckets, Bucket, buckets->len - 1 - b);
        Bucket swap = *front;
        *front = *back;
        *back = swap;
    }
    return buckets;
}

static void ddp_start(Step *step)
{
    Ddp *ddp = g_new0(Ddp, 1);
    const DdpKnobs *knobs = &step->training->ddp;
    int bytes_per_element = dtype_bytes(step->training->precision.reduce);

    step->state = ddp;
    ddp->low_precision = ddp->wide_gradients = -1;
    ddp->buckets = knobs->find_unused_parameters && !knobs->static_graph
                       ? buckets_before_rebuild(step, bytes_per_element)
                       : buckets_rebuilt(step, bytes_per_element);
    ddp->bucket_of = g_new(int, step->model->parameters->len + 1);
    ddp->pending = g_new(int, ddp->buckets->len + 1);
    ddp->reduced = g_new(int, ddp->buckets->len + 1);
    ddp->compressed = g_new(int, ddp->buckets->len + 1);
    for (guint b = 0; b < ddp->buckets->len; b++) {
        const Bucket *bucket = &g_array_index(ddp->buckets, Bucket, b);
        for (int i = 0; i < bucket->n_parameters; i++)
            ddp->bucket_of[bucket->parameters[i]] = (int)b;
    }
    persistent_memory(step);
    if (knobs->powersgd.enabled && wrapped(step))
        powersgd_persistent(step, ddp->buckets);
}

/* The 16-bit copies are made on a stream of their own before forward. */
static void low_precision_make(Step *step)
{
    Ddp *ddp = step->state;
    const Precision *precision = &step->training->precision;
    gint64 n = step->model->n_parameters;

    if (!casts_parameters(step))
        return;
    ddp->low_precision = step_alloc(step, STREAM_REDUCE, "16-bit copies", "parameters",
                                    MEMORY_TEMPORARIES, n * dtype_bytes(precision->forward));
    schedule_wait_stream(step->schedule, STREAM_REDUCE, STREAM_COMPUTE);
    int cast = step_cast(step, STREAM_REDUCE, "cast", "parameters", n, precision->parameter,
                         precision->forward);
    schedule_wait(step->schedule, STREAM_COMPUTE, cast);
}

/* Buffers are broadcast from rank 0 in the forward after a synchronising backward. */
static void ddp_begin_micro_step(Step *step)
{
    const DdpKnobs *knobs = &step->training->ddp;

    step->phase = PHASE_FORWARD;
    low_precision_make(step);
    if (!knobs->broadcast_buffers || (knobs->no_sync && step->micro_step > 0))
        return;
    int broadcast = step_collective(step, STREAM_COMPUTE, "broadcast", "buffers",
                                    COLLECTIVE_BROADCAST, step->model->buffer_bytes, 0);
    schedule_wait(step->schedule, STREAM_COMPUTE, broadcast);
}

static void ddp_begin_backward(Step *step)
{
    Ddp *ddp = step->state;

    ddp->next_bucket = 0;
    for (guint b = 0; b < ddp->buckets->len; b++) {
        ddp->pending[b] = g_array_index(ddp->buckets, Bucket, b).n_parameters;
        ddp->reduced[b] = ddp->compressed[b] = -1;
    }
}

/* A compression hook casts the bucket to a temporary, which is what is reduced. */
static gboolean compresses(const Step *step)
{
    return dtype_bytes(step->training->ddp.compress) <
           dtype_bytes(step->training->precision.reduce);
}

static gint64 bucket_wire_bytes(const Step *step, guint b)
{
    const Ddp *ddp = step->state;
    gint64 bytes = g_array_index(ddp->buckets, Bucket, b).bytes;

    return compresses(step) ? bytes / dtype_bytes(step->training->precision.reduce) *
                                  dtype_bytes(step->training->ddp.compress)
                            : bytes;
}

static void bucket_launch(Step *step, guint b)
{
    Ddp *ddp = step->state;
    const Precision *precision = &step->training->precision;
    g_autofree char *name = g_strdup_printf("bucket %u", b);
    gint64 bytes = g_array_index(ddp->buckets, Bucket, b).bytes;

    if (step->training->ddp.powersgd.enabled) {
        ddp->reduced[b] = powersgd_reduce(step, &g_array_index(ddp->buckets, Bucket, b), name);
        return;
    }
    if (compresses(step)) {
        ddp->compressed[b] = step_alloc(step, STREAM_COMPUTE, "compressed", name,
                                        MEMORY_TEMPORARIES, bucket_wire_bytes(step, b));
        step_cast(step, STREAM_COMPUTE, "compress", name,
                  bytes / dtype_bytes(precision->reduce), precision->reduce,
                  step->training->ddp.compress);
    }
    ddp->reduced[b] = step_collective(step, STREAM_COMPUTE, "all_reduce", name,
                                      COLLECTIVE_ALL_REDUCE, bucket_wire_bytes(step, b), 0);
}

/* The gradient is added to .grad, then scaled by 1/world_size on its way into the bucket. With
 * bucket views .grad becomes the bucket's slice and its own storage goes. */
static void ddp_gradient_ready(Step *step, int parameter)
{
    Ddp *ddp = step->state;

    step_accumulate_gradient(step, parameter);
    if (!synchronises(step) || !wrapped(step))
        return;
    step_stream_kernel(step, STREAM_COMPUTE, "copy to bucket",
                       model_parameter(step->model, parameter)->name, KERNEL_COPY,
                       step_numel(step, parameter) *
                           dtype_bytes(step->training->precision.reduce));
    if (step->training->ddp.gradient_as_bucket_view || casts_parameters(step))
        step_release(step, STREAM_COMPUTE, &step->stored_gradient[parameter]);
    ddp->pending[ddp->bucket_of[parameter]]--;
    while (ddp->next_bucket < ddp->buckets->len && ddp->pending[ddp->next_bucket] == 0)
        bucket_launch(step, ddp->next_bucket++);
}

static void bucket_finalize(Step *step, guint b)
{
    Ddp *ddp = step->state;
    const Precision *precision = &step->training->precision;
    gint64 bytes = g_array_index(ddp->buckets, Bucket, b).bytes;
    g_autofree char *name = g_strdup_printf("bucket %u", b);

    schedule_wait(step->schedule, STREAM_COMPUTE, ddp->reduced[b]);
    if (compresses(step)) {
        step_cast(step, STREAM_COMPUTE, "decompress", name,
                  bytes / dtype_bytes(precision->reduce), step->training->ddp.compress,
                  precision->reduce);
        step_release(step, STREAM_COMPUTE, &ddp->compressed[b]);
    }
    if (casts_parameters(step)) {
        if (ddp->wide_gradients < 0)
            ddp->wide_gradients =
                step_alloc(step, STREAM_COMPUTE, "fp32", "gradients", MEMORY_GRADIENTS,
                           step->model->n_parameters * dtype_bytes(precision->gradient));
        step_cast(step, STREAM_COMPUTE, "widen", name, bytes / dtype_bytes(precision->reduce),
                  precision->reduce, precision->gradient);
    } else if (!step->training->ddp.gradient_as_bucket_view) {
        step_stream_kernel(step, STREAM_COMPUTE, "copy back", name, KERNEL_COPY, bytes);
    }
}

/* finalize_backward: waits bucket after bucket and copies the result back into .grad. */
static void ddp_end_backward(Step *step)
{
    Ddp *ddp = step->state;

    step_release(step, STREAM_COMPUTE, &ddp->low_precision);
    if (!synchronises(step) || !wrapped(step))
        return;
    if (step->training->ddp.find_unused_parameters && !step->training->ddp.static_graph)
        schedule_wait(step->schedule, STREAM_COMPUTE,
                      step_collective(step, STREAM_COMPUTE, "all_reduce", "used parameters",
                                      COLLECTIVE_ALL_REDUCE,
                                      4 * (gint64)step->model->parameters->len, 0));
    for (guint b = 0; b < ddp->buckets->len; b++)
        bucket_finalize(step, b);
}

/* ZeroRedundancyOptimizer.step: each rank broadcasts what it updated, tensor by tensor or as
 * one flat buffer, all launched at once, then waited for. */
static void broadcast_updates(Step *step)
{
    gboolean flat = step->training->ddp.parameters_as_bucket_view;
    int bytes_per_element = dtype_bytes(step->training->precision.parameter);
    g_autofree gint64 *rank_bytes = g_new0(gint64, step->n_ranks);

    for (guint p = 0; p < step->model->parameters->len; p++)
        rank_bytes[step->owners[p]] += step_numel(step, (int)p) * bytes_per_element;
    for (int rank = 0; rank < step->n_ranks && flat; rank++) {
        g_autofree char *name = g_strdup_printf("parameters of rank %d", rank);
        step_collective(step, STREAM_COMPUTE, "broadcast", name, COLLECTIVE_BROADCAST,
                        rank_bytes[rank], rank);
    }
    for (guint p = 0; p < step->model->parameters->len && !flat; p++)
        step_collective(step, STREAM_COMPUTE, "broadcast",
                        model_parameter(step->model, (int)p)->name, COLLECTIVE_BROADCAST,
                        step_numel(step, (int)p) * bytes_per_element, step->owners[p]);
    schedule_wait_stream(step->schedule, STREAM_COMPUTE, STREAM_NCCL);
}

static void ddp_update(Step *step)
{
    const Precision *precision = &step->training->precision;
    gint64 numel, n_tensors, state_bytes;

    share_measure(step, &numel, &n_tensors, &state_bytes);
    step_clip(step, step->model->n_parameters * dtype_bytes(precision->gradient), -1);
    step_optimize(step, "parameters", numel, n_tensors, precision->parameter);
    if (step->owners)
        broadcast_updates(step);
    step_release_gradients(step);
    step_release(step, STREAM_COMPUTE, &((Ddp *)step->state)->wide_gradients);
}

static void ddp_finish(Step *step)
{
    Ddp *ddp = step->state;

    g_array_unref(ddp->buckets);
    g_free(ddp->bucket_of);
    g_free(ddp->pending);
    g_free(ddp->reduced);
    g_free(ddp->compressed);
    g_free(ddp);
}

const StepHooks step_ddp_hooks = {
    .start = ddp_start,
    .begin_micro_step = ddp_begin_micro_step,
    .begin_backward = ddp_begin_backward,
    .gradient_ready = ddp_gradient_ready,
    .end_backward = ddp_end_backward,
    .update = ddp_update,
    .finish = ddp_finish,
};
