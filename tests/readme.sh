#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs the examples of README.md: in each ```console block a line "$ COMMAND" is run in the source
# tree and must print the lines that follow it. A line of three dots stands for any lines.
set -u
. "${srcdir:-.}/tests/tap.sh"
top=${ZEROSIM_DATA_DIR:?}
scratch=$(mktemp -d) || exit 99
trap 'rm -rf "$scratch"' EXIT

# One numbered file for each command and one for what it should print.
awk -v to="$scratch" '
    /^```console$/ { inside = 1; next }
    /^```$/ { inside = 0 }
    !inside { next }
    /^\$ / { n++; file = to "/" sprintf("%03d", n); print substr($0, 3) >(file ".command"); next }
    n { print >(file ".expected") }
' "$top/README.md"

# matches EXPECTED ACTUAL: equal lines, where "..." skips some.
matches() {
    awk '
        NR == FNR { expected[++n] = $0; next }
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

n_commands=0
for file in "$scratch"/*.command; do
    [ -e "$file" ] || break
    n_commands=$((n_commands + 1))
    touch "${file%.command}.expected"
    complaint=$(
        cd "$top" || exit
        bash -e "$file" >"$scratch/actual" 2>&1 </dev/null ||
            echo "exit status $?: $(head -n 3 "$scratch/actual")"
        matches "${file%.command}.expected" "$scratch/actual"
    )
    tap_check "README.md: $(cat "$file")" "$complaint"
done
tap_check 'README.md has examples' "$([ "$n_commands" -gt 0 ] || echo 'no ```console block')"

tap_end
