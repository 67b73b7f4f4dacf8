/* SPDX-License-Identifier: MIT */
/* Figures: each picks what it needs from results into a small CSV, which its gnuplot script
 * (results/NAME.gp) draws. Users change the script; what is drawn is decided here. */
#pragma once

#include "results_in.h"

#include <stdio.h>

G_BEGIN_DECLS

/* Where a figure's CSV goes. */
typedef struct {
    FILE *out;
    gboolean tex; /* labels are for LaTeX */
} PlotCsv;

typedef struct {
    const char *name;
    const char *summary; /* caption: what it shows */
    const char *needs;   /* what RESULTS must hold */
    gboolean (*write)(const ResultsIn *in, PlotCsv *csv, GError **error);
} Figure;

extern const Figure plot_figures[]; /* ends with a NULL name */

/* NULL and ERROR_USAGE with the nearest name when there is none of that name. */
const Figure *plot_figure(const char *name, GError **error);

/* Draws into `file`, whose ending (.svg, .pdf, .png, .tex, .csv) says how; .tex comes with a
 * .pdf beside it. */
gboolean plot_draw(const Figure *figure, const ResultsIn *in, const char *file, GError **error);

/* The same as text of an SVG file. */
char *plot_svg(const Figure *figure, const ResultsIn *in, GError **error);

/* private to plot*.c */

/* Cells of a row: text quoted (and escaped for LaTeX), numbers as short as they are exact to 9
 * digits, NAN as an empty cell. plot_end() ends the row. */
void plot_text(PlotCsv *csv, const char *text);
void plot_number(PlotCsv *csv, double value);
void plot_end(PlotCsv *csv);
void plot_header(PlotCsv *csv, const char *const *columns);

gboolean plot_fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
gboolean plot_need_results(const ResultsIn *in, GError **error);
/* All results must agree in this member of inputs.experiment. */
gboolean plot_need_same(const ResultsIn *in, const char *path, GError **error);

/* 0 for ddp … 3 for zero3, as plot_strategies; an error for another name. */
extern const char *const plot_strategies[];
#define PLOT_N_STRATEGIES 4
gboolean plot_strategy(const ResultsIn *in, guint index, int *strategy, GError **error);

gboolean plot_step_time_write(const ResultsIn *in, PlotCsv *csv, GError **error);
gboolean plot_memory_write(const ResultsIn *in, PlotCsv *csv, GError **error);
gboolean plot_collectives_write(const ResultsIn *in, PlotCsv *csv, GError **error);
gboolean plot_link_classes_write(const ResultsIn *in, PlotCsv *csv, GError **error);
gboolean plot_weak_write(const ResultsIn *in, PlotCsv *csv, GError **error);
gboolean plot_strong_write(const ResultsIn *in, PlotCsv *csv, GError **error);
gboolean plot_bandwidth_write(const ResultsIn *in, PlotCsv *csv, GError **error);
gboolean plot_largest_model_write(const ResultsIn *in, PlotCsv *csv, GError **error);
gboolean plot_pareto_write(const ResultsIn *in, PlotCsv *csv, GError **error);
gboolean plot_memory_over_time_write(const ResultsIn *in, PlotCsv *csv, GError **error);
gboolean plot_link_use_write(const ResultsIn *in, PlotCsv *csv, GError **error);
gboolean plot_gantt_write(const ResultsIn *in, PlotCsv *csv, GError **error);
gboolean plot_roofline_write(const ResultsIn *in, PlotCsv *csv, GError **error);
gboolean plot_validation_write(const ResultsIn *in, PlotCsv *csv, GError **error);

/* What tells a result apart from the others: "ZeRO-2", or "ZeRO-2 64 GPUs". */
char *plot_label(const ResultsIn *in, guint index);

G_END_DECLS
