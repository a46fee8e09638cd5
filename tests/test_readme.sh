#!/usr/bin/env bash
# README.md is the truth: its program is the example that is built, prints what is shown, and the demo's numbers are those
# on the screen.
set -euo pipefail
source=${TAPE_TEST_SOURCE:?}
first=${TAPE_TEST_FIRST:?}
tape=${TAPE_TEST_CLI:?}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# block N: what stands in the N-th fenced block of README.md.
block() { awk -v n="$1" '/^```/ { open = !open; count += open; next } open && count == n' "$source/README.md"; }

block 3 | diff - "$source/tools/examples/first.c"
"$first" | diff <(block 4) -

"$tape" train --output "$scratch/run" >"$scratch/out.txt"
grep -E '^(train loss|test loss|test accuracy)' "$scratch/out.txt" >"$scratch/results.txt"
if ! "$tape" info | grep -q SLEEF; then
    exit 0 # the numbers in README.md are those of the default mathematics
fi
if "$tape" info | grep -q 'with FMA'; then
    block 2 | diff - "$scratch/results.txt"
else
    while read -r line; do
        grep -qF "\`$line\`" "$source/README.md"
    done < <(tr -s ' ' <"$scratch/results.txt")
fi
