#!/bin/bash
# What a command may write over: no file that it reads, none of another kind, no file twice; said before the work is
# done, as is that a file cannot be written. A file that may not grow is an error like others, and leaves nothing.
set -u
. "$ROOT/tests/cli/check.bash"
"$(dirname "$CARINA")/tests/make_model" tiny.safetensors || fail "no model"
# A random model orders films by chance: on these some labels can be fitted, on those of another seed there may be none.
"$CARINA" data phantom --count 24 --seed 3 --size 64 --no-masks --out set --split train=0.4,valid=0.3,test=0.3 \
    > /dev/null 2>&1 || fail "no films"
bert=$ROOT/tests/data/bert
model="-m ./tiny.safetensors"
set=chest_imagenome=set
locate="$CARINA eval locate -q --resamples 0 $model"
labels="$CARINA eval labels -q --resamples 0 $model"
calibrate="$CARINA eval calibrate -q --resamples 0 $model --least 1"
build="$CARINA index build -q $model --text-encoder $bert"
expect 0 'sentences' '' $build -o set.db $set
retrieval="$CARINA eval retrieval -q --resamples 0 $model -d set.db --own-split-only"
expect 0 '' '' $labels --predictions kept.jsonl --json figures.json $set
echo 'Left lung is healthy.' > text
expect 0 '' '' bash -c '"$0" text encode -m "$1" -o vectors.npy < text' "$CARINA" "$bert"
scene=$(find set -name '*_SceneGraph.json' | head -n 1)
mkdir folder && cp tiny.safetensors folder/other.safetensors
cp -r . ../"$(basename "$work")-kept" && kept=$(cd ../"$(basename "$work")-kept" && pwd)
trap 'rm -rf "$work" "$kept"' EXIT

# refused MESSAGE COMMAND...: status 1, one line, and every file is as it was.
refused() {
    local message=$1
    shift
    expect 1 - "$message" "$@"
    [ "$(wc -l < expect.err)" -eq 1 ] || fail "not one line: $*: $(cat expect.err)"
    rm -f expect.out expect.err
    (cd "$kept" && rm -f expect.out expect.err)
    diff -r . "$kept" > ../difference-$$ || fail "something was written: $*: $(head -n 3 ../difference-$$)"
    rm -f ../difference-$$
}

# ---- of another kind
for file in tiny.safetensors set.db vectors.npy text; do
    refused "^carina: $file: exists and is no JSON file; give another --json\$" $locate --json $file $set
    refused "$file: exists and is no JSON file; give another --predictions" $labels --predictions $file $set
    refused "$file: exists and is no JSON file" $retrieval --json $file $set
done
refused 'set.db: exists and is no JSON file' $calibrate -o new.safetensors --json set.db $set
refused 'figures.json: exists and is no model file of Carina; give another --out' $calibrate -o figures.json $set
refused 'figures.json: exists and is no model file of Carina' "$CARINA" model import tiny.safetensors -o figures.json
refused 'tiny.safetensors: exists and is no .npy file' "$CARINA" text encode -m "$bert" -o tiny.safetensors
refused 'vectors.npy: exists and is no sentence database' $build -o vectors.npy $set
head -c 100 set.db | head -c 68 > other.db && head -c 4000 /dev/zero >> other.db && cp other.db "$kept"
refused 'other.db: exists and is no sentence database' $build -o other.db $set

# ---- read by the command
refused 'kept.jsonl: is read by this command; give another --json' "$CARINA" eval labels --from kept.jsonl --json kept.jsonl
ln -s kept.jsonl link.jsonl && cp -P link.jsonl "$kept"
refused 'link.jsonl: is read by this command' "$CARINA" eval labels --from ./kept.jsonl --json link.jsonl
refused "$scene: exists in set, which this command reads; give another --json" $locate --json "$scene" $set
refused "$scene: exists in set, " $locate --json "$scene" --constant $set nih_boxes=nowhere
refused 'tiny.safetensors: is read by this command; give another --out' "$CARINA" model import tiny.safetensors -o tiny.safetensors
refused 'set.db: exists in ., which this command reads' $build --images . -o set.db $set

# ---- one file for two outputs
refused 'twice.json: --predictions and --json are one file; give two' $labels --predictions twice.json --json ./twice.json $set
refused 'twice.safetensors: --out and --json are one file' $calibrate -o twice.safetensors --json folder/../twice.safetensors $set
refused 'twice.json: --predictions and --json are one file' $retrieval --predictions twice.json --json twice.json $set

# ---- a training checkpoint is no model; figures are written over figures, a calibrated model over itself
expect 0 '' '' "$CARINA" train "$ROOT/configs/smoke.yaml" -q runs=runs data.train.annotations=set data.validation.annotations=set \
    training.steps=1 training.batch_size=2 model.image_size=64
