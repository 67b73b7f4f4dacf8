#!/bin/bash
# SPDX-License-Identifier: MIT
# A sweep gives the same file however the work is shared, when it is interrupted and goes on, and
# when it is extended; what fails is said once and leaves the rest.
set -u
. "${srcdir:-.}/tests/tap.sh"
conf=${ZEROSIM_DATA_DIR:?}/tests/golden/two-layers.conf
scratch=$(mktemp -d) || exit 99
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 99
over=(--over 'cluster.nodes=1..4*2' --over 'training.micro_batch=1,2')

tap_check 'a sweep writes a line a point and strategy' "$(
    zerosim compare "$conf" "${over[@]}" -j 1 -o one.jsonl 2>&1
    [ "$(wc -l <one.jsonl)" -eq 24 ] || wc -l one.jsonl
)"
tap_check 'as many children as cores give the same bytes' "$(
    zerosim compare "$conf" "${over[@]}" -j 4 -o four.jsonl 2>&1
    cmp one.jsonl four.jsonl 2>&1
)"
tap_check 'so does stdout' "$(zerosim compare "$conf" "${over[@]}" 2>&1 | cmp - one.jsonl 2>&1)"
tap_check 'an interrupted sweep goes on to the same bytes' "$(
    head -c "$(($(wc -c <one.jsonl) / 2))" one.jsonl >half.jsonl
    zerosim compare "$conf" "${over[@]}" --resume half.jsonl 2>&1
    cmp one.jsonl half.jsonl 2>&1
)"
tap_check 'a sweep that is done computes nothing again' "$(
    sed 's/"step_time_s": [0-9.e-]*/"step_time_s": 42.0/' one.jsonl >done.jsonl
    cp done.jsonl before.jsonl
    zerosim compare "$conf" "${over[@]}" --resume done.jsonl 2>&1
    cmp done.jsonl before.jsonl 2>&1
)"
tap_check 'other inputs are other points' "$(
    cp one.jsonl more.jsonl
    zerosim compare "$conf" "${over[@]}" -s model.sequence_length=64 --resume more.jsonl 2>&1
    [ "$(wc -l <more.jsonl)" -eq 48 ] || wc -l more.jsonl
)"
tap_check 'a killed sweep leaves whole lines' "$(
    zerosim compare "$conf" --over 'cluster.nodes=1..24' -j 2 -o killed.jsonl 2>/dev/null &
    sleep 1
    kill -INT $! 2>/dev/null
    wait $! 2>/dev/null
    tail -c 1 killed.jsonl | od -An -c | grep -q '\\n' || [ ! -s killed.jsonl ] ||
        echo 'the last line is cut off'
)"

zerosim compare "$conf" --over training.global_batch=16,17 -s cluster.nodes=1 -o part.jsonl \
    >out 2>err
status=$?
tap_check 'a point that fails is named; the others are there' "$(
    [ $status -eq 2 ] || echo "exit status $status"
    [ "$(wc -l <err)" -eq 1 ] || cat err
    grep -qF 'training.global_batch=17' err || cat err
    [ "$(wc -l <part.jsonl)" -eq 4 ] || wc -l part.jsonl
)"

# refused WHAT WORD ARGUMENT…
refused() {
    local what=$1 word=$2 status
    shift 2
    zerosim compare "$conf" "$@" >out 2>err
    status=$?
    tap_check "refused: $what" "$(
        [ $status -eq 2 ] || echo "exit status $status"
        [ "$(wc -l <err)" -eq 1 ] || echo "$(wc -l <err) lines"
        [ ! -s out ] || echo 'something on stdout'
        grep -qF -- "$word" err || cat err
    )"
}
refused 'a range that shrinks' 'must grow' --over 'cluster.nodes=8..1'
refused 'a factor of one' 'must grow' --over 'cluster.nodes=1..8*1'
refused 'an empty value' 'empty' --over cluster.nodes=1,,2
refused 'no value' 'cluster.nodes' --over cluster.nodes
refused 'a key that does not exist' 'node' --over cluster.node=1,2
refused 'a value out of range' 'cluster.nodes' --over cluster.nodes=0,1
refused 'a key twice' twice --over cluster.nodes=1 --over cluster.nodes=2
refused 'strategies' strategies --over training.strategy=ddp
refused 'too many points' 100000 --over cluster.nodes=1..9000 --over 'model.sequence_length=1..90'
refused '-o without a sweep' --over -o x.jsonl
refused 'two files' -o --over cluster.nodes=1 -o x --resume y
refused 'another format' --format --over cluster.nodes=1 --format=csv
refused 'a price that is none' --price --price dgx-h100=cheap
refused 'a price of nothing' nonesuch --price nonesuch=2
echo '{"a": 1}' >foreign.jsonl
refused 'to go on with something else' foreign.jsonl:1 --over cluster.nodes=1 \
    --resume foreign.jsonl
tap_check 'and that file is as it was' "$(echo '{"a": 1}' | cmp - foreign.jsonl 2>&1)"
tap_end
