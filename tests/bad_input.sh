#!/bin/bash
# SPDX-License-Identifier: MIT
# Whatever is wrong with what the user gives: exit status 2, nothing on stdout, one line on stderr
# that names the file or option and what in it is wrong. Never a crash, a hang or a silent default.
# shellcheck disable=SC2016 # $d and $a are sed's
set -u
. "${srcdir:-.}/tests/tap.sh"
models=${ZEROSIM_DATA_DIR:?}/workloads/models
profiles=$ZEROSIM_DATA_DIR/platforms/gpus
scratch=$(mktemp -d) || exit 99
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 99

# refused WHAT 'WORD…' ARGUMENT…: zerosim ARGUMENT… says one line that has every word.
refused() {
    local what=$1 words=$2 status word
    shift 2
    timeout 60 zerosim "$@" >out 2>err </dev/null
    status=$?
    tap_check "$what" "$(
        [ $status -eq 2 ] || echo "exit status $status instead of 2"
        [ ! -s out ] || echo "stdout has: $(head -n 1 out)"
        [ "$(wc -l <err)" -eq 1 ] || echo "stderr has $(wc -l <err) lines instead of 1"
        for word in $words; do
            grep -qF -- "$word" err || echo "no '$word' in: $(head -c 300 err)"
        done
    )"
}

# A good experiment and what it is made of; each case breaks one thing.
cat >good.conf <<END
[model]
config = $models/gpt2.json
[training]
strategy = ddp
[cluster]
platform = dgx-h100
gpus_per_node = 2
END
tap_check 'the experiment that the cases break is good' \
    "$(zerosim run good.conf 2>&1 >out || echo "exit status $?")"
head -c 10485760 /dev/urandom >garbage
mkdir folder

# Models: FILE is gpt2.json with one line changed by sed.
model() {
    sed "$3" "$models/gpt2.json" >"$1.json"
    refused "model: $1" "$1.json $2" model "$1.json"
}
model truncated '' '4,$d'
model wrong-type n_layer 's/"n_layer": .*,/"n_layer": "twelve",/'
model negative n_embd 's/"n_embd": .*,/"n_embd": -768,/'
model zero n_head 's/"n_head": .*,/"n_head": 0,/'
model fraction n_layer 's/"n_layer": .*,/"n_layer": 1.5,/'
model overflow n_embd 's/"n_embd": .*,/"n_embd": 9223372036854775807,/'
model overflow-in-product '' 's/"n_embd": .*,/"n_embd": 1073741824,/'
model beyond-integers '' 's/"n_embd": .*,/"n_embd": 1e40,/'
model not-a-number '' 's/"n_embd": .*,/"n_embd": NaN,/'
model duplicate n_embd 's/"n_embd": .*,/"n_embd": 768, "n_embd": 1024,/'
model does-not-divide n_head 's/"n_head": .*,/"n_head": 7,/'
model unknown-family model_type 's/"model_type": .*,/"model_type": "mamba",/'
printf '[1, 2]' >array.json
refused 'model: an array' array.json model array.json
: >empty.json
refused 'model: an empty file' empty.json model empty.json
printf '%100000s' '' | tr ' ' '[' >deep.json
refused 'model: brackets without end' deep.json model deep.json
refused 'model: 10 MB of garbage' garbage model ./garbage
refused 'model: a missing file' missing.json model ./missing.json
refused 'model: a folder' folder model ./folder
refused 'model: a name that nothing has' gpt5 model gpt5
sed 's/"n_embd"/"surprise": 1, "n_embd"/' "$models/gpt2.json" >surprise.json
refused 'model: an unknown member under --strict' 'surprise.json surprise' \
    run good.conf --strict -s model.config=surprise.json

# Experiments: the good one, changed by sed; its last section is [cluster].
experiment() {
    sed "$3" good.conf >"$1.conf"
    refused "experiment: $1" "$1.conf $2" run "$1.conf"
}
experiment unknown-key 'nodez nodes' '$anodez = 2'
experiment unknown-section 'trainning training' '$a[trainning]'
experiment section-twice 'model' '$a[model]'
experiment duplicate-key nodes '$anodes = 1\nnodes = 2'
experiment number-and-comment nodes '$anodes = 3 # three'
experiment no-nodes nodes '$anodes = 0'
experiment negative-nodes nodes '$anodes = -4'
experiment too-many-nodes nodes '$anodes = 99999999999999999999'
experiment not-a-number oversubscription '$aoversubscription = nan'
experiment infinite oversubscription '$aoversubscription = inf'
experiment less-than-nothing nic_bytes_per_s '$anic_bytes_per_s = -1'
experiment not-a-choice 'fabric rail fat-tree' '$afabric = star'
experiment no-assignment '' '$anodes'
experiment batches-disagree global_batch 's/^strategy.*/&\nmicro_batch = 2\nglobal_batch = 7/'
refused 'experiment: no such platform' 'cluster.platform dgx-1' \
    run good.conf -s cluster.platform=dgx-1
