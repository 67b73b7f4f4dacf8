/* SPDX-License-Identifier: MIT */
/* Rows on all cores: a forked worker a row, since a row may need memory that should be given
 * back, take long, or crash. A worker's outcomes come back as JSON through a pipe. */
#include "error.h"
#include "validate.h"
#include "validate_record.h"
#include "validate_rows.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A row and what came of it. */
typedef struct {
    ValidateKind kind;
    const CsvRow *row;
    GPtrArray *outcomes; /* NULL until it is done */
} Work;

typedef struct {
    pid_t child; /* 0: free */
    int pipe;
    GString *text;
    guint work;
} Worker;

typedef struct {
    GArray *work; /* Work */
    Worker *workers;
    int n_workers;
    guint next, n_done;
    ValidateProgress progress;
    gpointer data;
} Pool;

static gboolean works_collect(const GPtrArray *tables, GArray *work, GError **error)
{
    for (guint t = 0; t < tables->len; t++) {
        const CsvTable *table = tables->pdata[t];
        ValidateKind kind;
        if (!validate_kind_of(table, &kind, error))
            return FALSE;
        for (guint r = 0; r < table->rows->len; r++) {
            const Work one = {kind, table->rows->pdata[r], NULL};
            g_array_append_val(work, one);
        }
    }
    return TRUE;
}

/* The child's whole life. */
static void work_do(const Work *work, int pipe)
{
    g_autoptr(GPtrArray) outcomes =
        g_ptr_array_new_with_free_func((GDestroyNotify)outcome_free);
    validate_row(work->kind, work->row, TRUE, outcomes);
    json_t *records = json_array();
    for (guint i = 0; i < outcomes->len; i++)
        json_array_append_new(records, outcome_record(outcomes->pdata[i]));
    json_dumpfd(records, pipe, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(records);
    close(pipe);
}

static gboolean worker_start(Pool *pool, Worker *worker, GError **error)
{
    int ends[2];
    if (pipe(ends) != 0) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "no pipe: %s", g_strerror(errno));
        return FALSE;
    }
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        work_do(&g_array_index(pool->work, Work, pool->next), ends[1]);
        _exit(0);
    }
    close(ends[1]);
    if (child < 0) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "no process: %s",
                    g_strerror(errno));
        close(ends[0]);
        return FALSE;
    }
    *worker = (Worker){child, ends[0], g_string_new(NULL), pool->next++};
    return TRUE;
}

static GPtrArray *outcomes_parse(const char *text)
{
    json_t *records = json_loads(text, 0, NULL);
    GPtrArray *outcomes = g_ptr_array_new_with_free_func((GDestroyNotify)outcome_free);
    size_t i;
    json_t *record;
    json_array_foreach(records, i, record)
    {
        Outcome *outcome = outcome_from_record(record);
        if (outcome != NULL)
            g_ptr_array_add(outcomes, outcome);
    }
    json_decref(records);
    return outcomes;
}

/* A worker that said nothing: its row must not be lost, and counts as missed. */
static void outcomes_of_crash(const Work *work, int status)
{
    validate_row(work->kind, work->row, FALSE, work->outcomes);
    for (guint i = 0; i < work->outcomes->len; i++)
        outcome_fail(work->outcomes->pdata[i],
                     g_error_new(ZEROSIM_ERROR, ERROR_SIMULATION,
                                 WIFSIGNALED(status) ? "the prediction crashed (signal %d)"
                                                     : "the prediction failed (status %d)",
                                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)));
}

static void worker_finish(Pool *pool, Worker *worker)
{
    Work *work = &g_array_index(pool->work, Work, worker->work);
    int status = 0;
    close(worker->pipe);
    waitpid(worker->child, &status, 0);
    work->outcomes = outcomes_parse(worker->text->str);
    if (work->outcomes->len == 0)
        outcomes_of_crash(work, status);
    g_string_free(worker->text, TRUE);
    worker->child = 0;
    pool->n_done++;
    if (pool->progress != NULL)
        pool->progress((int)pool->n_done, (int)pool->work->len, csv_row_text(work->row, "id"),
                       pool->data);
}

static void worker_read(Pool *pool, Worker *worker)
{
    char buffer[4096];
    const ssize_t n = read(worker->pipe, buffer, sizeof buffer);
    if (n > 0)
        g_string_append_len(worker->text, buffer, n);
    else if (n == 0 || errno != EINTR)
        worker_finish(pool, worker);
}

static gboolean pool_run(Pool *pool, GError **error)
{
    g_autofree struct pollfd *polls = g_new0(struct pollfd, pool->n_workers);
    while (pool->n_done < pool->work->len) {
        for (int w = 0; w < pool->n_workers; w++) {
            Worker *worker = &pool->workers[w];
            if (worker->child == 0 && pool->next < pool->work->len &&
                !worker_start(pool, worker, error))
                return FALSE;
            polls[w] = (struct pollfd){worker->child ? worker->pipe : -1, POLLIN, 0};
        }
        if (poll(polls, (nfds_t)pool->n_workers, -1) < 0 && errno != EINTR) {
            g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "poll: %s", g_strerror(errno));
            return FALSE;
        }
        for (int w = 0; w < pool->n_workers; w++)
            if (polls[w].revents != 0)
                worker_read(pool, &pool->workers[w]);
    }
    return TRUE;
}

static void work_clear(gpointer data)
{
    Work *work = data;
    if (work->outcomes != NULL)
        g_ptr_array_unref(work->outcomes);
}

GPtrArray *validate_tables(const GPtrArray *tables, int n_workers, ValidateProgress progress,
                           gpointer data, GError **error)
{
    g_autoptr(GArray) work = g_array_new(FALSE, TRUE, sizeof(Work));
    g_array_set_clear_func(work, work_clear);
    if (!works_collect(tables, work, error))
        return NULL;
    Pool pool = {.work = work,
                 .workers = g_new0(Worker, MAX(n_workers, 1)),
                 .n_workers = MAX(n_workers, 1),
                 .progress = progress,
                 .data = data};
    const gboolean run = pool_run(&pool, error);
    g_free(pool.workers);
    if (!run)
        return NULL;
    GPtrArray *outcomes = g_ptr_array_new_with_free_func((GDestroyNotify)outcome_free);
    for (guint i = 0; i < work->len; i++) {
        GPtrArray *of_row = g_array_index(work, Work, i).outcomes;
        for (guint j = 0; j < of_row->len; j++)
            g_ptr_array_add(outcomes, g_steal_pointer(&of_row->pdata[j]));
    }
    return outcomes;
}
