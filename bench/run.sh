#!/bin/bash
# Carina beside its peers: the same work, alternating (A B A B ...) in one run, because only ratios within a run mean
# anything on a shared machine. Called by `make bench`; writes build/bench.csv and prints it as a table.
#
#     bench/run.sh [BUILD_FOLDER] [--rounds N] [--repeat N] [--only PATTERN]
#
# Every side is a command that prints one line of JSON {"name", "seconds_min", "seconds_median", "peak_rss_bytes"}:
#     build/bench_apm forward|train type=f32|bf16  Carina (bench/bench_apm.c); build/bench_bert type=f32|bf16
#     bench/torch_peer.py MODE --repeat N --json   PyTorch (Debian: python3-torch python3-numpy libopenblas0-openmp)
#     bench/onnx_peer.mjs FILE MODULES --repeat N  ONNX Runtime (npm), the same network exported from PyTorch
#     build/bench_index MODE, bench/faiss_peer.py MODE   searches in the sentence database; FAISS (Debian: python3-faiss)
# The language model's figures stand beside this machine's own limits, measured in the same run
#     build/carina lm bench                        the shape of Gemma 3 4B, random weights (where the memory suffices)
#     bench/llama_peer.mjs FILE MODULES            llama.cpp (npm), with --llama: its model of that shape, made by make_gemma3 and
#                                                  quantised by us, takes some minutes and 10 GB in the build folder
#     build/bench_quantized, build/bench_decoding  single products; drawing a token under a grammar
# with MODE forward-f32, forward-bf16 (one film), train-f32, train-bf16 (one step on two films): APM, 1024x1024, 2 threads;
# bert-f32, bert-bf16: BERT-base on 36 sentences of 32 tokens.
# Seconds are the least of all rounds: whatever else runs can only add to them. Memory is the peak of the whole process.
# A peer that is not installed is skipped by name. Nothing fails on a slow figure; the column `ok` says it.
set -u
cd "$(dirname "$0")/.." || exit 1
build=build
python=${PYTHON:-/usr/bin/python3}
rounds=3
repeat=3
only='.*'
llama=
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --repeat) repeat=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    --llama) llama=wanted; shift ;;
    -*) echo "bench/run.sh: unknown option $1; known: --rounds N --repeat N --only PATTERN --llama" >&2; exit 2 ;;
    *) build=$1; shift ;;
  esac
done
work=$build/peers
csv=$build/bench.csv
mkdir -p "$work"
note() { echo "bench: $*" >&2; }

field() { sed -n "s/.*\"$2\": *\([0-9.eE+-]*\).*/\1/p" <<<"$1" | tail -1; }
least() { sort -g | head -1; }
most() { sort -g | tail -1; }

# ---- which sides are here

if [ -x "$build/bench_apm" ]; then carina=yes; else carina=; note "$build/bench_apm is not built: no figures for Carina"; fi

torch=
if why=$("$python" bench/torch_peer.py check 2>&1); then
  torch=yes
else
  note "PyTorch skipped: $(tail -1 <<<"$why")"
  note "  apt-get install --no-install-recommends python3-torch python3-numpy libopenblas0-openmp"
fi

onnx=
network=$work/apm.onnx
if [ -z "$torch" ]; then
  note "onnxruntime skipped: its network is exported from PyTorch"
elif ! command -v npm >/dev/null || ! command -v node >/dev/null; then
  note "onnxruntime skipped: no npm"
else
  # The install script would fetch GPU libraries; the package itself brings what the CPU needs.
  [ -d "$work/node_modules/onnxruntime-node" ] ||
    npm install --prefix "$work" --ignore-scripts --no-audit --no-fund onnxruntime-node@1.22 >"$work/npm.log" 2>&1 ||
    note "npm install failed, see $work/npm.log"
  if [ tools/torch_apm.py -nt "$network" ] || [ bench/torch_peer.py -nt "$network" ]; then
    "$python" bench/torch_peer.py export "$network" >"$work/export.log" 2>&1 || { note "export failed, see $work/export.log"; rm -f "$network"; }
  fi
  if [ -d "$work/node_modules/onnxruntime-node" ] && [ -s "$network" ]; then onnx=yes; else note "onnxruntime skipped"; fi
fi

# ---- measuring

