#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs the examples of README.md: in each ```console block a line "$ COMMAND" is run in the source
# tree and must print the lines that follow it, to the next command or the block's end. A line of
# three dots stands for any lines. --update rewrites the output of examples without such a line.
set -u
. "${srcdir:-.}/tests/tap.sh"
top=${ZEROSIM_DATA_DIR:?}
scratch=$(mktemp -d) || exit 99
trap 'rm -rf "$scratch"' EXIT
cd "$top" || exit 99

# run COMMAND: what it prints, stderr too, and its exit status when that isn't 0.
run() {
    local status
    bash -c "$1" 2>&1 </dev/null
    status=$?
    [ $status -eq 0 ] || echo "exit status $status"
}

# matches EXPECTED ACTUAL: the first difference between two files, where "..." skips lines.
matches() {
    awk '
        FILENAME == ARGV[1] { expected[++n] = $0; next }
        { actual[++m] = $0 }
        END {
            i = j = 1
            while (i <= n) {
                if (expected[i] == "...") { skipping = 1; i++; continue }
                while (skipping && j <= m && actual[j] != expected[i]) j++
                if (j > m || actual[j] != expected[i]) {
                    print "expected: " expected[i]
                    print "printed:  " actual[j]
                    exit
                }
                skipping = 0; i++; j++
            }
            if (!skipping && j <= m) print "printed beyond the example: " actual[j]
        }' "$1" "$2"
}

[ "${1-}" = --update ] && exec >/dev/null

# One example ends: check it, and write the block as it should be.
n_examples=0
end_example() {
    [ -n "$command" ] || return 0
    n_examples=$((n_examples + 1))
    run "$command" >"$scratch/actual"
    if grep -qx '\.\.\.' "$scratch/expected"; then
        cat "$scratch/expected" >>"$scratch/README.md"
    else
        cat "$scratch/actual" >>"$scratch/README.md"
    fi
    tap_check "README.md: $command" "$(matches "$scratch/expected" "$scratch/actual")"
    command=
}

inside=no
command=
while IFS= read -r line; do
    case $inside$line in
    'no```console') inside=yes ;;
    'yes```' | 'yes$ '*)
        end_example
        [ "$line" = '```' ] && inside=no || command=${line#\$ }
        : >"$scratch/expected"
        ;;
    yes*)
        printf '%s\n' "$line" >>"$scratch/expected"
        continue
        ;;
    esac
    printf '%s\n' "$line" >>"$scratch/README.md"
done <README.md

if [ "${1-}" = --update ]; then
    cmp -s "$scratch/README.md" README.md || cp "$scratch/README.md" README.md
    exit
fi
tap_check 'README.md has examples' "$([ $n_examples -gt 0 ] || echo 'no ```console block')"
tap_end