refused 'experiment: 10 MB of garbage' garbage run ./garbage
refused 'experiment: a missing file' missing.conf run missing.conf
refused 'experiment: a folder' folder run ./folder
sed '/^config/d' good.conf >no-model.conf
refused 'experiment: neither a file nor a key' 'one experiment file' run
refused 'experiment: a model that nearly is' 'model.config "gpt2-xxl" mean gpt2-xl?' \
    run -s model.config=gpt2-xxl
refused 'experiment: no model' 'no-model.conf model.config' run no-model.conf
sed '/^strategy/d' good.conf >no-strategy.conf
refused 'experiment: run without a strategy' 'training.strategy' run no-strategy.conf
refused 'experiment: a model that is missing' 'nowhere.json' \
    run good.conf -s model.config=nowhere.json
refused 'experiment: a sequence longer than the model' 'sequence_length 1024' \
    run good.conf -s model.sequence_length=4096

refused 'override: no value' 'cluster.nodes' run good.conf -s cluster.nodes
refused 'override: unknown key' 'cluster.nodez cluster.nodes' run good.conf -s cluster.nodez=2
refused 'override: no GPUs' 'cluster.gpus_per_node' run good.conf -s cluster.gpus_per_node=0
refused 'override: more GPUs than a node has' '8' run good.conf -s cluster.gpus_per_node=9

# What the program knows of and doesn't model is said, not guessed.
refused 'input: an algorithm that needs one rank a node' 'nccl.algorithm pat' \
    run good.conf -s nccl.algorithm=pat
refused 'unmodelled: a fabric' 'cluster.fabric torus' run good.conf -s cluster.fabric=torus \
    -s cluster.oversubscription=2

# DeepSpeed's configuration, under the strategy it says.
deepspeed() {
    printf '%s' "$3" >"$1.json"
    refused "ds_config: $1" "$2" compare good.conf -s training.framework=deepspeed \
        -s training.deepspeed_config="$1.json" "${@:4}"
}
deepspeed truncated-ds truncated-ds.json '{"zero_optimization": {"stage": 2}'
deepspeed wrong-type-ds 'wrong-type-ds.json stage' '{"zero_optimization": {"stage": "two"}}'
deepspeed no-such-stage 'no-such-stage.json stage' '{"zero_optimization": {"stage": 4}}'
deepspeed batches-disagree-ds 'batches-disagree-ds.json train_batch_size' \
    '{"train_batch_size": 7, "train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2}'
deepspeed negative-ds 'negative-ds.json reduce_bucket_size' \
    '{"zero_optimization": {"stage": 2, "reduce_bucket_size": -1}}'
deepspeed offload 'offload' \
    '{"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}'
printf '{"zero_optimization": {"stage": 3}}' >stage3.json
refused 'ds_config: a strategy that contradicts its stage' 'stage' run good.conf \
    -s training.framework=deepspeed -s training.deepspeed_config=stage3.json
refused 'ds_config: partitions that qwZ cannot quantise' 'zero_quantized_weights' run good.conf \
    -s training.framework=deepspeed -s training.strategy=zero3 -s training.precision=bf16 \
    -s cluster.nodes=32 -s deepspeed.zero_optimization.zero_quantized_weights=true
refused 'ds_config: qwZ in fp32' 'zero_quantized_weights' run good.conf \
    -s training.framework=deepspeed -s training.strategy=zero3 -s training.precision=fp32 \
    -s deepspeed.zero_optimization.zero_quantized_weights=true
refused 'ds_config: hierarchical gather on one node' 'mics_hierarchical_params_gather' run \
    good.conf -s training.framework=deepspeed -s training.strategy=zero3 \
    -s training.precision=bf16 -s deepspeed.zero_optimization.mics_shard_size=2 \
    -s deepspeed.zero_optimization.mics_hierarchical_params_gather=true
