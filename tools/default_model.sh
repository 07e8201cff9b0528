#!/bin/bash
# `make default-model`: starts (or goes on with) the run that made the shipped model, in its seven stages, and checks that
# its first losses are those of the committed run; tools/default_model.sh BUILD
#   STEPS=50  stop after that many steps of the first stage (to check the start only), which needs the first 5,000 films
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
record=models/default-model-first-losses.txt

# The training films are a function of seed and index: written once, continued when interrupted. A set that has more than
# the first stage needs is not cut.
films=32000
if [ -n "${STEPS:-}" ]; then
    films=$(find runs/phantoms/silver_dataset/scene_graph -name '*.json' 2> /dev/null | wc -l) || true
    [ "$films" -gt 5000 ] || films=5000
fi
"$build/carina" data phantom --out runs/phantoms --count "$films" --seed 1 --no-masks --split train=0.96,valid=0.04

stage() { # CONFIG RUN
    local resume=() limit=()
    [ -f "$2/checkpoint.safetensors" ] && resume=(--resume)
    [ -n "${STEPS:-}" ] && limit=(--stop-after "$STEPS")
    "$build/carina" train "$1" "${resume[@]}" "${limit[@]}"
}
run=runs/default-model-coarse
stage configs/default-model-coarse.yaml $run

# Other processors sum in another order within a product: the losses agree to rounding, not to the last bit.
paste -d ' ' "$record" "$run/first_losses.txt" | awk '
    NF >= 4 && $1 == $3 {
        scale = ($2 > $4 ? $2 : $4); difference = ($2 > $4 ? $2 - $4 : $4 - $2) / (scale > 0 ? scale : 1)
        if (difference > worst) worst = difference
        count++
    }
    END {
        if (!count) { print "default_model: no losses to compare"; exit 1 }
        printf "default_model: %d first losses, largest relative difference %.2g\n", count, worst
        exit worst > 0.02
    }'
[ -z "${STEPS:-}" ] || exit 0
stage configs/default-model-fine.yaml runs/default-model-fine
stage configs/default-model.yaml runs/default-model
stage configs/default-model-joint.yaml runs/default-model-joint
stage configs/default-model-findings.yaml runs/default-model-findings
stage configs/default-model-detail.yaml runs/default-model-detail
"$build/carina" data phantom --out runs/phantoms-masks --count 24000 --seed 1 --start 32000 --split train=1
stage configs/default-model-masks.yaml runs/default-model-masks

# What is shipped: bf16 weights, the sentences that regions are matched with, and the
# calibration of both.
out=runs/default-model-masks/apm-small
"$build/carina" model import runs/default-model-masks/best.safetensors --dtype bf16 --out $out.plain.safetensors
"$build/carina" index build --quiet --model $out.plain.safetensors --text-encoder models/text-small --own-split-only \
    --out $out.sentences.sqlite chest_imagenome=runs/phantoms
"$build/carina" eval calibrate --quiet --model $out.plain.safetensors --database $out.sentences.sqlite --own-split-only \
    --out $out.safetensors chest_imagenome=runs/phantoms
