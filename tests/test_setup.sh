#!/usr/bin/env bash
# The scripts' installing of missing packages, with apt-get, id and sudo replaced by stand-ins: what is printed, what is
# run, and that nothing is run where it is forbidden.
# shellcheck disable=SC2016 # what is quoted is expanded by the stand-ins
set -euo pipefail
source=${TAPE_TEST_SOURCE:?}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/bin" "$scratch/empty"

stand_in() {
    printf '#!/bin/sh\n%s\n' "$2" >"$scratch/bin/$1"
    chmod +x "$scratch/bin/$1"
}
stand_in apt-get "echo \"\$*\" >>'$scratch/ran'; [ ! -e '$scratch/apt-fails' ]"
stand_in apt-cache "[ -e '$scratch/lists' ]"
stand_in id 'echo "${FAKE_UID:-0}"'
stand_in sudo '[ "$1" = -n ] && exit "${FAKE_SUDO:-1}"; "$@"'

# attempt STATUS TEXT: runs install_missing with two packages missing; it must end with STATUS and print TEXT.
attempt() {
    local status=0 said
    rm -f "$scratch/ran"
    said=$(env "PATH=${path:-$scratch/bin:$PATH}" bash -c 'set -euo pipefail; . "$1/tools/lib.sh"
        want here true; want one false; want "${two:-two}" false; install_missing' bash "$source" 2>&1 </dev/null) || status=$?
    if [ "$status" != "$1" ] || [[ $said != *"$2"* ]]; then
        printf 'expected status %s and: %s\ngot status %s and: %s\n' "$1" "$2" "$status" "$said" >&2
        exit 1
    fi
}
ran() {
    [ "$(cat "$scratch/ran" 2>/dev/null || true)" = "$1" ] || {
        printf 'expected to run: %s\nran: %s\n' "$1" "$(cat "$scratch/ran")" >&2
        exit 1
    }
}
install='-y --no-install-recommends install one two'

touch "$scratch/lists"
attempt 0 "+ env DEBIAN_FRONTEND=noninteractive apt-get $install"
ran "$install"
rm "$scratch/lists"
attempt 0 '+ apt-get update'
ran "update
$install"
TAPE_NO_INSTALL=1 attempt 1 "  apt-get $install"
ran ''
FAKE_UID=1000 attempt 1 "  apt-get $install"
ran ''
FAKE_UID=1000 FAKE_SUDO=0 attempt 0 "+ sudo env DEBIAN_FRONTEND=noninteractive apt-get $install"

# A package of another architecture: dpkg is told of that first.
stand_in dpkg "[ \"\$1\" = --print-foreign-architectures ] || echo \"dpkg \$*\" >>'$scratch/ran'"
touch "$scratch/lists"
two=two:arm64 TAPE_NO_INSTALL=1 attempt 1 '  dpkg --add-architecture arm64'
ran ''
two=two:arm64 attempt 0 "+ dpkg --add-architecture arm64"
ran "dpkg --add-architecture arm64
$install:arm64"
stand_in dpkg 'echo arm64'
two=two:arm64 attempt 0 "+ env DEBIAN_FRONTEND=noninteractive apt-get $install:arm64"
ran "$install:arm64"

touch "$scratch/apt-fails"
attempt 1 'Install these, then run this again: one two'

for name in bash dirname; do
    ln -s "$(command -v "$name")" "$scratch/empty/$name"
done
path=$scratch/empty attempt 1 'This is not a Debian system'