# measure SIDE MODE: one line of JSON, appended to that side's results.
measure() {
  local line
  case $1 in
    carina-bert) line=$("$build/bench_bert" "type=${2#*-}" "runs=$repeat" threads=2) ;;
    carina) line=$("$build/bench_apm" "${2%-*}" "type=${2#*-}" "runs=$repeat" threads=2) ;;
    torch) line=$("$python" bench/torch_peer.py "$2" --repeat "$repeat" --json) ;;
    onnx) line=$(node bench/onnx_peer.mjs "$network" "$work" --repeat "$repeat" 2>"$work/onnx.log") ;;
  esac || { note "$1 $2 failed"; return; }
  echo "$line" >>"$work/$1.$2.json"
  note "$1 $2: $(field "$line" seconds_min) s, $(($(field "$line" peak_rss_bytes) >> 20)) MiB"
}

# results SIDE MODE FIELD: one number per round.
results() { [ -f "$work/$1.$2.json" ] && while read -r line; do field "$line" "$3"; done <"$work/$1.$2.json"; }

# row WHAT CARINA PEER REQUIRED: the ratio of two numbers and whether it is at most the required one.
row() {
  awk -v what="$1" -v carina="$2" -v peer="$3" -v required="$4" 'BEGIN {
    ratio = ok = ""
    if (carina != "" && peer != "") { ratio = sprintf("%.3f", carina / peer); ok = carina / peer <= required ? "yes" : "no" }
    printf "%s,%s,%s,%s,<= %s,%s\n", what, carina, peer, ratio, required, ok }' >>"$csv"
}

# rates WHAT CARINA PEER: two speeds; the peer's is to be no higher than ours.
rates() {
  awk -v what="$1" -v carina="$2" -v peer="$3" 'BEGIN {
    if (carina == "" || peer == "") exit
    printf "%s,%s,%s,%.3f,<= 1,%s\n", what, carina, peer, peer / carina, peer <= carina ? "yes" : "no" }' >>"$csv"
}

# limit WHAT VALUE SENSE BOUND: a figure without a peer; SENSE is <= or >=.
limit() {
  awk -v what="$1" -v value="$2" -v sense="$3" -v bound="$4" 'BEGIN {
    ok = value == "" ? "" : ((sense == "<=" ? value <= bound + 0 : value >= bound + 0) ? "yes" : "no")
    printf "%s,%s,,,%s %s,%s\n", what, value, sense, bound, ok }' >>"$csv"
}

# figure WHAT VALUE: one that nothing is asked of.
figure() { printf '%s,%s,,,,\n' "$1" "$2" >>"$csv"; }

