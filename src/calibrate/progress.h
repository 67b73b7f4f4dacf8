/* SPDX-License-Identifier: MIT */
/* A line on stderr that says how far a run is and how long it will take. */
#pragma once

#include "plan.h"

typedef struct {
    double start_s, budget_s, last_s;
    size_t n_done, n_all;
    double estimate_done_s, estimate_all_s;
    bool terminal;
} Progress;

double progress_now_s(void);
void progress_start(Progress *progress, double budget_s, size_t n, double estimate_s);
void progress_show(Progress *progress, const Measurement *next);
void progress_done(Progress *progress, const Measurement *done);
void progress_end(const Progress *progress);

/* Of the budget. */
double progress_left_s(const Progress *progress);
