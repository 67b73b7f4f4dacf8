/* SPDX-License-Identifier: MIT */
/* Progress is a child process that reads what is done from a pipe and rewrites one line every
 * half second: the simulation is one long call, which can't come back to say how it is doing.
 */
#include "cmd_progress.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_S 2.0
#define PERIOD_MS 500
#define ERASE_LINE "\r\033[K"

struct CmdProgress {
    int pipe;
    pid_t child;
};

typedef struct {
    int n_done, n_total;
    char what[64];
} Report;

static double now_s(void)
{
    return (double)g_get_monotonic_time() / G_USEC_PER_SEC;
}

/* The time left is that of as many parts as are left, each as long as those done. */
static void show(const Report *report, double elapsed_s)
{
    g_autoptr(GString) line = g_string_new(ERASE_LINE);
    g_string_append_printf(line, "%s: ", report->what);
    if (report->n_total > 0)
        g_string_append_printf(line, "%d of %d done, ", report->n_done, report->n_total);
    g_string_append_printf(line, "%.0f s", elapsed_s);
    if (report->n_done > 0 && report->n_done < report->n_total)
        g_string_append_printf(line, ", about %.0f s left",
                               elapsed_s / report->n_done * (report->n_total - report->n_done));
    if (write(STDERR_FILENO, line->str, line->len) < 0)
        return; /* a terminal that is gone needs no progress */
}

/* Until the parent closes the pipe, or ends. */
static void watch(int pipe)
{
    Report report = {.what = "zerosim"};
    struct pollfd input = {.fd = pipe, .events = POLLIN};
    double start_s = now_s();
    gboolean shown = FALSE;
    for (;;) {
        if (poll(&input, 1, PERIOD_MS) > 0 && read(pipe, &report, sizeof report) <= 0)
            break;
        double elapsed_s = now_s() - start_s;
        if (elapsed_s < FIRST_S)
            continue;
        show(&report, elapsed_s);
        shown = TRUE;
    }
    if (shown && write(STDERR_FILENO, ERASE_LINE, strlen(ERASE_LINE)) < 0)
        return;
}

CmdProgress *cmd_progress_new(void)
{
    int ends[2];
    if (!isatty(STDERR_FILENO) || pipe(ends) != 0)
        return NULL;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        close(ends[1]);
        signal(SIGINT, SIG_IGN); /* the parent's end closes the pipe, and so the line */
        watch(ends[0]);
        _exit(0);
    }
    close(ends[0]);
    if (child < 0) {
        close(ends[1]);
        return NULL;
    }
    CmdProgress *progress = g_new0(CmdProgress, 1);
    *progress = (CmdProgress){.pipe = ends[1], .child = child};
    return progress;
}

void cmd_progress_free(CmdProgress *progress)
{
    if (progress == NULL)
        return;
    close(progress->pipe);
    waitpid(progress->child, NULL, 0);
    g_free(progress);
}

void cmd_progress_set(CmdProgress *progress, int n_done, int n_total, const char *what)
{
    Report report = {.n_done = n_done, .n_total = n_total};
    if (progress == NULL)
        return;
    g_strlcpy(report.what, what, sizeof report.what);
    if (write(progress->pipe, &report, sizeof report) < 0)
        return; /* the watcher has ended: nobody looks */
}
