#!/bin/bash
# A tiny Gemma 3 from nothing: phantoms' reports and a plain file, a tokenizer, some steps, the folder that comes out and
# a run that goes on from it; interrupted and resumed it ends the same.
set -u
folder=$(mktemp -d "${TMPDIR:-/tmp}/carina-language-train-XXXXXX")
trap 'rm -rf "$folder"' EXIT
fail() { echo "language_train.sh: $*" >&2; exit 1; }

"$CARINA" data phantom --out "$folder/films" --count 24 --size 96 --no-masks --split train=0.75,valid=0.25 >/dev/null 2>&1
printf 'No acute process.\n\nThe heart is mildly enlarged.\n' >"$folder/more.txt"
find "$folder/films/files" -name 's*.txt' -exec cat {} + >"$folder/reports.txt"
"$CARINA" tokenizer train -o "$folder/tokenizer.json" -n 400 "$folder/reports.txt" "$folder/more.txt" >/dev/null || fail tokenizer

sets="data.train.annotations=$folder/films data.validation.annotations=$folder/films"
small="tokenizer=$folder/tokenizer.json runs=$folder/runs model.width=32 model.layers=2 model.heads=2 model.key_heads=1 model.head_width=16"
small="$small model.ffn_width=48 model.window=8 model.global_every=2 data.context=32 training.steps=12 training.batch_size=4"
small="$small training.validate_every=6 training.log_every=3 training.dtype=f32 optimizer.warmup_steps=2"
configuration=$ROOT/configs/tiny-language-model.yaml
train() { "$CARINA" train "$configuration" $sets $small "$@"; }

train name=full "data.texts=[$folder/more.txt]" --quiet --threads 2 >"$folder/out" || fail "training failed"
grep -q 'finished at step 12 of 12, .*best validation token probability 0\.' "$folder/out" || fail "no end: $(cat "$folder/out")"
full=$folder/runs/full
for file in best last; do
    for part in config.json generation_config.json tokenizer.json model.safetensors; do
        [ -s "$full/$file/$part" ] || fail "no $file/$part"
    done
done
cmp -s "$full/best/tokenizer.json" "$folder/tokenizer.json" || fail "another tokenizer"
grep -q '"model_type": "gemma3_text"' "$full/best/config.json" || fail "config.json: $(cat "$full/best/config.json")"
grep -q 'training tokens' "$full/log.txt" && grep -q 'held-out tokens' "$full/log.txt" || fail "log: $(cat "$full/log.txt")"
grep -q '"validation_perplexity"' "$full/metrics.jsonl" || fail "no perplexity"

# Stopped and resumed on another number of threads: the same bits in the end.
"$CARINA" train "$full/config.yaml" name=cut --quiet --threads 1 --stop-after 7 >/dev/null || fail "cut"
"$CARINA" train "$full/config.yaml" name=cut --quiet --threads 2 --resume --tolerance 0 \
    --check-losses "$full/first_losses.txt" >"$folder/out" || fail "resumed losses: $(cat "$folder/out")"
for file in checkpoint.safetensors last/model.safetensors; do # apart from names and seconds, which the metadata has
    tail -c 4000 "$full/$file" | cmp -s - <(tail -c 4000 "$folder/runs/cut/$file") || fail "$file differs after resuming"
done

# Held-out documents that training has are left out, and that is said.
printf 'No acute process.\n\nNothing of the kind.\n' >"$folder/held.txt"
{ echo 'task: language'; echo "data: {texts: [$folder/more.txt]}"; } >"$folder/texts.yaml"
sets='' configuration=$folder/texts.yaml train name=partly "data.validation_texts=[$folder/held.txt]" training.steps=1 --quiet 2>"$folder/err" >/dev/null || fail "partly: $(cat "$folder/err")"
grep -q 'validation: 1 documents are left out, training has them as well; 1 are held out' "$folder/err" || fail "partly: $(cat "$folder/err")"

# The folder is read back: a run that begins with it goes on where it stood.
train name=more "data.texts=[$folder/more.txt]" "start=$full/last" training.steps=1 --quiet >/dev/null || fail "start"
was=$(awk 'NR == 1 { print $2 }' "$full/first_losses.txt")
is=$(awk 'NR == 1 { print $2 }' "$folder/runs/more/first_losses.txt")
awk -v a="$was" -v b="$is" 'BEGIN { exit !(b > 0 && b < a - 0.02) }' || fail "loss $is after $was: not the trained weights"

# What does not fit is said in one line, and nothing is written.
refused() { # KEY=VALUE MESSAGE [STATUS]: 2 where a word makes no sense by itself
    train name=bad "$1" --quiet >"$folder/out" 2>"$folder/err"
    [ $? -eq "${3:-1}" ] || fail "$1: accepted, or another exit status"
    [ "$(wc -l <"$folder/err")" -eq 1 ] && grep -qE "$2" "$folder/err" || fail "$1: no '$2' in $(cat "$folder/err")"
    [ ! -e "$folder/runs/bad" ] || fail "$1 left a run behind"
}
refused "tokenizer=$folder/none.json" 'tokenizer: .*none\.json'
refused model.vocabulary=300 'model\.vocabulary: 300 rows, but .*tokenizer\.json has [0-9]+ tokens'
refused model.key_heads=3 'model\.key_heads: 3 heads of keys do not divide model\.heads 2' 2
refused "data.texts=[$folder/none.txt]" 'data\.texts: .*none\.txt'
refused "start=$full" 'start: .*config\.json'
refused data.end_token=STOP 'data\.end_token: .* has no token "STOP"'
kept=$configuration was=$sets configuration=$folder/texts.yaml sets=''
refused "data.validation_texts=[$folder/more.txt]" 'data\.validation_texts: no document is held out, training has all 2 '
printf '\n \n' >"$folder/blank.txt"
refused "data.validation_texts=[$folder/blank.txt]" 'data\.validation_texts: there is no document in it'
configuration=$kept sets=$was
refused loss.labels=1 'loss\.labels' 2

# Weights near the end of what a float holds: no step is taken, and that is no result.
cp -r "$full/last" "$folder/huge" || fail copy
length=$(stat -c %s "$folder/huge/model.safetensors")
head -c 2000 /dev/zero | tr '\0' '\177' | dd of="$folder/huge/model.safetensors" bs=1 seek=$((length - 2000)) conv=notrunc 2>/dev/null
train name=nothing "start=$folder/huge" training.steps=3 training.log_every=1 --quiet >"$folder/out" 2>"$folder/err"
[ $? -eq 1 ] || fail "training that learned nothing: $(cat "$folder/out" "$folder/err")"
grep -q 'not finite in any of the 3 steps, nothing was learned' "$folder/err" || fail "nothing: $(cat "$folder/err")"
grep -q '"loss": null' "$folder/runs/nothing/metrics.jsonl" || fail "nothing: $(cat "$folder/runs/nothing/metrics.jsonl")"
[ ! -e "$folder/runs/nothing/last" ] || fail "a model of nothing"

echo "language_train.sh: ok"
