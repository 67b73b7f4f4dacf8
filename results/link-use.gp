# SPDX-License-Identifier: MIT
# Use of each rank's links during a step, as a heat map.
# Columns: row, label (of the row), time_ms (middle of a bin), use_percent.
csv = ARG1
output_file = ARG2
load "style.gp"

stats csv using "row" name "ROWS" nooutput
stats csv using "time_ms" name "TIME" nooutput
n_rows = ROWS_max + 1
height = n_rows > 6 ? 1.3 + 0.2 * n_rows : 2.5
load "output.gp"
unset key
unset grid
# From white over blue to nearly black: lightness falls evenly.
set palette defined (0 "#ffffff", 0.3 "#9bd3f2", 0.65 "#0072b2", 1 "#00213a")
set cbrange [0 : 100]
set cblabel "use of the link [" . percent . "]"
set yrange [n_rows - 0.5 : -0.5]
set autoscale xfix
set xlabel "time in the step [ms]"
set ytics scale 0
set xtics round_tics(TIME_max)
set format x "%g"
plot csv using "time_ms":"row":"use_percent":yticlabels(text(stringcolumn("label"))) with image
