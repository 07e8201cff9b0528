#!/bin/bash
# carina tensor: the raw network on a fixture's numbers, f32 and bf16, and what it says of input that does not fit.
set -u
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
data=$ROOT/tests/data/apm/frozen_resnet50
fail() { echo "FAILED: $*"; exit 1; }

"$CARINA" tensor apm --weights "$data/weights.safetensors" --input "$data/input.safetensors" --out "$out/one" --threads 1 || fail "apm"
"$CARINA" tensor apm --weights "$data/weights.safetensors" --input "$data/input.safetensors" --out "$out/two" --threads 2 || fail "apm, 2 threads"
for name in boxes region_features image_logits cls patch_features; do
  cmp "$out/one/$name.npy" "$out/two/$name.npy" || fail "$name depends on the number of threads"
done
[ "$(stat -c %s "$out/one/boxes.npy")" -eq $((128 + 2 * 36 * 4 * 4)) ] || fail "boxes.npy is not [2,36,4] f32"
"$CARINA" tensor apm -w "$data/weights.safetensors" -i "$data/input.safetensors" -o "$out/bf16" --dtype bf16 || fail "bf16"
cmp -s "$out/one/cls.npy" "$out/bf16/cls.npy" && fail "bf16 computes in f32"
"$CARINA" tensor gradients -w "$data/weights.safetensors" -i "$data/input.safetensors" --targets "$data/targets.safetensors" -o "$out/g" |
  grep -q '^loss [0-9.]*$' || fail "gradients"
"$CARINA" tensor gradients --json -w "$data/weights.safetensors" -i "$data/input.safetensors" --targets "$data/targets.safetensors" -o "$out/g" |
  tr -d '\n' | grep -qE '^\{ *"loss": [0-9.]+\}$' || fail "gradients --json"
[ -s "$out/g/gradients.safetensors" ] || fail "no gradients written"

# one line on standard error, exit status 1, nothing written
complains() {
  local expected=$1
  shift
  "$CARINA" "$@" --out "$out/bad" >"$out/stdout" 2>"$out/stderr"
  [ $? -eq 1 ] || fail "$*: exit status"
  [ "$(wc -l <"$out/stderr")" -eq 1 ] || fail "$*: not one line: $(cat "$out/stderr")"
  grep -q "$expected" "$out/stderr" || fail "$*: $(cat "$out/stderr")"
  [ ! -e "$out/bad" ] || fail "$*: left something behind"
}
head -c 1000 "$data/weights.safetensors" >"$out/cut.safetensors"
complains "cut.safetensors" tensor apm --weights "$out/cut.safetensors" --input "$data/input.safetensors"
complains "backbone.0.body.conv1.weight" tensor apm --weights "$data/targets.safetensors" --input "$data/input.safetensors"
complains "no float tensor" tensor apm --weights "$data/weights.safetensors" --input "$out/one/boxes.npy"
# array BYTES SIDE: a square film of which only the first number is not 0.
array() {
  printf '\223NUMPY\1\0\166\0%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, $2, $2), }"
  printf "$1"
  head -c $((4 * $2 * $2 - 4)) /dev/zero
}
array '\0\0\300\177' 32 >"$out/nan.npy"
complains "nan.npy: .*not finite at element 0" tensor apm --weights "$data/weights.safetensors" --input "$out/nan.npy"
array '\0\0\200\77' 16 >"$out/small.npy"
complains "small.npy: a side of 16 pixels; 32 to 4096 are read" tensor apm --weights "$data/weights.safetensors" --input "$out/small.npy"
array '\0\0\200\77' 32 >"$out/one.npy"
"$CARINA" tensor apm --weights "$data/weights.safetensors" --input "$out/one.npy" --out "$out/good" || fail "the array itself is at fault"
complains "boxes" tensor gradients --weights "$data/weights.safetensors" --input "$data/input.safetensors" --targets "$data/weights.safetensors"
"$CARINA" tensor apm --weights x >/dev/null 2>&1
[ $? -eq 2 ] || fail "a missing option is a usage error"
echo "tensor: all as expected"
