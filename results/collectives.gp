# SPDX-License-Identifier: MIT
# Bytes that a rank sends in a step, by collective.
# Columns: label, fits (1 or 0), a column <collective>_gb each.
csv = ARG1
output_file = ARG2
load "style.gp"

parts = collectives
suffix = "_gb"
set ylabel "sent by a GPU in a step [GB]"
load "bars.gp"
eval command
