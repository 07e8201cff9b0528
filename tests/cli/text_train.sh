#!/bin/bash
# A text encoder from nothing: phantoms' sentences and a plain file, words, masked words, similarity; interrupted and
# resumed it ends the same.
set -u
folder=$(mktemp -d "${TMPDIR:-/tmp}/carina-text-train-XXXXXX")
trap 'rm -rf "$folder"' EXIT
fail() { echo "text_train.sh: $*" >&2; exit 1; }

"$CARINA" data phantom --out "$folder/films" --count 24 --size 96 --no-masks --split train=0.75,valid=0.25 >/dev/null 2>&1
printf 'No acute process.\nThe heart is mildly enlarged.\n' >"$folder/more.txt"
small="data.train.annotations=$folder/films data.validation.annotations=$folder/films runs=$folder/runs"
small="$small model.width=32 model.heads=2 model.layers=1 model.ffn_width=32 model.positions=32 vocabulary.size=300"
small="$small training.steps=12 similarity.from_step=6 training.batch_size=4 similarity.pairs=4 similarity.tokens=16 similarity.masked_rows=3"
small="$small training.validate_every=6 training.log_every=3 training.dtype=f32 optimizer.warmup_steps=2"

"$CARINA" train "$ROOT/configs/text-encoder.yaml" $small name=full "data.texts=[$folder/more.txt]" --quiet --threads 2 \
    >"$folder/out" || fail "training failed"
grep -q 'finished at step 12 of 12' "$folder/out" || fail "no end: $(cat "$folder/out")"
full=$folder/runs/full
for file in best last; do
    for part in config.json vocab.txt tokenizer_config.json model.safetensors; do
        [ -s "$full/$file/$part" ] || fail "no $file/$part"
    done
done
grep -q 'training sentences' "$full/log.txt" && grep -q 'hidden words guessed' "$full/log.txt" || fail "log: $(cat "$full/log.txt")"
grep -q '"similarity_loss"' "$full/metrics.jsonl" || fail "no similarity loss"

# Stopped in the first stage, and again in the second: the same bits in the end.
"$CARINA" train "$full/config.yaml" name=cut --quiet --threads 1 --stop-after 4 >/dev/null || fail "cut 1"
"$CARINA" train "$full/config.yaml" name=cut --quiet --threads 2 --resume --stop-after 5 >/dev/null || fail "cut 2"
"$CARINA" train "$full/config.yaml" name=cut --quiet --threads 1 --resume --tolerance 0 \
    --check-losses "$full/first_losses.txt" >"$folder/out" || fail "resumed losses: $(cat "$folder/out")"
for file in checkpoint.safetensors last/model.safetensors; do # apart from names and seconds, which the metadata has
    tail -c 4000 "$full/$file" | cmp -s - <(tail -c 4000 "$folder/runs/cut/$file") || fail "$file differs after resuming"
done
"$CARINA" train "$full/config.yaml" name=cut --quiet --resume >"$folder/out" || fail "resuming a finished run"
grep -q 'finished already' "$folder/out" || fail "did it again: $(cat "$folder/out")"

# What a text encoder's configuration does not have, and what does not fit, is said before anything is written.
refused() { # KEY=VALUE MESSAGE [STATUS]: a word that makes no sense by itself is a usage error
    "$CARINA" train "$ROOT/configs/text-encoder.yaml" $small name=bad "$1" --quiet >"$folder/out" 2>"$folder/err"
    [ $? -eq "${3:-2}" ] || fail "$1: accepted, or another exit status"
    [ "$(wc -l <"$folder/err")" -eq 1 ] && grep -qE "$2" "$folder/err" || fail "$1: no '$2' in $(cat "$folder/err")"
    [ ! -e "$folder/runs/bad" ] || fail "$1 left a run behind"
}
refused vocabulary.siz=300 'vocabulary\.siz.*vocabulary\.size'
refused similarity.par=4 'similarity\.par.*similarity\.pairs'
refused loss.labels=1 'loss\.labels'
refused model.image_size=64 'model\.image_size'
refused model.heads=5 'command line: model\.heads: 5 heads do not divide model\.width 32'
refused similarity.tokens=33 'command line: similarity\.tokens: 33 tokens, but model\.positions is 32'
refused masked.share=2 'masked\.share'
refused data.train.type=nih_boxes 'data\.train\.type: nih_boxes has no sentences; chest_imagenome has' 1
refused "data.texts=[$folder/none.txt]" 'data\.texts: .*none\.txt' 1

# Measured again from the saved model: the figures of the run's last validation, but for rounding to bf16.
printf '# by hand\nNo effusion.\tThe angles are clear.\tAn effusion.\n' >"$folder/triples.tsv"
"$CARINA" eval text --model "$full/best" --triples "$folder/triples.tsv" --json "$folder/eval.json" "$full/config.yaml" \
    >"$folder/out" || fail "eval text"
grep -q '^masked_accuracy ' "$folder/out" && grep -q ' of 1$' "$folder/out" || fail "eval text printed $(cat "$folder/out")"
best=$(sed -n 's/.*(best [0-9.-]* at step \([0-9]*\)).*/\1/p' "$full/log.txt" | tail -1)
was=$(sed -n "/\"step\": $best,/s/.*\"validation_masked_loss\": \([0-9.]*\).*/\1/p" "$full/metrics.jsonl")
is=$(sed -n 's/.*"masked_loss": \([0-9.]*\).*/\1/p' "$folder/eval.json")
awk -v a="$was" -v b="$is" 'BEGIN { exit !(a > 0 && b > a * 0.99 && b < a * 1.01) }' || fail "masked loss $is, was $was"
"$CARINA" eval text --model "$full/best" "$full/config.yaml" vocabulary.size=280 2>"$folder/error" >&2 && fail "other words"
grep -q 'vocab.txt: not the vocabulary' "$folder/error" || fail "other words: $(cat "$folder/error")"
printf 'one\ttwo\n' >"$folder/triples.tsv"
"$CARINA" eval text --model "$full/best" --triples "$folder/triples.tsv" "$full/config.yaml" 2>"$folder/error" >&2 &&
    fail "half a triple"
grep -q 'triples.tsv: line 1: three sentences' "$folder/error" || fail "half a triple: $(cat "$folder/error")"

echo "text_train.sh: ok"
