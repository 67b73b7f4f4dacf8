#!/bin/bash
# SPDX-License-Identifier: MIT
# The manual says what the program does: generated parts are up to date, every command, option
# and profile fact has its place, and the pages format without complaint.
set -u
. "${srcdir:-.}/tests/tap.sh"
top=${ZEROSIM_DATA_DIR:?}
doc=$top/doc

for page in zerosim-experiment.5 zerosim-profile.5; do
    tap_check "$page repeats the program's table (make update-man)" \
        "$(bash "$doc/update.sh" --print "$page" "$PWD/doc/print_tables" | diff "$doc/$page" - 2>&1)"
done

# lacking PAGE WORD…: the words that the page doesn't hold, dashes written as roff wants them.
lacking() {
    local page=$1 word
    shift
    [ $# -gt 0 ] || echo "there is nothing to look for"
    for word in "$@"; do
        grep -qE -- "(^|[^a-z\\-])${word//-/\\\\-}([^a-z\\]|$)" "$doc/$page" || echo "$word"
    done
}

mapfile -t commands < <(zerosim --help | sed -n 's/^  \([a-z][a-z-]*\)  .*/\1/p')
tap_check 'zerosim.1 has every command' "$(lacking zerosim.1 "${commands[@]}")"
for command in "${commands[@]}"; do
    mapfile -t options < <(zerosim "$command" --help | grep -oE -- '--[a-z][a-z-]+' | sort -u)
    tap_check "zerosim.1 has every option of $command" "$(lacking zerosim.1 "${options[@]}")"
done

mapfile -t facts < <(sed -nE 's/^ *"([a-z0-9_]+)": *\{ *"value".*/\1/p' "$top"/platforms/gpus/*.json |
    sort -u)
tap_check 'zerosim-profile.5 has every fact of the profiles' \
    "$(lacking zerosim-profile.5 "${facts[@]}")"

mapfile -t keys < <(sed -nE 's/^([a-z0-9_]+) *=.*/\1/p' "$top"/platforms/nodes/*.conf | sort -u)
tap_check 'zerosim-platform.5 has every key of the node presets' \
    "$(lacking zerosim-platform.5 "${keys[@]}")"

if command -v groff >/dev/null; then
    for page in "$doc"/*.[15]; do
        tap_check "${page##*/} formats without warnings" \
            "$(groff -man -ww -Tutf8 -z "$page" 2>&1 | grep -v 'cannot adjust line')"
    done
fi

tap_end
