/* SPDX-License-Identifier: MIT */
/* `zerosim profile`: what a GPU profile holds, how far its interpolation is off, its kernels
 * under the roofline, and profiles derived from others. */
#include "cmd.h"
#include "error.h"
#include "experiment.h"
#include "plot.h"
#include "profile_check.h"
#include "profile_derive.h"
#include "report_grid.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define EXAMPLE "Example: zerosim profile h100-sxm5-80gb\n\n"

typedef struct {
    gboolean check;
    char *plot, *derive, *from;
    char **names, **overlays;
} Arguments;

static void arguments_clear(Arguments *arguments)
{
    g_free(arguments->plot);
    g_free(arguments->derive);
    g_free(arguments->from);
    g_strfreev(arguments->names);
    g_strfreev(arguments->overlays);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Arguments, arguments_clear)

static gboolean usage_error(GError **error, const char *message)
{
    g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE, "profile: %s", message);
    return FALSE;
}

static gboolean arguments_check(const Arguments *arguments, GError **error)
{
    const guint n = arguments->names ? g_strv_length(arguments->names) : 0;
    if ((arguments->derive != NULL) != (arguments->from != NULL))
        return usage_error(error, "--derive=NAME and --from=PROFILE go together");
    if (arguments->derive)
        return n == 0 && !arguments->check && !arguments->plot && !arguments->overlays
                   ? TRUE
                   : usage_error(error, "--derive takes --from alone");
    return n == 1 ? TRUE
                  : usage_error(error, "one profile is required, as in: zerosim profile "
                                       "h100-sxm5-80gb");
}

static gboolean arguments_parse(Arguments *arguments, int argc, char **argv, char **help,
                                GError **error)
{
    const GOptionEntry entries[] = {
        {"check", 0, 0, G_OPTION_ARG_NONE, &arguments->check,
         "predict each measured kernel from the others, and print the errors", NULL},
        {"plot", 0, 0, G_OPTION_ARG_FILENAME, &arguments->plot,
         "draw products and attention under the roofline (.svg, .pdf, .png, .tex, .csv)",
         "FILE"},
        {"profile", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->overlays,
         "lay a profile's kernels, or a PyTorch trace's, over it; may be repeated", "FILE"},
        {"derive", 0, 0, G_OPTION_ARG_FILENAME, &arguments->derive,
         "print a profile of this GPU made from another one's measurements", "NAME"},
        {"from", 0, 0, G_OPTION_ARG_FILENAME, &arguments->from, "the profile to derive from",
         "PROFILE"},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->names, NULL,
         "PROFILE"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_add_main_entries(context, entries, NULL);
    return cmd_parse(context, argc, argv, help, error) &&
           (*help || arguments_check(arguments, error));
}

/* A path when it has a slash or ends in .json, else a name of the installed data. */
static Profile *load(const char *name, GError **error)
{
    if (strchr(name, '/') || g_str_has_suffix(name, ".json"))
        return profile_load(name, error);
    g_autofree char *base = g_strconcat(name, ".json", NULL);
    g_autofree char *file =
        g_build_filename(experiment_data_dir(), "platforms", "gpus", base, NULL);
    if (g_file_test(file, G_FILE_TEST_EXISTS))
        return profile_load(file, error);
    g_autofree char *quoted = error_quote(name);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "profile: there is no GPU profile %s",
                quoted);
    return NULL;
}

static Profile *load_all(const Arguments *arguments, GPtrArray *warnings, GError **error)
{
    g_autoptr(Profile) profile = load(arguments->names[0], error);
    for (int i = 0; profile && arguments->overlays && arguments->overlays[i]; i++) {
        if (!profile_overlay(profile, arguments->overlays[i], warnings, error))
            return NULL;
    }
    return g_steal_pointer(&profile);
}

static void print_slow_downs(const ProfileFactors *factors)
{
    static const char *const names[N_INTERFERENCE_GROUPS] = {
        [INTERFERENCE_PRODUCT] = "products",
        [INTERFERENCE_ATTENTION] = "attention",
        [INTERFERENCE_MEMORY] = "memory-bound",
    };
    for (int i = 0; i < N_INTERFERENCE_GROUPS; i++)
        if (factors->slow_downs[i])
            printf("beside a copy: %u kernels, %s\n", factors->slow_downs[i]->len, names[i]);
}

