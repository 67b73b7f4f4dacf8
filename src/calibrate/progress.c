/* SPDX-License-Identifier: MIT */
/* On a terminal the line is rewritten in place; elsewhere one is printed every ten seconds. */
#include "progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define BAR_WIDTH 24
#define LOG_EVERY_S 10
#define SHOW_EVERY_S 0.1

double progress_now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void progress_start(Progress *p, double budget_s, size_t n, double estimate_s)
{
    *p = (Progress){.start_s = progress_now_s(),
                    .budget_s = budget_s,
                    .n_all = n,
                    .estimate_all_s = estimate_s,
                    .terminal = isatty(STDERR_FILENO) != 0};
}

double progress_left_s(const Progress *p)
{
    return p->start_s + p->budget_s - progress_now_s();
}

/* The estimate's rest at the pace so far, the budget's if that is less. */
static double time_left_s(const Progress *p)
{
    const double elapsed_s = progress_now_s() - p->start_s;
    const double pace = p->estimate_done_s > 1 ? elapsed_s / p->estimate_done_s : 1;
    const double rest_s = (p->estimate_all_s - p->estimate_done_s) * pace;
    const double budget_s = progress_left_s(p);
    return rest_s < budget_s ? rest_s : budget_s;
}

void progress_show(Progress *p, const Measurement *next)
{
    char bar[BAR_WIDTH + 1] = "", what[128];
    const double now_s = progress_now_s(), left_s = time_left_s(p);
    const double elapsed_s = now_s - p->start_s;
    const double part = left_s > 0 ? elapsed_s / (elapsed_s + left_s) : 1;
    if (now_s - p->last_s < (p->terminal ? SHOW_EVERY_S : LOG_EVERY_S))
        return;
    p->last_s = now_s;
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < part * BAR_WIDTH ? '#' : '.';
    plan_describe(next, what, sizeof what);
    fprintf(stderr, "%s[%s] %zu of %zu, %.0f s left: %.60s%s", p->terminal ? "\r\033[K" : "",
            bar, p->n_done, p->n_all, left_s > 0 ? left_s : 0, what, p->terminal ? "" : "\n");
    fflush(stderr);
}

void progress_done(Progress *p, const Measurement *done)
{
    p->n_done++;
    p->estimate_done_s += done->estimate_s;
}

void progress_end(const Progress *p)
{
    if (p->terminal)
        fputs("\r\033[K", stderr);
}
