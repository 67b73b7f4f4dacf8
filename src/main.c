/* SPDX-License-Identifier: MIT */
/* The program: finds the command, runs it, prints its error once, and turns it into an exit
 * status. */
#include "cmd.h"
#include "error.h"
#include "report_colour.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

static const Command commands[] = {
    {"compare", "DDP, ZeRO-1, ZeRO-2 and ZeRO-3 side by side", cmd_compare},
    {"run", "one experiment in detail", cmd_run},
    {"schedule", "what a rank does in a step, op by op", cmd_schedule},
    {"model", "layers, parameters and memory of a model file", cmd_model},
    {"plot", "a figure of results", cmd_plot},
    {"report", "results as a page, or as tables for a paper", cmd_report},
    {"profile", "kernel times of a GPU, and how far they are off", cmd_profile},
    {"platform", "write a cluster preset as SimGrid XML", cmd_platform},
    {"nccl", "fit collectives to measurements", cmd_nccl},
    {"validate", "predictions beside published measurements", cmd_validate},
};

static void print_help(FILE *out)
{
    fputs("Example: zerosim compare workloads/llama-2-7b-dgx-h100.conf\n\n"
          "Usage: zerosim COMMAND [OPTION]...\n\n"
          "Predicts step time, memory and communication of distributed training.\n\n"
          "Commands:\n",
          out);
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs(
        "\n`zerosim COMMAND --help` lists a command's options; `zerosim --version` prints the "
        "version.\n",
        out);
}

static const Command *find_command(const char *name, GError **error)
{
    const char *names[G_N_ELEMENTS(commands) + 1] = {NULL};
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
        names[i] = commands[i].name;
    }
    g_autofree char *quoted = error_quote(name);
    g_autofree char *all = g_strjoinv(", ", (char **)names);
    const char *nearest = error_nearest(name, names);
    g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                "there is no command %s%s%s%s; commands are %s", quoted,
                nearest ? ": did you mean " : "", nearest ? nearest : "", nearest ? "?" : "",
                all);
    return NULL;
}

static gboolean run_command(int argc, char **argv, GError **error)
{
    if (argc < 2) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE,
                    "a command is required, as in: zerosim compare "
                    "workloads/llama-2-7b-dgx-h100.conf (zerosim --help lists them)");
        return FALSE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return TRUE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("zerosim " PACKAGE_VERSION);
        return TRUE;
    }
    const Command *command = find_command(argv[1], error);
    if (command == NULL)
        return FALSE;
    g_autofree char *name = g_strconcat("zerosim ", command->name, NULL);
    g_set_prgname(name);
    return command->run(argc - 1, argv + 1, error);
}

/* A full disk or a closed pipe shows when the last bytes are written. */
static gboolean close_stdout(GError **error)
{
    gboolean written = !ferror(stdout);
    if (fclose(stdout) == 0 && written)
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_SIMULATION, "standard output: %s",
                g_strerror(errno));
    return FALSE;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C");
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of writing */
    if (run_command(argc, argv, &error))
        close_stdout(&error);
    if (error != NULL) {
        g_autofree char *name = report_colour_alarmed(stderr, "zerosim:");
        fprintf(stderr, "%s %s\n", name, error->message);
    }
    return error_exit_status(error);
}
