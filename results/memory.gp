# SPDX-License-Identifier: MIT
# Memory of a rank at its peak by category, and the line of what the GPU holds.
# Columns: label, fits (1 or 0), a column <category>_gib each, capacity_gib.
csv = ARG1
output_file = ARG2
load "style.gp"

parts = memory_parts
suffix = "_gib"
height = 3.0
set ylabel "memory of a GPU [GiB]"
load "bars.gp"
stats csv using "capacity_gib" name "CAPACITY" nooutput
eval command . sprintf(', %g with lines lc rgb "#000000" lw 1.5 dt (6, 3) title "GPU holds %.0f GiB"', CAPACITY_max, CAPACITY_max)
