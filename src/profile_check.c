/* SPDX-License-Identifier: MIT */
/* Each entry of a profile is predicted from the others; probes, which nothing is interpolated
 * from, judge what shapes of no grid get. What was derived from another GPU's measurements says
 * nothing about this one, but is checked in the same way. */
#include "profile_check.h"

#include "profile_interpolate.h"

#include <math.h>

static int compare_doubles(gconstpointer a, gconstpointer b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const GArray *sorted, double part)
{
    if (sorted->len == 0)
        return NAN;
    return g_array_index(sorted, double, (guint)lround(part * (double)(sorted->len - 1)));
}

static ProfileErrors errors_of(const Profile *profile, const GPtrArray *group, gboolean probes)
{
    g_autoptr(GArray) errors = g_array_new(FALSE, FALSE, sizeof(double));
    ProfileErrors result = {0};
    for (guint i = 0; i < group->len; i++) {
        const ProfileEntry *entry = g_ptr_array_index(group, i);
        double time_s = 0;
        if (entry->probe != probes)
            continue;
        if (!profile_interpolate_s(profile, &entry->kernel, entry, &time_s)) {
            result.n_outside++;
            continue;
        }
        const double error = fabs(time_s / profile_entry_s(profile, entry) - 1);
        g_array_append_val(errors, error);
    }
    g_array_sort(errors, compare_doubles);
    result.n = (int)errors->len;
    result.p50 = quantile(errors, 0.5);
    result.p90 = quantile(errors, 0.9);
    return result;
}

static ProfileCheck check_group(const Profile *profile, const GPtrArray *group)
{
    const Kernel *kernel = &((const ProfileEntry *)g_ptr_array_index(group, 0))->kernel;
    ProfileCheck check = {.op = kernel->op,
                          .dtype = kernel->dtype,
                          .n_entries = (int)group->len,
                          .sustained_ratio =
                              profile->sustained_ratio[kernel->op][kernel->dtype]};
    for (guint i = 0; i < group->len; i++) {
        const ProfileEntry *entry = g_ptr_array_index(group, i);
        check.n_sustained += entry->sustained_s > 0;
    }
    check.left_out = errors_of(profile, group, FALSE);
    check.probes = errors_of(profile, group, TRUE);
    return check;
}

GArray *profile_check(const Profile *profile)
{
    GArray *checks = g_array_new(FALSE, FALSE, sizeof(ProfileCheck));
    for (int op = 0; op < N_KERNELS; op++)
        for (int dtype = 0; dtype < N_DTYPES; dtype++) {
            const GPtrArray *group = profile->groups[op][dtype];
            if (!group)
                continue;
            const ProfileCheck check = check_group(profile, group);
            g_array_append_val(checks, check);
        }
    return checks;
}
