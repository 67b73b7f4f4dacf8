#!/bin/bash
# SPDX-License-Identifier: MIT
# Rewrites the generated part of each manual page, between the lines
#     .\" begin generated: TABLE
#     .\" end generated
# with what `print_tables TABLE` says. With --print PAGE it writes the page to stdout instead.
set -eu
print=
if [ "$1" = --print ]; then
    print=$2
    shift 2
fi
print_tables=$1
cd "$(dirname "$0")"

# regenerate PAGE: the page as it should be.
regenerate() {
    local line inside=no
    while IFS= read -r line; do
        case $line in
        '.\" begin generated: '*)
            printf '%s\n' "$line"
            "$print_tables" "${line##* }"
            inside=yes
            ;;
        '.\" end generated') inside=no ;;
        esac
        [ $inside = yes ] || printf '%s\n' "$line"
    done <"$1"
}

if [ -n "$print" ]; then
    regenerate "$print"
    exit
fi
for page in *.[15]; do
    regenerate "$page" >"$page.new"
    if cmp -s "$page" "$page.new"; then
        rm "$page.new"
    else
        mv "$page.new" "$page"
        echo "updated doc/$page"
    fi
done
