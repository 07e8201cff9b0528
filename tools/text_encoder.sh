#!/bin/bash
# `make text-encoder`: writes the training phantoms (or takes those that are there) and starts, or goes on with, the run
# of configs/text-encoder.yaml; tools/text_encoder.sh BUILD
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
"$build/carina" data phantom --out runs/phantoms --count 5000 --seed 1 --no-masks --split train=0.96,valid=0.04
resume=()
[ -f runs/text-small/checkpoint.safetensors ] && resume=(--resume)
"$build/carina" train configs/text-encoder.yaml "${resume[@]}"
