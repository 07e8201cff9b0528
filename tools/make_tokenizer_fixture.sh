#!/bin/bash
# Makes tests/data/tokenizer: small tokenizers by our own trainer, and what Hugging Face's library makes of texts with
# them. Needs node and npm.
#
#   tools/make_tokenizer_fixture.sh [BUILD]
set -eu
cd "$(dirname "$0")/.."
build=$(realpath "${1:-build}")
modules=$build/npm
reference=tools/tokenizer_reference.mjs
out=tests/data/tokenizer
mkdir -p "$modules" "$out"
[ -d "$modules/node_modules/tokenizers" ] || npm install --silent --no-audit --no-fund --prefix "$modules" tokenizers@0.23.2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
node $reference corpus 3000 >"$work/corpus.txt"
"$build/carina" tokenizer train -n 900 --alphabet 300 -o $out/gemma.json "$work/corpus.txt"
for variant in llama split lost; do node $reference variant $variant $out/gemma.json >$out/$variant.json; done
for name in gemma llama split lost; do node $reference fixture "$modules" $out/$name.json 150 >$out/$name.cases.json; done
ls -l $out
