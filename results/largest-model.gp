# SPDX-License-Identifier: MIT
# The largest model that fits, among those tried, against the number of GPUs.
# Columns: n_gpus, <strategy>_billion_parameters each.
csv = ARG1
output_file = ARG2
load "style.gp"

x = "n_gpus"
series = "billion_parameters"
smallest = 1e9
largest = 0
stats csv using (y = 0, sum [i = 1:4] (v = column(word(strategies, i) . "_" . series), \
    v == v ? (smallest = v < smallest ? v : smallest, largest = v > largest ? v : largest) : 0)) nooutput
load "output.gp"
load "lines.gp"
set logscale x 2
set logscale y
set offsets graph 0.03, graph 0.03, 0, 0
set yrange [smallest / 1.5 : largest * 1.5]
set grid xtics ytics
set xlabel "GPUs"
set ylabel "largest model [billion parameters]"
eval command
