#!/bin/bash
# SPDX-License-Identifier: MIT
# What bash offers after a tab.
set -u
. "${srcdir:-.}/tests/tap.sh"
. "${srcdir:-.}/doc/completion/zerosim"

# offered WORD…: the last word is the one being completed.
offered() {
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    _zerosim
    echo "${COMPREPLY[*]}"
}

# offers WHAT 'WORD…' WORD…
offers() {
    local what=$1 wanted=$2 got
    shift 2
    got=$(offered "$@")
    tap_check "$what" "$([ "$got" = "$wanted" ] || echo "got '$got' instead of '$wanted'")"
}
offers 'a command' compare zerosim com
offers 'commands that begin alike' 'plot platform' zerosim pl
offers 'an option' --resume= zerosim compare --res
offers 'the only option that begins so' --explain zerosim run --exp
offers 'choices of an option' 'json jsonl' zerosim compare --format = js
offers 'a figure' memory-over-time zerosim plot results.json --figure memory-
offers 'nothing for what is no option' '' zerosim compare --nonsense
tap_end
