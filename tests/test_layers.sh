#!/usr/bin/env bash
# tools/check-layers passes this tree, and fails a copy of it for each kind of include against the order.
set -euo pipefail
source=${TAPE_TEST_SOURCE:?}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$source/tools/check-layers"

# planted FILE INCLUDE MESSAGE: a copy of the tree in which FILE also includes INCLUDE fails with MESSAGE.
planted() {
    rm -rf "${scratch:?}"/*
    cp -r "$source/include" "$source/lib" "$source/bench" "$source/tools" "$scratch" 2>/dev/null || true
    mkdir -p "$scratch/$(dirname -- "$1")"
    printf '\n#  include %s\n' "$2" >>"$scratch/$1"
    local said
    if said=$("$source/tools/check-layers" "$scratch" 2>&1); then
        echo "passed: $1 including $2" >&2
        exit 1
    fi
    if [[ $said != "$1:"*"$3"* ]]; then
        printf 'expected: %s: ... %s\ngot: %s\n' "$1" "$3" "$said" >&2
        exit 1
    fi
}

planted lib/base.h '"tape.h"' 'base includes lib/tape.h of the later layer tape'
planted lib/shape.h '"ops/ops.h"' 'shape includes lib/ops/ops.h of the later layer ops'
planted lib/kernels/planted.c '"../tape.h"' 'kernels includes lib/tape.h of the later layer tape'
planted lib/planted.c '"base.h"' 'kit includes lib/base.h, private to base'
planted tools/cli/planted.c '<shape.h>' 'program includes lib/shape.h, private to shape'
planted bench/planted.c '"../lib/tape.h"' 'bench includes lib/tape.h, private to tape'
planted bench/planted.c '"../tools/cli/model.h"' 'bench includes tools/cli/model.h, private to program'
planted tools/cli/text.h '"model.h"' 'drawing includes tools/cli/model.h, private to program'
planted include/tape/tape.h '"../../lib/base.h"' 'a public header includes lib/base.h'
planted tools/planted.c '<stdio.h>' 'in no layer of tools/layers'
