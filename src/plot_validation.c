/* SPDX-License-Identifier: MIT */
/* The figure of a validation: every row that has both a prediction and a measurement. */
#include "plot.h"

#include <math.h>

static double cell_number(const CsvRow *row, const char *column)
{
    return g_ascii_strtod(csv_row_text(row, column), NULL);
}

static gboolean need_validation(const ResultsIn *in, GError **error)
{
    static const char *const needed[] = {"id", "quantity", "unit", "measured", "predicted"};
    if (in->validation == NULL)
        return plot_fail(error, "the figure needs a file of `zerosim validate --format=csv`");
    for (gsize i = 0; i < G_N_ELEMENTS(needed); i++)
        if (!csv_table_has(in->validation, needed[i]))
            return plot_fail(error, "%s: has no column %s", in->validation->file, needed[i]);
    return TRUE;
}

static gboolean was_fitted(const CsvRow *row)
{
    const char *text = csv_row_text(row, "used_for_fit");
    return g_str_equal(text, "true") || g_str_equal(text, "1") || g_str_equal(text, "yes");
}

gboolean plot_validation_write(const ResultsIn *in, PlotCsv *csv, GError **error)
{
    static const char *const columns[] = {"label",     "quantity", "measured",
                                          "predicted", "for_fit",  NULL};
    int n = 0;
    if (!need_validation(in, error))
        return FALSE;
    plot_header(csv, columns);
    for (guint r = 0; r < in->validation->rows->len; r++) {
        const CsvRow *row = in->validation->rows->pdata[r];
        double measured = cell_number(row, "measured"),
               predicted = cell_number(row, "predicted");
        if (!(measured > 0) || !(predicted > 0))
            continue;
        g_autofree char *what = g_strdup_printf("%s [%s]", csv_row_text(row, "quantity"),
                                                csv_row_text(row, "unit"));
        plot_text(csv, csv_row_text(row, "id"));
        plot_text(csv, what);
        plot_number(csv, measured);
        plot_number(csv, predicted);
        plot_number(csv, was_fitted(row));
        plot_end(csv);
        n++;
    }
    return n > 0 || plot_fail(error, "%s: no row has both a prediction and a measurement",
                              in->validation->file);
}
