/* SPDX-License-Identifier: MIT */
/* The profile file as this program grows it: read what an earlier run left, add results, write
 * it whole. Its format is described in zerosim-profile(5). */
#pragma once

#include "bench.h"

#include <jansson.h>
#include <stdio.h>

typedef struct {
    json_t *root;
    char *file;
    json_t *run;   /* this run's record in root; NULL until described */
    json_t *index; /* where each measurement's entry stands in its section */
} ProfileOut;

/* Reads `file`, or begins an empty profile called `gpu` where there is none. False with one
 * line in `message`: unreadable, malformed, another GPU's. */
bool profile_out_open(ProfileOut *out, const char *file, const char *gpu, char *message,
                      size_t size);
void profile_out_close(ProfileOut *out);

/* Whether an earlier run settled this measurement. */
bool profile_out_has(const ProfileOut *out, const Measurement *measurement);

void profile_out_add(ProfileOut *out, const Measurement *measurement, const Result *result);

/* Facts of the machine, and those that the kernels' times imply; again before each writing, so
 * that a file is a profile whenever the run ends. */
void profile_out_describe(ProfileOut *out, const Machine *machine, const char *command_line);

/* Writes beside the file, then renames. False with one line in `message`. */
bool profile_out_write(const ProfileOut *out, char *message, size_t size);

/* -- profile_rows.c: kernels as tables in the file, as an entry each in memory */

json_t *profile_rows_unpack(const json_t *kernels);
json_t *profile_rows_pack(const json_t *kernels);
void profile_rows_write(FILE *file, const json_t *entry);

/* -- profile_facts.c */

/* "h100-sxm5-80gb" of "NVIDIA H100 80GB HBM3". */
void profile_facts_name(const char *device, char *name, size_t size);

/* Sets the facts that this program measures; keeps a data sheet's peaks where they stand. */
void profile_facts_set(json_t *facts, const json_t *kernels, const json_t *launch,
                       const Machine *machine);
