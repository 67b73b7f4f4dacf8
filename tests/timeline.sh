#!/bin/bash
# SPDX-License-Identifier: MIT
# Timelines load in the parsers of others: Chrome's JSON in Python's, Paje in pajeng's.
set -u
. "${srcdir:-.}/tests/tap.sh"
conf=${ZEROSIM_DATA_DIR:?}/tests/golden/two-layers.conf
scratch=$(mktemp -d) || exit 99
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 99
run=(zerosim run "$conf" -s training.strategy=zero3)

"${run[@]}" --trace all.json --format=json >result.json 2>err &&
    "${run[@]}" --trace two.json --ranks 0,1 >/dev/null 2>>err &&
    "${run[@]}" --trace two.paje --ranks 0..1 >/dev/null 2>>err
tap_check 'traces are written' "$(cat err)"

if command -v python3 >/dev/null; then
    tap_check 'Chrome: slices of a stream do not overlap, arrows have two ends, counters count' "$(
        python3 - all.json two.json result.json 2>&1 <<'END'
import collections, json, sys

def check(name):
    trace = json.load(open(name))
    events = trace["traceEvents"]
    threads = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    slices = collections.defaultdict(list)
    for e in events:
        if e["ph"] == "X":
            slices[e["pid"], e["tid"]].append((e["ts"], e["ts"] + e["dur"]))
            kernels = e["args"].get("kernels")
            wanted = "payload_bytes" if kernels is None else "flops"
            if wanted not in e["args"]:
                print(name, e["name"], "lacks", wanted)
    if set(slices) != threads:
        print(name, "has threads without a name or names without a thread")
    for key, times in slices.items():
        times.sort()
        for (_, end), (start, _) in zip(times, times[1:]):
            if start < end - 1e-3:
                print(name, "ops overlap on", key, start, end)
                break
    arrows = collections.Counter(e["id"] for e in events if e["ph"] in "sf")
    if any(n != 2 for n in arrows.values()):
        print(name, "has an arrow with one end")
    memory = [sum(e["args"].values()) for e in events if e["name"] == "memory (bytes)"]
    return trace, arrows, max(memory)

all_ranks, no_arrows, peak = check("all.json")
if no_arrows:
    print("one rank stands for all, and yet there are arrows")
result = json.load(open("result.json"))
if peak != result["memory"]["peak_bytes"]:
    print("the counter's peak isn't the result's:", peak)
if abs(all_ranks["otherData"]["step_time_s"] - result["step_time_s"]) > 1e-12:
    print("another step time")
two_ranks, arrows, _ = check("two.json")
n = sum(c["count"] for c in result["comm"]["by_collective"])
if len(arrows) != n:
    print(len(arrows), "arrows for", n, "collectives of two ranks")
END
    )"
else
    echo "ok $((tap_n += 1)) - Chrome # SKIP python3 is not installed"
fi

if command -v pj_dump >/dev/null; then
    tap_check 'Paje: pajeng reads states, variables and links of both ranks' "$(
        pj_dump two.paje >dump 2>dump.err || head -n 3 dump.err
        for what in Container State Variable Link; do
            grep -q "^$what," dump || echo "no $what"
        done
        grep -q '^State, nccl of rank 1, ' dump || echo 'rank 1 does nothing'
    )"
else
    echo "ok $((tap_n += 1)) - Paje # SKIP pajeng is not installed"
fi

refused() {
    local what=$1 word=$2 status
    shift 2
    "${run[@]}" "$@" >out 2>err
    status=$?
    tap_check "refused: $what" "$(
        [ $status -eq 2 ] || echo "exit status $status"
        [ "$(wc -l <err)" -eq 1 ] || echo "$(wc -l <err) lines"
        grep -qF -- "$word" err || cat err
        find . -name 'x.*'
    )"
}
refused 'a rank that is not there' 99 --trace x.json --ranks 99
refused 'a list that is none' 0,8..15 --trace x.json --ranks 1-2
refused 'another ending' .paje --trace x.txt
refused 'ranks of no trace' --trace --ranks 1
tap_end
