/* SPDX-License-Identifier: MIT */
/* PowerSGD: what a bucket of DistributedDataParallel goes through in place of one all-reduce.
 * Private to step_ddp*.c. */
#pragma once

#include "bucket.h"
#include "step_walk.h"

G_BEGIN_DECLS

/* Errors and, with warm_start, the factors that stay from step to step. */
void powersgd_persistent(Step *step, const GArray *buckets);

/* Runs the hook on a full bucket; the host blocks until the device is idle, as the hook does.
 * Returns the op that leaves the bucket reduced. */
int powersgd_reduce(Step *step, const Bucket *bucket, const char *name);

G_END_DECLS