static void print_factors(const ProfileFactors *factors)
{
    static const char *const ways[N_TRANSFERS] = {
        [TRANSFER_TO_DEVICE] = "to the device",
        [TRANSFER_TO_HOST] = "to the host",
        [TRANSFER_BOTH] = "each way at once",
    };
    if (factors->graph_gap_s > 0)
        printf("launch in a graph %.3g us\n", factors->graph_gap_s * 1e6);
    if (factors->framework_launch_s > 0)
        printf("launch by the framework %.3g us\n", factors->framework_launch_s * 1e6);
    if (factors->n_chains > 0)
        printf("layers take %.3f of their kernels' sum (%d layers)\n", factors->chain_ratio,
               factors->n_chains);
    for (int i = 0; i < N_TRANSFERS; i++)
        if (factors->transfer_bytes_per_s[i] > 0)
            printf("copies %s: %.3g GB/s\n", ways[i], factors->transfer_bytes_per_s[i] / 1e9);
    print_slow_downs(factors);
}

static void print_facts(const Profile *profile)
{
    printf("%s: %d multiprocessors, %.1f GiB", profile->name, profile->n_sms,
           (double)profile->memory_bytes / (1024.0 * 1024 * 1024));
    printf(", memory %.3g TB/s of %.3g\n", profile->achievable_memory_bytes_per_s / 1e12,
           profile->memory_bytes_per_s / 1e12);
    for (int i = 0; i < N_DTYPES; i++) {
        if (profile->peak_flop_per_s[i] > 0)
            printf("%-5s %6.4g of %.4g TFLOP/s\n", dtype_name(i),
                   profile->achievable_flop_per_s[i] / 1e12,
                   profile->peak_flop_per_s[i] / 1e12);
    }
    printf("launch %.3g us\n", profile->launch_s * 1e6);
    print_factors(&profile->factors);
    putchar('\n');
    if (profile->derived_from)
        printf("derived from %s: nothing was measured on this GPU\n\n", profile->derived_from);
    if (g_hash_table_size(profile->entries) == 0)
        puts("No kernel was measured: every time is a roofline.");
}

static void print_holdings(const GArray *checks)
{
    g_autoptr(ReportGrid) grid = report_grid_new(5, 1);
    const char *const header[] = {"operation", "type", "measured", "sustained",
                                  "loop over burst"};
    for (gsize i = 0; i < G_N_ELEMENTS(header); i++)
        report_grid_add(grid, "%s", header[i]);
    for (guint i = 0; i < checks->len; i++) {
        const ProfileCheck *check = &g_array_index(checks, ProfileCheck, i);
        report_grid_add(grid, "%s", kernel_op_name(check->op));
        report_grid_add(grid, "%s", dtype_name(check->dtype));
        report_grid_add(grid, "%d", check->n_entries);
        report_grid_add(grid, "%d", check->n_sustained);
        report_grid_add(grid, "%.3f", check->sustained_ratio);
    }
    report_grid_print(grid, 0, stdout);
}

static void add_errors(ReportGrid *grid, const ProfileErrors *errors)
{
    report_grid_add(grid, "%d", errors->n);
    report_grid_add(grid, "%d", errors->n_outside);
    if (errors->n == 0) {
        report_grid_add(grid, "-");
        report_grid_add(grid, "-");
        return;
    }
    report_grid_add(grid, "%.1f %%", 100 * errors->p50);
    report_grid_add(grid, "%.1f %%", 100 * errors->p90);
}

/* Errors are of times: |interpolated / measured - 1|. */
static void print_check(const GArray *checks)
{
    g_autoptr(ReportGrid) grid = report_grid_new(10, 2);
    const char *const header[] = {
        "",  "",        "one left out", "",     "",  "",        "probes", "",
        "",  "",        "operation",    "type", "n", "outside", "median", "p90",
        "n", "outside", "median",       "p90"};
    for (gsize i = 0; i < G_N_ELEMENTS(header); i++)
        report_grid_add(grid, "%s", header[i]);
    for (guint i = 0; i < checks->len; i++) {
        const ProfileCheck *check = &g_array_index(checks, ProfileCheck, i);
        report_grid_add(grid, "%s", kernel_op_name(check->op));
        report_grid_add(grid, "%s", dtype_name(check->dtype));
        add_errors(grid, &check->left_out);
        add_errors(grid, &check->probes);
    }
    report_grid_print(grid, 0, stdout);
}

