/* SPDX-License-Identifier: MIT */
/* Fetch, prefetch and release of ZeRO-3 parameters, module by module. Source:
 * deepspeed/runtime/zero/partitioned_param_coordinator.py (PartitionedParameterCoordinator). A
 * fetch itself is step_deepspeed3_gather.c. */
#include "step_deepspeed3.h"

#include <string.h>

/* __max_ongoing_fetch_events in the coordinator. */
#define MAX_ONGOING_FETCH_EVENTS 2

gint64 zero3_partition_numel(const Step *step, int parameter)
{
    return step_ceil_divide(step_numel(step, parameter), zero3_n_shards(step));
}

gint64 zero3_gathered_numel(const Step *step, int parameter)
{
    return zero3_partition_numel(step, parameter) * zero3_n_shards(step);
}

static void persistent_choose(Coordinator *coordinator, const Step *step)
{
    gint64 total = 0;

    for (guint p = 0; p < step->model->parameters->len; p++) {
        gint64 numel = step_numel(step, (int)p);
        if (numel > knobs_of(step)->param_persistence_threshold ||
            total + numel > knobs_of(step)->model_persistence_threshold)
            continue;
        coordinator->persistent[p] = TRUE;
        coordinator->status[p] = PARAMETER_AVAILABLE;
        coordinator->available_numel += numel;
        total += numel;
    }
}

Coordinator *coordinator_new(const Step *step)
{
    Coordinator *coordinator = g_new0(Coordinator, 1);
    guint n = step->model->parameters->len;

    coordinator->visits = g_array_new(FALSE, FALSE, sizeof(int));
    coordinator->queue = g_array_new(FALSE, FALSE, sizeof(TraceUse));
    coordinator->status = g_new0(ParameterStatus, n + 1);
    coordinator->persistent = g_new0(gboolean, n + 1);
    coordinator->secondary = g_new0(gboolean, n + 1);
    coordinator->gather = g_new0(Gather *, n + 1);
    coordinator->view_of = g_new0(Gather *, n + 1);
    coordinator->storage = g_new(int, n + 1);
    coordinator->fetched_for = g_new(int, n + 1);
    coordinator->gathers = g_ptr_array_new_with_free_func(gather_free);
    coordinator->fetch_events = g_queue_new();
    for (guint p = 0; p < n; p++)
        coordinator->storage[p] = coordinator->fetched_for[p] = -1;
    persistent_choose(coordinator, step);
    coordinator_modules_build(coordinator, step->model, step->training);
    coordinator_trace_record(coordinator, step);
    return coordinator;
}

void coordinator_free(Coordinator *coordinator)
{
    coordinator_modules_clear(coordinator);
    g_array_unref(coordinator->visits);
    g_array_unref(coordinator->queue);
    g_free(coordinator->status);
    g_free(coordinator->persistent);
    g_free(coordinator->secondary);
    g_free(coordinator->gather);
    g_free(coordinator->view_of);
    g_free(coordinator->storage);
    g_free(coordinator->fetched_for);
    g_ptr_array_unref(coordinator->gathers);
    g_queue_free(coordinator->fetch_events);
    g_free(coordinator);
}

void coordinator_reset(Coordinator *coordinator)
{
    coordinator->visit = 0;
    coordinator->next_use = 0;
    for (guint i = 0; i < coordinator->queue->len; i++)
        coordinator->fetched_for[g_array_index(coordinator->queue, TraceUse, i).parameter] = -1;
}

/* _partition_param_sec: the first release in a step fills the secondary partition, and the host
 * waits for that copy. */
static void secondary_keep(Step *step, Coordinator *coordinator, int parameter)
{
    if (!zero3_has_secondary(step) || coordinator->secondary[parameter])
        return;
    coordinator->secondary[parameter] = TRUE;
    int kept = step_stream_kernel(step, STREAM_COMPUTE, "keep secondary partition",
                                  model_parameter(step->model, parameter)->name, KERNEL_COPY,
                                  zero3_gathered_numel(step, parameter) *
                                      dtype_bytes(step->training->precision.gather) /
                                      knobs_of(step)->hpz_partition_size);
    schedule_host_wait(step->schedule, kept);
}

void coordinator_invalidate_secondary(Step *step, Coordinator *coordinator)
{
    memset(coordinator->secondary, 0, sizeof(gboolean) * step->model->parameters->len);
}

/* A parameter that was on its way: the host doesn't run ahead of more than two unfinished
 * events, and each parameter that a module claims records one. */
static void parameter_claim(Step *step, Coordinator *coordinator, const FetchModule *module,
                            int parameter)
{
    const Gather *gather = coordinator->gather[parameter];

    while (g_queue_get_length(coordinator->fetch_events) > MAX_ONGOING_FETCH_EVENTS)
        schedule_host_wait(step->schedule,
                           GPOINTER_TO_INT(g_queue_pop_head(coordinator->fetch_events)));
    gather_claim(step, coordinator, parameter);
    if (!module->fast && gather->ready >= 0)
        g_queue_push_tail(coordinator->fetch_events, GINT_TO_POINTER(gather->ready));
}

