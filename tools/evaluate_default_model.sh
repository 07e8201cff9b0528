#!/bin/bash
# Measures the default model as its card (models/apm-small.md) reports it: on 500 phantoms of a seed it never saw, as they
# are and mirrored, and on the real films with boxes marked by eye, where they are. tools/evaluate_default_model.sh BUILD
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
model=${MODEL:-models/apm-small.safetensors}
films=../shared/data/nih
mkdir -p results

"$build/carina" data phantom --out runs/phantoms-test --count 500 --seed 7001 --no-masks --split test=1
"$build/carina" eval locate --model "$model" --mirrored --own-split-only --quiet --json results/apm-small.phantoms.json \
  chest_imagenome=runs/phantoms-test | tee results/apm-small.phantoms.txt
if [ -f "$films/anatomy-boxes.json" ]; then
  "$build/carina" eval locate --model "$model" --mirrored --quiet --json results/apm-small.nih.json nih_boxes=$films |
    tee results/apm-small.nih.txt
else
  echo "skipped: shared data not found"
fi
