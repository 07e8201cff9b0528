#!/bin/bash
# `make text-encoder`: writes the phantoms whose text is learned from (or takes those that are there) and starts, or goes
# on with, the run of configs/text-encoder.yaml; tools/text_encoder.sh BUILD
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}

# Only the text counts, so the films are small. Written once, continued when interrupted.
"$build/carina" data phantom --out runs/phantoms-text --count 4500 --seed 11 --size 64 --no-masks \
    --split train=0.97,valid=0.03
resume=()
[ -f runs/text-small/checkpoint.safetensors ] && resume=(--resume)
"$build/carina" train configs/text-encoder.yaml "${resume[@]}"
