#!/bin/bash
# `make demo`: finds the regions on the bundled films with the bundled model; tools/demo.sh BUILD
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
out=$build/demo
mkdir -p "$out"

echo "Bundled films (synthetic, no patient's): $(ls demo/films | tr '\n' ' ')"
echo
started=$(date +%s%N)
"$build/carina" locate demo/films
"$build/carina" locate demo/films --json --overlay "$out" > "$out/regions.json"
seconds=$(awk -v ns=$(($(date +%s%N) - started)) 'BEGIN { printf "%.1f", ns / 1e9 }')
echo
echo "JSON      $out/regions.json (one object a film)"
echo "pictures  $(ls -d "$out"/*.png | tr '\n' ' ')"
echo
echo "Took $seconds s. Your own films: $build/carina locate FILE...   (--help says more)"
echo "Research software, not a medical device."