/* -- --plot: the figure `roofline`, whose points are here the profile's kernels, not a step's
 */

static json_t *point(const Profile *profile, const ProfileEntry *entry)
{
    const Kernel *kernel = &entry->kernel;
    const double flops = kernel_flops(kernel), bytes = kernel_bytes(kernel);
    return json_pack("{s:s, s:f, s:f, s:f, s:f}", "label", kernel_op_name(kernel->op),
                     "intensity", flops / bytes, "tflop_per_s",
                     flops / profile_entry_s(profile, entry) / 1e12, "peak_tflop_per_s",
                     profile->peak_flop_per_s[DTYPE_BF16] / 1e12, "gb_per_s",
                     profile->memory_bytes_per_s / 1e9);
}

static gboolean plot_write(const ResultsIn *in, PlotCsv *csv, GError **error)
{
    static const char *const columns[] = {
        "label",    "intensity", "tflop_per_s", "percent_time", "peak_tflop_per_s",
        "gb_per_s", NULL};
    if (in->results->len == 0)
        return plot_fail(error, "no product or attention was measured in 16 bits");
    plot_header(csv, columns);
    for (guint i = 0; i < in->results->len; i++) {
        const json_t *row = in->results->pdata[i];
        plot_text(csv, json_string_value(json_object_get(row, "label")));
        plot_number(csv, results_in_number(row, "intensity"));
        plot_number(csv, results_in_number(row, "tflop_per_s"));
        plot_number(csv, 0);
        plot_number(csv, results_in_number(row, "peak_tflop_per_s"));
        plot_number(csv, results_in_number(row, "gb_per_s"));
        plot_end(csv);
    }
    return TRUE;
}

static gboolean draw(const Profile *profile, const char *file, GError **error)
{
    const Figure figure = {"roofline", "kernels of a profile", "a measured profile",
                           plot_write};
    g_autoptr(ResultsIn) in = g_new0(ResultsIn, 1);
    in->results = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
    in->origins = g_ptr_array_new_with_free_func(g_free);
    for (int op = 0; op < N_KERNELS; op++)
        for (int dtype = DTYPE_BF16; dtype <= DTYPE_FP16; dtype++) {
            const GPtrArray *group = profile->groups[op][dtype];
            for (guint i = 0; group && i < group->len; i++) {
                const ProfileEntry *entry = g_ptr_array_index(group, i);
                if (kernel_flops(&entry->kernel) > 0)
                    g_ptr_array_add(in->results, point(profile, entry));
            }
        }
    return plot_draw(&figure, in, file, error);
}

static gboolean derive(const Arguments *arguments, GError **error)
{
    g_autoptr(Profile) target = load(arguments->derive, error);
    g_autoptr(Profile) source = target ? load(arguments->from, error) : NULL;
    g_autoptr(json_t) derived = source ? profile_derive(target, source, error) : NULL;
    if (!derived)
        return FALSE;
    json_dumpf(derived, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    putchar('\n');
    return TRUE;
}

static gboolean show(const Arguments *arguments, GError **error)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Profile) profile = load_all(arguments, warnings, error);
    if (!profile)
        return FALSE;
    if (arguments->plot && !draw(profile, arguments->plot, error))
        return FALSE;
    g_autoptr(GArray) checks = profile_check(profile);
    for (guint i = 0; i < warnings->len; i++)
        printf("%s\n", (const char *)warnings->pdata[i]);
    if (arguments->check) {
        print_check(checks);
    } else if (!arguments->plot) {
        print_facts(profile);
        if (checks->len > 0)
            print_holdings(checks);
    }
    return TRUE;
}

gboolean cmd_profile(int argc, char **argv, GError **error)
{
    g_auto(Arguments) arguments = {0};
    g_autofree char *help = NULL;
    if (!arguments_parse(&arguments, argc, argv, &help, error))
        return FALSE;
    if (help) {
        printf(EXAMPLE "%s", help);
        return TRUE;
    }
    return arguments.derive ? derive(&arguments, error) : show(&arguments, error);
}
