#!/bin/bash
# Measures the default model as its card (models/apm-small.md) reports it: boxes, retrieved sentences and image labels on 500
# phantoms of a seed it never saw; boxes, labels and lung opacity on the real films, where they are.
# tools/evaluate_default_model.sh BUILD; MODEL=FILE.safetensors measures another one (its database beside it).
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
model=${MODEL:-models/apm-small.safetensors}
name=$(basename "$model" .safetensors)
database=${model%.safetensors}.sentences.sqlite
films=../shared/data/nih
test_set=chest_imagenome=runs/phantoms-test
mkdir -p results

figures() { # WHAT COMMAND...: the table on screen and in results/, the figures in JSON beside it
    local what=$1
    shift
    "$build/carina" "$@" --quiet --json "results/$name.$what.json" | tee "results/$name.$what.txt"
}

"$build/carina" data phantom --out runs/phantoms-test --count 500 --seed 7001 --no-masks --split test=1
figures phantoms eval locate --model "$model" --mirrored --own-split-only $test_set
figures labels eval labels --model "$model" --own-split-only $test_set
if [ -f "$database" ]; then
    figures retrieval eval retrieval --model "$model" --database "$database" --own-split-only $test_set
fi
if [ -f "$films/anatomy-boxes.json" ]; then
    figures nih eval locate --model "$model" --mirrored nih_boxes=$films
    figures nih-labels eval labels --model "$model" nih_films=$films
    if [ -f "$database" ]; then
        figures nih-opacity eval opacity --model "$model" --database "$database" nih_films=$films
    fi
else
    echo "skipped: shared data not found"
fi
