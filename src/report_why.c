/* SPDX-License-Identifier: MIT */
/* Why the fastest of several results is the fastest: the largest difference to the next one,
 * in waiting for a collective or in a class of the step's time. */
#include "metrics_comm.h"
#include "report_formats.h"

int report_fastest(const GPtrArray *results, int except)
{
    int fastest = -1;
    for (guint i = 0; i < results->len; i++) {
        const Result *result = results->pdata[i];
        if ((int)i == except || !result->memory.fits)
            continue;
        if (fastest < 0 ||
            result->step_time_s < ((Result *)results->pdata[fastest])->step_time_s)
            fastest = (int)i;
    }
    return fastest;
}

static double exposed_in(const Result *result, const CollectiveTotal *wanted)
{
    for (guint i = 0; i < result->collectives->len; i++) {
        const CollectiveTotal *total = &g_array_index(result->collectives, CollectiveTotal, i);
        if (total->kind == wanted->kind && total->phase == wanted->phase)
            return total->exposed_s;
    }
    return 0;
}

/* The collective for which `loser` waits longest compared with `winner`. */
static const CollectiveTotal *most_waited(const Result *winner, const Result *loser)
{
    const CollectiveTotal *most = NULL;
    double most_s = 0;
    for (guint i = 0; i < loser->collectives->len; i++) {
        const CollectiveTotal *total = &g_array_index(loser->collectives, CollectiveTotal, i);
        double extra_s = total->exposed_s - exposed_in(winner, total);
        if (extra_s > most_s) {
            most = total;
            most_s = extra_s;
        }
    }
    return most;
}

/* The class of time, beside exposed communication, in which the loser spends most more. */
static const char *slower_class(const Result *winner, const Result *loser, double *winner_s,
                                double *loser_s)
{
    const TimeSplit *w = &winner->time_split_s, *l = &loser->time_split_s;
    const struct {
        const char *name;
        double winner_s, loser_s;
    } classes[] = {
        {"the forward pass", w->forward, l->forward},
        {"the backward pass", w->backward, l->backward},
        {"the optimizer's update", w->update, l->update},
        {"copies and waits of the host", w->idle, l->idle},
    };
    gsize most = 0;
    for (gsize i = 1; i < G_N_ELEMENTS(classes); i++)
        if (classes[i].loser_s - classes[i].winner_s >
            classes[most].loser_s - classes[most].winner_s)
            most = i;
    *winner_s = classes[most].winner_s;
    *loser_s = classes[most].loser_s;
    return classes[most].name;
}

/* "spends 0.1 s in the optimizer's update (ZeRO-1: 0.02 s)": what costs the loser most. */
static char *loss(const Result *winner, const Result *loser)
{
    const CollectiveTotal *total = most_waited(winner, loser);
    double winner_s, loser_s;
    const char *class_name = slower_class(winner, loser, &winner_s, &loser_s);
    if (total == NULL || total->exposed_s - exposed_in(winner, total) < loser_s - winner_s)
        return g_strdup_printf("%s spends %.3g s in %s where %s spends %.3g s", loser->label,
                               loser_s, class_name, winner->label, winner_s);
    const LinkClassTotal *links = metrics_busiest_class(loser->link_classes);
    g_autofree char *carried = links == NULL
                                   ? g_strdup("")
                                   : g_strdup_printf(", carried by %s links at %.0f %%",
                                                     link_class_name(links->link_class),
                                                     100 * links->peak_utilisation_frac);
    double waited_s = exposed_in(winner, total);
    g_autofree char *contrast =
        waited_s > 0 ? g_strdup_printf("waits %.3g s", waited_s) : g_strdup("doesn't wait");
    return g_strdup_printf("%s waits %.3g s for %s in %s%s, where %s %s", loser->label,
                           total->exposed_s, collective_name(total->kind),
                           phase_name(total->phase), carried, winner->label, contrast);
}

static char *why_none_fits(const GPtrArray *results)
{
    const Result *smallest = results->pdata[0];
    for (guint i = 1; i < results->len; i++) {
        const Result *result = results->pdata[i];
        if (result->memory.reserved_bytes < smallest->memory.reserved_bytes)
            smallest = result;
    }
    return g_strdup_printf("None fits: %s needs least, %.1f GiB of %.1f GiB.", smallest->label,
                           (double)smallest->memory.reserved_bytes / 0x1p30,
                           (double)smallest->memory.capacity_bytes / 0x1p30);
}

char *report_why(const GPtrArray *results)
{
    int first = report_fastest(results, -1);
    if (first < 0)
        return why_none_fits(results);
    const Result *winner = results->pdata[first];
    int second = report_fastest(results, first);
    if (second < 0)
        return g_strdup_printf("%s is the only one that fits; it %s.", winner->label,
                               winner->reason);
    const Result *loser = results->pdata[second];
    double ahead_s = loser->step_time_s - winner->step_time_s;
    if (ahead_s < 0.001 * winner->step_time_s)
        return g_strdup_printf("%s and %s are equally fast: %s %s.", winner->label,
                               loser->label, winner->label, winner->reason);
    g_autofree char *lost = loss(winner, loser);
    return g_strdup_printf("%s is fastest, %.3g s (%.2g %%) ahead of %s: %s.", winner->label,
                           ahead_s, 100 * ahead_s / loser->step_time_s, loser->label, lost);
}
