#!/bin/bash
# SPDX-License-Identifier: MIT
# Checks the include table. Layers are listed in the order of the data flow; a file may include
# the headers of its own layer and of the layers above it, and only sim_* may see SimGrid.
set -u
cd "${srcdir:-.}" || exit 99
. tests/tap.sh
cd src || exit 99

# A module's files are MODULE.[ch] and MODULE_*.[ch]; the longest module that fits counts.
layers=(
    'foundations: error constants json_in toml_in yaml_in out_file pool'
    'inputs: experiment kernel profile optimizer model training nccl_plugin node_wires node_type cluster'
    'step: collective nccl_calibration nccl_topo schedule bucket step'
    'time: timeline sim'
    'meaning: memory metrics explain'
    'prediction: predict'
    'outputs: report'
    'validation: validate nccl'
    'figures: results_in results_table plot report_html report_markdown'
    'program: cmd'
    'main: main'
)
# Not a file's business and yet necessary. Each row: FILE HEADER, and why.
exceptions=(
    'cluster.c sim.h' # a platform is what SimGrid says it is: cluster_build() asks the probe
)

# layer_of FILE: the index of its layer, -1 when no layer lists it.
layer_of() {
    local stem=${1%.*} best=-1 best_length=0 i module
    for i in "${!layers[@]}"; do
        for module in ${layers[i]#*: }; do
            case $stem in
            "$module" | "$module"_*)
                if [ ${#module} -gt "$best_length" ]; then
                    best=$i
                    best_length=${#module}
                fi
                ;;
            esac
        done
    done
    echo "$best"
}

is_exception() {
    local row
    for row in "${exceptions[@]}"; do
        [ "$row" = "$1 $2" ] && return 0
    done
    return 1
}

declare -A layer
for file in *.[ch] *.cc; do
    layer[$file]=$(layer_of "$file")
done

includes() {
    grep -nE '^#include' -- *.[ch] *.cc | sed -E 's/^([^:]*):([0-9]*):[^"<]*(["<])([^">]*).*/\1 \2 \3 \4/'
}

files_outside() {
    local file
    for file in *.[ch] *.cc; do
        [ "${layer[$file]}" -ge 0 ] || echo "src/$file"
    done
}

later_includes() {
    local file line quote header
    while read -r file line quote header; do
        [ "$quote" = '"' ] || continue
        [ "${layer[$header]-99}" -le "${layer[$file]}" ] || is_exception "$file" "$header" ||
            echo "src/$file:$line: $header"
    done < <(includes)
}

simgrid_includes() {
    includes | grep '<* *simgrid/' | grep -v '^sim_'
}

tap_check 'every source file is in a layer' "$(files_outside)"
tap_check 'no file includes a header of a later layer' "$(later_includes)"
tap_check 'only sim_* includes SimGrid' "$(simgrid_includes)"
tap_end
