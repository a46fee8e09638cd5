#!/usr/bin/env bash
# Installs the library, static and shared, into prefixes of its own and moves them; then builds and runs a consumer
# through find_package and through pkg-config; then looks at what the libraries export.
set -euo pipefail
source=${TAPE_TEST_SOURCE:?} build=${TAPE_TEST_BUILD:?}
here=$source/tests/install
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
expected='80.342148' # 4 exp(3)

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

said() {
    printf '%s: %s\n' "$1" "$2"
    [[ $2 = tape\ *": $expected" ]] || fail "$1: expected tape VERSION: $expected"
}

# consume PREFIX NAME PKG-CONFIG-OPTION: the consumer against one installation.
consume() {
    local prefix=$1 name=$2 option=$3
    cmake -S "$here" -B "$scratch/$name-cmake" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release >/dev/null
    cmake --build "$scratch/$name-cmake" >/dev/null
    said "$name, find_package" "$("$scratch/$name-cmake/consumer")"

    local pc flags
    pc=$(find "$prefix" -name tape.pc)
    flags=$(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --cflags --libs ${option:+"$option"} tape)
    # shellcheck disable=SC2086 # flags are words
    ${CC:-cc} "$here/consumer.c" -o "$scratch/$name-pc" $flags
    said "$name, pkg-config" "$(LD_LIBRARY_PATH=$(dirname "$pc")/.. "$scratch/$name-pc")"
}

# only_ours NAME NM-OPTION... FILE: every symbol that others see is named tape_.
only_ours() {
    local name=$1 strangers
    shift
    strangers=$(nm --defined-only --format=posix "$@" | awk 'NF > 1 && $1 !~ /^tape_/ { print $1 }')
    [ -z "$strangers" ] || fail "$name: exports more than tape_*:" "$strangers"
}

# train PREFIX: the installed program finds its library, and the data beside it rather than the source tree's.
train() {
    local said
    said=$("$1/bin/tape" train --epochs 1 --output "$scratch/run")
    [[ $said = *'test accuracy '* ]] || fail "tape train said: $said"
    : >"$1/share/tape/digits.csv.gz"
    ! said=$("$1/bin/tape" train --epochs 1 --output "$scratch/run" 2>&1) || fail 'tape train read other data'
    [[ $said = *"$1/bin/../share/tape/digits.csv.gz"* ]] || fail "tape train said: $said"
}

cmake --install "$build" --prefix "$scratch/before" >/dev/null
mv "$scratch/before" "$scratch/static"
consume "$scratch/static" static --static
only_ours 'static library' --extern-only "$(find "$scratch/static" -name libtape.a)"
train "$scratch/static"

cmake -S "$source" -B "$build/shared" -DBUILD_SHARED_LIBS=ON -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG=-O0 \
    -DTAPE_AVX512=OFF -DTAPE_SLEEF="${TAPE_TEST_SLEEF:-ON}" -DTAPE_BUILD_TESTS=OFF -DTAPE_BUILD_BENCH=OFF >/dev/null
cmake --build "$build/shared" >/dev/null
cmake --install "$build/shared" --prefix "$scratch/before" >/dev/null
mv "$scratch/before" "$scratch/shared"
consume "$scratch/shared" shared ''
library=$(find "$scratch/shared" -name libtape.so)
only_ours 'shared library' --dynamic "$library"
internal=$(nm --dynamic --defined-only "$library" | grep ' tape__' || true)
[ -z "$internal" ] || fail 'shared library exports internals:' "$internal"
train "$scratch/shared"
