#!/bin/bash
# SPDX-License-Identifier: MIT
# Installs into an empty place and looks at what is there: the program, every data file of the
# source tree, the manual; and whether the installed program finds its data from anywhere.
set -u
. "${srcdir:-.}/tests/tap.sh"
source_tree=${ZEROSIM_DATA_DIR:?}
unset ZEROSIM_DATA_DIR MAKEFLAGS MFLAGS

scratch=$(mktemp -d) || exit 99
trap 'rm -rf "$scratch"' EXIT
tap_check 'make install succeeds' "$(
    make install DESTDIR="$scratch" prefix=/opt/zerosim >"$scratch/log" 2>&1 ||
        tail -n 20 "$scratch/log"
)"
prefix=$scratch/opt/zerosim

for folder in platforms workloads; do
    tap_check "$folder/ is installed whole: each file stands in $folder/local.mk" \
        "$(diff -r --exclude=local.mk --exclude='*.py' "$source_tree/$folder" "$prefix/share/zerosim/$folder" 2>&1)"
done

missing_pages() {
    local page
    for page in man1/zerosim.1 man5/zerosim-{experiment,platform,profile}.5; do
        [ -s "$prefix/share/man/$page" ] || echo "$page"
    done
}
tap_check 'the manual pages are installed' "$(missing_pages)"

# Says what went wrong when the installed program can't do its work in an empty directory.
installed_run() {
    mkdir -p "$scratch/elsewhere" && cd "$scratch/elsewhere" || return
    "$prefix/bin/zerosim" "$@" >out 2>err || echo "zerosim $*: exit status $?: $(cat err)"
    [ -s out ] || echo "zerosim $*: no output"
}
tap_check 'the installed program knows its version' "$(installed_run --version)"
tap_check 'the installed program finds its models' "$(installed_run model gpt2)"
tap_check 'the installed program finds its node presets' \
    "$(installed_run platform dgx-h100 --nodes 2)"
tap_check 'the installed program runs an installed experiment' \
    "$(installed_run run llama-2-7b-dgx-h100.conf -s training.strategy=zero3 -s cluster.nodes=1)"

tap_end
