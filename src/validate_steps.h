/* SPDX-License-Identifier: MIT */
/* Inside the validate module: a row of a published training step, and its way to an
 * experiment's keys. */
#pragma once

#include "validate_case.h"

G_BEGIN_DECLS

/* Who ran it, found by a word of the row's source, and what that trainer does unless the row
 * says otherwise. */
typedef struct {
    const char *word;
    const char *stack;
    const char *framework;
    const char *fsdp_version; /* of framework pytorch */
    const char *prefetch;     /* of FSDP1; NULL: its default */
    const char *flash;        /* what it means by "flash"; NULL: FlashAttention-2 */
    const char *reduce_dtype; /* of FSDP; NULL: the compute type */
    const char *optimizer_implementation;
    double gradient_clipping;
    gboolean exact; /* "bf16" means 16-bit parameters, and the note names the implementation */
    const char *stand_in; /* what is assumed where we have no such schedule; NULL: nothing */
} Trainer;

/* A row read: text is borrowed. */
typedef struct {
    const CsvRow *row;
    const Trainer *trainer;
    const char *strategy, *precision, *checkpointing, *attention, *optimizer, *offload, *note;
    gint64 year, n_gpus, gpus_per_node, micro_batch, grad_accum, global_batch_tokens;
    gint64 sequence_length, hsdp_shard;
    double nic_GBps, tokens_per_s_per_gpu, step_time_s, peak_mem_GiB, mfu, hfu, params_B;
    ModelFacts model;
} StepRow;

/* A row says nothing that can't be a row: only a number that is none is an error. */
gboolean step_row_read(const CsvRow *row, StepRow *s, GError **error);

/* Whether the text has `word`, in lower case, whatever the text's case. */
gboolean step_text_has(const char *text, const char *word);

/* Words for ways of splitting a model that aren't ours; NULL: none. */
const char *step_other_parallelism(const StepRow *s);
/* "fp8", "bf16", "fp16", "fp32"; "": one that isn't modelled; NULL: not said. */
const char *step_type(const StepRow *s);
/* "none", "full", "selective"; NULL: not said, or in words that mean none of these. */
const char *step_checkpointing(const StepRow *s);
gboolean step_offloads(const StepRow *s);

/* "ddp", "zero1" … "zero3", "hsdp"; NULL: none of ours. */
const char *step_strategy(const StepRow *s);

/* Sets every key but activation checkpointing. *scale: what the step's time is multiplied by.
 */
gboolean step_case_build(ValidateCase *c, StepRow *s, double *scale, GError **error);

G_END_DECLS