checkpoint=runs/smoke/checkpoint.safetensors
cp $checkpoint before.safetensors
expect 1 - 'checkpoint.safetensors: exists and is no model file of Carina' $calibrate -o $checkpoint $set
expect 1 - 'checkpoint.safetensors: exists and is no JSON file' $locate --json $checkpoint $set
cmp -s $checkpoint before.safetensors || fail "the checkpoint was written over"
expect 0 '' '' $labels --predictions kept.jsonl --json figures.json $set
: > empty.json
expect 0 '' '' $locate --json empty.json $set
[ -s empty.json ] || fail "an empty file is not replaced"
expect 0 '' '' $build -o set.db $set
cp tiny.safetensors again.safetensors
expect 0 '' '' "$CARINA" eval calibrate -q --resamples 0 -m ./again.safetensors --least 1 -o again.safetensors --split all --allow-split all $set
expect 1 - 'smoke.yaml: start: runs/smoke/last.safetensors is a file of this run' "$CARINA" train "$ROOT/configs/smoke.yaml" \
    runs=runs data.train.annotations=set data.validation.annotations=set start=runs/smoke/last.safetensors --overwrite
[ -s runs/smoke/last.safetensors ] || fail "a run removed what it begins with"
expect 1 - 'first_losses.txt: is written by this run itself' "$CARINA" train "$ROOT/configs/smoke.yaml" runs=runs \
    data.train.annotations=set data.validation.annotations=set --overwrite --check-losses runs/smoke/first_losses.txt

# ---- what cannot be written is found out before the work: the films are not even looked for
missing=chest_imagenome=missing
for target in nowhere/x folder; do
    expect 1 - "$target: cannot write" $locate --json $target $missing
    expect 1 - "$target: cannot write" $labels --json $target $missing
    expect 1 - "$target: cannot write" $labels --predictions $target $missing
    expect 1 - "$target: cannot write" $calibrate -o $target $missing
    expect 1 - "$target: cannot write" $calibrate -o new.safetensors --json $target $missing
    expect 1 - "$target: cannot write" $retrieval --json $target $missing
    expect 1 - "$target: cannot write" $build -o $target $missing
    expect 1 - "$target: cannot write" "$CARINA" text encode -m missing -o $target
    expect 1 - "$target: cannot write" "$CARINA" model import missing -o $target
done
expect 1 - 'text: a file, where a folder should be' "$CARINA" tensor apm -w missing -i missing -o text
expect 1 - 'smoke.yaml: runs: text/runs/smoke: cannot make folder: Not a directory' "$CARINA" train "$ROOT/configs/smoke.yaml" runs=text/runs \
    data.train.annotations=missing
if [ "$(id -u)" -ne 0 ]; then
    mkdir closed && chmod a-w closed
    expect 1 - 'closed/x: cannot write: Permission denied' $locate --json closed/x $missing
    expect 1 - 'runs: closed/smoke: cannot write into folder closed: Permission denied' "$CARINA" train "$ROOT/configs/smoke.yaml" \
        runs=closed data.train.annotations=missing
fi

# ---- a file that may not grow: no signal, one line, nothing left
limited() { (ulimit -f "$1" && shift && exec "$@"); }
for ((i = 0; i < 400; i++)); do echo "Left lung is healthy."; done > text
expect 1 - '^carina: .*/?big.npy: cannot write .*: File too large$' limited 8 bash -c '"$0" text encode -m "$1" -o big.npy < text' "$CARINA" "$bert"
expect 1 - 'big.safetensors: cannot write .*: File too large$' limited 8 "$CARINA" model import tiny.safetensors -o big.safetensors
expect 1 - 'big.db: .*([Ff]ile too large|disk I/O error|full)' limited 8 $build -o big.db $set
expect 1 - 'File too large$' limited 8 "$CARINA" train "$ROOT/configs/smoke.yaml" -q runs=runs name=big data.train.annotations=set \
    data.validation.annotations=set training.steps=1 training.batch_size=2 model.image_size=64
expect 1 '' 'cannot write standard output: File too large' limited 1 "$CARINA" help --man
[ -z "$(find . -name '*big*' -type f; find . -name '*tmp-*')" ] || fail "left: $(find . -name '*big*' -type f; find . -name '*tmp-*')"

# ---- a reader that goes away: no message, and nothing left
bash -c 'sleep 0.3; "$0" help --man 2> said.txt; echo $? > status.txt' "$CARINA" | true
[ "$(cat status.txt)" -eq 141 ] && [ ! -s said.txt ] || fail "a reader that went away: $(cat status.txt said.txt)"
finish
