# SPDX-License-Identifier: MIT
# Where the time of a step goes: a bar a result, exposed communication on top.
# Columns: label, fits (1 or 0), forward_s, backward_s, update_s, idle_s, exposed_comm_s.
csv = ARG1
output_file = ARG2
load "style.gp"

parts = time_parts
suffix = "_s"
set ylabel "time of a step [s]"
load "bars.gp"
eval command
