# SPDX-License-Identifier: MIT
# Step time against what a NIC carries: where lines cross, another strategy becomes the fastest.
# Columns: nic_gb_per_s, <strategy>_step_time_s each.
csv = ARG1
output_file = ARG2
load "style.gp"

x = "nic_gb_per_s"
series = "step_time_s"
load "output.gp"
load "lines.gp"
set logscale x 2
set offsets graph 0.03, graph 0.03, graph 0.05, 0
set yrange [0 : *]
set grid xtics ytics
set xlabel "bandwidth of a NIC, one direction [GB/s]"
set ylabel "time of a step [s]"
eval command
