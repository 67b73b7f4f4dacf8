# SPDX-License-Identifier: MIT
# Node presets, GPU profiles and example platforms, installed beside the program.

nobase_dist_pkgdata_DATA += \
	%reldir%/README.md \
	%reldir%/gpus/a100-sxm4-80gb.json \
	%reldir%/gpus/h100-sxm5-80gb.json \
	%reldir%/nodes/dgx-a100-80gb.conf \
	%reldir%/nodes/dgx-h100.conf
