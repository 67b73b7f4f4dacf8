/* SPDX-License-Identifier: MIT */
/* One fetch of ZeRO-3 parameters: what is allocated, quantised, sent and copied, and how long
 * its buffers live. Sources: deepspeed/runtime/zero/partition_parameters.py
 * (all_gather_coalesced, AllGatherCoalescedHandle, CUDAQuantizer) and mics.py. Which parameters
 * are fetched when is step_deepspeed3_fetch.c's business. */
#include "step_deepspeed3.h"

#define SCALE_BYTES 4 /* fp32 */

static Stream gather_stream(const Step *step)
{
    return knobs_of(step)->overlap_comm ? STREAM_ALL_GATHER : STREAM_COMPUTE;
}

static gint64 gathered_bytes(const Step *step, int parameter)
{
    return zero3_gathered_numel(step, parameter) *
           dtype_bytes(step->training->precision.gather);
}

static int parameter_at(const Gather *gather, guint i)
{
    return g_array_index(gather->parameters, int, i);
}

static gint64 gather_numel(const Step *step, const Gather *gather)
{
    gint64 numel = 0;

    for (guint i = 0; i < gather->parameters->len; i++)
        numel += zero3_gathered_numel(step, parameter_at(gather, i));
    return numel;
}

static int gather_communicator(const Step *step, const Gather *gather)
{
    return gather->secondary ? zero3_communicator(step, "secondary") : zero3_shards(step);
}

static int gather_n_ranks(const Step *step, const Gather *gather)
{
    return job_group_size(step->job, gather_communicator(step, gather), step->rank);
}

static char *gather_label(const Step *step, const Gather *gather)
{
    const char *name = model_parameter(step->model, parameter_at(gather, 0))->name;

    return gather->parameters->len == 1
               ? g_strdup(name)
               : g_strdup_printf("%s and %u more", name, gather->parameters->len - 1);
}

static void storage_alloc(Step *step, Coordinator *coordinator, int parameter)
{
    coordinator->storage[parameter] = step_alloc(
        step, gather_stream(step), "gathered", model_parameter(step->model, parameter)->name,
        MEMORY_GATHERED_PARAMETERS, gathered_bytes(step, parameter));
}

static void storages_alloc(Step *step, Coordinator *coordinator, const Gather *gather)
{
    for (guint i = 0; i < gather->parameters->len; i++)
        storage_alloc(step, coordinator, parameter_at(gather, i));
}

/* One kernel a parameter: torch.cat of its pieces, or a copy of its partition. */
static int copies(Step *step, const Gather *gather, const char *verb, const char *name, int per)
{
    g_autoptr(GArray) kernels = g_array_new(FALSE, FALSE, sizeof(Kernel));

    for (guint i = 0; i < gather->parameters->len; i++) {
        Kernel kernel = {.op = KERNEL_COPY,
                         .dtype = DTYPE_FP32,
                         .dimension = {gathered_bytes(step, parameter_at(gather, i)) / per}};
        if (kernel.dimension[0] > 0)
            g_array_append_val(kernels, kernel);
    }
    return step_compute(step, gather_stream(step), verb, name,
                        (const Kernel *)(void *)kernels->data, (int)kernels->len);
}

/* ---- the ways to gather ---- */

/* mics.py, _hierarchical_all_gather_params: each rank gathers the pieces of its peers on other
 * nodes, puts them where they belong, and then the ranks of a node share what they have. */
static int gather_hierarchically(Step *step, const Gather *gather, const char *label,
                                 gint64 bytes)
{
    const int inside = zero3_communicator(step, "shard_intra_node");
    const int n_inside = job_group_size(step->job, inside, step->rank);
    int between = step_collective_on(step, zero3_communicator(step, "shard_inter_node"),
                                     gather_stream(step), "all_gather between nodes", label,
                                     COLLECTIVE_ALL_GATHER, bytes / n_inside, 0);

    schedule_wait(step->schedule, gather_stream(step), between);
    copies(step, gather, "clone", label, n_inside);
    copies(step, gather, "spread", label, n_inside);
    return step_collective_on(step, inside, gather_stream(step), "all_gather inside nodes",
                              label, COLLECTIVE_ALL_GATHER, bytes, 0);
}

static void issue_direct(Step *step, Coordinator *coordinator, Gather *gather,
                         const char *label)
{
    gint64 bytes = gather_numel(step, gather) * dtype_bytes(step->training->precision.gather);

    storages_alloc(step, coordinator, gather);
    gather->gathered =
        zero3_communicator(step, "shard_inter_node") >= 0
            ? gather_hierarchically(step, gather, label, bytes)
            : step_collective_on(step, gather_communicator(step, gather), gather_stream(step),
                                 "all_gather", label, COLLECTIVE_ALL_GATHER, bytes, 0);
}

