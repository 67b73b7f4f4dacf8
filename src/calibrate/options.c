/* SPDX-License-Identifier: MIT */
/* Options by getopt_long; mistakes are answered with what would be right. */
#include "options.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_BUDGET_S 480

const char options_help[] =
    "Example: zerosim-calibrate --budget 480\n"
    "\n"
    "Usage: zerosim-calibrate [OPTION]...\n"
    "\n"
    "Times kernels on the first GPU and writes a profile that zerosim reads. A second run\n"
    "continues where the first one's budget ended, and adds to its file.\n"
    "\n"
    "  --list             print what would be measured, in order, and stop; needs no GPU\n"
    "  --budget SECONDS   stop in time, most useful measurements first (default 480)\n"
    "  --only OP          measure this operation only; may be given several times\n"
    "  --again            measure anew what the file holds already\n"
    "  --output FILE      profile to write or to continue (default: the GPU's name, .json)\n"
    "  --gpu NAME         the profile's name (default: from the device's name)\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 done, 1 the GPU or the file failed, 2 usage or a malformed file, 77 no "
    "GPU.\n";

enum {
    OPTION_LIST = 256,
    OPTION_BUDGET,
    OPTION_ONLY,
    OPTION_AGAIN,
    OPTION_OUTPUT,
    OPTION_GPU,
    OPTION_HELP,
    OPTION_VERSION
};

static const struct option long_options[] = {
    {"list", no_argument, NULL, OPTION_LIST},
    {"budget", required_argument, NULL, OPTION_BUDGET},
    {"only", required_argument, NULL, OPTION_ONLY},
    {"again", no_argument, NULL, OPTION_AGAIN},
    {"output", required_argument, NULL, OPTION_OUTPUT},
    {"gpu", required_argument, NULL, OPTION_GPU},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static bool parse_budget(const char *text, Options *options, char *message, size_t size)
{
    char *end = NULL;
    const double value = strtod(text, &end);
    if (end != text && *end == '\0' && isfinite(value) && value > 0) {
        options->budget_s = value;
        return true;
    }
    snprintf(message, size, "--budget: \"%.40s\" isn't a positive number of seconds", text);
    return false;
}

static bool parse_only(const char *name, Options *options, char *message, size_t size)
{
    const PlanOp *op = plan_op_find(name);
    if (!op) {
        snprintf(message, size,
                 "--only: there is no operation \"%.40s\"; zerosim-calibrate --list shows them",
                 name);
        return false;
    }
    if (options->n_only == OPTIONS_MAX_ONLY) {
        snprintf(message, size, "--only may be given %d times", OPTIONS_MAX_ONLY);
        return false;
    }
    options->only[options->n_only++] = op;
    return true;
}

static bool parse_one(int option, Options *options, char *message, size_t size)
{
    switch (option) {
    case OPTION_LIST:
        return options->list = true;
    case OPTION_AGAIN:
        return options->again = true;
    case OPTION_HELP:
        return options->help = true;
    case OPTION_VERSION:
        return options->version = true;
    case OPTION_BUDGET:
        return parse_budget(optarg, options, message, size);
    case OPTION_ONLY:
        return parse_only(optarg, options, message, size);
    case OPTION_OUTPUT:
        options->output = optarg;
        return true;
    case OPTION_GPU:
        options->gpu = optarg;
        return true;
    default:
        return false;
    }
}

bool options_parse(int argc, char **argv, Options *options, char *message, size_t size)
{
    int option = 0;
    *options = (Options){.budget_s = DEFAULT_BUDGET_S};
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == '?') {
            snprintf(message, size,
                     "\"%.40s\" isn't an option, or lacks its value; "
                     "zerosim-calibrate --help lists them",
                     argv[optind - 1]);
            return false;
        }
        if (!parse_one(option, options, message, size))
            return false;
    }
    if (optind == argc)
        return true;
    snprintf(message, size, "\"%.40s\" is too much: there are only options", argv[optind]);
    return false;
}

bool options_select(const Options *options, const Measurement *measurement)
{
    for (int i = 0; i < options->n_only; i++) {
        if (options->only[i] == measurement->op)
            return true;
    }
    return options->n_only == 0;
}

static const char *without_directory(const char *text)
{
    const char *slash = strrchr(text, '/');
    return slash ? slash + 1 : text;
}

void options_command_line(int argc, char **argv, char *text, size_t size)
{
    size_t used = 0;
    for (int i = 0; i < argc && used < size; i++) {
        const char *assigned = i > 0 && argv[i][0] == '-' ? strchr(argv[i], '=') : NULL;
        const int name = assigned ? (int)(assigned + 1 - argv[i]) : 0;
        const int n = snprintf(text + used, size - used, "%s%.*s%s", i > 0 ? " " : "", name,
                               argv[i], without_directory(argv[i] + name));
        used += n > 0 ? (size_t)n : 0;
    }
}
