/* SPDX-License-Identifier: MIT */
/* Prints the program's own tables as roff for the manual pages, so that the manual can't tell
 * another story than the readers: "keys" for zerosim-experiment(5), "kernels" for
 * zerosim-profile(5). Built for the tests and for `make update-man`; never installed. */
#include "experiment.h"
#include "kernel.h"

#include <stdio.h>
#include <string.h>

/* One of roff's special characters, or a dash that a reader copies, as roff wants it. */
static void print_escaped(const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\\')
            fputs("\\e", stdout);
        else if (*p == '-')
            fputs("\\-", stdout);
        else if ((*p == '.' || *p == '\'') && p == text)
            printf("\\&%c", *p);
        else
            putchar(*p);
    }
}

static void print_range(const ExperimentKey *key)
{
    if (key->minimum <= -G_MAXDOUBLE && key->maximum >= G_MAXDOUBLE)
        return;
    g_autofree char *minimum = g_strdup_printf("%.15g", key->minimum);
    g_autofree char *maximum = g_strdup_printf("%.15g", key->maximum);
    if (key->maximum >= (double)G_MAXINT64)
        printf(", at least %s", minimum);
    else
        printf(" from %s to %s", minimum, maximum);
}

static void print_type(const ExperimentKey *key)
{
    switch (key->type) {
    case KEY_STRING:
        fputs("name", stdout);
        break;
    case KEY_PATH:
        fputs("path", stdout);
        break;
    case KEY_NAME_OR_PATH:
        fputs("name or path", stdout);
        break;
    case KEY_CHOICE: {
        g_auto(GStrv) choices = g_strsplit(key->choices, "|", -1);
        g_autofree char *listed = g_strjoinv(", ", choices);
        print_escaped(listed);
        break;
    }
    case KEY_INT:
        fputs("whole number", stdout);
        print_range(key);
        break;
    case KEY_INT_OR_AUTO:
        fputs("auto or a whole number", stdout);
        print_range(key);
        break;
    case KEY_INT_OR_BOOL:
        fputs("true, false or a whole number", stdout);
        print_range(key);
        break;
    case KEY_DOUBLE:
        fputs("number", stdout);
        print_range(key);
        break;
    case KEY_BOOL:
        fputs("true or false", stdout);
        break;
    }
}

static void print_key(const ExperimentKey *key)
{
    fputs(".TP\n.B ", stdout);
    print_escaped(key->key);
    putchar('\n');
    print_escaped(key->help);
    fputs("\n.br\n(", stdout);
    print_type(key);
    if (key->default_value) {
        fputs("; default ", stdout);
        print_escaped(key->default_value);
    }
    fputs(")\n", stdout);
}

static void print_keys(void)
{
    const char *section = NULL;

    for (int i = 0; i < experiment_n_keys; i++) {
        const ExperimentKey *key = &experiment_keys[i];
        if (g_strcmp0(section, key->section) != 0)
            printf(".SS [%s]\n", key->section);
        section = key->section;
        print_key(key);
    }
}

static void print_kernels(void)
{
    for (int op = 0; op < N_KERNELS; op++) {
        const char *const *names = kernel_dimension_names((KernelOp)op);
        printf(".TP\n.B %s\n", kernel_op_name((KernelOp)op));
        for (int i = 0; i < KERNEL_MAX_DIMENSIONS && names[i]; i++)
            printf("%s%s", i > 0 ? ", " : "", names[i]);
        putchar('\n');
    }
}

typedef struct {
    const char *name;
    void (*print)(void);
} Table;

static const Table tables[] = {{"keys", print_keys}, {"kernels", print_kernels}};

int main(int argc, char **argv)
{
    for (gsize i = 0; argc == 2 && i < G_N_ELEMENTS(tables); i++) {
        if (strcmp(argv[1], tables[i].name) != 0)
            continue;
        tables[i].print();
        return fflush(stdout) == 0 ? 0 : 1;
    }
    fputs("usage: print_tables keys|kernels\n", stderr);
    return 2;
}
