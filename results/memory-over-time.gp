# SPDX-License-Identifier: MIT
# Memory of a rank during a step, categories stacked, the peak marked.
# Columns: time_ms, a column <category>_gib each, peak_gib (empty but at the peak).
csv = ARG1
output_file = ARG2
load "style.gp"

height = 3.0
stats csv using "time_ms" name "TIME" nooutput
load "output.gp"
set yrange [0 : *]
set autoscale xfix
set xtics round_tics(TIME_max)
set xlabel "time in the step [ms]"
set ylabel "memory of the rank [GiB]"

# From the top of the stack down, so that each area covers the lower part of the one before it.
sum = "0"
areas = ""
do for [part in memory_parts] {
    column = part . "_gib"
    stats csv using column name "PART" nooutput
    if (PART_max > 0) {
        sum = sum . sprintf(' + column("%s")', column)
        areas = sprintf('csv using "time_ms":(%s) with filledcurves y1=0 fc rgb color_%s fs solid 1 noborder title title_%s', \
            sum, part, part) . (strlen(areas) > 0 ? ", " : "") . areas
    }
}
stats csv using "time_ms":"peak_gib" name "PEAK" nooutput
set label 1 sprintf("peak %.1f GiB", PEAK_max_y) at PEAK_pos_max_y, PEAK_max_y point pt 7 ps 0.7 lc rgb "#000000" \
    offset (PEAK_pos_max_y > 0.5 * TIME_max ? -0.7 : 0.7), 0.6 front
if (PEAK_pos_max_y > 0.5 * TIME_max) set label 1 right
set offsets 0, 0, graph 0.1, 0
eval "plot " . areas
