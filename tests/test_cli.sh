#!/usr/bin/env bash
# The program `tape`: training reaches what it promises and repeats itself to the last digit; bad input is one clear line.
set -euo pipefail
tape=${TAPE_TEST_CLI:?}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

die() {
    echo "$*" >&2
    exit 1
}

# said NUMBER PATTERN COMMAND...: the command exits with the status and says one line on stderr that matches.
said() {
    local status=$1 pattern=$2 got=0
    shift 2
    "$@" >out.txt 2>err.txt </dev/null || got=$?
    [ "$got" = "$status" ] || die "status $got, not $status: $* : $(cat err.txt)"
    [ "$(wc -l <err.txt)" = 1 ] || die "not one line: $*: $(cat err.txt)"
    grep -q -- "$pattern" err.txt || die "'$(cat err.txt)' does not match '$pattern': $*"
}

# ---- training: five seeds, repeated runs, thread counts ----

accuracy() { sed -n 's/^test accuracy \([0-9.]*\) %$/\1/p' "$1"; }
results() { grep -E '^(train loss|test loss|test accuracy)' "$1"; }

for seed in 0 1 2 3 4; do
    "$tape" train --seed "$seed" --output "run$seed" >"run$seed.txt"
    accuracy "run$seed.txt"
done >accuracies.txt
[ "$(wc -l <accuracies.txt)" = 5 ] || die "not one accuracy a run"
awk '{ sum += $1 } END { exit !(sum / NR >= 97) }' accuracies.txt || die "mean below 97 %: $(tr '\n' ' ' <accuracies.txt)"
"$tape" train --threads 2 --output again >again.txt
[ "$(results run0.txt)" = "$(results again.txt)" ] || die "two threads give another result"
cmp run0/model.safetensors again/model.safetensors
grep -q 'identical outputs on all 359 test images' run0.txt || die "no proof of the reloaded model"
grep -q '<svg' run0/report.html || die "no picture in the report"
if grep -qE '(src|href)=' run0/report.html; then die "the report refers to something outside"; fi

# ---- the saved model: predictions, and going on ----

"$tape" predict --model run0/model.safetensors >guesses.csv 2>said.txt
[ "$(wc -l <guesses.csv)" = 360 ] || die "predict: not a line an image"
grep -q "^accuracy $(accuracy run0.txt) % of 359 images$" said.txt || die "predict says $(cat said.txt)"
"$tape" train --model run0/model.safetensors --epochs 1 --output more >more.txt
awk -v a="$(accuracy more.txt)" 'BEGIN { exit !(a >= 95) }' || die "going on from a model lost what it knew"
"$tape" train --dtype f64 --hidden 16,8 --epochs 2 --optimizer sgd --batch 64 --lr 0.05 --augment --output small >/dev/null
"$tape" train --help | grep -q -- '--augment'
"$tape" --version | grep -qx 'tape [0-9.]*'
"$tape" info | grep -q 'FMA'

# ---- nonsense ----

said 2 "no command 'trian'" "$tape" trian
said 2 "unknown option '--epoch'" "$tape" train --epoch 3
said 2 'epochs needs a value' "$tape" train --epochs
said 2 "'three' is not a whole number" "$tape" train --epochs three
said 2 'not within' "$tape" train --epochs 0
said 2 "is neither f32 nor f64" "$tape" train --dtype f16
said 2 'not a list' "$tape" train --hidden 12,x
said 2 "unexpected 'file'" "$tape" train file
said 2 'which model' "$tape" predict
said 1 'missing.csv: cannot open: No such file' "$tape" train --data missing.csv
mkdir empty
said 1 'empty: holds neither train-images' "$tape" train --data empty
printf '1,2,x,0\n' >bad.csv
said 1 'bad.csv:1: column 3' "$tape" train --data bad.csv
said 1 'No such file' "$tape" predict --model missing.safetensors
head -c 1000 run0/model.safetensors >cut.safetensors
said 1 'cut.safetensors' "$tape" predict --model cut.safetensors
said 1 'cut.safetensors' "$tape" train --model cut.safetensors
said 1 'none of sgd' "$tape" train --optimizer magic --output x
said 1 'other layers' "$tape" train --model run0/model.safetensors --hidden 12 --output x
touch file
said 1 'file: exists and is not a directory' "$tape" train --epochs 1 --output file
# The command that the end suggests can be pasted into a shell, whatever the directory is called.
"$tape" train --epochs 1 --hidden 4 --output "it's here" >out.txt
suggested=$(sed -n 's/^next  *//p' out.txt)
if [[ $tape = */emulated/* ]]; then suggested="'$tape' ${suggested#* }"; fi # the program itself does not run here
eval "$suggested" >predicted.txt || die "the suggested command fails: $(grep '^next' out.txt)"
if [ -e /dev/full ] && "$tape" --version >/dev/full 2>err.txt; then die "a full standard output went unnoticed"; fi
# A full disk while saving: one line, and the model that was there is still there.
cp -r run0 full
got=0
(ulimit -f 16 && "$tape" train --epochs 1 --output full >out.txt 2>err.txt) || got=$?
[ "$got" = 1 ] || die "status $got, not 1, on a full disk"
[ "$(wc -l <err.txt)" = 1 ] || die "not one line on a full disk: $(cat err.txt)"
cmp run0/model.safetensors full/model.safetensors
[ "$(ls -A full)" = "$(ls -A run0)" ] || die "left on a full disk: $(ls -A full)"
# A trace: an event for each derivative of a small training; a place where none can be written is no success.
TAPE_PROFILE=trace.json "$tape" train --epochs 1 --hidden none --output traced >/dev/null
[ "$(grep -c '"name":"cross_entropy","cat":"backward"' trace.json)" -ge 45 ] || die "too few derivatives in the trace"
[ "$(tail -n 1 trace.json)" = ']' ] || die "the trace does not end"
said 1 'missing/trace.json: No such file' env TAPE_PROFILE=missing/trace.json "$tape" train --epochs 1 --output traced