refused 'PowerSGD that starts too early' 'ddp.start_powerSGD_iter' run good.conf \
    -s training.strategy=ddp -s ddp.comm_hook=powerSGD -s ddp.start_powerSGD_iter=1
refused 'post-local SGD' 'ddp.comm_hook' run good.conf -s training.strategy=ddp \
    -s ddp.comm_hook=post_localSGD
refused 'ds_config: under another framework' 'deepspeed_config' run good.conf \
    -s training.deepspeed_config=stage3.json

# Files of other programs: FILE has TEXT, in which printf's escapes count.
accelerate() {
    # shellcheck disable=SC2059
    printf "$3" >"$1.yaml"
    refused "accelerate: $1" "$1.yaml $2" run good.conf -s training.accelerate_config="$1.yaml"
}
torchtitan() {
    # shellcheck disable=SC2059
    printf "$3" >"$1.toml"
    refused "torchtitan: $1" "$1.toml $2" run good.conf -s training.torchtitan_config="$1.toml"
}
accelerate empty-yaml mapping ''
accelerate list-yaml ':1: mapping' '[a, b]\n'
accelerate unclosed-yaml ':3: YAML' 'distributed_type: FSDP\nfsdp_config: {a: 1\n'
accelerate duplicate-yaml ':2: distributed_type' 'distributed_type: FSDP\ndistributed_type: NO\n'
accelerate alias-yaml ':1: anchors' 'a: &x 1\nb: *x\n'
accelerate tag-yaml ':1: tags' 'a: !!python/object:os.system ls\n'
accelerate two-documents-yaml ':2: document' 'distributed_type: FSDP\n---\na: 1\n'
accelerate infinity-yaml ':1: finite' 'num_processes: .inf\n'
accelerate no-type distributed_type 'mixed_precision: bf16\n'
accelerate other-type 'distributed_type MEGATRON_LM' 'distributed_type: MEGATRON_LM\n'
accelerate unquoted-no "mixed_precision 'no'" 'distributed_type: MULTI_GPU\nmixed_precision: no\n'
accelerate offload fsdp_offload_params 'distributed_type: FSDP\nfsdp_config: {fsdp_offload_params: true}\n'
accelerate counts-disagree 'num_processes 16 cluster.gpus_per_node' \
    'distributed_type: MULTI_GPU\nnum_machines: 2\nnum_processes: 16\n'
accelerate strategy-contradicts 'training.strategy zero3' 'distributed_type: FSDP\n'
printf '%100000s' '' | tr ' ' '[' >deep.yaml
refused 'accelerate: brackets without end' deep.yaml run good.conf \
    -s training.accelerate_config=deep.yaml
refused 'accelerate: 10 MB of garbage' garbage run good.conf -s training.accelerate_config=garbage
refused 'accelerate: a folder' folder run good.conf -s training.accelerate_config=folder
torchtitan duplicate-toml ':2: TOML' 'a = 1\na = 2\n'
torchtitan unclosed-toml 'TOML' '[model\n'
torchtitan yaml-for-toml ':1: TOML' 'model: llama3\n'
torchtitan infinity-toml ':2: finite' '[training]\nmax_norm = inf\n'
torchtitan date-for-number local_batch_size '[training]\nlocal_batch_size = 1979-05-27\n'
torchtitan tensor-parallel tensor_parallel_degree '[parallelism]\ntensor_parallel_degree = 8\n'
torchtitan too-many-ranks data_parallel_shard_degree '[activation_checkpoint]\nmode = "full"\n[model]\nflavor = "8B"\n[parallelism]\ndata_parallel_shard_degree = 64\n'
torchtitan selective activation_checkpoint.mode '[activation_checkpoint]\nmode = "selective"\n'
refused 'torchtitan: brackets without end' deep.yaml run good.conf \
    -s training.torchtitan_config=deep.yaml
refused 'torchtitan: 10 MB of garbage' garbage run good.conf -s training.torchtitan_config=garbage
refused 'torchtitan: beside accelerate' 'training.torchtitan_config' run good.conf \
    -s training.torchtitan_config=no-type.yaml -s training.accelerate_config=no-type.yaml
printf '[training]\nmicro_batch = 1\n[cluster]\nplatform = dgx-h100\n' >bare.conf
refused 'torchtitan: an unknown flavor' 'flavor 405B' run bare.conf \
    -s training.torchtitan_config=selective.toml