/* This rank's partitions are joined in its part of the output. */
static void issue_copied(Step *step, Gather *gather, const char *label)
{
    gint64 bytes = gather_numel(step, gather) * dtype_bytes(step->training->precision.gather);

    gather->flat_buffer = step_alloc(step, gather_stream(step), "all_gather output", label,
                                     MEMORY_COMMUNICATION_BUFFERS, bytes);
    step_stream_kernel(step, gather_stream(step), "join partitions of", label, KERNEL_COPY,
                       bytes / gather_n_ranks(step, gather));
    gather->gathered =
        step_collective_on(step, gather_communicator(step, gather), gather_stream(step),
                           "all_gather", label, COLLECTIVE_ALL_GATHER, bytes, 0);
}

static gint64 quantization_groups(Step *step, gint64 numel, const char *label)
{
    const gint64 groups = zero3_quantization_groups(numel);

    if (groups < 0 && !step->refusal)
        step->refusal = g_strdup_printf(
            "deepspeed.zero_optimization.zero_quantized_weights: DeepSpeed quantises multiples "
            "of 8 elements, and a fetch of %s finds %" G_GINT64_FORMAT " on each of %d ranks",
            label, numel, step->n_ranks);
    return MAX(groups, 1);
}

/* The partition is quantised anew for each fetch, also hpZ's; numbers and scales travel in an
 * all-gather each. */
static void issue_quantized(Step *step, Gather *gather, const char *label)
{
    const Stream stream = gather_stream(step);
    const int wide = dtype_bytes(step->training->precision.gather);
    const int communicator = gather_communicator(step, gather);
    const int n_ranks = gather_n_ranks(step, gather);
    const gint64 numel = gather_numel(step, gather) / n_ranks;
    const gint64 scale_bytes = quantization_groups(step, numel, label) * SCALE_BYTES;
    const Kernel quantize = {
        .op = KERNEL_CAST, .dtype = DTYPE_FP16, .dimension = {numel, wide, 1}};
    int joined = -1;

    if (gather->parameters->len > 1) {
        joined = step_alloc(step, stream, "joined partitions of", label, MEMORY_TEMPORARIES,
                            numel * wide);
        step_stream_kernel(step, stream, "join partitions of", label, KERNEL_COPY,
                           numel * wide);
    }
    gather->quantized_part = step_alloc(step, stream, "quantized partition of", label,
                                        MEMORY_COMMUNICATION_BUFFERS, numel + scale_bytes);
    step_compute(step, stream, "quantize", label, &quantize, 1);
    step_release(step, stream, &joined);
    gather->quantized =
        step_alloc(step, stream, "quantized", label, MEMORY_COMMUNICATION_BUFFERS,
                   n_ranks * (numel + scale_bytes));
    step_collective_on(step, communicator, stream, "all_gather", label, COLLECTIVE_ALL_GATHER,
                       n_ranks * numel, 0);
    gather->gathered =
        step_collective_on(step, communicator, stream, "all_gather scales of", label,
                           COLLECTIVE_ALL_GATHER, n_ranks * scale_bytes, 0);
}

/* Zeros but for this rank's partitions, added up. */
static void issue_reduced(Step *step, Coordinator *coordinator, Gather *gather,
                          const char *label)
{
    const Stream stream = gather_stream(step);
    gint64 bytes = gather_numel(step, gather) * dtype_bytes(step->training->precision.gather);

    gather->flat_buffer =
        step_alloc(step, stream, "gathered", label, MEMORY_GATHERED_PARAMETERS, bytes);
    gather->n_views = gather->parameters->len;
    for (guint i = 0; i < gather->parameters->len; i++)
        coordinator->view_of[parameter_at(gather, i)] = gather;
    step_stream_kernel(step, stream, "zero", label, KERNEL_MEMSET, bytes);
    copies(step, gather, "place partitions of", label, zero3_n_shards(step));
    gather->gathered = step_collective_on(step, gather_communicator(step, gather), stream,
                                          "all_reduce", label, COLLECTIVE_ALL_REDUCE, bytes, 0);
}

static GatherKind choose_kind(const Step *step, const Gather *gather)
{
    if (gather_n_ranks(step, gather) == 1)
        return GATHER_LOCAL;
    if (knobs_of(step)->quantized_weights)
        return GATHER_QUANTIZED;
    if (gather->parameters->len == 1 || knobs_of(step)->mics_shard_size > 0)
        return GATHER_DIRECT;
    return knobs_of(step)->use_all_reduce_for_fetch_params && !gather->secondary
               ? GATHER_REDUCED
               : GATHER_COPIED;
}

