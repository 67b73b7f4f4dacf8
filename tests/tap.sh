# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The Test Anything Protocol for the test scripts: each check is counted by itself.

tap_n=0
tap_n_failed=0

# tap_check WHAT_HOLDS COMPLAINTS: passes when there is nothing to complain about.
tap_check() {
    tap_n=$((tap_n + 1))
    if [ -z "$2" ]; then
        echo "ok $tap_n - $1"
        return
    fi
    echo "not ok $tap_n - $1"
    printf '%s\n' "$2" | sed 's/^/#     /'
    tap_n_failed=$((tap_n_failed + 1))
}

tap_end() {
    echo "1..$tap_n"
    [ "$tap_n_failed" -eq 0 ]
}