echo "what,carina,peer,ratio,required,ok" >"$csv"
for mode in forward-f32 forward-bf16 train-f32 train-bf16; do
  [[ $mode =~ $only ]] || continue
  rm -f "$work"/*."$mode".json
  for ((round = 0; round < rounds; round++)); do
    [ -n "$carina" ] && measure carina "$mode"
    [ -n "$torch" ] && measure torch "$mode"
    [ -n "$onnx" ] && [ "$mode" = forward-f32 ] && measure onnx "$mode"
  done
  case $mode in
    forward-f32) required=0.45 ;;
    forward-bf16) required=0.25 ;;
    train-f32) required=0.45 ;;
    train-bf16) required=0.33 ;;
  esac
  ours=$(results carina "$mode" seconds_min | least)
  memory=$(results carina "$mode" peak_rss_bytes | most)
  row "APM $mode against PyTorch (s)" "$ours" "$(results torch "$mode" seconds_min | least)" "$required"
  [ "$mode" = forward-f32 ] && row "APM $mode against ONNX Runtime (s)" "$ours" "$(results onnx "$mode" seconds_min | least)" 0.95
  row "APM $mode peak memory against PyTorch (bytes)" "$memory" "$(results torch "$mode" peak_rss_bytes | most)" 0.6
done

for mode in bert-f32 bert-bf16; do
  [[ $mode =~ $only ]] || continue
  rm -f "$work"/*."$mode".json
  for ((round = 0; round < rounds; round++)); do
    [ -x "$build/bench_bert" ] && measure carina-bert "$mode"
    [ -n "$torch" ] && measure torch "$mode"
  done
  required=0.8; [ "$mode" = bert-bf16 ] && required=0.7
  row "text encoder $mode against PyTorch (s)" "$(results carina-bert "$mode" seconds_min | least)" \
    "$(results torch "$mode" seconds_min | least)" "$required"
done

if [[ phantom =~ $only ]] && [ -x "$build/phantom_speed" ]; then
  best=$(for ((round = 0; round < rounds; round++)); do "$build/phantom_speed" 20 512 | cut -d, -f4; done | most)
  note "phantom: $best films/s"
  limit "phantom 512x512 (films/s and core)" "$best" ">=" 5
fi

# From starting the program to its first box, with the default model and a bundled film.
film=$(find demo/films -type f 2>/dev/null | sort | head -1)
if ! [[ locate =~ $only ]]; then
  :
elif [ -n "$film" ] && "$build/carina" locate --json "$film" >/dev/null 2>&1; then
  best=$(for ((round = 0; round < 5; round++)); do
    began=$(date +%s%N)
    "$build/carina" locate --json "$film" >/dev/null
    awk -v ns=$(($(date +%s%N) - began)) 'BEGIN { printf "%.3f\n", ns / 1e9 }'
  done | least)
  note "locate: $best s"
  limit "locate: start to first box (s)" "$best" "<=" 0.3
else
  note "locate skipped: needs the default model and demo/films"
fi

# The sentence database, beside FAISS. Searches take less than a millisecond: run with real-time priority where allowed, so
# that what else runs does not cut into them.
alone=
chrt -f 10 true 2>/dev/null && alone="chrt -f 10"
if [[ index =~ $only ]] && [ -x "$build/bench_index" ]; then
  faiss=
  if "$python" bench/faiss_peer.py check 2>/dev/null; then faiss=yes; else note "FAISS skipped: apt-get install --no-install-recommends python3-faiss"; fi
  rm -f "$work"/*.index-*.json
  for ((round = 0; round < rounds; round++)); do
    for mode in regions million load; do
      line=$($alone "$build/bench_index" $mode threads=2 file="$work/bench.sentences") || { note "bench_index $mode failed"; continue; }
      echo "$line" >>"$work/carina.index-$mode.json"
      [ -n "$faiss" ] && [ $mode != load ] && $alone "$python" bench/faiss_peer.py $mode >>"$work/faiss.index-$mode.json"
    done
  done
  note "index: regions $(results carina index-regions seconds_min | least) s, million $(results carina index-million seconds_min | least) s"
  limit "sentences: 36 queries on 36 x 2000 x 16 (s)" "$(results carina index-regions seconds_min | least)" "<=" 0.0003
  row "sentences: 36 queries on 36 x 2000 x 16 against FAISS flat (s)" "$(results carina index-regions seconds_min | least)" "$(results faiss index-regions seconds_min | least)" 1
  row "sentences: 1 query on 1000000 x 16 against reading the bytes (s)" "$(results carina index-million seconds_min | least)" "$(results carina index-million read_seconds_min | least)" 1.5
  row "sentences: 1 query on 1000000 x 16 against FAISS flat (s)" "$(results carina index-million seconds_min | least)" "$(results faiss index-million seconds_min | least)" 1
  limit "sentences: opening a file of 1000000 (s)" "$(results carina index-load seconds_min | least)" "<=" 1
fi

# llama.cpp wants a file: random weights of the same shape, packed as Q4_0. Its tokenizer is never asked.
llama_model=$work/gemma3-4b-q4.gguf
prepare_llama() {
  local folder=$work/gemma3-4b
  command -v npm >/dev/null && command -v node >/dev/null || { note "llama.cpp skipped: no npm"; return 1; }
  [ -d "$work/node_modules/node-llama-cpp" ] ||
    npm install --prefix "$work" --ignore-scripts --no-audit --no-fund node-llama-cpp@3.22 >"$work/npm-llama.log" 2>&1 ||
    { note "llama.cpp skipped: see $work/npm-llama.log"; return 1; }
  [ -s "$llama_model" ] && return
  "$build/make_gemma3" 4b "$folder" && "$build/carina" tokenizer train README.md -n 600 --out "$folder/tokenizer.json" &&
    "$build/carina" model quantize "$folder" --weights q4 --out "$llama_model" >"$work/quantize.log" || note "llama.cpp skipped: no model"
  rm -rf "$folder"
  [ -s "$llama_model" ]
}
if [ -n "$llama" ] && [[ lm =~ $only ]]; then prepare_llama || llama=; fi

# The language model. Speeds: the most of all rounds; what decoding reads, as a part of what memory gives in the same run.
if [[ lm =~ $only ]] && [ -x "$build/carina" ]; then
  for weights in q4 q8 bf16; do
    rm -f "$work/carina.lm-$weights.json" "$work/llama.lm-$weights.json"
    for ((round = 0; round < rounds; round++)); do
      if [ -n "$llama" ] && [ $weights = q4 ]; then
        node bench/llama_peer.mjs "$llama_model" "$work" --prompt 512 --decode 32 2>"$work/llama.log" >>"$work/llama.lm-q4.json" ||
          note "llama.cpp failed: $(tail -1 "$work/llama.log")"
      fi
      line=$("$build/carina" lm bench --shape gemma3-4b --weights $weights --prompt 512 --decode 32 --threads 2 --json 2>"$work/lm.log") ||
        { note "lm $weights skipped: $(tail -1 "$work/lm.log")"; break; }
      tr -d '\n' <<<"$line" >>"$work/carina.lm-$weights.json"
      echo >>"$work/carina.lm-$weights.json"
    done
    [ -s "$work/carina.lm-$weights.json" ] || continue
    if [ -s "$work/llama.lm-$weights.json" ]; then
      rates "lm $weights: prompt of 512 against llama.cpp (tokens/s)" "$(results carina lm-$weights prompt_tokens_per_s | most)" "$(results llama lm-$weights prompt_tokens_per_s | most)"
      rates "lm $weights: decode against llama.cpp (tokens/s)" "$(results carina lm-$weights decode_tokens_per_s | most)" "$(results llama lm-$weights decode_tokens_per_s | most)"
    fi
    required=200; [ $weights = bf16 ] && required=150
    limit "lm $weights: prompt of 512 (tokens/s)" "$(results carina lm-$weights prompt_tokens_per_s | most)" ">=" $required
    limit "lm $weights: first token when all but 8 of 512 are known (s)" "$(results carina lm-$weights reused_first_token_s | least)" "<=" 1
    figure "lm $weights: prompt's products (Gop/s)" "$(results carina lm-$weights prompt_gop_per_s | most)"
    figure "lm $weights: registers in the same runs (Gop/s)" "$(results carina lm-$weights register_gop_per_s | most)"
    figure "lm $weights: decode (tokens/s)" "$(results carina lm-$weights decode_tokens_per_s | most)"
    limit "lm $weights: decode reads of what memory gives" "$(while read -r line; do
      awk -v read="$(field "$line" read_gb_per_s)" -v memory="$(field "$line" memory_gb_per_s)" 'BEGIN { printf "%.3f\n", read / memory }'
    done <"$work/carina.lm-$weights.json" | most)" ">=" 0.85
    figure "lm $weights: memory in the same runs (GB/s)" "$(results carina lm-$weights memory_gb_per_s | most)"
    note "lm $weights: prompt $(results carina lm-$weights prompt_tokens_per_s | most), decode $(results carina lm-$weights decode_tokens_per_s | most) tokens/s"
  done
fi

if [[ quantized =~ $only ]] && [ -x "$build/bench_quantized" ]; then
  for kind in Q4 Q8 BF16; do
    rm -f "$work/carina.quantized-$kind.json"
    "$build/bench_quantized" threads=2 "runs=$repeat" kind=$kind shape=10240x2560 >"$work/carina.quantized-$kind.json" || note "bench_quantized $kind failed"
    limit "product $kind 10240x2560: one token (of reading the bytes)" "$(grep 'M 1"' "$work/carina.quantized-$kind.json" | while read -r line; do field "$line" ratio; done)" ">=" 0.85
    figure "product $kind 10240x2560: 512 tokens (Gop/s)" "$(results carina quantized-$kind gop_s | tail -1)"
    figure "product $kind 10240x2560: registers in the same run (Gop/s)" "$(results carina quantized-$kind register_gop_s | tail -1)"
  done
fi

if [[ decoding =~ $only ]] && [ -x "$build/bench_decoding" ]; then
  for mode in trie box schema text length sampler; do
    line=$("$build/bench_decoding" $mode) || { note "bench_decoding $mode failed"; continue; }
    figure "decoding $mode (s)" "$(field "$line" seconds_median)"
  done
fi

column -s, -t "$csv" 2>/dev/null || cat "$csv"
note "written to $csv"
