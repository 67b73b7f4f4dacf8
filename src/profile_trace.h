/* SPDX-License-Identifier: MIT */
/* Kernel times from a trace of PyTorch's profiler. */
#pragma once

#include "json_in.h"
#include "profile.h"

G_BEGIN_DECLS

/* Reads the Chrome trace that torch.profiler exports (record_shapes=True) and lays the kernels
 * it can name over the profile. `warnings` gets a line that says how much it could. */
gboolean profile_trace_read(const JsonIn *root, Profile *profile, GPtrArray *warnings,
                            GError **error);

G_END_DECLS
