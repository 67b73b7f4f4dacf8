/* SPDX-License-Identifier: MIT */
/* Reads [ddp] and [fsdp]: each key under the name PyTorch gives it, with PyTorch's default. */
#include "training_pytorch.h"

#define MIB 1048576.0

void training_ddp_resolve(const Experiment *experiment, DdpKnobs *ddp)
{
    static const DType compressed[] = {DTYPE_FP32, DTYPE_BF16, DTYPE_FP16};
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
    ddp->compress = compressed[experiment_choice(experiment, "ddp.comm_hook")];
    ddp->static_graph = experiment_bool(experiment, "ddp.static_graph");
    ddp->find_unused_parameters = experiment_bool(experiment, "ddp.find_unused_parameters");
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
