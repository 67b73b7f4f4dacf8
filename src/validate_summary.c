/* SPDX-License-Identifier: MIT */
/* Grouping of outcomes and the statistics of their errors. */
#include "validate_summary.h"

#include "metrics_expected.h"

#include <math.h>
#include <string.h>

static gboolean is_any(const Outcome *outcome)
{
    (void)outcome;
    return TRUE;
}

static gboolean is_pytorch_a(const Outcome *outcome)
{
    return strcmp(outcome->stack, "pytorch") == 0 && strcmp(outcome->quality, "A") == 0;
}

static gboolean is_xla(const Outcome *outcome)
{
    return strcmp(outcome->stack, "jax-xla") == 0;
}

static gboolean is_other(const Outcome *outcome)
{
    return !is_xla(outcome) && !is_pytorch_a(outcome);
}

static gboolean is_measured(const Outcome *outcome)
{
    return strcmp(outcome->stack, "measured") == 0;
}

static gboolean is_formula(const Outcome *outcome)
{
    return !is_measured(outcome);
}

/* 64 KiB to 8 GiB, where bandwidth counts, and nothing odd in the log. */
static gboolean is_sound(const Outcome *outcome)
{
    return strcmp(outcome->quality, "ok") == 0 && outcome->size_bytes >= 65536 &&
           outcome->size_bytes <= 8589934592.0;
}

static gboolean is_sound_and_fitted(const Outcome *outcome)
{
    return is_sound(outcome) && outcome->used_for_fit;
}

static gboolean is_sound_and_unseen(const Outcome *outcome)
{
    return is_sound(outcome) && !outcome->used_for_fit;
}

const Class validate_classes[] = {
    {VALIDATE_STEPS, "step_time_s", "step time, PyTorch, quality A", is_pytorch_a, FALSE},
    {VALIDATE_STEPS, "step_time_s", "step time, other trainers and qualities", is_other, FALSE},
    {VALIDATE_STEPS, "step_time_s", "step time, JAX/XLA (another compiler: no headline)",
     is_xla, FALSE},
    {VALIDATE_STEPS, "peak_bytes", "peak memory of steps", is_any, FALSE},
    {VALIDATE_STEPS, "forward_s", "forward pass, kernels", is_any, FALSE},
    {VALIDATE_STEPS, "backward_s", "backward pass, kernels", is_any, FALSE},
    {VALIDATE_STEPS, "optimizer_s", "optimizer step, kernels", is_any, FALSE},
    {VALIDATE_STEPS, "kernel_gemm_s", "kernels of a step: gemm", is_any, FALSE},
    {VALIDATE_STEPS, "kernel_attention_s", "kernels of a step: attention", is_any, FALSE},
    {VALIDATE_STEPS, "kernel_convolution_s", "kernels of a step: convolution", is_any, FALSE},
    {VALIDATE_STEPS, "kernel_norm_s", "kernels of a step: norm", is_any, FALSE},
    {VALIDATE_STEPS, "kernel_optimizer_s", "kernels of a step: optimizer", is_any, FALSE},
    {VALIDATE_STEPS, "kernel_loss_s", "kernels of a step: loss", is_any, FALSE},
    {VALIDATE_STEPS, "kernel_embedding_s", "kernels of a step: embedding", is_any, FALSE},
    {VALIDATE_STEPS, "kernel_copy_s", "kernels of a step: copy", is_any, FALSE},
    {VALIDATE_STEPS, "kernel_elementwise_s", "kernels of a step: elementwise", is_any, FALSE},
    {VALIDATE_MEMORY, "bytes", "memory by formula", is_formula, FALSE},
    {VALIDATE_MEMORY, "bytes", "memory, measured", is_measured, FALSE},
    {VALIDATE_CAPACITY, "max_params", "largest model by formula", is_formula, FALSE},
    {VALIDATE_CAPACITY, "max_params", "largest model, measured", is_measured, FALSE},
    {VALIDATE_NCCL, "time_s", "collectives, 64 KiB to 8 GiB, sound logs", is_sound, FALSE},
    {VALIDATE_NCCL, "time_s", "collectives, sound, rows that constants were fitted on",
     is_sound_and_fitted, FALSE},
    {VALIDATE_NCCL, "time_s",
     "collectives, sound, the same rows by fits that haven't seen them", is_sound_and_fitted,
     TRUE},
    {VALIDATE_NCCL, "time_s", "collectives, sound, rows that no constant was fitted on",
     is_sound_and_unseen, FALSE},
    {VALIDATE_NCCL, "time_s", "collectives, all sizes and logs", is_any, FALSE},
};
const int validate_n_classes = G_N_ELEMENTS(validate_classes);

gboolean class_has(const Class *class, const Outcome *outcome)
{
    return outcome->kind == class->kind && strcmp(outcome->quantity, class->quantity) == 0 &&
           class->member(outcome);
}

