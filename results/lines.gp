# SPDX-License-Identifier: MIT
# A line a strategy: columns <strategy>_<series> against column `x`. `command` plots those
# strategies that have any point.

command = ""
do for [i = 1:words(strategies)] {
    column = word(strategies, i) . "_" . series
    n_points = 0
    stats csv using (n_points = strlen(stringcolumn(column)) > 0 ? n_points + 1 : n_points) nooutput
    if (n_points > 0) {
        command = command . sprintf('%s csv using "%s":"%s" with linespoints lt %d title strategy_title[%d]', \
            strlen(command) > 0 ? "," : "plot", x, column, i, i)
    }
}
