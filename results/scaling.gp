# SPDX-License-Identifier: MIT
# Throughput above, efficiency below, against the number of GPUs.
height = 3.6
x = "n_gpus"
load "output.gp"
set multiplot
set logscale x 2
set offsets graph 0.03, graph 0.03, 0, 0
set lmargin at screen 0.19
set rmargin at screen 0.96
set xtics add autofreq
set format x "%.0f"
set grid xtics ytics

series = "tokens_per_s"
load "lines.gp"
set tmargin at screen 0.90
set bmargin at screen 0.53
set logscale y
set format y "%.0s%c"
set ylabel "tokens/s"
set format x ""
set xtics
eval command

series = "efficiency_percent"
load "lines.gp"
set tmargin at screen 0.47
set bmargin at screen 0.13
unset logscale y
set format y "%.0f"
set format x "%.0f"
set yrange [0 : 108]
set ylabel "efficiency [" . percent . "]"
set xlabel "GPUs"
unset key
eval command
unset multiplot
