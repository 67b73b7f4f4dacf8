# SPDX-License-Identifier: MIT
# Predicted against measured; open points were used to fit the model.
# Columns: label, quantity (with its unit), measured, predicted, for_fit (1 or 0).
csv = ARG1
output_file = ARG2
load "style.gp"

height = 3.4
quantities = ""
n_quantities = 0
array quantity[100]
seen = "|"
stats csv using (here = stringcolumn("quantity"), strstrt(seen, "|" . here . "|") == 0 && n_quantities < 100 ? \
    (n_quantities = n_quantities + 1, quantity[n_quantities] = here, seen = seen . here . "|", 1) : 0) nooutput
stats csv using "measured":"predicted" name "ALL" nooutput
low = (ALL_min_x < ALL_min_y ? ALL_min_x : ALL_min_y) / 2
high = (ALL_max_x > ALL_max_y ? ALL_max_x : ALL_max_y) * 2
stats csv using "for_fit" name "FIT" nooutput
load "output.gp"
set logscale xy
set format "%.0s%c"
set size square
set grid xtics ytics
set xrange [low : high]
set yrange [low : high]
set xlabel "measured, in the unit of the legend"
set ylabel "predicted, in the same unit"
points = ""
do for [i = 1:n_quantities] {
    points = points . sprintf(', csv using (stringcolumn("quantity") eq quantity[%d] && column("for_fit") == 0 ? column("measured") : 1/0):"predicted" with points pt %d ps 0.7 lc %d title text(quantity[%d])', \
        i, 5 + 2 * ((i - 1) % 5), i + 1, i)
    points = points . sprintf(', csv using (stringcolumn("quantity") eq quantity[%d] && column("for_fit") == 1 ? column("measured") : 1/0):"predicted" with points pt %d ps 0.7 lc %d notitle', \
        i, 4 + 2 * ((i - 1) % 5), i + 1)
}
if (FIT_max > 0) points = points . sprintf(', 1/0 with points pt 6 ps 0.7 lc rgb "#444444" title "open: used to fit"')
eval 'plot x with lines lc rgb "#444444" lw 1 dt solid title "equal", 1.1 * x with lines lc rgb "#aaaaaa" dt (4, 4) title "10 " . percent . " off", 0.9 * x with lines lc rgb "#aaaaaa" dt (4, 4) notitle' . points
