#!/bin/bash
# The whole way: phantoms, training with configs/smoke.yaml (the loss falls; interrupted and resumed it ends the same),
# the model that comes out, its evaluation.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "train.sh: $*" >&2; exit 1; }

"$CARINA" data phantom --out "$folder/films" --count 16 --size 128 --no-masks --split train=0.75,valid=0.25 >/dev/null 2>&1
films="data.train.annotations=$folder/films data.validation.annotations=$folder/films runs=$folder/runs"

"$CARINA" train "$ROOT/configs/smoke.yaml" $films --quiet >"$folder/out"
grep -q 'finished at step 20 of 20' "$folder/out" || fail "did not finish: $(cat "$folder/out")"
for file in config.yaml metrics.jsonl log.txt first_losses.txt checkpoint.safetensors best.safetensors \
    last.safetensors events.out.tfevents.carina; do
    [ -s "$folder/runs/smoke/$file" ] || fail "no $file"
done
awk 'NR <= 3 { first += $2 } NR > 17 { last += $2 } END { exit !(NR == 20 && last < 0.85 * first) }' \
    "$folder/runs/smoke/first_losses.txt" || fail "the loss does not fall: $(tr '\n' ' ' <"$folder/runs/smoke/first_losses.txt")"

# The written configuration is complete: it starts the same run.
"$CARINA" train "$folder/runs/smoke/config.yaml" name=cut --quiet --threads 1 --stop-after 7 >/dev/null
"$CARINA" train "$folder/runs/smoke/config.yaml" name=cut --quiet --resume --tolerance 0 \
    --check-losses "$folder/runs/smoke/first_losses.txt" >"$folder/out" || fail "resumed run differs"
grep -q '20 losses.*identical' "$folder/out" || fail "not identical: $(cat "$folder/out")"

sed 's/ 7\./ 8./' "$folder/runs/smoke/first_losses.txt" >"$folder/others.txt"
! "$CARINA" train "$folder/runs/smoke/config.yaml" name=cut --quiet --resume --json --check-losses "$folder/others.txt" \
    >"$folder/json" 2>"$folder/err" || fail "other losses are accepted"
grep -q '"first_losses": {"file": ".*others.txt", "count": 20, "relative_difference": 0.1' "$folder/json" &&
    grep -q 'losses differ by 0.1.*, more than the 0.01 accepted' "$folder/err" || fail "other losses: $(cat "$folder/json" "$folder/err")"

# What holds no losses is said before the work, and models without their checkpoint are not written over.
echo hello >"$folder/none.txt"
! "$CARINA" train "$folder/runs/smoke/config.yaml" name=hours training.steps=1000000 --check-losses "$folder/none.txt" 2>"$folder/err" ||
    fail "a file without losses"
[ ! -e "$folder/runs/hours" ] && [ "$(wc -l <"$folder/err")" -eq 1 ] || fail "a file without losses: $(cat "$folder/err")"
cp -r "$folder/runs/smoke" "$folder/runs/lone"
rm "$folder/runs/lone/checkpoint.safetensors"
! "$CARINA" train "$folder/runs/smoke/config.yaml" name=lone --quiet --stop-after 1 2>"$folder/err" || fail "a model is overwritten"
grep -q "lone/last.safetensors: a finished run's model, without its checkpoint; begin anew with --overwrite" "$folder/err" &&
    cmp -s "$folder/runs/lone/best.safetensors" "$folder/runs/smoke/best.safetensors" || fail "a model is overwritten: $(cat "$folder/err")"

# A checkpoint is no model, and is not taken for a foreign one.
! "$CARINA" model import "$folder/runs/smoke/checkpoint.safetensors" --out "$folder/model.safetensors" 2>"$folder/err" ||
    fail "a checkpoint is imported"
grep -q 'format carina-checkpoint-1 is no model; those of a run are best.safetensors' "$folder/err" || fail "import: $(cat "$folder/err")"

# Another network is not resumed, though its weights fit.
! "$CARINA" train "$folder/runs/smoke/config.yaml" name=cut --quiet --resume model.resnet_fine=true 2>"$folder/err" ||
    fail "resumed with another network"
grep -q 'cut/checkpoint.safetensors: made with model.resnet_fine: false, which is true now' "$folder/err" ||
    fail "no reason: $(cat "$folder/err")"

# What else is something else is said in one line each, and logged; what no result depends on is not.
batch=$(sed -n 's/^  batch_size: //p' "$folder/runs/cut/config.yaml")
! "$CARINA" train "$folder/runs/smoke/config.yaml" name=cut --quiet --resume training.batch_size=1 2>"$folder/err" ||
    fail "resumed with other batches"
grep -q "cut/checkpoint.safetensors: made with training.batch_size: $batch, which is 1 now; restore it" "$folder/err" ||
    fail "no reason: $(cat "$folder/err")"
"$CARINA" train "$folder/runs/smoke/config.yaml" name=cut --quiet --resume training.steps=21 optimizer.rate=0.00025 \
    training.save_every=3 >/dev/null 2>"$folder/err" || fail "not resumed: $(cat "$folder/err")"
