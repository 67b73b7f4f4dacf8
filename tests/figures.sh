#!/bin/bash
# SPDX-License-Identifier: MIT
# Every figure is drawn from what the program writes, in every format, with no tick label, legend
# or axis missing; a figure that can't be drawn says why in one line and leaves no file.
set -u
. "${srcdir:-.}/tests/tap.sh"
top=${ZEROSIM_DATA_DIR:?}
command -v gnuplot >/dev/null || {
    echo '1..0 # SKIP gnuplot is not installed'
    exit 0
}
scratch=$(mktemp -d) || exit 99
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 99
conf=$top/tests/golden/two-layers.conf
models=model.config=$top/tests/golden/gpt2-two-layers.json,$top/workloads/models/gpt2.json

{
    zerosim compare "$conf" --format=json >results.json &&
        zerosim compare "$conf" --over cluster.nodes=1..4*2 --price dgx-h100=2 -o nodes.jsonl &&
        zerosim compare "$conf" --over cluster.nic_bytes_per_s=12e9..50e9*2 \
            -s cluster.nodes=2 -o nic.jsonl &&
        zerosim compare "$conf" --over cluster.nodes=1,2 --over "$models" -o models.jsonl &&
        zerosim run "$conf" -s training.strategy=zero3 --memory-csv ram.csv \
            --trace trace.json >/dev/null
} 2>err || {
    tap_check 'the inputs of the figures can be computed' "$(cat err)"
    tap_end
    exit
}
cat >validation.csv <<END
id,quantity,unit,predicted,measured,error_frac,used_for_fit,assumed,reason
a,step_time,s,1.5,1.7,-0.1,false,,
b,tflops_per_gpu,TFLOP/s,120,110,0.1,true,,
END
# A fixed global batch instead of a fixed batch a GPU.
sed 's/"global_batch": [0-9]*/"global_batch": 64/' nodes.jsonl >strong.jsonl

# drawn FIGURE FILE TEXT…: as SVG, with these texts in it and no warning; as the other formats.
drawn() {
    local figure=$1 file=$2 text
    shift 2
    tap_check "$figure: SVG" "$(
        zerosim plot "$file" --figure="$figure" -o "$figure.svg" 2>&1 || echo failed
        grep -q '</svg>' "$figure.svg" || echo 'is not whole'
        for text in "$@"; do
            grep -qF -- "$text" "$figure.svg" || echo "no '$text'"
        done
        grep -qiE 'nan|undefined' "$figure.svg" && echo 'has a number that is none'
    )"
    tap_check "$figure: PNG, PDF, TeX, CSV" "$(
        for text in png pdf tex csv; do
            rm -f "$figure.pdf"
            zerosim plot "$file" --figure="$figure" -o "$figure.$text" 2>&1 || echo "$text failed"
            [ -s "$figure.$text" ] || echo "no $text"
        done
        [ -s "$figure.pdf" ] || [ -s "$figure.png" ] || echo 'nothing was drawn'
    )"
}
drawn step-time results.json 'time of a step [s]' DDP ZeRO-1 ZeRO-2 ZeRO-3 backward
drawn memory results.json 'memory of a GPU [GiB]' 'GPU holds' parameters
drawn collectives results.json 'sent by a GPU in a step [GB]' all-reduce
drawn link-classes results.json 'carried in a step, per GPU [GB]' NVLink
drawn memory-over-time ram.csv 'time in the step [ms]' 'memory of the rank [GiB]' peak
drawn weak-scaling nodes.jsonl tokens/s 'efficiency [%]' GPUs ZeRO-3
drawn strong-scaling strong.jsonl tokens/s 'efficiency [%]' GPUs ZeRO-3
drawn bandwidth nic.jsonl 'bandwidth of a NIC, one direction [GB/s]' 'time of a step [s]'
drawn largest-model models.jsonl GPUs 'largest model [billion parameters]'
drawn pareto nodes.jsonl 'time for a billion tokens [h]' 'cost of a billion tokens [USD]' front
drawn link-use trace.json 'time in the step [ms]' 'use of the link [%]' 'rank 0 NVLink'
drawn gantt trace.json 'time in the step [ms]' 'rank 0 compute' forward
drawn roofline trace.json 'arithmetic intensity [FLOP/byte]' 'rate [TFLOP/s]' 'data sheet'
drawn validation validation.csv 'step_time [s]' 'tflops_per_gpu [TFLOP/s]' 'open: used to fit'

tap_check '--list names every figure that has a script' "$(
    for script in "$top"/results/*.gp; do
        name=$(basename "$script" .gp)
        case $name in style | output | bars | lines | scaling) continue ;; esac
        zerosim plot --list | grep -q "^$name " || echo "$name"
    done
)"

# refused WHAT STATUS 'WORD…' ARGUMENT…: one line with every word, that status, no file x.svg.
refused() {
    local what=$1 wanted=$2 words=$3 status word
    shift 3
    zerosim plot "$@" -o x.svg >out 2>err
    status=$?
    tap_check "refused: $what" "$(
        [ $status -eq "$wanted" ] || echo "exit status $status instead of $wanted"
        [ "$(wc -l <err)" -eq 1 ] || echo "$(wc -l <err) lines on stderr"
        [ ! -s out ] || echo 'something on stdout'
        for word in $words; do
            grep -qF -- "$word" err || echo "no '$word' in: $(head -c 300 err)"
        done
        find . -name 'x.*'
    )"
}
zerosim report nodes.jsonl -o nodes.csv
: >empty
echo '{"schema": "zerosim-result/1"}' >bare.json
head -c 300 results.json >cut.json
echo 'a,b,c' >other.csv
echo '1,2,3' >>other.csv
mkdir -p other/results
cp "$top"/results/*.gp other/results
echo 'plot nonsense(' >other/results/memory.gp
refused 'an empty file' 2 empty empty --figure=memory
refused 'a file that is cut off' 2 cut.json cut.json --figure=memory
refused 'a result without numbers' 2 'bare.json n_ranks' bare.json --figure=memory
refused 'CSV of something else' 2 other.csv other.csv --figure=memory
refused 'a missing file' 2 nothing.json nothing.json --figure=memory
refused 'no results for a figure of results' 2 'memory results' ram.csv --figure=memory
refused 'no trace for a figure of a trace' 2 '--trace' results.json --figure=gantt
refused 'CSV without an array' 2 'comm.by_collective' nodes.csv --figure=collectives
refused 'results without cost' 2 --price results.json --figure=pareto
refused 'one point where a curve is wanted' 2 cluster.nodes results.json --figure=weak-scaling
refused 'results of several models on one curve' 2 '--where model.config' models.jsonl \
    --figure=weak-scaling
refused 'two results at one point' 2 --where nodes.jsonl nodes.jsonl --figure=weak-scaling
refused 'a figure that is misspelt' 2 'gantt' trace.json --figure=gant
refused 'a condition that nothing meets' 2 --where results.json --figure=memory \
    --where n_ranks=3
refused 'a condition that is none' 2 PATH=VALUE results.json --figure=memory --where n_ranks
ZEROSIM_DATA_DIR=$scratch/other refused 'a script that fails' 1 gnuplot results.json \
    --figure=memory
zerosim=$(command -v zerosim)
mkdir bin
ln -s "$zerosim" bin/zerosim
PATH=$scratch/bin:/nowhere zerosim plot results.json --figure=memory -o x.svg 2>err
status=$?
tap_check 'refused: gnuplot is missing' "$(
    [ $status -eq 1 ] || echo "exit status $status instead of 1"
    grep -q 'gnuplot' err || cat err
    find . -name 'x.*'
)"
tap_end
