/* SPDX-License-Identifier: MIT */
/* How a kernel's time is taken. */
#pragma once

#include "bench.cuh"

struct Timing {
    double median_s, p10_s, p90_s;
};

Timing timing_of(std::vector<double> samples_s);

/* As many sets of operands as keep the second-level cache cold, if memory lasts. */
std::vector<Work> work_build(Bench &bench, const Measurement &m, Build build);

/* Throws Wrong when the first set's result disagrees with the reference. */
void work_check(Bench &bench, const Work &work);

/* Median of single runs, or of runs in replayed graphs when one is short. */
Timing work_time(Bench &bench, const std::vector<Work> &works);

/* A run's share of a loop of at least `seconds`, its first half left out: what remains when the
 * GPU's power limit has settled. */
double work_time_sustained(Bench &bench, const std::vector<Work> &works, double seconds);

/* One elapsed time, by events around `body`. */
double elapsed_s(cudaStream_t stream, const Launch &body);
