# SPDX-License-Identifier: MIT
# What all figures share: how CSV is read, one colour a strategy and a category, type and lines.
# A script sets csv (what to read) and output_file (what to write), loads this, may change width
# and height (inches; 3.4 is a column of most journals), loads output.gp, and plots.
#
# Colours are those of Okabe and Ito (2008) and Tol (2021), told apart by people with any kind
# of colour vision; neighbours in a stack differ in lightness too, and lines in dash and point,
# so that nothing is lost in grey.

set datafile separator comma
set datafile columnheaders
set datafile missing ""

width = 3.4
height = 2.5

ending = output_file[strlen(output_file) - 3 : ]
percent = ending eq ".tex" ? '\%' : '%'

# Text of the data, safe for LaTeX.
escape(s, c) = strstrt(s, c) == 0 ? s : \
    s[1 : strstrt(s, c) - 1] . '\' . c . escape(s[strstrt(s, c) + 1 : strlen(s)], c)
text(s) = ending eq ".tex" ? escape(escape(escape(escape(s, "_"), "%"), "&"), "#") : s

# A round distance of about five tics up to a number.
round_tics(x) = round_mantissa(x / 4, 10 ** floor(log10(x / 4)))
round_mantissa(x, p) = p * (x / p < 1.5 ? 1 : x / p < 3.5 ? 2 : x / p < 7.5 ? 5 : 10)

# Strategies
strategies = "ddp zero1 zero2 zero3"
array strategy_title[4] = ["DDP", "ZeRO-1", "ZeRO-2", "ZeRO-3"]
set linetype 1 lc rgb "#444444" lw 1.5 dt solid pt 7 ps 0.5
set linetype 2 lc rgb "#0072b2" lw 1.5 dt (12, 4) pt 4 ps 0.9
set linetype 3 lc rgb "#e69f00" lw 1.5 dt (4, 3) pt 9 ps 0.6
set linetype 4 lc rgb "#d55e00" lw 1.5 dt (10, 3, 2, 3) pt 12 ps 1.2

# Where time goes
time_parts = "forward backward update idle exposed_comm"
color_forward = "#9bd3f2"
color_backward = "#0072b2"
color_update = "#cc79a7"
color_idle = "#e0e0e0"
color_exposed_comm = "#e69f00"
title_forward = "forward"
title_backward = "backward"
title_update = "update"
title_idle = "idle"
title_exposed_comm = "exposed comm."

# What fills memory, from the bottom of the stack
memory_parts = "framework parameters gradients optimizer_states master_weights activations " . \
    "gathered_parameters communication_buffers temporaries"
color_framework = "#444444"
color_parameters = "#56b4e9"
color_gradients = "#0072b2"
color_optimizer_states = "#f4b183"
color_master_weights = "#d55e00"
color_activations = "#a8dcc5"
color_gathered_parameters = "#882255"
color_communication_buffers = "#f0e442"
color_temporaries = "#999999"
title_framework = "framework"
title_parameters = "parameters"
title_gradients = "gradients"
title_optimizer_states = "optimizer states"
title_master_weights = "master weights"
title_activations = "activations"
title_gathered_parameters = "gathered param."
title_communication_buffers = "comm. buffers"
title_temporaries = "temporaries"

# Collectives
collectives = "all_reduce all_gather reduce_scatter broadcast reduce"
color_all_reduce = "#d55e00"
color_all_gather = "#f0e442"
color_reduce_scatter = "#009e73"
color_broadcast = "#bbbbbb"
color_reduce = "#882255"
title_all_reduce = "all-reduce"
title_all_gather = "all-gather"
title_reduce_scatter = "reduce-scatter"
title_broadcast = "broadcast"
title_reduce = "reduce"

# Classes of links
link_classes = "nvlink pcie nic leaf spine wan other"
color_nvlink = "#009e73"
color_pcie = "#e0e0e0"
color_nic = "#d55e00"
color_leaf = "#f0e442"
color_spine = "#0072b2"
color_wan = "#882255"
color_other = "#999999"
title_nvlink = "NVLink"
title_pcie = "PCIe"
title_nic = "NIC"
title_leaf = "leaf uplinks"
title_spine = "spine"
title_wan = "WAN"
title_other = "other"

set border 3 lc rgb "#333333"
set tics nomirror out scale 0.5
set grid ytics lc rgb "#dddddd" lw 0.7 dt solid
set key outside top center horizontal reverse Left samplen 1 spacing 1.05 width (ending eq ".tex" ? 2 : 0)
set style fill solid 1 border lc rgb "#333333"
set boxwidth 0.75
