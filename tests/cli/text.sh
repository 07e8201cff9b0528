#!/bin/bash
# carina text: ids as the fixture has them, vectors for any number of threads, and what is said of input that does not fit.
. "$ROOT/tests/cli/check.bash"
model=$ROOT/tests/data/bert

feed() { local input=$1; shift; "$@" <"$input"; }
printf 'The left lower LUNG zone is healthy.\nright lung\r\n\nCafé shows opacity [MASK]\nno end' >lines.txt
ids=$("$CARINA" text tokenize -m "$model" <lines.txt)
[ "$(wc -l <<<"$ids")" -eq 5 ] || fail "five lines give $(wc -l <<<"$ids")"
[ "$(sed -n 3p <<<"$ids")" = "2 3" ] || fail "an empty line is $(sed -n 3p <<<"$ids")"
[ "$(sed -n 2p <<<"$ids" | wc -w)" -eq 4 ] || fail "right lung is $(sed -n 2p <<<"$ids")"
"$CARINA" text tokenize -m "$model" --json <lines.txt | sed -n 2p | grep -q '"tokens": \["\[CLS\]", "right", "lung", "\[SEP\]"\]' || fail "tokens as JSON"
[ "$("$CARINA" text tokenize -m "$model" --max-tokens 3 <lines.txt | sed -n 1p | wc -w)" -eq 3 ] || fail "--max-tokens"

"$CARINA" text encode -m "$model" -o one.npy --threads 1 <lines.txt 2>/dev/null || fail "encode"
"$CARINA" text encode -m "$model" -o two.npy --pooled --threads 2 <lines.txt 2>/dev/null || fail "encode, 2 threads"
cmp one.npy two.npy || fail "vectors depend on the number of threads"
[ "$(stat -c %s one.npy)" -eq $((128 + 5 * 32 * 4)) ] || fail "one.npy is not [5,32] f32"
"$CARINA" text encode -m "$model" -o projected.npy --projected --dtype bf16 <lines.txt 2>/dev/null || fail "bf16, projected"
[ "$(stat -c %s projected.npy)" -eq $((128 + 5 * 16 * 4)) ] || fail "projected.npy is not [5,16] f32"
[ "$("$CARINA" text encode -m "$model" --json --projected <lines.txt | grep -c '^{"text": .*"embedding": \[-\?[0-9]')" -eq 5 ] || fail "JSON"
"$CARINA" text encode -m "$model" -o none.npy </dev/null 2>/dev/null || fail "no lines"
[ "$(stat -c %s none.npy)" -eq 128 ] || fail "none.npy is not [0,32]"
for line in 1 3 5; do # what lies beside a line changes nothing in its vector
    sed -n ${line}p lines.txt | "$CARINA" text encode -m "$model" -o alone.npy 2>/dev/null || fail "encode line $line"
    cmp -s <(tail -c 128 alone.npy) <(tail -c +$((129 + (line - 1) * 128)) one.npy | head -c 128) || fail "line $line alone is another vector"
done
printf 'a\0b \xff\xfe lung\n' | "$CARINA" text tokenize -m "$model" | grep -qE '^2( [0-9]+)+ 3$' || fail "any bytes"
yes lung | head -40 | tr '\n' ' ' >long.txt
expect 0 '' 'warning: 1 of 1 lines were cut at 24 tokens' feed long.txt "$CARINA" text encode -m "$model" -o cut.npy

# By name, as models are.
export CARINA_MODELS="$ROOT/tests/data"
"$CARINA" text encode -m bert -o named.npy <lines.txt 2>/dev/null && cmp one.npy named.npy || fail "an encoder by its name"
[ "$("$CARINA" text tokenize -m bert <lines.txt)" = "$ids" ] || fail "words by their encoder's name"
expect 1 - "no text encoder 'bertie' in $ROOT/tests/data, .*CARINA_MODELS" "$CARINA" text encode -m bertie --json
unset CARINA_MODELS

expect 2 - 'model is required' "$CARINA" text encode --json
expect 2 - 'model is required' "$CARINA" text tokenize
expect 2 - 'where to' "$CARINA" text encode -m "$model"
expect 2 - 'not both' "$CARINA" text encode -m "$model" --json --pooled --projected
expect 1 - 'vocab.txt' "$CARINA" text tokenize -m "$work"
expect 1 - 'config.json' "$CARINA" text encode -m "$ROOT/tests/data/text" --json
expect 1 - 'no tensor project_head.proj.0.weight' "$CARINA" text encode -m "$model" --json --projected --projector "$ROOT/tests/data/apm/frozen_resnet50/weights.safetensors"
mkdir cut && cp "$model"/{config.json,vocab.txt} cut && head -c 20000 "$model/model.safetensors" >cut/model.safetensors
expect 1 - 'cut/model.safetensors' "$CARINA" text encode -m cut --json
head -c 2000000 /dev/zero >zeros
expect 1 - 'line 1 has more than 1048576 bytes' feed zeros "$CARINA" text tokenize -m "$model"
expect 1 - 'line 1 has more than 1048576 bytes' feed zeros "$CARINA" text encode -m "$model" -o zeros.npy
[ ! -e zeros.npy ] || fail "left something behind"
expect 0 'carina text encode -m' - "$CARINA" text encode --help
finish
