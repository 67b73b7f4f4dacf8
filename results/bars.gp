# SPDX-License-Identifier: MIT
# Stacked bars, one a row of the CSV: `parts` names the columns without their `suffix`, from the
# bottom of the stack; a part that is 0 everywhere is left out.

stats csv using "fits" name "FITS" nooutput
longest = 0
stats csv using (longest = strlen(stringcolumn("label")) > longest ? strlen(stringcolumn("label")) : longest) nooutput
n_bars = FITS_records
if (n_bars > 8) width = 7
tilted = n_bars > 5 || longest > 14

angle = longest > 18 ? 90 : 35
if (tilted) height = height + longest * (angle == 90 ? 0.055 : 0.03)

load "output.gp"
set style data histograms
set style histogram rowstacked
set xrange [-0.6 : n_bars - 0.4]
set yrange [0 : *]
if (tilted) set xtics rotate by angle right
if (!tilted) set xtics norotate
# LaTeX's letters are wider than gnuplot thinks: tilted labels reach further down.
tex = tilted && ending eq ".tex"
if (tex) set bmargin longest * (angle == 90 ? 0.7 : 0.4) + 4
if (FITS_min < 1) set xlabel "* does not fit in memory" offset 0, (tex ? -1.5 : 0)

command = ""
do for [part in parts] {
    column = part . suffix
    stats csv using column name "PART" nooutput
    if (PART_max > 0) {
        command = command . sprintf('%s csv using "%s":xticlabels(text(stringcolumn("label"))) dt solid lc rgb color_%s title title_%s', \
            strlen(command) > 0 ? "," : "plot", column, part, part)
    }
}
command = strlen(command) > 0 ? command : sprintf('plot csv using "%s":xticlabels(text(stringcolumn("label"))) notitle', column)
