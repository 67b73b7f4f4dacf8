# SPDX-License-Identifier: MIT
# Opens output_file, whose ending says how, at width times height inches; type is 7 points.

if (ending eq ".svg") set terminal svg noenhanced size 124 * width, 124 * height dynamic \
    font "Helvetica,12" linewidth 1 background "#ffffff"
if (ending eq ".png") set terminal pngcairo noenhanced size 372 * width, 372 * height \
    font "Helvetica,12" fontscale 2.7 linewidth 3 pointscale 3 background "#ffffff"
if (ending eq ".pdf") set terminal pdfcairo noenhanced size width in, height in \
    font "Helvetica,7" fontscale 1 linewidth 0.6 pointscale 0.5
if (ending eq ".tex") set terminal cairolatex pdf input color size width in, height in \
    font ",7" header "\\fontsize{7}{8.4}\\selectfont" linewidth 0.6 pointscale 0.5
set output output_file
