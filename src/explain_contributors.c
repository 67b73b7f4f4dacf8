/* SPDX-License-Identifier: MIT */
/* Adds up a critical path by what a performance engineer can change: classes of kernels and
 * kinds of collectives, each by phase, and the host. */
#include "explain.h"

static const char *const class_labels[N_KERNEL_CLASSES] = {
    [KERNEL_CLASS_GEMM] = "matrix products",
    [KERNEL_CLASS_ATTENTION] = "attention",
    [KERNEL_CLASS_CONVOLUTION] = "convolutions",
    [KERNEL_CLASS_NORM] = "normalisation",
    [KERNEL_CLASS_OPTIMIZER] = "optimizer",
    [KERNEL_CLASS_LOSS] = "loss",
    [KERNEL_CLASS_EMBEDDING] = "embedding",
    [KERNEL_CLASS_COPY] = "copies and casts",
    [KERNEL_CLASS_ELEMENTWISE] = "elementwise kernels",
};

typedef struct {
    const Job *job;
    GArray *contributors; /* PathContributor */
    GHashTable *index;    /* label → index + 1; the contributors' own labels */
} Sum;

static PathContributor *sum_add(Sum *sum, PathKind kind, char *label, double time_s)
{
    int index = GPOINTER_TO_INT(g_hash_table_lookup(sum->index, label)) - 1;
    if (index < 0) {
        PathContributor contributor = {.kind = kind, .label = label};
        index = (int)sum->contributors->len;
        g_array_append_val(sum->contributors, contributor);
        g_hash_table_insert(sum->index, label, GINT_TO_POINTER(index + 1));
    } else {
        g_free(label);
    }
    PathContributor *contributor = &g_array_index(sum->contributors, PathContributor, index);
    contributor->time_s += time_s;
    return contributor;
}

gboolean explain_recomputes(const Schedule *schedule, const Op *op)
{
    return op->kind == OP_COMPUTE &&
           g_str_has_prefix(schedule_label(schedule, op->label), "recompute ");
}

static void kernels_add_class(Sum *sum, const Schedule *schedule, const Op *op,
                              const char *class_label, double time_s)
{
    const char *phase =
        explain_recomputes(schedule, op) ? "recomputation" : phase_name(op->phase);
    sum_add(sum, PATH_KERNELS, g_strdup_printf("%s in %s", class_label, phase), time_s);
}

/* The op's kernels share its time as they do in the profile. */
static void kernels_add(Sum *sum, const Schedule *schedule, const Op *op, double time_s)
{
    double all_s = 0;
    for (int c = 0; c < N_KERNEL_CLASSES; c++)
        all_s += op->class_s[c];
    if (all_s <= 0)
        kernels_add_class(sum, schedule, op, "kernels", time_s);
    for (int c = 0; c < N_KERNEL_CLASSES; c++)
        if (op->class_s[c] > 0)
            kernels_add_class(sum, schedule, op, class_labels[c],
                              time_s * op->class_s[c] / all_s);
}

static void element_add(Sum *sum, const PathElement *element)
{
    const Schedule *schedule = job_program(sum->job, element->rank);
    const Op *op = schedule_op(schedule, element->op);
    double time_s = element->end_s - element->begin_s;
    if (element->kind == PATH_KERNELS) {
        kernels_add(sum, schedule, op, time_s - element->slowed_s);
        if (element->slowed_s > 0)
            sum_add(sum, PATH_KERNELS,
                    g_strdup_printf("slowdown beside collectives in %s", phase_name(op->phase)),
                    element->slowed_s);
        return;
    }
    if (element->kind == PATH_HOST) {
        sum_add(sum, PATH_HOST, g_strdup("host: launches and waits"), time_s);
        return;
    }
    PathContributor *contributor =
        sum_add(sum, PATH_COLLECTIVE, explain_collective_label(sum->job, op), time_s);
    if (element->link_class >= 0)
        contributor->link_class_s[element->link_class] += time_s;
}

int explain_contributor_class(const PathContributor *contributor)
{
    int most = -1;
    for (int c = 0; c < N_LINK_CLASSES; c++)
        if (contributor->link_class_s[c] > (most < 0 ? 0 : contributor->link_class_s[most]))
            most = c;
    return most;
}

static void contributor_clear(gpointer data)
{
    g_free(((PathContributor *)data)->label);
}

static int contributor_compare(gconstpointer one, gconstpointer other)
{
    const PathContributor *a = one, *b = other;
    if (a->time_s != b->time_s)
        return a->time_s < b->time_s ? 1 : -1;
    return g_strcmp0(a->label, b->label);
}

char *explain_collective_label(const Job *job, const Op *op)
{
    const char *group = job_communicator(job, op->communicator)->name;
    if (op->communicator == 0)
        return g_strdup_printf("%s in %s", collective_name(op->collective),
                               phase_name(op->phase));
    return g_strdup_printf("%s in %s (%s)", collective_name(op->collective),
                           phase_name(op->phase), group);
}

GArray *explain_contributors(const Job *job, const GArray *path)
{
    Sum sum = {.job = job,
               .contributors = g_array_new(FALSE, TRUE, sizeof(PathContributor)),
               .index = g_hash_table_new(g_str_hash, g_str_equal)};
    g_array_set_clear_func(sum.contributors, contributor_clear);
    for (guint i = 0; i < path->len; i++)
        element_add(&sum, &g_array_index(path, PathElement, i));
    g_hash_table_unref(sum.index);
    g_array_sort(sum.contributors, contributor_compare);
    return sum.contributors;
}
