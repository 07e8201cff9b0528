#!/bin/bash
# `make text-encoder`: starts (or goes on with) the run that made models/text-small, and checks that its first losses are
# those of the committed run; tools/text_encoder.sh BUILD
#   STEPS=50  stop after that many steps (to check the start only)
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
record=models/text-small-first-losses.txt
run=runs/text-small

# Only the text counts, so the films are small. Written once, continued when interrupted.
"$build/carina" data phantom --out runs/phantoms-text --count 9000 --seed 11 --size 64 --no-masks \
    --split train=0.97,valid=0.03
resume=() limit=()
[ -f $run/checkpoint.safetensors ] && resume=(--resume)
[ -n "${STEPS:-}" ] && limit=(--stop-after "$STEPS")
# Other processors sum in another order within a product: the losses agree to rounding, not to the last bit.
"$build/carina" train configs/text-encoder.yaml "${resume[@]}" "${limit[@]}" --check-losses "$record" --tolerance 0.02
