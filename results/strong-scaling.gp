# SPDX-License-Identifier: MIT
# Strong scaling: the batch of all GPUs together stays the same.
# Columns: n_gpus, <strategy>_tokens_per_s and <strategy>_efficiency_percent each. Efficiency is
# a GPU's throughput beside that on the fewest GPUs on which its strategy fits.
csv = ARG1
output_file = ARG2
load "style.gp"
load "scaling.gp"
