# shellcheck shell=bash
# What the scripts in here share: finding what is missing and installing it, and quiet configure and build steps.
# It knows nothing of what is built or run. Sourced, with `set -euo pipefail`, by the scripts beside it.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
missing=()

die() {
    printf '%s\n' "$@" >&2
    exit 1
}

# want PACKAGE COMMAND...: the Debian package is missing if the command fails.
want() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

has_cmake() {
    local version
    version=$(cmake --version 2>/dev/null | sed -n '1s/.* //p') && [ -n "$version" ] &&
        [ "$(printf '%s\n' 3.25 "$version" | sort -V | head -n 1)" = 3.25 ]
}

has_c_library() { printf '#include <stdlib.h>\n' | cc -E - ; }

has_build_program() { command -v ninja || command -v make; }

want_programs() {
    want cmake has_cmake
    want ninja-build has_build_program
    want pkg-config command -v pkg-config
}

want_build() {
    want gcc command -v cc
    want libc6-dev has_c_library
    want_programs
    want libsleef-dev pkg-config --exists sleef
    want zlib1g-dev pkg-config --exists zlib
}

want_tests() {
    want_build
    want g++ command -v c++
    want check pkg-config --exists check
}

# want_cross: what cmake/aarch64.cmake names.
want_cross() {
    local libraries=/usr/lib/aarch64-linux-gnu
    want_programs
    want gcc-aarch64-linux-gnu command -v aarch64-linux-gnu-gcc
    want g++-aarch64-linux-gnu command -v aarch64-linux-gnu-g++
    want qemu-user command -v qemu-aarch64
    want libstdc++6:arm64 test -e $libraries/libstdc++.so.6
    want libsleef-dev:arm64 test -e $libraries/pkgconfig/sleef.pc
    want check:arm64 test -e $libraries/pkgconfig/check.pc
}

# The architecture that a package is wanted of and that dpkg does not know yet, if any.
unknown_architecture() {
    [[ ${missing[*]} = *:arm64* ]] && ! dpkg --print-foreign-architectures | grep -qx arm64 && echo arm64
}

# install_missing: installs what `want` found missing, or says exactly what to install and ends.
install_missing() {
    [ ${#missing[@]} -gt 0 ] || return 0
    local apt=(apt-get -y --no-install-recommends install "${missing[@]}") as=() foreign='' first=()
    if ! command -v apt-get >/dev/null; then
        die "tape: missing: ${missing[*]} (Debian's names of the packages)." \
            "This is not a Debian system: install their like: a C11 compiler, CMake 3.25 or newer, Ninja or make," \
            "pkg-config, SLEEF, zlib, Check (for the tests), with headers; then run this again."
    fi
    if foreign=$(unknown_architecture); then
        first=("  dpkg --add-architecture $foreign" "  apt-get update")
    fi
    if [ "${TAPE_NO_INSTALL:-}" = 1 ]; then
        die "tape: missing packages, and TAPE_NO_INSTALL=1 forbids installing them. Install them with:" "${first[@]}" \
            "  ${apt[*]}"
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
            as=(sudo)
        else
            die "tape: missing packages, and only root may install them. As root, run:" "${first[@]}" "  ${apt[*]}"
        fi
    fi
    [ -z "$foreign" ] || run_apt "${as[@]}" dpkg --add-architecture "$foreign"
    apt=("${as[@]}" env DEBIAN_FRONTEND=noninteractive "${apt[@]}")
    if apt-cache show "${missing[@]}" >/dev/null 2>&1; then
        run_apt "${apt[@]}" && return 0
    fi
    if ! run_apt "${as[@]}" apt-get update || ! run_apt "${apt[@]}"; then
        die "tape: apt-get failed. Install these, then run this again: ${missing[*]}"
    fi
}

run_apt() {
    printf '+ %s\n' "$*"
    local log
    log=$(mktemp)
    if "$@" >"$log" 2>&1 </dev/null; then
        rm -f "$log"
        return 0
    fi
    cat "$log" >&2
    rm -f "$log"
    return 1
}

# step LABEL COMMAND...: one line when it succeeds, the whole log when it fails.
step() {
    local label=$1 log start=$SECONDS
    shift
    log=$(mktemp)
    printf '%s ... ' "$label"
    if "$@" >"$log" 2>&1 </dev/null; then
        printf '%d s\n' $((SECONDS - start))
        rm -f "$log"
        return 0
    fi
    printf 'failed\n'
    cat "$log" >&2
    rm -f "$log"
    exit 1
}

# build PRESET TARGET [CMAKE OPTION]...: configures and builds one target of a preset, with Ninja where there is one.
build() {
    local preset=$1 target=$2
    shift 2
    if [ -z "${CMAKE_GENERATOR:-}" ] && [ ! -e "$root/build/$preset/CMakeCache.txt" ] && command -v ninja >/dev/null; then
        export CMAKE_GENERATOR=Ninja
    fi
    export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc 2>/dev/null || echo 2)}
    export CTEST_PARALLEL_LEVEL=${CTEST_PARALLEL_LEVEL:-$CMAKE_BUILD_PARALLEL_LEVEL}
    cd -- "$root" || exit 1
    step "Configuring $preset" cmake --preset "$preset" "$@"
    step "Building $preset" cmake --build --preset "$preset" --target "$target"
}
