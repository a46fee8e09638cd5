#!/usr/bin/env bash
# `tape ops`: what it lists is what the headers declare, and the JSON says the same as the table.
set -euo pipefail
tape=${TAPE_TEST_CLI:?} source=${TAPE_TEST_SOURCE:?}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

die() {
    echo "$*" >&2
    exit 1
}

"$tape" ops >table.txt
"$tape" ops --json >table.json
"$tape" ops --all --json >all.json
names() { sed -n 's/.*{"name":"\([a-z0-9_]*\)".*/\1/p' "$1"; }

sed '1d;/^$/,$d' table.txt | cut -d' ' -f1 >listed.txt
names table.json | cmp - listed.txt || die "table and JSON list other ops"
[ -z "$(sort listed.txt | uniq -d)" ] || die "listed twice: $(sort listed.txt | uniq -d)"
[ "$(names all.json | wc -l)" -gt "$(wc -l <listed.txt)" ] || die "--all adds nothing"
tail -1 table.txt | grep -q "^$(wc -l <listed.txt) ops, " || die "the table miscounts itself"
while read -r name; do
    grep -qE "[ *]tape_$name\(" "$source"/include/tape/ops*.h || die "$name has no public function: its family is engine"
done <listed.txt

# row NAME: its line in the table, blanks squeezed.
row() { grep "^$1 " table.txt | tr -s ' '; }
[ "$(row tanh)" = 'tanh unary 1 1 yes yes yes yes' ] || die "$(row tanh)"
[ "$(row where)" = 'where ternary 1 3 yes yes yes yes' ] || die "$(row where)"
[ "$(row matmul)" = 'matmul linalg 1 2 yes yes yes yes' ] || die "$(row matmul)"
[ "$(row argmax)" = 'argmax comparison 1 1 no no no yes' ] || die "$(row argmax)"
[ "$(row concat)" = 'concat joining 1 any yes yes yes yes' ] || die "$(row concat)"
[ "$(row rand_normal)" = 'rand_normal random 1 0 no no no yes' ] || die "$(row rand_normal)"
grep -q '{"name":"concat","family":"joining","level":1,"arity":null,' table.json || die "concat's arity in the JSON"

got=0
"$tape" ops --jsno >out.txt 2>err.txt || got=$?
[ "$got $(wc -l <err.txt)" = "2 1" ] || die "a wrong option: status $got, $(cat err.txt)"
