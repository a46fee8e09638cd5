#!/usr/bin/env bash
# The program's manual page knows every command and every option of it, and no other.
set -euo pipefail
tape=${TAPE_TEST_CLI:?} page=${TAPE_TEST_SOURCE:?}/man/tape.1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

die() {
    echo "$*" >&2
    exit 1
}

"$tape" --help | sed -n 's/^  \([a-z]*\) .*/\1/p' | sort >"$scratch/commands"
sed -n 's/^\.Ss tape //p' "$page" | sort | diff "$scratch/commands" - || die "the program and the page know other commands"
while read -r command; do
    "$tape" "$command" --help | sed -n 's/^  --\([a-z]*\) .*/\1/p' | sort >"$scratch/options"
    awk -v head=".Ss tape $command" '/^\.S[sh] / { on = $0 == head } on' "$page" |
        sed -n 's/^\.It Fl -\([a-z]*\).*/\1/p' | sort | diff "$scratch/options" - ||
        die "tape $command: its help and the page list other options"
done <"$scratch/commands"
[ -s "$scratch/commands" ] || die "the program lists no commands"

if command -v groff >/dev/null; then
    warnings=$(groff -ww -mdoc -Tutf8 "$page" 2>&1 >/dev/null)
    [ -z "$warnings" ] || die "$warnings"
fi
