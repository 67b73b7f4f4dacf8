# SPDX-License-Identifier: MIT
# Time against cost: no configuration is both faster and cheaper than one on the front.
# Columns: label, n_gpus, hours, front_usd (empty off the front), <strategy>_usd (one of them).
csv = ARG1
output_file = ARG2
load "style.gp"

x = "hours"
series = "usd"
load "output.gp"
load "lines.gp"
set logscale x
set offsets graph 0.05, graph 0.05, graph 0.1, graph 0.05
set grid xtics ytics
set xlabel "time for a billion tokens [h]"
set ylabel "cost of a billion tokens [USD]"
points = ""
do for [i = 1:words(strategies)] {
    column = word(strategies, i) . "_usd"
    n_points = 0
    stats csv using (n_points = strlen(stringcolumn(column)) > 0 ? n_points + 1 : n_points) nooutput
    if (n_points > 0) {
        points = points . sprintf(', csv using "hours":"%s" with points lt %d title strategy_title[%d]', column, i, i)
    }
}
eval 'plot csv using "hours":"front_usd" with steps lc rgb "#999999" lw 2 dt solid title "Pareto front"' . points
