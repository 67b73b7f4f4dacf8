/* SPDX-License-Identifier: MIT */
/* The command line of zerosim-calibrate. */
#pragma once

#include "plan.h"

#define OPTIONS_MAX_ONLY 32

typedef struct {
    bool help, version, list, again;
    double budget_s;
    const char *output; /* NULL: <gpu>.json */
    const char *gpu;    /* the profile's name; NULL: from the device's */
    const PlanOp *only[OPTIONS_MAX_ONLY];
    int n_only;
} Options;

extern const char options_help[];

/* False with one line in `message`. */
bool options_parse(int argc, char **argv, Options *options, char *message, size_t size);

bool options_select(const Options *options, const Measurement *measurement);

/* The command line with the directories taken off: what a profile may hold. */
void options_command_line(int argc, char **argv, char *text, size_t size);
