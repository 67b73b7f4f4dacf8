#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs one golden case: a file of comments that say what it shows, one line "$ COMMAND", one line
# "exit: STATUS". The command runs in the root of the source tree; its stdout, and its stderr in
# lines marked "stderr: ", must equal the .expected file beside it. --update writes that file.
set -u

update=no
if [ "${1-}" = --update ]; then
    update=yes
    shift
fi
case_file=$1
expected_file=${case_file%.test}.expected
top=${ZEROSIM_DATA_DIR:?}
scratch=$(mktemp -d) || exit 99
trap 'rm -rf "$scratch"' EXIT

command=$(sed -n 's/^\$ //p' "$case_file")
expected_status=$(sed -n 's/^exit: //p' "$case_file")
if [ -z "$command" ] || [ -z "$expected_status" ]; then
    echo "$case_file: needs a line '\$ COMMAND' and a line 'exit: STATUS'" >&2
    exit 99
fi

(cd "$top" && eval "$command") >"$scratch/actual" 2>"$scratch/stderr" </dev/null
status=$?
sed 's/^/stderr: /' "$scratch/stderr" >>"$scratch/actual"

if [ "$status" != "$expected_status" ]; then
    echo "$case_file: exit status $status instead of $expected_status; it said:" >&2
    cat "$scratch/actual" >&2
    exit 1
fi
if [ $update = yes ]; then
    cmp -s "$scratch/actual" "$expected_file" || {
        cp "$scratch/actual" "$expected_file" && echo "updated $expected_file"
    }
    exit 0
fi
diff -u "$expected_file" "$scratch/actual"
