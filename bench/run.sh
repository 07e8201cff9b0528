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
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --repeat) repeat=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    -*) echo "bench/run.sh: unknown option $1; known: --rounds N --repeat N --only PATTERN" >&2; exit 2 ;;
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

# limit WHAT VALUE SENSE BOUND: a figure without a peer; SENSE is <= or >=.
limit() {
  awk -v what="$1" -v value="$2" -v sense="$3" -v bound="$4" 'BEGIN {
    ok = value == "" ? "" : ((sense == "<=" ? value <= bound + 0 : value >= bound + 0) ? "yes" : "no")
    printf "%s,%s,,,%s %s,%s\n", what, value, sense, bound, ok }' >>"$csv"
}

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

column -s, -t "$csv" 2>/dev/null || cat "$csv"
note "written to $csv"