/* ---- names of groups ---- */

static const struct {
    double below;
    const char *name;
} parameter_classes[] = {{0.5e9, "under 0.5 B parameters"},
                         {2e9, "0.5 to 2 B parameters"},
                         {10e9, "2 to 10 B parameters"},
                         {INFINITY, "over 10 B parameters"}},
  message_classes[] = {{65536, "under 64 KiB"},
                       {1048576, "64 KiB to 1 MiB"},
                       {67108864, "1 to 64 MiB"},
                       {8589934593.0, "64 MiB to 8 GiB"},
                       {INFINITY, "over 8 GiB"}};

static const char *size_name(const Outcome *outcome)
{
    int i = 0;
    if (outcome->kind == VALIDATE_NCCL) {
        while (outcome->size_bytes >= message_classes[i].below)
            i++;
        return message_classes[i].name;
    }
    while (outcome->parameters >= parameter_classes[i].below)
        i++;
    return parameter_classes[i].name;
}

static const char *group_of(const Outcome *outcome, Grouping grouping)
{
    switch (grouping) {
    case GROUP_ALL:
        return "all";
    case GROUP_SOURCE:
        return outcome->source;
    case GROUP_STRATEGY:
        return *outcome->strategy ? outcome->strategy : "not stated";
    case GROUP_GPU:
        return *outcome->gpu ? outcome->gpu : "none";
    case GROUP_SIZE:
        return size_name(outcome);
    case GROUP_SCALE:
        return expected_error_scale(outcome->n_gpus);
    case N_GROUPINGS:
        break;
    }
    g_assert_not_reached();
}

const char *grouping_name(Grouping grouping)
{
    static const char *const names[N_GROUPINGS] = {"all", "source", "strategy",
                                                   "GPU", "size",   "scale"};
    return names[grouping];
}

/* ---- statistics ---- */

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double summary_quantile(GArray *values, double frac)
{
    if (values->len == 0)
        return NAN;
    g_array_sort(values, compare_doubles);
    const double at = frac * (values->len - 1);
    const guint below = (guint)at;
    const double low = g_array_index(values, double, below);
    const double high = g_array_index(values, double, MIN(below + 1, values->len - 1));
    return low + (at - below) * (high - low);
}

static void group_free(gpointer data)
{
    GroupErrors *group = data;
    g_free(group->name);
    g_free(group);
}

static GroupErrors *group_compute(const char *name, const GPtrArray *members, gboolean held_out)
{
    g_autoptr(GArray) signed_errors = g_array_new(FALSE, FALSE, sizeof(double));
    g_autoptr(GArray) errors = g_array_new(FALSE, FALSE, sizeof(double));
    double log_sum = 0;
    for (guint i = 0; i < members->len; i++) {
        const Outcome *outcome = members->pdata[i];
        const double error =
            held_out ? outcome->held_out_error_frac : outcome_error_frac(outcome);
        if (!isfinite(error))
            continue;
        const double absolute = fabs(error);
        g_array_append_val(signed_errors, error);
        g_array_append_val(errors, absolute);
        log_sum += fabs(log(1 + error));
    }
    GroupErrors *group = g_new0(GroupErrors, 1);
    *group = (GroupErrors){
        .name = g_strdup(name),
        .n_rows = (int)members->len,
        .n_predicted = (int)errors->len,
        .median_error_frac = summary_quantile(errors, 0.5),
        .p90_error_frac = summary_quantile(errors, 0.9),
        .worst_error_frac = summary_quantile(errors, 1),
        .median_bias_frac = summary_quantile(signed_errors, 0.5),
        .geometric_mean_error_frac = errors->len ? exp(log_sum / errors->len) - 1 : NAN,
    };
    return group;
}

GPtrArray *summary_compute(const GPtrArray *outcomes, const Class *class, Grouping grouping)
{
    g_autoptr(GHashTable) members =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_ptr_array_unref);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (guint i = 0; i < outcomes->len; i++) {
        Outcome *outcome = outcomes->pdata[i];
        if (!class_has(class, outcome) || !isfinite(outcome->measured))
            continue;
        char *name = (char *)group_of(outcome, grouping);
        GPtrArray *group = g_hash_table_lookup(members, name);
        if (group == NULL) {
            group = g_ptr_array_new();
            g_hash_table_insert(members, name, group);
            g_ptr_array_add(names, name);
        }
        g_ptr_array_add(group, outcome);
    }
    GPtrArray *groups = g_ptr_array_new_with_free_func(group_free);
    for (guint i = 0; i < names->len; i++)
        g_ptr_array_add(groups, group_compute(names->pdata[i],
                                              g_hash_table_lookup(members, names->pdata[i]),
                                              class->held_out));
    return groups;
}
