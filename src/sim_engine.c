/* SPDX-License-Identifier: MIT */
/* Starts SimGrid with the one configuration that fits GPU links, in a child that may abort. The
 * default network model is made for TCP: it scales bandwidths and latencies and lets
 * acknowledgements share the way back. Actors and platforms are the callers' business. */
#include "sim_engine.h"

#include <errno.h>
#include <signal.h>
#include <simgrid/engine.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const engine_arguments[] = {
    "zerosim",
    "--cfg=network/model:CM02",
    "--cfg=network/TCP-gamma:0",
    "--cfg=network/crosstraffic:0",
#ifdef __SANITIZE_ADDRESS__
    /* AddressSanitizer does not follow SimGrid's own stack switches. */
    "--cfg=contexts/factory:thread",
#endif
    "--log=root.thresh:error",
    "--log=root.fmt:%m%n",
    /* A deadlock is reported by op and rank, by whoever called simgrid_run(). */
    "--log=ker_engine.app:file:/dev/null",
    NULL,
};

void sim_engine_init(void)
{
    /* SimGrid takes what it understands out of argv and keeps pointers to the rest, so the
     * vector lives as long as the child. */
    char **arguments = g_strdupv((char **)engine_arguments);
    int n_arguments = (int)g_strv_length(arguments);
    simgrid_init(&n_arguments, arguments);
}

void sim_engine_load(const char *xml_file)
{
    sim_engine_init();
    simgrid_load_platform(xml_file);
}

static void child_run(void (*body)(void *data), void *data, guint timeout_s, int log)
{
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a simulation nobody waits for is of no use */
    signal(SIGALRM, SIG_DFL);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    alarm(timeout_s);
    body(data);
    /* No exit handlers: they belong to the parent, and SimGrid's would tear down actors. */
    _exit(EXIT_SUCCESS);
}

/* SimGrid's "Parse error at FILE:LINE: text" loses its first words, "Uncaught exception TYPE
 * by ACTOR: text" all but the text. */
static char *complaint_clean(const char *line)
{
    static const char parse_error[] = "Parse error at ";
    if (g_str_has_prefix(line, parse_error))
        return g_strdup(line + strlen(parse_error));
    const char *text = strstr(line, ": ");
    if (g_str_has_prefix(line, "Uncaught exception ") && text)
        return g_strdup(text + 2);
    return g_strdup(line);
}

/* The first line that isn't empty; NULL: none. Bytes that are no UTF-8 are replaced. */
static char *complaint_read(FILE *log)
{
    char line[1024];
    rewind(log);
    while (fgets(line, sizeof line, log)) {
        g_strstrip(line);
        if (*line == '\0')
            continue;
        g_autofree char *text = g_utf8_make_valid(line, -1);
        return complaint_clean(text);
    }
    return NULL;
}

static SimChildEnd child_end(int status, FILE *log, guint timeout_s, char **complaint)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS)
        return SIM_CHILD_DONE;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
        *complaint = g_strdup_printf("SimGrid did not finish within %u s", timeout_s);
        return SIM_CHILD_TIMED_OUT;
    }
    *complaint = complaint_read(log);
    if (!*complaint && WIFSIGNALED(status))
        *complaint = g_strdup_printf("SimGrid ended by signal %d (%s)", WTERMSIG(status),
                                     strsignal(WTERMSIG(status)));
    if (!*complaint)
        *complaint = g_strdup_printf("SimGrid ended with status %d", WEXITSTATUS(status));
    return SIM_CHILD_DIED;
}

SimChildEnd sim_engine_run_child(void (*body)(void *data), void *data, guint timeout_s,
                                 char **complaint)
{
    *complaint = NULL;
    FILE *log = tmpfile();
    fflush(NULL); /* else the child could write what is still buffered a second time */
    pid_t child = log ? fork() : -1;
    if (child == 0)
        child_run(body, data, timeout_s, fileno(log));
    if (child < 0) {
        *complaint = g_strdup_printf("no child process: %s", g_strerror(errno));
        g_clear_pointer(&log, fclose);
        return SIM_CHILD_DIED;
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    SimChildEnd end = child_end(status, log, timeout_s, complaint);
    fclose(log);
    return end;
}
