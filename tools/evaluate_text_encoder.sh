#!/bin/bash
# Measures what `make text-encoder` makes: on sentences of 1,500 phantoms of a seed it never saw, without those
# that its training films have, and on triples of sentences; tools/evaluate_text_encoder.sh BUILD
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
model=${MODEL:-runs/text-small/best}
mkdir -p results

"$build/carina" data phantom --out runs/phantoms-text --count 4500 --seed 11 --size 64 --no-masks \
    --split train=0.97,valid=0.03
"$build/carina" data phantom --out runs/phantoms-text-test --count 1500 --seed 7001 --size 64 --no-masks --split test=1
"$build/carina" eval text --model "$model" --triples tests/data/text_triples.tsv --json results/text-small.json \
    configs/text-encoder.yaml data.validation.annotations=runs/phantoms-text-test data.validation.split=test |
    tee results/text-small.txt