/* Takes the parameters over. */
static void issue_one(Step *step, Coordinator *coordinator, GArray *parameters,
                      gboolean secondary)
{
    Gather *gather = g_new0(Gather, 1);

    *gather = (Gather){.parameters = parameters, .secondary = secondary, .flat_buffer = -1};
    gather->quantized = gather->quantized_part = gather->gathered = gather->ready = -1;
    gather->n_unclaimed = parameters->len;
    g_ptr_array_add(coordinator->gathers, gather);
    for (guint i = 0; i < parameters->len; i++) {
        int p = parameter_at(gather, i);
        coordinator->status[p] = PARAMETER_IN_FLIGHT;
        coordinator->gather[p] = gather;
        coordinator->available_numel += step_numel(step, p);
    }
    g_autofree char *label = gather_label(step, gather);
    gather->kind = choose_kind(step, gather);
    switch (gather->kind) {
    case GATHER_DIRECT:
        issue_direct(step, coordinator, gather, label);
        break;
    case GATHER_COPIED:
        issue_copied(step, gather, label);
        break;
    case GATHER_QUANTIZED:
        issue_quantized(step, gather, label);
        break;
    case GATHER_REDUCED:
        issue_reduced(step, coordinator, gather, label);
        break;
    case GATHER_LOCAL:
        break;
    }
}

void gather_issue(Step *step, Coordinator *coordinator, GArray *parameters)
{
    GArray *groups[] = {g_array_new(FALSE, FALSE, sizeof(int)),
                        g_array_new(FALSE, FALSE, sizeof(int))};

    for (guint i = 0; i < parameters->len; i++) {
        int p = g_array_index(parameters, int, i);
        g_array_append_val(groups[coordinator->secondary[p] ? 0 : 1], p);
    }
    g_array_unref(parameters);
    for (int i = 0; i < 2; i++) {
        if (groups[i]->len > 0)
            issue_one(step, coordinator, groups[i], i == 0);
        else
            g_array_unref(groups[i]);
    }
}

/* ---- waiting ---- */

/* The kernel writes fp16, which bf16 parameters are converted from. */
static int dequantize(Step *step, Coordinator *coordinator, Gather *gather, const char *label)
{
    const Stream stream = gather_stream(step);
    const int wide = dtype_bytes(step->training->precision.gather);
    const gint64 numel = gather_numel(step, gather);
    const Kernel kernel = {
        .op = KERNEL_CAST, .dtype = DTYPE_FP16, .dimension = {numel, 1, wide}};

    if (gather->parameters->len == 1)
        storages_alloc(step, coordinator, gather);
    else
        gather->flat_buffer = step_alloc(step, stream, "dequantized", label,
                                         MEMORY_COMMUNICATION_BUFFERS, numel * wide);
    const Kernel to_bf16 = {
        .op = KERNEL_CAST, .dtype = DTYPE_BF16, .dimension = {numel, wide, wide}};
    const Kernel kernels[] = {kernel, to_bf16};
    return step_compute(step, stream, "dequantize", label, kernels,
                        step->training->precision.gather == DTYPE_BF16 ? 2 : 1);
}

/* On the all-gather stream; the compute stream goes on once the copies are made. */
static void gather_wait(Step *step, Coordinator *coordinator, Gather *gather)
{
    const Stream stream = gather_stream(step);
    g_autofree char *label = gather_label(step, gather);

    gather->complete = TRUE;
    gather->ready = gather->gathered;
    for (guint i = 0; i < gather->parameters->len; i++)
        coordinator->status[parameter_at(gather, i)] = PARAMETER_AVAILABLE;
    schedule_wait(step->schedule, stream, gather->gathered);
    schedule_wait(step->schedule, STREAM_COMPUTE, gather->gathered);
    if (gather->kind == GATHER_QUANTIZED)
        gather->ready = dequantize(step, coordinator, gather, label);
    if (gather->flat_buffer >= 0 && gather->kind != GATHER_REDUCED) {
        storages_alloc(step, coordinator, gather);
        gather->ready = copies(step, gather, "copy out", label, 1);
    }
    schedule_wait(step->schedule, STREAM_COMPUTE, gather->ready);
}

/* The handle, and with it the buffers, lives until the last of its parameters is claimed. */
void gather_claim(Step *step, Coordinator *coordinator, int parameter)
{
    const Stream stream = gather_stream(step);
    Gather *gather = coordinator->gather[parameter];

    if (!gather->complete)
        gather_wait(step, coordinator, gather);
    coordinator->gather[parameter] = NULL;
    if (--gather->n_unclaimed > 0)
        return;
    if (gather->kind != GATHER_REDUCED)
        step_release(step, stream, &gather->flat_buffer);
    step_release(step, stream, &gather->quantized);
    step_release(step, stream, &gather->quantized_part);
}

void gather_release(Step *step, Coordinator *coordinator, int parameter)
{
    Gather *gather = coordinator->view_of[parameter];

    coordinator->view_of[parameter] = NULL;
    if (gather && --gather->n_views == 0)
        step_release(step, STREAM_COMPUTE, &gather->flat_buffer);
    step_release(step, STREAM_COMPUTE, &coordinator->storage[parameter]);
}

void gather_free(gpointer data)
{
    Gather *gather = data;

    g_array_unref(gather->parameters);
    g_free(gather);
}
