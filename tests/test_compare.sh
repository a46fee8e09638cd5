#!/usr/bin/env bash
# `tape compare`: its tables bear out what they are there to show. Nothing is asserted of times.
# shellcheck disable=SC2016 # the fields are awk's
set -euo pipefail
tape=${TAPE_TEST_CLI:?}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

die() {
    echo "$*" >&2
    exit 1
}

# holds WHAT CONDITION LINES: the condition holds for each of the lines, of which there is one at least.
holds() {
    awk "{ if (!($2)) exit 1 } END { if (NR == 0) exit 1 }" <<<"$3" || die "$1: not ($2) in:"$'\n'"$3"
}

"$tape" compare --quick --output report >out.txt

# ---- error against step size: fields are dtype, method, evaluations, best step, error ----

row() { awk -v dtype="$1" -v method="$2" '$1 == dtype && $2 == method' out.txt; }
holds 'rounding level' '$5 <= 4 * 2.3e-16' "$(row f64 tape)"
holds 'rounding level' '$5 <= 4 * 1.2e-7' "$(row f32 tape)"
# The best steps lie near the cube root and the square root of epsilon, the errors there near its powers 2/3 and 1/2.
holds 'central step' '$4 > 6.1e-6 / 20 && $4 < 6.1e-6 * 20' "$(row f64 central)"
holds 'central step' '$4 > 4.9e-3 / 20 && $4 < 4.9e-3 * 20' "$(row f32 central)"
holds 'forward step' '$4 > 1.5e-8 / 20 && $4 < 1.5e-8 * 20' "$(row f64 forward)"
holds 'forward step' '$4 > 3.5e-4 / 20 && $4 < 3.5e-4 * 20' "$(row f32 forward)"
holds 'central error' '$5 > 1e-13 && $5 < 1e-9' "$(row f64 central)"
holds 'forward error' '$5 > 1e-10 && $5 < 1e-6' "$(row f64 forward)"
holds 'Ridders error' '$5 < 1e-12' "$(row f64 Ridders)"

# ---- cost against inputs ----

inputs=$(sed -n '/^Cost/,/^Expression/p' out.txt | tr -d '|' | grep -E '^ +[0-9]+ ')
holds 'counted evaluations' '$5 == 2 * $1 && $8 == $1 + 1' "$inputs"
holds 'errors' '$4 <= 1e-14 && $7 > 1e-13 && $7 < 1e-7 && $10 > $7' "$inputs"
[ "$(awk '{ print $1 }' <<<"$inputs" | paste -sd' ')" = "2 4 8 16 32 64" ] || die "other sizes: $inputs"

# ---- expression swell ----

# Fields are depth, nodes written out, nodes with shared parts, records, three times, difference.
swell() { sed -n "/^Expression swell, nested $1/,/^\$/p" out.txt | sed 's/too large/nan/' | tr -d '|' | grep -E '^ +[0-9]+ '; }
for name in products compositions; do
    holds "nested $name: rules and tape" '$8 <= 1e-12' "$(swell $name)"
    swell $name | awk 'NR > 2 && ($3 - shared > 9 || $4 - records > 5) { exit 1 } { shared = $3; records = $4 }' ||
        die "nested $name: more than nine nodes or five records for a level"
done
swell products | awk 'NR > 3 && $2 - 2 * last + before != 5 { exit 1 } { before = last; last = $2 }' ||
    die "a product's derivative does not grow as the square of the depth"
swell compositions | awk 'NR > 1 && $2 < 2 * last { exit 1 } { last = $2 }' ||
    die "a composition's derivative does not grow exponentially"

# ---- the report, and nonsense ----

[ "$(grep -o '<svg' report/compare.html | wc -l)" = 8 ] || die "not eight pictures in the report"
if grep -qE '(src|href)=|nan|inf' report/compare.html; then die "the report refers to something outside, or has no number"; fi
tail -1 out.txt | grep -qx 'report     report/compare.html' || die "says not where the report is"
"$tape" compare --help | grep -q -- '--quick'

# said STATUS PATTERN COMMAND...: the command exits with the status and says one line on stderr that matches.
said() {
    local status=$1 pattern=$2 got=0
    shift 2
    "$@" >said.txt 2>err.txt </dev/null || got=$?
    [ "$got $(wc -l <err.txt)" = "$status 1" ] || die "status $got, not $status: $*: $(cat err.txt)"
    grep -q -- "$pattern" err.txt || die "'$(cat err.txt)' does not match '$pattern': $*"
}
said 2 "unknown option '--fast'" "$tape" compare --fast
said 2 'output needs a value' "$tape" compare --output
said 2 'quick takes no value' "$tape" compare --quick=1
said 2 "unexpected 'n'" "$tape" compare n
touch file
said 1 'file: ' "$tape" compare --quick --output file
