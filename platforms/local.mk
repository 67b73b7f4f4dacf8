# SPDX-License-Identifier: MIT
# Node presets, GPU profiles and example platforms, installed beside the program.

nobase_dist_pkgdata_DATA += \
	%reldir%/README.md \
	%reldir%/gpus/a10.json \
	%reldir%/gpus/a100-sxm4-40gb.json \
	%reldir%/gpus/a100-sxm4-80gb.json \
	%reldir%/gpus/b200.json \
	%reldir%/gpus/gb200.json \
	%reldir%/gpus/gh200.json \
	%reldir%/gpus/h100-sxm5-80gb.json \
	%reldir%/gpus/h200-sxm5-141gb.json \
	%reldir%/gpus/l40s.json \
	%reldir%/gpus/rtx4090.json \
	%reldir%/gpus/v100-sxm2-16gb.json \
	%reldir%/gpus/v100-sxm2-32gb.json \
	%reldir%/nodes/4xgh200.conf \
	%reldir%/nodes/a2-highgpu.conf \
	%reldir%/nodes/a3-highgpu.conf \
	%reldir%/nodes/a3-megagpu.conf \
	%reldir%/nodes/dgx-1v.conf \
	%reldir%/nodes/dgx-2.conf \
	%reldir%/nodes/dgx-a100-40gb.conf \
	%reldir%/nodes/dgx-a100-80gb.conf \
	%reldir%/nodes/dgx-b200.conf \
	%reldir%/nodes/dgx-h100.conf \
	%reldir%/nodes/dgx-h200.conf \
	%reldir%/nodes/gb200-nvl72.conf \
	%reldir%/nodes/lambda-8xh100.conf \
	%reldir%/nodes/ndv2.conf \
	%reldir%/nodes/ndv4.conf \
	%reldir%/nodes/ndv5.conf \
	%reldir%/nodes/p3dn.conf \
	%reldir%/nodes/p4d.conf \
	%reldir%/nodes/p4de.conf \
	%reldir%/nodes/p5.conf \
	%reldir%/nodes/p5en.conf \
	%reldir%/nodes/pcie-4x4090.conf \
	%reldir%/nodes/pcie-8xa10.conf \
	%reldir%/nodes/pcie-8xl40s.conf
