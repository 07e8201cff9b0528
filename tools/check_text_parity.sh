#!/bin/bash
# Holds `carina text` against PyTorch and an independent tokenizer at full size: BERT-base with seeded random weights, a page
# of sentences of many lengths and scripts. Vectors must agree within 1e-4 of their scale in f32, within 3e-2 in bf16.
#
#     tools/check_text_parity.sh [--config JSON]
#
# --config takes another network: '{"num_hidden_layers": 2}'. CARINA names the program (build/carina), WORK a folder for
# the files (build/text_parity). Not part of `make test`: it needs Debian's python3-torch. The tests hold the encoder
# against tests/data/bert instead.
set -eu
cd "$(dirname "$0")/.."
carina=${CARINA:-build/carina}
work=${WORK:-build/text_parity}
python=${PYTHON:-/usr/bin/python3}
config='{}'
while [ $# -gt 0 ]; do
  case $1 in
    --config) config=$2; shift 2 ;;
    *) echo "check_text_parity.sh: unknown option $1; known: --config JSON" >&2; exit 2 ;;
  esac
done
"$python" -c 'import torch, numpy' 2>/dev/null || { echo "check_text_parity.sh: needs python3-torch and python3-numpy" >&2; exit 2; }
[ -x "$carina" ] || { echo "check_text_parity.sh: $carina is not built" >&2; exit 2; }
mkdir -p "$work"
status=0

"$python" - "$work/sentences.txt" <<'PYTHON'
import json, sys
texts = [t for case in json.load(open("tests/data/text/wordpiece.json")) for t in case["texts"]]
lines = [t for t in texts if not set(t) & set("\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029") and len(t) < 300][:24]
open(sys.argv[1], "w", encoding="utf-8").write("\n".join(lines) + "\n")
PYTHON
for format in safetensors bin; do
  rm -rf "$work/model"
  "$python" tools/torch_bert.py weights --out "$work/model" --config "$config" --format $format
  for kind in pooled projected; do
    [ $format = bin ] && [ $kind = pooled ] && continue
    flag=; [ $kind = projected ] && flag=--projected
    "$python" tools/torch_bert.py encode --model "$work/model" --sentences "$work/sentences.txt" --out "$work/torch.npy" $flag
    for dtype in f32 bf16; do
      echo "== carina text encode --$kind --dtype $dtype, weights as $format"
      "$carina" text encode -m "$work/model" --$kind --dtype $dtype -o "$work/carina.npy" <"$work/sentences.txt"
      tolerance=1e-4; [ $dtype = bf16 ] && tolerance=3e-2
      "$python" tools/torch_bert.py compare "$work/carina.npy" "$work/torch.npy" --tolerance $tolerance || status=1
    done
  done
done
exit $status
