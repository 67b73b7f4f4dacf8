# SPDX-License-Identifier: MIT
# Model configs, ds_config files and experiments, installed beside the program.
