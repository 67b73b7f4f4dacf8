/* SPDX-License-Identifier: MIT */
/* A child leaves its outcome in an unlinked temporary file that it shares with the parent: a
 * pipe would have to be emptied while it runs. The first byte says which of the two it is. */
#include "pool.h"

#include "error.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    pid_t child; /* 0: free */
    int job;
    FILE *outcome;
} Worker;

/* The outcome is the work's text, or the code of an error and its message. */
static void child_run(const PoolWork *work, int job, FILE *outcome)
{
    g_autoptr(GError) failure = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a job nobody waits for is of no use */
    fputc('+', outcome);
    if (!work->run(job, outcome, work->data, &failure)) {
        int code = failure->domain == ZEROSIM_ERROR ? failure->code : ERROR_SIMULATION;
        rewind(outcome);
        if (ftruncate(fileno(outcome), 0) != 0)
            _exit(1);
        fprintf(outcome, "-%d %s", code, failure->message);
    }
    _exit(fflush(outcome) == 0 ? 0 : 1);
}

static gboolean worker_start(Worker *worker, const PoolWork *work, int job, GError **error)
{
    fflush(NULL); /* else the child could write what is still buffered a second time */
    *worker = (Worker){.job = job, .outcome = tmpfile()};
    worker->child = worker->outcome != NULL ? fork() : -1;
    if (worker->child == 0)
        child_run(work, job, worker->outcome);
    if (worker->child > 0)
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "no child process: %s",
                g_strerror(errno));
    g_clear_pointer(&worker->outcome, fclose);
    worker->child = 0;
    return FALSE;
}

static char *outcome_read(FILE *outcome)
{
    GString *text = g_string_new(NULL);
    char buffer[65536];
    gsize n;
    rewind(outcome);
    while ((n = fread(buffer, 1, sizeof buffer, outcome)) > 0)
        g_string_append_len(text, buffer, (gssize)n);
    return g_string_free(text, FALSE);
}

static GError *failure_of(const char *text, int status)
{
    char *message;
    if (WIFSIGNALED(status))
        return g_error_new(ZEROSIM_ERROR, ERROR_SIMULATION, "ended by signal %d (%s)",
                           WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) != 0 || *text == '\0')
        return g_error_new(ZEROSIM_ERROR, ERROR_SIMULATION, "ended with status %d",
                           WEXITSTATUS(status));
    if (*text == '+')
        return NULL;
    int code = (int)g_ascii_strtoll(text + 1, &message, 10);
    return g_error_new_literal(ZEROSIM_ERROR, code, message + 1);
}

static gboolean worker_conclude(Worker *worker, const PoolWork *work, int status,
                                GError **error)
{
    g_autofree char *text = outcome_read(worker->outcome);
    g_autoptr(GError) failure = failure_of(text, status);
    g_clear_pointer(&worker->outcome, fclose);
    worker->child = 0;
    return work->ended(worker->job, failure == NULL ? text + 1 : NULL, failure, work->data,
                       error);
}

/* NULL when the child that ended was none of the pool's. */
static Worker *worker_wait(Worker *workers, int n_workers, int *status)
{
    pid_t child;
    do
        child = waitpid(-1, status, 0);
    while (child < 0 && errno == EINTR);
    for (int w = 0; child > 0 && w < n_workers; w++)
        if (workers[w].child == child)
            return &workers[w];
    return NULL;
}

static void workers_kill(Worker *workers, int n_workers)
{
    for (int w = 0; w < n_workers; w++) {
        if (workers[w].child == 0)
            continue;
        kill(workers[w].child, SIGKILL);
        waitpid(workers[w].child, NULL, 0);
        g_clear_pointer(&workers[w].outcome, fclose);
    }
}

gboolean pool_run(int n_jobs, int n_workers, const PoolWork *work, GError **error)
{
    g_autofree Worker *workers = g_new0(Worker, MAX(1, n_workers));
    int n_started = 0, n_running = 0, status;
    gboolean ok = TRUE;
    while (ok && (n_started < n_jobs || n_running > 0)) {
        for (int w = 0; ok && w < n_workers && n_started < n_jobs; w++)
            if (workers[w].child == 0) {
                ok = worker_start(&workers[w], work, n_started++, error);
                n_running += ok;
            }
        if (!ok)
            break;
        Worker *worker = worker_wait(workers, n_workers, &status);
        if (worker == NULL)
            continue;
        n_running--;
        ok = worker_conclude(worker, work, status, error);
    }
    workers_kill(workers, n_workers);
    return ok;
}
