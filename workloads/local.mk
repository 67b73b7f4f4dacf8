# SPDX-License-Identifier: MIT
# Model configs, ds_config files and experiments, installed beside the program.

nobase_dist_pkgdata_DATA += \
	%reldir%/bert-large-zero2-dgx-a100.conf \
	%reldir%/gpt2-xl-ddp-dgx-a100.conf \
	%reldir%/llama-2-7b-dgx-h100.conf \
	%reldir%/llama-3-8b-fsdp-dgx-h100.conf \
	%reldir%/models/bert-base.json \
	%reldir%/models/bert-large.json \
	%reldir%/models/gpt2-xl.json \
	%reldir%/models/gpt2.json \
	%reldir%/models/llama-2-13b.json \
	%reldir%/models/llama-2-70b.json \
	%reldir%/models/llama-2-7b.json \
	%reldir%/models/llama-3-70b.json \
	%reldir%/models/llama-3-8b.json \
	%reldir%/training/zero1.json \
	%reldir%/training/zero2.json \
	%reldir%/training/zero3-auto.json \
	%reldir%/training/zero3.json
