/* SPDX-License-Identifier: MIT */
/* Reads [ddp] and [fsdp]: each key under the name PyTorch gives it, with PyTorch's default. */
#include "training_pytorch.h"

#include "error.h"

#define MIB 1048576.0

/* Values of ddp.comm_hook. */
typedef enum {
    HOOK_NONE,
    HOOK_BF16,
    HOOK_FP16,
    HOOK_POWERSGD,
    HOOK_BATCHED_POWERSGD,
    HOOK_POST_LOCAL_SGD,
    N_HOOKS
} Hook;

static gboolean resolve_hook(const Experiment *experiment, DdpKnobs *ddp, GError **error)
{
    static const DType compressed[N_HOOKS] = {DTYPE_FP32, DTYPE_BF16, DTYPE_FP16,
                                              DTYPE_FP32, DTYPE_FP32, DTYPE_FP32};
    const Hook hook = (Hook)experiment_choice(experiment, "ddp.comm_hook");
    PowerSgdKnobs *powersgd = &ddp->powersgd;

    ddp->compress = compressed[hook];
    powersgd->enabled = hook == HOOK_POWERSGD || hook == HOOK_BATCHED_POWERSGD;
    powersgd->batched = hook == HOOK_BATCHED_POWERSGD;
    powersgd->matrix_approximation_rank =
        experiment_int(experiment, "ddp.matrix_approximation_rank");
    powersgd->min_compression_rate = experiment_double(experiment, "ddp.min_compression_rate");
    powersgd->use_error_feedback = experiment_bool(experiment, "ddp.use_error_feedback");
    powersgd->warm_start = experiment_bool(experiment, "ddp.warm_start");
    if (hook == HOOK_POST_LOCAL_SGD) {
        g_autofree char *where = experiment_where(experiment, "ddp.comm_hook");
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                    "%s: post_localSGD is not modelled: steps differ, and ranks too", where);
        return FALSE;
    }
    /* PowerSGDState.__init__ */
    if (powersgd->enabled && (powersgd->use_error_feedback || powersgd->warm_start) &&
        experiment_int(experiment, "ddp.start_powerSGD_iter") <= 1) {
        g_autofree char *where = experiment_where(experiment, "ddp.start_powerSGD_iter");
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s: must be at least 2 with use_error_feedback or warm_start", where);
        return FALSE;
    }
    return TRUE;
}

gboolean training_ddp_resolve(const Experiment *experiment, DdpKnobs *ddp, GError **error)
{
    const double cap_mib = experiment_double(experiment, "ddp.bucket_cap_mb");

    ddp->bucket_cap_bytes = MAX((gint64)(cap_mib * MIB), 1);
    ddp->first_bucket_bytes = experiment_is_set(experiment, "ddp.bucket_cap_mb")
                                  ? ddp->bucket_cap_bytes
                                  : (gint64)MIB;
    if (experiment_is_set(experiment, "ddp.first_bucket_bytes"))
        ddp->first_bucket_bytes = experiment_int(experiment, "ddp.first_bucket_bytes");
    ddp->gradient_as_bucket_view = experiment_bool(experiment, "ddp.gradient_as_bucket_view");
    ddp->broadcast_buffers = experiment_bool(experiment, "ddp.broadcast_buffers");
    ddp->no_sync = experiment_bool(experiment, "ddp.no_sync");
    ddp->parameters_as_bucket_view =
        experiment_bool(experiment, "ddp.parameters_as_bucket_view");
    ddp->static_graph = experiment_bool(experiment, "ddp.static_graph");
    ddp->find_unused_parameters = experiment_bool(experiment, "ddp.find_unused_parameters");
    return resolve_hook(experiment, ddp, error);
}

/* true, false, or an integer, of which 1 is false (_get_post_forward_mesh_info in
 * torch/distributed/fsdp/_fully_shard/_fsdp_init.py); 0 is no integer that the key takes. */
static void reshard_resolve(const Experiment *experiment, Strategy strategy, FsdpKnobs *fsdp)
{
    const char *name = "fsdp.reshard_after_forward";
    const gint64 size = experiment_int(experiment, name);

    fsdp->reshard_after_forward = strategy == STRATEGY_ZERO3;
    fsdp->reshard_group_size = size > 1 ? size : 0;
    if (experiment_is_set(experiment, name))
        fsdp->reshard_after_forward = size > 1 || experiment_bool(experiment, name);
}

void training_fsdp_resolve(const Experiment *experiment, Strategy strategy, FsdpKnobs *fsdp)
{
    fsdp->version = experiment_choice(experiment, "fsdp.version") == 0 ? 2 : 1;
    reshard_resolve(experiment, strategy, fsdp);
    fsdp->sync_every_micro_step = experiment_bool(experiment, "fsdp.sync_every_micro_step");
    fsdp->backward_prefetch_units =
        (int)experiment_int(experiment, "fsdp.backward_prefetch_units");
    fsdp->forward_prefetch_units =
        (int)experiment_int(experiment, "fsdp.forward_prefetch_units");
    fsdp->backward_prefetch =
        (BackwardPrefetch)experiment_choice(experiment, "fsdp.backward_prefetch");
    fsdp->forward_prefetch = experiment_bool(experiment, "fsdp.forward_prefetch");
    fsdp->limit_all_gathers = experiment_bool(experiment, "fsdp.limit_all_gathers");
    fsdp->wrap = (FsdpWrap)experiment_choice(experiment, "fsdp.wrap");
    fsdp->wrap_min_numel = experiment_int(experiment, "fsdp.wrap_min_numel");
    fsdp->wrap_names = experiment_string(experiment, "fsdp.wrap_names");
    fsdp->shard_group_size = experiment_int(experiment, "fsdp.shard_group_size");
    fsdp->all_reduce_every_micro_step =
        experiment_bool(experiment, "fsdp.all_reduce_every_micro_step");
    fsdp->fp8_all_gather = experiment_bool(experiment, "fsdp.fp8_all_gather");
}
