# SPDX-License-Identifier: MIT
# Matrix products and attention under the GPU's data-sheet roofline; area is the share of the
# kernels' time. Kernels that only move bytes have no place here.
# Columns: label, intensity (FLOP/byte), tflop_per_s, percent_time, peak_tflop_per_s, gb_per_s.
csv = ARG1
output_file = ARG2
load "style.gp"

stats csv using "peak_tflop_per_s" name "PEAK" nooutput
stats csv using "gb_per_s" name "BANDWIDTH" nooutput
stats csv using "intensity" name "INTENSITY" nooutput
stats csv using "tflop_per_s" name "RATE" nooutput
load "output.gp"
set logscale xy
low = INTENSITY_min / 3 < 10 ? INTENSITY_min / 3 : 10
high = INTENSITY_max * 3
set xrange [low : high]
set yrange [(RATE_min < 1e-3 * BANDWIDTH_max * low ? RATE_min : 1e-3 * BANDWIDTH_max * low) / 2 : PEAK_max * 2]
set grid xtics ytics
set xlabel "arithmetic intensity [FLOP/byte]"
set ylabel "rate [TFLOP/s]"
set samples 500
roof(x) = 1e-3 * BANDWIDTH_max * x < PEAK_max ? 1e-3 * BANDWIDTH_max * x : PEAK_max
set label sprintf("%.0f TFLOP/s", PEAK_max) at high, PEAK_max right offset -0.5, 0.6
plot roof(x) with lines lc rgb "#444444" lw 1.5 dt solid title "data sheet", \
    csv using "intensity":"tflop_per_s":(0.5 + 0.25 * sqrt(column("percent_time"))) with points pt 7 ps variable lc rgb "#0072b2" title "kernels, by share of time"
