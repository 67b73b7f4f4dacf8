#!/bin/bash
# SPDX-License-Identifier: MIT
# zerosim-calibrate's compiled-in shapes are those of the shipped model files.
set -u
. "${srcdir:-.}/tests/tap.sh"
program=$PWD/tests/print_shapes
tap_check 'plan_shapes.h has the shapes of workloads/models (make update-plan)' \
    "$(LC_ALL=C "$program" "${srcdir:-.}"/workloads/models/*.json |
        diff "${srcdir:-.}/src/calibrate/plan_shapes.h" - 2>&1 | head -n 20)"
tap_end