/* Takes the module's own uses off the queue, so that they aren't prefetched later. */
static void queue_discard(Coordinator *coordinator, const FetchModule *module)
{
    int not_fetched = 0;

    for (guint i = 0; i < module->parameters->len; i++)
        not_fetched += coordinator->fetched_for[g_array_index(module->parameters, int, i)] <
                       coordinator->visit;
    while (not_fetched > 0 && coordinator->next_use < coordinator->queue->len) {
        TraceUse use = g_array_index(coordinator->queue, TraceUse, coordinator->next_use++);
        coordinator->fetched_for[use.parameter] = use.visit;
        not_fetched--;
    }
}

/* Queues following parameters of the trace until prefetch_bucket_size elements are on their
 * way, as one coalesced all-gather. */
static void prefetch(Step *step, Coordinator *coordinator)
{
    gint64 limit = MIN(knobs_of(step)->max_live_parameters - coordinator->available_numel,
                       knobs_of(step)->prefetch_bucket_size);
    g_autoptr(GArray) parameters = g_array_new(FALSE, FALSE, sizeof(int));
    g_autoptr(GHashTable) chosen = g_hash_table_new(g_direct_hash, g_direct_equal);
    gint64 numel = 0;

    while (coordinator->next_use < coordinator->queue->len && numel < limit) {
        TraceUse use = g_array_index(coordinator->queue, TraceUse, coordinator->next_use++);
        coordinator->fetched_for[use.parameter] = use.visit;
        if (coordinator->status[use.parameter] != PARAMETER_NOT_AVAILABLE ||
            !g_hash_table_add(chosen, GINT_TO_POINTER(use.parameter)))
            continue;
        g_array_append_val(parameters, use.parameter);
        numel += step_numel(step, use.parameter);
    }
    if (parameters->len > 0)
        gather_issue(step, coordinator, g_steal_pointer(&parameters));
}

/* The module that the layer enters or leaves; NULL: none. Backward enters at the last layer. */
static const FetchModule *module_at(const Step *step, const Coordinator *coordinator, int layer,
                                    gboolean entering)
{
    int index = coordinator->module_of_layer[layer];
    gboolean backward = step->phase == PHASE_BACKWARD && !step->recomputing;

    if (index < 0)
        return NULL;
    const FetchModule *module = g_ptr_array_index(coordinator->modules, index);
    if (step->recomputing && !fetch_module_recomputed(module, step->model))
        return NULL;
    int edge = entering != backward ? module->first_layer : module->last_layer;
    return layer == edge ? module : NULL;
}

void coordinator_fetch(Step *step, Coordinator *coordinator, int layer)
{
    const FetchModule *module = module_at(step, coordinator, layer, TRUE);
    g_autoptr(GArray) missing = g_array_new(FALSE, FALSE, sizeof(int));

    if (!module)
        return;
    for (guint i = 0; i < module->parameters->len; i++) {
        int p = g_array_index(module->parameters, int, i);
        if (coordinator->status[p] == PARAMETER_NOT_AVAILABLE)
            g_array_append_val(missing, p);
    }
    if (missing->len > 0)
        gather_issue(step, coordinator, g_steal_pointer(&missing));
    for (guint i = 0; i < module->parameters->len; i++) {
        int p = g_array_index(module->parameters, int, i);
        if (coordinator->gather[p])
            parameter_claim(step, coordinator, module, p);
    }
    queue_discard(coordinator, module);
    if (knobs_of(step)->prefetch_bucket_size > 0)
        prefetch(step, coordinator);
}

/* Whether the trace uses the parameter again within max_reuse_distance elements. */
static gboolean reused_soon(const Step *step, const Coordinator *coordinator, int parameter)
{
    gint64 traversed = 0;

    for (guint v = (guint)coordinator->visit + 1; v < coordinator->visits->len; v++) {
        const FetchModule *module =
            g_ptr_array_index(coordinator->modules, g_array_index(coordinator->visits, int, v));
        if (traversed >= knobs_of(step)->max_reuse_distance)
            return FALSE;
        for (guint i = 0; i < module->parameters->len; i++) {
            int p = g_array_index(module->parameters, int, i);
            if (p == parameter)
                return TRUE;
            traversed += step_numel(step, p);
        }
    }
    return FALSE;
}

void coordinator_release(Step *step, Coordinator *coordinator, int layer)
{
    const FetchModule *module = module_at(step, coordinator, layer, FALSE);

    if (!module)
        return;
    for (guint i = 0; i < module->parameters->len; i++) {
        int p = g_array_index(module->parameters, int, i);
        /* A use that the prefetch scan has passed over would never be fetched again. */
        if (coordinator->persistent[p] || coordinator->fetched_for[p] > coordinator->visit ||
            reused_soon(step, coordinator, p))
            continue;
        secondary_keep(step, coordinator, p);
        coordinator->status[p] = PARAMETER_NOT_AVAILABLE;
        coordinator->available_numel -= step_numel(step, p);
        gather_release(step, coordinator, p);
    }
    coordinator->visit++;
}
