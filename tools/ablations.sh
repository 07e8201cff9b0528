#!/bin/bash
# The three ablations of the alignment beside the full model: trained small with equal budgets, measured on the same
# phantoms of an unseen seed. Goes on where it was interrupted; tools/ablations.sh BUILD [VARIANT...]
# What the models said of every region and film is kept in results/ablations, so that tables can be printed, and new
# figures added, without training again:
#     build/carina eval retrieval --from results/ablations/clip.retrieval.jsonl
#     build/carina eval labels --from results/ablations/clip.labels.jsonl
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
shift || true
variants=("$@")
[ ${#variants[@]} -gt 0 ] || variants=(full decoder clip vit)
out=results/ablations
mkdir -p $out

"$build/carina" data phantom --out runs/phantoms-ablations --count 16000 --seed 1 --no-masks --split train=0.96,valid=0.04
"$build/carina" data phantom --out runs/phantoms-test --count 500 --seed 7001 --no-masks --split test=1

for variant in "${variants[@]}"; do
    run=runs/ablation-$variant
    case $variant in
        full) words=() ;;
        decoder) words=(model.features=decoder) ;;
        clip) words=(alignment.loss=clip) ;;
        # About the weights and the time a step of the ResNet; patches of 16 give 256 tokens instead of 64.
        vit) words=(model.encoder=vit model.vit_width=192 model.vit_heads=3 model.vit_layers=6 model.vit_ffn_width=768) ;;
        *) echo "ablations: no variant $variant; there are full, decoder, clip, vit" >&2; exit 2 ;;
    esac
    resume=()
    [ -f "$run/checkpoint.safetensors" ] && resume=(--resume)
    "$build/carina" train configs/ablation.yaml "name=ablation-$variant" "${words[@]}" "${resume[@]}"
    model=$run/last.safetensors
    cp "$run/config.yaml" "$out/$variant.config.yaml"
    "$build/carina" index build --quiet --out "$run/sentences.sqlite" --text-encoder models/text-small --model "$model" \
        --own-split-only chest_imagenome=runs/phantoms-ablations
    "$build/carina" eval locate --quiet --model "$model" --own-split-only --json "$out/$variant.locate.json" \
        chest_imagenome=runs/phantoms-test >"$out/$variant.locate.txt"
    "$build/carina" eval retrieval --quiet --model "$model" --database "$run/sentences.sqlite" --own-split-only \
        --predictions "$out/$variant.retrieval.jsonl" --json "$out/$variant.retrieval.json" \
        chest_imagenome=runs/phantoms-test >"$out/$variant.retrieval.txt"
    "$build/carina" eval labels --quiet --model "$model" --own-split-only --predictions "$out/$variant.labels.jsonl" \
        --json "$out/$variant.labels.json" chest_imagenome=runs/phantoms-test >"$out/$variant.labels.txt"
done