[ "$(wc -l <"$folder/err")" -eq 2 ] || fail "not two lines: $(cat "$folder/err")"
for line in 'resumed with training.steps 21, was 20' 'resumed with optimizer.rate 0.00025, was '; do
    grep -q "^carina: $line" "$folder/err" && grep -q "Z $line" "$folder/runs/cut/log.txt" || fail "no '$line': $(cat "$folder/err")"
done

# What a run began with may be gone when it is resumed.
cp "$folder/runs/smoke/best.safetensors" "$folder/start.safetensors"
"$CARINA" train "$folder/runs/smoke/config.yaml" name=started start="$folder/start.safetensors" --quiet --stop-after 1 >/dev/null
rm "$folder/start.safetensors"
"$CARINA" train "$folder/runs/started/config.yaml" --quiet --resume --stop-after 1 >/dev/null || fail "not resumed without its start"

# Keys without effect are refused where they are set, and are not in what a run writes.
! grep -qE 'vit_|tau' "$folder/runs/smoke/config.yaml" || fail "config.yaml has keys without effect"
for word in model.vit_width=48 alignment.tau=0.5; do
    status=0
    "$CARINA" train "$ROOT/configs/smoke.yaml" $films name=bad $word 2>"$folder/err" || status=$?
    [ $status -eq 2 ] || fail "$word: not a usage error"
    grep -q "^carina: command line: ${word%=*}: has no effect: " "$folder/err" && [ "$(wc -l <"$folder/err")" -eq 1 ] ||
        fail "$word: $(cat "$folder/err")"
done

# While one process trains, another that is given the same folder leaves it alone.
"$CARINA" train "$ROOT/configs/smoke.yaml" $films name=shared training.steps=100000 --quiet >/dev/null 2>&1 &
first=$!
for ((i = 0; i < 600; i++)); do [ -s "$folder/runs/shared/config.yaml" ] && break; sleep 0.1; done
for how in --resume --overwrite ""; do
    ! "$CARINA" train "$ROOT/configs/smoke.yaml" $films name=shared --quiet $how 2>"$folder/err" || fail "two runs in one folder"
    grep -q "^carina: $folder/runs/shared: another process is at work in this folder" "$folder/err" ||
        fail "no reason: $(cat "$folder/err")"
done
kill -INT "$first"
wait "$first" && fail "an interrupted run reports success"
"$CARINA" train "$folder/runs/shared/config.yaml" --quiet --resume --stop-after 1 >/dev/null || fail "the lock outlives its run"

# A finished run says so; one that cannot begin leaves nothing behind, and says where films come from.
"$CARINA" train "$ROOT/configs/smoke.yaml" $films --quiet --resume >"$folder/out" || fail "resuming a finished run failed"
grep -qE '^finished already at step 20 of 20, best validation IoU 0\.[0-9]+ at step [0-9]+$' "$folder/out" ||
    fail "finished run: $(cat "$folder/out")"
"$CARINA" train "$ROOT/configs/smoke.yaml" $films --quiet --resume --json >"$folder/json" || fail "no JSON"
for field in '"state": "finished already"' '"step": 20' '"steps": 20' '"loss": null' '"score": "IoU"' '"best": 0.' '"monitor": null'; do
    grep -q "$field" "$folder/json" || fail "no $field: $(cat "$folder/json")"
done
! "$CARINA" train "$ROOT/configs/smoke.yaml" name=none runs="$folder/none" data.train.annotations="$folder/gone" 2>"$folder/err" ||
    fail "trained on nothing"
grep -q "smoke.yaml: data.train: $folder/gone: no such folder.*carina data phantom --out $folder/gone" "$folder/err" ||
    fail "no hint: $(cat "$folder/err")"
[ ! -e "$folder/none" ] || fail "an empty run was left: $(find "$folder/none")"

"$CARINA" model info "$folder/runs/smoke/best.safetensors" --json >"$folder/info"
grep -q '"region_count": 36' "$folder/info" || fail "model info"
"$CARINA" model import "$folder/runs/smoke/best.safetensors" --dtype bf16 --out "$folder/small.safetensors" >/dev/null
"$CARINA" eval locate --model "$folder/small.safetensors" --split valid --own-split-only --mirrored --resamples 20 \
    --quiet --json "$folder/eval.json" "chest_imagenome=$folder/films" >"$folder/table"
grep -q '^right lung ' "$folder/table" || fail "no table"
grep -q 'mirrored films' "$folder/table" || fail "no mirrored films"
grep -q '"name": "lung (both sides)"' "$folder/eval.json" || fail "no JSON"

# What is wrong is said in one line, and nothing is left half-written.
! "$CARINA" train "$ROOT/configs/smoke.yaml" $films --resume --overwrite 2>"$folder/err" || fail "contradiction accepted"
grep -q 'contradict' "$folder/err" || fail "no reason: $(cat "$folder/err")"
! "$CARINA" train "$ROOT/configs/smoke.yaml" $films name=bad trainin.steps=3 2>"$folder/err" || fail "unknown key accepted"
grep -q 'training.steps' "$folder/err" || fail "no nearest key: $(cat "$folder/err")"
! "$CARINA" model import "$ROOT/configs/smoke.yaml" --out "$folder/x.safetensors" 2>"$folder/err" || fail "YAML imported"
[ "$(wc -l <"$folder/err")" = 1 ] && [ ! -e "$folder/x.safetensors" ] || fail "import left something"
