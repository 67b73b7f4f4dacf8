# SPDX-License-Identifier: MIT
# What runs when: a lane a stream of a rank, coloured by what it does.
# Columns: lane, label (of the lane), start_ms, end_ms, class.
csv = ARG1
output_file = ARG2
load "style.gp"

stats csv using "lane" name "LANES" nooutput
stats csv using "end_ms" name "TIME" nooutput
n_lanes = LANES_max + 1
height = 1.4 + 0.25 * n_lanes
load "output.gp"
set yrange [n_lanes - 0.4 : -0.6]
set autoscale xfix
set xlabel "time in the step [ms]"
set xtics round_tics(TIME_max)
set ytics scale 0
unset grid

boxes = ""
do for [class in "forward backward update " . collectives] {
    n_boxes = 0
    stats csv using (n_boxes = stringcolumn("class") eq class ? n_boxes + 1 : n_boxes) nooutput
    if (n_boxes > 0) {
        boxes = boxes . sprintf(', csv using (stringcolumn("class") eq "%s" ? column("start_ms") : 1/0):"lane":"start_ms":"end_ms":(column("lane") - 0.38):(column("lane") + 0.38) with boxxyerror dt solid lw 0.3 lc rgb color_%s fs solid 1 border lc rgb color_%s title title_%s', \
            class, class, class, class)
    }
}
eval 'plot csv using (1/0):"lane":yticlabels(text(stringcolumn("label"))) notitle' . boxes
