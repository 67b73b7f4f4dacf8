# SPDX-License-Identifier: MIT
# Bytes that links carry in a step by their class, a GPU's share of them all.
# Columns: label, fits (1 or 0), a column <class>_gb each.
csv = ARG1
output_file = ARG2
load "style.gp"

parts = link_classes
suffix = "_gb"
set ylabel "carried in a step, per GPU [GB]"
load "bars.gp"
eval command
