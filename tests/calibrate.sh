#!/bin/bash
# SPDX-License-Identifier: MIT
# zerosim-calibrate where there is no GPU: it lists its plan, refuses what it can't do in one
# line, and says so when there is nothing to measure on. Skipped where it wasn't built.
set -u
. "${srcdir:-.}/tests/tap.sh"
program=$PWD/zerosim-calibrate
if [ ! -x "$program" ]; then
    echo '1..0 # SKIP zerosim-calibrate needs nvcc to be built'
    exit 0
fi

scratch=$(mktemp -d) || exit 99
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 99

# complaint STATUS PATTERN ARGUMENT…: what is wrong with the exit status or the one line on stderr.
complaint() {
    local wanted=$1 pattern=$2 status=0
    shift 2
    CUDA_VISIBLE_DEVICES='' "$program" "$@" >out 2>err || status=$?
    [ $status -eq "$wanted" ] || echo "exit status $status instead of $wanted"
    [ "$(wc -l <err)" -eq 1 ] || echo "not one line on stderr"
    grep -qE -- "$pattern" err || sed 's/^/no such line in: /' err
}

tap_check 'without a GPU it says so and exits with 77' "$(complaint 77 'no GPU')"
tap_check 'nothing is written without a GPU' "$(ls ./*.json* 2>/dev/null)"
tap_check 'an unknown operation is refused' "$(complaint 2 'no operation "gem"' --only gem)"
tap_check 'a budget is a positive number' "$(complaint 2 'budget' --budget -3)"
tap_check 'a budget is a whole word' "$(complaint 2 'budget' --budget 3s)"
tap_check 'an unknown option is refused' "$(complaint 2 'option' --fast)"
tap_check 'a file name is refused' "$(complaint 2 'only options' profile.json)"

"$program" --list >list || echo "--list fails"
tap_check '--list says what was found at build time' "$(grep -q '^built with: CUDA' list || cat list)"
tap_check '--list names the gaps' "$(grep -q 'never measured here' list || echo none)"
tap_check '--list has the products of a Llama' \
    "$(grep -q 'gemm bf16 batch=1 m=4096 n=11008 k=4096 layout=0' list || echo none)"
tap_check '--list begins measurements in order of time' \
    "$(awk '$2 == "s" { if ($1 < last) print; last = $1 }' list)"
"$program" --list --only copy >copies
tap_check '--only keeps one operation' \
    "$(awk '$2 == "s" && $3 != "in" && $3 != "copy" { print }' copies; grep -q copy copies || echo none)"
tap_check '--help begins with an example' \
    "$("$program" --help | head -n 1 | grep -q '^Example: ' || echo none)"
tap_end
