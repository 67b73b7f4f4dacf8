/* SPDX-License-Identifier: MIT */
/* The knobs of PyTorch's wrappers, from the [ddp] and [fsdp] keys. */
#pragma once

#include "training.h"

G_BEGIN_DECLS

/* Errors: what PyTorch would refuse, or what isn't modelled. */
gboolean training_ddp_resolve(const Experiment *experiment, DdpKnobs *ddp, GError **error);
/* The strings of `fsdp` are the experiment's. */
void training_fsdp_resolve(const Experiment *experiment, Strategy strategy, FsdpKnobs *fsdp);

G_END_DECLS
