#!/bin/sh
# SPDX-License-Identifier: MIT
# Fits every calibration here again from the rows beside it; run it in this directory with the
# program to use in ZEROSIM.
set -eu
zerosim=${ZEROSIM:-zerosim}

# fit NAME PLATFORM [OPTION...]: rows say which platform they are of, if it's another
fit() {
    name=$1 platform=$2
    shift 2
    "$zerosim" nccl fit --platform="$platform" --name="$name" "$@" "$name.csv"
}

fit dgx-a100-80gb dgx-a100-80gb
fit dgx-h100 dgx-h100 --gpus=h100,h200
fit dgx-h200 dgx-h200 --gpus=h100,h200
fit dgx-b200 dgx-b200
fit dgx-b200-2-nodes dgx-b200
fit p3dn p3dn --only-on=p3dn
fit p4de p4de --only-on=p4d,p4de
fit p5 p5 --gpus=h100,h200 --only-on=p5,p5en
fit p6-b200 p6-b200 --only-on=p6-b200
# What holds where nothing else does.
"$zerosim" nccl fit --platform=dgx-h100 --name=any --gpus=any dgx-a100-80gb.csv dgx-h100.csv \
    dgx-h200.csv dgx-b200.csv dgx-b200-2-nodes.csv p4de.csv p5.csv p6-b200.csv