printf 'distributed_type: MULTI_GPU\nnum_machines: 1\nnum_processes: 64\n' >many.yaml
refused 'accelerate: more GPUs than a node has' 'many.yaml num_processes gpus_per_node' \
    run bare.conf -s training.accelerate_config=many.yaml

# Platforms: two nodes of a preset, changed by sed.
zerosim platform dgx-h100 --nodes 2 --gpus-per-node 2 >two-nodes.xml
platform() {
    sed "$3" two-nodes.xml >"$1.xml"
    refused "platform: $1" "$1.xml $2" run xml.conf -s cluster.xml="$1.xml"
}
sed '/^\[cluster\]/,$d' good.conf >xml.conf
platform no-gpus '' 's/value="gpu"/value="toaster"/'
platform no-route '' '/<route src="node-0000-nic/d; /dst="node-0000-nic/d'
platform truncated-xml '' '100,$d'
platform duplicate-host '' 's/id="node-0001-gpu-1"/id="node-0001-gpu-0"/'
platform negative-bandwidth '' 's/bandwidth="[0-9.e+]*/bandwidth="-1/'
platform nan-bandwidth '' 's/bandwidth="[0-9.e+]*/bandwidth="nan/'
sed 's/h100-sxm5-80gb/h900/' two-nodes.xml >unknown-gpu.xml
refused 'platform: a GPU without a profile' h900 run xml.conf -s cluster.xml=unknown-gpu.xml
refused 'platform: 10 MB of garbage' garbage run xml.conf -s cluster.xml=./garbage
refused 'platform: a missing file' missing.xml run xml.conf -s cluster.xml=missing.xml
refused 'platform: no nodes' nodes platform dgx-h100 --nodes 0
refused 'platform: more nodes than anybody has' nodes platform dgx-h100 --nodes 2000000000
refused 'platform: a ratio that is no number' oversubscription \
    platform dgx-h100 --oversubscription nan
refused 'platform: an unknown preset' 'dgx-9' platform dgx-9
refused 'platform: no preset' preset platform

# GPU profiles.
profile() {
    sed "$3" "$profiles/h100-sxm5-80gb.json" >"$1.json"
    refused "profile: $1" "$1.json $2" run good.conf -s gpu.profile="$1.json"
}
profile no-profile format 's/zerosim-profile/something-else/'
profile no-speed '' 's/"memory_bytes_per_s"/"memory_speed"/'
profile truncated-profile '' '5,$d'
refused 'profile: a name that nothing has' 'h900' run good.conf -s gpu.profile=h900

# The command line.
refused 'usage: no command' command
refused 'usage: an unknown command' 'comapre compare' comapre good.conf
refused 'usage: an unknown option' '--fast' run good.conf --fast
refused 'usage: an unknown format' 'yaml json' run good.conf --format=yaml
refused 'usage: no file' file run
refused 'usage: two files' file run good.conf good.conf
refused 'usage: a table that only CSV has' 'table csv' run good.conf --table=by_collective
refused 'usage: a rank that is not there' 'rank' schedule good.conf --rank=2

# Measurements, calibrations and machines that can't be read are refused with file and line.
printf '# nccl-tests\n65536 16384 float sum\n' >short.log
printf 'collective,bytes,n_gpus,time_us\nsum,8,8,1\n' >wrong.csv
printf '{"schema": "zerosim-nccl/1",\n "name": 3}\n' >wrong.json
printf '<system>\n<gpu dev="0" sm="90"/>\n</system>\n' >wrong.xml
refused 'nccl: a row cut short' 'short.log:2' nccl fit -p dgx-h100 -n x short.log
refused 'nccl: no such collective' 'wrong.csv:2' nccl fit -p dgx-h100 -n x wrong.csv
refused 'nccl: no node type' 'dgx-h101' nccl fit -p dgx-h101 -n x wrong.csv
refused 'nccl: nothing to do' 'nccl fit' nccl
refused 'nccl: no release' 'nccl.version 2.4' run good.conf -s nccl.version=2.3
refused 'calibration: no such name' 'nccl.calibration dgx-h300' \
    run good.conf -s nccl.calibration=dgx-h300
refused 'calibration: a wrong member' 'wrong.json' run good.conf -s nccl.calibration=./wrong.json
refused 'platform: a GPU outside of PCI' 'wrong.xml:2' platform --from-nccl-topo wrong.xml

tap_end
