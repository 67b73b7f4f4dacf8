#!/bin/bash
# SPDX-License-Identifier: MIT
# The rules of form that no formatter knows (CONTRIBUTING.md, House style).
set -u
cd "${srcdir:-.}" || exit 99
. tests/tap.sh

mapfile -t sources < <(find src tests doc -name '*.[ch]' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' | sort)
mapfile -t scripts < <(ls quickstart .ci/run tests/*.sh)
mapfile -t makefiles < <(ls configure.ac Makefile.am ./*/local.mk)

# refuse WHAT_HOLDS PATTERN [FILE…]: no line of the files, the C sources by default, matches.
refuse() {
    local what=$1 pattern=$2
    shift 2
    [ $# -gt 0 ] || set -- "${sources[@]}"
    tap_check "$what" "$(grep -nE -- "$pattern" "$@")"
}

files_without_licence() {
    local file
    for file in "${sources[@]}"; do
        [ "$(head -n 1 "$file")" = '/* SPDX-License-Identifier: MIT */' ] || echo "$file"
    done
    for file in "${scripts[@]}" "${makefiles[@]}"; do
        head -n 2 "$file" | grep -q 'SPDX-License-Identifier: MIT$' || echo "$file"
    done
}
tap_check 'every file begins with its licence' "$(files_without_licence)"

files_without_paragraph() {
    local file
    for file in "${sources[@]}"; do
        sed -n 2p "$file" | grep -q '^/\* [A-Za-z`]' || echo "$file"
    done
}
tap_check 'then comes a paragraph: what the file is for' "$(files_without_paragraph)"

long_files() {
    wc -l "${sources[@]}" "${scripts[@]}" "${makefiles[@]}" | awk '$1 > 500 && $2 != "total"'
}
tap_check 'no file has more than 500 lines' "$(long_files)"

# A program of one file is listed by its name; the default source is NAME.c.
unlisted_files() {
    local file name
    for file in src/*.[ch] src/*.cc tests/*.[ch] doc/*.[ch]; do
        [ -e "$file" ] || continue
        name=${file##*/}
        grep -qE "%reldir%/(${name//./\\.}|${name%.c})([[:space:]]|$)" "${file%/*}/local.mk" ||
            echo "$file"
    done
}
tap_check "every source file stands in its directory's local.mk" "$(unlisted_files)"

tap_check 'no module is called util' "$(printf '%s\n' "${sources[@]}" | grep -i util)"
refuse 'no function has a name that says nothing' \
    '^[a-z].*\b\w*(_util|_utils|_manager|_get_|_handle_|_process_)\w*\('
refuse 'nothing is left for later' '\b(TODO|FIXME|XXX)\b'
refuse 'comments are /* … */' '^\s*//|[;{]\s*//'
refuse 'no trailing blanks' '[[:blank:]]+$' "${sources[@]}" "${scripts[@]}"
mapfile -t library < <(find src -path src/calibrate -prune -o \( -name '*.c' -o -name '*.cc' \) ! -name main.c -print | sort)
refuse 'library code never prints errors and never exits' \
    '\b(g_printerr|g_warning|g_message|g_print|perror|exit|abort) ?\(|fprintf ?\(stderr' "${library[@]}"

tap_end
