#!/bin/bash
# SPDX-License-Identifier: MIT
# Colour is for terminals: pipes, files and those who set NO_COLOR get plain text.
set -u
. "${srcdir:-.}/tests/tap.sh"
script -qec true /dev/null >/dev/null 2>&1 </dev/null || {
    echo '1..0 # SKIP script(1) can make no terminal here'
    exit 0
}
escape=$(printf '\033[1;31m')
too_large='zerosim compare -s model.config=llama-2-70b -s cluster.platform=dgx-h100'

# on_terminal COMMAND: what a terminal gets.
on_terminal() {
    TERM=xterm script -qec "$1" /dev/null </dev/null
}

tap_check 'a terminal sees what does not fit in colour' "$(
    on_terminal "$too_large" | grep -qF "${escape}DOES NOT FIT" || echo 'no colour'
)"
tap_check 'a terminal sees errors in colour' "$(
    on_terminal 'zerosim nonsense' | grep -qF "${escape}zerosim:" || echo 'no colour'
)"
tap_check 'NO_COLOR switches it off' "$(
    NO_COLOR=1 on_terminal "$too_large" | grep -F "$escape"
)"
tap_check 'a pipe gets plain text' "$($too_large | grep -F "$escape")"
tap_end
