# SPDX-License-Identifier: MIT
# The scripts of figures, installed beside the program, which runs them; the study.

nobase_dist_pkgdata_DATA += \
	%reldir%/bandwidth.gp \
	%reldir%/bars.gp \
	%reldir%/collectives.gp \
	%reldir%/gantt.gp \
	%reldir%/largest-model.gp \
	%reldir%/lines.gp \
	%reldir%/link-classes.gp \
	%reldir%/link-use.gp \
	%reldir%/memory-over-time.gp \
	%reldir%/memory.gp \
	%reldir%/output.gp \
	%reldir%/pareto.gp \
	%reldir%/roofline.gp \
	%reldir%/scaling.gp \
	%reldir%/step-time.gp \
	%reldir%/strong-scaling.gp \
	%reldir%/style.gp \
	%reldir%/validation.gp \
	%reldir%/weak-scaling.gp

# Published measurements, and the errors that results expect of themselves.
nobase_dist_pkgdata_DATA += \
	%reldir%/validation/README.md \
	%reldir%/validation/capacity.csv \
	%reldir%/validation/errors.json \
	%reldir%/validation/memory.csv \
	%reldir%/validation/nccl.csv \
	%reldir%/validation/steps.csv

EXTRA_DIST += \
	%reldir%/study/gpt2-xl.conf \
	%reldir%/study/llama-2.conf \
	%reldir%/study/run \
	%reldir%/study/study.csv
