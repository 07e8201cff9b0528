#!/bin/bash
# `make tiny-language-model`: writes the phantoms whose reports are learned from and a tokenizer of the training ones (or
# takes what is there), and starts, or goes on with, the run of configs/tiny-language-model.yaml;
# tools/tiny_language_model.sh BUILD
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
films=runs/phantoms-language
tokenizer=runs/tokenizer-tiny.json

# Only the text counts, so the films are small. Written once, continued when interrupted.
"$build/carina" data phantom --out $films --count 2400 --seed 21 --size 64 --no-masks --split train=0.95,valid=0.05

# Held-out reports are new to the tokenizer, too.
if [ ! -f $tokenizer ]; then
    reports=$(mktemp)
    trap 'rm -f "$reports"' EXIT
    awk -F, -v films=$films 'NR > 1 { print films "/files/p" substr($2, 1, 2) "/p" $2 "/s" $3 ".txt" }' \
        $films/silver_dataset/splits/train.csv | xargs cat >"$reports"
    "$build/carina" tokenizer train --out $tokenizer --vocabulary-size 2048 "$reports"
fi
resume=()
[ -f runs/language-tiny/checkpoint.safetensors ] && resume=(--resume)
"$build/carina" train configs/tiny-language-model.yaml "${resume[@]}"
