#!/usr/bin/env bash
# The example op of CONTRIBUTING.md, put where it says into a copy of the tree, builds and passes the tests over the table.
set -euo pipefail
source=${TAPE_TEST_SOURCE:?}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$source"/{CMakeLists.txt,cmake,include,lib,tests,LICENSE} "$copy"

# block N: the N-th C block of the section, without its indentation.
block() {
    awk -v wanted="$1" '/^## /{ here = /To add an op/ } here && /^ *```/ { if (!inside && /```c/) n++; inside = !inside; next }
        here && inside && n == wanted { sub(/^   /, ""); print }' "$source/CONTRIBUTING.md"
}

# add N FILE [BEFORE]: the N-th block at the end of FILE, or before its first line that matches BEFORE.
add() {
    local file=$copy/$2 text
    text=$(block "$1")
    [ -n "$text" ] || { echo "CONTRIBUTING.md: no block $1" >&2; exit 1; }
    grep -q "\`$2\`" "$source/CONTRIBUTING.md" || { echo "CONTRIBUTING.md does not name $2" >&2; exit 1; }
    TEXT=$text awk -v before="${3:-}" 'before != "" && $0 ~ before && !done { print ENVIRON["TEXT"]; done = 1 } { print }
        END { if (!done) print ENVIRON["TEXT"] }' "$file" >"$file.new"
    mv "$file.new" "$file"
}

add 1 lib/ops/ops.def '^/[*] binary [*]/'
add 2 lib/kernels/elementwise.def
add 3 include/tape/ops_elementwise.h '^TAPE_API tape_tensor tape_logical_or'
add 4 tests/refs.c
add 5 tests/ewise_refs.def

cmake -S "$copy" -B "$copy/build" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG=-O0 -DTAPE_AVX512=OFF \
    -DTAPE_BUILD_BENCH=OFF -DTAPE_BUILD_TOOLS=OFF -DTAPE_SLEEF="${TAPE_TEST_SLEEF:-ON}" >/dev/null
cmake --build "$copy/build" --target test_values test_gradients test_ewise
for name in test_values test_gradients test_ewise; do
    "$copy/build/tests/$name"
done
