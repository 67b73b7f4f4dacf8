/* SPDX-License-Identifier: MIT */
/* Rows of measurements for the tests of validation: text to tables and outcomes, in files of
 * the scratch folder, which their fixture makes. */
#pragma once

#include "validate.h"

#include <check.h>

G_BEGIN_DECLS

#define STEP_HEADER                                                                            \
    "id,source_title,model,params_B,n_layer,d_model,n_head,n_kv_head,d_ff,vocab,seq_len,gpu,"  \
    "gpus_per_node,n_gpus,inter_node_link_GBps_per_gpu,precision,strategy,"                    \
    "micro_batch_per_gpu,grad_accum,global_batch_tokens,act_checkpoint,attention_impl,"        \
    "optimizer,cpu_offload,tokens_per_s_per_gpu,step_time_s,peak_mem_GiB,quality,surprise\n"
#define GPT "GPT2,,2,128,2,2,512,1000,128"

CsvTable *table_of(const char *text, GError **error);
/* The outcomes of a file's text, which must be one that can be read. */
GPtrArray *outcomes_of(const char *text);
const Outcome *outcome_at(const GPtrArray *outcomes, guint i);

G_END_DECLS
